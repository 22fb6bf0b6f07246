// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"freshet/capture"
	filesource "freshet/capture/file"
	"freshet/connect"
	"freshet/connect/cluster"
	"freshet/connect/cluster/backing"
	"freshet/connect/cluster/group"
	"freshet/connect/connecttest"
	"freshet/connect/rest"
	"freshet/emitter/topic/kafka"
	"freshet/internal/testdb"
	"freshet/sinks"
	filesink "freshet/sinks/file"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, testdb.IgnoreKafka(), goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, 60*time.Second, 5*time.Millisecond, what)
}

// world is a group of workers with its brokers.
type world struct {
	t        testing.TB
	brokers  []string
	group    string
	dir      string // of the connectors' files
	mode     group.Version
	delay    time.Duration
	session  time.Duration
	plugins  *connect.Plugins
	patience time.Duration
	fake     *kfake.Cluster
}

func newWorld(t testing.TB) *world {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"group.min.session.timeout.ms": "100"}))
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	return &world{
		t: t, brokers: fake.ListenAddrs(), fake: fake, group: "workers", dir: t.TempDir(), mode: group.Sessioned, session: 2 * time.Second,
		plugins: connect.NewPlugins([]capture.Connector{filesource.New()}, []sinks.Connector{filesink.New()}),
	}
}

// worker is a worker of the group, with its REST API.
type worker struct {
	t      testing.TB
	herder *cluster.Herder
	url    string
	id     string
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // of the herder, once it has ended
	logs   *connecttest.Logs
}

func (w *world) start() *worker {
	w.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(w.t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(w.t, err)
	x := &worker{t: w.t, id: l.Addr().String(), url: "http://" + l.Addr().String() + "/", ended: make(chan struct{}), logs: &connecttest.Logs{}}
	log := slog.New(slog.NewTextHandler(x.logs, nil))
	client := []kgo.Opt{kgo.SeedBrokers(w.brokers...), kgo.DisableClientMetrics()}
	stores := backing.Options{
		Log: log, Client: client, ClientID: w.group, Group: w.group,
		Config:   backing.Topic{Name: w.group + "-configs", Partitions: 1, Replication: 1},
		Offsets:  backing.Topic{Name: w.group + "-offsets", Partitions: 5, Replication: 1},
		Statuses: backing.Topic{Name: w.group + "-status", Partitions: 5, Replication: 1},
	}
	offsets := backing.NewOffsets(stores)
	topics, err := kafka.Open(kafka.Options{
		Log: log, Brokers: w.brokers, Producer: client, Consumer: client, Admin: client, Marks: cluster.Marks{Offsets: offsets},
		Creation: func(string) (kafka.Creation, bool) { return kafka.Creation{Partitions: 1, Replication: 1}, true },
	})
	require.NoError(w.t, err)
	member, err := kgo.NewClient(append(client, kgo.ClientID("connect-"+x.id), kgo.RetryTimeout(time.Second), kgo.RequestRetries(2))...)
	require.NoError(w.t, err)
	notes := &backing.Notes{Offsets: offsets}
	runtime := connect.NewWorker(connect.WorkerOptions{
		Plugins: w.plugins, Topics: topics, Log: log, Keeper: notes,
		Config: connect.WorkerConfig{Group: w.group, Properties: map[string]string{
			"key.converter": "org.apache.kafka.connect.storage.StringConverter", "value.converter": "org.apache.kafka.connect.storage.StringConverter",
		}},
	})
	plain := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	x.herder = cluster.New(cluster.Options{
		Worker: runtime, Configs: backing.NewConfigs(stores), Statuses: backing.NewStatuses(stores), WorkerID: x.id, Peers: &rest.Peers{Client: plain}, Log: log,
		Group: group.Options{
			Client: member, Group: w.group, URL: x.url, Mode: w.mode, SessionTimeout: w.session, RebalanceTimeout: 20 * time.Second,
			HeartbeatInterval: min(50*time.Millisecond, w.session/10), MaxDelay: w.delay,
		},
		Session:     cluster.Session{KeyAlgorithm: "HmacSHA256", KeyTTL: time.Hour, Algorithm: "HmacSHA256", Verified: []string{"HmacSHA256"}},
		SyncTimeout: 3 * time.Second, UnsyncBackoff: time.Second, Patience: w.patience,
		SetLevel: func(logger, level string) { log.Info("level is set", "logger", logger, "level", level) },
	})
	notes.Alive = x.herder.Alive
	handler := rest.New(rest.Options{Herder: x.herder, Starting: x.herder.Starting, Forward: plain, Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	x.cancel = cancel
	var serving sync.WaitGroup
	serving.Go(func() { _ = rest.Serve(ctx, l, handler, log) })
	go func() {
		defer close(x.ended)
		if x.err = offsets.Start(ctx); x.err == nil {
			x.err = x.herder.Run(ctx)
		}
		cancel()
		serving.Wait()
		closing := context.WithoutCancel(ctx)
		x.err = errors.Join(x.err, topics.Close(closing))
		offsets.Close(closing)
		member.Close()
	}()
	w.t.Cleanup(func() {
		x.cancel()
		<-x.ended
		if w.t.Failed() {
			w.t.Logf("log of %s:\n%s", x.id, x.logs)
		}
	})
	return x
}

// stop ends a worker as SIGTERM does.
func (x *worker) stop() {
	x.cancel()
	<-x.ended
	require.NoError(x.t, x.err)
}

// ask sends a request, and again while the worker says that it cannot serve it now.
func (x *worker) ask(method, path, body string) (int, string) {
	x.t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(30 * time.Second); ; {
		req, err := http.NewRequestWithContext(x.t.Context(), method, x.url+path, strings.NewReader(body))
		require.NoError(x.t, err)
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := client.Do(req)
		require.NoError(x.t, err)
		text, err := io.ReadAll(resp.Body)
		require.NoError(x.t, errors.Join(err, resp.Body.Close()))
		busy := resp.StatusCode == 503 || resp.StatusCode == 409 && strings.Contains(string(text), "momentarily")
		if !busy || time.Now().After(deadline) {
			return resp.StatusCode, string(text)
		}
	}
}

func (x *worker) must(status int, method, path, body string) string {
	x.t.Helper()
	got, text := x.ask(method, path, body)
	require.Equal(x.t, status, got, "%s %s: %s", method, path, text)
	return text
}

// source creates a connector that reads a file of its name.
func (w *world) source(x *worker, name string) {
	w.t.Helper()
	x.must(201, "POST", "connectors", fmt.Sprintf(`{"name":%q,"config":{"connector.class":"FileStreamSource","file":%q,"topic":%q}}`, name, w.file(name), "t-"+name))
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

// write appends numbered lines to the file of a connector.
func (w *world) write(name string, from, to int) {
	w.t.Helper()
	f, err := os.OpenFile(w.file(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(w.t, err)
	for n := from; n < to; n++ {
		_, err = fmt.Fprintf(f, "%d\n", n)
		require.NoError(w.t, err)
	}
	require.NoError(w.t, f.Close())
}

// arrived waits until all lines up to n are in the topic of a connector.
func (w *world) arrived(name string, n int) {
	w.t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.ConsumeTopics("t-"+name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableClientMetrics(),
		kgo.UnknownTopicRetries(-1), kgo.MetadataMinAge(50*time.Millisecond))
	require.NoError(w.t, err)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	seen := map[string]bool{}
	for len(seen) < n {
		fetches := c.PollFetches(ctx)
		require.NoError(w.t, ctx.Err(), "%d of %d lines of %s have arrived", len(seen), n, name)
		fetches.EachRecord(func(r *kgo.Record) { seen[string(r.Value)] = true })
	}
	for i := range n {
		require.True(w.t, seen[fmt.Sprint(i)], "line %d of %s", i, name)
	}
}

// status is GET /connectors/{name}/status.
func (x *worker) status(name string) (s connect.Status) {
	x.t.Helper()
	if status, text := x.ask("GET", "connectors/"+name+"/status", ""); status == 200 {
		require.NoError(x.t, json.Unmarshal([]byte(text), &s))
	}
	return s
}

// states is a status in short, such as "RUNNING RUNNING".
func (x *worker) states(name string) string {
	s := x.status(name)
	out := []string{string(s.Connector.State)}
	for _, t := range s.Tasks {
		out = append(out, string(t.State))
	}
	return strings.Join(out, " ")
}

// spread says how many connectors and tasks are RUNNING on each of the workers, as another one tells it.
func (x *worker) spread(names []string, workers ...*worker) []int {
	counts := make([]int, len(workers))
	add := func(state connect.State, id string) {
		for n, w := range workers {
			if state == connect.Running && w.id == id {
				counts[n]++
			}
		}
	}
	for _, name := range names {
		s := x.status(name)
		add(s.Connector.State, s.Connector.WorkerID)
		for _, t := range s.Tasks {
			add(t.State, t.WorkerID)
		}
	}
	return counts
}

func names(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("c%d", i)
	}
	return out
}

// Work is divided, moves when workers come and go, and nothing is missing.
func TestWorkersShareConnectors(t *testing.T) {
	for _, mode := range []group.Version{group.Sessioned, group.Compatible, group.Eager} {
		t.Run(mode.String(), func(t *testing.T) {
			w := newWorld(t)
			w.mode = mode
			a := w.start()
			all := names(6)
			for _, name := range all {
				w.write(name, 0, 100)
				w.source(a, name)
			}
			waitFor(t, "one runs all", func() bool { return a.spread(all, a)[0] == 12 })
			b, c := w.start(), w.start()
			waitFor(t, "three share", func() bool { return slices.Equal(c.spread(all, a, b, c), []int{4, 4, 4}) })
			for _, name := range all {
				w.write(name, 100, 200)
				w.arrived(name, 200)
			}
			b.stop()
			waitFor(t, "two share", func() bool { return slices.Equal(c.spread(all, a, c), []int{6, 6}) })
			a.stop() // the leader
			waitFor(t, "one has all", func() bool { return c.spread(all, c)[0] == 12 })
			for _, name := range all {
				w.write(name, 200, 300)
				w.arrived(name, 300)
			}
		})
	}
}

// Every request may be sent to every worker.
func TestRequestsToAnyWorker(t *testing.T) {
	w := newWorld(t)
	a := w.start()
	waitFor(t, "a leads", func() bool { return a.herder.Starting() == "" })
	b := w.start()
	all := names(2)
	for _, name := range all {
		w.source(b, name)
	}
	require.Equal(t, 409, first(b.ask("POST", "connectors", `{"name":"c0","config":{"connector.class":"FileStreamSource","topic":"t"}}`)))
	require.Equal(t, 400, first(b.ask("POST", "connectors", `{"name":"bad","config":{"connector.class":"FileStreamSource"}}`)))
	require.Equal(t, 404, first(b.ask("DELETE", "connectors/none", "")))
	waitFor(t, "both run", func() bool { return slices.Equal(b.spread(all, a, b), []int{2, 2}) })
	for _, name := range all {
		for _, x := range []*worker{a, b} {
			x.must(204, "POST", "connectors/"+name+"/restart", "")
			x.must(204, "POST", "connectors/"+name+"/tasks/0/restart", "")
			waitFor(t, "it runs again", func() bool { return x.states(name) == "RUNNING RUNNING" })
			require.Equal(t, 404, first(x.ask("POST", "connectors/"+name+"/tasks/1/restart", "")))
		}
		text := b.must(202, "POST", "connectors/"+name+"/restart?includeTasks=true", "")
		require.Contains(t, text, `"RESTARTING"`)
		waitFor(t, "it runs again", func() bool { return b.states(name) == "RUNNING RUNNING" })

		b.must(202, "PUT", "connectors/"+name+"/pause", "")
		waitFor(t, "it pauses", func() bool { return a.states(name) == "PAUSED PAUSED" })
		a.must(202, "PUT", "connectors/"+name+"/resume", "")
		waitFor(t, "it runs", func() bool { return b.states(name) == "RUNNING RUNNING" })

		b.must(200, "PUT", "connectors/"+name+"/config", fmt.Sprintf(`{"connector.class":"FileStreamSource","file":%q,"topic":"u-%s"}`, w.file(name), name))
		waitFor(t, "the task has the new configuration", func() bool {
			_, text := a.ask("GET", "connectors/"+name+"/tasks", "")
			return strings.Contains(text, `"u-`+name) && a.states(name) == "RUNNING RUNNING"
		})
		b.must(200, "PATCH", "connectors/"+name+"/config", `{"batch.size":"7"}`)
		waitFor(t, "the task has the new property", func() bool {
			_, text := a.ask("GET", "connectors/"+name+"/tasks", "")
			return strings.Contains(text, `"batch.size":"7"`)
		})

		require.Equal(t, 400, first(b.ask("DELETE", "connectors/"+name+"/offsets", "")))
		b.must(204, "PUT", "connectors/"+name+"/stop", "")
		waitFor(t, "it stops", func() bool { return b.states(name) == "STOPPED" })
		b.must(200, "PATCH", "connectors/"+name+"/offsets", fmt.Sprintf(`{"offsets":[{"partition":{"filename":%q},"offset":{"position":4}}]}`, w.file(name)))
		waitFor(t, "the position is known", func() bool {
			_, text := a.ask("GET", "connectors/"+name+"/offsets", "")
			return strings.Contains(text, `{"position":4}`)
		})
		a.must(200, "DELETE", "connectors/"+name+"/offsets", "")
		b.must(202, "PUT", "connectors/"+name+"/resume", "")
		waitFor(t, "it runs", func() bool { return b.states(name) == "RUNNING RUNNING" })
		b.must(204, "DELETE", "connectors/"+name, "")
		for _, x := range []*worker{a, b} {
			waitFor(t, "nothing is left", func() bool { return first(x.ask("GET", "connectors/"+name+"/status", "")) == 404 })
		}
	}
	require.JSONEq(t, `[]`, b.must(200, "GET", "connectors", ""))
}

func first(status int, _ string) int { return status }

// A group that has no worker for a while goes on where it was: configurations, target states and positions are in topics.
func TestEverythingIsInTopics(t *testing.T) {
	w := newWorld(t)
	a := w.start()
	w.write("c0", 0, 50)
	w.source(a, "c0")
	w.source(a, "c1")
	a.must(202, "PUT", "connectors/c1/pause", "")
	w.arrived("c0", 50)
	waitFor(t, "the topic is noted", func() bool {
		_, text := a.ask("GET", "connectors/c0/topics", "")
		return text == `{"c0":{"topics":["t-c0"]}}`
	})
	a.stop()
	b := w.start()
	waitFor(t, "it runs", func() bool { return b.states("c0") == "RUNNING RUNNING" })
	waitFor(t, "it is paused", func() bool { return strings.HasPrefix(b.states("c1"), "PAUSED") })
	require.Equal(t, b.id, b.status("c0").Tasks[0].WorkerID)
	w.write("c0", 50, 60)
	w.arrived("c0", 60)
	require.Contains(t, b.must(200, "GET", "connectors/c0/offsets", ""), w.file("c0"))
}

// A worker that stops says so: its work is with nobody until the delay has passed.
func TestStoppedWorkerSaysSo(t *testing.T) {
	w := newWorld(t)
	w.delay = 400 * time.Millisecond
	a, b := w.start(), w.start()
	all := names(2)
	for _, name := range all {
		w.source(a, name)
	}
	waitFor(t, "both run", func() bool { return slices.Equal(b.spread(all, a, b), []int{2, 2}) })
	a.cancel() // and not waited for: the other one may be quick
	waitFor(t, "it is with nobody", func() bool {
		return slices.ContainsFunc(all, func(name string) bool { return strings.Contains(b.states(name), "UNASSIGNED") })
	})
	waitFor(t, "the other has it", func() bool { return b.spread(all, b)[0] == 4 })
	<-a.ended
	require.NoError(t, a.err)
}

// Requests between workers need the group's key.
func TestInternalRequestsAreSigned(t *testing.T) {
	w := newWorld(t)
	a := w.start()
	w.source(a, "c0")
	waitFor(t, "it runs", func() bool { return a.states("c0") == "RUNNING RUNNING" })
	tasks := fmt.Sprintf(`[{"connector.class":"FileStreamSource","file":%q,"topic":"t"}]`, w.file("c0"))
	status, text := a.ask("POST", "connectors/c0/tasks", tasks)
	require.Equal(t, 400, status)
	require.Contains(t, text, "Internal request missing required signature")
	for _, c := range []struct {
		algorithm, mac string
		status         int
		message        string
	}{
		{"HmacSHA256", "AAAA", 403, "Internal request contained invalid signature."},
		{"HmacSHA256", "%%%", 400, "Illegal base64 character 25"},
		{"HmacMD5", "AAAA", 400, "This worker does not support the 'HmacMD5' key signing algorithm used by other workers. This worker is currently configured to use: [HmacSHA256]."},
	} {
		err := (&rest.Peers{Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}).PutTaskConfigs(t.Context(), a.url, "c0",
			connect.Signature{Algorithm: c.algorithm, MAC: c.mac, Body: []byte(tasks)})
		var refused *connect.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, c.status, refused.Code)
		require.Contains(t, refused.Message, c.message)
	}
}

// A connector whose configuration was written by others and makes no sense is FAILED, and spares the others.
func TestFailedConnector(t *testing.T) {
	w := newWorld(t)
	a := w.start()
	w.source(a, "c0")
	waitFor(t, "it runs", func() bool { return a.states("c0") == "RUNNING RUNNING" })
	client, err := kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.DisableClientMetrics())
	require.NoError(t, err)
	defer client.Close()
	put := func(key, value string) {
		require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: w.group + "-configs", Key: []byte(key), Value: []byte(value)}).FirstErr())
	}
	put("connector-x", `{"properties":{"connector.class":"com.example.Nope","name":"x"}}`)
	put("task-y-0", `{"properties":{"task.class":"com.example.Task"}}`)
	put("commit-y", `{"tasks":1}`)
	put("connector-y", `{"properties":{"connector.class":"com.example.Nope","name":"y"}}`)
	waitFor(t, "it fails", func() bool { return a.states("x") == "FAILED" })
	require.Contains(t, a.status("x").Connector.Trace, "Failed to find any class")
	waitFor(t, "the connector fails", func() bool { return strings.HasPrefix(a.states("y"), "FAILED") })
	require.Equal(t, 500, first(a.ask("POST", "connectors/x/restart", "")))
	require.Equal(t, "RUNNING RUNNING", a.states("c0"))
	a.must(204, "DELETE", "connectors/x", "")
	waitFor(t, "nothing is left", func() bool { return first(a.ask("GET", "connectors/x/status", "")) == 404 })
}

// A level for all workers reaches all.
func TestLoggerLevelOfTheGroup(t *testing.T) {
	w := newWorld(t)
	a, b := w.start(), w.start()
	for _, x := range []*worker{a, b} {
		waitFor(t, "it is in the group", func() bool { return x.herder.Starting() == "" })
	}
	require.NoError(t, b.herder.SetLoggerLevel(t.Context(), "io.debezium", "DEBUG"))
	for _, x := range []*worker{a, b} {
		waitFor(t, "the level is set", func() bool {
			return strings.Contains(x.logs.String(), `msg="level is set" logger=io.debezium level=DEBUG`)
		})
	}
}
