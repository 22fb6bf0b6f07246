// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/change"
	"freshet/schema"
	"freshet/snapshot"
)

// model is a database of one table with few rows, whose changes are committed at chosen steps of a snapshot. A row's value
// is the number of the change that wrote it, so that it tells how new it is.
type model struct {
	log      []modelChange // all changes, in the order of their commits
	done     int           // of them committed
	schedule []int         // at which step each is committed
	step     int
	initial  map[int]int // rows at the beginning
	toast    bool        // updates do not tell values
}

type modelChange struct {
	op  change.Op
	key int
}

var modelTable = &schema.Table{
	ID:      schema.ID{Schema: "public", Name: "t"},
	Key:     []schema.Column{{Name: "id", Type: &schema.Type{Kind: schema.Int32}}},
	Columns: []schema.Column{{Name: "id", Type: &schema.Type{Kind: schema.Int32}}, {Name: "v", Type: &schema.Type{Kind: schema.Int32}}},
}

// tick commits what is due.
func (m *model) tick() {
	m.step++
	for m.done < len(m.log) && m.schedule[m.done] <= m.step {
		m.done++
	}
}

// rows is the state after n changes.
func (m *model) rows(n int) map[int]int {
	out := map[int]int{}
	maps.Copy(out, m.initial)
	for i, c := range m.log[:n] {
		switch _, there := out[c.key]; {
		case c.op == change.Delete:
			delete(out, c.key)
		case c.op == change.Create || there && !m.toast:
			out[c.key] = i + 1
		}
	}
	return out
}

// stream yields one change a batch, and empty batches when there is none. Positions count changes.
type modelStream struct {
	m         *model
	next      int
	committed []change.Position
}

func position(n int) change.Position { return change.Position(`{"n":` + strconv.Itoa(n) + `}`) }

func (s *modelStream) Next(_ context.Context, b *change.Batch) error {
	s.m.tick()
	if s.next < s.m.done {
		c := s.m.log[s.next]
		s.next++
		key, row := b.NewRow(1), b.NewRow(2)
		b.Set(key, 0, change.IntValue(int64(c.key)))
		b.Set(row, 0, change.IntValue(int64(c.key)))
		b.Set(row, 1, change.IntValue(int64(s.next)))
		if s.m.toast && c.op == change.Update {
			b.Set(row, 1, change.UnavailableValue())
		}
		ch := change.Change{Table: modelTable, Op: c.op, Key: key, After: row, SourceMicros: int64(s.next)}
		if c.op == change.Delete {
			ch.Before, ch.After = row, change.Row{}
		}
		b.Changes = append(b.Changes, ch)
	}
	b.End = position(s.next)
	return nil
}

func (s *modelStream) Commit(_ context.Context, p change.Position) error {
	s.committed = append(s.committed, p)
	return nil
}
func (s *modelStream) Close(context.Context) error { return nil }

// modelWindows reads the model.
type modelWindows struct {
	m      *model
	opened int
}

func (w *modelWindows) Match(_ context.Context, pattern string) ([]schema.ID, error) {
	if regexp.MustCompile("^" + pattern + "$").MatchString("public.t") {
		return []schema.ID{modelTable.ID}, nil
	}
	return nil, nil
}

func (w *modelWindows) Signal(*change.Batch, *change.Change) (capture.Signal, bool) {
	return capture.Signal{}, false
}

func (w *modelWindows) Open(context.Context) (snapshot.Window, error) {
	w.m.tick()
	w.opened++
	return &modelWindow{m: w.m, state: w.m.done}, nil
}

func (w *modelWindows) Blocking(_ context.Context, _ []*snapshot.Part, _ func(capture.Progress)) (capture.Reader, error) {
	return snapshot.Initial(newFake(nil, "t=2"), nil, snapshot.Options{}), nil
}
func (w *modelWindows) Close(context.Context) error { return nil }

type modelWindow struct {
	m           *model
	state, high int
}

func (w *modelWindow) Read(_ context.Context, p *snapshot.Part, limit int, b *change.Batch) (snapshot.Piece, error) {
	if p.Condition == "bad" {
		return snapshot.Piece{}, &snapshot.PartError{Err: fmt.Errorf("syntax error")}
	}
	var keys []int
	rows := w.m.rows(w.state)
	for k := range rows {
		if after, err := strconv.Atoi(p.After); err != nil || k > after {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	if len(keys) > limit && !p.Whole {
		keys = keys[:limit]
	}
	for _, k := range keys {
		key, row := b.NewRow(1), b.NewRow(2)
		b.Set(key, 0, change.IntValue(int64(k)))
		b.Set(row, 0, change.IntValue(int64(k)))
		b.Set(row, 1, change.IntValue(int64(rows[k])))
		b.Changes = append(b.Changes, change.Change{Table: modelTable, Key: key, After: row})
	}
	w.m.tick()
	piece := snapshot.Piece{Rows: len(keys)}
	if len(keys) > 0 {
		piece.Last, piece.Max = strconv.Itoa(keys[len(keys)-1]), "9"
	}
	return piece, nil
}

func (w *modelWindow) Sees(_ *change.Batch, c *change.Change) bool {
	return int(c.SourceMicros) <= w.state
}

func (w *modelWindow) Close(context.Context) error {
	w.m.tick()
	w.high = w.m.done
	return nil
}

func (w *modelWindow) Passed(b *change.Batch) bool {
	var p struct{ N int }
	return json.Unmarshal([]byte(b.End), &p) == nil && p.N >= w.high
}

// seen is what a consumer makes of the events: the rows, and how new the last event of each key was.
type seen struct {
	rows, newest map[int]int
	toast        bool // values do not tell how new they are
}

// take applies a batch, and fails where a row comes after a newer change of its key.
func (s *seen) take(t *testing.T, b *change.Batch, name string) {
	t.Helper()
	for i := range b.Changes {
		c := &b.Changes[i]
		k := int(b.At(c.Key, 0).Int())
		if c.Op == change.Delete {
			delete(s.rows, k)
			s.newest[k] = int(c.SourceMicros)
			continue
		}
		v := s.rows[k]
		if x := b.At(c.After, 1); x.Kind() != change.Unavailable {
			v = int(x.Int())
		}
		version := v
		if c.Op == change.Read {
			require.Equal(t, change.SnapshotIncremental, c.Snapshot)
			if !s.toast {
				require.GreaterOrEqual(t, v, s.newest[k], "%s: a row after a newer change of key %d", name, k)
			}
		} else {
			version = int(c.SourceMicros)
		}
		s.rows[k], s.newest[k] = v, version
	}
}

func demand(t *testing.T, m *model, from change.Position, next int, first ...*snapshot.Job) (capture.Reader, *modelStream, chan capture.Signal) {
	t.Helper()
	stream := &modelStream{m: m, next: next}
	signals := make(chan capture.Signal, 10)
	r, err := snapshot.OnDemand(stream, &modelWindows{m: m}, snapshot.DemandOptions{
		Name: "s", From: from, At: position(next), Rows: 1, Signals: nil, First: first,
	})
	require.NoError(t, err)
	return r, stream, signals
}

// TestIncrementalInterleavings runs every order of two or three changes and the steps of a snapshot of two rows in two
// windows (R6): no row follows a newer change of its key, and the consumer ends with the database's rows.
func TestIncrementalInterleavings(t *testing.T) {
	kinds := []modelChange{{change.Update, 1}, {change.Update, 2}, {change.Delete, 1}, {change.Create, 1}, {change.Create, 2}, {change.Create, 3}}
	runs := 0
	for _, a := range kinds {
		for _, b := range kinds {
			for _, c := range kinds {
				for i := 0; i < 12; i += 2 {
					for j := i; j < 12; j += 3 {
						for k := j; k < 12; k += 4 {
							if !possible(a, b, c) {
								continue
							}
							runs++
							m := &model{log: []modelChange{a, b, c}, schedule: []int{i, j, k}, initial: map[int]int{1: 0, 2: 0}}
							checkInterleaving(t, m, fmt.Sprintf("%c%d %c%d %c%d at %d %d %d", a.op, a.key, b.op, b.key, c.op, c.key, i, j, k))
						}
					}
				}
			}
		}
	}
	require.Greater(t, runs, 1000)
}

// possible says whether a database with the rows 1 and 2 can make the changes.
func possible(changes ...modelChange) bool {
	there := map[int]bool{1: true, 2: true}
	for _, c := range changes {
		if there[c.key] == (c.op == change.Create) {
			return false
		}
		there[c.key] = c.op != change.Delete
	}
	return true
}

func checkInterleaving(t *testing.T, m *model, name string) {
	t.Helper()
	job := &snapshot.Job{ID: "j", Parts: []*snapshot.Part{{Table: modelTable.ID}}}
	r, stream, _ := demand(t, m, "", 0, job)
	s := &seen{rows: map[int]int{}, newest: map[int]int{}, toast: m.toast}
	for n := 0; n < 60 && (stream.next < len(m.log) || len(job.Parts) > 0 || n < 20); n++ {
		var b change.Batch
		require.NoError(t, r.Next(t.Context(), &b))
		s.take(t, &b, name)
	}
	require.Empty(t, job.Parts, "%s: the snapshot ends", name)
	require.Equal(t, m.rows(m.done), s.rows, name)
	require.NoError(t, r.Close(t.Context()))
}

// TestIncrementalResumesAtEveryPosition reopens the Reader at the position of every batch: nothing is missing.
func TestIncrementalResumesAtEveryPosition(t *testing.T) {
	for stop := range 14 {
		m := &model{
			log:      []modelChange{{change.Update, 1}, {change.Create, 5}, {change.Update, 3}, {change.Delete, 2}},
			schedule: []int{2, 5, 8, 11}, initial: map[int]int{1: 0, 2: 0, 3: 0, 4: 0},
		}
		r, stream, _ := demand(t, m, "", 0, &snapshot.Job{ID: "j", Parts: []*snapshot.Part{{Table: modelTable.ID}}})
		s := &seen{rows: map[int]int{}, newest: map[int]int{}}
		var end change.Position
		for range stop {
			var b change.Batch
			require.NoError(t, r.Next(t.Context(), &b))
			s.take(t, &b, "before")
			end = b.End
			require.NoError(t, r.Commit(t.Context(), end))
		}
		if stop == 0 {
			continue
		}
		require.NoError(t, r.Close(t.Context()))
		for _, p := range stream.committed {
			require.NotContains(t, string(p), "freshet_snapshots", "the stream gets its own positions")
		}
		var p struct{ N int }
		require.NoError(t, json.Unmarshal([]byte(end), &p))
		r, _, _ = demand(t, m, end, p.N)
		for range 40 {
			var b change.Batch
			require.NoError(t, r.Next(t.Context(), &b))
			s.take(t, &b, "after "+strconv.Itoa(stop))
			end = b.End
		}
		require.Equal(t, m.rows(m.done), s.rows, "stopped after %d", stop)
		require.NotContains(t, string(end), "freshet_snapshots", "the job is forgotten at its end")
		require.NoError(t, r.Close(t.Context()))
	}
}

// A row that is dropped for an update that does not tell all values is read again.
func TestIncrementalReadsIncompleteRowsAgain(t *testing.T) {
	for at := range 12 {
		m := &model{log: []modelChange{{change.Update, 1}, {change.Update, 2}}, schedule: []int{at, at + 1}, initial: map[int]int{1: 100, 2: 200}, toast: true}
		checkInterleaving(t, m, "toast at "+strconv.Itoa(at))
	}
}

func TestIncrementalStatesAndNotices(t *testing.T) {
	m := &model{initial: map[int]int{1: 0, 2: 0, 3: 0}}
	var said []string
	var jobs []capture.SnapshotJob
	signals := make(chan capture.Signal)
	r, err := snapshot.OnDemand(&modelStream{m: m}, &modelWindows{m: m}, snapshot.DemandOptions{
		Name: "s", At: position(0), Rows: 2, Signals: signals,
		Notices: true,
		Jobs:    func(all []capture.SnapshotJob) { jobs = all },
	})
	require.NoError(t, err)
	next := func(n int) (rows int) {
		for range n {
			var b change.Batch
			require.NoError(t, r.Next(t.Context(), &b))
			rows += len(b.Changes)
			for _, n := range b.Notices {
				said = append(said, n.ID+" "+n.Type)
			}
		}
		return rows
	}
	require.Zero(t, next(1))
	send := func(id, kind, data string) { signals <- capture.Signal{ID: id, Type: kind, Data: data} }
	settle := func(state string) {
		t.Helper()
		for until := time.Now().Add(10 * time.Second); time.Now().Before(until); {
			if next(1); len(jobs) > 0 && jobs[len(jobs)-1].State == state {
				return
			}
		}
		t.Fatalf("no job became %s: %+v", state, jobs)
	}
	send("a", "execute-snapshot", `{"data-collections":["public.t"]}`)
	settle("completed")
	require.Equal(t, []string{"a STARTED", "a IN_PROGRESS", "a IN_PROGRESS", "a TABLE_SCAN_COMPLETED", "a COMPLETED"}, said)
	require.EqualValues(t, 3, jobs[0].Rows)
	require.Equal(t, []string{"public.t"}, jobs[0].Tables)
	send("b", "execute-snapshot", `{"data-collections":["public.t"],"additional-conditions":[{"data-collection":"public.t","filter":"bad"}]}`)
	settle("failed")
	require.Contains(t, jobs[1].Error, "syntax error")
	send("c", "pause-snapshot", ``)
	send("d", "execute-snapshot", `{"data-collections":["public.t"]}`)
	send("e", "stop-snapshot", `{}`)
	settle("cancelled")
	send("bad", "execute-snapshot", `not JSON`)
	send("bad", "no-such-type", `{}`)
	send("f", "execute-snapshot", `{"data-collections":["public.t"],"type":"blocking"}`)
	settle("completed")
	require.Equal(t, "blocking", jobs[len(jobs)-1].Type)
	require.NoError(t, r.Close(t.Context()))
}

func TestSignalFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signals.json")
	m := &model{initial: map[int]int{1: 0}}
	var jobs []capture.SnapshotJob
	r, err := snapshot.OnDemand(&modelStream{m: m}, &modelWindows{m: m}, snapshot.DemandOptions{
		Name: "s", At: position(0), File: path, Poll: time.Millisecond, Jobs: func(all []capture.SnapshotJob) { jobs = all },
	})
	require.NoError(t, err)
	lines := []string{`{"id":"x","type":"execute-snapshot","data":{"data-collections":["public.t"]}}`, `nonsense`, `{"id":"y","type":"execute-snapshot","data":"{\"data-collections\":[\"public.t\"]}"}`}
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600))
	require.Eventually(t, func() bool {
		var b change.Batch
		require.NoError(t, r.Next(t.Context(), &b))
		return len(jobs) == 2 && jobs[1].State == "completed"
	}, 10*time.Second, time.Millisecond)
	left, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Empty(t, left, "a file that was read is emptied")
	require.NoError(t, r.Close(t.Context()))
}
