// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"os"
	osexec "os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/change"
)

const benchTable = `create schema bench;
create table bench.orders(id bigint primary key, customer_id int not null, status text not null, amount numeric(12,2) not null,
  currency char(3) not null, created_at timestamptz not null, updated_at timestamp not null, note varchar(200), active boolean not null, payload jsonb);`

const benchInsert = `insert into bench.orders select b*1000+g, g%5000, 'NEW', (g*1.25)::numeric(12,2), 'EUR', timestamptz '2026-01-01'+ g*interval '1 s',
  timestamp '2026-01-01'+g*interval '1 s', 'note for row number '||g||' with some padding text', g%2=0,
  jsonb_build_object('sku','A-'||g,'qty',g%7,'tags',array['x','y']) from generate_series(1,1000) g, (select $1::int) as x(b)`

// BenchmarkStream reads the inserts of b.N transactions of 1,000 rows that wait in the slot. FRESHET_RECVLOGICAL names
// pg_recvlogical, whose rate on the same rows is then printed beside it.
func BenchmarkStream(b *testing.B) {
	f := newFixture(b, "snapshot.mode", "no_data")
	f.Exec(b, benchTable)
	f.open("").close() // makes slot and publication
	f.Exec(b, `select pg_create_logical_replication_slot('`+f.Database+`_x', 'pgoutput')`)
	conn := f.Connect(b)
	for i := range b.N {
		_, err := conn.Exec(b.Context(), benchInsert, i)
		require.NoError(b, err)
	}
	limit := 0.0
	if program := os.Getenv("FRESHET_RECVLOGICAL"); program != "" {
		end := f.Text(b, `select pg_current_wal_lsn()`)
		began := time.Now()
		cmd := osexec.CommandContext(b.Context(), program, "-d", f.DSN(), "-S", f.Database+"_x", "--start", "-f", "/dev/null", "-o", "proto_version=1",
			"-o", "publication_names=pub_"+f.Database, "--endpos", end)
		out, err := cmd.CombinedOutput()
		require.NoError(b, err, "%s", out)
		limit = float64(1000*b.N) / time.Since(began).Seconds()
	}
	b.ReportAllocs()
	var before, after syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &before))
	b.ResetTimer()
	s := f.open("")
	batches := 0
	var batch change.Batch
	for n := 0; n < 1000*b.N; batches++ {
		ctx, cancel := context.WithTimeout(b.Context(), deadline)
		require.NoError(b, s.r.Next(ctx, &batch))
		cancel()
		n += len(batch.Changes)
		batch.Reset()
	}
	b.StopTimer()
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &after))
	cpu := func(r syscall.Rusage) float64 {
		return float64(r.Utime.Sec+r.Stime.Sec) + float64(r.Utime.Usec+r.Stime.Usec)/1e6
	}
	rows := float64(1000 * b.N)
	b.ReportMetric(limit, "recvlogical-rows/s")
	b.ReportMetric(rows/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric((cpu(after)-cpu(before))*1e6/rows, "cpu-µs/row")
	b.ReportMetric(rows/float64(batches), "rows/batch")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLatency is the time from before the commit of a one-row transaction, 2,000 a second, to its arrival.
func BenchmarkLatency(b *testing.B) {
	f := newFixture(b, "snapshot.mode", "no_data")
	f.Exec(b, `create table a(id bigint primary key, sent bigint)`)
	s := f.open("")
	conn := f.Connect(b)
	writer := make(chan error, 1)
	ctx := b.Context()
	b.ResetTimer()
	go func() {
		began := time.Now()
		for i := range b.N {
			for time.Since(began) < time.Duration(i)*500*time.Microsecond { // a steady rate
			}
			if _, err := conn.Exec(ctx, `insert into a values ($1,$2)`, i, time.Now().UnixMicro()); err != nil {
				writer <- err
				return
			}
		}
		writer <- nil
	}()
	micros := make([]float64, 0, b.N)
	var batch change.Batch
	for len(micros) < b.N {
		wait, cancel := context.WithTimeout(ctx, deadline)
		require.NoError(b, s.r.Next(wait, &batch))
		cancel()
		now := time.Now().UnixMicro()
		for i := range batch.Changes {
			micros = append(micros, float64(now-batch.At(batch.Changes[i].After, 1).Int()))
		}
		batch.Reset()
	}
	b.StopTimer()
	require.NoError(b, <-writer)
	slices.Sort(micros)
	b.ReportMetric(micros[len(micros)/2], "p50-µs")
	b.ReportMetric(micros[len(micros)*99/100], "p99-µs")
	b.ReportMetric(micros[len(micros)-1], "max-µs")
	b.ReportMetric(0, "ns/op")
}
