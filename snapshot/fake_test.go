// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"freshet/capture"
	"freshet/change"
	"freshet/schema"
	"freshet/snapshot"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The positions of fakeQuerier.
const (
	inside = change.Position(`{"snapshot":"inside"}`)
	behind = change.Position(`{"snapshot":"behind"}`)
)

// fakeQuerier is a database of tables with numbered rows. It fails the test that breaks a Querier's contract.
type fakeQuerier struct {
	t      testing.TB
	tables []fakeTable
	// block, if not 0, is how many rows a chunk holds at most; holes puts an empty chunk before and after each.
	block int
	holes bool
	// again, if not nil, says before which rows ("t/3") a session begins its chunk once more.
	again func(row string) bool
	// fail, if not nil, is asked before every step: "tables", "chunks t", "session 2", "row t/3", "close session", "close".
	fail func(step string) error

	finished []string // chunks, as "t 0-2", in the order of Finished

	mu       sync.Mutex // guards all below
	steps    []string
	sessions int // open now
	opened   int
	closed   int
}

type fakeTable struct {
	*schema.Table
	rows       int
	multiplier int
}

// newTables makes tables of "t=2 u=0".
func newTables(list string) []fakeTable {
	var out []fakeTable
	for item := range strings.FieldsSeq(list) {
		name, n, _ := strings.Cut(item, "=")
		rows, err := strconv.Atoi(n)
		if err != nil {
			panic(err)
		}
		int64Type := &schema.Type{Kind: schema.Int64}
		columns := []schema.Column{{Name: "id", Type: int64Type}, {Name: "v", Type: &schema.Type{Kind: schema.String}}}
		out = append(out, fakeTable{&schema.Table{ID: schema.ID{Name: name}, Key: columns[:1], Columns: columns}, rows, 0})
	}
	return out
}

func newFake(t testing.TB, list string) *fakeQuerier {
	return &fakeQuerier{t: t, tables: newTables(list)}
}

// failAt fails at one step.
func (q *fakeQuerier) failAt(step string) error {
	err := fmt.Errorf("broken at %s", step)
	q.fail = func(s string) error {
		if s == step {
			return err
		}
		return nil
	}
	return err
}

func (q *fakeQuerier) step(ctx context.Context, name string) error {
	q.mu.Lock()
	q.steps = append(q.steps, name)
	q.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if q.fail == nil {
		return nil
	}
	return q.fail(name)
}

func (q *fakeQuerier) Tables(ctx context.Context) ([]snapshot.Table, error) {
	if err := q.step(ctx, "tables"); err != nil {
		return nil, err
	}
	out := []snapshot.Table{}
	for _, t := range q.tables {
		out = append(out, snapshot.Table{Table: t.Table, Estimated: int64(t.rows), Multiplier: t.multiplier})
	}
	return out, nil
}

// Chunks divides by row number, as evenly as it goes; there may be empty chunks, as in a real database.
func (q *fakeQuerier) Chunks(ctx context.Context, t snapshot.Table, n int) ([]snapshot.Chunk, error) {
	if err := q.step(ctx, "chunks "+t.ID.Name); err != nil {
		return nil, err
	}
	rows := q.rows(t.Table)
	if q.block > 0 {
		n = max(n, (rows+q.block-1)/q.block)
	}
	var out []snapshot.Chunk
	add := func(from, to int) {
		out = append(out, snapshot.Chunk{Table: t.Table, Part: fmt.Sprintf("%d-%d", from, to)})
	}
	for i := range n {
		from, to := rows*i/n, rows*(i+1)/n
		if q.holes {
			add(from, from)
		}
		add(from, to)
		if q.holes {
			add(to, to)
		}
	}
	return out, nil
}

// Finished notes the chunk; positions stay as they are.
func (q *fakeQuerier) Finished(c snapshot.Chunk) {
	q.finished = append(q.finished, c.Table.ID.Name+" "+c.Part)
}

func (q *fakeQuerier) rows(t *schema.Table) int {
	i := slices.IndexFunc(q.tables, func(f fakeTable) bool { return f.Table == t })
	require.GreaterOrEqual(q.t, i, 0, "an unknown table")
	return q.tables[i].rows
}

func (q *fakeQuerier) Session(ctx context.Context) (snapshot.Session, error) {
	q.mu.Lock()
	q.opened++
	n := q.opened
	q.mu.Unlock()
	if err := q.step(ctx, fmt.Sprintf("session %d", n)); err != nil {
		return nil, err
	}
	q.mu.Lock()
	q.sessions++
	q.mu.Unlock()
	return &fakeSession{q: q}, nil
}

func (q *fakeQuerier) Position(completed bool) change.Position {
	if completed {
		return behind
	}
	return inside
}

func (q *fakeQuerier) Close(ctx context.Context) error {
	q.mu.Lock()
	sessions := q.sessions
	q.closed++
	q.mu.Unlock()
	if sessions != 0 {
		q.t.Errorf("closed with %d sessions open", sessions)
	}
	return q.step(ctx, "close")
}

// requireClosed expects that everything was closed, once.
func (q *fakeQuerier) requireClosed() {
	q.t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	require.Zero(q.t, q.sessions, "sessions left open")
	require.Equal(q.t, 1, q.closed, "querier closed")
}

type fakeSession struct {
	q      *fakeQuerier
	source change.Row
}

func (s *fakeSession) Read(ctx context.Context, c snapshot.Chunk, rows *snapshot.Rows) error {
	from, to := 0, s.q.rows(c.Table)
	if c.Part != "" {
		if _, err := fmt.Sscanf(c.Part, "%d-%d", &from, &to); err != nil {
			return err
		}
	}
	for i := from + 1; i <= to; i++ {
		row := fmt.Sprintf("%s/%d", c.Table.ID.Name, i)
		if err := s.q.step(ctx, "row "+row); err != nil {
			return err
		}
		if s.q.again != nil && s.q.again(row) {
			rows.Again()
			return s.Read(ctx, c, rows)
		}
		b, err := rows.Batch(ctx)
		if err != nil {
			return err
		}
		if len(b.Changes) == 0 {
			s.source = b.NewRow(1)
			b.Set(s.source, 0, change.IntValue(42))
		}
		key, after := b.NewRow(1), b.NewRow(2)
		b.Set(key, 0, change.IntValue(int64(i)))
		b.Set(after, 0, change.IntValue(int64(i)))
		b.Set(after, 1, b.Text(c.Table.ID.Name))
		rows.Add(change.Change{Table: c.Table, Key: key, After: after, Source: s.source})
	}
	return nil
}

func (s *fakeSession) Close(ctx context.Context) error {
	s.q.mu.Lock()
	s.q.sessions--
	s.q.mu.Unlock()
	return s.q.step(ctx, "close session")
}

// taken is what a Reader yielded.
type taken struct {
	rows []string          // "t/3 true"
	ends []change.Position // of each batch
	err  error             // that ended it
}

// take reads until the end of the snapshot or an error.
func take(t testing.TB, r capture.Reader) taken {
	t.Helper()
	var out taken
	var b change.Batch
	for {
		b.Reset()
		if out.err = r.Next(t.Context(), &b); out.err != nil {
			return out
		}
		out.add(t, &b)
		if b.End != inside {
			return out
		}
	}
}

// add notes a batch, and checks that its rows belong together.
func (o *taken) add(t testing.TB, b *change.Batch) {
	t.Helper()
	o.ends = append(o.ends, b.End)
	for _, c := range b.Changes {
		require.Equal(t, change.Read, c.Op)
		require.Equal(t, int64(42), b.At(c.Source, 0).Int(), "source block of another batch")
		require.Equal(t, c.Table.ID.Name, b.String(b.At(c.After, 1)), "row of another table")
		require.Equal(t, b.At(c.Key, 0), b.At(c.After, 0))
		o.rows = append(o.rows, fmt.Sprintf("%s/%d %s", c.Table.ID.Name, b.At(c.Key, 0).Int(), c.Snapshot))
	}
}

func mustClose(t testing.TB, r capture.Reader) {
	t.Helper()
	require.NoError(t, r.Close(context.Background()))
}

var errBroken = errors.New("broken")
