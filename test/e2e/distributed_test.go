// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/connect"
	"freshet/internal/testdb"
)

// cluster is a group of workers, each a process.
type cluster struct {
	broker string
	group  string
	dir    string // of the connectors' files
	more   properties
}

func newCluster(t *testing.T, broker string) *cluster {
	t.Helper()
	return &cluster{broker: broker, group: fmt.Sprintf("group-%d", time.Now().UnixNano()), dir: t.TempDir()}
}

func (c *cluster) properties(t *testing.T) string {
	t.Helper()
	p := properties{
		"bootstrap.servers": c.broker, "group.id": c.group, "listeners": "http://127.0.0.1:0",
		"key.converter": "org.apache.kafka.connect.storage.StringConverter", "value.converter": "org.apache.kafka.connect.storage.StringConverter",
		"session.timeout.ms": "6000", "heartbeat.interval.ms": "500", "scheduled.rebalance.max.delay.ms": "500",
	}
	for _, kind := range []string{"config", "offset", "status"} {
		p[kind+".storage.topic"], p[kind+".storage.replication.factor"] = c.group+"-"+kind, "1"
	}
	var text strings.Builder
	for name, value := range p.with(c.more) {
		fmt.Fprintf(&text, "%s=%s\n", name, value)
	}
	path := filepath.Join(t.TempDir(), "worker.properties")
	require.NoError(t, os.WriteFile(path, []byte(text.String()), 0o600))
	return path
}

func (c *cluster) start(t *testing.T) *worker {
	t.Helper()
	return ready(t, start(t, nil, "--log-format", "json", "distributed", c.properties(t)))
}

func (c *cluster) file(name string) string { return filepath.Join(c.dir, name) }

// fileSource makes a connector that reads a file of its name into a topic.
func (c *cluster) fileSource(t *testing.T, w *worker, name string) {
	t.Helper()
	status, answer := w.ask(t, "PUT", "/connectors/"+name+"/config", properties{
		"connector.class": "FileStreamSource", "file": c.file(name), "topic": c.group + "-" + name,
		"topic.creation.default.partitions": "1", "topic.creation.default.replication.factor": "1",
	})
	require.Equal(t, 201, status, answer)
}

// states is the state of a connector and its tasks in short.
func states(t *testing.T, w *worker, name string) string {
	t.Helper()
	_, answer := w.ask(t, "GET", "/connectors/"+name+"/status", nil)
	var s connect.Status
	require.NoError(t, json.Unmarshal([]byte(answer), &s))
	var out strings.Builder
	out.WriteString(string(s.Connector.State))
	for _, task := range s.Tasks {
		out.WriteString(" " + string(task.State))
	}
	return out.String()
}

// lines reads numbered lines of a topic until there are n.
func (c *cluster) lines(t *testing.T, name string, n int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.broker), kgo.ConsumeTopics(c.group+"-"+name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableClientMetrics())
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	times := make([]int, n)
	seen, again, last := 0, 0, -1
	for seen < n {
		fetches := client.PollFetches(ctx)
		require.NoError(t, ctx.Err(), "%d of %d lines of %s came", seen, n, name)
		fetches.EachRecord(func(r *kgo.Record) {
			line, err := strconv.Atoi(string(r.Value))
			require.NoError(t, err)
			require.LessOrEqual(t, line, last+1, "a line of %s is missing before it", name)
			if last = line; times[line] == 0 {
				seen++
			} else {
				again++
			}
			times[line]++
		})
	}
	t.Logf("%s: %d lines, %d of them came again", name, n, again)
}

// Three workers are stopped and killed, twelve times, while lines come: none is missing, and they come in order.
func TestDistributedBounce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, testdb.Kafka(t).Address())
	require.Len(t, c.bounce(t, 12), 4)
}

// bounce stops and kills three workers by turns, so many times, while lines come, and returns how many each file has.
func (c *cluster) bounce(t *testing.T, times int) map[string]int {
	t.Helper()
	workers := []*worker{c.start(t), c.start(t), c.start(t)}
	names := []string{"a", "b", "c", "d"}
	for n, name := range names {
		require.NoError(t, os.WriteFile(c.file(name), nil, 0o600))
		c.fileSource(t, workers[n%3], name)
	}
	written := make([]int, len(names))
	writing, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for n, name := range names {
		f, err := os.OpenFile(c.file(name), os.O_APPEND|os.O_WRONLY, 0)
		require.NoError(t, err)
		writers.Go(func() {
			defer f.Close()
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for ; writing.Err() == nil; <-tick.C {
				if _, err := fmt.Fprintf(f, "%d\n", written[n]); err != nil {
					t.Error(err)
					return
				}
				written[n]++
			}
		})
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for bounce := range times {
		n := random.IntN(3)
		if bounce%2 == 0 {
			workers[n].stop(t)
		} else {
			workers[n].kill(t)
		}
		workers[n] = c.start(t)
		waitFor(t, "everything to run", func() bool {
			return !slices.ContainsFunc(names, func(name string) bool { return states(t, workers[n], name) != "RUNNING RUNNING" })
		})
	}
	stop()
	writers.Wait()
	all := map[string]int{}
	for n, name := range names {
		c.lines(t, name, written[n])
		all[name] = written[n]
	}
	for _, w := range workers {
		w.stop(t)
	}
	return all
}

// A worker that is killed leaves its tasks to the others; a request goes to any worker; the leader may go.
func TestDistributedFailover(t *testing.T) {
	t.Parallel()
	c := newCluster(t, testdb.Kafka(t).Address())
	first := c.start(t) // leads
	second := c.start(t)
	require.NoError(t, os.WriteFile(c.file("a"), []byte("0\n1\n"), 0o600))
	c.fileSource(t, second, "a")
	c.fileSource(t, second, "b")
	c.lines(t, "a", 2)
	runs := func(w *worker) int {
		_, answer := second.ask(t, "GET", "/connectors?expand=status", nil)
		return strings.Count(answer, `"RUNNING","worker_id":"`+strings.TrimPrefix(w.url, "http://"))
	}
	waitFor(t, "each to run a half", func() bool { return runs(first) == 2 && runs(second) == 2 })
	first.kill(t)
	waitFor(t, "the other to run everything", func() bool { return runs(second) == 4 })
	require.NoError(t, os.WriteFile(c.file("a"), []byte("0\n1\n2\n"), 0o600))
	c.lines(t, "a", 3)
	status, answer := second.ask(t, "PUT", "/connectors/a/stop", nil)
	require.Equal(t, 204, status, answer)
	second.stop(t)
}

// TestGoldenDistributed starts the program with what is wrong in the recorded files: it ends with Kafka Connect's reasons.
func TestGoldenDistributed(t *testing.T) {
	t.Parallel()
	var broker string
	for name, reason := range map[string]string{
		"bad-protocol":                "Invalid value fancy for configuration connect.protocol: Invalid Connect protocol compatibility",
		"without-group":               `Missing required configuration "group.id" which has no default value.`,
		"heartbeat":                   "Heartbeat must be set lower than the session timeout",
		"no-arguments":                "usage: freshet distributed [worker.properties]",
		"config-topic-delete":         "is required to have 'cleanup.policy=compact' to guarantee consistency and durability of connector configurations, but found the topic currently has 'cleanup.policy=delete'.",
		"config-topic-two-partitions": "is required to have a single partition in order to guarantee consistency of connector configurations, but found 2 partitions.",
	} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "golden", "connect", "standalone", "distributed-"+name+".json"))
			require.NoError(t, err)
			var u struct {
				Properties string   `json:"worker_properties"`
				Log        []string `json:"log_errors"`
			}
			require.NoError(t, json.Unmarshal(text, &u))
			if name != "no-arguments" {
				require.Contains(t, strings.Join(u.Log, "\n"), reason, "the recording says so")
			}
			args := []string{"--log-format", "json", "distributed"}
			if u.Properties != "" {
				if strings.Contains(name, "topic") && broker == "" {
					broker = testdb.Kafka(t).Address()
				}
				makeTopics(t, broker, name)
				var kept []string
				for line := range strings.Lines(u.Properties) {
					if !strings.HasPrefix(line, "listeners=") && !strings.HasPrefix(line, "plugin.path=") && !strings.HasPrefix(line, "bootstrap.servers=") {
						kept = append(kept, line)
					}
				}
				path := filepath.Join(t.TempDir(), "w.properties")
				require.NoError(t, os.WriteFile(path, []byte(strings.Join(kept, "")+"\nlisteners=http://127.0.0.1:0\nbootstrap.servers="+broker+"\n"), 0o600))
				args = append(args, path)
			}
			code, _, stderr := run(t, args...)
			require.NotZero(t, code)
			require.Contains(t, stderr, reason)
		})
	}
}

// makeTopics makes the config topics that the recordings found.
func makeTopics(t *testing.T, broker, name string) {
	t.Helper()
	topic, partitions, policy := "connect-k-bad-delete", int32(1), "delete"
	switch name {
	case "config-topic-delete":
	case "config-topic-two-partitions":
		topic, partitions, policy = "connect-k-bad-two", 2, "compact"
	default:
		return
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.DisableClientMetrics())
	require.NoError(t, err)
	defer client.Close()
	_, err = kadm.NewClient(client).CreateTopic(t.Context(), partitions, 1, map[string]*string{"cleanup.policy": &policy}, topic)
	require.NoError(t, err)
}
