// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"freshet/internal/mysqlserver"
)

// snapshot is W2: a snapshot of a million rows, in one table and in 32.
func (b *bench) snapshot(ctx context.Context) error {
	c, err := b.database(ctx, "w2")
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, table); err != nil {
		return err
	}
	if err := b.fill(ctx, c, 0); err != nil {
		return err
	}
	if _, err := c.Exec(ctx, "vacuum analyze bench.orders"); err != nil {
		return err
	}
	for _, v := range []struct {
		what     string
		settings map[string]string
	}{{fmt.Sprintf("%d rows, one table, JSON with schemas", b.rows), nil}, {"the same, JSON without schemas", noSchemas}} {
		round := 0
		var cpu time.Duration
		var rss float64
		ours := func() (r float64, err error) {
			round++
			name := fmt.Sprintf("w2_%d_%d", len(v.settings), round)
			if b.peer != nil {
				defer func() { err = errors.Join(err, b.peer.dropTopics(ctx, name)) }()
			}
			r, cpu, rss, err = b.snapshotOnce(ctx, name, v.settings)
			return r, err
		}
		limit := func() (float64, error) {
			start := time.Now()
			err := b.client(ctx, nil, "psql", "w2", "-q", "-o", "/dev/null", "-c", "copy bench.orders to stdout")
			return rate(b.rows, start), err
		}
		res := result{Workload: "W2", What: v.what, Unit: "rows/s", Limit: "COPY TO STDOUT"}
		if b.peer == nil {
			err = b.add(res, ours, limit)
		}
		for i := 0; i < b.peers() && err == nil; i++ {
			more := merged(tunings[i].settings, v.settings)
			res.Limit = tunings[i].name
			n := 0
			err = b.measured(res, b.rows, ours, func() (float64, error) {
				n++
				return b.peerSnapshot(ctx, fmt.Sprintf("w2_peer%d_%d_%d", i, len(v.settings), n), more)
			})
			if err == nil {
				b.usage(float64(cpu.Microseconds())/float64(b.rows), rss)
			}
		}
		if err != nil {
			return err
		}
		b.usage(float64(cpu.Microseconds())/float64(b.rows), rss)
	}
	return nil
}

func (b *bench) snapshotOnce(ctx context.Context, name string, settings map[string]string) (float64, time.Duration, float64, error) {
	data := filepath.Join(b.dir, name)
	w, err := b.start(ctx, data)
	if err != nil {
		return 0, 0, 0, err
	}
	cfg := b.source("w2", name, map[string]string{"slot.drop.on.stop": "true", "snapshot.max.threads": "2"})
	maps.Copy(cfg, settings)
	start := time.Now()
	if err := w.put(name, cfg); err != nil {
		return 0, 0, 0, err
	}
	if err := w.topicReaches(ctx, name+".bench.orders", b.rows); err != nil {
		return 0, 0, 0, err
	}
	r := rate(b.rows, start)
	if _, err := w.call(http.MethodPut, "/connectors/"+name+"/stop", nil); err != nil {
		return 0, 0, 0, err
	}
	cpu, rss, err := w.stop()
	os.RemoveAll(data)
	return r, cpu, rss, err
}

// sink is W4: a topic of a million creates, then one of mixed changes, into an empty target.
func (b *bench) sink(ctx context.Context) error {
	c, err := b.database(ctx, "w4")
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	w, err := b.fillTopics(ctx, c)
	if err != nil {
		return err
	}
	export := filepath.Join(b.dir, "orders.copy")
	if err := b.client(ctx, nil, "psql", "w4", "-q", "-c", `\copy bench.orders_kept to '`+export+`'`); err != nil {
		return err
	}
	round := 0
	for _, v := range []struct {
		what, topic string
		limit       bool
	}{{fmt.Sprintf("%d creates into an empty table", b.rows), "w4.bench.orders", true}, {fmt.Sprintf("%d mixed: 50 %% update, 40 %% insert, 10 %% delete", b.rows), "w4.bench.mixed", false}} {
		var cpu time.Duration
		ours := func() (float64, error) {
			round++
			before := w.cpu()
			r, err := b.apply(ctx, w, fmt.Sprintf("w4_t%d", round), v.topic, nil)
			cpu = w.cpu() - before
			return r, err
		}
		r := result{Workload: "W4", What: v.what, Unit: "records/s"}
		switch {
		case b.peer != nil:
			r.Limit = "Debezium's JDBC sink"
			err = b.measured(r, b.rows, ours, func() (float64, error) { return b.peerApply(ctx, fmt.Sprintf("w4_peer%d", round), v.topic) })
		case v.limit:
			r.Limit = "COPY + ON CONFLICT"
			err = b.add(r, ours, func() (float64, error) { return b.copyUpsert(ctx, c, export) })
		default:
			err = b.add(r, ours, nil)
		}
		if err != nil {
			return err
		}
		b.usage(float64(cpu.Microseconds())/float64(b.rows), w.peakMB())
	}
	if b.peer == nil {
		for _, kind := range []mysqlserver.Kind{mysqlserver.MySQL, mysqlserver.MariaDB} {
			if err := b.mysqlSink(ctx, w, kind); err != nil {
				return err
			}
		}
	}
	_, _, err = w.stop()
	if b.peer != nil {
		err = errors.Join(err, b.peer.dropTopics(ctx, "w4"))
	}
	return err
}

// fillTopics captures a million creates, and a million mixed changes over 200,000 keys, into two topics.
func (b *bench) fillTopics(ctx context.Context, c *pgx.Conn) (*worker, error) {
	for _, sql := range []string{table, "create table bench.mixed (like bench.orders including all)"} {
		if _, err := c.Exec(ctx, sql); err != nil {
			return nil, err
		}
	}
	w, err := b.start(ctx, filepath.Join(b.dir, "w4"))
	if err != nil {
		return nil, err
	}
	if err := w.put("w4", b.source("w4", "w4", map[string]string{"snapshot.mode": "no_data", "tombstones.on.delete": "false"})); err != nil {
		return nil, err
	}
	if err := b.slotActive(ctx, w, c, "w4"); err != nil {
		return nil, err
	}
	if err := b.fill(ctx, c, 0); err != nil {
		return nil, err
	}
	if _, err := c.Exec(ctx, "create table bench.orders_kept as table bench.orders"); err != nil {
		return nil, err
	}
	// Each transaction inserts 400 new rows, updates the 500 newest and deletes the 100 oldest.
	insert := strings.Replace(strings.Replace(insertBatch, "bench.orders", "bench.mixed", 1), "generate_series(1,1000)", "generate_series($2::int,$3::int)", 1)
	for i := range b.rows / 1000 {
		batch := &pgx.Batch{}
		batch.Queue(insert, i, 1, 400)
		batch.Queue("update bench.mixed set status = 'SENT', updated_at = updated_at + interval '1 s' where id in (select id from bench.mixed order by id desc limit 500)")
		batch.Queue("delete from bench.mixed where id in (select id from bench.mixed where id < $1 order by id limit 100)", int64(i)*1000)
		if err := c.SendBatch(ctx, batch).Close(); err != nil {
			return nil, err
		}
	}
	if err := w.topicReaches(ctx, "w4.bench.orders", b.rows); err != nil {
		return nil, err
	}
	if err := w.topicReaches(ctx, "w4.bench.mixed", b.rows*99/100); err != nil {
		return nil, err
	}
	// A new process, so that the memory measured is the sink's and not that of the capture before it.
	if _, err := w.call(http.MethodDelete, "/connectors/w4", nil); err != nil {
		return nil, err
	}
	if _, _, err := w.stop(); err != nil {
		return nil, err
	}
	return b.start(ctx, filepath.Join(b.dir, "w4"))
}

// apply runs a sink over a topic until the target has all of it.
func (b *bench) apply(ctx context.Context, w *worker, database, topic string, settings map[string]string) (float64, error) {
	c, err := b.database(ctx, database)
	if err != nil {
		return 0, err
	}
	defer c.Close(ctx)
	n, err := w.end(topic)
	if err != nil {
		return 0, err
	}
	want := fmt.Sprintf(`"kafka_offset":%d`, n)
	start := time.Now()
	if err := w.put(database, merged(b.target(database, topic), settings)); err != nil {
		return 0, err
	}
	if err := w.until(ctx, "the sink to apply "+topic, func() (bool, error) {
		if b.peer != nil { // the group in Kafka says the same for both
			at, err := b.peer.committed(ctx, "connect-"+database, topic)
			return at >= n, err
		}
		out, err := w.call(http.MethodGet, "/connectors/"+database+"/offsets", nil)
		return strings.Contains(strings.ReplaceAll(string(out), " ", ""), want), err
	}); err != nil {
		return 0, err
	}
	r := rate(n, start)
	_, err = w.call(http.MethodDelete, "/connectors/"+database, nil)
	return r, err
}

// copyUpsert is the limit of W4: the same rows by COPY into a temporary table, then INSERT … ON CONFLICT.
func (b *bench) copyUpsert(ctx context.Context, c *pgx.Conn, export string) (float64, error) {
	if _, err := c.Exec(ctx, "drop table if exists copied; create table copied (like bench.orders including all)"); err != nil {
		return 0, err
	}
	start := time.Now()
	err := b.client(ctx, nil, "psql", "w4", "-q", "-c", "create temporary table incoming (like copied)", "-c", `\copy incoming from '`+export+`'`,
		"-c", "insert into copied select * from incoming on conflict (id) do update set status = excluded.status, payload = excluded.payload")
	return rate(b.rows, start), err
}

// replicate is W8: a whole database into an empty one, by one command.
func (b *bench) replicate(ctx context.Context) error {
	c, err := b.database(ctx, "w8")
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, table); err != nil {
		return err
	}
	if err := b.fill(ctx, c, 0); err != nil {
		return err
	}
	round := 0
	var cpu time.Duration
	var rss float64
	ours := func() (float64, error) {
		round++
		name := fmt.Sprintf("w8_t%d", round)
		t, err := b.database(ctx, name)
		if err != nil {
			return 0, err
		}
		defer t.Close(ctx)
		var stderr strings.Builder
		cmd := exec.CommandContext(ctx, b.binary, "replicate", "--once", "--from", b.dsn("w8"), "--to", b.dsn(name), "--data", filepath.Join(b.dir, name))
		cmd.Stderr = &stderr
		start := time.Now()
		if err := cmd.Run(); err != nil {
			return 0, fmt.Errorf("replicate: %w: %s", err, stderr.String())
		}
		r := rate(b.rows, start)
		cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		rss = float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) / 1024
		var n int
		if err := t.QueryRow(ctx, "select count(*) from bench.orders").Scan(&n); err != nil {
			return 0, err
		}
		if n != b.rows {
			return 0, fmt.Errorf("the target has %d rows of %d", n, b.rows)
		}
		return r, nil
	}
	// The pipe ends in a database of its own: a second table in the source would be replicated in the next round.
	piped, err := b.database(ctx, "w8_piped")
	if err != nil {
		return err
	}
	defer piped.Close(ctx)
	if _, err := piped.Exec(ctx, table); err != nil {
		return err
	}
	limit := func() (float64, error) {
		if _, err := piped.Exec(ctx, "truncate bench.orders"); err != nil {
			return 0, err
		}
		start := time.Now()
		err := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", fmt.Sprintf(
			`psql -q -d %q -c "copy bench.orders to stdout" | psql -q -d %q -c "copy bench.orders from stdin"`, b.dsn("w8"), b.dsn("w8_piped"))).Run()
		return rate(b.rows, start), err
	}
	if err := b.add(result{Workload: "W8", What: fmt.Sprintf("replicate --once, %d rows", b.rows), Unit: "rows/s", Limit: "COPY into COPY"}, ours, limit); err != nil {
		return err
	}
	b.usage(float64(cpu.Microseconds())/float64(b.rows), rss)
	return nil
}
