// SPDX-License-Identifier: Apache-2.0

package standalone_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/config"
	"freshet/connect"
	"freshet/connect/connecttest"
)

// What a stopped connector is asked for is kept, and is there for its task.
func TestSnapshotsOfAStoppedConnector(t *testing.T) {
	r := newRig(t)
	opened := make(chan (<-chan capture.Signal), 10)
	r.source.OnOpen = func(_ int, env capture.Env, v config.Values) (capture.Reader, error) {
		opened <- env.Signals
		return &connecttest.Reader{File: v.Get("file"), From: env.From}, nil
	}
	use := func(what func(s *connect.Snapshots) error) int {
		t.Helper()
		return code(r.Snapshots(t.Context(), "c", what))
	}
	ask := func(id string) func(s *connect.Snapshots) error {
		return func(s *connect.Snapshots) error {
			_, err := s.Start(connect.SnapshotRequest{ID: id, Tables: []string{"public.t"}})
			return err
		}
	}
	r.put(t, "c", source, connect.Stopped)
	for _, id := range []string{"s0", "s1", "s2"} {
		require.Zero(t, use(ask(id)))
	}
	require.Equal(t, 409, use(ask("s1")))
	require.Equal(t, 409, use(func(s *connect.Snapshots) error { return s.Pause("s1", true) }))
	for _, gone := range []bool{false, true} { // cancelled, then forgotten
		require.Zero(t, use(func(s *connect.Snapshots) error {
			was, err := s.Delete("s0")
			require.Equal(t, gone, was)
			return err
		}))
	}
	require.NoError(t, r.Resume(t.Context(), "c"))
	signals := <-opened
	require.Equal(t, "s1", (<-signals).ID)
	require.Equal(t, "s2", (<-signals).ID)
	r.settles(t, "c", "RUNNING: RUNNING")
	require.Zero(t, use(func(s *connect.Snapshots) error { return s.Pause("s1", true) }))
	require.Equal(t, "pause-snapshot", (<-signals).Type)
}
