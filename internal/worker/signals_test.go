// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/capture"
	"freshet/config"
	"freshet/connect"
	"freshet/connect/connecttest"
)

// A worker with local topics takes signals from a topic in Kafka. Brokers that are away hold up no connector.
func TestSignalsFromKafka(t *testing.T) {
	fake := newFake(t, kfake.SeedTopics(1, "p-signal"))
	signals := make(chan (<-chan capture.Signal), 2)
	o, logs := options(t, &connecttest.Source{OnOpen: func(_ int, env capture.Env, v config.Values) (capture.Reader, error) {
		signals <- env.Signals
		return &connecttest.Reader{File: v.Get("file"), From: env.From}, nil
	}})
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan Running, 1), make(chan error, 1)
	o.Ready = func(r Running) { ready <- r }
	go func() { ended <- Run(ctx, o) }()
	r := <-ready
	put := func(name, brokers string) <-chan capture.Signal {
		cfg := maps.Clone(file.Config)
		maps.Copy(cfg, map[string]string{
			"name": name, "file": name, "topic.prefix": "p", "signal.enabled.channels": "kafka",
			"signal.kafka.bootstrap.servers": brokers, "signal.kafka.groupId": name,
		})
		_, _, err := r.Herder.Put(ctx, name, cfg, true, "")
		require.NoError(t, err)
		return <-signals
	}
	from := put("near", fake.ListenAddrs()[0])
	put("far", "127.0.0.1:1")

	producer, err := kgo.NewClient(kgo.SeedBrokers(fake.ListenAddrs()...))
	require.NoError(t, err)
	defer producer.Close()
	require.NoError(t, producer.ProduceSync(ctx, &kgo.Record{Topic: "p-signal", Key: []byte("p"), Value: []byte(`{"id":"1","type":"pause-snapshot"}`)}).FirstErr())
	select {
	case s := <-from:
		require.Equal(t, "pause-snapshot", s.Type)
	case <-time.After(20 * time.Second):
		t.Fatal("waited in vain for the signal")
	}
	require.Eventually(t, func() bool {
		s, err := r.Herder.Status(ctx, "far")
		return err == nil && s.Tasks[0].State == connect.Running && strings.Contains(logs.String(), "127.0.0.1:1")
	}, 20*time.Second, time.Millisecond, "the connector runs, and the log tells what does not answer")
	cancel()
	require.NoError(t, <-ended)
}
