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

// Schema is a schema of a type: AVRO, JSON or PROTOBUF.
type Schema struct {
	Kind, Text string
	References []Reference
}

// Reference is a version of a subject under a name.
type Reference struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

// Registry keeps schemas in memory.
type Registry struct {
	URL string

	mu       sync.Mutex // guards what follows
	schemas  []Schema   // by id, less one
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
			out[name] = append(out[name], r.schemas[id-1].Text)
		}
	}
	return out
}

// Put adds an Avro schema under an id of the test's choice.
func (r *Registry) Put(id int, text string) { r.PutSchema(id, Schema{Kind: "AVRO", Text: text}) }

// PutSchema adds a schema under an id of the test's choice.
func (r *Registry) PutSchema(id int, s Schema) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.schemas) < id {
		r.schemas = append(r.schemas, Schema{})
	}
	r.schemas[id-1] = s
}

// PutVersion makes the schema of an id the next version of a subject.
func (r *Registry) PutVersion(subject string, id int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subjects[subject] = append(r.subjects[subject], id)
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

func schemaOf(q *http.Request) Schema {
	var body struct {
		Schema, SchemaType string
		References         []Reference
	}
	_ = json.NewDecoder(q.Body).Decode(&body) // an empty text is refused
	if body.SchemaType == "" {
		body.SchemaType = "AVRO"
	}
	return Schema{body.SchemaType, body.Schema, body.References}
}

func (s *Schema) equal(other Schema) bool { return s.Kind == other.Kind && s.Text == other.Text }

func (r *Registry) register(w http.ResponseWriter, q *http.Request) {
	added, subject := schemaOf(q), q.PathValue("subject")
	if added.Text == "" || added.Kind != "PROTOBUF" && !json.Valid([]byte(added.Text)) {
		Fail(w, 422, 42201, "Invalid schema")
		return
	}
	id := 0
	for i, known := range r.schemas {
		if known.equal(added) {
			id = i + 1
		}
	}
	if id == 0 {
		r.schemas = append(r.schemas, added)
		id = len(r.schemas)
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
	asked, subject := schemaOf(q), q.PathValue("subject")
	if r.subjects[subject] == nil {
		Fail(w, 404, 40401, fmt.Sprintf("Subject '%s' not found.", subject))
		return
	}
	for i, id := range r.subjects[subject] {
		if r.schemas[id-1].equal(asked) {
			reply(w, 200, r.answerOf(id, map[string]any{"subject": subject, "version": i + 1}))
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
	reply(w, 200, r.answerOf(ids[n-1], map[string]any{"subject": q.PathValue("subject"), "version": n}))
}

func (r *Registry) byID(w http.ResponseWriter, q *http.Request) {
	id, err := strconv.Atoi(q.PathValue("id"))
	if err != nil || id < 1 || id > len(r.schemas) || strings.TrimSpace(r.schemas[id-1].Text) == "" {
		Fail(w, 404, 40403, "Schema "+q.PathValue("id")+" not found")
		return
	}
	reply(w, 200, r.answerOf(id, map[string]any{}))
}

// answerOf adds what a registry tells of a schema. The type of Avro's is left out.
func (r *Registry) answerOf(id int, answer map[string]any) map[string]any {
	s := r.schemas[id-1]
	answer["id"], answer["schema"] = id, s.Text
	if s.Kind != "AVRO" {
		answer["schemaType"] = s.Kind
	}
	if len(s.References) > 0 {
		answer["references"] = s.References
	}
	return answer
}
