// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/connect"
	"freshet/internal/connectserver"
	"freshet/internal/testdb"
)

// handover is a group of workers in turn: Kafka Connect's, ours, and Kafka Connect's again, with the same file.
type handover struct {
	file, listener string
	source, target *testdb.Server
	broker         string
}

func newHandover(t *testing.T, exactlyOnce bool) *handover {
	t.Helper()
	h := &handover{
		source: testdb.Postgres(t), target: testdb.Postgres(t), broker: testdb.Kafka(t).Address(),
		listener: "http://127.0.0.1:" + closedPort(t), file: filepath.Join(t.TempDir(), "worker.properties"),
	}
	group := "handover-" + h.source.Database
	p := properties{
		"bootstrap.servers": h.broker, "group.id": group, "listeners": h.listener,
		"key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
		"offset.flush.interval.ms": "500", "scheduled.rebalance.max.delay.ms": "0", "connector.client.config.override.policy": "All",
		"session.timeout.ms": "6000", "heartbeat.interval.ms": "500",
	}
	for _, kind := range []string{"config", "offset", "status"} {
		p[kind+".storage.topic"] = group + "-" + kind
		p[kind+".storage.replication.factor"] = "1"
		if kind != "config" {
			p[kind+".storage.partitions"] = "2"
		}
	}
	if exactlyOnce {
		p["exactly.once.source.support"] = "enabled"
	}
	var text bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&text, "%s=%s\n", name, p[name])
	}
	require.NoError(t, os.WriteFile(h.file, text.Bytes(), 0o600))
	return h
}

// capturing is the source connector. Debezium may take its time to let go of the slot.
func (h *handover) capturing() properties {
	return sourceConfig(h.source).with(properties{"topic.prefix": "p" + h.source.Database, "slot.max.retries": "200", "slot.retry.delay.ms": "500"})
}

// java starts a worker of Kafka Connect, and waits until it serves.
func (h *handover) java(t *testing.T) (*connectserver.Server, *worker) {
	t.Helper()
	s, err := connectserver.Distributed(t.Context(), testdb.ConnectPrograms(t), h.file, h.listener)
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Kafka Connect says: %s", s.Log("ERROR", "Caused by", "WARN"))
		}
		require.NoError(t, s.Close())
	})
	return s, h.serving(t)
}

// serving waits until the worker at the address answers.
func (h *handover) serving(t *testing.T) *worker {
	t.Helper()
	w := &worker{process: &process{err: &buffer{}}, url: h.listener}
	waitFor(t, "the worker to answer", func() bool {
		resp, err := http.Get(h.listener + "/connectors")
		return err == nil && resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	})
	return w
}

// ours starts our worker with the same file.
func (h *handover) ours(t *testing.T) *worker {
	t.Helper()
	p := start(t, nil, "--log-format", "json", "distributed", h.file)
	w := ready(t, p)
	w.url = h.listener
	return w
}

// running waits until connectors and their tasks run. A worker of a group may not know of them yet.
func (h *handover) running(t *testing.T, w *worker, names ...string) {
	t.Helper()
	for _, name := range names {
		waitFor(t, name+" to run", func() bool {
			code, answer := w.ask(t, "GET", "/connectors/"+name+"/status", nil)
			var s connect.Status
			return code == http.StatusOK && json.Unmarshal([]byte(answer), &s) == nil && s.Connector.State == connect.Running &&
				len(s.Tasks) == 1 && s.Tasks[0].State == connect.Running
		})
	}
}

// counting changes rows until stop: n of a row counts its changes.
func (h *handover) counting(t *testing.T, rows int) (rounds *atomic.Int64, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	rounds = &atomic.Int64{}
	conn, err := pgx.Connect(ctx, h.source.DSN())
	require.NoError(t, err)
	go func() {
		defer close(ended)
		defer conn.Close(context.WithoutCancel(ctx))
		pace := time.NewTicker(50 * time.Millisecond) // what Kafka Connect can catch up with on a busy machine
		defer pace.Stop()
		for ctx.Err() == nil {
			_, err := conn.Exec(context.WithoutCancel(ctx), `insert into items select i, 1, 'x' from generate_series(1, $1) i on conflict (id) do update set n = items.n + 1`, rows)
			if err != nil {
				return // the end tells: rows are missing
			}
			rounds.Add(1)
			select {
			case <-ctx.Done():
			case <-pace.C:
			}
		}
	}()
	return rounds, func() { cancel(); <-ended }
}

// more waits until the target has what the source had when it was called, while the load goes on.
func (h *handover) more(t *testing.T, rounds *atomic.Int64) {
	t.Helper()
	want := rounds.Load() + 3
	waitFor(t, "changes to arrive", func() bool {
		return h.target.Text(t, "select to_regclass('public.items') is not null") == "t" &&
			h.target.Text(t, fmt.Sprintf("select coalesce(min(n), 0) >= %d from items", want)) == "t"
	})
}

// events are the records of the topic of items, as Kafka has them: committed ones alone.
func (h *handover) events(t *testing.T) []record {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(h.broker), kgo.ConsumeTopics(h.topic()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	require.NoError(t, err)
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(t.Context(), h.topic())
	require.NoError(t, err)
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) { left[o.Partition] = o.Offset })
	var out []record
	at := map[int32]int64{}
	waitFor(t, "the topic to be read", func() bool {
		for p, end := range left {
			if at[p] < end {
				fetches := client.PollRecords(t.Context(), 10_000)
				require.NoError(t, fetches.Err())
				fetches.EachRecord(func(r *kgo.Record) {
					at[r.Partition] = r.Offset + 1
					if r.Attrs.IsControl() {
						return
					}
					out = append(out, record{Topic: r.Topic, Partition: int(r.Partition), Offset: r.Offset, Key: json.RawMessage(r.Key), Value: json.RawMessage(r.Value)})
				})
				return false
			}
		}
		return true
	})
	return out
}

func (h *handover) topic() string { return "p" + h.source.Database + ".public.items" }

// TestHandingOver takes a group over from Kafka Connect in the middle of a load, and gives it back: same file, same group, same
// topics. No change is missing, and with exactly.once.source.support=enabled none is there twice.
func TestHandingOver(t *testing.T) {
	t.Parallel()
	for _, exactlyOnce := range []bool{false, true} {
		t.Run(fmt.Sprintf("exactly once %v", exactlyOnce), func(t *testing.T) {
			t.Parallel()
			h := newHandover(t, exactlyOnce)
			h.source.Exec(t, itemsDDL)
			java, w := h.java(t)
			source := h.capturing()
			if exactlyOnce {
				source["exactly.once.support"] = "required"
			}
			w.do(t, "PUT", "/connectors/"+sourceName+"/config", source)
			h.running(t, w, sourceName)
			w.awaitSlot(t, h.source, "t")
			const rows = 10
			rounds, stop := h.counting(t, rows)
			defer stop()
			w.do(t, "PUT", "/connectors/"+sinkName+"/config", sinkConfig(h.target).with(properties{"topics.regex": "", "topics": h.topic()}))
			h.running(t, w, sourceName, sinkName)
			h.more(t, rounds)
			java.Stop()

			own := h.ours(t)
			require.ElementsMatch(t, []string{sourceName, sinkName}, names(t, own))
			h.running(t, own, sourceName, sinkName)
			h.more(t, rounds)
			own.stop(t)

			require.NoError(t, java.Start(t.Context()))
			w = h.serving(t)
			h.running(t, w, sourceName, sinkName)
			h.more(t, rounds)
			stop()
			equal(t, h.source, h.target)
			java.Stop()

			times := orderOf(t, h.events(t))
			require.Len(t, times, rows*int(rounds.Load()), "no change is missing")
			if exactlyOnce {
				for change, n := range times {
					require.Equal(t, 1, n, "change %s", change)
				}
			}
		})
	}
}

func names(t *testing.T, w *worker) []string {
	t.Helper()
	var out []string
	require.NoError(t, json.NewDecoder(strings.NewReader(w.do(t, "GET", "/connectors", nil))).Decode(&out))
	return out
}
