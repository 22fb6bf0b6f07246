// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/capture"
	"freshet/connect"
	"freshet/internal/testdb"
)

// plainJSON are converters without schemas.
var plainJSON = properties{
	"key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
	"key.converter.schemas.enable": "false", "value.converter.schemas.enable": "false",
}

// taskAt is the number of the worker that runs the task of the source, as another one tells it, -1 where that is none.
func taskAt(t *testing.T, workers []*worker, asked *worker) int {
	t.Helper()
	return taskIn(t, workers, asked, sourceName, connect.Running)
}

// taskIn is the number of the worker that has the task of a connector in a state.
func taskIn(t *testing.T, workers []*worker, asked *worker, name string, state connect.State) int {
	t.Helper()
	code, answer := asked.ask(t, "GET", "/connectors/"+name+"/status", nil)
	var s connect.Status
	if code != http.StatusOK || json.Unmarshal([]byte(answer), &s) != nil || len(s.Tasks) != 1 || s.Tasks[0].State != state {
		return -1
	}
	return slices.IndexFunc(workers, func(w *worker) bool { return strings.TrimPrefix(w.url, "http://") == s.Tasks[0].WorkerID })
}

// TestSnapshotMovesToAnotherWorker kills the worker of a group that reads a table while the table changes, and that was asked for
// another snapshot: the next worker finishes the one, and begins the other. Every row is there, and changes of a row are in order.
func TestSnapshotMovesToAnotherWorker(t *testing.T) {
	t.Parallel()
	const rows = 20_000
	source := testdb.Postgres(t)
	source.Exec(t, fmt.Sprintf("%s create table others(id int primary key); insert into items select g, 0, 'old' from generate_series(1, %d) g; insert into others select g from generate_series(1, 100) g", itemsDDL, rows))
	c := newCluster(t, testdb.Kafka(t).Address())
	c.more = plainJSON
	workers := []*worker{c.start(t), c.start(t)}
	workers[0].do(t, "PUT", "/connectors/"+sourceName+"/config", sourceConfig(source).with(properties{
		"topic.prefix": c.group, "snapshot.mode": "no_data", "incremental.snapshot.chunk.size": "50",
		"topic.creation.default.partitions": "3", "topic.creation.default.replication.factor": "1",
	}))
	where := func(asked *worker) int { return taskAt(t, workers, asked) }
	waitFor(t, "the task to run", func() bool { return where(workers[0]) >= 0 && where(workers[0]) == where(workers[1]) })
	workers[0].awaitSlot(t, source, "t")
	at := where(workers[0])
	runs, next := workers[at], workers[1-at]
	job := func(w *worker, id string) (j capture.SnapshotJob) {
		code, answer := w.ask(t, "GET", "/connectors/"+sourceName+"/snapshots/"+id, nil)
		if code == http.StatusOK {
			require.NoError(t, json.Unmarshal([]byte(answer), &j))
		}
		return j
	}
	stop := changing(t, source, rows)
	defer stop()
	next.do(t, "POST", "/connectors/"+sourceName+"/snapshots", map[string]any{"id": "whole", "tables": []string{"public.items"}})
	waitFor(t, "a part of the table to be read", func() bool { return job(runs, "whole").Rows > rows/20 })
	next.do(t, "POST", "/connectors/"+sourceName+"/snapshots", map[string]any{"id": "later", "tables": []string{"public.others"}})
	require.Equal(t, "queued", job(runs, "later").State)
	require.Equal(t, "running", job(runs, "whole").State)
	runs.kill(t)
	waitFor(t, "the other worker to run it", func() bool { return where(next) == 1-at })
	for _, id := range []string{"whole", "later"} {
		waitFor(t, "snapshot "+id, func() bool { return job(next, id).State == "completed" })
	}
	stop()

	last, seen := map[string]int{}, map[string]bool{}
	reads := map[string]bool{}
	want := source.Text(t, "select sum(n) from items")
	sum := 0
	waitFor(t, "the last change to arrive", func() bool {
		clear(last)
		clear(seen)
		for _, r := range c.committed(t, c.group+".public.items") {
			var e struct {
				Op    string
				After struct{ ID, N int }
			}
			require.NoError(t, json.Unmarshal(r.Value, &e))
			key, change := string(r.Key), fmt.Sprintf("%s/%d", r.Key, e.After.N)
			require.True(t, seen[change] || last[key] <= e.After.N, "%s is after %d for the first time", change, last[key])
			seen[change], last[key] = true, e.After.N
			reads[key] = reads[key] || e.Op == "r"
		}
		sum = 0
		for _, n := range last {
			sum += n
		}
		return fmt.Sprint(sum) == want
	})
	require.Len(t, last, rows, "every row is there")
	t.Logf("%d rows were read, %d came by their changes alone", len(reads), rows-len(reads))
	others := map[string]bool{}
	for _, r := range c.committed(t, c.group+".public.others") {
		others[string(r.Key)] = true
	}
	require.Len(t, others, 100)
	next.stop(t)
}

// TestInitialSnapshotMovesToAnotherWorker kills the worker of a group that reads the first snapshot of a table in blocks, in the
// middle: the broker takes its records slowly, and one block at least is in its position. The next worker goes on behind the
// finished blocks. In the end the topic tells the table as it is, though it changed meanwhile.
func TestInitialSnapshotMovesToAnotherWorker(t *testing.T) {
	t.Parallel()
	const rows, blocks = 20_000, 40
	source := testdb.Postgres(t)
	source.Exec(t, fmt.Sprintf("%s insert into items select g, 0, repeat('x', 500) from generate_series(1, %d) g; analyze items", itemsDDL, rows))
	c := newCluster(t, testdb.Kafka(t).Address())
	c.more = plainJSON
	quota := c.quota(t, c.group, 512<<10)
	workers := []*worker{c.start(t), c.start(t)}
	workers[0].do(t, "PUT", "/connectors/"+sourceName+"/config", sourceConfig(source).with(properties{
		"topic.prefix": c.group, "snapshot.max.threads.multiplier": strconv.Itoa(blocks), "max.batch.size": "100", "max.queue.size": "200",
		"producer.override.client.id": c.group, "producer.override.batch.size": "65536", "producer.override.compression.type": "none", "topic.creation.default.partitions": "3", "topic.creation.default.replication.factor": "1",
	}))
	var position string
	waitFor(t, "a finished block in the position", func() bool {
		position = c.position(t)
		return strings.Contains(position, `"pages":[[`)
	})
	at := -1
	waitFor(t, "its worker to be known", func() bool {
		at = taskAt(t, workers, workers[0])
		return at >= 0 && at == taskAt(t, workers, workers[1])
	})
	runs, next := workers[at], workers[1-at]
	source.Exec(t, "update items set n = 1, note = 'changed' where id % 100 = 7; delete from items where id % 1000 = 8; insert into items select g, 1, 'new' from generate_series(1000001, 1000050) g")
	runs.kill(t)
	killed := len(c.committed(t, c.group+".public.items"))
	require.Less(t, killed, rows, "the snapshot was over")
	require.Contains(t, c.position(t), `"pages":[[`, "it is in the middle of the table")
	source.Exec(t, "update items set n = n + 1 where id % 100 = 9; delete from items where id % 1000 = 10; update items set id = id + 2000000 where id % 1000 = 11")
	quota(0)
	waitFor(t, "the other worker to run it", func() bool { return taskAt(t, workers, next) == 1-at })
	waitFor(t, "the snapshot to end", func() bool {
		position = c.position(t)
		return position != "" && !strings.Contains(position, "freshet_blocks") && !strings.Contains(position, "freshet_snapshots")
	})
	source.Exec(t, "insert into items values (3000000, 9, 'last')")
	want := strings.Split(source.Text(t, "select string_agg(id || '=' || n, ' ' order by id) from items"), " ")
	var again int
	var got []string
	waitFor(t, "the last change to arrive", func() bool {
		got, again = itemsOf(t, c.committed(t, c.group+".public.items"))
		return slices.Contains(got, "3000000=9")
	})
	require.Equal(t, want, got)
	t.Logf("%d events were in the topic when the worker was killed, %d rows were read by the next", killed, again)
	require.Positive(t, again)
	require.Less(t, again, rows-rows/blocks/2, "finished blocks are read again")
	var job capture.SnapshotJob
	code, answer := next.ask(t, "GET", "/connectors/"+sourceName+"/snapshots/"+capture.InitialSnapshot, nil)
	require.Equal(t, http.StatusOK, code, answer)
	require.NoError(t, json.Unmarshal([]byte(answer), &job))
	require.Equal(t, "completed", job.State)
	next.stop(t)
}

// itemsOf is what the table is after the events of a topic, in order of the key, and how many rows windows have read.
func itemsOf(t *testing.T, records []*kgo.Record) (rows []string, windows int) {
	t.Helper()
	type item struct{ ID, N int }
	now := map[int]int{}
	for _, r := range records {
		if r.Value == nil {
			continue // a tombstone is behind the deletion
		}
		var e struct {
			Op            string
			Before, After *item
			Source        struct{ Snapshot string }
		}
		require.NoError(t, json.Unmarshal(r.Value, &e))
		if e.Op == "d" {
			delete(now, e.Before.ID)
			continue
		}
		now[e.After.ID] = e.After.N
		if e.Source.Snapshot == "incremental" {
			windows++
		}
	}
	for _, id := range slices.Sorted(maps.Keys(now)) {
		rows = append(rows, fmt.Sprintf("%d=%d", id, now[id]))
	}
	return rows, windows
}

// position is the last of the source, "" for none.
func (c *cluster) position(t *testing.T) (last string) {
	t.Helper()
	for _, r := range c.committed(t, c.group+"-offset") {
		if strings.HasPrefix(string(r.Key), `["`+sourceName+`",`) {
			last = string(r.Value)
		}
	}
	return last
}

// quota bounds what a client may send in a second; the returned function changes that, 0 is without bounds.
func (c *cluster) quota(t *testing.T, client string, bytes float64) func(bytes float64) {
	t.Helper()
	admin, err := kgo.NewClient(kgo.SeedBrokers(c.broker), kgo.DisableClientMetrics())
	require.NoError(t, err)
	t.Cleanup(admin.Close)
	set := func(bytes float64) {
		t.Helper()
		answers, err := kadm.NewClient(admin).AlterClientQuotas(t.Context(), []kadm.AlterClientQuotaEntry{{
			Entity: kadm.ClientQuotaEntity{{Type: "client-id", Name: &client}},
			Ops:    []kadm.AlterClientQuotaOp{{Key: "producer_byte_rate", Value: bytes, Remove: bytes == 0}},
		}})
		require.NoError(t, err)
		for _, a := range answers {
			require.NoError(t, a.Err, a.ErrMessage)
		}
	}
	set(bytes)
	return set
}

// changing counts n of random rows up until stop.
func changing(t *testing.T, source *testdb.Server, rows int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	conn, err := pgx.Connect(ctx, source.DSN())
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer conn.Close(context.WithoutCancel(ctx))
		pace := time.NewTicker(50 * time.Millisecond)
		defer pace.Stop()
		for ctx.Err() == nil {
			if _, err := conn.Exec(context.WithoutCancel(ctx), "update items set n = n + 1 where id in (select 1 + (random() * ($1 - 1))::int from generate_series(1, 20))", rows); err != nil {
				return // the end tells
			}
			select {
			case <-ctx.Done():
			case <-pace.C:
			}
		}
	}()
	return func() { cancel(); <-ended }
}
