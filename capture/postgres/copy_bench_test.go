// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/internal/testdb"
	"freshet/snapshot"
)

// ordersSQL makes the table of the benchmarks, with rows rows.
const ordersSQL = `create table orders(id bigint primary key, customer_id int not null, status text not null, amount numeric(12,2) not null,
  currency char(3) not null, created_at timestamptz not null, updated_at timestamp not null, note varchar(200), active boolean not null, payload jsonb);
insert into orders select g, g%5000, 'NEW', (g*1.25)::numeric(12,2), 'EUR', timestamptz '2026-01-01'+ g*interval '1 s',
  timestamp '2026-01-01'+g*interval '1 s', 'note for row number '||g||' with some padding text', g%2=0,
  jsonb_build_object('sku','A-'||g,'qty',g%7,'tags',array['x','y']) from generate_series(1,300000) g; analyze orders`

// BenchmarkSnapshot reads the table of the benchmarks: from the server to batches that nobody encodes.
func BenchmarkSnapshot(b *testing.B) {
	s := testdb.Postgres(b)
	s.Exec(b, ordersSQL)
	for _, threads := range []string{"1", "2"} {
		b.Run("threads="+threads, func(b *testing.B) {
			o := serverOptions(b, s, map[string]string{"snapshot.max.threads": threads})
			b.ReportAllocs()
			rows := 0
			for b.Loop() {
				q := newTestCopier(b, o, snapshotState{}, slog.New(slog.DiscardHandler))
				r := snapshot.Initial(q, nil, snapshot.Options{Threads: o.SnapshotThreads})
				var batch change.Batch
				for done := false; !done; {
					batch.Reset()
					require.NoError(b, r.Next(b.Context(), &batch))
					rows += len(batch.Changes)
					done = batch.End == q.Position(true)
				}
				require.NoError(b, r.Close(context.Background()))
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
