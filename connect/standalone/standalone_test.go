// SPDX-License-Identifier: Apache-2.0

package standalone_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"freshet/capture"
	"freshet/config"
	"freshet/connect"
	"freshet/connect/connecttest"
	"freshet/connect/standalone"
	"freshet/emitter/topic/local"
	"freshet/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a herder with its store; a second herder on the same store is a restart.
type rig struct {
	*standalone.Herder
	db     *store.DB
	log    *local.Log
	source *connecttest.Source
	logs   *connecttest.Logs
}

func newRig(t *testing.T) *rig {
	t.Helper()
	db, log := connecttest.NewLog(t)
	r := &rig{db: db, log: log, source: &connecttest.Source{}, logs: &connecttest.Logs{}}
	r.restart(t)
	return r
}

// restart ends the herder, if there is one, and makes another on the same store.
func (r *rig) restart(t *testing.T) {
	t.Helper()
	if r.Herder != nil {
		require.NoError(t, r.Close(t.Context()))
	}
	logger := slog.New(slog.NewTextHandler(r.logs, nil))
	h := standalone.New(standalone.Options{
		Worker: connecttest.NewWorker(t, r.log, r.source, nil, logger), Store: r.db, WorkerID: "w:1", Log: logger,
	})
	r.Herder = h
	t.Cleanup(func() { require.NoError(t, h.Close(context.WithoutCancel(t.Context()))) })
}

var source = map[string]string{"connector.class": "FileStreamSource", "file": "nofile.txt", "topic": "t", "database.password": "canary-4711"}

func with(pairs ...string) map[string]string {
	out := maps.Clone(source)
	for i := 0; i+1 < len(pairs); i += 2 {
		out[pairs[i]] = pairs[i+1]
	}
	return out
}

func (r *rig) put(t *testing.T, name string, cfg map[string]string, state connect.State) connect.Info {
	t.Helper()
	info, _, err := r.Put(t.Context(), name, cfg, false, state)
	require.NoError(t, err)
	return info
}

// states is the state of a connector and its tasks in short, such as "RUNNING: RUNNING FAILED".
func (r *rig) states(t *testing.T, name string) string {
	t.Helper()
	s, err := r.Status(t.Context(), name)
	require.NoError(t, err)
	return brief(s)
}

func brief(s connect.Status) string {
	parts := []string{string(s.Connector.State) + ":"}
	for _, task := range s.Tasks {
		parts = append(parts, string(task.State))
	}
	return strings.Join(parts, " ")
}

func (r *rig) settles(t *testing.T, name, want string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for r.states(t, name) != want {
		require.False(t, time.Now().After(deadline), "waited for %q, it is %q", want, r.states(t, name))
		<-time.After(time.Millisecond)
	}
}

func code(err error) int {
	var e *connect.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

func TestPauseStopResume(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	info := r.put(t, "c", source, "")
	require.Equal(t, []connect.TaskID{{Connector: "c", Task: 0}}, info.Tasks, "tasks are there at once")
	r.settles(t, "c", "RUNNING: RUNNING")
	require.NoError(t, r.Pause(ctx, "c"))
	require.Equal(t, "PAUSED: PAUSED", r.states(t, "c"), "a pause is done when the call returns")
	require.NoError(t, r.Pause(ctx, "c"))
	_, err := r.Restart(ctx, "c", true, false)
	require.NoError(t, err)
	require.Equal(t, "PAUSED: PAUSED", r.states(t, "c"), "a restart leaves it paused")
	require.NoError(t, r.Resume(ctx, "c"))
	r.settles(t, "c", "RUNNING: RUNNING")
	require.NoError(t, r.Stop(ctx, "c"))
	require.Equal(t, "STOPPED:", r.states(t, "c"))
	require.Equal(t, 409, code(r.RestartTask(ctx, connect.TaskID{Connector: "c"})))
	require.NoError(t, r.Pause(ctx, "c"))
	require.Equal(t, "PAUSED:", r.states(t, "c"))
	require.NoError(t, r.Resume(ctx, "c"))
	r.settles(t, "c", "RUNNING: RUNNING")
	require.NoError(t, r.Delete(ctx, "c"))
	_, err = r.Status(ctx, "c")
	require.EqualError(t, err, "No status found for connector c")
}

func TestRestart(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	r.source.OnSplit = func(v config.Values, _ int) ([]config.Values, error) {
		return []config.Values{v.With("file", "a"), v.With("file", "b")}, nil
	}
	var mu sync.Mutex
	broken := true
	r.source.OnOpen = func(_ int, env capture.Env, v config.Values) (capture.Reader, error) {
		mu.Lock()
		defer mu.Unlock()
		if broken && v.Get("file") == "b" {
			return nil, &connecttest.ScriptedError{Message: "bad task start", Final: true}
		}
		return &connecttest.Reader{File: v.Get("file"), From: env.From}, nil
	}
	r.put(t, "c", source, "")
	r.settles(t, "c", "RUNNING: RUNNING FAILED")
	for _, c := range []struct {
		name          string
		tasks, failed bool
		first         string
	}{
		{"nothing failed in the connector", false, true, "RUNNING: RUNNING FAILED"},
		{"connector alone", false, false, "RESTARTING: RUNNING FAILED"},
		{"failed tasks", true, true, "RUNNING: RUNNING RESTARTING"},
		{"everything", true, false, "RESTARTING: RESTARTING RESTARTING"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := r.Restart(ctx, "c", c.tasks, c.failed)
			require.NoError(t, err)
			require.Equal(t, c.first, brief(s))
			r.settles(t, "c", "RUNNING: RUNNING FAILED")
		})
	}
	mu.Lock()
	broken = false
	mu.Unlock()
	require.NoError(t, r.RestartTask(ctx, connect.TaskID{Connector: "c", Task: 1}))
	r.settles(t, "c", "RUNNING: RUNNING RUNNING")
	require.EqualError(t, r.RestartTask(ctx, connect.TaskID{Connector: "c", Task: 2}), "Unknown task: c-2")
}

// TestFailedInstances has what the recording failed-instances tells of failed connectors and tasks.
func TestFailedInstances(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	fault := []capture.Finding{{Level: capture.Fail, Subject: "wal_level", Seen: "replica", Fix: "ALTER SYSTEM"}}
	r.source.OnCheck = func(config.Values) ([]capture.Finding, error) { return fault, nil }
	var mu sync.Mutex
	var openError error = &connecttest.ScriptedError{Message: "no logical decoding", Final: true}
	r.source.OnOpen = func(_ int, env capture.Env, v config.Values) (capture.Reader, error) {
		mu.Lock()
		defer mu.Unlock()
		return &connecttest.Reader{From: env.From}, openError
	}
	r.put(t, "c", source, "")
	r.settles(t, "c", "FAILED: FAILED")
	s, err := r.Status(ctx, "c")
	require.NoError(t, err)
	require.Contains(t, s.Connector.Trace, "Caused by: no logical decoding")
	require.Contains(t, s.Connector.Trace, "wal_level is replica; to mend it: ALTER SYSTEM")
	require.NoError(t, r.Pause(ctx, "c"))
	require.Equal(t, "FAILED: FAILED", r.states(t, "c"), "a pause leaves it failed")
	require.NoError(t, r.Resume(ctx, "c"))
	r.settles(t, "c", "FAILED: FAILED")
	require.Equal(t, 2, r.source.Opened(), "a resume tries again")
	require.NoError(t, r.Stop(ctx, "c"))
	require.Equal(t, "STOPPED:", r.states(t, "c"), "a stop ends the failure")
	require.NoError(t, r.Resume(ctx, "c"))
	r.settles(t, "c", "FAILED: FAILED")
	mu.Lock()
	openError = nil
	mu.Unlock()
	first, err := r.Restart(ctx, "c", false, true)
	require.NoError(t, err)
	require.Equal(t, connect.Restarting, first.Connector.State)
	r.settles(t, "c", "RUNNING: RUNNING")
}

func TestConnectorsSurviveARestart(t *testing.T) {
	r := newRig(t)
	r.put(t, "runs", source, "")
	r.put(t, "paused", source, connect.Paused)
	r.put(t, "stopped", source, "")
	r.put(t, "gone", source, "")
	require.NoError(t, r.Stop(t.Context(), "stopped"))
	require.NoError(t, r.Delete(t.Context(), "gone"))
	require.NoError(t, r.AddFile(t.Context(), config.File{Name: "file", Config: source}))
	r.restart(t)
	require.NoError(t, r.Start(t.Context(), nil))
	names, err := r.Connectors(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"runs", "paused", "stopped"}, names, "one of a file is not stored")
	r.settles(t, "runs", "RUNNING: RUNNING")
	require.Equal(t, "PAUSED:", r.states(t, "paused"))
	require.Equal(t, "STOPPED:", r.states(t, "stopped"))
	stored, err := r.db.Connectors()
	require.NoError(t, err)
	require.Contains(t, string(stored[0].Config), "canary-4711", "the password is needed again")
}

// Files go before stored connectors of the same name; a broken stored one spares the others.
func TestStart(t *testing.T) {
	r := newRig(t)
	cfg, err := json.Marshal(with("name", "bad", "connector.class", "NoMore"))
	require.NoError(t, err)
	require.NoError(t, r.db.PutConnector("bad", cfg))
	r.put(t, "same", with("file", "old"), connect.Stopped)
	r.restart(t)
	require.NoError(t, r.Start(t.Context(), map[string]bool{"same": true}))
	require.NoError(t, r.AddFile(t.Context(), config.File{Name: "same", Config: with("file", "new")}))
	info, err := r.Info(t.Context(), "same")
	require.NoError(t, err)
	require.Equal(t, "new", info.Config["file"])
	r.settles(t, "same", "RUNNING: RUNNING")
	s, err := r.Status(t.Context(), "bad")
	require.NoError(t, err)
	require.Equal(t, connect.Failed, s.Connector.State)
	require.Equal(t, "unknown", s.Type)
	require.Contains(t, s.Connector.Trace, "Failed to find any class that implements Connector and which name matches NoMore")
	bad, err := r.Info(t.Context(), "bad")
	require.NoError(t, err)
	require.Equal(t, "****", bad.Config["database.password"])
	_, err = r.Offsets(t.Context(), "bad")
	require.ErrorContains(t, err, "is not valid")
	r.put(t, "bad", source, "")
	r.settles(t, "bad", "RUNNING: RUNNING")
	require.Equal(t, 409, code(r.AddFile(t.Context(), config.File{Name: "same", Config: source})), "two files of one name clash")
	require.Equal(t, 400, code(r.AddFile(t.Context(), config.File{Name: "x", Config: source, InitialState: "ASLEEP"})))
}

func TestPutRefuses(t *testing.T) {
	r := newRig(t)
	r.put(t, "c", source, "")
	for _, c := range []struct {
		name    string
		to      string
		cfg     map[string]string
		create  bool
		code    int
		message string
	}{
		{"existing", "c", source, true, 409, "Connector c already exists"},
		{"existing, with blanks", " c ", source, true, 409, "Connector c already exists"},
		{"invalid before existing", "c", with("tasks.max", "0"), true, 400, "Value must be at least 1"},
		{"another name inside", "c", with("name", "d"), false, 400, "Connector name configuration (d) doesn't match connector name in the URL (c)"},
		{"no class", "d", map[string]string{"file": "x"}, false, 400, "Connector config {file=x, name=d} contains no connector type"},
		{"no name", "", source, false, 400, "Invalid value  for configuration name: String may not be empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := r.Put(t.Context(), c.to, c.cfg, c.create, "")
			require.ErrorContains(t, err, c.message)
			require.Equal(t, c.code, code(err))
		})
	}
	names, err := r.Connectors(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"c"}, names)
}

func TestPatch(t *testing.T) {
	r := newRig(t)
	r.put(t, "c", source, connect.Stopped)
	info, err := r.Patch(t.Context(), "c", map[string]string{"batch.size": "7", "database.password": "****"})
	require.NoError(t, err)
	require.Equal(t, "7", info.Config["batch.size"])
	require.Equal(t, "****", info.Config["database.password"])
	info, err = r.Patch(t.Context(), "c", map[string]string{"batch.size": connect.NullValue})
	require.NoError(t, err)
	require.NotContains(t, info.Config, "batch.size")
	require.Equal(t, "STOPPED:", r.states(t, "c"), "a new configuration keeps the state")
	stored, err := r.db.Connectors()
	require.NoError(t, err)
	require.Contains(t, string(stored[0].Config), "canary-4711", "the mask means the stored password")
	_, err = r.Patch(t.Context(), "c", map[string]string{"name": connect.NullValue})
	require.Equal(t, 400, code(err))
	_, err = r.Patch(t.Context(), "none", nil)
	require.EqualError(t, err, "Connector none not found")
}

func TestOffsetsNeedAStoppedConnector(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	at := []connect.Offset{{Partition: `{ "filename": "x" }`, Offset: `{ "position": 4 }`}}
	r.put(t, "c", source, "")
	require.ErrorContains(t, r.SetOffsets(ctx, "c", at), "must be in the STOPPED state")
	require.ErrorContains(t, r.ResetOffsets(ctx, "c"), "'/connectors/c/stop' endpoint")
	require.Equal(t, 404, code(r.ResetOffsets(ctx, "none")))
	require.NoError(t, r.Stop(ctx, "c"))
	require.NoError(t, r.SetOffsets(ctx, "c", at))
	got, err := r.Offsets(ctx, "c")
	require.NoError(t, err)
	require.Equal(t, []connect.Offset{{Partition: `{"filename":"x"}`, Offset: `{"position":4}`}}, got)
	require.NoError(t, r.Delete(ctx, "c"))
	r.put(t, "c", source, connect.Stopped)
	got, err = r.Offsets(ctx, "c")
	require.NoError(t, err)
	require.Len(t, got, 1, "positions survive the connector")
	require.NoError(t, r.ResetOffsets(ctx, "c"))
	got, err = r.Offsets(ctx, "c")
	require.NoError(t, err)
	require.Empty(t, got)
}

// What a connector had read and not emitted goes with it, and with its positions.
func TestSpoolsGo(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(r *rig) error
	}{
		{"with the connector", func(r *rig) error { return r.Delete(t.Context(), "c") }},
		{"with its positions", func(r *rig) error { return r.ResetOffsets(t.Context(), "c") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.put(t, "c", source, connect.Stopped)
			var spools []*capture.Spool
			for _, name := range []string{"c", "d"} {
				s := capture.NewSpool(r.log, name)
				require.NoError(t, s.Create(t.Context()))
				done := make(chan error, 1)
				s.Append(t.Context(), []byte("x"), `{"v":1}`, func(err error) { done <- err })
				require.NoError(t, <-done)
				spools = append(spools, s)
			}
			require.NoError(t, c.end(r))
			mark, entries, err := spools[0].State(t.Context())
			require.NoError(t, err)
			require.Empty(t, mark)
			require.Zero(t, entries)
			_, entries, err = spools[1].State(t.Context())
			require.NoError(t, err)
			require.Equal(t, int64(1), entries, "that of another connector stays")
			infos, err := r.log.List(t.Context())
			require.NoError(t, err)
			require.Len(t, infos, 1)
		})
	}
}

func TestWarnsOncePerProperty(t *testing.T) {
	r := newRig(t)
	for range 3 {
		r.put(t, "c", with("fiel", "x"), "")
	}
	require.Equal(t, 1, strings.Count(r.logs.String(), "property=fiel"))
}

func TestUnknownConnectors(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	_, infoErr := r.Info(ctx, "nix")
	_, taskErr := r.TaskConfigs(ctx, "nix")
	_, restartErr := r.Restart(ctx, "nix", false, false)
	for _, c := range []struct {
		err  error
		want string
	}{
		{infoErr, "Connector nix not found"},
		{taskErr, "Connector nix not found"},
		{r.Delete(ctx, "nix"), "Connector nix not found"},
		{r.Pause(ctx, "nix"), "Unknown connector nix"},
		{r.Resume(ctx, "nix"), "Unknown connector nix"},
		{r.Stop(ctx, "nix"), "Unknown connector nix"},
		{restartErr, "Unknown connector: nix"},
		{r.RestartTask(ctx, connect.TaskID{Connector: "nix"}), "Unknown connector: nix"},
	} {
		require.EqualError(t, c.err, c.want)
		require.Equal(t, 404, code(c.err))
	}
	topics, err := r.Topics(ctx, "nix")
	require.NoError(t, err)
	require.Equal(t, []string{}, topics)
	require.NoError(t, r.ResetTopics(ctx, "nix"))
}

func TestClose(t *testing.T) {
	r := newRig(t)
	closed := make(chan struct{})
	r.source.OnClose = func() { close(closed) }
	r.put(t, "c", source, "")
	r.settles(t, "c", "RUNNING: RUNNING")
	require.NoError(t, r.Close(t.Context()))
	<-closed
	require.NoError(t, r.Close(t.Context()))
	_, _, err := r.Put(t.Context(), "d", source, false, "")
	require.Equal(t, 503, code(err))
}

// A task that does not end within the deadline is told of, and waited for by the next change.
func TestChangeGivesUpWithItsContext(t *testing.T) {
	r := newRig(t)
	release := make(chan struct{})
	r.source.OnClose = func() { <-release }
	r.put(t, "c", source, "")
	r.settles(t, "c", "RUNNING: RUNNING")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, r.Stop(ctx, "c"), "task c-0 has not stopped")
	close(release)
	require.NoError(t, r.Stop(t.Context(), "c"))
	require.Equal(t, "STOPPED:", r.states(t, "c"))
}

// The canary is the password of a connector: it is nowhere but in the store.
func TestCanary(t *testing.T) {
	const canary = "canary-4711"
	r := newRig(t)
	ctx := t.Context()
	r.source.OnOpen = func(int, capture.Env, config.Values) (capture.Reader, error) {
		return nil, &connecttest.ScriptedError{Message: "dial postgres://app:" + canary + "@db/x: refused (password=" + canary + ")", Final: true}
	}
	url := "jdbc:postgresql://h/d?user=a&password=" + canary
	r.put(t, "c", with("connection.url", url, "ssl.keystore.password", canary), "")
	r.settles(t, "c", "RUNNING: FAILED")
	var shown []any
	info, err := r.Info(ctx, "c")
	require.NoError(t, err)
	status, err := r.Status(ctx, "c")
	require.NoError(t, err)
	tasks, err := r.TaskConfigs(ctx, "c")
	require.NoError(t, err)
	_, _, invalid := r.Put(ctx, "c", with("tasks.max", "0", "database.password", canary), false, "")
	require.Error(t, invalid)
	_, _, classless := r.Put(ctx, "e", map[string]string{"database.password": canary}, false, "")
	require.Error(t, classless)
	shown = append(shown, info, status, tasks, invalid.Error(), classless.Error())
	for _, s := range shown {
		text, err := json.Marshal(s)
		require.NoError(t, err)
		require.NotContains(t, string(text), canary)
	}
	require.NotContains(t, r.logs.String(), canary)
	require.Contains(t, r.logs.String(), "task failed")
}
