// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/capture/capturetest"
	"freshet/change"
	"freshet/snapshot"
)

// TestMarkers plays the cases of testdata/markers.txt with batches of every size.
func TestMarkers(t *testing.T) {
	text, err := os.ReadFile("testdata/markers.txt")
	require.NoError(t, err)
	cases := strings.Split(strings.TrimSpace(string(text)), "\n\n")[1:] // the first block says what this is
	for _, c := range cases {
		lines := append(strings.Split(c, "\n"), "")
		name, tables, want := lines[0], lines[1], lines[min(2, len(lines)-1):len(lines)-1]
		for _, rows := range []int{1, 2, 3, 2048} {
			for _, block := range []int{0, 1, 2} {
				t.Run(fmt.Sprintf("%s/batches of %d/blocks of %d", name, rows, block), func(t *testing.T) {
					q := newFake(t, tables)
					q.block, q.holes = block, block > 0
					r := snapshot.Initial(q, nil, snapshot.Options{BatchRows: rows})
					got := take(t, r)
					mustClose(t, r)
					q.requireClosed()
					require.NoError(t, got.err)
					require.Equal(t, strings.Join(want, "\n"), strings.Join(got.rows, "\n"))
				})
			}
		}
	}
}

func TestPositionsHandOver(t *testing.T) {
	stream := capturetest.Play(capturetest.Step{End: "s1"}, capturetest.Step{Err: errBroken})
	r := snapshot.Initial(newFake(t, "t=5 u=1"), stream, snapshot.Options{BatchRows: 2})
	got := take(t, r)
	require.NoError(t, got.err)
	require.Equal(t, []change.Position{inside, inside, behind}, got.ends)

	// Nothing was committed so far, and the stream goes on all the same (I7).
	var b change.Batch
	require.NoError(t, r.Next(t.Context(), &b))
	require.Equal(t, change.Position("s1"), b.End)
	require.ErrorIs(t, r.Next(t.Context(), &b), errBroken)

	for _, p := range []change.Position{inside, behind, "s1"} {
		require.NoError(t, r.Commit(t.Context(), p))
	}
	require.Equal(t, []change.Position{behind, "s1"}, stream.Commits(), "positions inside of the snapshot mean nothing to the stream")
	mustClose(t, r)
	mustClose(t, r)
	require.Equal(t, 1, stream.Closed())
}

func TestCommitBeforeTheEndIsKeptFromTheStream(t *testing.T) {
	stream := capturetest.Play()
	r := snapshot.Initial(newFake(t, "t=5"), stream, snapshot.Options{BatchRows: 1})
	require.NoError(t, r.Commit(t.Context(), inside))
	var b change.Batch
	require.NoError(t, r.Next(t.Context(), &b))
	require.NoError(t, r.Commit(t.Context(), b.End))
	require.Empty(t, stream.Commits())
	mustClose(t, r)
	require.Equal(t, 1, stream.Closed())
}

func TestEmptySnapshotIsRemembered(t *testing.T) {
	for _, tables := range []string{"", "t=0"} {
		r := snapshot.Initial(newFake(t, tables), capturetest.Play(capturetest.Step{End: "s1"}), snapshot.Options{})
		got := take(t, r)
		require.NoError(t, got.err)
		require.Empty(t, got.rows)
		require.Equal(t, []change.Position{behind}, got.ends)
		mustClose(t, r)
	}
}

func TestWithoutStreamNextBlocks(t *testing.T) {
	r := snapshot.Initial(newFake(t, "t=1"), nil, snapshot.Options{})
	require.NoError(t, take(t, r).err)
	ctx, cancel := context.WithCancel(t.Context())
	blocked := make(chan error, 1)
	go func() { blocked <- r.Next(ctx, &change.Batch{}) }()
	cancel()
	require.ErrorIs(t, <-blocked, context.Canceled)
	unread, undurable := r.(capture.Lagger).Lag()
	require.Equal(t, []int64{-1, -1}, []int64{unread, undurable})
	mustClose(t, r)
}

// TestErrorsAreFinal fails at every step that a snapshot has.
func TestErrorsAreFinal(t *testing.T) {
	const tables, rows = "t=3 u=2", 2
	for _, threads := range []int{1, 2} {
		o := snapshot.Options{BatchRows: rows, Threads: threads}
		probe := newFake(t, tables)
		r := snapshot.Initial(probe, nil, o)
		require.NoError(t, take(t, r).err)
		mustClose(t, r)
		steps := slices.Compact(slices.Sorted(slices.Values(probe.steps)))
		require.Contains(t, steps, "row u/2")
		for _, step := range steps {
			t.Run(fmt.Sprintf("%d threads/%s", threads, step), func(t *testing.T) {
				q := newFake(t, tables)
				cause := q.failAt(step)
				stream := capturetest.Play(capturetest.Step{End: "s1"})
				r := snapshot.Initial(q, stream, o)
				got := take(t, r)
				require.ErrorIs(t, got.err, cause)
				if kind, table, _ := strings.Cut(step, " "); kind == "row" || kind == "chunks" {
					require.ErrorContains(t, got.err, strconv.Quote(strings.Split(table, "/")[0]), "the error names the table")
				}
				require.NotContains(t, got.ends, behind)
				if threads == 1 && step == "row u/2" {
					require.Len(t, got.rows, 2, "a batch that was full comes before the error")
				}
				again := take(t, r)
				require.ErrorIs(t, again.err, cause)
				require.Empty(t, again.rows)
				mustClose(t, r)
				q.requireClosed()
				require.Equal(t, 1, stream.Closed())
			})
		}
	}
}

// TestCanceledNextLosesNothing cancels before every Next.
func TestCanceledNextLosesNothing(t *testing.T) {
	r := snapshot.Initial(newFake(t, "t=7 u=2"), nil, snapshot.Options{BatchRows: 2})
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	var got taken
	for len(got.ends) == 0 || got.ends[len(got.ends)-1] != behind {
		var b change.Batch
		err := r.Next(canceled, &b)
		if err == nil {
			got.add(t, &b)
			continue
		}
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, r.Next(t.Context(), &b))
		got.add(t, &b)
	}
	require.Len(t, got.rows, 9)
	require.Equal(t, "u/2 last", got.rows[8])
	mustClose(t, r)
}

// TestCloseAtEveryStep closes after n batches, with sessions that are blocked because nobody reads on.
func TestCloseAtEveryStep(t *testing.T) {
	for _, threads := range []int{1, 3} {
		for n := range 12 {
			q := newFake(t, "t=10 u=2")
			r := snapshot.Initial(q, nil, snapshot.Options{BatchRows: 1, Threads: threads})
			for range n {
				require.NoError(t, r.Next(t.Context(), &change.Batch{}))
			}
			mustClose(t, r)
			q.requireClosed()
		}
	}
}

func TestCloseEndsAWaitingSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newFake(t, "t=1")
		r := snapshot.Initial(q, nil, snapshot.Options{Delay: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		next := make(chan error)
		go func() { next <- r.Next(ctx, &change.Batch{}) }()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-next, context.Canceled)
		mustClose(t, r)
		require.Empty(t, slices.DeleteFunc(q.steps, func(s string) bool { return s == "close" }), "nothing was asked during the delay")
	})
}

func TestCloseGivesUpWithItsContext(t *testing.T) {
	q := newFake(t, "t=1")
	entered, leave := make(chan struct{}), make(chan struct{})
	q.fail = func(step string) error {
		if step == "row t/1" { // a server that does not answer
			close(entered)
			<-leave
		}
		return nil
	}
	stream := capturetest.Play()
	r := snapshot.Initial(q, stream, snapshot.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-entered; cancel() }()
	require.ErrorIs(t, r.Next(ctx, &change.Batch{}), context.Canceled)
	err := r.Close(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "stop the snapshot")
	require.Equal(t, 1, stream.Closed())
	close(leave)
}

func TestDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := capturetest.Play(capturetest.Step{End: "s1"})
		r := snapshot.Initial(newFake(t, "t=1"), stream, snapshot.Options{Delay: time.Minute, StreamDelay: time.Hour})
		start := time.Now()
		require.NoError(t, take(t, r).err)
		require.Equal(t, time.Minute, time.Since(start))
		var b change.Batch
		require.NoError(t, r.Next(t.Context(), &b))
		require.Equal(t, time.Hour+time.Minute, time.Since(start))
		mustClose(t, r)
	})
}

func TestCloseBeforeNext(t *testing.T) {
	q := newFake(t, "t=1")
	stream := capturetest.Play()
	r := snapshot.Initial(q, stream, snapshot.Options{})
	mustClose(t, r)
	mustClose(t, r)
	q.requireClosed()
	require.Equal(t, 1, stream.Closed())
}

func TestThreadsReadEachRowOnce(t *testing.T) {
	tests := []struct {
		name     string
		o        snapshot.Options
		sessions int
		chunks   bool
		first    bool
	}{
		{"chunks", snapshot.Options{Threads: 3}, 3, true, true},
		{"more chunks than threads", snapshot.Options{Threads: 2, Multiplier: 4}, 2, true, true},
		{"chunks on one thread", snapshot.Options{Threads: 1, Multiplier: 3}, 1, true, true},
		{"whole tables", snapshot.Options{Threads: 4, WholeTables: true}, 4, false, false},
		{"one thread", snapshot.Options{Threads: 1, WholeTables: true}, 1, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := newFake(t, "a=100 b=37 c=0 d=64 e=1")
			tt.o.BatchRows = 5
			r := snapshot.Initial(q, nil, tt.o)
			got := take(t, r)
			require.NoError(t, got.err)
			mustClose(t, r)
			require.Equal(t, tt.sessions, q.opened)
			require.Equal(t, tt.chunks, slices.ContainsFunc(q.steps, func(s string) bool { return strings.HasPrefix(s, "chunks") }))

			marks, ids := map[string]int{}, map[string]bool{}
			for _, row := range got.rows {
				id, mark, _ := strings.Cut(row, " ")
				ids[id] = true
				marks[mark]++
			}
			require.Len(t, ids, 202)
			require.Len(t, got.rows, 202)
			require.Equal(t, 1, marks["last"])
			require.True(t, strings.HasSuffix(got.rows[201], " last"))
			require.LessOrEqual(t, marks["first"], 1)
			if !tt.first {
				require.Zero(t, marks["first"])
			}
			require.LessOrEqual(t, marks["first_in_data_collection"], 4)
			require.LessOrEqual(t, marks["last_in_data_collection"], 4)
		})
	}
}

// TestBackPressure: a snapshot that nobody reads stops after a bounded number of batches.
func TestBackPressure(t *testing.T) {
	var rows atomic.Int64
	q := newFake(t, "t=1000")
	q.fail = func(step string) error {
		if strings.HasPrefix(step, "row") {
			rows.Add(1)
		}
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		q.t = t
		r := snapshot.Initial(q, nil, snapshot.Options{BatchRows: 1})
		require.NoError(t, r.Next(t.Context(), &change.Batch{}))
		synctest.Wait()
		require.Less(t, rows.Load(), int64(8))
		mustClose(t, r)
	})
}

func TestLargeRowsEndABatch(t *testing.T) {
	r := snapshot.Initial(newFake(t, "t=10"), nil, snapshot.Options{BatchBytes: 1})
	got := take(t, r)
	require.NoError(t, got.err)
	require.Len(t, got.ends, 10)
	mustClose(t, r)
}

func TestProgress(t *testing.T) {
	for _, threads := range []int{1, 3} {
		last, calls := map[string]capture.Progress{}, 0
		r := snapshot.Initial(newFake(t, "a=10 b=0 c=1"), nil, snapshot.Options{BatchRows: 2, Threads: threads, Progress: func(p capture.Progress) {
			require.GreaterOrEqual(t, p.Rows, last[p.Table.Name].Rows)
			require.False(t, last[p.Table.Name].Done, "progress after the end")
			last[p.Table.Name] = p
			calls++
		}})
		require.NoError(t, take(t, r).err)
		mustClose(t, r)
		require.Greater(t, calls, 3)
		for name, rows := range map[string]int64{"a": 10, "b": 0, "c": 1} {
			p := last[name]
			require.Equal(t, []int64{rows, rows}, []int64{p.Rows, p.Estimated}, name)
			require.True(t, p.Done, name)
		}
	}
}

func TestErrorOfTheDatabaseKeepsItsBehaviour(t *testing.T) {
	q := newFake(t, "t=1")
	q.fail = func(step string) error {
		if step == "row t/1" {
			return permanent{}
		}
		return nil
	}
	r := snapshot.Initial(q, nil, snapshot.Options{})
	var e interface{ Retriable() bool }
	require.ErrorAs(t, take(t, r).err, &e)
	require.False(t, e.Retriable())
	mustClose(t, r)
}

type permanent struct{}

func (permanent) Error() string   { return "permanent" }
func (permanent) Retriable() bool { return false }

func TestConformance(t *testing.T) {
	capturetest.Run(t, func(t *testing.T) capturetest.Fixture {
		table := newTables("s=0")[0].Table
		const streamed = 4
		return capturetest.Fixture{
			Changes: 7 + streamed,
			Repeats: func(p change.Position) bool { return p == inside },
			Open: func(t testing.TB, from change.Position) capture.Reader {
				done, err := strconv.Atoi(string(from))
				if err != nil {
					done = 0
				}
				var steps []capturetest.Step
				for i := done + 1; i <= streamed; i++ {
					steps = append(steps, capturetest.Step{End: change.Position(strconv.Itoa(i)), Fill: func(b *change.Batch) {
						after := b.NewRow(2)
						b.Set(after, 0, change.IntValue(int64(i)))
						b.Set(after, 1, b.Text("streamed"))
						b.Changes = append(b.Changes, change.Change{Table: table, Op: change.Create, After: after})
					}})
				}
				stream := capturetest.Play(steps...)
				stream.Endless = true
				if from != "" && from != inside {
					return stream
				}
				return snapshot.Initial(newFake(t, "t=5 u=2"), stream, snapshot.Options{BatchRows: 2})
			},
		}
	})
}
