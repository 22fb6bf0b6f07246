// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"freshet/internal/testdb"
)

const (
	writerCount = 3
	mostSignals = 4 // of a writer: windows that nobody has time for show nothing
)

// writers change the source, each within keys of its own, so that they never wait for one another's rows; their
// transactions overlap all the same. Three of ten are rolled back.
type writers struct {
	cancel context.CancelFunc
	group  *errgroup.Group
	failed chan error
	// deletes lets rows go away: by DELETE, by a changed key, by TRUNCATE.
	deletes atomic.Bool
}

// writer is one of them.
type writer struct {
	*shape
	number int
	rnd    *rand.Rand
	keys   []int
	fresh  int // the next key that was never used
	all    *writers
}

func startWriters(t *testing.T, source *testdb.Server, seed uint64, s *shape) *writers {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &writers{cancel: cancel, group: &errgroup.Group{}, failed: make(chan error, writerCount)}
	w.deletes.Store(deletesInSnapshot)
	for i := range writerCount {
		c := source.Connect(t)
		one := &writer{shape: s, number: i, rnd: rand.New(rand.NewPCG(seed, uint64(100+i))), keys: owned(i, s.hot), fresh: 1_000_000 + i, all: w}
		w.group.Go(func() error {
			err := one.run(ctx, c)
			if err != nil {
				w.failed <- err
			}
			return err
		})
	}
	t.Cleanup(func() { cancel(); _ = w.group.Wait() })
	return w
}

// run runs transactions until ctx ends. A transaction under way is finished.
func (w *writer) run(ctx context.Context, c *pgx.Conn) error {
	work := context.WithoutCancel(ctx)
	pace := time.NewTicker(4 * time.Millisecond)
	defer pace.Stop()
	for signals := 0; ctx.Err() == nil; {
		<-pace.C
		var err error
		if w.truncates && w.all.deletes.Load() && w.rnd.IntN(60) == 0 {
			_, err = c.Exec(work, "truncate moves")
		} else {
			err = w.transaction(work, c)
		}
		if err == nil && w.windows && signals < mostSignals && w.all.deletes.Load() && w.rnd.IntN(80) == 0 {
			signals++
			_, err = c.Exec(work, `insert into signals values (gen_random_uuid(), 'execute-snapshot', '{"data-collections":["public.counters","public.moves"]}')`)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) transaction(ctx context.Context, c *pgx.Conn) error {
	tx, err := c.Begin(ctx)
	if err != nil {
		return err
	}
	abort := w.rnd.IntN(10) < 3
	for range 1 + w.rnd.IntN(8) {
		if err := w.change(ctx, tx, abort); err != nil {
			return err
		}
		if w.rnd.IntN(8) == 0 { // a savepoint that is rolled back leaves no trace either
			if _, err := tx.Exec(ctx, "savepoint s"); err != nil {
				return err
			}
			if err := w.change(ctx, tx, true); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "rollback to s"); err != nil {
				return err
			}
		}
	}
	if abort {
		return tx.Rollback(ctx)
	}
	return tx.Commit(ctx)
}

// note is a text for a row; some are kept outside of the row.
func (w *writer) note(tagged bool) string {
	text := fmt.Sprintf("w%d %d ", w.number, w.rnd.IntN(1000))
	if tagged {
		text = aborted
	}
	return text + strings.Repeat("é'\"\\", w.rnd.IntN(3)*700)
}

// change makes one change. A tagged one will be rolled back.
func (w *writer) change(ctx context.Context, tx pgx.Tx, tagged bool) error {
	id, note := w.keys[w.rnd.IntN(len(w.keys))], w.note(tagged)
	var err error
	n := w.rnd.IntN(20)
	if n >= 12 && n < 16 && !w.all.deletes.Load() {
		n = 16
	}
	switch {
	case n < 7: // the note stays, and is not sent where it is long; of a tagged one too, so that nothing tells
		if tagged {
			_, err = tx.Exec(ctx, "update counters set n = n + 1, note = $2 where id = $1", id, note)
		} else {
			_, err = tx.Exec(ctx, "update counters set n = n + 1 where id = $1", id)
		}
	case n < 10:
		_, err = tx.Exec(ctx, "update counters set n = n + 1, note = $2 where id = $1", id, note)
	case n < 12:
		_, err = tx.Exec(ctx, "insert into counters values ($1, 1, $2) on conflict do nothing", id, note)
	case n < 13:
		_, err = tx.Exec(ctx, "delete from counters where id = $1", id)
	case n < 15:
		to := w.keys[w.rnd.IntN(len(w.keys))]
		_, err = tx.Exec(ctx, "update moves set id = $2, n = n + 1, note = $3 where id = $1 and not exists (select from moves where id = $2)", id, to, note)
	case n < 16:
		_, err = tx.Exec(ctx, "delete from moves where id = $1", id)
	case n < 18:
		_, err = tx.Exec(ctx, "insert into moves values ($1, 1, $2) on conflict (id) do update set n = moves.n + 1, note = $2", id, note)
	default:
		err = w.copy(ctx, tx, note)
	}
	return err
}

// copy adds rows that share one LSN.
func (w *writer) copy(ctx context.Context, tx pgx.Tx, note string) error {
	rows := make([][]any, 2+w.rnd.IntN(6))
	for i := range rows {
		rows[i] = []any{w.fresh, 1, note}
		w.fresh += writerCount
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"moves"}, []string{"id", "n", "note"}, pgx.CopyFromRows(rows))
	return err
}

// more waits until so many more transactions are committed.
func (w *writers) more(t *testing.T, db *testdb.Server, n int64) {
	t.Helper()
	const query = "select count(*) from history.commits"
	var from, now int64
	db.QueryRow(t, query, &from)
	for tick := time.NewTicker(10 * time.Millisecond); now < from+n; db.QueryRow(t, query, &now) {
		select {
		case err := <-w.failed:
			require.NoError(t, err)
		case <-tick.C:
		}
	}
}

func (w *writers) stop(t *testing.T) {
	t.Helper()
	w.cancel()
	require.NoError(t, w.group.Wait())
}
