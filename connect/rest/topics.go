// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"freshet/connect"
	"freshet/emitter/topic"
	"freshet/internal/topicio"
)

// mediaLines is the type of streams of records, a line of JSON each. Browsers do not send it across origins.
const mediaLines = "application/x-ndjson"

// stall is how long a stream waits for a client that does not read or send.
const stall = 2 * time.Minute

// failureTrailer is the trailer of a stream that failed: the answer had begun, so the status could not tell.
const failureTrailer = "Freshet-Error"

func (a *api) topicRoutes() []route {
	return []route{
		{path: []string{"freshet", "topics"}, media: mediaJSON, methods: []method{{http.MethodGet, a.listTopics}}},
		{
			path: []string{"freshet", "topics", ":topic", "records"}, media: mediaLines, stream: a.records,
			methods: []method{{http.MethodGet, nil}, {http.MethodPost, nil}},
		},
	}
}

func (a *api) listTopics(r *request) (reply, error) {
	topics, err := topicio.List(r.Context(), a.o.Topics)
	return reply{status: http.StatusOK, body: topics}, err
}

// stream runs a handler that writes its answer itself.
func (a *api) stream(w http.ResponseWriter, r *http.Request, m *route, args []string) {
	m.stream(w, r, args)
}

// records reads (GET) or appends (POST) records of a topic.
func (a *api) records(w http.ResponseWriter, r *http.Request, args []string) {
	if r.Method == http.MethodPost {
		a.produce(w, r, args[0])
		return
	}
	a.tail(w, r, args[0])
}

// tail answers with lines. Query: partition, from=beginning, exit=true.
func (a *api) tail(w http.ResponseWriter, r *http.Request, name string) {
	q := r.URL.Query()
	o := topicio.TailOptions{Topic: name, Partition: topic.AnyPartition, FromBeginning: q.Get("from") == "beginning", ExitAtEnd: q.Get("exit") == "true"}
	if p := q.Get("partition"); p != "" {
		n, err := strconv.ParseInt(p, 10, 32)
		if err != nil || n < 0 {
			a.send(w, reply{status: http.StatusBadRequest, body: failure{400, "partition " + p + " is not a number from 0 on"}})
			return
		}
		o.Partition = int32(n)
	}
	out := &lineWriter{w: w, control: http.NewResponseController(w)}
	err := topicio.Tail(r.Context(), a.o.Topics, o, out, out.flush)
	switch {
	case err == nil && !out.begun:
		out.begin()
	case err != nil && out.begun:
		w.Header().Set(http.TrailerPrefix+failureTrailer, connect.RedactText(err.Error()))
	case errors.Is(err, topicio.ErrNoTopic):
		a.send(w, reply{status: http.StatusNotFound, body: failure{404, err.Error()}})
	case err != nil:
		a.send(w, a.failed(r, err))
	}
}

// lineWriter writes a stream; every write has stall to get out. The head of the answer goes out with the first flush, so
// that a client knows that the topic exists even if it is empty.
type lineWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	begun   bool
}

func (l *lineWriter) begin() {
	l.begun = true
	l.w.Header().Set("Content-Type", mediaLines)
	l.w.WriteHeader(http.StatusOK)
}

// Write sends lines.
func (l *lineWriter) Write(p []byte) (int, error) {
	if !l.begun {
		l.begin()
	}
	if err := l.control.SetWriteDeadline(time.Now().Add(stall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return l.w.Write(p)
}

func (l *lineWriter) flush() error {
	if !l.begun {
		l.begin()
	}
	return l.control.Flush()
}

// produced is the answer to POST records.
type produced struct {
	Produced int    `json:"produced"`
	Error    string `json:"error,omitempty"`
}

// produce appends the lines of the body.
func (a *api) produce(w http.ResponseWriter, r *http.Request, name string) {
	in := &patientBody{r: r, control: http.NewResponseController(w)}
	n, err := topicio.Produce(r.Context(), a.o.Topics, name, in)
	var line *topicio.LineError
	switch {
	case err == nil:
		a.send(w, reply{status: http.StatusOK, body: produced{Produced: n}})
	case errors.As(err, &line), errors.Is(err, topicio.ErrBadName):
		a.send(w, reply{status: http.StatusBadRequest, body: produced{n, err.Error()}})
	case errors.Is(err, context.Canceled):
	default:
		a.o.Log.Warn("records were not appended", "topic", name, "appended", n, "error", connect.RedactText(err.Error()))
		a.send(w, reply{status: http.StatusInternalServerError, body: produced{n, connect.RedactText(err.Error())}})
	}
}

// patientBody reads a body that comes slowly; every read has stall.
type patientBody struct {
	r       *http.Request
	control *http.ResponseController
}

// Read reads what there is.
func (b *patientBody) Read(p []byte) (int, error) {
	if err := b.control.SetReadDeadline(time.Now().Add(stall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	return b.r.Body.Read(p)
}
