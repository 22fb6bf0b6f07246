// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"freshet/internal/testdb"
)

// aborted is in every row of a transaction that is rolled back: nobody may ever see it.
const aborted = "never committed"

// writers count rows up, each within keys of its own, and roll back three transactions of ten.
type writers struct {
	cancel context.CancelFunc
	group  *errgroup.Group
	failed chan error
}

func startWriters(t *testing.T, source *testdb.Server, seed int64) *writers {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &writers{cancel: cancel, group: &errgroup.Group{}, failed: make(chan error, 3)}
	for i := range 3 {
		c := source.Connect(t)
		rnd := rand.New(rand.NewPCG(uint64(seed), uint64(100+i)))
		w.group.Go(func() error {
			err := write(ctx, c, i, rnd)
			if err != nil {
				w.failed <- err
			}
			return err
		})
	}
	t.Cleanup(func() { cancel(); _ = w.group.Wait() })
	return w
}

// write runs transactions until ctx ends. A transaction under way is finished.
func write(ctx context.Context, c *pgx.Conn, writer int, rnd *rand.Rand) error {
	for ctx.Err() == nil {
		if err := transaction(context.WithoutCancel(ctx), c, writer, rnd); err != nil {
			return err
		}
	}
	return nil
}

func transaction(ctx context.Context, c *pgx.Conn, writer int, rnd *rand.Rand) error {
	tx, err := c.Begin(ctx)
	if err != nil {
		return err
	}
	abort := rnd.IntN(10) < 3
	note := "ok"
	if abort {
		note = aborted
	}
	for range 1 + rnd.IntN(8) {
		id := writer + 3*rnd.IntN(1000)
		if id == 0 {
			id = 3000
		}
		if _, err := tx.Exec(ctx, "update counters set n = n + 1, note = $2 where id = $1 and writer = $3", id, note, writer); err != nil {
			return err
		}
		if rnd.IntN(10) == 0 { // a savepoint that is rolled back leaves no trace either
			if _, err := tx.Exec(ctx, "savepoint s; update counters set n = n + 1000000, note = '"+aborted+"' where writer = "+string(rune('0'+writer))+" and id < 30; rollback to s"); err != nil {
				return err
			}
		}
	}
	if abort {
		return tx.Rollback(ctx)
	}
	return tx.Commit(ctx)
}

func (w *writers) stop(t *testing.T) {
	t.Helper()
	w.cancel()
	require.NoError(t, w.group.Wait())
}
