// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/change"
	"freshet/snapshot"
)

// trace is what a batch holds, in order: rows as t/1, streamed changes as c t/1, notices with the collection they are about.
func trace(b *change.Batch) (out []string) {
	notices := b.Notices
	for i := range len(b.Changes) + 1 {
		for len(notices) > 0 && notices[0].Before == i {
			n := notices[0]
			text := n.Type
			for _, p := range n.Data {
				switch p.Name {
				case "current_collection_in_progress", "scanned_collection", "total_rows_scanned":
					text += " " + p.Value
				}
			}
			if n.Aggregate == "Incremental Snapshot" {
				text = n.ID + ": " + text
			}
			out, notices = append(out, text), notices[1:]
		}
		if i < len(b.Changes) {
			c := &b.Changes[i]
			row := fmt.Sprintf("%s/%d", c.Table.ID.Name, b.At(c.Key, 0).Int())
			if c.Op != change.Read {
				row = string(c.Op) + " " + row
			}
			out = append(out, row)
		}
	}
	return out
}

// traceOf reads until the end of the snapshot or an error.
func traceOf(t *testing.T, r capture.Reader) (out []string, ends []change.Position, err error) {
	t.Helper()
	for {
		var b change.Batch
		if err := r.Next(t.Context(), &b); err != nil {
			return out, ends, err
		}
		require.Equal(t, len(b.Notices) > 0 && len(b.Changes) == 0 && !b.SnapshotEnd, b.End == "", "only notices alone move no position")
		out, ends = append(out, trace(&b)...), append(ends, b.End)
		if b.SnapshotEnd {
			return out, ends, nil
		}
	}
}

func TestNoticesKeepTheirPlaceAmongRows(t *testing.T) {
	for _, batch := range []int{1, 2, 100} {
		q := newFake(t, "t=2 none=0 u=3 last=0")
		q.block, q.holes = 2, true
		r := snapshot.Initial(q, nil, snapshot.Options{BatchRows: batch, Notices: true, Connector: "s"})
		got, ends, err := traceOf(t, r)
		require.NoError(t, err)
		require.Equal(t, []string{
			"STARTED",
			"IN_PROGRESS t", "t/1", "t/2", "TABLE_SCAN_COMPLETED t 2",
			"IN_PROGRESS none", "TABLE_SCAN_COMPLETED none 0",
			"IN_PROGRESS u", "u/1", "u/2", "u/3", "TABLE_SCAN_COMPLETED u 3",
			"IN_PROGRESS last", "TABLE_SCAN_COMPLETED last 0",
			"COMPLETED",
		}, got, "batches of %d", batch)
		require.Equal(t, behind, ends[len(ends)-1], "the end of the snapshot and its notice become durable at once")
		mustClose(t, r)
	}
}

// With several sessions a table is begun before its first row and scanned behind its last one, whoever read them.
func TestNoticesOfSeveralSessions(t *testing.T) {
	q := newFake(t, "t=40 none=0 u=30")
	q.block = 7
	r := snapshot.Initial(q, nil, snapshot.Options{BatchRows: 3, Threads: 3, Notices: true, Connector: "s"})
	got, _, err := traceOf(t, r)
	require.NoError(t, err)
	require.Equal(t, "STARTED", got[0])
	require.Equal(t, "COMPLETED", got[len(got)-1])
	for name, want := range map[string]int{"t": 40, "none": 0, "u": 30} {
		begun := slices.Index(got, "IN_PROGRESS "+name)
		scanned := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, "TABLE_SCAN_COMPLETED "+name+" ") })
		require.Positive(t, begun)
		rows := 0
		for i, line := range got {
			if strings.HasPrefix(line, name+"/") {
				rows++
				require.Less(t, begun, i)
				require.Greater(t, scanned, i)
			}
		}
		require.Equal(t, want, rows)
	}
	mustClose(t, r)
}

func TestNoticeOfAnError(t *testing.T) {
	q := newFake(t, "t=3")
	cause := q.failAt("row t/3")
	r := snapshot.Initial(q, nil, snapshot.Options{BatchRows: 1, Notices: true, Connector: "s"})
	got, _, err := traceOf(t, r)
	require.ErrorIs(t, err, cause)
	require.Equal(t, "STARTED", got[0])
	require.Equal(t, "ABORTED", got[len(got)-1])
	require.Equal(t, 1, strings.Count(strings.Join(got, " "), "ABORTED"))
	mustClose(t, r)
}

// blockingWindows takes blocking snapshots of fakes.
type blockingWindows struct {
	modelWindows
	fake func() *fakeQuerier
}

func (w *blockingWindows) Blocking(_ context.Context, _ []*snapshot.Part, _ func(capture.Progress)) (capture.Reader, error) {
	return snapshot.Initial(w.fake(), nil, snapshot.Options{BatchRows: 1, Notices: true, Connector: "s"}), nil
}

// A blocking snapshot tells its phases among its rows, and the stream waits. A restart at any position before the end tells
// all again with all rows, one at the end nothing.
func TestNoticesOfABlockingSnapshot(t *testing.T) {
	whole := []string{"STARTED", "IN_PROGRESS t", "t/1", "t/2", "TABLE_SCAN_COMPLETED t 2", "COMPLETED"}
	open := func(from change.Position, signals chan capture.Signal) capture.Reader {
		r, err := snapshot.OnDemand(&modelStream{m: &model{}}, &blockingWindows{fake: func() *fakeQuerier { return newFake(t, "t=2") }}, snapshot.DemandOptions{
			Name: "s", From: from, At: position(0), Signals: signals, Notices: true,
		})
		require.NoError(t, err)
		return r
	}
	signals := make(chan capture.Signal, 1)
	signals <- capture.Signal{ID: "b", Type: "execute-snapshot", Data: `{"data-collections":["public.t"],"type":"blocking"}`}
	r := open("", signals)
	var got []string
	var ends []change.Position
	for len(got) == 0 || got[len(got)-1] != "COMPLETED" {
		var b change.Batch
		require.NoError(t, r.Next(t.Context(), &b))
		if lines := trace(&b); len(lines) > 0 {
			got, ends = append(got, lines...), append(ends, b.End)
		}
	}
	mustClose(t, r)
	require.Equal(t, whole, got)
	for i, end := range ends {
		r := open(end, nil)
		got = nil
		for range 10 {
			var b change.Batch
			require.NoError(t, r.Next(t.Context(), &b))
			got = append(got, trace(&b)...)
		}
		mustClose(t, r)
		if i == len(ends)-1 {
			require.Empty(t, got)
		} else {
			require.Equal(t, whole, got)
		}
	}
}

// Notices of windows lie between the rows. A restart at any position tells the rest; only a window that is read again is
// told again.
func TestNoticesOfWindowsOverRestarts(t *testing.T) {
	demand := func(from change.Position, first ...*snapshot.Job) capture.Reader {
		var p struct{ N int }
		if from != "" {
			require.NoError(t, json.Unmarshal([]byte(from), &p))
		}
		m := &model{log: []modelChange{{change.Update, 3}}, schedule: []int{0}, initial: map[int]int{1: 0, 2: 0, 3: 0}}
		r, err := snapshot.OnDemand(&modelStream{m: m, next: p.N}, &modelWindows{m: m}, snapshot.DemandOptions{
			Name: "s", From: from, At: position(p.N), Rows: 2, Notices: true, First: first,
		})
		require.NoError(t, err)
		return r
	}
	run := func(r capture.Reader, batches int) (got []string, ends []change.Position) {
		for range batches {
			var b change.Batch
			require.NoError(t, r.Next(t.Context(), &b))
			for _, line := range trace(&b) {
				if strings.Contains(line, ": ") {
					got = append(got, line)
				}
			}
			ends = append(ends, b.End)
		}
		mustClose(t, r)
		return got, ends
	}
	whole, ends := run(demand("", &snapshot.Job{ID: "j", Parts: []*snapshot.Part{{Table: modelTable.ID}}}), 20)
	require.Equal(t, []string{"j: STARTED", "j: IN_PROGRESS public.t", "j: IN_PROGRESS public.t", "j: TABLE_SCAN_COMPLETED public.t 3", "j: COMPLETED"}, whole)
	seen := 0
	r := demand("", &snapshot.Job{ID: "j", Parts: []*snapshot.Part{{Table: modelTable.ID}}})
	for _, end := range ends {
		var b change.Batch
		require.NoError(t, r.Next(t.Context(), &b))
		seen += len(b.Notices)
		rest, _ := run(demand(end), 20)
		require.GreaterOrEqual(t, len(rest), len(whole)-seen)
		require.LessOrEqual(t, len(rest), len(whole)-seen+1)
		require.Equal(t, strings.Join(whole[seen:], ","), strings.Join(rest[len(rest)-(len(whole)-seen):], ","))
		for _, again := range rest[:len(rest)-(len(whole)-seen)] {
			require.Equal(t, "j: IN_PROGRESS public.t", again)
		}
	}
	mustClose(t, r)
}
