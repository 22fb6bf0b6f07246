// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"regexp"

	"freshet/config"
)

// unlistedKeys are the properties that work but that validation answers do not list.
func unlistedKeys() []config.Key {
	return []config.Key{
		{
			Name: "topic.delimiter", Type: config.String, Default: ".", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Stands between the parts of a topic name.",
		},
		{
			Name: "topic.cache.size", Type: config.Int, Default: "10000", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Topic names to keep in memory.",
			Check:    positive,
		},
		{
			Name: "topic.transaction", Type: config.String, Default: "transaction", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Last part of the topic of transaction metadata.",
		},
		{
			Name: "topic.heartbeat.prefix", Type: config.String, Default: "__debezium-heartbeat", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "First part of the topic of heartbeats.",
		},
		{
			Name: "topic.heartbeat.name", Type: config.String, Importance: config.Low,
			Unlisted: true,
			Doc:      "Whole name of the topic of heartbeats.",
		},
		{
			Name: "topic.regex", Type: config.String, Importance: config.Low,
			Unlisted: true,
			Doc:      "Regular expression of topic names, for naming by regular expression.",
			Check:    checkRegexp,
		},
		{
			Name: "topic.replacement", Type: config.String, Importance: config.Low,
			Unlisted: true,
			Doc:      "New topic name, for naming by regular expression.",
		},
		{
			Name: "topic.key.enforce.uniqueness", Type: config.Boolean, Default: "true", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Adds the table to the key, for naming by regular expression.",
		},
		{
			Name: "topic.key.field.name", Type: config.String, Default: "__dbz__physicalTableIdentifier", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Key field that holds the table, for naming by regular expression.",
		},
		{
			Name: "topic.key.field.regex", Type: config.String, Importance: config.Low,
			Unlisted: true,
			Doc:      "Regular expression of tables in the key, for naming by regular expression.",
			Check:    checkRegexp,
		},
		{
			Name: "topic.key.field.replacement", Type: config.String, Importance: config.Low,
			Unlisted: true,
			Doc:      "New name of tables in the key, for naming by regular expression.",
		},
		{
			Name: "field.name.adjustment.mode", Type: config.String, Default: "none", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "How column names are made valid for Avro.",
			Allowed:  []string{"none", "avro_unicode", "avro"},
		},
		{
			Name: "event.converting.failure.handling.mode", Type: config.String, Default: "warn", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "What happens when a value cannot be converted: fail, or emit null with or without a warning.",
			Allowed:  []string{"warn", "fail", "skip"},
		},
		{
			Name: "skip.messages.without.change", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Leaves out updates that change no captured column; it takes REPLICA IDENTITY FULL.",
		},
		{
			Name: "money.fraction.digits", Type: config.Short, Default: "2", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Digits after the point of money values.",
			Check:    nonNegative,
		},
		{
			Name: "offset.mismatch.strategy", Type: config.String, Default: "no_validation", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc: "Which position counts where the stored one and the slot's differ. no_validation and trust_offset: the stored one. " +
				"trust_slot: the slot's. trust_greater_lsn: the later one. Changes that are given up so are told in the log and the status. " +
				"Any other value is the default, with a word in the log.",
		},
		{
			Name: "read.only", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Never writes to the database.",
		},
		{
			Name: "poll.dispatch.interval.ms", Type: config.Long, Default: "0", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Least milliseconds between two batches.",
			Check:    nonNegative,
			Ignored:  "batches go out as soon as the log takes them",
		},
		{
			Name: "queue.provider.type", Type: config.String, Default: "memory", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Where changes that were read ahead are kept.",
			Later:    "queues outside memory",
		},
		{
			Name: "database.include.list", Type: config.List, Importance: config.Low,
			Unlisted: true,
			Doc:      "Has no meaning: one database is captured.",
			Ignored:  "the database is named by database.dbname",
		},
		{
			Name: "database.exclude.list", Type: config.List, Importance: config.Low,
			Unlisted: true,
			Doc:      "Has no meaning: one database is captured.",
			Ignored:  "the database is named by database.dbname",
		},
		{
			Name: "database.connection.factory.class", Type: config.Class, Importance: config.Low,
			Unlisted: true,
			Doc:      "Java class that opens connections.",
			Later:    "a Java class cannot be loaded here",
		},
		{
			Name: "incremental.snapshot.allow.schema.changes", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Allows changes of structure during incremental snapshots.",
		},
		{
			Name: "signal.file", Type: config.String, Default: "file-signals.txt", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "File whose lines are signals.",
		},
		{
			Name: "signal.kafka.topic", Type: config.String, Importance: config.Low,
			Unlisted: true,
			Doc:      "Topic whose records are signals, `topic.prefix` with -signal behind it unless given: those of partition 0 whose key is `topic.prefix`.",
		},
		{
			Name: "signal.kafka.bootstrap.servers", Type: config.String, Importance: config.Low,
			Unlisted: true,
			Doc:      "Brokers of the signal topic; without them it is one of the worker's own topics.",
		},
		{
			Name: "signal.kafka.groupId", Type: config.String, Default: "kafka-signal", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Consumer group of the signal topic.",
		},
		{
			Name: "signal.kafka.poll.timeout.ms", Type: config.Int, Default: "0", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Milliseconds that a look at the signal topic may take.",
			Ignored:  "the signal topic is waited for, beside the stream",
		},
		{
			Name: "signal.emit.failure.max.retries", Type: config.Int, Default: "0", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "How often writing a watermark is tried again.",
		},
		{
			Name: "signal.emit.failure.backoff.ms", Type: config.Long, Default: "10000", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Milliseconds between two such tries.",
		},
		{
			Name: "signal.consumer.<option>", Type: config.String, Importance: config.Low,
			Unlisted: true,
			Doc:      "Options of the consumer of the signal topic, as `consumer.*` of a worker has them.",
			Pattern:  regexp.MustCompile(`^signal\.consumer\..+$`),
		},
		{
			Name: "snapshot.max.threads.multiplier.<schema>.<table>", Type: config.Int, Importance: config.Low,
			Unlisted: true,
			Doc:      "Chunks per connection that this table is divided into, at least.",
			Pattern:  regexp.MustCompile(`^snapshot\.max\.threads\.multiplier\..+$`), Check: positive,
		},
		{
			Name: "snapshot.select.statement.overrides.<schema>.<table>", Type: config.String, Importance: config.Low,
			Unlisted: true,
			Doc:      "SELECT that the snapshot of this table reads instead of the whole table; it has to return all columns.",
			Pattern:  regexp.MustCompile(`^snapshot\.select\.statement\.overrides\..+$`),
		},
		{
			Name: "slot.guard.interval.ms", Type: config.Long, Default: "5000", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc: "Milliseconds between two looks at the slot, 0 never looks. Without it a server that wants to end " +
				"the stream of a connector whose log of topics has no room waits for it. Debezium does not have it.",
			Check: nonNegative,
		},
		{
			Name: "slot.message.interval.ms", Type: config.Long, Default: "0", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc: "Milliseconds between two logical messages that the guard writes into the server's log, so that the slot moves where " +
				"keep-alives do not come through. Their prefix is freshet, and they are never emitted. 0 writes none. Debezium does not have it.",
			Check: checkMessageInterval,
		},
		{
			Name: "slot.guard.retained.bytes", Type: config.Long, Default: "10737418240", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Bytes of the server's log kept for the slot from which on the guard warns, 0 never warns. Debezium does not have it.",
			Check:    nonNegative,
		},
		{
			Name: "slot.guard.safe.percent", Type: config.Int, Default: "20", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Percent of max_slot_wal_keep_size left below which the guard warns, 0 never warns. Debezium does not have it.",
			Check:    nonNegative,
		},
		{
			Name: "slot.guard.hours", Type: config.Int, Default: "6", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Hours left at the present rate, until the slot is in danger of being lost, below which the guard warns, 0 never warns. Debezium does not have it.",
			Check:    nonNegative,
		},
		{
			Name: "driver.<option>", Type: config.String, Importance: config.Low,
			Unlisted: true,
			Doc:      "Options of the JDBC driver.",
			Pattern:  regexp.MustCompile(`^driver\..+$`),
			Ignored:  "there is no JDBC driver; see the database.* properties",
		},
		{
			Name: "internal.create.slot.command.timeout", Type: config.Long, Default: "90", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Seconds that creating the slot may take.",
			Check:    positive,
			Ignored:  "creating the slot waits for open transactions, and says so",
		},
		{
			Name: "internal.literal.types", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Emits values of types whose usual form loses something (arrays, intervals, numbers without a scale, zoned times, varying bits, types without a form) as the server's text of them. Debezium does not have it.",
		},
		{
			Name: retriableErrors, Type: config.String, Importance: config.Low,
			Unlisted: true,
			Doc:      "Regular expression of messages; a task that fails with one is opened again. It never makes lost changes pass.",
			Check:    checkRegexp,
		},
		{
			Name: "internal.offset.activity.monitor.interval.ms", Type: config.Long, Default: "600000", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Milliseconds after which a position that does not move is reported.",
			Ignored:  "the lag is always measured",
		},
		{
			Name: "internal.slot.seek.to.known.offset.on.start", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Low,
			Unlisted: true,
			Doc:      "Former form of offset.mismatch.strategy.",
			Ignored:  "offset.mismatch.strategy took its place",
		},
	}
}
