// SPDX-License-Identifier: Apache-2.0

package connect_test

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/connect/connecttest"
	"freshet/emitter/topic"
	"freshet/emitter/topic/local"
	"freshet/sinks"
)

// lettersOf are the records of a dead letter queue.
func lettersOf(t *testing.T, log *local.Log, name string) []topic.Record {
	t.Helper()
	infos, err := log.List(t.Context())
	require.NoError(t, err)
	var left int64
	for _, i := range infos {
		if i.Name == name {
			left = i.Partitions[0].End
		}
	}
	if left == 0 {
		return nil
	}
	c, err := log.Subscribe(t.Context(), topic.Subscription{Topics: []string{name}})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close(t.Context())) }()
	var out []topic.Record
	for int64(len(out)) < left {
		records, err := c.Poll(t.Context(), 100)
		require.NoError(t, err)
		for _, r := range records {
			r.Key.Body, r.Value.Body = []byte(string(r.Key.Bytes())), []byte(string(r.Value.Bytes()))
			r.Key.Head, r.Value.Head = nil, nil
			headers := make([]topic.Header, len(r.Headers))
			for i, h := range r.Headers {
				headers[i] = topic.Header{Key: h.Key, Value: []byte(string(h.Value))}
			}
			r.Headers = headers
			out = append(out, r)
		}
	}
	return out
}

func headersOf(r *topic.Record) map[string]string {
	out := map[string]string{}
	for _, h := range r.Headers {
		out[strings.TrimPrefix(h.Key, "__connect.errors.")] = string(h.Value)
	}
	return out
}

// With a dead letter queue the task goes on without what its converter and its target refuse; the queue has these records as
// they were, and tells why.
func TestDeadLetterQueue(t *testing.T) {
	_, log := connecttest.NewLog(t)
	produce(t, log, "in", wrapped("a"), `{"nope":"canary"}`, wrapped("bad"), wrapped("b"))
	var mu sync.Mutex
	var seen []string
	sink := &connecttest.Sink{OnWrite: func(b *sinks.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		for i := range b.Records {
			if b.Data.String(b.Records[i].Value) == "bad" {
				return &sinks.RowError{Index: i, Err: errors.New("value too long for column v"), Hint: "make it longer"}
			}
		}
		for i := range b.Records {
			seen = append(seen, b.Data.String(b.Records[i].Value))
		}
		return nil
	}}
	logs := &logBuffer{}
	w := connecttest.NewWorker(t, log, nil, sink, slog.New(slog.NewTextHandler(logs, nil)))
	c, s := newTask(t, w, with(sinkConfig, "errors.tolerance", "all", "errors.deadletterqueue.topic.name", "dlq",
		"errors.deadletterqueue.context.headers.enable", "true", "errors.log.enable", "true"))
	waitFor(t, "the commit", func() bool {
		offsets, err := c.Offsets(t.Context())
		return err == nil && len(offsets) == 1 && offsets[0].Offset == `{"kafka_offset":4}`
	})
	require.True(t, inState(s, connect.Running)())
	mu.Lock()
	require.Equal(t, []string{"a", "b"}, seen)
	mu.Unlock()
	dead := lettersOf(t, log, "dlq")
	require.Len(t, dead, 2)
	require.Equal(t, `{"nope":"canary"}`, string(dead[0].Value.Body))
	require.Equal(t, wrapped("bad"), string(dead[1].Value.Body))
	converter, write := headersOf(&dead[0]), headersOf(&dead[1])
	require.Equal(t, "VALUE_CONVERTER", converter["stage"])
	require.Equal(t, "1", converter["offset"])
	require.Equal(t, map[string]string{
		"topic": "in", "partition": "0", "offset": "2", "connector.name": "c", "task.id": "0", "stage": "TASK_PUT",
		"class.name":           "org.apache.kafka.connect.sink.SinkTask",
		"exception.class.name": "org.apache.kafka.connect.errors.ConnectException", "exception.message": "value too long for column v",
		"exception.stacktrace": "org.apache.kafka.connect.errors.ConnectException: value too long for column v\n",
	}, write)
	report := s.Report().Errors
	require.False(t, report.Last.IsZero())
	report.Last = time.Time{}
	require.Equal(t, connect.ErrorReport{Failures: 2, Skipped: 2, Logged: 2, DeadLetters: 2}, report)
	require.Equal(t, 2, strings.Count(logs.String(), "Error encountered in task c-0"))
	require.NotContains(t, logs.String(), "canary", "values are not logged")
}

// Without a queue nothing would be left of what the target refuses, so it ends the task, however tolerant.
func TestToleranceKeepsWhatTheTargetRefuses(t *testing.T) {
	_, log := connecttest.NewLog(t)
	produce(t, log, "in", wrapped("bad"))
	sink := &connecttest.Sink{OnWrite: func(*sinks.Batch) error { return &sinks.RowError{Err: errors.New("refused")} }}
	w := connecttest.NewWorker(t, log, nil, sink, nil)
	c, s := newTask(t, w, with(sinkConfig, "errors.tolerance", "all"))
	waitFor(t, "FAILED", inState(s, connect.Failed))
	offsets, err := c.Offsets(t.Context())
	require.NoError(t, err)
	require.Empty(t, offsets)
}

// A source goes on behind a record that its converter refuses, and counts it.
func TestSourceTolerates(t *testing.T) {
	_, log := connecttest.NewLog(t)
	t.Chdir(t.TempDir())
	require.NoError(t, writeFile("in.txt", "one\n"))
	w := connecttest.NewWorker(t, log, nil, nil, nil)
	cfg := with(sourceConfig, "file", "in.txt", "value.converter", "org.apache.kafka.connect.converters.LongConverter")
	_, s := newTask(t, w, cfg)
	waitFor(t, "FAILED", inState(s, connect.Failed))
	_, trace := s.State()
	require.True(t, strings.HasPrefix(trace, "org.apache.kafka.connect.errors.ConnectException: Tolerance exceeded in error handler\nCaused by: org.apache.kafka.connect.errors."), trace)

	c, s := newTask(t, w, with(cfg, "errors.tolerance", "all"))
	waitFor(t, "the position", func() bool {
		offsets, err := c.Offsets(t.Context())
		return err == nil && len(offsets) == 1 && offsets[0].Offset == `{"position":4}`
	})
	require.EqualValues(t, 1, s.Report().Errors.Skipped)
	require.EqualValues(t, 1, s.Report().Source.Events.Failed)
}
