// SPDX-License-Identifier: Apache-2.0

package kafkaclient

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/config"
	"freshet/emitter/topic/kafka"
)

func texts(problems []config.Problem) (errs, warnings []string) {
	for _, p := range problems {
		if p.Warning {
			warnings = append(warnings, p.Message)
		} else {
			errs = append(errs, p.Message)
		}
	}
	return errs, warnings
}

func with(more map[string]string) map[string]string {
	out := map[string]string{"bootstrap.servers": "a:9092,b:9093"}
	maps.Copy(out, more)
	return out
}

func TestWorkerProblems(t *testing.T) {
	for _, c := range []struct {
		name           string
		properties     map[string]string
		errs, warnings []string
	}{
		{"nothing", nil, nil, nil},
		{"scheme", map[string]string{"bootstrap.servers": "PLAINTEXT://a:9092"}, nil, []string{"bootstrap.servers: addresses are host:port; what stands before :// is left out"}},
		{"number", map[string]string{"producer.linger.ms": "soon"}, []string{"Invalid value soon for configuration producer.linger.ms: Not a number of type LONG"}, nil},
		{"codec", map[string]string{"producer.compression.type": "best"}, []string{"Invalid value best for configuration producer.compression.type: Value must be one of none, gzip, snappy, lz4, zstd"}, nil},
		{"java class", map[string]string{"consumer.interceptor.classes": "x.Y"}, []string{"Invalid value [x.Y] for configuration consumer.interceptor.classes: not served yet: Java classes cannot be loaded"}, nil},
		{"kerberos", map[string]string{"admin.sasl.mechanism": "GSSAPI"}, []string{"Invalid value GSSAPI for configuration admin.sasl.mechanism: not served yet: use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"}, nil},
		{"assignor", map[string]string{"consumer.partition.assignment.strategy": "x.Mine"}, []string{"Invalid value [x.Mine] for configuration consumer.partition.assignment.strategy: there is no assignor x.Mine"}, nil},
		{"no effect", map[string]string{"producer.batch.size": "1"}, nil, []string{"The property 'producer.batch.size' has no effect here: a batch takes what is there when the last one is on its way, up to max.request.size"}},
		{"unknown", map[string]string{"producer.lingre.ms": "1"}, nil, []string{"The property 'producer.lingre.ms' is not known to a Kafka client and has no effect"}},
		{"less safe", map[string]string{"producer.acks": "1", "producer.max.in.flight.requests.per.connection": "3"}, nil, []string{
			"producer.acks=1: a broker that fails loses records whose positions are stored; leave it out for all",
			"producer.max.in.flight.requests.per.connection=3 without idempotence: a retry may change the order of records",
		}},
		{"trust store", map[string]string{"producer.security.protocol": "ssl", "producer.ssl.truststore.location": "/nowhere/t.jks"}, []string{
			"Invalid value for configuration producer.ssl.truststore.location: open /nowhere/t.jks: no such file or directory",
		}, nil},
		{"no user", map[string]string{"producer.security.protocol": "SASL_PLAINTEXT", "producer.sasl.jaas.config": `a.PlainLoginModule required password="Canary-4711";`}, []string{
			`Invalid value for configuration producer.sasl.jaas.config: it has no username: ...LoginModule required username="..." password="...";`,
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, problems := NewWorker(with(c.properties))
			errs, warnings := texts(problems)
			require.Equal(t, c.errs, errs)
			require.Equal(t, c.warnings, warnings)
		})
	}
}

// client makes a client of options, to look at what they set.
func newClient(t *testing.T, opts []kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(opts...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestOptions(t *testing.T) {
	w, problems := NewWorker(with(map[string]string{
		"client.id": "worker", "producer.linger.ms": "7", "producer.max.request.size": "5000000", "producer.buffer.memory": "1000000",
		"consumer.session.timeout.ms": "9000", "consumer.auto.offset.reset": "latest", "producer.delivery.timeout.ms": "60000",
		"consumer.fetch.max.bytes": "1000000", "consumer.metadata.max.age.ms": "2000",
	}))
	require.Empty(t, problems)
	o, err := w.Options(map[string]string{"producer.override.linger.ms": "9", "producer.override.acks": "1"}, "connector-{kind}-c-0")
	require.NoError(t, err)
	require.Equal(t, []string{"a:9092", "b:9093"}, o.Brokers)
	require.EqualValues(t, 5000000, o.MaxRequestBytes)
	require.EqualValues(t, 1000000, o.MaxBytes)
	require.True(t, o.FromEnd)
	require.Equal(t, 2*time.Second, o.RefreshInterval)
	require.Nil(t, o.Creation)

	p := newClient(t, o.Producer)
	require.Equal(t, 9*time.Millisecond, p.OptValue(kgo.ProducerLinger))
	require.Equal(t, "connector-producer-c-0", p.OptValue(kgo.ClientID))
	require.Equal(t, time.Minute, p.OptValue(kgo.RecordDeliveryTimeout))
	require.Equal(t, kgo.LeaderAck(), p.OptValue(kgo.RequiredAcks))
	require.Equal(t, true, p.OptValue(kgo.DisableIdempotentWrite))
	require.Equal(t, 1, p.OptValue(kgo.MaxProduceRequestsInflightPerBroker))
	c := newClient(t, append(o.Consumer, kgo.ConsumerGroup("g")))
	require.Equal(t, 9*time.Second, c.OptValue(kgo.SessionTimeout))
	require.EqualValues(t, 1000000, c.OptValue(kgo.FetchMaxBytes))
	require.Equal(t, "connector-consumer-c-0", c.OptValue(kgo.ClientID))
	require.Equal(t, "worker", newClient(t, o.Admin).OptValue(kgo.ClientID), "admin clients have the worker's own settings")
}

func TestBytesOfAFetch(t *testing.T) {
	for _, c := range []struct {
		name             string
		properties       map[string]string
		whole, partition int32
	}{
		{"as it comes", nil, 4 << 20, 2 << 20},
		{"large partitions", map[string]string{"consumer.max.partition.fetch.bytes": "10000000"}, 10000000, 10000000},
		{"both given", map[string]string{"consumer.max.partition.fetch.bytes": "3000000", "consumer.fetch.max.bytes": "50000000"}, 50000000, 3000000},
		{"less than a partition's", map[string]string{"consumer.fetch.max.bytes": "1000000"}, 1000000, 1000000},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, problems := NewWorker(with(c.properties))
			require.Empty(t, problems)
			o, err := w.Options(nil, "c")
			require.NoError(t, err)
			client := newClient(t, o.Consumer)
			require.Equal(t, c.whole, client.OptValue(kgo.FetchMaxBytes))
			require.Equal(t, c.partition, client.OptValue(kgo.FetchMaxPartitionBytes))
		})
	}
}

func TestOverridePolicy(t *testing.T) {
	overrides := map[string]string{"producer.override.linger.ms": "1", "consumer.override.security.protocol": "SSL", "name": "c"}
	for policy, want := range map[string][]string{
		"All": nil,
		"None": {
			"The 'None' policy does not allow 'linger.ms' to be overridden in the connector configuration.",
			"The 'None' policy does not allow 'security.protocol' to be overridden in the connector configuration.",
		},
		"Principal": {"The 'Principal' policy does not allow 'linger.ms' to be overridden in the connector configuration."},
	} {
		w, _ := NewWorker(with(map[string]string{"connector.client.config.override.policy": policy}))
		errs, _ := texts(w.Check(overrides))
		require.Equal(t, want, errs, policy)
	}
	w, _ := NewWorker(with(map[string]string{"producer.batch.size": "1"}))
	errs, warnings := texts(w.Check(map[string]string{"producer.override.retries": "x", "producer.override.max.block.ms": "5"}))
	require.Equal(t, []string{"Invalid value x for configuration producer.override.retries: Not a number of type INT"}, errs)
	require.Equal(t, []string{"The property 'producer.override.max.block.ms' has no effect here: a source waits as long as it takes"}, warnings)
}

func TestCreation(t *testing.T) {
	w, _ := NewWorker(with(nil))
	connector := map[string]string{
		"topic.creation.default.partitions": "3", "topic.creation.default.replication.factor": "-1", "topic.creation.default.cleanup.policy": "compact",
		"topic.creation.groups": "big, default", "topic.creation.big.include": `a\..*,b`, "topic.creation.big.exclude": `a\.x`, "topic.creation.big.partitions": "12",
	}
	create, problems := w.creation(connector)
	require.Empty(t, problems)
	for name, want := range map[string]kafka.Creation{
		"a.b": {Partitions: 12, Replication: -1, Configs: map[string]string{}},
		"b":   {Partitions: 12, Replication: -1, Configs: map[string]string{}},
		"a.x": {Partitions: 3, Replication: -1, Configs: map[string]string{"cleanup.policy": "compact"}},
		"bb":  {Partitions: 3, Replication: -1, Configs: map[string]string{"cleanup.policy": "compact"}},
	} {
		got, ok := create(name)
		require.True(t, ok)
		require.Equal(t, want, got, name)
	}
	_, err := w.Options(map[string]string{"topic.creation.default.partitions": "3"}, "")
	require.ErrorContains(t, err, `Missing required configuration "topic.creation.default.replication.factor" which has no default value.`)
	_, err = w.Options(map[string]string{"topic.creation.default.partitions": "0", "topic.creation.default.replication.factor": "1"}, "")
	require.ErrorContains(t, err, "Invalid value 0 for configuration partitions: Number of partitions must be positive")
	errs, warnings := texts(w.Check(map[string]string{
		"topic.creation.default.partitions": "1", "topic.creation.default.replication.factor": "1", "topic.creation.groups": "g,h", "topic.creation.h.include": "(", "topic.creation.h.partitions": "0",
	}))
	require.Equal(t, []string{
		"Invalid value 0 for configuration topic.creation.h.partitions: Number of partitions must be positive, or -1 to use the broker's default",
		"Invalid value ( for configuration topic.creation.h.include: Invalid regex: error parsing regexp: missing closing ): `\\A(?:()\\z`",
	}, errs)
	require.Equal(t, []string{"The group g of topic.creation.groups has no topic.creation.g.include: no topic is in it"}, warnings)
	off, _ := NewWorker(with(map[string]string{"topic.creation.enable": "false"}))
	create, problems = off.creation(connector)
	require.Empty(t, problems)
	require.Nil(t, create)
}

func TestParseJAAS(t *testing.T) {
	for _, c := range []struct {
		text string
		want map[string]string
	}{
		{`org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";`, map[string]string{"username": "u", "password": "p"}},
		{"a.ScramLoginModule required\n username=\"u\"\n password=\"a \\\"b\\\\; c=d\" ;", map[string]string{"username": "u", "password": `a "b\; c=d`}},
		{`x.PlainLoginModule required username='u' password=p;`, map[string]string{"username": "u", "password": "p"}},
		{`x.PlainLoginModule required username="u" password="p"`, nil},
		{`x.PlainLoginModule required username="u;`, nil},
		{`username="u";`, nil},
		{``, nil},
	} {
		got, err := parseJAAS(c.text)
		require.Equal(t, c.want, got, c.text)
		require.Equal(t, c.want == nil, err != nil, c.text)
	}
}
