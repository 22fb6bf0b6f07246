// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect/rest"
	"freshet/internal/testdb"
)

// ownDeclarations are the properties that we declare in another way than the original, and how.
var ownDeclarations = map[string]*strings.Replacer{
	"plugin.name":                   strings.NewReplacer(`"default_value":"decoderbufs"`, `"default_value":"pgoutput"`),
	"column.truncate.to.(d+).chars": strings.NewReplacer(`"type":"INT"`, `"type":"LIST"`), // the value is a list of columns
}

var (
	documentation = regexp.MustCompile(`"documentation":"(?:[^"\\]|\\.)*"`)
	recommended   = regexp.MustCompile(`"recommended_values":\[[^\]]+\]`)
	ofClassPath   = regexp.MustCompile(`^(key|value|header)\.converter(\.plugin\.version)?$`)
)

// definition is what is compared of a property's declaration: its text, without the sentences of the documentation and
// what tells the class path of the recording.
func definition(t *testing.T, text json.RawMessage) (name, line string) {
	t.Helper()
	var named struct {
		Name       string
		Definition struct{ Name string }
	}
	require.NoError(t, json.Unmarshal(text, &named))
	name = named.Name + named.Definition.Name
	var b bytes.Buffer
	require.NoError(t, json.Compact(&b, text))
	line = documentation.ReplaceAllString(b.String(), `"documentation":"…"`)
	if ofClassPath.MatchString(name) {
		line = recommended.ReplaceAllString(line, `"recommended_values":["…"]`)
	}
	return name, line
}

func definitions(t *testing.T, all []json.RawMessage, replace map[string]*strings.Replacer) []string {
	t.Helper()
	var out []string
	for _, text := range all {
		name, line := definition(t, text)
		if r := replace[name]; r != nil {
			line = r.Replace(line)
		}
		out = append(out, line)
	}
	return out
}

// checkDeclarations compares an answer that lists declarations, or a validation of them, with the recorded one.
func checkDeclarations(t *testing.T, got, want []byte) {
	t.Helper()
	if bytes.HasPrefix(want, []byte("[")) {
		var g, w []json.RawMessage
		require.NoError(t, json.Unmarshal(got, &g))
		require.NoError(t, json.Unmarshal(want, &w))
		require.Equal(t, definitions(t, w, ownDeclarations), definitions(t, g, nil))
		return
	}
	type answer struct {
		Name       string
		ErrorCount int `json:"error_count"`
		Groups     []string
		Configs    []json.RawMessage
	}
	var g, w answer
	require.NoError(t, json.Unmarshal(got, &g))
	require.NoError(t, json.Unmarshal(want, &w))
	require.Equal(t, definitions(t, w.Configs, ownDeclarations), definitions(t, g.Configs, nil))
	g.Configs, w.Configs = nil, nil
	require.Equal(t, w, g)
}

// ask sends a request to a worker of the test's own. A configuration that the recorded server took is made one of s.
func ask(t *testing.T, s *testdb.Server, method, path string, cfg map[string]string) []byte {
	t.Helper()
	server := httptest.NewServer(rest.New(rest.Options{Herder: newWorker(t).herder}))
	t.Cleanup(server.Close)
	if cfg["database.port"] != "notaport" {
		cfg = maps.Clone(cfg)
		for name, own := range map[string]string{
			"database.hostname": s.Host, "database.port": strconv.Itoa(s.Port), "database.user": s.User,
			"database.password": s.Password, "database.dbname": s.Database,
		} {
			if cfg["database.hostname"] != "" {
				cfg[name] = own
			}
		}
	}
	body, err := json.Marshal(cfg)
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, bytes.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	resp, err := server.Client().Do(r)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", got)
	return got
}

// checkFullAnswer validates the case's configuration over REST.
func checkFullAnswer(t *testing.T, dir string) {
	t.Helper()
	read := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		return text
	}
	var cfg map[string]string
	require.NoError(t, json.Unmarshal(read("request.json"), &cfg))
	got := ask(t, testdb.Postgres(t), http.MethodPut, "/connector-plugins/PostgresConnector/config/validate", cfg)
	checkDeclarations(t, got, read("validate-full.json"))
}

// An unknown digest is refused where the configuration is given, with the property's name.
func TestDigestIsValidated(t *testing.T) {
	const property = "column.mask.hash.SHA-257.with.salt.s"
	s := testdb.Postgres(t)
	got := ask(t, s, http.MethodPut, "/connector-plugins/PostgresConnector/config/validate", map[string]string{
		"connector.class": "PostgresConnector", "name": "x", "topic.prefix": "p", "database.hostname": s.Host, property: "public.t.v",
	})
	var answer struct {
		ErrorCount int `json:"error_count"`
		Configs    []struct {
			Value *struct {
				Name   string
				Errors []string
			}
		}
	}
	require.NoError(t, json.Unmarshal(got, &answer))
	require.Equal(t, 1, answer.ErrorCount)
	require.Equal(t, property, answer.Configs[0].Value.Name)
	require.Len(t, answer.Configs[0].Value.Errors, 1)
	require.Contains(t, answer.Configs[0].Value.Errors[0], `the digest "SHA-257" is not known`)
}

// TestGoldenDeclarations compares what the REST API was recorded to tell about the connector's properties.
func TestGoldenDeclarations(t *testing.T) {
	s := testdb.Postgres(t)
	for _, name := range []string{"debezium-postgres-plugin-config", "debezium-postgres-validate"} {
		text, err := os.ReadFile(filepath.Join(goldenDir(), "connect", "rest", name+".json"))
		require.NoError(t, err)
		var file struct {
			Exchanges []struct {
				Request struct {
					Method, Path string
					Body         map[string]string
				}
				Response struct{ Body json.RawMessage }
			}
		}
		require.NoError(t, json.Unmarshal(text, &file))
		for i, e := range file.Exchanges {
			t.Run(name+"#"+strconv.Itoa(i), func(t *testing.T) {
				checkDeclarations(t, ask(t, s, e.Request.Method, e.Request.Path, e.Request.Body), e.Response.Body)
			})
		}
	}
}
