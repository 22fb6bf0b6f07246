// SPDX-License-Identifier: Apache-2.0

// Package rest is the Kafka Connect REST API over a herder, and a few endpoints of our own under /freshet/ for the
// command line.
//
// New makes the handler, Listen and Server run it. Paths, status codes, headers and messages are those of Kafka Connect,
// whose clients match them. Nothing here keeps state; secrets are masked before they come here (see connect.Herder).
package rest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"freshet/connect"
	"freshet/emitter/topic"
	"freshet/internal/loglevel"
)

// Options is what the handler needs.
type Options struct {
	Herder connect.Herder
	// Topics is the log whose topics are shown; nil shows none.
	Topics topic.Log
	// Reports is what /healthz, /readyz and /freshet/status tell; nil serves none of them.
	Reports func() []connect.ConnectorReport
	// Metrics is what /metrics shows; nil does not serve it.
	Metrics Gatherer
	// Commit and ClusterID are what GET / tells.
	Commit string
	// ClusterID is what GET / tells of the log.
	ClusterID func() string
	// Starting tells what the worker waits for before anything runs, "" once it has begun; nil is "".
	Starting func() string
	// Forward sends requests to other workers of the group that must serve them; nil is a plain client.
	Forward *http.Client
	// Hosts are the names, besides addresses and localhost, that requests may give as Host. One "*" allows all.
	Hosts []string
	Log   *slog.Logger
	// Hide takes out of messages and traces what must not be told; nil takes out nothing.
	Hide func(text string) string
	// Levels are those of Log, which /admin/loggers shows and changes; nil does not serve it.
	Levels *loglevel.Levels
	// Admin says where /admin is served.
	Admin Admin
	// Tokens are what requests must show; nil asks for none.
	Tokens *Tokens
	// Origins are those whose pages may use the API from a browser, by OriginMethods ("" is GET, POST, HEAD).
	Origins, OriginMethods []string
	// Headers are added to every answer.
	Headers []Header
	// NoTracking does not tell the topics of connectors (topic.tracking.enable=false), NoTopicReset does not forget them.
	NoTracking, NoTopicReset bool
}

// Admin says whether a handler serves /admin.
type Admin uint8

// The places of /admin.
const (
	AdminToo   Admin = iota // beside the rest of the API
	AdminNever              // not here: nowhere, or on listeners of its own
	AdminOnly               // and nothing else
)

// api serves the routes.
type api struct {
	o      Options
	routes []route
}

// requestTime bounds a request, as Kafka Connect's 90 seconds do. Streams have no bound.
const requestTime = 90 * time.Second

// New makes the handler.
func New(o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Forward == nil {
		o.Forward = &http.Client{}
	}
	a := &api{o: o}
	a.routes = a.table()
	return a.guarded()
}

// ServeHTTP finds the route, checks the form of the request, and answers.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	segments, err := split(r.URL.EscapedPath())
	if err != nil {
		a.send(w, reply{status: http.StatusBadRequest, body: failure{400, err.Error()}})
		return
	}
	m, args := a.match(segments)
	if m == nil {
		a.send(w, bare(http.StatusNotFound))
		return
	}
	if r.Method == http.MethodOptions {
		a.options(w, m)
		return
	}
	h, ok := m.handler(r.Method)
	if !ok {
		a.send(w, bare(http.StatusMethodNotAllowed))
		return
	}
	if !m.number(segments) {
		notFound := bare(http.StatusNotFound)
		notFound.untyped = false
		a.send(w, notFound)
		return
	}
	if err := permit(r, m, args); err != nil {
		a.send(w, a.failed(r, err))
		return
	}
	if refusal, ok := form(r, m.media); !ok {
		a.send(w, refusal)
		return
	}
	if m.stream != nil {
		a.stream(w, r, m, args)
		return
	}
	if why := a.starting(); why != "" && (len(segments) == 0 || !probes[segments[0]]) {
		a.send(w, reply{status: http.StatusServiceUnavailable, body: failure{503, "Worker is still starting up. " + why}})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTime)
	defer cancel()
	var body bytes.Buffer // what the handler has read
	r.Body = &teeBody{http.MaxBytesReader(w, r.Body, maxBody), &body}
	req := &request{r.WithContext(ctx), args, &body}
	answer, err := h(req)
	var elsewhere *connect.ElsewhereError
	if errors.As(err, &elsewhere) {
		answer, err = a.forward(req, elsewhere.URL, body.Bytes())
	}
	if err != nil {
		answer = a.failed(r, err)
	}
	a.send(w, answer)
}

// failed makes an answer of an error. What is not a *connect.Error is a 500 with the message, as in Kafka Connect.
func (a *api) failed(r *http.Request, err error) reply {
	var e *connect.Error
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &e):
		return reply{status: e.Code, body: failure{e.Code, a.told(e.Message)}}
	case errors.As(err, &tooLarge):
		return reply{status: http.StatusRequestEntityTooLarge, body: failure{http.StatusRequestEntityTooLarge, "The body is larger than 1 MiB"}}
	}
	a.o.Log.Warn("request failed", "method", r.Method, "path", r.URL.Path, "error", connect.RedactText(err.Error()))
	return reply{status: http.StatusInternalServerError, body: failure{500, a.told(err.Error())}}
}

// told is a text as answers may have it.
func (a *api) told(text string) string { return a.hide(connect.RedactText(text)) }

func (a *api) hide(text string) string {
	if a.o.Hide == nil {
		return text
	}
	return a.o.Hide(text)
}

// hidden is a status whose traces are as answers may have them.
func (a *api) hidden(s connect.Status) connect.Status {
	s.Connector.Trace = a.hide(s.Connector.Trace)
	s.Tasks = slices.Clone(s.Tasks)
	for n := range s.Tasks {
		s.Tasks[n].Trace = a.hide(s.Tasks[n].Trace)
	}
	return s
}

// failure is the body of every error.
type failure struct {
	Code    int    `json:"error_code"`
	Message string `json:"message"`
}
