// SPDX-License-Identifier: Apache-2.0

// Package connecttest holds connectors for tests of the runtime: a source and a sink without a database, under the class
// names of Kafka's FileStream connectors, so that recorded exchanges apply to them.
package connecttest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/change"
	"freshet/config"
	"freshet/connect"
	"freshet/emitter/topic/local"
	"freshet/internal/store"
	"freshet/schema"
	"freshet/sinks"
)

// Classes of the connectors.
const (
	SourceClass = "org.apache.kafka.connect.file.FileStreamSourceConnector"
	SinkClass   = "org.apache.kafka.connect.file.FileStreamSinkConnector"
)

// ScriptedError is an error that says whether trying again can help.
type ScriptedError struct {
	Message string
	Final   bool
}

// Error is the message.
func (e *ScriptedError) Error() string { return e.Message }

// Retriable says whether trying again can help.
func (e *ScriptedError) Retriable() bool { return !e.Final }

// Source is a source connector whose steps a test can replace. Without that its readers tell the size of the file as
// their position, with the file's lines as rows of the table "lines.t", and wait.
type Source struct {
	// OnCheck, OnOpen and OnClose replace the steps; opened counts from 1.
	OnCheck func(v config.Values) ([]capture.Finding, error)
	OnOpen  func(opened int, env capture.Env, v config.Values) (capture.Reader, error)
	OnClose func()
	// OnSplit replaces the division into one task.
	OnSplit func(v config.Values, limit int) ([]config.Values, error)

	mu     sync.Mutex // guards opened
	opened int
}

var _ capture.Connector = (*Source)(nil)

var fileKeys = []config.Key{
	{Name: "file", Type: config.String, Importance: config.High, Doc: "File to read."},
	{
		Name: "topic", Type: config.String, Required: true, Importance: config.High, Doc: "Topic to write.",
		Check: func(s string, _ config.Values) string {
			if s == "" {
				return "String must be non-empty"
			}
			return ""
		},
	},
	{Name: "batch.size", Type: config.Int, Default: "2000", HasDefault: true, Importance: config.Low, Doc: "Lines a poll."},
	{Name: "database.password", Type: config.Password, Importance: config.Low, Doc: "A secret."},
	{Name: "future", Type: config.String, Importance: config.Low, Unlisted: true, Doc: "Not served.", Later: "the future"},
	{Name: "topic.prefix", Type: config.String, Importance: config.Low, Unlisted: true, Doc: "Key of the connector's signals."},
	{Name: "signal.enabled.channels", Type: config.List, Importance: config.Low, Unlisted: true, Doc: "Channels of signals."},
	{Name: "signal.kafka.topic", Type: config.String, Importance: config.Low, Unlisted: true, Doc: "Topic of signals."},
	{Name: "signal.kafka.groupId", Type: config.String, Default: "kafka-signal", HasDefault: true, Importance: config.Low, Unlisted: true, Doc: "Its group."},
	{Name: "signal.kafka.bootstrap.servers", Type: config.String, Importance: config.Low, Unlisted: true, Doc: "Its brokers."},
	{Name: "errors.max.retries", Type: config.Int, Default: "-1", HasDefault: true, Importance: config.Low, Doc: "Attempts."},
	{Name: "retriable.restart.connector.wait.ms", Type: config.Long, Default: "10000", HasDefault: true, Importance: config.Low, Doc: "Wait."},
}

// Describe is the description of Kafka's FileStreamSource.
func (s *Source) Describe() capture.Description {
	return capture.Description{
		Plugin: config.Plugin{Name: "file", Class: SourceClass, Kind: "source", Version: connect.CompatibleVersion, Def: config.Def{Keys: fileKeys}},
		Source: capture.SourceBlock{Connector: "file", Name: "test.Source"},
	}
}

// Check finds nothing wrong.
func (s *Source) Check(_ context.Context, v config.Values) ([]capture.Finding, error) {
	if s.OnCheck != nil {
		return s.OnCheck(v)
	}
	return nil, nil
}

// Partition names the file.
func (s *Source) Partition(v config.Values) string {
	text, _ := json.Marshal(map[string]string{"filename": v.Get("file")})
	return string(text)
}

// Split makes one task.
func (s *Source) Split(v config.Values, limit int) ([]config.Values, error) {
	if s.OnSplit != nil {
		return s.OnSplit(v, limit)
	}
	return []config.Values{v}, nil
}

// Open opens a reader.
func (s *Source) Open(_ context.Context, env capture.Env, v config.Values) (capture.Reader, error) {
	s.mu.Lock()
	s.opened++
	n := s.opened
	s.mu.Unlock()
	if s.OnOpen != nil {
		return s.OnOpen(n, env, v)
	}
	return &Reader{File: v.Get("file"), From: env.From, OnClose: s.OnClose}, nil
}

var _ connect.OffsetChecker = (*Source)(nil)

// CheckOffset has the rules of Kafka's FileStreamSource.
func (s *Source) CheckOffset(partition, offset string) error {
	if partition == "" {
		return &connect.Error{Code: 500, Message: "Partition objects cannot be null"}
	}
	var p, o map[string]json.RawMessage
	if err := json.Unmarshal([]byte(partition), &p); err != nil || p["filename"] == nil {
		return &connect.Error{Code: 500, Message: "Partition objects should contain the key 'filename'"}
	}
	if offset == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(offset), &o); err != nil || o["position"] == nil {
		return &connect.Error{Code: 500, Message: "Offset objects should either be null or contain the key 'position'"}
	}
	n, err := strconv.ParseInt(string(o["position"]), 10, 64)
	if err != nil {
		return &connect.Error{Code: 500, Message: "The value for the 'position' key in the offset is expected to be a Long value"}
	}
	if n < 0 {
		return &connect.Error{Code: 500, Message: "The value for the 'position' key in the offset should be a non-negative value"}
	}
	return nil
}

// Opened is how often Open was called.
func (s *Source) Opened() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// Reader yields the lines of a file once, then waits.
type Reader struct {
	File    string
	From    change.Position
	Fail    error // what Next returns once the lines are durable, if not nil
	OnClose func()

	done      bool
	committed atomic.Bool
}

var _ capture.Reader = (*Reader)(nil)

var lines = &schema.Table{
	ID:      schema.ID{Schema: "lines", Name: "t"},
	Columns: []schema.Column{{Name: "line", Type: &schema.Type{Kind: schema.String}}},
}

// Next yields all lines at once, and the size of the file as the position.
func (r *Reader) Next(ctx context.Context, b *change.Batch) error {
	text, err := os.ReadFile(r.File)
	end := change.Position(`{"position":` + strconv.Itoa(len(text)) + `}`)
	if err == nil && !r.done && r.From != end {
		r.done = true
		for line := range bytes.Lines(text) {
			row := b.NewRow(1)
			b.Set(row, 0, b.TextOf(bytes.TrimRight(line, "\n")))
			b.Changes = append(b.Changes, change.Change{Table: lines, Op: change.Create, After: row})
		}
		b.End = end
		return nil
	}
	for r.Fail == nil || r.done && !r.committed.Load() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return r.Fail
}

// Commit notes that the lines are durable.
func (r *Reader) Commit(context.Context, change.Position) error {
	r.committed.Store(true)
	return nil
}

// Close tells the test.
func (r *Reader) Close(context.Context) error {
	if r.OnClose != nil {
		r.OnClose()
	}
	return nil
}

// Sink is a sink connector that counts what it is given.
type Sink struct {
	OnOpen  func(v config.Values) (sinks.Writer, error)
	OnWrite func(b *sinks.Batch) error
}

var _ sinks.Connector = (*Sink)(nil)

// Describe is the description of Kafka's FileStreamSink.
func (s *Sink) Describe() config.Plugin {
	return config.Plugin{
		Name: "filesink", Class: SinkClass, Kind: "sink", Version: connect.CompatibleVersion,
		Def: config.Def{Keys: []config.Key{{Name: "file", Type: config.String, Importance: config.High, Doc: "File to write."}}},
	}
}

// Check finds nothing wrong.
func (s *Sink) Check(context.Context, config.Values) []config.Problem { return nil }

// Open opens a writer.
func (s *Sink) Open(_ context.Context, _ sinks.Env, v config.Values) (sinks.Writer, error) {
	if s.OnOpen != nil {
		return s.OnOpen(v)
	}
	return writer{s}, nil
}

// WriterOf is the writer that a Sink opens by itself.
func WriterOf(s *Sink) sinks.Writer { return writer{s} }

type writer struct{ sink *Sink }

// Write tells the test.
func (w writer) Write(_ context.Context, b *sinks.Batch) error {
	if w.sink.OnWrite != nil {
		return w.sink.OnWrite(b)
	}
	return nil
}

// Close does nothing.
func (writer) Close(context.Context) error { return nil }

// Logs keeps what is logged. It is safe for concurrent use.
type Logs struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write keeps a text.
func (l *Logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is what was written.
func (l *Logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// NewLog opens a log in memory, and closes it with the test.
func NewLog(t testing.TB) (*store.DB, *local.Log) {
	t.Helper()
	return NewLogOn(t, vfs.NewMem())
}

// NewLogOn opens a log on a file system, and closes it with the test.
func NewLogOn(t testing.TB, fs vfs.FS) (*store.DB, *local.Log) {
	t.Helper()
	db, err := store.Open("data", store.Options{FS: fs})
	require.NoError(t, err)
	log, err := local.Open(db, local.Options{RetentionInterval: -1})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, errors.Join(log.Close(context.WithoutCancel(t.Context())), db.Close()))
	})
	return db, log
}

// NewWorker makes a worker of a source and a sink; nil is one without hooks.
func NewWorker(t testing.TB, log *local.Log, source *Source, sink *Sink, logger *slog.Logger, cfg ...connect.WorkerConfig) *connect.Worker {
	t.Helper()
	if source == nil {
		source = &Source{}
	}
	if sink == nil {
		sink = &Sink{}
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	o := connect.WorkerOptions{
		Plugins: connect.NewPlugins([]capture.Connector{source}, []sinks.Connector{sink}),
		Topics:  log, Log: logger,
	}
	if len(cfg) > 0 {
		o.Config = cfg[0]
	}
	return connect.NewWorker(o)
}
