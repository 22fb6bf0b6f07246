// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/internal/testdb"
)

// properties are those of a connector or of the worker.
type properties map[string]string

// with is a copy with changes; an empty value takes a property away.
func (p properties) with(changes properties) properties {
	out := maps.Clone(p)
	for name, value := range changes {
		if out[name] = value; value == "" {
			delete(out, name)
		}
	}
	return out
}

// setup is what a worker is started with, also a second time: its data folder and its files.
type setup struct {
	data       string
	worker     properties // of worker.properties, besides data.dir and listeners
	connectors map[string]properties
	source     *testdb.Server // whose journal judges the topics; nil for none
	gaps       bool           // the test loses changes on purpose
	unjudged   bool           // the topics are none of changes
}

func newSetup(t *testing.T) *setup {
	t.Helper()
	s := &setup{data: filepath.Join(t.TempDir(), "data"), connectors: map[string]properties{}}
	t.Cleanup(func() { s.judge(t) })
	return s
}

// files writes the files anew.
func (s *setup) files(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	write := func(name string, text []byte) {
		paths = append(paths, filepath.Join(dir, name))
		require.NoError(t, os.WriteFile(paths[len(paths)-1], text, 0o600))
	}
	var text bytes.Buffer
	for name, value := range (properties{"listeners": "http://127.0.0.1:0", "data.dir": s.data}).with(s.worker) {
		fmt.Fprintf(&text, "%s=%s\n", name, value)
	}
	write("worker.properties", text.Bytes())
	for name, cfg := range s.connectors {
		text, err := json.Marshal(map[string]any{"name": name, "config": cfg})
		require.NoError(t, err)
		write(name+".json", text)
	}
	return paths
}

// launch starts a worker and does not wait until it is ready.
func (s *setup) launch(t *testing.T) *process {
	t.Helper()
	return start(t, nil, append([]string{"--log-format", "json", "standalone"}, s.files(t)...)...)
}

// worker is a worker that runs.
type worker struct {
	*process
	url string
}

// start starts a worker and waits until its REST API answers and its connectors are there.
func (s *setup) start(t *testing.T) *worker {
	t.Helper()
	return ready(t, s.launch(t))
}

func ready(t *testing.T, p *process) *worker {
	t.Helper()
	w := &worker{process: p}
	waitFor(t, "the worker to be ready", func() bool {
		require.False(t, p.ended(), "the worker ended: %s", p.err)
		if lines := p.logged("worker is ready"); len(lines) > 0 {
			w.url = lines[0]["url"].(string)
		}
		return w.url != ""
	})
	return w
}

// refused runs a worker that does not start because of its configuration, and returns what it says.
func (s *setup) refused(t *testing.T) string {
	t.Helper()
	p := s.launch(t)
	require.Equal(t, 2, p.wait(t), "exit code: %s", p.err)
	return p.err.String()
}

// ask sends a request to the REST API.
func (w *worker) ask(t *testing.T, method, path string, body any) (status int, answer string) {
	t.Helper()
	var in io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		require.NoError(t, err)
		in = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, w.url+path, in)
	require.NoError(t, err)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err, "the worker says: %s", w.err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

// do sends a request that must succeed.
func (w *worker) do(t *testing.T, method, path string, body any) string {
	t.Helper()
	status, answer := w.ask(t, method, path, body)
	require.Less(t, status, 300, "%s %s: %s", method, path, answer)
	return answer
}

func (w *worker) status(t *testing.T, name string) connect.Status {
	t.Helper()
	var s connect.Status
	require.NoError(t, json.Unmarshal([]byte(w.do(t, "GET", "/connectors/"+name+"/status", nil)), &s))
	return s
}

// await waits until the only task of a connector is in a state, and returns its trace.
func (w *worker) await(t *testing.T, name string, state connect.State) string {
	t.Helper()
	return w.awaitTrace(t, name, state, "")
}

// awaitTrace waits until the task is in a state with a trace that has a word.
func (w *worker) awaitTrace(t *testing.T, name string, state connect.State, word string) (trace string) {
	t.Helper()
	var last connect.Status
	defer func() {
		if t.Failed() {
			t.Logf("last status: %+v", last)
		}
	}()
	waitFor(t, fmt.Sprintf("%s to be %s with %q", name, state, word), func() bool {
		last = w.status(t, name)
		if len(last.Tasks) != 1 || last.Tasks[0].State != state || !strings.Contains(last.Tasks[0].Trace, word) {
			return false
		}
		trace = last.Tasks[0].Trace
		return true
	})
	return trace
}

// restart restarts a connector and its tasks.
func (w *worker) restart(t *testing.T, name string) {
	t.Helper()
	w.do(t, "POST", "/connectors/"+name+"/restart?includeTasks=true", nil)
}

// change changes properties of a connector, which starts it anew.
func (w *worker) change(t *testing.T, name string, changes properties) {
	t.Helper()
	w.do(t, "PATCH", "/connectors/"+name+"/config", changes)
}

// sourceFile writes the source connector's file, and returns its path.
func (s *setup) sourceFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "source.json")
	text, err := json.Marshal(map[string]any{"name": sourceName, "config": s.connectors[sourceName]})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path
}
