// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/capture"
	filesource "freshet/capture/file"
	"freshet/connect"
	"freshet/connect/cluster/backing"
	"freshet/connect/connecttest"
	"freshet/internal/failpoint"
	"freshet/internal/kafkaclient"
	"freshet/internal/testdb"
)

// groupWorker is a worker of a group, without its herder.
type groupWorker struct {
	*connect.Worker
	topics *groupTopics
	broker string
	dir    string
}

// newGroupWorker makes one as the recorded worker was.
func newGroupWorker(t *testing.T, group string, exactlyOnce bool) *groupWorker {
	t.Helper()
	broker := testdb.Kafka(t).Address()
	properties := map[string]string{
		"bootstrap.servers": broker, "group.id": group, "key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
	}
	clients, problems := kafkaclient.NewWorker(properties)
	require.Empty(t, problems)
	plugins := connect.NewPlugins([]capture.Connector{filesource.New()}, nil)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	topics, err := openGroup(clients, groupOptions{
		Backing: backing.Options{ClientID: group, Group: group, Offsets: backing.Topic{Name: group + "-offsets", Partitions: 3, Replication: 1}},
		Plugins: plugins, ExactlyOnce: exactlyOnce, FlushInterval: time.Minute,
	}, log)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, topics.Close(context.WithoutCancel(t.Context()))) })
	require.NoError(t, topics.start(t.Context()))
	_, spools := connecttest.NewLog(t)
	w := connect.NewWorker(connect.WorkerOptions{Plugins: plugins, Topics: topics, Spools: spools, Log: log, Config: connect.WorkerConfig{Properties: properties, ExactlyOnce: exactlyOnce}})
	return &groupWorker{w, topics, broker, t.TempDir()}
}

// connector makes one of a recorded configuration, with its file in the test's folder.
func (w *groupWorker) connector(t *testing.T, name string, cfg map[string]string) (*connect.Connector, error) {
	t.Helper()
	cfg = maps.Clone(cfg)
	cfg["name"] = name
	if cfg["file"] != "" {
		cfg["file"] = filepath.Join(w.dir, cfg["file"])
	}
	return w.NewConnector(name, cfg)
}

// run runs the connector's task until the position is what is wanted.
func (w *groupWorker) run(t *testing.T, c *connect.Connector, want string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	task, ended := c.NewTask(0), make(chan struct{})
	go func() { defer close(ended); task.Run(ctx) }()
	defer func() { stop(); <-ended }()
	require.Eventually(t, func() bool {
		if state, trace := task.State(); state == connect.Failed {
			require.Fail(t, trace)
		}
		offsets, err := c.Offsets(ctx)
		return err == nil && len(offsets) == 1 && offsets[0].Offset == want
	}, 30*time.Second, 20*time.Millisecond)
}

// records are the records of a topic that are committed, as "partition offset key=value".
func (w *groupWorker) records(t *testing.T, name string) []string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.broker), kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	require.NoError(t, err)
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(t.Context(), name)
	require.NoError(t, err)
	at := map[int32]int64{}
	var out []string
	for {
		there := true
		ends.Each(func(o kadm.ListedOffset) { there = there && at[o.Partition] >= o.Offset })
		if there {
			return out
		}
		client.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
			at[r.Partition] = r.Offset + 1
			if !r.Attrs.IsControl() {
				out = append(out, fmt.Sprintf("%d %d %s=%s", r.Partition, r.Offset, r.Key, r.Value))
			}
		})
	}
}

// exchange is what was recorded of a request.
type exchange struct {
	Request struct {
		Body struct{ Config map[string]string }
	}
	Response struct{ Body json.RawMessage }
}

// recordedConnectors are the recorded requests that created connectors, by name, with their answers.
func recordedConnectors(t *testing.T) map[string]exchange {
	t.Helper()
	text, err := os.ReadFile("../../testdata/golden/connect/eos/rest.json")
	require.NoError(t, err)
	var recording struct{ Exchanges []json.RawMessage }
	require.NoError(t, json.Unmarshal(text, &recording))
	out := map[string]exchange{}
	for _, raw := range recording.Exchanges {
		var head struct {
			Request struct {
				Method, Path string
				Body         struct{ Name string }
			}
		}
		if json.Unmarshal(raw, &head) == nil && head.Request.Method == "POST" && head.Request.Path == "/connectors" {
			var e exchange
			require.NoError(t, json.Unmarshal(raw, &e))
			out[head.Request.Body.Name] = e
		}
	}
	require.Len(t, out, 5)
	return out
}

// Exactly-once sources write what the recorded ones did: data, positions in the same topics, and markers in the same places.
func TestRecordedExactlyOnceSources(t *testing.T) {
	w := newGroupWorker(t, "connect-k-eos", true)
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "eos1.in"), []byte("a\nb\nc\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "eos2.in"), []byte("d\ne\n"), 0o600))
	recorded := recordedConnectors(t)
	for _, name := range []string{"bad1", "bad2", "bad3"} {
		cfg := recorded[name].Request.Body.Config
		cfg["name"] = name
		_, err := w.NewConnector(name, cfg)
		var want struct{ Message string }
		require.NoError(t, json.Unmarshal(recorded[name].Response.Body, &want))
		require.EqualError(t, err, want.Message, name)
	}
	one, err := w.connector(t, "eos1", recorded["eos1"].Request.Body.Config)
	require.NoError(t, err)
	require.Empty(t, one.Warnings)
	w.run(t, one, `{"position":6}`)
	two, err := w.connector(t, "eos2", recorded["eos2"].Request.Body.Config)
	require.NoError(t, err)
	require.Empty(t, two.Warnings)
	w.run(t, two, `{"position":4}`)
	seen := func(name string, n int) []string { // a commit is acknowledged before it is seen
		t.Helper()
		require.Eventually(t, func() bool { return len(w.records(t, name)) >= n }, 20*time.Second, 10*time.Millisecond)
		return w.records(t, name)
	}
	require.Equal(t, []string{"0 0 =a", "0 1 =b", "0 2 =c", "0 4 =d", "0 5 =e"}, seen("k1-eos-out", 5))

	position := func(name string, n string) string {
		return fmt.Sprintf(`["%s",{"filename":"%s/%s.in"}]=%s`, name, w.dir, name, n)
	}
	texts := func(records []string) (out []string) {
		for _, r := range records {
			_, r, _ = strings.Cut(r, " ")
			_, r, _ = strings.Cut(r, " ")
			out = append(out, r)
		}
		return out
	}
	require.ElementsMatch(t, []string{position("eos1", `{"position":6}`), position("eos2", `{"position":4}`)}, texts(seen("connect-k-eos-offsets", 2)))
	require.Equal(t, []string{position("eos2", `{"position":4}`)}, texts(w.records(t, "k1-eos-own-offsets")))

	// Positions are changed in both topics, in transactions; what is read from them is what a task begins at.
	transactions := 0
	defer failpoint.Set(func(step string) {
		if step == "positions: sent" {
			transactions++
		}
	})()
	partition := fmt.Sprintf(`{"filename":"%s/eos1.in"}`, w.dir)
	require.NoError(t, one.SetOffsets(t.Context(), []connect.Offset{{Partition: partition, Offset: `{"position":4}`}}))
	w.run(t, one, `{"position":6}`)
	require.Equal(t, "0 7 =c", seen("k1-eos-out", 6)[5])
	require.NoError(t, two.ResetOffsets(t.Context()))
	offsets, err := two.Offsets(t.Context())
	require.NoError(t, err)
	require.Empty(t, offsets)
	require.Equal(t, 2, transactions)
}

// Without exactly-once sources positions are in the topics too, behind their records; a worker that starts later finds them.
func TestPositionsOfAGroup(t *testing.T) {
	w := newGroupWorker(t, "plain", false)
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "in"), []byte("a\n"), 0o600))
	cfg := map[string]string{
		"connector.class": "FileStreamSource", "file": "in", "topic": "plain-out", "value.converter": "org.apache.kafka.connect.storage.StringConverter",
		"offsets.storage.topic": "plain-own", "topic.creation.default.partitions": "1", "topic.creation.default.replication.factor": "1",
	}
	c, err := w.connector(t, "c", cfg)
	require.NoError(t, err)
	require.Empty(t, c.Warnings)
	w.run(t, c, `{"position":2}`)
	require.Equal(t, []string{"0 0 =a"}, w.records(t, "plain-out"))

	next := newGroupWorker(t, "plain", false)
	next.dir = w.dir
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "in"), []byte("a\nb\n"), 0o600))
	c, err = next.connector(t, "c", cfg)
	require.NoError(t, err)
	next.run(t, c, `{"position":4}`)
	require.Equal(t, []string{"0 0 =a", "0 1 =b"}, w.records(t, "plain-out"))

	_, err = next.connector(t, "d", map[string]string{"connector.class": "FileStreamSource", "topic": "t", "exactly.once.support": "required"})
	require.ErrorContains(t, err, "This worker does not have exactly-once source support enabled.")
}
