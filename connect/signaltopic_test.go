// SPDX-License-Identifier: Apache-2.0

package connect_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/config"
	"freshet/connect"
	"freshet/connect/connecttest"
	"freshet/emitter/topic"
)

// logBuffer is where a log goes that is read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// heard collects what a source's reader gets as signals.
type heard struct {
	mu   sync.Mutex
	from <-chan capture.Signal
}

func (h *heard) next() (capture.Signal, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case s := <-h.from:
		return s, true
	default:
		return capture.Signal{}, false
	}
}

// Signals of the topic reach the reader once; what is none for this connector is passed over, and said where it is broken.
func TestSignalTopic(t *testing.T) {
	_, log := connecttest.NewLog(t)
	h, logs := &heard{}, &logBuffer{}
	source := &connecttest.Source{OnOpen: func(_ int, env capture.Env, v config.Values) (capture.Reader, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.from = env.Signals
		return &connecttest.Reader{File: v.Get("file"), From: env.From}, nil
	}}
	w := connecttest.NewWorker(t, log, source, nil, slog.New(slog.NewTextHandler(logs, nil)))
	send := func(key, value string) {
		durable := make(chan error, 1)
		log.Append(t.Context(), topic.Unit{Records: []topic.Record{{
			Topic: "p-signal", Key: topic.Data{Body: []byte(key)}, Value: topic.Data{Body: []byte(value)},
		}}}, func(err error) { durable <- err })
		require.NoError(t, <-durable)
	}
	send("other", `{"id":"0","type":"execute-snapshot","data":{"data-collections":["a"]}}`)
	send("p", `{"id":`)
	send("p", `{"id":"1","type":"dance"}`)
	send("p", `{"id":"2","type":"execute-snapshot","data":{"data-collections":["a"],"type":"wild"}}`)
	send("p", `{"id":"3","type":"execute-snapshot","data":{"data-collections":["a"],"type":"INCREMENTAL"}}`)
	send("p", `{"id":"4","type":"log","data":"{\"message\":\"m\"}"}`)
	_, s := newTask(t, w, with(sourceConfig, "topic.prefix", "p", "signal.enabled.channels", "source, Kafka"))
	waitFor(t, "RUNNING", inState(s, connect.Running))
	waitFor(t, "the group to have read all", func() bool {
		offsets, err := log.GroupOffsets(t.Context(), "kafka-signal")
		return err == nil && offsets[topic.Partition{Topic: "p-signal"}] == 6
	})
	var got []capture.Signal
	waitFor(t, "two signals", func() bool {
		if s, ok := h.next(); ok {
			got = append(got, s)
		}
		return len(got) == 2
	})
	require.Equal(t, []capture.Signal{
		{ID: "3", Type: "execute-snapshot", Data: `{"data-collections":["a"],"type":"INCREMENTAL"}`},
		{ID: "4", Type: "log", Data: `{"message":"m"}`},
	}, got)
	_, more := h.next()
	require.False(t, more)
	require.Equal(t, 3, strings.Count(logs.String(), "record of the signal topic is ignored"))
	for _, why := range []string{"unexpected end of JSON input", "dance", "wild"} {
		require.Contains(t, logs.String(), why)
	}
}

// A worker without a Kafka client for it refuses a signal topic elsewhere, and says what to do.
func TestSignalTopicElsewhere(t *testing.T) {
	_, log := connecttest.NewLog(t)
	w := connecttest.NewWorker(t, log, nil, nil, nil)
	_, s := newTask(t, w, with(sourceConfig, "topic.prefix", "p", "signal.enabled.channels", "kafka", "signal.kafka.bootstrap.servers", "b:9092"))
	waitFor(t, "FAILED", inState(s, connect.Failed))
	_, trace := s.State()
	require.Contains(t, trace, "leave it out to take signals from the worker's own topics")
}
