// SPDX-License-Identifier: Apache-2.0

// Package registrytest is a schema registry in the test's process that speaks the part of Confluent's API that converters
// use.
package registrytest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Registry keeps schemas in memory.
type Registry struct {
	URL string

	mu       sync.Mutex // guards what follows
	texts    []string   // by id, less one
	subjects map[string][]int
	asked    []string
	answer   func(w http.ResponseWriter, r *http.Request) bool
}

// New starts a registry and ends it with the test.
func New(t testing.TB) *Registry {
	t.Helper()
	r := &Registry{subjects: map[string][]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /subjects/{subject}/versions", r.register)
	mux.HandleFunc("POST /subjects/{subject}", r.lookup)
	mux.HandleFunc("GET /subjects/{subject}/versions/{version}", r.version)
	mux.HandleFunc("GET /schemas/ids/{id}", r.byID)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.asked = append(r.asked, q.Method+" "+q.URL.Path)
		if r.answer != nil && r.answer(w, q) {
			return
		}
		mux.ServeHTTP(w, q)
	}))
	t.Cleanup(s.Close)
	r.URL = s.URL
	return r
}

// Answer has f answer requests before the registry does; f returns whether it has. It is called by one goroutine at a time.
func (r *Registry) Answer(f func(w http.ResponseWriter, q *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

// Asked are method and path of the requests so far.
func (r *Registry) Asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.asked...)
}

// Subjects are the texts of each subject's versions.
func (r *Registry) Subjects() map[string][]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string][]string{}
	for name, ids := range r.subjects {
		for _, id := range ids {
			out[name] = append(out[name], r.texts[id-1])
		}
	}
	return out
}

// Put adds a schema under an id of the test's choice.
func (r *Registry) Put(id int, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.texts) < id {
		r.texts = append(r.texts, "")
	}
	r.texts[id-1] = text
}

// Fail answers as the registry does what it refuses.
func Fail(w http.ResponseWriter, status, code int, message string) {
	reply(w, status, map[string]any{"error_code": code, "message": message})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client sees a broken answer
}

func textOf(q *http.Request) string {
	var body struct{ Schema string }
	_ = json.NewDecoder(q.Body).Decode(&body) // an empty text is refused
	return body.Schema
}

func (r *Registry) register(w http.ResponseWriter, q *http.Request) {
	text, subject := textOf(q), q.PathValue("subject")
	if !json.Valid([]byte(text)) {
		Fail(w, 422, 42201, "Invalid schema")
		return
	}
	id := 0
	for i, known := range r.texts {
		if known == text {
			id = i + 1
		}
	}
	if id == 0 {
		r.texts = append(r.texts, text)
		id = len(r.texts)
	}
	has := false
	for _, known := range r.subjects[subject] {
		has = has || known == id
	}
	if !has {
		r.subjects[subject] = append(r.subjects[subject], id)
	}
	reply(w, 200, map[string]int{"id": id})
}

func (r *Registry) lookup(w http.ResponseWriter, q *http.Request) {
	text, subject := textOf(q), q.PathValue("subject")
	if r.subjects[subject] == nil {
		Fail(w, 404, 40401, fmt.Sprintf("Subject '%s' not found.", subject))
		return
	}
	for i, id := range r.subjects[subject] {
		if r.texts[id-1] == text {
			reply(w, 200, map[string]any{"subject": subject, "version": i + 1, "id": id, "schema": text})
			return
		}
	}
	Fail(w, 404, 40403, "Schema not found")
}

func (r *Registry) version(w http.ResponseWriter, q *http.Request) {
	ids := r.subjects[q.PathValue("subject")]
	n, err := strconv.Atoi(q.PathValue("version"))
	if v := q.PathValue("version"); v == "latest" || v == "-1" {
		n, err = len(ids), nil
	}
	if err != nil || n < 1 || n > len(ids) {
		Fail(w, 404, 40402, "Version not found.")
		return
	}
	reply(w, 200, map[string]any{"subject": q.PathValue("subject"), "version": n, "id": ids[n-1], "schema": r.texts[ids[n-1]-1]})
}

func (r *Registry) byID(w http.ResponseWriter, q *http.Request) {
	id, err := strconv.Atoi(q.PathValue("id"))
	if err != nil || id < 1 || id > len(r.texts) || strings.TrimSpace(r.texts[id-1]) == "" {
		Fail(w, 404, 40403, "Schema "+q.PathValue("id")+" not found")
		return
	}
	reply(w, 200, map[string]any{"schema": r.texts[id-1]})
}
