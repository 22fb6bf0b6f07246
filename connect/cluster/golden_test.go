// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"freshet/capture"
	"freshet/config"
	"freshet/connect"
	"freshet/connect/connecttest"
	"freshet/sinks"
)

// root is the way to the module's folder.
const root = "../.."

func (x *worker) address() string { return strings.TrimSuffix(x.url, "/") }

// replay replays a recording to workers, the first of which stands for port 8183, the second for 8184.
func replay(t *testing.T, p connecttest.Replay, name string, workers ...*worker) {
	t.Helper()
	p.Recording, p.Workers = connecttest.ReadRecording(t, root, name), map[int]string{}
	for n, x := range workers {
		p.Workers[8183+n] = x.address()
	}
	p.Run(t)
}

// Requests that Kafka Connect's second worker passed on have the same answers here: statuses, and messages of errors that are
// not Java's own.
func TestGoldenForwarding(t *testing.T) {
	w := newWorld(t)
	a := w.start()
	waitFor(t, "a leads", func() bool { return a.herder.Starting() == "" })
	b := w.start()
	for _, name := range []string{"w0", "w1", "w2", "w3"} {
		w.source(a, name)
		waitFor(t, "it runs", func() bool { return b.states(name) == "RUNNING RUNNING" })
	}
	replay(t, connecttest.Replay{Normal: func(_ int, body any) {
		if object, ok := body.(map[string]any); ok && object["message"] == nil {
			clear(object) // of other files and topics
		}
	}}, "rest/forwarding", a, b)
}

// failedVersions leaves out the versions of what has failed: Kafka Connect knows none of a task that it could not make.
func failedVersions(body any) {
	switch v := body.(type) {
	case []any:
		for _, item := range v {
			failedVersions(item)
		}
	case map[string]any:
		if v["trace"] != nil {
			delete(v, "version")
		}
		for _, item := range v {
			failedVersions(item)
		}
	}
}

// broken is a source without a database for connectors that fail.
func (w *world) broken(change func(s *connecttest.Source)) *connect.Plugins {
	s := &connecttest.Source{}
	change(s)
	return connect.NewPlugins([]capture.Connector{s}, []sinks.Connector{&connecttest.Sink{}})
}

// Connectors in all states, side by side.
func TestGoldenStates(t *testing.T) {
	w := newWorld(t)
	w.plugins = w.broken(func(s *connecttest.Source) {
		s.OnOpen = func(_ int, env capture.Env, v config.Values) (capture.Reader, error) {
			if v.Raw()["name"] == "m-fail" {
				return nil, &connecttest.ScriptedError{Message: "bad", Final: true}
			}
			return &connecttest.Reader{File: v.Get("file"), From: env.From}, nil
		}
	})
	a := w.start()
	var first map[string]struct {
		Status struct{ Connector struct{ State string } }
		Info   struct{ Config map[string]string }
	}
	require.NoError(t, json.Unmarshal(connecttest.ReadRecording(t, root, "rest/states-mixed").Exchanges[0].Response.Body, &first))
	for _, name := range slices.Sorted(maps.Keys(first)) {
		cfg := first[name].Info.Config
		if name == "m-fail" { // what is wrong with it is found before its task starts
			maps.DeleteFunc(cfg, func(property, _ string) bool { return strings.HasPrefix(property, "transforms") })
		}
		initial := first[name].Status.Connector.State
		text, err := json.Marshal(map[string]any{"name": name, "config": cfg, "initial_state": initial})
		require.NoError(t, err)
		a.must(201, "POST", "connectors", string(text))
	}
	failures := func(n int) func() {
		return func() {
			waitFor(t, "the task to fail again", func() bool { return strings.Count(a.logs.String(), "task failed") == n })
			waitFor(t, "its status to tell", func() bool { return a.states("m-fail") == "RUNNING FAILED" })
		}
	}
	replay(t, connecttest.Replay{
		Normal: func(n int, body any) {
			failedVersions(body)
			if n > 0 {
				return
			}
			one, ok := body.(map[string]any)["m-fail"].(map[string]any)
			if !ok {
				return // it has no status yet
			}
			cfg := one["info"].(map[string]any)["config"].(map[string]any)
			maps.DeleteFunc(cfg, func(property string, _ any) bool { return strings.HasPrefix(property, "transforms") })
		},
		Own:   map[int]connecttest.OwnAnswer{5: {Status: 204, Why: "a task is restarted, and its status tells what becomes of it"}},
		After: map[int]func(){3: failures(2), 5: failures(3)}, // the first one was before
	}, "rest/states-mixed", a)
}

// brokenSource is the recordings' own source, k1.BadSource, as far as what it does means something here.
type brokenSource struct {
	connecttest.Source
	unfit atomic.Bool // connectors of mode connector-start cannot be made
}

// Describe has the class of the recordings. It has no say in changes of positions.
func (s *brokenSource) Describe() capture.Description {
	d := s.Source.Describe()
	d.Class, d.Version, d.OffsetsElsewhere = "k1.BadSource", "1.2.3", true
	d.Def.Keys = slices.Clone(d.Def.Keys)
	for n := range d.Def.Keys {
		d.Def.Keys[n].Required = false
	}
	return d
}

// Split makes as many tasks as there may be.
func (s *brokenSource) Split(v config.Values, limit int) ([]config.Values, error) {
	if v.Raw()["mode"] == "connector-start" && s.unfit.Load() {
		return nil, errors.New("bad connector start")
	}
	out := make([]config.Values, limit)
	for n := range out {
		out[n] = v.With("part", strconv.Itoa(n))
	}
	return out, nil
}

// Open fails the second task of mode task-start.
func (s *brokenSource) Open(_ context.Context, env capture.Env, v config.Values) (capture.Reader, error) {
	if v.Raw()["mode"] == "task-start" && v.Raw()["part"] == "1" {
		return nil, &connecttest.ScriptedError{Message: "bad task start 1", Final: true}
	}
	return &connecttest.Reader{From: env.From}, nil
}

// CheckOffset takes everything.
func (s *brokenSource) CheckOffset(string, string) error { return nil }

// brokenSink is k1.BadSink.
type brokenSink struct{ connecttest.Sink }

// Describe has the class of the recordings. It has no say in changes of offsets.
func (s *brokenSink) Describe() config.Plugin {
	p := s.Sink.Describe()
	p.Class, p.OffsetsElsewhere = "k1.BadSink", true
	return p
}

// Connectors and tasks that fail are restarted, paused, stopped and resumed; positions of connectors that have no say in their
// changes.
func TestGoldenFailedInstances(t *testing.T) {
	w := newWorld(t)
	source := &brokenSource{}
	w.plugins = connect.NewPlugins([]capture.Connector{source}, []sinks.Connector{&brokenSink{}})
	a := w.start()
	for _, c := range [][2]string{
		{"conn-start", `"connector.class":"k1.BadSource","mode":"connector-start","tasks.max":"1"`},
		{"task-start", `"connector.class":"k1.BadSource","mode":"task-start","tasks.max":"2"`},
		{"task-bad-offset", `"connector.class":"k1.BadSource","mode":"bad-offset","tasks.max":"1"`},
		{"task-poll-retriable", `"connector.class":"k1.BadSource","mode":"poll-retriable","tasks.max":"1"`},
		{"sink-put", `"connector.class":"k1.BadSink","mode":"put","topics":"k1-sink-put"`},
	} {
		a.must(201, "PUT", "connectors/"+c[0]+"/config", "{"+c[1]+"}")
	}
	waitFor(t, "all run", func() bool {
		return a.states("conn-start") == "RUNNING RUNNING" && a.states("task-start") == "RUNNING RUNNING FAILED" && a.states("sink-put") == "RUNNING RUNNING"
	})
	// The connector of mode connector-start was never good there, so that it has no tasks.
	a.must(204, "PUT", "connectors/conn-start/stop", "")
	waitFor(t, "it has stopped", func() bool { return a.states("conn-start") == "STOPPED" })
	source.unfit.Store(true)
	a.must(202, "PUT", "connectors/conn-start/resume", "")
	waitFor(t, "it has failed", func() bool { return a.states("conn-start") == "FAILED" })
	const enforced = "no connector makes more tasks than tasks.max here"
	replay(t, connecttest.Replay{
		Left: map[int]string{10: enforced, 11: enforced, 12: enforced},
		Normal: func(_ int, body any) {
			object, ok := body.(map[string]any)
			if !ok {
				return
			}
			if tasks, ok := object["tasks"].([]any); ok {
				for _, task := range tasks {
					delete(task.(map[string]any), "version") // there the task's class has one of its own
				}
			}
		},
	}, "rest/failed-instances", a)
}

// What a second worker brings: its own answers, and those about what moves to it. In between the first worker's tell of what is
// with nobody.
func TestGoldenSecondWorker(t *testing.T) {
	w := newWorld(t)
	a := w.start()
	waitFor(t, "a leads", func() bool { return a.herder.Starting() == "" })
	cfg := `{"connector.class":"FileStreamSource","tasks.max":"1","file":"nofile.txt","topic":"k1-lines"}`
	for _, name := range []string{"w0", "w1", "w2", "w3"} {
		a.must(201, "PUT", "connectors/"+name+"/config", cfg)
		waitFor(t, "it runs", func() bool { return a.states(name) == "RUNNING RUNNING" })
	}
	recording := connecttest.ReadRecording(t, root, "rest/second-worker-joins")
	const before, notReady, rest = 4, 3, 5
	first, later := *recording, *recording
	first.Exchanges, later.Exchanges = recording.Exchanges[:before], recording.Exchanges[before+notReady:]
	first.Exchanges[3].Request.Body = json.RawMessage(cfg) // the recording leaves it out
	first.Exchanges[3].Request.Headers = map[string]string{"Content-Type": "application/json"}
	(&connecttest.Replay{Recording: &first, Workers: map[int]string{8183: a.address()}}).Run(t)

	// What GET /connectors/NAME/status told meanwhile, by connector and task, is what was recorded for them: RUNNING here, with
	// nobody, RUNNING there.
	ctx, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	seen := map[string]bool{}
	asking.Go(func() {
		for ctx.Err() == nil {
			for _, name := range []string{"w0", "w1", "w2", "w3"} {
				s, err := a.herder.Status(ctx, name)
				if err != nil {
					continue
				}
				seen[string(s.Connector.State)] = true
				for _, task := range s.Tasks {
					seen[string(task.State)] = true
				}
			}
		}
	})
	b := w.start()
	moved := func(name string) bool {
		s := a.status(name)
		return s.Connector.State == connect.Running && s.Connector.WorkerID == b.id && len(s.Tasks) == 1 && s.Tasks[0].State == connect.Running && s.Tasks[0].WorkerID == b.id
	}
	waitFor(t, "two share", func() bool { return slices.Equal(a.spread([]string{"w0", "w1", "w2", "w3"}, a, b), []int{4, 4}) })
	stop()
	asking.Wait()
	require.Equal(t, map[string]bool{"RUNNING": true, "UNASSIGNED": true}, seen)
	var there []string
	for _, name := range []string{"w0", "w1", "w2", "w3"} {
		if moved(name) {
			there = append(there, name)
		}
	}
	require.Contains(t, there, "w0", "the connector that moved in the recording")
	passing := "with nobody, which lasts a moment: asked for above"
	replayed := connecttest.Replay{
		Recording: &later, Workers: map[int]string{8183: a.address(), 8184: b.address()},
		Left: map[int]string{0: passing, 5: passing, 6: passing},
	}
	require.Len(t, later.Exchanges, 2+rest)
	replayed.Run(t)
}

// In a rebalance that does not end, requests that have to wait for its end are told so.
func TestGoldenConflict(t *testing.T) {
	w := newWorld(t)
	w.patience = 50 * time.Millisecond
	a := w.start()
	waitFor(t, "a leads", func() bool { return a.herder.Starting() == "" })
	b := w.start()
	a.must(201, "PUT", "connectors/h0/config", `{"connector.class":"FileStreamSource","file":"nofile.txt","topic":"k1-lines"}`)
	for _, x := range []*worker{a, b} {
		waitFor(t, "it runs", func() bool { return x.states("h0") == "RUNNING RUNNING" })
	}
	held, release := make(chan struct{}, 10), make(chan struct{})
	w.fake.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.fake.KeepControl()
		held <- struct{}{}
		w.fake.SleepControl(func() { <-release })
		return nil, nil, false
	})
	status, text := send(t, "POST", a.url+"connectors", `{"name":"h1","config":{"connector.class":"FileStreamSource","topic":"t"}}`)
	require.Equal(t, 201, status, text)
	<-held
	<-held
	recording := connecttest.ReadRecording(t, root, "rest/conflict-while-rebalancing")
	recording.Exchanges[3].Request.Headers = map[string]string{"Content-Type": "application/json"} // the recording leaves it out
	replayed := connecttest.Replay{
		Recording: recording, Workers: map[int]string{8183: a.address(), 8184: b.address()},
		Own: map[int]connecttest.OwnAnswer{2: {Status: 200, Why: "what is read does not depend on the rebalance: see docs/compatibility.md"}},
	}
	replayed.Run(t)
	close(release)
	a.must(204, "POST", "connectors/h0/restart", "")
}

// A sink may not read by the group that the workers share.
func TestGoldenGroupClash(t *testing.T) {
	w := newWorld(t)
	w.group = "connect-k"
	a := w.start()
	recording := connecttest.ReadRecording(t, root, "rest/create-invalid-config")
	recording.Exchanges = recording.Exchanges[20:22]
	waitFor(t, "it leads", func() bool { return a.herder.Starting() == "" })
	(&connecttest.Replay{Recording: recording, Workers: map[int]string{8183: a.address()}}).Run(t)
	require.JSONEq(t, "[]", a.must(200, "GET", "connectors", ""))
}

func send(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}
