// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/config"
	"freshet/connect"
	"freshet/emitter/topic"
	"freshet/internal/plugins"
)

// fileCase reads a recording of Kafka Connect.
func fileCase(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(goldenDir(), "connect", filepath.FromSlash(name)))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, into))
}

// recordedRecord is a record as recordings of Kafka Connect show it.
type recordedRecord struct {
	Key     *string
	Value   *string
	Headers [][2]*string
}

func showRecords(records []recordedRecord) []string {
	out := []string{}
	for _, r := range records {
		parts := []string{show(r.Key) + " = " + show(r.Value)}
		for _, h := range r.Headers {
			parts = append(parts, *h[0]+":"+show(h[1]))
		}
		out = append(out, strings.Join(parts, " "))
	}
	return out
}

func show(s *string) string {
	if s == nil {
		return "null"
	}
	return fmt.Sprintf("%q", *s)
}

func (w *worker) shown(t *testing.T, name string) []string {
	t.Helper()
	var out []recordedRecord
	for _, r := range w.records(t, func(s string) bool { return s == name }) {
		rec := recordedRecord{Key: textOf(r.Key), Value: textOf(r.Value)}
		for _, h := range r.Headers {
			rec.Headers = append(rec.Headers, [2]*string{&h.Key, textOf(topic.Data{Body: h.Value})})
		}
		out = append(out, rec)
	}
	return showRecords(out)
}

func textOf(d topic.Data) *string {
	if d.IsNull() {
		return nil
	}
	s := string(d.Bytes())
	return &s
}

// put makes a connector whose file is in dir.
func (w *worker) put(t *testing.T, name string, cfg map[string]string, dir string) {
	t.Helper()
	if file, ok := cfg["file"]; ok {
		cfg["file"] = filepath.Join(dir, file)
	}
	_, _, err := w.herder.Put(t.Context(), name, cfg, true, "")
	require.NoError(t, err)
}

// hasRecords waits until a topic has what is wanted.
func (w *worker) hasRecords(t *testing.T, name string, want []string) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%d records in %s", len(want), name), settleTimeout, func() bool { return len(w.shown(t, name)) >= len(want) },
		func() string { return strings.Join(w.shown(t, name), "\n") })
	require.Equal(t, want, w.shown(t, name))
}

// position is where a file source is.
func (w *worker) position(t *testing.T, name string) string {
	t.Helper()
	offsets, err := w.herder.Offsets(t.Context(), name)
	require.NoError(t, err)
	require.Len(t, offsets, 1)
	return offsets[0].Offset
}

func newFileWorker(t *testing.T, properties map[string]string) *worker {
	t.Helper()
	return newWorkerOf(t, plugins.All(), properties)
}

var jsonProperties = map[string]string{
	"key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
}

// TestGoldenFileSource reads files as recorded. Positions are bytes, so that text is not read again.
func TestGoldenFileSource(t *testing.T) {
	w := newFileWorker(t, jsonProperties)
	for _, name := range []string{"file-terminators", "file-multibyte"} {
		t.Run(name, func(t *testing.T) {
			var c struct {
				Connector struct {
					Name   string
					Config map[string]string
				}
				File, Topic string
				Records     []recordedRecord
			}
			fileCase(t, "errors/"+name+".json", &c)
			dir := t.TempDir()
			path := filepath.Join(dir, c.Connector.Config["file"])
			require.NoError(t, os.WriteFile(path, []byte(c.File), 0o600))
			w.put(t, c.Connector.Name, c.Connector.Config, dir)
			want := showRecords(c.Records)
			w.hasRecords(t, c.Topic, want)
			whole := strings.LastIndexAny(c.File, "\r\n") + 1
			require.JSONEq(t, fmt.Sprintf(`{"position":%d}`, whole), w.position(t, name))

			require.NoError(t, w.herder.Stop(t.Context(), name))
			require.NoError(t, os.WriteFile(path, []byte(c.File+"after\n"), 0o600))
			require.NoError(t, w.herder.Resume(t.Context(), name))
			rest := c.File[whole:] + "after"
			w.hasRecords(t, c.Topic, append(want, "null = "+show(&rest)))
		})
	}
}

func TestGoldenFileSinkWithoutFolder(t *testing.T) {
	var c struct {
		Connector struct {
			Name   string
			Config map[string]string
		}
		Status struct {
			Tasks []struct{ State, Trace string }
		}
	}
	fileCase(t, "errors/sink-file-missing-dir.json", &c)
	w := newFileWorker(t, jsonProperties)
	require.NoError(t, w.log.Create(t.Context(), topic.Spec{Name: c.Connector.Config["topics"], Partitions: 1}))
	dir := t.TempDir()
	w.put(t, c.Connector.Name, c.Connector.Config, dir)
	var state, trace string
	waitFor(t, "the task fails", settleTimeout, func() bool {
		s, err := w.herder.Status(t.Context(), c.Connector.Name)
		require.NoError(t, err)
		if len(s.Tasks) > 0 {
			state, trace = string(s.Tasks[0].State), s.Tasks[0].Trace
		}
		return state == c.Status.Tasks[0].State
	}, func() string { return state })
	want, _, _ := strings.Cut(strings.TrimPrefix(c.Status.Tasks[0].Trace, "org.apache.kafka.connect.errors.ConnectException: "), "\n")
	require.Contains(t, strings.ReplaceAll(trace, dir+string(filepath.Separator), ""), want)
}

// TestGoldenQuickstart is the tutorial of Kafka: file, topic, file.
func TestGoldenQuickstart(t *testing.T) {
	var c struct {
		Files map[string]string
		Steps []json.RawMessage
	}
	fileCase(t, "standalone/quickstart.json", &c)
	cfg := map[string]map[string]string{}
	for name, text := range c.Files {
		var err error
		cfg[name], err = config.ParseProperties([]byte(text))
		require.NoError(t, err)
	}
	w := newFileWorker(t, cfg["worker.properties"])
	dir := t.TempDir()
	for i, raw := range c.Steps {
		var step struct {
			Source  *string      `json:"test.txt"`
			Sink    string       `json:"test.sink.txt"`
			Records [][2]*string `json:"topic k1-connect-test"`
			Exit    *int         `json:"exit_code"`
		}
		require.NoError(t, json.Unmarshal(raw, &step))
		if step.Source == nil { // the worker is stopped here; e2e does that
			continue
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, "test.txt"), []byte(*step.Source), 0o600))
		if i == 0 {
			for _, name := range []string{"source.properties", "sink.properties"} {
				w.put(t, cfg[name]["name"], cfg[name], dir)
			}
		}
		var records []recordedRecord
		for _, r := range step.Records {
			records = append(records, recordedRecord{Key: r[0], Value: r[1]})
		}
		w.hasRecords(t, "k1-connect-test", showRecords(records))
		var got []byte
		waitFor(t, "the sink has written", settleTimeout, func() bool {
			var err error
			got, err = os.ReadFile(filepath.Join(dir, "test.sink.txt"))
			require.True(t, err == nil || errors.Is(err, fs.ErrNotExist))
			return string(got) == step.Sink
		}, func() string { return string(got) })
	}
}

var (
	// javaBytes is where a recording tells bytes.
	javaBytes = regexp.MustCompile(`\[B@<hash>|java\.nio\.HeapByteBuffer\[[^]]*\]`)
	mapEntry  = regexp.MustCompile(`[{}]|, `)
)

// TestGoldenFileSink writes what Java says of values. Maps are in the order of the record instead of a hash's.
func TestGoldenFileSink(t *testing.T) {
	w := newFileWorker(t, jsonProperties)
	for _, name := range []string{"file-string", "file-struct", "file-schemaless", "file-persons"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(goldenDir(), "sinks", name)
			text, err := os.ReadFile(filepath.Join(dir, "case.json"))
			require.NoError(t, err)
			var spec sinkCase
			require.NoError(t, json.Unmarshal(text, &spec))
			r := &sinkRun{t: t, dir: dir, worker: w, name: name}
			cfg := map[string]string{"connector.class": "FileStreamSink", "file": "out.txt"}
			for k, v := range spec.Config {
				cfg[k] = *v
			}
			for _, rec := range r.input("input.jsonl") {
				if !slices.Contains(r.topics, rec.Topic) {
					r.topics = append(r.topics, rec.Topic)
				}
			}
			for _, topicName := range r.topics { // a topic of the case's own: the names of recordings repeat
				require.NoError(t, w.log.Create(t.Context(), topic.Spec{Name: topicName, Partitions: 1}))
			}
			r.produce("input.jsonl")
			cfg["topics"] = strings.Join(r.topics, ",")
			out := t.TempDir()
			w.put(t, name, cfg, out)
			r.settle()
			state, trace := r.status()
			require.Equal(t, string(connect.Running), state, trace)
			require.NoError(t, w.herder.Delete(t.Context(), name))
			for _, topicName := range r.topics {
				require.NoError(t, w.log.(topic.Deleter).DeleteTopic(t.Context(), topicName))
			}
			got, err := os.ReadFile(filepath.Join(out, "out.txt"))
			require.NoError(t, err)
			want, err := os.ReadFile(filepath.Join(dir, "out.txt"))
			require.NoError(t, err)
			require.Equal(t, comparable(string(want)), comparable(string(got)))
		})
	}
}

// comparable takes out what Java does not promise: addresses, and the order of maps.
func comparable(text string) []string {
	lines := strings.Split(javaBytes.ReplaceAllString(text, "<bytes>"), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "{") {
			parts := mapEntry.Split(line, -1)
			slices.Sort(parts)
			lines[i] = strings.Join(parts, ", ")
		}
	}
	return lines
}

// TestGoldenLiveConverters takes converters from worker and connector as recorded.
func TestGoldenLiveConverters(t *testing.T) {
	var c struct {
		Worker string `json:"worker_properties"`
		Cases  []struct {
			Name    string
			Config  map[string]string
			Records []recordedRecord
		}
	}
	fileCase(t, "converters/live-inheritance-and-headers.json", &c)
	properties, err := config.ParseProperties([]byte(c.Worker))
	require.NoError(t, err)
	w := newFileWorker(t, properties)
	for _, live := range c.Cases {
		t.Run(live.Name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "in"), []byte("x😀é\n"), 0o600))
			cfg := map[string]string{"connector.class": "FileStreamSource", "file": "in", "topic": "k1-" + live.Name}
			maps.Copy(cfg, live.Config)
			w.put(t, live.Name, cfg, dir)
			w.hasRecords(t, cfg["topic"], showRecords(live.Records))
		})
	}
}
