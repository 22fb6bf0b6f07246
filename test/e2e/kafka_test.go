// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/connect"
	"freshet/internal/kafkaserver"
	"freshet/internal/testdb"
)

// inKafka makes a worker keep its topics in Kafka.
func (s *setup) inKafka(broker string) {
	s.unjudged = true // the folder has no topics
	s.worker = properties{
		"bootstrap.servers": "http://" + broker, "producer.compression.type": "lz4", "consumer.heartbeat.interval.ms": "100", "consumer.session.timeout.ms": "3000",
	}
	s.connectors[sourceName]["topic.creation.default.partitions"] = "2"
	s.connectors[sourceName]["topic.creation.default.replication.factor"] = "-1"
	s.connectors[sourceName]["producer.override.client.id"] = "chosen"
}

// orderOf says how often each change of a row came, and wants their order: after a crash changes come again, from an earlier
// one on.
func orderOf(t *testing.T, records []record) map[string]int {
	t.Helper()
	last, times, partitions := map[string]int{}, map[string]int{}, map[string]int{}
	for _, r := range records {
		e, ok := r.event(t)
		if !ok || e.After == nil {
			continue
		}
		id, n := text(e.After["id"]), int(e.After["n"].(float64))
		at := fmt.Sprintf("%s/%d", id, n)
		if p, seen := partitions[id]; seen {
			require.Equal(t, p, r.Partition, "row %s stays in its partition", id)
		}
		partitions[id] = r.Partition
		if times[at] == 0 {
			require.Equal(t, last[id]+1, n, "change of row %s", id)
		}
		last[id] = max(last[id], n)
		times[at]++
	}
	return times
}

// TestKafka keeps topics in a broker that is away at the start and killed in the middle, by a worker that is killed, too.
func TestKafka(t *testing.T) {
	t.Parallel()
	source, target := testdb.Postgres(t), testdb.Postgres(t)
	broker := testdb.NewKafka(t, kafkaserver.Options{})
	source.Exec(t, itemsDDL)
	s := pair(t, source, target)
	s.inKafka(broker.Address())
	s.connectors[sinkName]["tasks.max"] = "2"
	address := "http://127.0.0.1:" + closedPort(t)
	s.worker["listeners"] = address

	broker.Kill()
	p := s.launch(t)
	early := &worker{process: p, url: address}
	waitFor(t, "the worker to say that it waits", func() bool {
		require.False(t, p.ended(), "the worker ended: %s", p.err)
		resp, err := http.Get(address + "/readyz")
		return err == nil && resp.Body.Close() == nil && resp.StatusCode == 503
	})
	status, answer := early.ask(t, "GET", "/readyz", nil)
	require.Equal(t, 503, status)
	waitFor(t, "the reason to name the broker", func() bool {
		_, answer = early.ask(t, "GET", "/readyz", nil)
		return strings.Contains(answer, broker.Address()) && strings.Contains(answer, "connection refused")
	})
	status, answer = early.ask(t, "GET", "/connectors", nil)
	require.Equal(t, 503, status)
	requireWords(t, answer, "Worker is still starting up", broker.Address())
	require.NoError(t, broker.Start(t.Context()))

	w := ready(t, p)
	w.streaming(t, source)
	const rows, rounds = 50, 40
	for round := 1; round <= rounds; round++ {
		source.Exec(t, fmt.Sprintf(`insert into items select i, %d, repeat('x', 200) from generate_series(1, %d) i
			on conflict (id) do update set n = excluded.n`, round, rows))
		switch round {
		case 10, 25:
			w.kill(t)
			w = s.start(t)
		case 18:
			broker.Kill()
		case 20:
			require.NoError(t, broker.Start(t.Context()))
		}
	}
	equal(t, source, target)
	w.await(t, sourceName, connect.Running)
	times := orderOf(t, w.records(t, itemsTopic))
	require.Len(t, times, rows*rounds, "no change is missing")
	require.Contains(t, topics(t, "", "list", "--worker", w.url), itemsTopic)

	client, err := kgo.NewClient(kgo.SeedBrokers(broker.Address()))
	require.NoError(t, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	waitFor(t, "Kafka to show the group at its end", func() bool {
		lag, err := admin.Lag(t.Context(), "connect-"+sinkName)
		return err == nil && len(lag["connect-"+sinkName].Lag) > 0 && lag["connect-"+sinkName].Lag.Total() == 0
	})
	offsets := w.do(t, "GET", "/connectors/"+sinkName+"/offsets", nil)
	requireWords(t, offsets, `"kafka_topic":"`+itemsTopic+`"`, `"kafka_offset"`)
	requireWords(t, w.do(t, "GET", "/connectors/"+sourceName+"/offsets", nil), `"lsn"`)
	requireWords(t, w.do(t, "GET", "/", nil), `"kafka_cluster_id"`)
	w.stop(t)
}
