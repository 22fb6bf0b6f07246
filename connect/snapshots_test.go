// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/schema"
)

// memory is a Keeper.
type memory map[string][]byte

func (m memory) PutStatus(key string, value []byte) error { m[key] = value; return nil }
func (m memory) Status(key string) ([]byte, error)        { return m[key], nil }
func (m memory) DeleteStatus(key string) error            { delete(m, key); return nil }

// The initial snapshot is listed as it goes on, cannot be taken from its connector, goes on as a job of the reader, and is
// remembered over restarts.
func TestInitialSnapshotAmongSnapshots(t *testing.T) {
	keeper := memory{}
	log := slog.New(slog.DiscardHandler)
	s, m := newSnapshots("c", keeper, log), &meter{}
	_, err := s.opened(m)
	require.NoError(t, err)
	jobs, err := s.List()
	require.NoError(t, err)
	require.Empty(t, jobs)
	one := func() capture.SnapshotJob {
		t.Helper()
		jobs, err := s.List()
		require.NoError(t, err)
		require.Len(t, jobs, 1)
		require.Equal(t, capture.InitialSnapshot, jobs[0].ID)
		return jobs[0]
	}
	progress := func(name string, rows int64, done bool) {
		p := capture.Progress{Table: schema.ID{Schema: "public", Name: name}, Rows: rows, Estimated: 20, Blocks: 2, Done: done}
		if m.progress(p) {
			s.initial(m.initial(nil))
		}
	}
	progress("a", 0, false)
	progress("b", 0, false)
	progress("a", 20, true)
	progress("b", 7, false)
	j := one()
	require.Equal(t, "running", j.State)
	require.Equal(t, []string{"public.b"}, j.Left)
	require.EqualValues(t, 27, j.Rows)
	var refused *Error
	_, err = s.Delete(capture.InitialSnapshot)
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 409, refused.Code)
	require.ErrorAs(t, s.Pause(capture.InitialSnapshot, true), &refused)

	require.True(t, m.close())
	s.initial(m.initial(errors.New("connection lost")))
	require.Equal(t, "queued", one().State)
	require.Equal(t, "connection lost", one().Error)

	goesOn := capture.SnapshotJob{ID: capture.InitialSnapshot, Type: "initial", State: "running", Tables: []string{"public.b"}, Left: []string{"public.b"}, Created: time.Now()}
	for _, now := range []capture.SnapshotJob{goesOn, {
		ID: capture.InitialSnapshot, Type: "initial", State: "completed", Tables: []string{"public.b"}, Finished: time.Now(),
		Progress: []capture.TableProgress{{Table: "public.b", Rows: 13, Done: true}},
	}} {
		m.jobs([]capture.SnapshotJob{now})
		s.report([]capture.SnapshotJob{now})
	}
	s = newSnapshots("c", keeper, log)
	j = one()
	require.Equal(t, "completed", j.State)
	require.Equal(t, []string{"public.a", "public.b"}, j.Tables)
	require.Len(t, j.Progress, 2)
	require.Empty(t, j.Error)
	gone, err := s.Delete(capture.InitialSnapshot)
	require.NoError(t, err)
	require.True(t, gone)
	jobs, err = s.List()
	require.NoError(t, err)
	require.Empty(t, jobs)
}

// A snapshot that a signal asked for is asked for again by the next attempt until it has begun, and once though the signal
// comes again.
func TestSignalOutlivesItsReader(t *testing.T) {
	keeper := memory{}
	log := slog.New(slog.DiscardHandler)
	s := newSnapshots("c", keeper, log)
	ask := capture.Signal{ID: "1", Type: executeSnapshot, Data: `{"data-collections":["a"]}`}
	require.NoError(t, s.signal(ask))
	require.NoError(t, s.signal(ask))
	for range 2 { // processes
		from, err := s.opened(&meter{})
		require.NoError(t, err)
		require.Equal(t, ask, <-from)
		require.Empty(t, from)
		s = newSnapshots("c", keeper, log)
	}
	_, err := s.opened(&meter{})
	require.NoError(t, err)
	s.report([]capture.SnapshotJob{{ID: "1", State: "running"}})
	from, err := s.opened(&meter{})
	require.NoError(t, err)
	require.Empty(t, from, "it has begun")
}

// shared is a Keeper of several workers.
type shared struct {
	memory
	owner **shared
}

func (s *shared) Claim(key string) ([]byte, error) {
	*s.owner = s
	return s.Status(key)
}

func (s *shared) PutStatus(key string, value []byte) error {
	if *s.owner != s {
		return ErrClaimed
	}
	return s.memory.PutStatus(key, value)
}

// A worker whose task has moved while it stood still changes nothing any more; what it is asked then is refused. It has its
// part in it again when its task is opened again.
func TestSnapshotsOfATaskThatHasMoved(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	kept, owner := memory{}, new(*shared)
	frozen := newSnapshots("c", &shared{kept, owner}, log)
	next := newSnapshots("c", &shared{kept, owner}, log)
	ask := func(s *Snapshots, id string) error {
		_, err := s.Start(SnapshotRequest{ID: id, Tables: []string{"a"}})
		return err
	}
	_, err := frozen.opened(&meter{})
	require.NoError(t, err)
	require.NoError(t, ask(frozen, "1"))

	signals, err := next.opened(&meter{})
	require.NoError(t, err)
	require.Equal(t, "1", (<-signals).ID)
	require.NoError(t, ask(next, "2"))
	var refused *Error
	for range 2 {
		require.ErrorAs(t, ask(frozen, "3"), &refused)
		require.Equal(t, 409, refused.Code)
	}
	frozen.report([]capture.SnapshotJob{{ID: "1", State: "running"}})
	for _, s := range []*Snapshots{frozen, next} {
		jobs, err := s.List()
		require.NoError(t, err)
		require.Len(t, jobs, 2)
		require.Equal(t, "queued", jobs[0].State)
		require.Equal(t, "2", jobs[1].ID)
	}

	signals, err = frozen.opened(&meter{})
	require.NoError(t, err)
	require.Len(t, signals, 2)
	require.NoError(t, ask(frozen, "3"))
	require.ErrorAs(t, ask(next, "4"), &refused)
}
