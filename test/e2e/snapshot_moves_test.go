// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/connect"
	"freshet/internal/kafkaserver"
	"freshet/internal/testdb"
)

// TestSnapshotMovesToAnotherWorker kills the worker of a group that reads a table while the table changes, and that was asked for
// another snapshot: the next worker finishes the one, and begins the other. Every row is there, and changes of a row are in order.
func TestSnapshotMovesToAnotherWorker(t *testing.T) {
	t.Parallel()
	const rows = 20_000
	source := testdb.Postgres(t)
	source.Exec(t, fmt.Sprintf("%s create table others(id int primary key); insert into items select g, 0, 'old' from generate_series(1, %d) g; insert into others select g from generate_series(1, 100) g", itemsDDL, rows))
	c := newCluster(t, testdb.NewKafka(t, kafkaserver.Options{}).Address())
	c.more = properties{
		"key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
		"key.converter.schemas.enable": "false", "value.converter.schemas.enable": "false",
	}
	workers := []*worker{c.start(t), c.start(t)}
	workers[0].do(t, "PUT", "/connectors/"+sourceName+"/config", sourceConfig(source).with(properties{
		"topic.prefix": c.group, "snapshot.mode": "no_data", "incremental.snapshot.chunk.size": "50",
		"topic.creation.default.partitions": "3", "topic.creation.default.replication.factor": "1",
	}))
	// where is the number of the worker that runs the task, as another one tells it.
	where := func(asked *worker) int {
		code, answer := asked.ask(t, "GET", "/connectors/"+sourceName+"/status", nil)
		var s connect.Status
		if code != http.StatusOK || json.Unmarshal([]byte(answer), &s) != nil || len(s.Tasks) != 1 || s.Tasks[0].State != connect.Running {
			return -1
		}
		for n, w := range workers {
			if strings.TrimPrefix(w.url, "http://") == s.Tasks[0].WorkerID {
				return n
			}
		}
		return -1
	}
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
		pace := time.NewTicker(10 * time.Millisecond)
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
