// SPDX-License-Identifier: Apache-2.0

package postgres

import "freshet/config"

// eventKeys are the properties of what becomes an event: group Events of validation answers.
func eventKeys() []config.Key {
	return []config.Key{
		{
			Name: "converters", Type: config.String, Importance: config.Low,
			Display: "List of prefixes defining custom values converters.", Width: config.WidthMedium,
			Doc:   "Names of converters of single columns.",
			Later: "a Java class cannot be loaded here; take the property out, and change values with transforms or in the target",
		},
		{
			Name: "post.processors", Type: config.String, Importance: config.Low,
			Display: "List of change event post processors.", Width: config.WidthMedium,
			Doc:   "Name of a processor that changes events before they are encoded: `<name>.type` is its class.",
			Check: checkPostProcessors,
		},
		{
			Name: "tombstones.on.delete", Type: config.Boolean, Default: "true", HasDefault: true, Importance: config.Medium,
			Display: "Change the behaviour of Debezium with regards to delete operations", Width: config.WidthShort,
			Doc:   "Emits a tombstone after each delete.",
			Check: booleanText,
		},
		{
			Name: "heartbeat.interval.ms", Type: config.Int, Default: "0", HasDefault: true, Importance: config.Medium,
			Display: "Connector heartbeat interval (milli-seconds)", Width: config.WidthMedium,
			Doc:   "Milliseconds between two heartbeats; 0 is none.",
			Check: nonNegative,
		},
		{
			Name: "heartbeat.topics.prefix", Type: config.String, Default: "__debezium-heartbeat", HasDefault: true, Importance: config.Low,
			Display: "A prefix used for naming of heartbeat topics", Width: config.WidthMedium,
			Doc:     "Former name of topic.heartbeat.prefix.",
			Ignored: "the name in use is topic.heartbeat.prefix",
		},
		{
			Name: "signal.data.collection", Type: config.List, Importance: config.Medium,
			Display: "Signaling data collection", Width: config.WidthMedium,
			Doc: "Table whose rows are signals to the connector.",
		},
		{
			Name: "signal.poll.interval.ms", Type: config.Long, Default: "5000", HasDefault: true, Importance: config.Medium,
			Display: "Signal processor poll interval", Width: config.WidthShort,
			Doc:   "Milliseconds between two looks at the signal channels.",
			Check: positive,
		},
		{
			Name: "signal.enabled.channels", Type: config.List, Default: "source", HasDefault: true, Importance: config.Medium,
			Display: "Enabled channels names", Width: config.WidthLong,
			Doc:   "Channels that signals may come by: source (the signal table), kafka (a topic) and file; over REST they always may.",
			Check: checkSignalChannels,
			Warn:  warnOfJMX("signals come by the channels source, kafka and file, and by POST /connectors/NAME/snapshots"),
		},
		{
			Name: "topic.naming.strategy", Type: config.Class, Default: "io.debezium.schema.SchemaTopicNamingStrategy", HasDefault: true, Importance: config.Medium,
			Display: "Topic naming strategy class", Width: config.WidthMedium,
			Doc:    "How topics are named; the default is prefix, schema and table.",
			Served: namingStrategies(), Later: "naming strategies of your own: a Java class cannot be loaded here",
		},
		{
			Name: "notification.enabled.channels", Type: config.List, Importance: config.Medium,
			Display: "Enabled notification channels names", Width: config.WidthLong,
			Doc:   "Channels that notifications go to.",
			Check: checkNotificationChannels,
			Warn:  warnOfJMX("notifications go to the channels sink and log"),
		},
		{
			Name: "notification.sink.topic.name", Type: config.String, Importance: config.High,
			Display: "Notification topic name", Width: config.WidthLong,
			Doc:   "Topic that notifications go to.",
			Check: checkNotificationTopic, CheckAbsent: true,
		},
		{
			Name: "transaction.metadata.factory", Type: config.Class, Default: "io.debezium.pipeline.txmetadata.DefaultTransactionMetadataFactory", HasDefault: true, Importance: config.Low,
			Display: "Factory class to create transaction context & transaction struct maker classes", Width: config.WidthMedium,
			Doc:   "Java class that makes transaction metadata.",
			Later: "a Java class cannot be loaded here",
		},
		{
			Name: "custom.metric.tags", Type: config.List, Importance: config.Low,
			Display: "Customize metric tags", Width: config.WidthMedium,
			Doc: "Tags to add to metrics, name=value each.",
		},
		{
			Name: "column.include.list", Type: config.List, Importance: config.Medium,
			Display: "Include Columns", Width: config.WidthLong,
			Doc:   "Regular expressions of the columns in row values, as schema.table.column. Keys always hold their columns.",
			Check: checkRegexps,
		},
		{
			Name: "column.exclude.list", Type: config.List, Importance: config.Medium,
			Display: "Exclude Columns", Width: config.WidthLong,
			Doc:   "Regular expressions of the columns left out of row values, as schema.table.column. Keys always hold their columns.",
			Check: exclusive("column.include.list"),
		},
		{
			Name: "table.include.list", Type: config.List, Importance: config.High,
			Display: "Include Tables", Width: config.WidthLong,
			Doc:   "Regular expressions of the tables to capture, as schema.table.",
			Check: checkRegexps,
		},
		{
			Name: "table.exclude.list", Type: config.List, Importance: config.Medium,
			Display: "Exclude Tables", Width: config.WidthLong,
			Doc:   "Regular expressions of the tables not to capture, as schema.table.",
			Check: exclusive("table.include.list"),
		},
		{
			Name: "table.ignore.builtin", Type: config.Boolean, Default: "true", HasDefault: true, Importance: config.Low,
			Display: "Ignore system databases", Width: config.WidthShort,
			Doc: "Leaves out the tables of the system schemas.",
		},
		{
			Name: "schema.include.list", Type: config.List, Importance: config.High,
			Display: "Include Schemas", Width: config.WidthLong, Dependents: []string{"table.include.list"},
			Doc:   "Regular expressions of the schemas to capture.",
			Check: checkRegexps,
		},
		{
			Name: "schema.exclude.list", Type: config.List, Importance: config.Medium,
			Display: "Exclude Schemas", Width: config.WidthLong,
			Doc:   "Regular expressions of the schemas not to capture.",
			Check: exclusive("schema.include.list"), Hidden: true,
		},
		{
			Name: "message.key.columns", Type: config.String, Importance: config.Medium,
			Display: "Columns PK mapping", Width: config.WidthLong,
			Doc:   "Columns that make the record key of a table: a regular expression of tables, a colon, and columns.",
			Check: checkKeyColumns,
		},
		{
			Name: "snapshot.select.statement.overrides", Type: config.String, Importance: config.Medium,
			Display: "List of tables where the default select statement used during snapshotting should be overridden.", Width: config.WidthLong,
			Doc:   "Tables, as schema.table, whose snapshot reads the statement in the property of this name followed by a dot and the table.",
			Check: checkSelectOverrides,
		},
		{
			Name: "column.mask.hash.([^.]+).with.salt.(.+)", Type: config.String, Importance: config.Medium,
			Display: "Mask Columns Using Hash and Salt", Width: config.WidthLong,
			Doc:     "Columns whose text is replaced by a salted hash of it.",
			Pattern: hashName, CheckName: checkDigest, Check: checkRegexps,
		},
		{
			Name: "column.mask.with.(d+).chars", Type: config.String, Importance: config.Medium,
			Display: "Mask Columns With n Asterisks", Width: config.WidthNone,
			Doc:     "Columns whose text is replaced by asterisks.",
			Pattern: maskName, CheckName: checkLength, Check: checkRegexps,
		},
		{
			Name: "column.truncate.to.(d+).chars", Type: config.List, Importance: config.Medium,
			Display: "Truncate Columns To n Characters", Width: config.WidthNone,
			Doc:     "Columns whose text is cut.",
			Pattern: truncateName, CheckName: checkLength, Check: checkRegexps,
		},
		{
			Name: "include.schema.comments", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Medium,
			Display: "Include Table and Column Comments", Width: config.WidthShort,
			Doc: "Reads the comments of columns; events of this connector have none.",
		},
		{
			Name: "column.propagate.source.type", Type: config.List, Importance: config.Medium,
			Display: "Propagate Source Types by Columns", Width: config.WidthNone,
			Doc:   "Columns whose type in the database is added to their schema.",
			Check: checkRegexps,
		},
		{
			Name: "datatype.propagate.source.type", Type: config.List, Importance: config.Medium,
			Display: "Propagate Source Types by Data Type", Width: config.WidthNone,
			Doc:   "Types whose name in the database is added to the schemas of their columns.",
			Check: checkRegexps,
		},
		{
			Name: "internal.snapshot.scan.all.columns.force", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Low,
			Display: "Snapshot force scan all columns of all tables", Width: config.WidthShort,
			Doc:     "Reads the structure of all tables at a snapshot.",
			Ignored: "the structure of captured tables is enough",
		},
		{
			Name: "snapshot.tables.order.by.row.count", Type: config.String, Default: "disabled", HasDefault: true, Importance: config.Medium,
			Display: "Initial snapshot tables order by row count", Width: config.WidthNone,
			Doc:     "Orders the tables of a snapshot by their estimated size.",
			Allowed: []string{"disabled", "ascending", "descending"},
		},
		{
			Name: "heartbeat.action.query", Type: config.String, Importance: config.Low,
			Display: "An optional query to execute with every heartbeat", Width: config.WidthMedium,
			Doc: "Statement to run with each heartbeat, in its own transaction; without heartbeat.interval.ms it never runs.",
		},
		{
			Name: "include.unknown.datatypes", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Medium,
			Display: "Include unknown datatypes", Width: config.WidthShort,
			Doc: "Emits columns of types that have no form of their own, as the bytes of their text.",
		},
		{
			Name: "sourceinfo.struct.maker", Type: config.Class, Default: "io.debezium.connector.postgresql.PostgresSourceInfoStructMaker", HasDefault: true, Importance: config.Low,
			Display: "Source info struct maker class", Width: config.WidthMedium,
			Doc:   "Java class that makes the source block.",
			Later: "a Java class cannot be loaded here",
		},
	}
}
