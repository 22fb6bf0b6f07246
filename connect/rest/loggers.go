// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"freshet/connect"
	"freshet/internal/loglevel"
)

// ClusterLoggers is a Herder that tells all workers of its group to change a level.
type ClusterLoggers interface {
	// SetLoggerLevel passes a level on. The name and the level are as loglevel.Levels.Set takes them.
	SetLoggerLevel(ctx context.Context, name, level string) error
}

// adminRoutes are the levels of the log.
func (a *api) adminRoutes() []route {
	if a.o.Levels == nil {
		return nil
	}
	return []route{
		{path: []string{"admin", "loggers"}, media: mediaJSON, methods: []method{{http.MethodGet, a.loggers}}},
		{path: []string{"admin", "loggers", ":logger"}, media: mediaJSON, methods: []method{{http.MethodGet, a.logger}, {http.MethodPut, a.setLogger}}},
	}
}

func (a *api) loggers(*request) (reply, error) { return ok(a.o.Levels.All()) }

func (a *api) logger(r *request) (reply, error) {
	level, found := a.o.Levels.Get(r.args[0])
	if !found {
		return reply{}, &connect.Error{Code: http.StatusNotFound, Message: fmt.Sprintf("Logger %s not found.", r.args[0])}
	}
	return ok(level)
}

// setLogger changes a level, on this worker or with ?scope=cluster on all. Members of the body other than level are of no
// meaning, as in Kafka Connect.
func (a *api) setLogger(r *request) (reply, error) {
	var body map[string]json.RawMessage
	if err := readBody(r, &body); err != nil {
		return reply{}, err
	}
	raw := body["level"]
	if len(raw) == 0 || string(raw) == "null" {
		return reply{}, &connect.Error{Code: http.StatusBadRequest, Message: "Desired 'level' parameter was not specified in request."}
	}
	level, err := scalar(raw)
	if err != nil {
		return reply{}, malformed("Cannot read the body: " + err.Error())
	}
	switch err := loglevel.Check(level); {
	case errors.Is(err, loglevel.ErrEmpty):
		return reply{}, malformed("Illegal null or empty Level name.")
	case err != nil:
		return reply{}, &connect.Error{Code: http.StatusNotFound, Message: fmt.Sprintf("invalid log level '%s'.", level)}
	}
	cluster := strings.EqualFold(r.URL.Query().Get("scope"), "cluster")
	if group, ok := a.o.Herder.(ClusterLoggers); ok && cluster {
		return reply{status: http.StatusNoContent}, group.SetLoggerLevel(r.Context(), r.args[0], level)
	}
	names, err := a.o.Levels.Set(r.args[0], level)
	if cluster {
		return reply{status: http.StatusNoContent}, err
	}
	return reply{status: http.StatusOK, body: names}, err
}
