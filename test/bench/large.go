// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

// insertAtOnce inserts $1 rows in one transaction.
const insertAtOnce = `insert into bench.orders select g, g%5000, 'NEW', (g%1000*1.25)::numeric(12,2), 'EUR',
timestamptz '2026-01-01'+ g*interval '1 s', timestamp '2026-01-01'+g*interval '1 s', 'note for row number '||g||' with some padding text', g%2=0,
jsonb_build_object('sku','A-'||g,'qty',g%7,'tags',array['x','y']) from generate_series(1,$1::bigint) g`

// insertWide inserts $1 rows of $2 characters that do not compress well.
const insertWide = `insert into bench.orders select g, 1, repeat(md5(g::text), $2::int/32), 0, 'EUR', now(), now(), null, true, null from generate_series(1,$1::bigint) g`

// large is W5: one transaction ten times as large as the other workloads together, and rows of 1 MB and of 64 MB.
func (b *bench) large(ctx context.Context) error {
	for _, v := range []struct {
		name, what, insert string
		rows               int
		args               []any
	}{
		{"w5_transaction", fmt.Sprintf("one transaction of %d rows", 10*b.rows), insertAtOnce, 10 * b.rows, []any{10 * b.rows}},
		{"w5_1mb", "200 rows of 1 MB", insertWide, 200, []any{200, 1 << 20}},
		{"w5_64mb", "4 rows of 64 MB", insertWide, 4, []any{4, 64 << 20}},
	} {
		if err := b.largeVariant(ctx, v.name, v.what, v.insert, v.rows, v.args); err != nil {
			return err
		}
	}
	return nil
}

// largeVariant stops a connector, makes the changes, and measures from resume to the last record.
func (b *bench) largeVariant(ctx context.Context, name, what, insert string, rows int, args []any) error {
	w, c, err := b.streaming(ctx, name, table, nil)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	w.patience = 30 * time.Minute
	if _, err := w.call("PUT", "/connectors/"+name+"/stop", nil); err != nil {
		return err
	}
	if _, err := c.Exec(ctx, insert, args...); err != nil {
		return err
	}
	before, start := w.cpu(), time.Now()
	if _, err := w.call("PUT", "/connectors/"+name+"/resume", nil); err != nil {
		return err
	}
	if err := w.topicReaches(ctx, name+".bench.orders", rows); err != nil {
		return err
	}
	b.results = append(b.results, result{Workload: "W5", What: what, Unit: "events/s", Ours: []float64{rate(rows, start)}})
	cpu := w.cpu() - before
	_, rss, err := w.stop()
	b.usage(float64(cpu.Microseconds())/float64(rows), rss)
	return err
}

// streaming starts a worker whose connector streams from a database of its own in which setup was executed.
func (b *bench) streaming(ctx context.Context, name, setup string, settings map[string]string) (*worker, *pgx.Conn, error) {
	c, err := b.database(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if _, err := c.Exec(ctx, setup); err != nil {
		return nil, nil, err
	}
	w, err := b.start(ctx, filepath.Join(b.dir, name))
	if err != nil {
		return nil, nil, err
	}
	cfg := b.source(name, name, map[string]string{"snapshot.mode": "no_data"})
	maps.Copy(cfg, settings)
	if err := w.put(name, cfg); err != nil {
		return nil, nil, err
	}
	return w, c, b.slotActive(ctx, w, c, name)
}
