// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"freshet/connect"
	"freshet/connect/connecttest"
	"freshet/emitter/topic"
)

func newFake(t *testing.T, o ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, o...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// A login that the brokers refuse ends the start: waiting cannot help.
func TestKafkaRefusesTheLogin(t *testing.T) {
	fake := newFake(t, kfake.EnableSASL())
	fake.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		resp := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return resp, nil, true
	})
	o, logs := options(t, &connecttest.Source{})
	o.Properties["bootstrap.servers"] = fake.ListenAddrs()[0]
	o.Properties["security.protocol"] = "SASL_PLAINTEXT"
	o.Properties["sasl.jaas.config"] = `x.PlainLoginModule required username="u" password="canary-4711";`
	err := Run(t.Context(), o)
	var start *StartError
	require.ErrorAs(t, err, &start)
	require.ErrorContains(t, err, "SASL_AUTHENTICATION_FAILED")
	require.ErrorContains(t, err, "sasl.jaas.config")
	require.NotContains(t, logs.String()+err.Error(), "canary-4711")
}

// A worker that waits for its brokers ends when it is asked to, and says until then what it waits for.
func TestStopWhileKafkaIsAway(t *testing.T) {
	o, logs := options(t, &connecttest.Source{})
	o.Properties["bootstrap.servers"] = "127.0.0.1:1"
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, o) }()
	require.Eventually(t, func() bool {
		return strings.Contains(logs.String(), "Kafka does not answer yet")
	}, 20*time.Second, time.Millisecond)
	cancel()
	require.NoError(t, <-ended)
	require.Contains(t, logs.String(), "127.0.0.1:1")
	require.NotContains(t, logs.String(), "worker is ready")
}

// Client settings of connectors are judged, and positions are in the data folder.
func TestRunInKafka(t *testing.T) {
	fake := newFake(t, kfake.ClusterID("the-cluster"))
	o, _ := options(t, &connecttest.Source{})
	o.Properties["bootstrap.servers"] = fake.ListenAddrs()[0]
	o.Properties["connector.client.config.override.policy"] = "None"
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan Running, 1), make(chan error, 1)
	o.Ready = func(r Running) { ready <- r }
	go func() { ended <- Run(ctx, o) }()
	r := <-ready
	require.Equal(t, "the-cluster", r.Topics.(topic.Identified).Identity())
	with := func(name, value string) map[string]string {
		cfg := map[string]string{name: value}
		maps.Copy(cfg, file.Config)
		return cfg
	}
	_, _, err := r.Herder.Put(ctx, "c", with("producer.override.linger.ms", "1"), true, "")
	require.ErrorContains(t, err, "The 'None' policy does not allow 'linger.ms' to be overridden in the connector configuration.")
	_, _, err = r.Herder.Put(ctx, "c", with("topic.creation.default.partitions", "3"), true, "")
	require.ErrorContains(t, err, `Missing required configuration "topic.creation.default.replication.factor" which has no default value.`)
	cancel()
	require.NoError(t, <-ended)
}

// A sink may have a consumer group of another name, of its own or of the worker's: its offsets are those of that group.
func TestGroupOfASink(t *testing.T) {
	for _, c := range []struct{ name, worker, connector, want string }{
		{"usual", "", "", "connect-c"},
		{"connector's", "of-the-worker", "of-the-connector", "of-the-connector"},
		{"worker's", "of-the-worker", "", "of-the-worker"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := newFake(t, kfake.SeedTopics(1, "t"))
			client, err := kgo.NewClient(kgo.SeedBrokers(fake.ListenAddrs()...))
			require.NoError(t, err)
			defer client.Close()
			require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: "t", Value: []byte(`{"a":1}`)}).FirstErr())
			o, _ := options(t, &connecttest.Source{})
			o.Properties["bootstrap.servers"], o.Properties["value.converter.schemas.enable"] = fake.ListenAddrs()[0], "false"
			o.Properties["value.converter"] = "org.apache.kafka.connect.json.JsonConverter"
			if c.worker != "" {
				o.Properties["consumer.group.id"] = c.worker
			}
			cfg := map[string]string{"connector.class": "FileStreamSink", "topics": "t"}
			if c.connector != "" {
				cfg["consumer.override.group.id"] = c.connector
			}
			ctx, cancel := context.WithCancel(t.Context())
			ready, ended := make(chan Running, 1), make(chan error, 1)
			o.Ready = func(r Running) { ready <- r }
			go func() { ended <- Run(ctx, o) }()
			r := <-ready
			_, _, err = r.Herder.Put(ctx, "c", cfg, true, "")
			require.NoError(t, err)
			offsets := func() []connect.Offset {
				out, err := r.Herder.Offsets(ctx, "c")
				require.NoError(t, err)
				return out
			}
			want := []connect.Offset{{Partition: `{"kafka_partition":0,"kafka_topic":"t"}`, Offset: `{"kafka_offset":1}`}}
			require.Eventually(t, func() bool { return slices.Equal(offsets(), want) }, 20*time.Second, 5*time.Millisecond)
			has := func() string {
				groups, err := kadm.NewClient(client).FetchOffsets(ctx, c.want)
				require.NoError(t, err)
				at, ok := groups.Lookup("t", 0)
				return fmt.Sprint(ok, at.At)
			}
			require.Equal(t, "true 1", has())
			require.NoError(t, r.Herder.Stop(ctx, "c"))
			require.NoError(t, r.Herder.SetOffsets(ctx, "c", []connect.Offset{{Partition: `{"kafka_partition":0,"kafka_topic":"t"}`, Offset: `{"kafka_offset":0}`}}))
			require.Equal(t, "true 0", has())
			cancel()
			require.NoError(t, <-ended)
		})
	}
}
