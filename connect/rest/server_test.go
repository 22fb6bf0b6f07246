// SPDX-License-Identifier: Apache-2.0

package rest_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/connect/connecttest"
	"freshet/connect/rest"
	"freshet/connect/standalone"
	"freshet/emitter/topic"
	"freshet/emitter/topic/local"
	"freshet/internal/loglevel"
	"freshet/internal/topicio"
)

// server is a worker with the API in front of it.
type server struct {
	t      testing.TB
	url    string
	http   *httptest.Server
	herder *standalone.Herder
	log    *local.Log
	source *connecttest.Source
	levels *loglevel.Levels
}

// newServer starts a worker with the test connectors in an empty folder, and ends it with the test. change, if not nil,
// changes the options of the API.
func newServer(t testing.TB, change func(o *rest.Options)) *server {
	t.Helper()
	source := &connecttest.Source{}
	s := serverWith(t, change, func(log *local.Log, logger *slog.Logger) *connect.Worker {
		return connecttest.NewWorker(t, log, source, nil, logger)
	})
	s.source = source
	return s
}

// serverWith is newServer with another worker.
func serverWith(t testing.TB, change func(o *rest.Options), worker func(log *local.Log, logger *slog.Logger) *connect.Worker) *server {
	t.Helper()
	t.Chdir(t.TempDir())
	db, log := connecttest.NewLog(t)
	levels, err := loglevel.New("info")
	require.NoError(t, err)
	s := &server{t: t, log: log, levels: levels}
	h := httptest.NewUnstartedServer(nil)
	logger := slog.New(slog.DiscardHandler)
	s.herder = standalone.New(standalone.Options{
		Worker: worker(log, logger), Store: db, WorkerID: h.Listener.Addr().String(), Log: logger,
	})
	o := rest.Options{
		Herder: s.herder, Topics: log, Commit: "abc", ClusterID: func() string { return "id" }, Hosts: []string{"freshet.example"}, Log: logger, Levels: levels,
	}
	if change != nil {
		change(&o)
	}
	h.Config.Handler = rest.New(o)
	h.Start()
	s.http, s.url = h, h.URL
	require.NoError(t, log.Create(t.Context(), topic.Spec{Name: "k1-sink-in", Partitions: 2}))
	t.Cleanup(func() {
		h.Close()
		require.NoError(t, s.herder.Close(context.WithoutCancel(t.Context())))
	})
	return s
}

func (s *server) address() string { return strings.TrimPrefix(s.url, "http://") }

func (s *server) produce(name string, lines ...string) {
	s.t.Helper()
	n, err := topicio.Produce(s.t.Context(), s.log, name, strings.NewReader(strings.Join(lines, "\n")))
	require.NoError(s.t, err)
	require.Equal(s.t, len(lines), n)
}

// tick waits a moment between two looks at something that is settling.
func (s *server) tick(t *testing.T) {
	t.Helper()
	select {
	case <-time.After(5 * time.Millisecond):
	case <-t.Context().Done():
		t.Fatal("test ended while waiting")
	}
}

// settle waits until every task has come up, as the recorder did between requests.
func (s *server) settle(t *testing.T) {
	t.Helper()
	names, err := s.herder.Connectors(t.Context())
	require.NoError(t, err)
	for _, name := range names {
		for deadline := time.Now().Add(5 * time.Second); ; s.tick(t) {
			status, err := s.herder.Status(t.Context(), name)
			require.NoError(t, err)
			coming := slices.ContainsFunc(status.Tasks, func(task connect.TaskStatus) bool { return task.State == connect.Unassigned })
			if !coming {
				break
			}
			require.False(t, time.Now().After(deadline), "%s does not come up", name)
		}
	}
}

// prepare makes what a recording found there.
func (s *server) prepare(t *testing.T, name string) {
	t.Helper()
	if name == "create-invalid-config" {
		names, err := s.herder.Connectors(t.Context())
		require.NoError(t, err)
		require.Empty(t, names)
	}
}

// do sends a request by the standard client.
func (s *server) do(t *testing.T, method, path, body string, headers ...string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	var text strings.Builder
	_, err = io.Copy(&text, resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header, text.String()
}
