// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/config"
	"freshet/connect/connecttest"
)

// Groups that share a Kafka have spools of their own, also where their connectors have one name.
func TestSpoolsOfGroups(t *testing.T) {
	w := newWorld(t)
	spools := make(chan *capture.Spool, 10)
	w.plugins = w.broken(func(s *connecttest.Source) {
		s.OnOpen = func(_ int, env capture.Env, v config.Values) (capture.Reader, error) {
			spools <- env.Spool
			return &connecttest.Reader{File: v.Get("file"), From: env.From}, nil
		}
	})
	other := *w
	other.group = "others"
	var of []*capture.Spool
	for _, in := range []*world{w, &other} {
		x := in.start()
		waitFor(t, "it is in the group", func() bool { return x.herder.Starting() == "" })
		in.source(x, "c0")
		of = append(of, <-spools)
	}
	require.NoError(t, of[0].Create(t.Context()))
	done := make(chan error, 1)
	of[0].Append(t.Context(), []byte("entry"), "mark", func(err error) { done <- err })
	require.NoError(t, <-done)
	for n, want := range []int64{1, 0} {
		_, entries, err := of[n].State(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, entries)
	}
	require.NoError(t, of[1].Delete(t.Context()))
	_, entries, err := of[0].State(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, entries)
	require.NoError(t, of[0].Delete(t.Context()))
}
