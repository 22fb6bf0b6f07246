// SPDX-License-Identifier: Apache-2.0

package capture_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/emitter/topic"
	"freshet/emitter/topic/local"
	"freshet/internal/store"
	"freshet/internal/store/storetest"
)

func newLog(t *testing.T, fs *storetest.FS) *local.Log {
	t.Helper()
	db, err := store.Open("data", store.Options{FS: fs})
	require.NoError(t, err)
	log, err := local.Open(db, local.Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = log.Close(context.Background())
		_ = db.Close()
	})
	return log
}

func mustAppend(t *testing.T, s *capture.Spool, entry []byte, mark string) {
	t.Helper()
	done := make(chan error, 1)
	s.Append(t.Context(), entry, mark, func(err error) { done <- err })
	require.NoError(t, <-done)
}

func entries(t *testing.T, s *capture.Spool, n int64) []string {
	t.Helper()
	r, err := s.Read(t.Context(), n)
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close(t.Context())) }()
	var out []string
	for {
		e, err := r.Next(t.Context())
		if err != nil {
			require.ErrorIs(t, err, io.EOF)
			return out
		}
		out = append(out, string(e))
	}
}

func requireState(t *testing.T, s *capture.Spool, mark string, n int64) {
	t.Helper()
	m, got, err := s.State(t.Context())
	require.NoError(t, err)
	require.Equal(t, mark, m)
	require.Equal(t, n, got)
}

func TestSpool(t *testing.T) {
	log := newLog(t, storetest.New())
	s := capture.NewSpool(log, "src")
	requireState(t, s, "", 0)
	require.NoError(t, s.Delete(t.Context()), "nothing is there")
	require.Empty(t, entries(t, s, 0))
	require.NoError(t, s.Create(t.Context()))
	var want []string
	for i := range 50 {
		want = append(want, fmt.Sprintf("entry %d", i))
		mustAppend(t, s, []byte(want[i]), fmt.Sprint(i))
	}
	mustAppend(t, s, nil, "a mark alone")
	requireState(t, s, "a mark alone", 50)
	require.Equal(t, want, entries(t, s, 50))
	require.Equal(t, want[:7], entries(t, s, 7), "entries that come later are not read")

	require.NoError(t, s.Delete(t.Context()))
	requireState(t, s, "", 0)
	require.NoError(t, s.Create(t.Context()))
	mustAppend(t, s, []byte("anew"), "1")
	require.Equal(t, []string{"anew"}, entries(t, s, 1))
}

// TestSpoolsOfConnectors do not meet, whatever the connectors' names are; and nobody else sees them.
func TestSpoolsOfConnectors(t *testing.T) {
	log := newLog(t, storetest.New())
	names := []string{"a b", "a_b", "a.b", "ä", "", strings.Repeat("x", 300), strings.Repeat("x", 301)}
	for _, name := range names {
		s := capture.NewSpool(log, name)
		require.NoError(t, s.Create(t.Context()))
		mustAppend(t, s, []byte(name), name+"!")
	}
	for _, name := range names {
		s := capture.NewSpool(log, name)
		requireState(t, s, name+"!", 1)
		require.Equal(t, []string{name}, entries(t, s, 1))
	}
	infos, err := log.List(t.Context())
	require.NoError(t, err)
	require.Len(t, infos, len(names))
	for _, info := range infos {
		require.True(t, topic.Hidden(info.Name), info.Name)
		require.Len(t, info.Partitions, 1)
	}
}

// onlyLog is a log that cannot delete.
type onlyLog struct{ topic.Log }

func TestNoSpoolThatCannotBeDeleted(t *testing.T) {
	require.Nil(t, capture.NewSpool(onlyLog{newLog(t, storetest.New())}, "src"))
}
