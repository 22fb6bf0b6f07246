// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/connect/standalone"
	"freshet/emitter/topic"
	"freshet/emitter/topic/local"
	"freshet/internal/store"
	"freshet/sinks"
	"freshet/sinks/jdbc"
)

// sinkOutcome is what a case's run came to: what the recorder would have written.
type sinkOutcome struct {
	refused  string // the 400 answer
	state    string // of the task
	trace    string
	consumed map[string]string
	files    map[string]string   // ddl.txt, rows.jsonl and the dumps in between
	ours     func(string) string // see sinkTarget
}

// sinkRun is a case while it runs.
type sinkRun struct {
	t      *testing.T
	dir    string
	target sinkTarget
	worker *worker
	name   string
	config map[string]string
	topics []string
	out    sinkOutcome
}

func runSinkCase(t *testing.T, dir string, spec sinkCase) sinkOutcome {
	t.Helper()
	target := sinkTargets[spec.Sink](t)
	r := &sinkRun{
		t: t, dir: dir, target: target, worker: newSinkWorker(t), name: "snk-" + target.database(),
		out: sinkOutcome{consumed: map[string]string{}, files: map[string]string{}, ours: target.ours},
	}
	for _, step := range spec.Steps {
		if strings.HasSuffix(step, ".jsonl") {
			for _, rec := range r.input(step) {
				if !slices.Contains(r.topics, rec.Topic) {
					r.topics = append(r.topics, rec.Topic)
				}
			}
		}
	}
	r.topics = append(r.topics, spec.Topics...)
	r.config = map[string]string{"connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector", "topics": strings.Join(r.topics, ",")}
	maps.Copy(r.config, target.properties())
	for k, v := range spec.Config {
		if v == nil {
			delete(r.config, k)
			continue
		}
		r.config[k] = target.ours(*v)
	}
	// The recordings need it because the original reads all headers and stumbles over some. Ours reads none of theirs.
	if strings.HasSuffix(r.config["header.converter"], ".StringConverter") {
		delete(r.config, "header.converter")
	}
	for _, name := range r.topics {
		require.NoError(t, r.worker.log.Create(t.Context(), topic.Spec{Name: name, Partitions: 1}))
	}
	r.steps(spec.Steps)
	return r.out
}

// newSinkWorker starts a worker that has the JDBC sink.
func newSinkWorker(t *testing.T) *worker {
	t.Helper()
	ctx := t.Context()
	logger := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	db, err := store.Open(t.TempDir(), store.Options{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	log, err := local.Open(db, local.Options{})
	require.NoError(t, err)
	w := connect.NewWorker(connect.WorkerOptions{
		Plugins: connect.NewPlugins(nil, []sinks.Connector{jdbc.New()}),
		Topics:  log,
		Config: connect.WorkerConfig{Properties: map[string]string{
			"key.converter":   "org.apache.kafka.connect.json.JsonConverter",
			"value.converter": "org.apache.kafka.connect.json.JsonConverter",
		}},
		Log: logger,
	})
	h := standalone.New(standalone.Options{Worker: w, Store: db, WorkerID: "127.0.0.1:8083", Log: logger})
	require.NoError(t, h.Start(ctx, nil))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
		defer cancel()
		require.NoError(t, h.Close(ctx))
		require.NoError(t, log.Close(ctx))
		require.NoError(t, db.Close())
	})
	return &worker{herder: h, log: log}
}

func (r *sinkRun) steps(steps []string) {
	r.t.Helper()
	started := false
	for _, step := range steps {
		word, arg, _ := strings.Cut(step, " ")
		switch {
		case word == "@start":
			started = true
			_, _, err := r.worker.herder.Put(r.t.Context(), r.name, r.config, true, "")
			var refused *connect.Error
			if errors.As(err, &refused) {
				require.Equal(r.t, 400, refused.Code)
				r.out.refused = refused.Message
				r.dump("")
				return
			}
			require.NoError(r.t, err)
			r.settle()
		case word == "@restart":
			require.NoError(r.t, r.worker.herder.Stop(r.t.Context(), r.name))
			require.NoError(r.t, r.worker.herder.Resume(r.t.Context(), r.name))
			r.settle()
		case word == "@dump":
			r.dump("." + arg)
		case word == "@wait": // the recorder's sleep: the conditions of the other steps take its place
		case strings.HasSuffix(word, ".sql"):
			text, err := os.ReadFile(filepath.Join(r.dir, word))
			require.NoError(r.t, err)
			require.NoError(r.t, r.target.script(r.t, string(text)))
		case strings.HasSuffix(word, ".jsonl"):
			r.produce(word)
			if started {
				r.settle()
			}
		default:
			require.Fail(r.t, "a step that this runner does not know", step)
		}
	}
	r.out.state, r.out.trace = r.status()
	r.out.consumed = r.consumed()
	r.dump("")
}

// inputRecord is a line of an input. Key and value are kept as the texts that they are.
type inputRecord struct {
	Topic   string          `json:"topic"`
	Key     json.RawMessage `json:"key"`
	Value   json.RawMessage `json:"value"`
	Headers [][2]*string    `json:"headers"`
}

func (r *sinkRun) input(file string) []inputRecord {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, file))
	require.NoError(r.t, err)
	var out []inputRecord
	for line := range bytes.SplitSeq(text, []byte("\n")) {
		if len(bytes.TrimSpace(line)) > 0 {
			var rec inputRecord
			require.NoError(r.t, json.Unmarshal(line, &rec))
			out = append(out, rec)
		}
	}
	return out
}

// wireOf is what stands for a key or value in a topic.
func wireOf(t *testing.T, text json.RawMessage) topic.Data {
	t.Helper()
	if len(text) == 0 || string(text) == "null" {
		return topic.Data{}
	}
	var raw map[string]json.RawMessage
	if json.Unmarshal(text, &raw) == nil && len(raw) == 1 && raw["$text"] != nil {
		var s string
		require.NoError(t, json.Unmarshal(raw["$text"], &s))
		return topic.Data{Body: []byte(s)}
	}
	return topic.Data{Body: text}
}

func (r *sinkRun) produce(file string) {
	r.t.Helper()
	var u topic.Unit
	for _, in := range r.input(file) {
		rec := topic.Record{Topic: in.Topic, Key: wireOf(r.t, in.Key), Value: wireOf(r.t, in.Value)}
		for _, h := range in.Headers {
			header := topic.Header{Key: *h[0]}
			if h[1] != nil {
				header.Value = []byte(*h[1])
			}
			rec.Headers = append(rec.Headers, header)
		}
		u.Records = append(u.Records, rec)
	}
	if len(u.Records) == 0 {
		return
	}
	done := make(chan error, 1)
	r.worker.log.Append(r.t.Context(), u, func(err error) { done <- err })
	require.NoError(r.t, <-done)
}

// settle waits until the connector has committed everything, or its task has failed or waits for another attempt.
func (r *sinkRun) settle() {
	r.t.Helper()
	waitFor(r.t, "the sink has consumed its topics", settleTimeout, func() bool {
		if state, _ := r.status(); state == string(connect.Failed) || state == string(connect.Restarting) {
			return true
		}
		for _, c := range r.consumed() {
			if at, end, _ := strings.Cut(c, "/"); at != end {
				return false
			}
		}
		return true
	}, func() string {
		state, trace := r.status()
		return fmt.Sprintf("consumed %v, task %s %s", r.consumed(), state, trace)
	})
}

// status is the state and trace of the connector's task, or of the connector where that failed.
func (r *sinkRun) status() (state, trace string) {
	r.t.Helper()
	s, err := r.worker.herder.Status(r.t.Context(), r.name)
	require.NoError(r.t, err)
	if s.Connector.State == connect.Failed {
		return string(s.Connector.State), s.Connector.Trace
	}
	if len(s.Tasks) == 0 {
		return "", ""
	}
	return string(s.Tasks[0].State), s.Tasks[0].Trace
}

// consumed is committed/end by topic.
func (r *sinkRun) consumed() map[string]string {
	r.t.Helper()
	committed := map[string]int64{}
	offsets, err := r.worker.herder.Offsets(r.t.Context(), r.name)
	require.NoError(r.t, err)
	for _, o := range offsets {
		var p struct {
			Topic string `json:"kafka_topic"`
		}
		var at struct {
			Offset int64 `json:"kafka_offset"`
		}
		require.NoError(r.t, json.Unmarshal([]byte(o.Partition), &p))
		require.NoError(r.t, json.Unmarshal([]byte(o.Offset), &at))
		committed[p.Topic] = at.Offset
	}
	infos, err := r.worker.log.List(r.t.Context())
	require.NoError(r.t, err)
	out := map[string]string{}
	for _, i := range infos {
		if slices.Contains(r.topics, i.Name) {
			out[i.Name] = fmt.Sprintf("%d/%d", committed[i.Name], i.Partitions[0].End)
		}
	}
	return out
}

// dump writes the target down as record_sink.py does.
func (r *sinkRun) dump(tag string) {
	r.t.Helper()
	ddl, rows := r.target.dump(r.t)
	if tag == "" {
		r.out.files["ddl.txt"] = ddl
	}
	r.out.files["rows"+tag+".jsonl"] = rows
	if queue := r.config["errors.deadletterqueue.topic.name"]; queue != "" && tag == "" {
		r.out.files["dlq.jsonl"] = r.letters(queue)
	}
}

// letters writes down what is in a dead letter queue.
func (r *sinkRun) letters(queue string) string {
	r.t.Helper()
	var out strings.Builder
	for _, rec := range r.worker.records(r.t, func(name string) bool { return name == queue }) {
		letter := inputRecord{Topic: queue, Key: jsonOf(r.t, rec.Key), Value: jsonOf(r.t, rec.Value)}
		for _, h := range rec.Headers {
			value := strings.ReplaceAll(string(h.Value), r.name, "${name}")
			if h.Key == "__connect.errors.exception.stacktrace" {
				value, _, _ = strings.Cut(value, "\n")
			}
			letter.Headers = append(letter.Headers, [2]*string{&h.Key, &value})
		}
		text, err := json.Marshal(letter)
		require.NoError(r.t, err)
		out.WriteString(canonical(r.t, text) + "\n")
	}
	return out.String()
}

// jsonOf is the inverse of wireOf.
func jsonOf(t *testing.T, d topic.Data) json.RawMessage {
	t.Helper()
	if d.IsNull() {
		return json.RawMessage("null")
	}
	if json.Valid(d.Bytes()) {
		return d.Bytes()
	}
	text, err := json.Marshal(map[string]string{"$text": string(d.Bytes())})
	require.NoError(t, err)
	return text
}

// canonical is a JSON text with sorted members and without blanks.
func canonical(t *testing.T, raw []byte) string {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal(raw, &v))
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}

// pythonJSON is a text as Python's json.dumps writes it with ensure_ascii=False.
func pythonJSON(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return ""
	}
	out := strings.TrimSuffix(b.String(), "\n")
	return strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029", "\u007f", "\u007f").Replace(out)
}
