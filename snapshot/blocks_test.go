// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/change"
	"freshet/snapshot"
)

// trackingQuerier has positions that say which chunks are finished.
type trackingQuerier struct{ *fakeQuerier }

func (q trackingQuerier) Position(completed bool) change.Position {
	if completed {
		return behind
	}
	return change.Position("inside " + strings.Join(q.finished, ","))
}

// TestAChunkIsFinishedWithItsLastRow: at every position that a batch ends at, all rows of the chunks that the position
// calls finished have been handed out by then (I1), and no chunk is left out for ever.
func TestAChunkIsFinishedWithItsLastRow(t *testing.T) {
	for _, threads := range []int{1, 3} {
		for _, rows := range []int{1, 3, 4, 100} {
			t.Run(fmt.Sprintf("threads %d, batches of %d", threads, rows), func(t *testing.T) {
				q := trackingQuerier{newFake(t, "t=10 u=0 v=7")}
				q.block, q.holes = 3, true
				r := snapshot.Initial(q, nil, snapshot.Options{BatchRows: rows, Threads: threads})
				out := map[string]bool{}
				var b change.Batch
				finished, positions := 0, map[change.Position]bool{}
				for b.End != behind {
					b.Reset()
					require.NoError(t, r.Next(t.Context(), &b))
					for _, c := range b.Changes {
						out[fmt.Sprintf("%s/%d", c.Table.ID.Name, b.At(c.Key, 0).Int())] = true
					}
					positions[b.End] = true
					for _, chunk := range q.finished[finished:] {
						var from, to int
						name, part, _ := strings.Cut(chunk, " ")
						_, err := fmt.Sscanf(part, "%d-%d", &from, &to)
						require.NoError(t, err)
						for i := from + 1; i <= to; i++ {
							require.True(t, out[fmt.Sprintf("%s/%d", name, i)], "%s is called finished", chunk)
						}
					}
					finished = len(q.finished)
				}
				mustClose(t, r)
				require.Len(t, out, 17)
				if rows == 1 {
					require.GreaterOrEqual(t, len(positions), 7, "blocks of three rows, batches of one")
				}
			})
		}
	}
}

// TestCommitInsideOfTheSnapshot: whatever the positions inside of it are, the stream hears of none.
func TestCommitInsideOfTheSnapshot(t *testing.T) {
	q := trackingQuerier{newFake(t, "t=6 u=2")}
	q.block = 1
	stream := &countingStream{Reader: snapshot.Idle()}
	r := snapshot.Initial(q, stream, snapshot.Options{BatchRows: 1})
	var ends []change.Position
	var b change.Batch
	for b.End != behind {
		b.Reset()
		require.NoError(t, r.Next(t.Context(), &b))
		ends = append(ends, b.End)
	}
	for _, p := range ends {
		require.NoError(t, r.Commit(t.Context(), p))
		require.NoError(t, r.Commit(t.Context(), p), "once more")
	}
	require.Equal(t, []change.Position{behind, behind}, stream.commits)
	mustClose(t, r)
}

type countingStream struct {
	capture.Reader
	commits []change.Position
}

func (s *countingStream) Commit(_ context.Context, p change.Position) error {
	s.commits = append(s.commits, p)
	return nil
}

// TestBlocksAreReadInOrderByOneSession, and their progress is told.
func TestBlocksAreReadInOrderByOneSession(t *testing.T) {
	q := newFake(t, "t=10")
	q.block = 3
	var last capture.Progress
	r := snapshot.Initial(q, nil, snapshot.Options{BatchRows: 4, Progress: func(p capture.Progress) {
		require.GreaterOrEqual(t, p.BlocksDone, last.BlocksDone)
		last = p
	}})
	got := take(t, r)
	mustClose(t, r)
	require.NoError(t, got.err)
	require.Equal(t, "t/1 first t/2 true t/3 true t/4 true t/5 true t/6 true t/7 true t/8 true t/9 true t/10 last", strings.Join(got.rows, " "))
	require.Equal(t, []int{4, 4}, []int{last.BlocksDone, last.Blocks})
	require.True(t, last.Done)
}

// TestMultiplierOfATable divides one table otherwise than the rest.
func TestMultiplierOfATable(t *testing.T) {
	q := newFake(t, "t=10 u=10")
	q.tables[1].multiplier = 5
	blocks := map[string]int{}
	r := snapshot.Initial(q, nil, snapshot.Options{Multiplier: 2, Progress: func(p capture.Progress) { blocks[p.Table.Name] = p.Blocks }})
	require.NoError(t, take(t, r).err)
	mustClose(t, r)
	require.Equal(t, map[string]int{"t": 2, "u": 5}, blocks)
}

// TestRowsThatComeAgain: a chunk that is read from its beginning once more keeps its markers, and its rows are counted
// once.
func TestRowsThatComeAgain(t *testing.T) {
	q := newFake(t, "t=3 u=4")
	broken := false
	q.again = func(row string) bool {
		if row != "u/3" || broken {
			return false
		}
		broken = true
		return true
	}
	var last capture.Progress
	r := snapshot.Initial(q, nil, snapshot.Options{BatchRows: 1, Progress: func(p capture.Progress) {
		if p.Table == last.Table {
			require.GreaterOrEqual(t, p.Rows, last.Rows)
		}
		last = p
	}})
	got := take(t, r)
	mustClose(t, r)
	require.NoError(t, got.err)
	require.Equal(t, "t/1 first,t/2 true,t/3 last_in_data_collection,u/1 first_in_data_collection,u/2 true,u/1 true,u/2 true,u/3 true,u/4 last",
		strings.Join(got.rows, ","))
	require.Equal(t, int64(4), last.Rows)
}
