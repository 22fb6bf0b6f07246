// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/test/notation"
)

// exchange is a request to a real registry and its answer, as recorded.
type exchange struct {
	Title   string
	Request struct {
		Method, Path string
		Body         json.RawMessage
	}
	Response struct {
		Status int
		Body   json.RawMessage
	}
}

// recorded answers as the registry did. What it was asked stands in got.
type recorded struct {
	exchanges []exchange
	got       []exchange
}

func (r *recorded) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	var asked exchange
	asked.Request.Method, asked.Request.Path = q.Method, q.URL.Path
	asked.Request.Body, _ = io.ReadAll(q.Body) // what is missing is seen by the test
	r.got = append(r.got, asked)
	for _, e := range r.exchanges {
		if e.Request.Method == q.Method && strings.ReplaceAll(pathOf(e), "latest", "-1") == strings.ReplaceAll(q.URL.Path, "latest", "-1") {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(e.Response.Status)
			_, _ = w.Write(e.Response.Body)
			return
		}
	}
	subject := strings.TrimSuffix(q.URL.Path, "/versions/1") // a version that was registered, but not asked for
	for _, e := range r.exchanges {
		if pathOf(e) == subject+"/versions" && e.Request.Method == http.MethodPost && e.Response.Status == http.StatusOK {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(e.Request.Body)
			return
		}
	}
	http.NotFound(w, q)
}

func pathOf(e exchange) string {
	path, _, _ := strings.Cut(e.Request.Path, "?")
	return path
}

var (
	registering = regexp.MustCompile(`^/subjects/([^/]+)/versions$`)
	lookingUp   = regexp.MustCompile(`^/subjects/([^/]+)$`)
	byID        = regexp.MustCompile(`^/schemas/ids/(\d+)$`)
	latest      = regexp.MustCompile(`^/subjects/([^/]+)/versions/latest$`)
)

// TestGoldenExchanges has the client ask what was asked of a real registry, and get what that answered.
func TestGoldenExchanges(t *testing.T) {
	asked := 0
	for _, name := range []string{"register-and-read", "references", "compatibility", "evolution-mysql-ddl-columns", "evolution-postgres-ddl-columns"} {
		var all []exchange
		for _, line := range notation.Lines(t, "connect/avro/wire/"+name+".jsonl") {
			var e exchange
			require.NoError(t, json.Unmarshal(line, &e))
			all = append(all, e)
		}
		for _, e := range all {
			t.Run(name+"/"+e.Title, func(t *testing.T) {
				server := &recorded{exchanges: append([]exchange{e}, all...)}
				s := httptest.NewServer(server)
				defer s.Close()
				c, err := New(Options{URLs: []string{s.URL}})
				require.NoError(t, err)
				if ask(t, c, e) {
					asked++
					require.Equal(t, e.Request.Method, server.got[0].Request.Method)
					if len(e.Request.Body) > 0 {
						require.Equal(t, schemaIn(t, e.Request.Body), schemaIn(t, server.got[0].Request.Body))
					}
				}
			})
		}
	}
	require.Greater(t, asked, 30)
}

func schemaIn(t *testing.T, body []byte) string {
	t.Helper()
	var in struct{ Schema string }
	require.NoError(t, json.Unmarshal(body, &in))
	return in.Schema
}

// ask has the client ask what an exchange asks, if it can, and checks what it makes of the answer.
func ask(t *testing.T, c *Client, e exchange) bool {
	t.Helper()
	var body struct {
		Schema     string
		References []any
	}
	_ = json.Unmarshal(e.Request.Body, &body) // there may be none
	var id int
	var err error
	path := pathOf(e)
	switch {
	case len(body.References) > 0, strings.Contains(e.Request.Path, "?"):
		return false
	case e.Request.Method == http.MethodPost && registering.MatchString(path):
		id, err = c.Register(t.Context(), registering.FindStringSubmatch(path)[1], Avro, body.Schema)
	case e.Request.Method == http.MethodPost && lookingUp.MatchString(path):
		id, err = c.Lookup(t.Context(), lookingUp.FindStringSubmatch(path)[1], Avro, body.Schema)
	case e.Request.Method == http.MethodGet && byID.MatchString(path):
		n, _ := strconv.Atoi(byID.FindStringSubmatch(path)[1])
		var s Schema
		s, err = c.Schema(t.Context(), n)
		checkSchema(t, e, s, err)
	case e.Request.Method == http.MethodGet && latest.MatchString(path):
		var s Schema
		s, err = c.Latest(t.Context(), latest.FindStringSubmatch(path)[1])
		checkSchema(t, e, s, err)
	default:
		return false
	}
	if e.Response.Status != http.StatusOK {
		var refused *Error
		require.ErrorAs(t, err, &refused)
		require.False(t, refused.Temporary())
		require.Contains(t, err.Error(), "status "+strconv.Itoa(e.Response.Status))
		return true
	}
	require.NoError(t, err)
	if e.Request.Method == http.MethodPost {
		var answer struct{ ID int }
		require.NoError(t, json.Unmarshal(e.Response.Body, &answer))
		require.Equal(t, answer.ID, id)
	}
	return true
}

func checkSchema(t *testing.T, e exchange, s Schema, err error) {
	t.Helper()
	if err != nil {
		return // told by its caller
	}
	var answer struct {
		Schema     string
		References []any
	}
	require.NoError(t, json.Unmarshal(e.Response.Body, &answer))
	require.Equal(t, answer.Schema, s.Text)
	require.Equal(t, Avro, s.Type)
	require.Len(t, s.References, len(answer.References))
}
