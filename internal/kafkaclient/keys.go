// SPDX-License-Identifier: Apache-2.0

package kafkaclient

import (
	"slices"
	"strings"

	"freshet/config"
)

const (
	noBuffers  = "the operating system sizes its socket buffers by itself"
	noJMX      = "metrics are those of GET /metrics"
	bytesOnly  = "records are bytes already: converters make them"
	ownCommits = "offsets are committed after the target has committed"
	dialsAll   = "all addresses of a name are tried"
)

func key(name string, t config.Type, value, doc string) config.Key {
	return config.Key{Name: name, Type: t, Default: value, HasDefault: true, Importance: config.Medium, Doc: doc}
}

func ignored(name string, t config.Type, value, why string) config.Key {
	return config.Key{Name: name, Type: t, Default: value, HasDefault: true, Importance: config.Low, Ignored: why}
}

func later(k config.Key, why string) config.Key {
	k.Later = why
	return k
}

var commonKeys = []config.Key{
	{Name: "bootstrap.servers", Type: config.List, Importance: config.High, Doc: "Brokers to begin with; those of the worker unless given."},
	{Name: "client.id", Type: config.String, Importance: config.Medium, Doc: "Name of the client in the brokers' logs and quotas; connector-KIND-CONNECTOR-TASK unless given."},
	key("client.rack", config.String, "", "Rack of this machine: consumers fetch from a replica in it."),
	key("request.timeout.ms", config.Int, "30000", "How long a broker may take to answer."),
	key("retry.backoff.ms", config.Long, "100", "Least pause before a request is tried again."),
	key("retry.backoff.max.ms", config.Long, "1000", "Longest pause before a request is tried again."),
	key("metadata.max.age.ms", config.Long, "300000", "How long what is known of topics counts; consumers look every 5 seconds or sooner."),
	key("connections.max.idle.ms", config.Long, "540000", "When an idle connection is closed."),
	ignored("reconnect.backoff.ms", config.Long, "50", "retry.backoff.ms counts for connections too"),
	ignored("reconnect.backoff.max.ms", config.Long, "1000", "retry.backoff.max.ms counts for connections too"),
	ignored("socket.connection.setup.timeout.ms", config.Long, "10000", "a connection may take 10 seconds"),
	ignored("socket.connection.setup.timeout.max.ms", config.Long, "30000", "a connection may take 10 seconds"),
	ignored("default.api.timeout.ms", config.Int, "60000", "requests are tried again until whoever asked gives up"),
	ignored("send.buffer.bytes", config.Int, "131072", noBuffers),
	ignored("receive.buffer.bytes", config.Int, "65536", noBuffers),
	ignored("client.dns.lookup", config.String, "use_all_dns_ips", dialsAll),
	ignored("metric.reporters", config.List, "", noJMX),
	ignored("metrics.num.samples", config.Int, "2", noJMX),
	ignored("metrics.sample.window.ms", config.Long, "30000", noJMX),
	ignored("metrics.recording.level", config.String, "INFO", noJMX),
	ignored("enable.metrics.push", config.Boolean, "true", noJMX),
	ignored("auto.include.jmx.reporter", config.Boolean, "true", noJMX),
	ignored("metadata.recovery.strategy", config.String, "rebootstrap", "bootstrap.servers are asked again when no known broker answers"),
	later(key("interceptor.classes", config.List, "", "Java classes between connector and client."), "Java classes cannot be loaded"),
}

var producerKeys = []config.Key{
	{Name: "acks", Type: config.String, Default: "all", HasDefault: true, Importance: config.High, Doc: "Replicas that must have a record: all, 1, or 0.", Check: oneOf("all", "-1", "1", "0")},
	key("enable.idempotence", config.Boolean, "true", "A retry leaves no second copy, with five requests in flight; without it one is."),
	key("max.in.flight.requests.per.connection", config.Int, "5", "Without idempotence: requests in flight; 1 unless given, so that order is kept. With it there are five."),
	key("linger.ms", config.Long, "0", "How long a batch waits for more records."),
	{Name: "compression.type", Type: config.String, Default: "lz4", HasDefault: true, Importance: config.High, Doc: "none, gzip, snappy, lz4 or zstd. Kafka's producer has none unless given.", Check: oneOf("none", "gzip", "snappy", "lz4", "zstd")},
	key("max.request.size", config.Int, "1048576", "Largest record, and batch, in uncompressed bytes. A larger record fails the task, with its topic, key and size."),
	key("buffer.memory", config.Long, "33554432", "Bytes of records that are not acknowledged yet; above it the source waits."),
	key("delivery.timeout.ms", config.Int, "2147483647", "After which a record that is not acknowledged fails its task."),
	key("retries", config.Int, "2147483647", "How often a record is sent again before it fails its task."),
	ignored("batch.size", config.Int, "16384", "a batch takes what is there when the last one is on its way, up to max.request.size"),
	ignored("max.block.ms", config.Long, "9223372036854775807", "a source waits as long as it takes"),
	ignored("partitioner.ignore.keys", config.Boolean, "false", "keys choose the partition (murmur2, as Kafka's default partitioner)"),
	ignored("partitioner.adaptive.partitioning.enable", config.Boolean, "true", "records without a key change the partition with each batch"),
	ignored("partitioner.availability.timeout.ms", config.Long, "0", "records without a key change the partition with each batch"),
	later(key("partitioner.class", config.String, "", "Java class that chooses partitions."), "Java classes cannot be loaded; keys choose the partition as with Kafka's default partitioner"),
	ignored("transactional.id", config.String, "", "those of exactly-once sources are named by group, connector and task"),
	key("transaction.timeout.ms", config.Int, "60000", "How long a transaction of an exactly-once source may take."),
	ignored("compression.gzip.level", config.Int, "-1", "the codec's default level is used"),
	ignored("compression.lz4.level", config.Int, "9", "the codec's default level is used"),
	ignored("compression.zstd.level", config.Int, "3", "the codec's default level is used"),
	ignored("key.serializer", config.Class, "", bytesOnly),
	ignored("value.serializer", config.Class, "", bytesOnly),
	ignored("metadata.max.idle.ms", config.Long, "300000", "topics are forgotten with their connector"),
}

const defaultAssignors = "org.apache.kafka.clients.consumer.RangeAssignor,org.apache.kafka.clients.consumer.CooperativeStickyAssignor"

var consumerKeys = []config.Key{
	{Name: "auto.offset.reset", Type: config.String, Default: "earliest", HasDefault: true, Importance: config.Medium, Doc: "Where a group without committed offsets begins: earliest or latest. With latest, topics that are made later are read from their start.", Check: oneOf("earliest", "latest")},
	{Name: "isolation.level", Type: config.String, Default: "read_uncommitted", HasDefault: true, Importance: config.Medium, Doc: "Whether records of open transactions are read.", Check: oneOf("read_uncommitted", "read_committed")},
	key("fetch.min.bytes", config.Int, "1", "Least bytes that a broker answers with."),
	key("fetch.max.bytes", config.Int, "4194304", "Most bytes that a broker answers with, but for a first batch that is larger; max.partition.fetch.bytes if that is given and more. (Kafka's default is 52428800.)"),
	key("fetch.max.wait.ms", config.Int, "500", "How long a broker waits for fetch.min.bytes."),
	key("max.partition.fetch.bytes", config.Int, "2097152", "Most bytes of a partition in one answer, decompressed, but for a first batch that is larger. (Kafka's default is 1048576.)"),
	key("session.timeout.ms", config.Int, "45000", "After which a member that is silent is out of the group."),
	key("heartbeat.interval.ms", config.Int, "3000", "How often a member says that it is there."),
	key("max.poll.interval.ms", config.Int, "300000", "How long a member may hold up a rebalance."),
	{
		Name: "partition.assignment.strategy", Type: config.List, Default: defaultAssignors, HasDefault: true, Importance: config.Medium,
		Doc: "Assignors of partitions: RangeAssignor, RoundRobinAssignor, StickyAssignor, CooperativeStickyAssignor of org.apache.kafka.clients.consumer.",
		Check: func(s string, _ config.Values) string {
			for _, class := range config.SplitList(s) {
				if assignors[assignor(class)] == nil {
					return "there is no assignor " + class
				}
			}
			return ""
		},
	},
	key("group.instance.id", config.String, "", "Makes the member a static one. For connectors with one task."),
	ignored("max.poll.records", config.Int, "500", "a sink polls as many records as its batch.size"),
	ignored("enable.auto.commit", config.Boolean, "false", ownCommits),
	ignored("auto.commit.interval.ms", config.Int, "5000", ownCommits),
	ignored("allow.auto.create.topics", config.Boolean, "true", "reading creates no topics"),
	ignored("check.crcs", config.Boolean, "true", "checksums are always checked"),
	ignored("exclude.internal.topics", config.Boolean, "true", "topics.regex never matches Kafka's own topics"),
	ignored("key.deserializer", config.Class, "", bytesOnly),
	ignored("value.deserializer", config.Class, "", bytesOnly),
	key("group.id", config.String, "", "Consumer group of a sink; connect-NAME unless given."),
	later(key("group.protocol", config.String, "classic", "Protocol of the group."), "the group protocol is the classic one"),
}

func oneOf(allowed ...string) func(string, config.Values) string {
	return func(s string, _ config.Values) string {
		if slices.Contains(allowed, s) {
			return ""
		}
		return "Value must be one of " + strings.Join(allowed, ", ")
	}
}
