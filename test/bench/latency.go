// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	latencyRate    = 2000 // transactions a second
	latencySeconds = 20
)

// latency is W3: single-row transactions at a steady rate; commit → readable in the topic, and commit → committed in the
// target. The first is the reader's wall clock less the commit time in the event, the second the difference of the two
// commit timestamps of the one server that holds both databases.
func (b *bench) latency(ctx context.Context) error {
	c, err := b.database(ctx, "w3")
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	t, err := b.database(ctx, "w3_target")
	if err != nil {
		return err
	}
	defer t.Close(ctx)
	if _, err := c.Exec(ctx, table); err != nil {
		return err
	}
	w, err := b.start(ctx, filepath.Join(b.dir, "w3"))
	if err != nil {
		return err
	}
	if err := w.put("w3", b.source("w3", "w3", map[string]string{"snapshot.mode": "no_data"})); err != nil {
		return err
	}
	if err := b.slotActive(ctx, w, c, "w3"); err != nil {
		return err
	}
	if _, err := c.Exec(ctx, insertBatch, -1); err != nil { // the topic exists, the paths are warm
		return err
	}
	from, n := 0, latencyRate*latencySeconds
	if b.peer != nil { // as the peer does it: there is no sink yet
		if err := w.topicReaches(ctx, "w3.bench.orders", 1000); err != nil {
			return err
		}
		before := w.cpu()
		topic, err := b.kafkaLatency(ctx, c, "w3.bench.orders", n)
		if err != nil {
			return err
		}
		b.quantiles("commit → readable in the topic", topic)
		b.usage(float64((w.cpu()-before).Microseconds())/float64(n), w.peakMB())
		from = n
	}
	if err := w.put("w3-sink", b.target("w3_target", "w3.bench.orders")); err != nil {
		return err
	}
	if err := w.until(ctx, "the sink to have the first rows", func() (bool, error) {
		var have int
		err := t.QueryRow(ctx, "select coalesce((select n_live_tup from pg_stat_user_tables where relname = 'orders'), 0)").Scan(&have)
		return have >= from+1000, err
	}); err != nil {
		return err
	}
	before := w.cpu()
	if b.peer == nil {
		topic, err := b.topicLatency(ctx, w, c, n)
		if err != nil {
			return err
		}
		b.quantiles("commit → readable in the topic", topic)
	} else if err := b.write(ctx, c, from, n); err != nil {
		return err
	}
	target, err := b.targetLatency(ctx, w, c, t, from, n)
	if err != nil {
		return err
	}
	b.quantiles("commit → committed in the target", target)
	cpu, rss, err := w.stop()
	b.usage(float64((cpu-before).Microseconds())/float64(n), rss)
	if err != nil || b.peer == nil {
		return err
	}
	if err := b.peer.dropTopics(ctx, "w3"); err != nil || b.alone {
		return err
	}
	return b.peerLatency(ctx)
}

// quantiles adds lines with the median, the 99th percentile and the largest of x, in ms.
func (b *bench) quantiles(what string, x []float64) {
	slices.Sort(x)
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50", 0.5}, {"p99", 0.99}, {"max", 1}} {
		b.results = append(b.results, result{Workload: "W3", What: what + ", " + q.name, Unit: "ms", Ours: []float64{x[int(q.at*float64(len(x)-1))]}})
	}
}

// topicLatency writes n rows at the rate while it reads them from the topic, and returns the latencies in ms.
func (b *bench) topicLatency(ctx context.Context, w *worker, c *pgx.Conn, n int) ([]float64, error) {
	res, err := http.Get(w.url + "/freshet/topics/w3.bench.orders/records") //nolint:bodyclose // closed below, and by late
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	measured := make(chan []float64, 1)
	failed := make(chan error, 1)
	go func() {
		out, err := b.arrivals(bufio.NewReaderSize(res.Body, 1<<20), n)
		measured <- out
		failed <- err
	}()
	if err := b.write(ctx, c, 0, n); err != nil {
		return nil, err
	}
	// What was written before the reader had joined is not counted.
	late := time.AfterFunc(2*time.Second, func() { res.Body.Close() })
	defer late.Stop()
	out := <-measured
	if err := <-failed; err != nil && len(out) < n*99/100 {
		return nil, fmt.Errorf("read the topic, %d of %d events: %w", len(out), n, err)
	}
	return out, nil
}

// arrivals reads n events and returns how long after its commit each came, in ms.
func (b *bench) arrivals(lines *bufio.Reader, n int) ([]float64, error) {
	var out []float64
	for len(out) < n {
		line, err := lines.ReadSlice('\n')
		now := time.Now()
		if err != nil {
			return out, err
		}
		micros, err := sourceMicros(line)
		if err != nil {
			return out, err
		}
		out = append(out, float64(now.UnixMicro()-micros)/1000)
	}
	return out, nil
}

// sourceMicros finds the commit time in an event: the first ts_us of its payload belongs to the source block.
func sourceMicros(line []byte) (int64, error) {
	_, payload, _ := bytes.Cut(line, []byte(`"payload":{"before"`))
	_, rest, ok := bytes.Cut(payload, []byte(`"ts_us":`))
	if !ok {
		return 0, fmt.Errorf("no ts_us in %.200s", line)
	}
	return strconv.ParseInt(string(rest[:bytes.IndexByte(rest, ',')]), 10, 64)
}

// write commits n single-row transactions at the rate; it catches up when it was late.
func (b *bench) write(ctx context.Context, c *pgx.Conn, from, n int) error {
	start := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := 0; i < n; {
		<-tick.C
		for due := int(time.Since(start).Seconds() * latencyRate); i < min(due, n); i++ {
			if _, err := c.Exec(ctx, `insert into bench.orders values ($1, 1, 'NEW', 1.25, 'EUR', now(), now(), 'latency', true, '{"a":1}')`, from+i+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// targetLatency waits for the target and compares commit timestamps.
func (b *bench) targetLatency(ctx context.Context, w *worker, c, t *pgx.Conn, from, n int) ([]float64, error) {
	if err := w.until(ctx, "the target to have all rows", func() (bool, error) {
		var have int
		err := t.QueryRow(ctx, "select count(*) from orders where id > $1", from).Scan(&have)
		return have >= n, err
	}); err != nil {
		return nil, err
	}
	const query = "select id, extract(epoch from pg_xact_commit_timestamp(xmin))::float8 * 1000 from %s where id > $1 order by id"
	read := func(c *pgx.Conn, table string) (out []float64, err error) {
		rows, err := c.Query(ctx, fmt.Sprintf(query, table), from)
		if err != nil {
			return nil, err
		}
		var id int64
		var at float64
		_, err = pgx.ForEachRow(rows, []any{&id, &at}, func() error { out = append(out, at); return nil })
		return out, err
	}
	source, err := read(c, "bench.orders")
	if err != nil {
		return nil, err
	}
	target, err := read(t, "orders")
	if err != nil {
		return nil, err
	}
	for i := range target {
		target[i] -= source[i]
	}
	return target, nil
}
