// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"freshet/connect"
)

// mediaText is the type of /metrics.
const mediaText = "text/plain"

// watchRoutes are how a worker is watched: for Prometheus, for orchestrators, and for people.
func (a *api) watchRoutes() (routes []route) {
	get := func(h handler) []method { return []method{{http.MethodGet, h}} }
	if a.o.Reports != nil {
		routes = append(routes,
			route{path: []string{"healthz"}, media: mediaJSON, methods: get(a.healthz)},
			route{path: []string{"readyz"}, media: mediaJSON, methods: get(a.readyz)},
			route{path: []string{"freshet", "status"}, media: mediaJSON, methods: get(a.report)})
	}
	if a.o.Metrics != nil {
		h := promhttp.HandlerFor(a.o.Metrics, promhttp.HandlerOpts{})
		routes = append(routes, route{
			path: []string{"metrics"}, media: mediaText, methods: get(nil),
			stream: func(w http.ResponseWriter, r *http.Request, _ []string) { h.ServeHTTP(w, r) },
		})
	}
	return routes
}

// Gatherer is where metrics come from.
type Gatherer = prometheus.Gatherer

// probes are what is answered before the worker has begun.
var probes = map[string]bool{"healthz": true, "readyz": true, "health": true, "metrics": true}

// starting is what the worker still waits for.
func (a *api) starting() string {
	if a.o.Starting == nil {
		return ""
	}
	return a.o.Starting()
}

// probe is the answer of /healthz and /readyz: the status, and why per connector.
type probe struct {
	Status  string   `json:"status"` // ok or failing
	Reasons []string `json:"reasons"`
}

// answer leaves the reasons out for those who showed no token where one is asked for.
func answer(q *request, reasons []string) (reply, error) {
	if len(reasons) == 0 {
		return ok(probe{"ok", []string{}})
	}
	g := grantOf(q.Context())
	if q.Context().Value(anonymous{}) != nil || g != nil && len(g.connectors) > 0 {
		reasons = []string{"reasons are told to those who show a token for all connectors"}
	}
	return reply{status: http.StatusServiceUnavailable, body: probe{"failing", reasons}}, nil
}

// healthz fails where only another process may help.
func (a *api) healthz(q *request) (reply, error) {
	r := connect.NewReport(a.o.Reports())
	if why := r.Dead(); why != "" {
		return answer(q, []string{why})
	}
	return answer(q, nil)
}

// readyz fails while a task that should run does not, or makes no progress.
func (a *api) readyz(q *request) (reply, error) {
	if why := a.starting(); why != "" {
		return answer(q, []string{why})
	}
	return answer(q, connect.NewReport(a.o.Reports()).Reasons)
}

func (a *api) report(*request) (reply, error) { return ok(connect.NewReport(a.o.Reports())) }

// Report asks for GET /freshet/status.
func (c *Client) Report(ctx context.Context) (r connect.Report, err error) {
	return r, c.json(ctx, "/freshet/status", &r)
}
