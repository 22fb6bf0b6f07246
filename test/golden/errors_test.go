// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
	"freshet/emitter/transform"
	"freshet/internal/plugins"
)

// errorCase is a recording of records that fail: see the README of connect/errors.
type errorCase struct {
	Title     string
	Connector struct {
		Name   string
		Config map[string]string
	}
	Status struct {
		Tasks []struct{ State, Trace string }
	}
	Offsets struct {
		Offsets []struct{ Partition, Offset json.RawMessage }
	}
	File    *string
	Topic   string // of a source
	Records []failingRecord
	DLQ     *struct {
		Partitions int
		Records    []failingRecord
	}
}

// failingRecord is a record, with its time.
type failingRecord struct {
	recordedRecord
	Timestamp int64
}

const (
	ofJavaPlugins  = "of the interface that connectors in Java have"
	ofOtherTests   = "of a test of its own"
	needsKafkaLog  = "of topics in Kafka: emitter/topic/kafka"
	nothingBefore  = "what stands before the record in its batch is not written, and read again: nothing comes twice"
	positionsMove  = "the position of records that are all dropped is kept"
	refusedAtStart = "a predicate that does not exist is told with its name"
	noTopicRules   = "local topics take any name"
)

// errorsSkipped are the recordings that another test replays, or none.
var errorsSkipped = map[string]string{
	"conn-no-tasks": ofJavaPlugins, "conn-start": ofJavaPlugins, "conn-task-configs": ofJavaPlugins, "conn-too-many-tasks": ofJavaPlugins,
	"task-bad-offset": ofJavaPlugins, "task-poll-retriable": ofJavaPlugins, "task-start": ofJavaPlugins,
	"sink-flush": ofJavaPlugins, "sink-put": ofJavaPlugins, "sink-put-retriable": ofJavaPlugins, "sink-report-none": ofJavaPlugins, "sink-report-unconfigured": ofJavaPlugins,
	"transform-error-all": ofJavaPlugins, // an Error of the Java machine
	"file-multibyte":      ofOtherTests, "file-terminators": ofOtherTests, "sink-file-missing-dir": ofOtherTests,
	"dlq-default-rf": needsKafkaLog, "source-too-large-all": needsKafkaLog, "topic-creation": needsKafkaLog, "source-bad-topic-name": noTopicRules,
}

// errorsDifferent are those where ours does something else, and what.
var errorsDifferent = map[string]string{
	"source-retriable-exhausted-none": nothingBefore, "source-transform-none": nothingBefore,
	"source-filter-offsets": positionsMove, "unknown-predicate": refusedAtStart,
}

// boom is the transform of the recordings: it fails where the value's text has boom in it.
type boom struct {
	mode        string
	times, seen int64
}

// boomError is a Java exception.
type boomError struct {
	class, message string
	temporary      bool
}

func (e *boomError) Error() string     { return e.message }
func (e *boomError) Exception() string { return e.class }
func (e *boomError) Temporary() bool   { return e.temporary }

func (b *boom) Apply(r *transform.Record) (bool, error) {
	if err := r.Load(); err != nil {
		return false, err
	}
	if r.Value.IsNull() || !strings.Contains(r.Data.String(r.Value), "boom") {
		return true, nil
	}
	if b.seen++; b.times > 0 && b.seen > b.times {
		return true, nil
	}
	switch b.mode {
	case "data":
		return false, &boomError{"org.apache.kafka.connect.errors.DataException", "boom data", false}
	case "retriable":
		return false, &boomError{"org.apache.kafka.connect.errors.RetriableException", "boom retriable", true}
	case "runtime":
		return false, &boomError{"java.lang.IllegalStateException", "boom runtime", false}
	}
	return false, fmt.Errorf("unknown mode %q", b.mode)
}

var boomClass = transform.Own{Class: "k1.Boom", Make: func(settings map[string]string) (transform.Transform, error) {
	times, _ := strconv.ParseInt(settings["times"], 10, 64) // 0 is always
	return &boom{mode: settings["mode"], times: times}, nil
}}

// TestGoldenErrors has records fail as recorded, with files as sources and sinks.
func TestGoldenErrors(t *testing.T) {
	dir := filepath.Join(goldenDir(), "connect", "errors")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	w := newWorkerOf(t, plugins.All(), jsonProperties, boomClass)
	ran := 0
	for _, e := range entries {
		name, isCase := strings.CutSuffix(e.Name(), ".json")
		if !isCase {
			continue
		}
		t.Run(name, func(t *testing.T) {
			if why := errorsSkipped[name]; why != "" {
				t.Skip(why)
			}
			ran++
			var c errorCase
			fileCase(t, "errors/"+e.Name(), &c)
			r := &errorRun{t: t, w: w, c: &c, dir: t.TempDir()}
			if c.Topic != "" {
				r.source()
			} else {
				r.sink()
			}
		})
	}
	require.Greater(t, ran, 15)
}

// errorRun replays one recording.
type errorRun struct {
	t   *testing.T
	w   *worker
	c   *errorCase
	dir string
}

func (r *errorRun) different() bool { return errorsDifferent[r.c.Connector.Name] != "" }

func (r *errorRun) sink() {
	cfg := r.c.Connector.Config
	require.NoError(r.t, r.w.log.Create(r.t.Context(), topic.Spec{Name: cfg["topics"], Partitions: 1}))
	for _, rec := range r.c.Records {
		out := topic.Record{Topic: cfg["topics"], TimeMillis: rec.Timestamp, Key: dataOf(rec.Key), Value: dataOf(rec.Value)}
		for _, h := range rec.Headers {
			out.Headers = append(out.Headers, topic.Header{Key: *h[0], Value: dataOf(h[1]).Body})
		}
		r.append(out)
	}
	path := filepath.Join(r.dir, cfg["file"])
	r.w.put(r.t, r.c.Connector.Name, cfg, r.dir)
	r.state()
	want := map[string]string{}
	for _, o := range r.c.Offsets.Offsets {
		want[canonical(r.t, o.Partition)] = canonical(r.t, o.Offset)
	}
	waitFor(r.t, fmt.Sprintf("offsets %v", want), settleTimeout, func() bool { return fmt.Sprint(r.offsets()) == fmt.Sprint(want) }, func() string { return fmt.Sprint(r.offsets()) })
	if r.c.File != nil {
		got, err := os.ReadFile(path)
		require.NoError(r.t, err)
		require.Equal(r.t, *r.c.File, string(got))
	}
	if r.c.DLQ != nil {
		r.deadLetters(cfg["errors.deadletterqueue.topic.name"])
	}
}

func dataOf(s *string) topic.Data {
	if s == nil {
		return topic.Data{}
	}
	return topic.Data{Body: []byte(*s)}
}

func (r *errorRun) append(rec topic.Record) {
	durable := make(chan error, 1)
	r.w.log.Append(r.t.Context(), topic.Unit{Records: []topic.Record{rec}}, func(err error) { durable <- err })
	require.NoError(r.t, <-durable)
}

// offsets are those of the connector, by partition. The folder of files is left out.
func (r *errorRun) offsets() map[string]string {
	offsets, err := r.w.herder.Offsets(r.t.Context(), r.c.Connector.Name)
	require.NoError(r.t, err)
	out := map[string]string{}
	for _, o := range offsets {
		out[canonical(r.t, json.RawMessage(strings.ReplaceAll(o.Partition, r.dir+string(filepath.Separator), "")))] = canonical(r.t, json.RawMessage(o.Offset))
	}
	return out
}

// frame are the lines of a trace that tell where in the program it was, or here in which record.
var frame = regexp.MustCompile(`(?m)^\t.*\n`)

// state waits until the task is in the recorded state, for the recorded reason.
func (r *errorRun) state() {
	r.t.Helper()
	want := r.c.Status.Tasks[0]
	var state, trace string
	waitFor(r.t, "the task is "+want.State, settleTimeout, func() bool {
		s, err := r.w.herder.Status(r.t.Context(), r.c.Connector.Name)
		require.NoError(r.t, err)
		if len(s.Tasks) > 0 {
			state, trace = string(s.Tasks[0].State), s.Tasks[0].Trace
		}
		return state == want.State
	}, func() string { return state + " " + trace })
	if errorsDifferent[r.c.Connector.Name] != refusedAtStart {
		require.Equal(r.t, want.Trace, frame.ReplaceAllString(trace, ""))
	}
}

// deadLetters compares the queue. Of a stack trace the first line counts: causes are Java's own.
func (r *errorRun) deadLetters(name string) {
	show := func(rec *failingRecord) string {
		for i, h := range rec.Headers {
			if h[1] != nil && *h[0] == "__connect.errors.exception.stacktrace" {
				first, _, _ := strings.Cut(*h[1], "\n")
				rec.Headers[i][1] = &first
			}
		}
		return fmt.Sprintf("%d %s", rec.Timestamp, showRecords([]recordedRecord{rec.recordedRecord})[0])
	}
	var want, got []string
	for i := range r.c.DLQ.Records {
		want = append(want, show(&r.c.DLQ.Records[i]))
	}
	for _, rec := range r.w.records(r.t, func(s string) bool { return s == name }) {
		f := failingRecord{recordedRecord{Key: textOf(rec.Key), Value: textOf(rec.Value)}, rec.TimeMillis}
		for _, h := range rec.Headers {
			f.Headers = append(f.Headers, [2]*string{&h.Key, textOf(topic.Data{Body: h.Value})})
		}
		got = append(got, show(&f))
	}
	require.Equal(r.t, want, got)
}

func (r *errorRun) source() {
	cfg, name := r.c.Connector.Config, r.c.Connector.Name
	require.NoError(r.t, os.WriteFile(filepath.Join(r.dir, cfg["file"]), []byte(*r.c.File), 0o600))
	r.w.put(r.t, name, cfg, r.dir)
	r.state()
	if r.different() {
		return
	}
	var want []recordedRecord
	for _, rec := range r.c.Records {
		want = append(want, rec.recordedRecord)
	}
	r.w.hasRecords(r.t, r.c.Topic, showRecords(want))
	positions := map[string]string{}
	for _, o := range r.c.Offsets.Offsets {
		positions[canonical(r.t, o.Partition)] = canonical(r.t, o.Offset)
	}
	waitFor(r.t, "the position", settleTimeout, func() bool { return fmt.Sprint(r.offsets()) == fmt.Sprint(positions) }, func() string { return fmt.Sprint(r.offsets()) })
}
