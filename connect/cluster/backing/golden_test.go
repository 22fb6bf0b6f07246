// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/connect"
	"freshet/emitter/topic"
	"freshet/internal/testdb"
)

const recordings = "../../../testdata/golden/connect"

// recorded is a line of a recording of the internal topics.
type recorded struct {
	Topic, Key string
	Value      *string
	Partition  int32
}

func (r recorded) value() []byte {
	if r.Value == nil {
		return nil
	}
	return []byte(*r.Value)
}

func readRecording(t testing.TB, path string) []recorded {
	t.Helper()
	f, err := os.Open(filepath.Join(recordings, path))
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	var out []recorded
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r recorded
		require.NoError(t, json.Unmarshal(lines.Bytes(), &r), lines.Text())
		if r.Topic != "" {
			out = append(out, r)
		}
	}
	require.NoError(t, lines.Err())
	require.NotEmpty(t, out)
	return out
}

// life are the values of each key, in order.
type life map[string][]string

func (l life) add(key string, value []byte) {
	text := "tombstone"
	if value != nil {
		text = string(value)
		var v struct{ Properties map[string]string }
		if json.Unmarshal(value, &v) == nil && v.Properties != nil { // members in Java's order of a map
			text = string(propertiesValue(v.Properties))
		}
	}
	l[key] = append(l[key], text)
}

// write makes the call that writes what was recorded.
func write(t testing.TB, rs []recorded, c *Configs, s *Statuses, o *Offsets) {
	t.Helper()
	ctx := t.Context()
	var tasks []map[string]string
	var deleted string
	for _, r := range rs {
		name := func(prefix string) (string, bool) {
			if r.Topic == "status" {
				return "", false
			}
			return strings.CutPrefix(r.Key, prefix)
		}
		if r.Topic == "offset" {
			require.NoError(t, o.PutMarks(ctx, []topic.Mark{{Key: r.Key, Value: string(r.value())}}))
		} else if r.Topic == "status" {
			writeStatus(t, r, s)
		} else if n, ok := name(targetPrefix); ok {
			if r.Value == nil {
				require.Equal(t, deleted, n)
				continue
			}
			target, err := parseTarget(r.value())
			require.NoError(t, err)
			require.NoError(t, c.PutTarget(ctx, n, target))
		} else if n, ok := name(connectorPrefix); ok {
			if deleted = n; r.Value == nil {
				require.NoError(t, c.DeleteConnector(ctx, n))
				continue
			}
			config, err := parseProperties(r.value())
			require.NoError(t, err)
			require.NoError(t, c.PutConnector(ctx, n, config, ""))
		} else if n, ok := name(taskPrefix); ok {
			id, ok := parseTask(n)
			require.True(t, ok)
			require.Equal(t, len(tasks), id.Task)
			config, err := parseProperties(r.value())
			require.NoError(t, err)
			tasks = append(tasks, config)
		} else if n, ok := name(commitPrefix); ok {
			count, err := parseCount(r.value(), "tasks")
			require.NoError(t, err)
			require.Len(t, tasks, count)
			require.NoError(t, c.PutTasks(ctx, n, tasks))
			tasks = nil
		} else if n, ok := name(restartPrefix); ok {
			request, err := parseRestart(n, r.value())
			require.NoError(t, err)
			require.NoError(t, c.PutRestart(ctx, request))
		} else if n, ok := name(fencingPrefix); ok {
			count, err := parseCount(r.value(), "task-count")
			require.NoError(t, err)
			require.NoError(t, c.PutTaskCount(ctx, n, count))
		} else {
			require.Equal(t, sessionKey, r.Key)
		}
	}
	require.NoError(t, s.Flush(ctx))
}

func writeStatus(t testing.TB, r recorded, s *Statuses) {
	t.Helper()
	if n, ok := strings.CutPrefix(r.Key, topicStatusPrefix); ok {
		name, connector, ok := strings.Cut(n, topicStatusSeparator)
		require.True(t, ok)
		if r.Value == nil {
			s.DeleteTopic(connector, name)
			return
		}
		st, err := parseTopicStatus(r.value())
		require.NoError(t, err)
		s.PutTopic(st)
		return
	}
	id := connect.TaskID{Connector: strings.TrimPrefix(r.Key, connectorStatusPrefix), Task: ConnectorInstance}
	if n, ok := strings.CutPrefix(r.Key, taskStatusPrefix); ok {
		id, ok = parseTask(n)
		require.True(t, ok)
	}
	if r.Value == nil {
		s.Delete(id)
		return
	}
	st, err := parseStatus(id, r.value())
	require.NoError(t, err)
	s.Put(st)
}

// What Kafka Connect wrote in the life of connectors is what is written here for the same steps: values byte for byte, but
// for the order of configurations' members, in the same partitions.
func TestRecordedLives(t *testing.T) {
	broker := testdb.Kafka(t).Address()
	for _, c := range []struct {
		name, path    string
		transactional bool
		partitions    int32 // of the offsets topic
	}{
		{"source", "topics/source-lifecycle.jsonl", false, 25},
		{"odd names", "topics/odd-names.jsonl", false, 25},
		{"clean shutdown", "topics/clean-shutdown.jsonl", false, 25},
		{"exactly once", "eos/internal-topics.jsonl", true, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := optionsFor("lives-"+strings.ReplaceAll(c.name, " ", "-"), broker)
			o.Transactional, o.Committed, o.Offsets.Partitions = c.transactional, c.transactional, c.partitions
			configs, _ := startConfigs(t, o)
			require.NoError(t, configs.Claim(t.Context()))
			rs := readRecording(t, c.path)
			write(t, rs, configs, startStatuses(t, o), startOffsets(t, o))
			want := map[string]life{"config": {}, "status": {}, "offset": {}}
			partitions := map[string]int32{}
			for _, r := range rs {
				if r.Key != sessionKey { // its value is masked
					want[r.Topic].add(r.Key, r.value())
					partitions[r.Topic+r.Key] = r.Partition
				}
			}
			for kind, name := range map[string]string{"config": o.Config.Name, "status": o.Statuses.Name, "offset": o.Offsets.Name} {
				got := life{}
				for _, r := range raw(t, name, broker) {
					got.add(string(r.Key), r.Value)
					require.Equal(t, partitions[kind+string(r.Key)], r.Partition, "partition of %s", r.Key)
				}
				require.Equal(t, want[kind], got, kind)
			}
		})
	}
}

// Statuses of all recordings survive reading and writing byte for byte.
func TestRecordedStatuses(t *testing.T) {
	n := 0
	for _, path := range []string{"topics/failed-instances.jsonl", "topics/second-worker-joins.jsonl", "topics/worker-crash.jsonl", "topics/restart-after-clean-shutdown.jsonl", "eos/internal-topics.jsonl"} {
		for _, r := range readRecording(t, path) {
			if r.Topic != "status" || r.Value == nil {
				continue
			}
			n++
			if strings.HasPrefix(r.Key, topicStatusPrefix) {
				st, err := parseTopicStatus(r.value())
				require.NoError(t, err)
				require.Equal(t, *r.Value, string(topicValue(st)))
				continue
			}
			st, err := parseStatus(connect.TaskID{}, r.value())
			require.NoError(t, err, "%s: %s", r.Key, *r.Value)
			require.Equal(t, *r.Value, string(statusValue(st)))
		}
	}
	require.Greater(t, n, 50)
}

// The topics are created with the recorded partitions and settings.
func TestRecordedTopics(t *testing.T) {
	broker := testdb.Kafka(t).Address()
	var want struct {
		Topics map[string]struct {
			Partitions int
			Settings   map[string]string `json:"settings_not_default"`
		}
	}
	text, err := os.ReadFile(filepath.Join(recordings, "topics/internal-topics.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &want))
	o := optionsFor("connect-k", broker)
	startConfigs(t, o)
	startStatuses(t, o)
	startOffsets(t, o)
	admin := adminOf(t, broker)
	for name, topic := range want.Topics {
		requireTopic(t, admin, name, topic.Partitions, topic.Settings)
	}
}

// What another program has written takes effect as recorded; what makes no sense is passed over.
func TestRecordsWrittenByOthers(t *testing.T) {
	broker := testdb.Kafka(t).Address()
	o := optionsFor("others", broker)
	configs, seen := startConfigs(t, o)
	other, err := kgo.NewClient(append(producing(o.Config.Name), kgo.SeedBrokers(broker))...)
	require.NoError(t, err)
	defer other.Close()
	var rs []recorded
	for _, r := range readRecording(t, "topics/config-topic-written-by-others.jsonl") {
		if r.Topic == "config" {
			rs = append(rs, r)
		}
	}
	upTo := func(key, value string) *Snapshot {
		t.Helper()
		for len(rs) > 0 {
			r := rs[0]
			rs = rs[1:]
			require.NoError(t, other.ProduceSync(t.Context(), record(r.Key, r.value())).FirstErr())
			if r.Key == key && string(r.value()) == value {
				require.NoError(t, configs.Refresh(t.Context()))
				return configs.Snapshot()
			}
		}
		require.Fail(t, "the recording has no such record", "%s %s", key, value)
		return nil
	}
	task := connect.TaskID{Connector: "ext", Task: 0}
	s := upTo("commit-ext", `{"tasks":1}`)
	require.Equal(t, "FileStreamSource", s.Connectors["ext"]["connector.class"])
	require.Equal(t, Started, s.Targets["ext"])
	require.Equal(t, []connect.TaskID{task}, s.Tasks("ext"))
	require.Equal(t, "nofile.txt", s.TaskConfigs[task]["file"])
	require.Equal(t, int64(3), s.Offset)
	require.Equal(t, []Event{{Kind: ConnectorPut, Connector: "ext"}, {Kind: TasksCommitted, Connector: "ext", Tasks: []connect.TaskID{task}}}, seen.take())

	s = upTo("target-state-ext", `{"state":"PAUSED"}`)
	require.Equal(t, Paused, s.Targets["ext"])
	require.Equal(t, []Event{{Kind: TargetChanged, Connector: "ext"}}, seen.take())

	s = upTo("commit-ext", `{"tasks":5}`)
	require.NotContains(t, s.Connectors, "ext2")
	require.Empty(t, s.Tasks("ext"), "five tasks were committed and none written")
	require.Equal(t, 5, s.TaskCounts["ext"])
	require.Equal(t, int64(8), s.Offset, "records that are passed over count")
	require.Equal(t, []Event{{Kind: TasksCommitted, Connector: "ext"}}, seen.take(), "a target state that is removed is nothing to tell")

	s = upTo("target-state-ext", "")
	require.Empty(t, s.Connectors)
	require.Empty(t, s.Targets)
	require.Empty(t, s.TaskConfigs)
	require.Equal(t, []Event{{Kind: ConnectorRemoved, Connector: "ext"}}, seen.take())
	require.Empty(t, rs)
}

// A session key has the recorded form.
func TestRecordedSessionKey(t *testing.T) {
	rs := readRecording(t, "topics/session-key.jsonl")
	require.Len(t, rs, 1)
	want := strings.Replace(*rs[0].Value, "<secret>", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", 1)
	got := sessionValue(SessionKey{Key: make([]byte, 32), Algorithm: "HmacSHA256", Created: time.UnixMilli(0)})
	require.Equal(t, want, string(got))
	k, err := parseSession(got)
	require.NoError(t, err)
	require.Equal(t, make([]byte, 32), k.Key)
}
