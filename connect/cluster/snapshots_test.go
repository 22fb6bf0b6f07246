// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/config"
	"freshet/connect/connecttest"
)

// newSnapshotWorld is a group of two workers with a source "c0"; its readers tell the test what signals they get.
func newSnapshotWorld(t *testing.T) (w *world, x, y *worker, opened chan (<-chan capture.Signal)) {
	t.Helper()
	w = newWorld(t)
	opened = make(chan (<-chan capture.Signal), 10)
	w.plugins = w.broken(func(s *connecttest.Source) {
		s.OnOpen = func(_ int, env capture.Env, v config.Values) (capture.Reader, error) {
			opened <- env.Signals
			return &connecttest.Reader{File: v.Get("file"), From: env.From}, nil
		}
	})
	x, y = w.start(), w.start()
	for _, either := range []*worker{x, y} {
		waitFor(t, "it is in the group", func() bool { return either.herder.Starting() == "" })
	}
	w.source(x, "c0")
	return w, x, y, opened
}

// A snapshot that was asked for and has not begun is there for the next attempt of the task, wherever that is.
func TestSnapshotsMoveWithTheirTask(t *testing.T) {
	w, x, y, opened := newSnapshotWorld(t)
	waitFor(t, "it runs", func() bool { return x.states("c0") == "RUNNING RUNNING" && y.states("c0") == "RUNNING RUNNING" })
	if x.status("c0").Tasks[0].WorkerID != x.id {
		x, y = y, x
	}
	require.Empty(t, <-opened)
	y.must(202, "POST", "connectors/c0/snapshots", `{"id":"s1","tables":["public.t"]}`)
	y.must(202, "POST", "connectors/c0/snapshots", `{"id":"s2","tables":["public.u"]}`)
	require.Contains(t, y.must(200, "GET", "connectors/c0/snapshots/s2", ""), `"state":"queued"`)

	again := func() {
		t.Helper()
		signals := <-opened
		require.Equal(t, "s1", (<-signals).ID)
		require.Equal(t, "s2", (<-signals).ID)
	}
	y.must(204, "POST", "connectors/c0/tasks/0/restart", "")
	again()
	x.stop()
	again()
	waitFor(t, "it runs elsewhere", func() bool { return y.states("c0") == "RUNNING RUNNING" && y.status("c0").Tasks[0].WorkerID == y.id })
	require.Contains(t, y.must(200, "GET", "connectors/c0/snapshots/s1", ""), `"state":"queued"`)
	y.must(202, "DELETE", "connectors/c0/snapshots/s1", "")

	// Back, where nothing of before may be left.
	x = w.start()
	waitFor(t, "it is in the group", func() bool { return x.herder.Starting() == "" })
	y.stop()
	signals := <-opened
	require.Equal(t, "s2", (<-signals).ID)
	waitFor(t, "it runs there", func() bool { return x.states("c0") == "RUNNING RUNNING" })
	require.Contains(t, x.must(200, "GET", "connectors/c0/snapshots/s1", ""), `"state":"cancelled"`)

	// With the connector goes what was kept.
	x.must(204, "DELETE", "connectors/c0", "")
	waitFor(t, "nothing is left", func() bool { return first(x.ask("GET", "connectors/c0/status", "")) == 404 })
	w.source(x, "c0")
	waitFor(t, "it runs", func() bool { return x.states("c0") == "RUNNING RUNNING" })
	require.JSONEq(t, "[]", x.must(200, "GET", "connectors/c0/snapshots", ""))
}

// A connector that is stopped has no task and no worker. What it is asked for is kept all the same, by whichever worker it is
// asked, and is there for the task.
func TestSnapshotsOfAStoppedConnector(t *testing.T) {
	_, x, y, opened := newSnapshotWorld(t)
	waitFor(t, "it runs", func() bool { return x.states("c0") == "RUNNING RUNNING" })
	require.Empty(t, <-opened)
	x.must(202, "POST", "connectors/c0/snapshots", `{"id":"s0","tables":["public.t"]}`)
	x.must(204, "PUT", "connectors/c0/stop", "")
	waitFor(t, "it is stopped", func() bool { return x.states("c0") == "STOPPED" && y.states("c0") == "STOPPED" })

	x.must(202, "POST", "connectors/c0/snapshots", `{"id":"s1","tables":["public.u"]}`)
	y.must(202, "POST", "connectors/c0/snapshots", `{"id":"s2","tables":["public.v"]}`)
	y.must(409, "POST", "connectors/c0/snapshots", `{"id":"s1","tables":["public.v"]}`)
	for _, either := range []*worker{x, y} {
		require.Contains(t, either.must(200, "GET", "connectors/c0/snapshots/s2", ""), `"state":"queued"`)
		require.Contains(t, either.must(409, "PUT", "connectors/c0/snapshots/s2/pause", ""), "Connector c0 does not run")
	}
	y.must(202, "DELETE", "connectors/c0/snapshots/s0", "")
	x.must(204, "DELETE", "connectors/c0/snapshots/s0", "")
	x.must(404, "GET", "connectors/c0/snapshots/s0", "")

	y.must(202, "PUT", "connectors/c0/resume", "")
	signals := <-opened
	require.Equal(t, "s1", (<-signals).ID)
	require.Equal(t, "s2", (<-signals).ID)
	waitFor(t, "it runs", func() bool { return x.states("c0") == "RUNNING RUNNING" })
	y.must(202, "PUT", "connectors/c0/snapshots/s2/pause", "")
	require.Equal(t, "pause-snapshot", (<-signals).Type)
}
