// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/capture/postgres"
	"freshet/connect"
	"freshet/connect/connecttest"
	"freshet/connect/standalone"
	"freshet/emitter/topic"
	"freshet/emitter/topic/local"
	"freshet/emitter/transform"
	"freshet/internal/store"
)

// worker is a freshet in the test's process: the packages that the binary is made of, on a folder of the test's own.
type worker struct {
	herder *standalone.Herder
	log    topic.Log
	said   *connecttest.Logs
}

// newWorker starts a worker whose own properties are those of the recorded one.
func newWorker(t *testing.T) *worker {
	t.Helper()
	return newWorkerWith(t, 1)
}

// newWorkerWith starts one whose topics have some partitions: where the original's connector asks for them
// (topic.creation), here it is the log that decides.
func newWorkerWith(t *testing.T, partitions int32) *worker {
	t.Helper()
	return newWorkerOn(t, local.Options{DefaultPartitions: partitions}, connect.NewPlugins([]capture.Connector{postgres.New()}, nil), map[string]string{
		"key.converter":   "org.apache.kafka.connect.json.JsonConverter",
		"value.converter": "org.apache.kafka.connect.json.JsonConverter",
	})
}

// newWorkerOf starts a worker with some plug-ins and properties of its own.
func newWorkerOf(t *testing.T, plugins *connect.Plugins, properties map[string]string, transforms ...transform.Own) *worker {
	t.Helper()
	return newWorkerOn(t, local.Options{}, plugins, properties, transforms...)
}

func newWorkerOn(t *testing.T, topics local.Options, plugins *connect.Plugins, properties map[string]string, transforms ...transform.Own) *worker {
	t.Helper()
	ctx := t.Context()
	said := &connecttest.Logs{}
	logger := slog.New(slog.NewTextHandler(io.MultiWriter(t.Output(), said), &slog.HandlerOptions{Level: slog.LevelInfo}))
	db, err := store.Open(t.TempDir(), store.Options{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	log, err := local.Open(db, topics)
	require.NoError(t, err)
	w := connect.NewWorker(connect.WorkerOptions{
		Plugins: plugins, Topics: log, Config: connect.WorkerConfig{Properties: properties}, Log: logger, Transforms: transforms,
	})
	h := standalone.New(standalone.Options{Worker: w, Store: db, WorkerID: "127.0.0.1:8083", Log: logger})
	require.NoError(t, h.Start(ctx, nil))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		require.NoError(t, h.Close(ctx))
		require.NoError(t, log.Close(ctx))
		require.NoError(t, db.Close())
	})
	return &worker{herder: h, log: log, said: said}
}

// records reads all topics that the case owns, to their ends.
func (w *worker) records(t *testing.T, belongs func(topic string) bool) []topic.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	infos, err := w.log.List(ctx)
	require.NoError(t, err)
	var names []string
	var left int64
	for _, i := range infos {
		if !belongs(i.Name) {
			continue
		}
		names = append(names, i.Name)
		for _, p := range i.Partitions {
			left += p.End - p.Start
		}
	}
	if left == 0 {
		return nil
	}
	c, err := w.log.Subscribe(ctx, topic.Subscription{Topics: names})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close(ctx)) }()
	var out []topic.Record
	for left > 0 {
		records, err := c.Poll(ctx, 500)
		require.NoError(t, err)
		left -= int64(len(records))
		for _, r := range records {
			out = append(out, clone(r)) // valid until the next Poll only
		}
	}
	return out
}

func clone(r topic.Record) topic.Record {
	r.Topic = strings.Clone(r.Topic)
	for _, d := range []*topic.Data{&r.Key, &r.Value} {
		if !d.IsNull() {
			*d = topic.Data{Body: append([]byte{}, d.Bytes()...)}
		}
	}
	r.Headers = slices.Clone(r.Headers)
	for i := range r.Headers {
		r.Headers[i].Key = strings.Clone(r.Headers[i].Key)
		if v := r.Headers[i].Value; v != nil {
			r.Headers[i].Value = append([]byte{}, v...)
		}
	}
	return r
}

// waitFor polls a condition until it holds, and fails the test with what was waited for and how things stand.
func waitFor(t *testing.T, what string, within time.Duration, cond func() bool, state func() string) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			t.Fatalf("waited %v for: %s; %s", within, what, state())
		case <-tick.C:
		}
	}
}
