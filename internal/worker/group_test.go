// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/capture"
	filesource "freshet/capture/file"
	"freshet/connect"
	"freshet/internal/testdb"
	"freshet/sinks"
)

// A worker of a group with exactly-once sources: its tasks are fenced and claimed, and what they write is committed.
func TestRunGroupExactlyOnce(t *testing.T) {
	broker := testdb.Kafka(t).Address()
	file := filepath.Join(t.TempDir(), "in")
	require.NoError(t, os.WriteFile(file, []byte("a\nb\n"), 0o600))
	properties := map[string]string{
		"bootstrap.servers": broker, "group.id": "run-group", "listeners": "http://127.0.0.1:0", "exactly.once.source.support": "enabled",
		"value.converter": "org.apache.kafka.connect.storage.StringConverter",
	}
	for _, kind := range []string{"config", "offset", "status"} {
		properties[kind+".storage.topic"], properties[kind+".storage.replication.factor"] = "run-group-"+kind, "1"
	}
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan Running, 1), make(chan error, 1)
	go func() {
		ended <- RunGroup(ctx, Options{
			Properties: properties, Plugins: connect.NewPlugins([]capture.Connector{filesource.New()}, []sinks.Connector{}),
			Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Ready: func(r Running) { ready <- r },
		})
	}()
	var r Running
	select {
	case r = <-ready:
	case err := <-ended:
		require.NoError(t, err)
	}
	_, created, err := r.Herder.Put(ctx, "c", map[string]string{
		"connector.class": "FileStreamSource", "file": file, "topic": "run-group-out", "exactly.once.support": "required",
		"topic.creation.default.partitions": "1", "topic.creation.default.replication.factor": "1",
	}, true, "")
	require.NoError(t, err)
	require.True(t, created)
	read := func(topic string, n int) (keys, values []string) {
		client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.UnknownTopicRetries(-1), kgo.DisableClientMetrics())
		require.NoError(t, err)
		defer client.Close()
		waiting, stop := context.WithTimeout(ctx, time.Minute)
		defer stop()
		for len(values) < n {
			fetches := client.PollFetches(waiting)
			require.NoError(t, waiting.Err(), "%d of %d records of %s", len(values), n, topic)
			fetches.EachRecord(func(r *kgo.Record) {
				keys, values = append(keys, string(r.Key)), append(values, string(r.Value))
			})
		}
		return keys, values
	}
	_, lines := read("run-group-out", 2)
	require.Equal(t, []string{"a", "b"}, lines)
	keys, values := read("run-group-config", 5)
	require.Subset(t, keys, []string{"session-key", "connector-c", "task-c-0", "commit-c", "tasks-fencing-c"})
	require.Contains(t, values, `{"task-count":1}`)
	cancel()
	require.NoError(t, <-ended)
}
