// SPDX-License-Identifier: Apache-2.0

package rest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	filesource "freshet/capture/file"
	"freshet/connect"
	"freshet/emitter/topic/local"
	"freshet/sinks"
	filesink "freshet/sinks/file"
)

// goldenDir is where the recordings are.
func goldenDir(t *testing.T) string {
	dir := os.Getenv("FRESHET_GOLDEN")
	if dir == "" {
		dir = filepath.Join("..", "..", "testdata", "golden")
	}
	dir, err := filepath.Abs(dir)
	require.NoError(t, err)
	return filepath.Join(dir, "connect", "rest")
}

// exchange is a recorded request and its answer.
type exchange struct {
	Request struct {
		Method   string
		Path     string
		Headers  map[string]string
		Body     json.RawMessage
		BodyText *string
	}
	Response struct {
		Status   int
		Headers  map[string]string
		Body     json.RawMessage
		BodyText *string
	}
}

// Cases run in this order on one worker: the first ones tell the story of one connector.
var goldenCases = []string{
	"connectors-empty", "missing-connector", "routes-unknown", "root-and-health", "plugins-list", "unknown-class", "create-bad-bodies",
	"source-create-and-read", "create-duplicate", "offsets-running", "pause-resume", "restart", "stop", "source-offsets-patch",
	"source-offsets-reset", "put-config", "patch-config", "delete", "create-invalid-config", "odd-names", "sink-lifecycle",
	"validate-errors", "validate-filestream-source", "validate-filestream-sink", "loggers", "plugin-config", "sink-offsets-patch",
}

// Whole files that do not apply.
var skippedFiles = map[string]string{
	"states-mixed":                    "its failed task comes of an unknown predicate; TestGoldenStates in connect/cluster runs it with another one",
	"config-topic-written-by-others":  "a worker of one process has no config topic",
	"conflict-while-rebalancing":      "a worker of one process does not rebalance; TestGoldenConflict in connect/cluster runs it",
	"debezium-postgres-plugin-config": "test/golden compares it: the plug-ins here are others",
	"debezium-postgres-validate":      "test/golden compares it: the plug-ins here are others",
	"failed-instances":                "needs the recording's own test plug-ins; TestGoldenFailedInstances in connect/cluster runs it, TestFailedInstances in connect/standalone has the same",
	"forwarding":                      "a worker of one process forwards nothing; TestGoldenForwarding in connect/cluster runs it",
	"second-worker-joins":             "a worker of one process has no group; TestGoldenSecondWorker in connect/cluster runs it",
	"validate-topic-creation":         "means something where topics are in Kafka: TestGoldenTopicCreation in internal/worker runs it",
}

// Exchanges that do not apply, by file and number; the reason.
var skippedExchanges = map[string]string{
	"plugins-list#2":               "other transforms and converters than the recording's; TestPlugins covers the form",
	"plugins-list#4":               "other transforms and converters than the recording's; TestPlugins covers the form",
	"odd-names#61":                 "lists the connectors that could not be deleted there",
	"create-invalid-config#20":     groupReason,
	"create-invalid-config#21":     groupReason,
	"create-invalid-config#26":     "a version of a plug-in has no effect here, which a warning says",
	"validate-errors#3":            "names the test connectors in Java's form, which TestValidate covers",
	"validate-filestream-source#2": "there is no producer whose properties could be wrong",
	"validate-filestream-sink#4":   "the properties of a connector's converters are checked and not listed",
	"plugin-config#7":              converterReason,
	"plugin-config#8":              converterReason,
	"plugin-config#10":             converterReason,
	"patch-config#8":               nameReason,
	"patch-config#12":              nameReason,
	"patch-config#14":              nameReason,
}

const (
	encodedReason   = "DEFECTS.md: percent-encoded names work everywhere"
	converterReason = "converters declare what they do here: schema.content of 4.2 too, and no converter.type to be given"
	groupReason     = "a worker of one process has no group that could clash; TestGoldenGroupClash in connect/cluster runs it"
	nameReason      = "shows the name that an earlier PATCH changed: refused here"
)

// Answers that are better than the recorded ones, by file and number: the status, and why.
var ownAnswers = map[string]struct {
	status int
	why    string
}{
	"odd-names#4":             {http.StatusCreated, encodedReason},
	"odd-names#12":            {http.StatusCreated, encodedReason},
	"odd-names#27":            {http.StatusOK, encodedReason},
	"odd-names#28":            {http.StatusOK, encodedReason},
	"odd-names#29":            {http.StatusNoContent, encodedReason},
	"odd-names#48":            {http.StatusOK, encodedReason},
	"odd-names#49":            {http.StatusOK, encodedReason},
	"odd-names#50":            {http.StatusNoContent, encodedReason},
	"odd-names#57":            {http.StatusCreated, encodedReason},
	"odd-names#58":            {http.StatusOK, encodedReason},
	"odd-names#60":            {http.StatusNotFound, encodedReason},
	"odd-names#62":            {http.StatusNoContent, encodedReason},
	"source-offsets-reset#10": {http.StatusOK, "a reset of the topics is done when the call returns, there a while later"},
	"patch-config#6":          {http.StatusBadRequest, "DEFECTS.md: another name is refused, as by PUT"},
}

var (
	// Messages of the Java stack: README of the recordings asks to compare status and code only.
	javaMessage = regexp.MustCompile(`^(Unexpected|Cannot |Unrecognized|Illegal character)|available connectors are|REDACTED`)
	// Messages that print a map in Java's order.
	javaMap = regexp.MustCompile(`\{[^}]*\}`)
)

func TestGoldenREST(t *testing.T) {
	dir := goldenDir(t)
	s := serverWith(t, nil, func(log *local.Log, logger *slog.Logger) *connect.Worker {
		return connect.NewWorker(connect.WorkerOptions{Plugins: connect.NewPlugins([]capture.Connector{filesource.New()}, []sinks.Connector{filesink.New()}), Topics: log, Log: logger})
	})
	require.NoError(t, os.WriteFile("in1.txt", []byte("one\ntwo\nthree\n"), 0o600))
	s.produce("k1-sink-in", `{"partition":0,"value":{"schema":{"type":"string"},"payload":"a"}}`, `{"partition":0,"value":{"schema":{"type":"string"},"payload":"b"}}`, `{"partition":0,"value":{"schema":{"type":"string"},"payload":"c"}}`,
		`{"partition":1,"value":{"schema":{"type":"string"},"payload":"d"}}`, `{"partition":1,"value":{"schema":{"type":"string"},"payload":"e"}}`)
	for _, name := range goldenCases {
		t.Run(name, func(t *testing.T) { s.replay(t, filepath.Join(dir, name+".json"), name) })
	}
	t.Run("every file is replayed or skipped", func(t *testing.T) {
		files, err := filepath.Glob(filepath.Join(dir, "*.json"))
		require.NoError(t, err)
		for _, f := range files {
			name := strings.TrimSuffix(filepath.Base(f), ".json")
			require.NotEqual(t, slices.Contains(goldenCases, name), (skippedFiles[name] != ""), "%s stands in neither or both tables", name)
		}
	})
}

func (s *server) replay(t *testing.T, path, name string) {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var file struct{ Exchanges []exchange }
	require.NoError(t, json.Unmarshal(text, &file))
	require.NotEmpty(t, file.Exchanges)
	s.prepare(t, name)
	for n, e := range file.Exchanges {
		id := fmt.Sprintf("%s#%d", name, n)
		if why := skippedExchanges[id]; why != "" {
			t.Logf("%s left out: %s", id, why)
			continue
		}
		if own, ok := ownAnswers[id]; ok {
			require.Equal(t, own.status, s.send(t, e).Status, "%s: %s", id, own.why)
			continue
		}
		s.compare(t, id, e)
	}
}

// compare sends a request until the answer is the recorded one: recordings wait for states to settle without saying so.
// Only reads are sent again.
func (s *server) compare(t *testing.T, id string, e exchange) {
	t.Helper()
	what := id + " " + e.Request.Method + " " + e.Request.Path
	deadline := time.Now().Add(5 * time.Second)
	s.settle(t)
	for {
		want := s.wanted(t, e)
		got := s.send(t, e)
		comparable(&got, &want)
		if reflect.DeepEqual(want, got) {
			return
		}
		if e.Request.Method != http.MethodGet || time.Now().After(deadline) {
			require.Equal(t, want, got, what)
			return
		}
		s.tick(t)
	}
}

// comparable leaves what the two answers of a validation have in common: the test connectors have more properties, the
// recording has another class path and no documentation.
func comparable(got, want *outcome) {
	names := map[any]bool{}
	for _, o := range []*outcome{want, got} {
		body, _ := o.Body.(map[string]any)
		configs, _ := body["configs"].([]any)
		var kept []any
		for _, c := range configs {
			definition, _ := c.(map[string]any)["definition"].(map[string]any)
			value := c.(map[string]any)["value"].(map[string]any)
			name := value["name"]
			if o == want {
				names[name] = true
			} else if !names[name] {
				continue
			}
			if definition != nil {
				definition["documentation"] = ""
			}
			if strings.Contains(name.(string), ".converter") {
				value["recommended_values"] = nil
			}
			kept = append(kept, c)
		}
		if kept != nil {
			body["configs"] = kept
		}
	}
}

// outcome is what is compared of an answer.
type outcome struct {
	Status  int
	Headers map[string]string
	Body    any
}

func (s *server) wanted(t *testing.T, e exchange) outcome {
	text := bytes.ReplaceAll(e.Response.Body, []byte("127.0.0.1:8183"), []byte(s.address()))
	headers := map[string]string{}
	for k, v := range e.Response.Headers {
		headers[k] = strings.ReplaceAll(v, "127.0.0.1:8183", s.address())
	}
	o := outcome{Status: e.Response.Status, Headers: headers}
	if len(text) > 0 {
		require.NoError(t, json.Unmarshal(text, &o.Body))
	}
	if e.Response.BodyText != nil && !strings.HasPrefix(*e.Response.BodyText, "<html>") {
		o.Body = *e.Response.BodyText
	}
	return s.normal(e, o)
}

func (s *server) send(t *testing.T, e exchange) outcome {
	t.Helper()
	var body io.Reader = http.NoBody
	if e.Request.BodyText != nil {
		body = strings.NewReader(*e.Request.BodyText)
	} else if e.Request.Body != nil {
		body = bytes.NewReader(e.Request.Body)
	}
	r, err := http.NewRequestWithContext(t.Context(), e.Request.Method, s.url, body)
	require.NoError(t, err)
	r.URL.Opaque = "//" + s.address() + e.Request.Path // as it is: not cleaned, not encoded anew
	r.Header.Set("Accept", "*/*")
	for k, v := range e.Request.Headers {
		r.Header.Set(k, v)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	o := outcome{Status: resp.StatusCode, Headers: map[string]string{}}
	for _, k := range []string{"Content-Type", "Location", "Allow"} {
		if v := resp.Header.Get(k); v != "" {
			o.Headers[k] = v
		}
	}
	if len(text) == 0 && resp.Header.Get("Content-Length") != "" {
		o.Headers["Content-Length"] = resp.Header.Get("Content-Length")
	}
	if len(text) > 0 && json.Unmarshal(text, &o.Body) != nil {
		o.Body = string(text)
	}
	return s.normal(e, o)
}

// normalLevels leaves of answers about loggers whether a level was changed, and of lists the recording's own loggers: those
// of the JVM are others.
func normalLevels(path string, body any) any {
	levels, ok := body.(map[string]any)
	if !ok {
		return body
	}
	if strings.TrimSuffix(path, "/") == "/admin/loggers" {
		for name, level := range levels {
			if !strings.HasPrefix(name, "k1") {
				delete(levels, name)
				continue
			}
			levels[name] = normalLevels("one", level)
		}
		return levels
	}
	if levels["last_modified"] != nil {
		levels["last_modified"] = "changed"
	}
	return levels
}

// normal takes out what recordings and we may tell differently.
func (s *server) normal(e exchange, o outcome) outcome {
	if o.Status == http.StatusBadRequest && strings.HasPrefix(e.Response.Headers["Content-Type"], "text/html") ||
		e.Request.Method == http.MethodHead && o.Headers["Content-Length"] != "" {
		return outcome{Status: o.Status} // the web server's own page; lengths depend on version and commit
	}
	if strings.HasPrefix(e.Request.Path, "/admin/loggers") {
		o.Body = normalLevels(e.Request.Path, o.Body)
	}
	switch body := o.Body.(type) {
	case []any:
		for _, item := range body {
			if key, ok := item.(map[string]any); ok && key["documentation"] != nil {
				key["documentation"] = ""
			}
		}
		if strings.HasPrefix(e.Request.Path, "/connectors") && len(body) > 0 && reflect.TypeOf(body[0]).Kind() == reflect.String {
			slices.SortFunc(body, func(x, y any) int { return strings.Compare(x.(string), y.(string)) })
		}
	case map[string]any:
		if text, ok := body["message"].(string); ok && javaMessage.MatchString(text) || o.Status == http.StatusInternalServerError {
			delete(body, "message")
		} else if ok {
			body["message"] = javaMap.ReplaceAllString(text, "{}")
		}
		for _, name := range []string{"commit", "kafka_cluster_id"} {
			if _, ok := body[name]; ok {
				body[name] = ""
			}
		}
		// A worker of one process has the tasks at once, a cluster after a rebalance.
		if e.Request.Method == http.MethodPost && o.Status == http.StatusCreated {
			delete(body, "tasks")
		}
	}
	return o
}
