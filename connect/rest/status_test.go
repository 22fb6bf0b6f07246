// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"freshet/connect"
)

func TestProbesFollowTheTasks(t *testing.T) {
	task := connect.TaskReport{State: connect.Running}
	reports := func() []connect.ConnectorReport {
		return []connect.ConnectorReport{{Name: "src", Type: "source", State: connect.Running, Tasks: []connect.TaskReport{task}}}
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(connect.NewMetrics(reports, "both"))
	s := httptest.NewServer(New(Options{Reports: reports, Metrics: metrics}))
	t.Cleanup(s.Close)
	get := func(path string, accept string) (int, string, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
		require.NoError(t, err)
		r.Header.Set("Accept", accept)
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, answer.Header.Get("Content-Type"), string(body)
	}
	for _, step := range []struct {
		task       connect.TaskReport
		ready      int
		alive      int
		readyBody  string
		metricLine string
	}{
		{connect.TaskReport{State: connect.Running}, 200, 200, `{"status":"ok","reasons":[]}`, "freshet_ready 1\n"},
		{connect.TaskReport{State: connect.Failed, Cause: "slot lost"}, 503, 200, `{"status":"failing","reasons":["connector src: the task is FAILED: slot lost"]}`, "freshet_ready 0\n"},
		{connect.TaskReport{State: connect.Running, Stalled: "nothing comes", StalledFor: 40}, 503, 200, `{"status":"failing","reasons":["connector src: the task makes no progress: nothing comes"]}`, "freshet_ready 0\n"},
		{connect.TaskReport{State: connect.Running, Stalled: "nothing comes", StalledFor: 400}, 503, 503, `{"status":"failing","reasons":["connector src: the task makes no progress: nothing comes"]}`, "freshet_ready 0\n"},
		{connect.TaskReport{State: connect.Running}, 200, 200, `{"status":"ok","reasons":[]}`, "freshet_ready 1\n"},
	} {
		task = step.task
		status, _, body := get("/readyz", "*/*")
		require.Equal(t, step.ready, status)
		require.Equal(t, step.readyBody, body)
		status, _, _ = get("/healthz", "*/*")
		require.Equal(t, step.alive, status)
		status, kind, text := get("/metrics", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.9,*/*;q=0.1")
		require.Equal(t, 200, status)
		require.Contains(t, kind, "text/plain")
		require.Contains(t, text, step.metricLine)
	}
	status, kind, body := get("/freshet/status", "application/json")
	require.Equal(t, 200, status)
	require.Equal(t, "application/json", kind)
	require.Contains(t, body, `"connectors":[{"name":"src","type":"source","class":"","state":"RUNNING","tasks":[{"id":0,"state":"RUNNING"`)
	c, err := NewClient(s.URL, ClientOptions{})
	require.NoError(t, err)
	r, err := c.Report(t.Context())
	require.NoError(t, err)
	require.True(t, r.Ready)
}
