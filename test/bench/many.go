// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	manyTables  = 2000
	rowsOfTable = 10
)

// createMany makes the tables of W6, a hundred a transaction, each with its rows.
const createMany = `do $$ begin for t in %d..%d loop
execute format('create table bench.t%%s(id bigint primary key, customer_id int not null, status text not null, amount numeric(12,2) not null, created_at timestamptz not null)', t);
execute format('insert into bench.t%%s select g, g, ''NEW'', g*1.25, now() from generate_series(1,%d) g', t);
end loop; end $$`

// many is W6: a snapshot of 2,000 small tables, then a row into each of them.
func (b *bench) many(ctx context.Context) error {
	c, err := b.database(ctx, "w6")
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, "create schema bench"); err != nil {
		return err
	}
	for t := 1; t <= manyTables; t += 100 {
		if _, err := c.Exec(ctx, fmt.Sprintf(createMany, t, t+99, rowsOfTable)); err != nil {
			return err
		}
	}
	w, err := b.start(ctx, filepath.Join(b.dir, "w6"))
	if err != nil {
		return err
	}
	w.patience = 10 * time.Minute
	start := time.Now()
	if err := w.put("w6", b.source("w6", "w6", nil)); err != nil {
		return err
	}
	if err := w.recordsReach(ctx, "w6.bench.t", manyTables*rowsOfTable); err != nil {
		return err
	}
	b.seconds("W6", fmt.Sprintf("snapshot of %d tables of %d rows, from the request that makes the connector", manyTables, rowsOfTable), start)
	if err := b.slotActive(ctx, w, c, "w6"); err != nil {
		return err
	}
	start = time.Now()
	if err := rowIntoEach(ctx, c); err != nil {
		return err
	}
	if err := w.recordsReach(ctx, "w6.bench.t", manyTables*(rowsOfTable+1)); err != nil {
		return err
	}
	b.seconds("W6", fmt.Sprintf("a row into each of the %d tables, from the first commit", manyTables), start)
	_, rss, err := w.stop()
	b.usage(0, rss)
	return err
}

// rowIntoEach commits a row in each table, all sent at once.
func rowIntoEach(ctx context.Context, c *pgx.Conn) error {
	var s strings.Builder
	for t := range manyTables {
		fmt.Fprintf(&s, "begin; insert into bench.t%d values (0, 0, 'NEW', 0, now()); commit;", t+1)
	}
	_, err := c.PgConn().Exec(ctx, s.String()).ReadAll()
	return err
}

// recordsReach waits until the topics with a prefix have n records together.
func (w *worker) recordsReach(ctx context.Context, prefix string, n int) error {
	return w.until(ctx, fmt.Sprintf("%d records in %s…", n, prefix), func() (bool, error) {
		out, err := w.call(http.MethodGet, "/freshet/topics", nil)
		if err != nil {
			return false, err
		}
		var topics []struct {
			Topic      string
			Partitions []struct{ End int }
		}
		if err := json.Unmarshal(out, &topics); err != nil {
			return false, err
		}
		have := 0
		for _, t := range topics {
			if strings.HasPrefix(t.Topic, prefix) {
				have += t.Partitions[0].End
			}
		}
		return have >= n, nil
	})
}

// seconds adds a line with the time since start.
func (b *bench) seconds(workload, what string, start time.Time) {
	b.results = append(b.results, result{Workload: workload, What: what, Unit: "s", Ours: []float64{time.Since(start).Seconds()}})
}
