// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/internal/testdb"
)

// committed are the records of a topic that are committed, in the order of each partition.
func (c *cluster) committed(t *testing.T, name string) (out []*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.broker), kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.DisableClientMetrics())
	require.NoError(t, err)
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(t.Context(), name)
	require.NoError(t, err)
	at := map[int32]int64{}
	for {
		there := true
		ends.Each(func(o kadm.ListedOffset) { there = there && at[o.Partition] >= o.Offset })
		if there {
			return out
		}
		fetches := client.PollFetches(t.Context())
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			at[r.Partition] = r.Offset + 1
			if !r.Attrs.IsControl() {
				out = append(out, r)
			}
		})
	}
}

// Workers with exactly-once sources are stopped and killed while lines come: each line is there once, in order.
func TestDistributedExactlyOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, testdb.Kafka(t).Address())
	c.more = properties{"exactly.once.source.support": "enabled"}
	for name, n := range c.bounce(t, 12) {
		var records []*kgo.Record
		waitFor(t, "the last commit to be seen", func() bool {
			records = c.committed(t, c.group+"-"+name)
			return len(records) >= n
		})
		for i, r := range records {
			require.Equal(t, strconv.Itoa(i), string(r.Value), "record %d of %s", i, name)
		}
		require.Len(t, records, n)
	}
}

// The config topic of a worker with exactly-once sources says what the recorded one did of connector eos1.
func TestGoldenExactlyOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, testdb.Kafka(t).Address())
	c.more = properties{"exactly.once.source.support": "enabled"}
	w := c.start(t)
	require.NoError(t, os.WriteFile(c.file("eos1.in"), []byte("a\nb\nc\n"), 0o600))
	config := properties{
		"connector.class": "FileStreamSource", "tasks.max": "1", "file": c.file("eos1.in"), "topic": c.group + "-out",
		"exactly.once.support": "required", "transaction.boundary": "poll",
	}
	position := func(at string) {
		t.Helper()
		waitFor(t, "position "+at, func() bool {
			_, answer := w.ask(t, "GET", "/connectors/eos1/offsets", nil)
			return strings.Contains(answer, `"offset":{"position":`+at+`}`)
		})
	}
	running := func() {
		t.Helper()
		waitFor(t, "the task to run", func() bool { return states(t, w, "eos1") == "RUNNING RUNNING" })
	}
	w.do(t, "POST", "/connectors", map[string]any{"name": "eos1", "config": config})
	position("6")
	running()
	status, answer := w.ask(t, "PUT", "/connectors/eos1/fence", nil)
	require.Equal(t, 400, status)
	require.Contains(t, answer, "Internal request missing required signature")
	w.do(t, "POST", "/connectors/eos1/tasks/0/restart", nil)
	running()
	w.do(t, "PUT", "/connectors/eos1/config", config.with(properties{"batch.size": "1"}))
	fencing := func() (out []string) {
		for _, r := range c.committed(t, c.group+"-config") {
			if strings.HasSuffix(string(r.Key), "-eos1") && strings.HasPrefix(string(r.Key), "tasks-fencing-") {
				out = append(out, string(r.Value))
			}
		}
		return out
	}
	waitFor(t, "the new tasks to be fenced", func() bool { return len(fencing()) == 2 })
	running()
	w.do(t, "PUT", "/connectors/eos1/stop", nil)
	waitFor(t, "the connector to stop", func() bool { return states(t, w, "eos1") == "STOPPED" })
	w.do(t, "PATCH", "/connectors/eos1/offsets", json.RawMessage(`{"offsets":[{"partition":{"filename":`+strconv.Quote(c.file("eos1.in"))+`},"offset":{"position":2}}]}`))
	position("2")
	w.do(t, "PUT", "/connectors/eos1/resume", nil)
	position("6")
	w.stop(t)

	want, got := map[string][]string{}, map[string][]string{}
	add := func(life map[string][]string, key, value string) {
		switch {
		case !strings.HasSuffix(key, "eos1") && !strings.HasSuffix(key, "eos1-0"):
			return
		case strings.HasPrefix(key, "connector-"), strings.HasPrefix(key, "task-"):
			value = "configuration" // of other files and topics
		}
		life[key] = append(life[key], value)
	}
	f, err := os.Open(filepath.Join("..", "..", "testdata", "golden", "connect", "eos", "internal-topics.jsonl"))
	require.NoError(t, err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r struct{ Topic, Key, Value string }
		require.NoError(t, json.Unmarshal(lines.Bytes(), &r))
		if r.Topic == "config" {
			add(want, r.Key, r.Value)
		}
	}
	for _, r := range c.committed(t, c.group+"-config") {
		add(got, string(r.Key), string(r.Value))
	}
	require.Equal(t, want, got)
	var values []string
	waitFor(t, "the last commit to be seen", func() bool {
		values = nil
		for _, r := range c.committed(t, c.group+"-out") {
			values = append(values, string(r.Value))
		}
		return len(values) >= 5
	})
	require.Equal(t, "a b c b c", strings.Join(values, " "))
}
