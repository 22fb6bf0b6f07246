// SPDX-License-Identifier: Apache-2.0

package jdbc

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"freshet/config"
)

// Values of enumerated properties.
const (
	insertMode = "insert"
	upsertMode = "upsert"
	updateMode = "update"

	keyNone   = "none"
	keyKafka  = "kafka"
	keyRecord = "record_key"
	keyValue  = "record_value"
	keyHeader = "record_header"

	evolveBasic = "basic"
)

const (
	defaultNaming       = "io.debezium.connector.jdbc.naming.DefaultCollectionNamingStrategy"
	defaultColumnNaming = "io.debezium.connector.jdbc.naming.DefaultColumnNamingStrategy"
	defaultProvider     = "org.hibernate.agroal.internal.AgroalConnectionProvider"
	defaultCloudEvents  = `.*CloudEvents\.Envelope$`
	defaultPlaceholder  = "__debezium_unavailable_value"
	noPool              = "write.connections says how many connections a task has"
	oneLoop             = "the worker reopens a task after an error that may pass, with its own back-off"
)

// define declares the properties in the order of Debezium's documentation, then our own.
func define() config.Def {
	return config.Def{Style: config.KafkaStyle, Keys: slices.Concat(connectionKeys(), writeKeys(), namingKeys(), tuningKeys(), dialectKeys(), ownKeys())}
}

func connectionKeys() []config.Key {
	return []config.Key{
		{
			Name: "connection.provider", Type: config.Class, Default: defaultProvider, HasDefault: true, Importance: config.Low, Group: "Connection",
			Doc: "The connection pool of the original.", Ignored: noPool,
		},
		{
			Name: "connection.url", Type: config.String, Required: true, Importance: config.High, Group: "Connection",
			Doc: "The target: jdbc:postgresql://, jdbc:mysql:// or jdbc:mariadb://host:port/database?parameters, or the same without jdbc:, or jdbc:sqlite:/path/to/file.db. " +
				"A password belongs into connection.password.",
			Check: checkURL, Show: hideURLPassword,
		},
		{
			Name: "connection.username", Type: config.String, Importance: config.High, Group: "Connection", Check: checkUser, CheckAbsent: true,
			Doc: "The role that writes. Required unless connection.url names one, or a file.",
		},
		{Name: "connection.password", Type: config.Password, Importance: config.High, Group: "Connection", Doc: "The role's password."},
		{Name: "connection.pool.min_size", Type: config.Int, Default: "5", HasDefault: true, Importance: config.Low, Group: "Connection", Doc: "Least size of the pool.", Ignored: noPool},
		{Name: "connection.pool.max_size", Type: config.Int, Default: "32", HasDefault: true, Importance: config.Low, Group: "Connection", Doc: "Greatest size of the pool.", Ignored: noPool},
		{Name: "connection.pool.acquire_increment", Type: config.Int, Default: "32", HasDefault: true, Importance: config.Low, Group: "Connection", Doc: "Growth of the pool.", Ignored: noPool},
		{Name: "connection.pool.timeout", Type: config.Long, Default: "1800", HasDefault: true, Importance: config.Low, Group: "Connection", Doc: "Idle time of pooled connections.", Ignored: noPool},
		{
			Name: "connection.restart.on.errors", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Low, Group: "Connection",
			Doc: "Whether connection errors are retried.", Ignored: oneLoop,
		},
	}
}

func writeKeys() []config.Key {
	return []config.Key{
		{
			Name: "insert.mode", Type: config.String, Default: insertMode, HasDefault: true, Importance: config.High, Group: "Write",
			Allowed: []string{upsertMode, insertMode, updateMode}, Check: checkInsertMode,
			Doc: "insert: plain INSERT, also for updates. upsert: insert or update by key, idempotent. update: rows that exist are updated, others are left out.",
		},
		{
			Name: "delete.enabled", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Medium, Group: "Write",
			Check: checkDelete, Doc: "Whether delete events and tombstones delete rows. Needs primary.key.mode=record_key.",
		},
		{
			Name: "truncate.enabled", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Medium, Group: "Write",
			Doc: "Whether truncate events empty the table.",
		},
		{
			Name: "primary.key.mode", Type: config.String, Default: keyNone, HasDefault: true, Importance: config.High, Group: "Write",
			Allowed: []string{keyNone, keyKafka, keyRecord, keyHeader, keyValue},
			Doc:     "Where the key columns come from: none, kafka (topic, partition, offset), record_key, record_value, record_header.",
		},
		{
			Name: "primary.key.fields", Type: config.List, HasDefault: true, Importance: config.High, Group: "Write",
			Doc: "The fields that make the key: a choice of the record key's, the name of a primitive key, or fields of the value. Not used by record_header.",
		},
		{
			Name: "schema.evolution", Type: config.String, Default: "none", HasDefault: true, Importance: config.Medium, Group: "Write",
			Allowed: []string{"none", evolveBasic}, Doc: "basic: missing tables are created, missing columns added. none: both are errors.",
		},
		{
			Name: "quote.identifiers", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Medium, Group: "Write",
			Doc: "Whether names keep their case. Without it names that need no quotes are folded as the database folds unquoted names (lower case on PostgreSQL; MySQL folds none).",
		},
		{
			Name: "use.time.zone", Type: config.String, Default: "UTC", HasDefault: true, Importance: config.Medium, Group: "Write", Aliases: []string{"database.time_zone"},
			Check: checkZone, Doc: "Time zone of the session, and of zoned timestamps that go into columns without zone.",
		},
	}
}

func namingKeys() []config.Key {
	return []config.Key{
		{
			Name: "collection.name.format", Type: config.String, Default: "${topic}", HasDefault: true, Importance: config.Medium, Group: "Naming", Aliases: []string{"table.name.format"},
			Doc: "The target table: ${topic} is the topic with dots as underscores, ${source.x} a field of the event's source block. schema.table where there is a dot.",
		},
		{
			Name: "collection.table.format", Type: config.String, Default: "${table}", HasDefault: true, Importance: config.Low, Group: "Naming",
			Doc: "Second stage of the name.", Ignored: "the original knows it and does nothing with it",
		},
		{
			Name: "collection.naming.strategy", Type: config.Class, Default: defaultNaming, HasDefault: true, Importance: config.Low, Group: "Naming", Aliases: []string{"table.naming.strategy"},
			Doc: "A class that names tables.", Later: "classes of Java cannot be loaded; use collection.name.format",
		},
		{
			Name: "column.naming.strategy", Type: config.Class, Default: defaultColumnNaming, HasDefault: true, Importance: config.Low, Group: "Naming",
			Doc: "A class that names columns.", Later: "classes of Java cannot be loaded; rename fields with a transform",
		},
		{
			Name: "field.include.list", Type: config.List, HasDefault: true, Importance: config.Medium, Group: "Naming", Check: checkFieldLists,
			Doc: "The fields to write besides the key: field, or topic:field. Names are compared for equality.",
		},
		{
			Name: "field.exclude.list", Type: config.List, HasDefault: true, Importance: config.Medium, Group: "Naming",
			Doc: "The fields not to write: field, or topic:field. Names are compared for equality.",
		},
	}
}

func tuningKeys() []config.Key {
	return []config.Key{
		{
			Name: "batch.size", Type: config.Int, Default: "500", HasDefault: true, Importance: config.Medium, Group: "Tuning", Check: checkBatchSize,
			Doc: "The most records of a batch, where it is given. Where it is not, batches grow with the load, up to 2,500 records.",
		},
		{
			Name: "use.reduction.buffer", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Low, Group: "Tuning",
			Doc: "Keep the last change of a key only.", Ignored: "in upsert and update mode a batch is always reduced to the last change of each key, in insert mode never",
		},
		{Name: "flush.max.retries", Type: config.Int, Default: "5", HasDefault: true, Importance: config.Low, Group: "Tuning", Doc: "Retries of a failed flush.", Ignored: oneLoop},
		{Name: "flush.retry.delay.ms", Type: config.Long, Default: "1000", HasDefault: true, Importance: config.Low, Group: "Tuning", Doc: "Pause between them.", Ignored: oneLoop},
		{
			Name: "keyed.message.batch.mode", Type: config.String, Default: "deduplication", HasDefault: true, Importance: config.Low, Group: "Tuning",
			Allowed: []string{"deduplication", "passthrough"}, Doc: "How the original's shared sink path treats repeated keys.", Ignored: "there is one path, and it deduplicates where that is safe",
		},
		{
			Name: "internal.enable.sces", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Low, Group: "Tuning",
			Doc: "The original's shared sink path.", Ignored: "there is one path",
		},
		{
			Name: "cloud.events.schema.name.pattern", Type: config.String, Default: defaultCloudEvents, HasDefault: true, Importance: config.Low, Group: "Tuning", Check: checkPattern,
			Doc: "Schema names of CloudEvents, whose data is written.",
		},
	}
}

func dialectKeys() []config.Key {
	return []config.Key{
		{Name: "dialect.postgres.postgis.schema", Type: config.String, Default: "public", HasDefault: true, Importance: config.Low, Group: "Dialect", Doc: "Schema of the PostGIS types."},
		{
			Name: "dialect.postgres.unnest.insert.enabled", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Low, Group: "Dialect",
			Doc: "Insert by arrays.", Ignored: "many rows go by COPY, which is faster",
		},
		{
			Name: "dialect.sqlserver.identity.insert", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Low, Group: "Dialect",
			Doc: "IDENTITY_INSERT on SQL Server.", Later: "there is no SQL Server dialect",
		},
		{
			Name: "dialect.starrocks.catalog.name", Type: config.String, HasDefault: true, Importance: config.Low, Group: "Dialect",
			Doc: "Catalog on StarRocks.", Later: "there is no StarRocks dialect",
		},
		{
			Name: "hibernate.*", Type: config.String, Importance: config.Low, Group: "Dialect", Pattern: regexp.MustCompile(`^hibernate\..+`), Unlisted: true,
			Doc: "Settings of Hibernate.", Ignored: "there is no Hibernate",
		},
	}
}

// ownKeys are properties that Debezium does not have.
func ownKeys() []config.Key {
	return []config.Key{
		{
			Name: "offsets.table.name", Type: config.String, HasDefault: true, Importance: config.Medium, Group: "Exactly once",
			Doc: "A table in the target that keeps the consumed offsets, written in the transaction of the rows and created when missing: " +
				"a crash neither loses nor repeats a change. Empty: no such table, and the tail of a topic may be applied again after a crash.",
		},
		{
			Name: "write.connections", Type: config.Int, Default: "1", HasDefault: true, Importance: config.Medium, Group: "Tuning", Check: checkConnections,
			Doc: "Connections that a task writes through at the same time, each with its share of the keys. More than one pays where the target and not " +
				"the worker is the limit: a server far away, commits that wait for a disk. Changes of tables with foreign keys, triggers or a second " +
				"unique index, truncates and changed keys without all their values go over one connection, in order; so does insert mode.",
		},
		{
			Name: "unavailable.value.placeholder", Type: config.String, Default: defaultPlaceholder, HasDefault: true, Importance: config.Low, Group: "Write",
			Doc: "What the source emits for a value that the database did not send (unchanged TOAST), as it is configured there; hex: for bytes. Such a column is left unchanged.",
		},
	}
}

func checkURL(value string, _ config.Values) string {
	db := databaseOf(value)
	switch {
	case db == nil:
		return "No suitable driver: give " + urlForms()
	case db.problem != nil:
		return db.problem(value)
	}
	return ""
}

func checkUser(value string, all config.Values) string {
	if strings.TrimSpace(value) != "" {
		return ""
	}
	db := databaseOf(all.Get("connection.url"))
	if db != nil && (db.user == nil || db.user(all.Get("connection.url")) != "") {
		return ""
	}
	return "A value is required"
}

var urlPassword = regexp.MustCompile(`(?s)(://[^/@:]*:).*@|([?&]password=)[^&]*`)

// hideURLPassword is the URL as it may be shown.
func hideURLPassword(value string) string {
	return urlPassword.ReplaceAllStringFunc(value, func(m string) string {
		if strings.HasSuffix(m, "@") {
			return m[:strings.IndexByte(m[3:], ':')+4] + "****@"
		}
		return m[:strings.IndexByte(m, '=')+1] + "****"
	})
}

func checkInsertMode(value string, all config.Values) string {
	if strings.EqualFold(value, upsertMode) && keyModeOf(all) == keyNone {
		return "When using UPSERT, please define 'primary.key.mode' and 'primary.key.fields'."
	}
	if strings.EqualFold(value, updateMode) && keyModeOf(all) == keyNone {
		return "When using UPDATE, please define 'primary.key.mode': without a key every row would be updated."
	}
	return ""
}

// checkDelete is hazard H1: without a key one delete event would empty the table.
func checkDelete(value string, all config.Values) string {
	if strings.EqualFold(value, "true") && keyModeOf(all) != keyRecord {
		return "When 'delete.enabled' is set to 'true', the 'primary.key.mode' option must be set to 'record_key'."
	}
	return ""
}

func keyModeOf(all config.Values) string {
	return strings.ToLower(strings.TrimSpace(all.Get("primary.key.mode")))
}

func checkZone(value string, _ config.Values) string {
	if _, err := time.LoadLocation(value); err != nil {
		return "Unknown time-zone ID: " + value
	}
	return ""
}

func checkFieldLists(value string, all config.Values) string {
	if value != "" && len(all.List("field.exclude.list")) > 0 {
		return "Cannot define both field.exclude.list and field.include.list. Please specify only one."
	}
	return ""
}

func checkBatchSize(value string, _ config.Values) string {
	if n, err := strconv.Atoi(value); err == nil && n < 1 {
		return "Value must be at least 1"
	}
	return "" // what is no number was told already
}

func checkConnections(value string, _ config.Values) string {
	if n, err := strconv.Atoi(value); err == nil && (n < 1 || n > maxLanes) {
		return "Value must be between 1 and " + strconv.Itoa(maxLanes)
	}
	return ""
}

func checkPattern(value string, _ config.Values) string {
	if _, err := regexp.Compile(value); err != nil {
		return "not a regular expression: " + err.Error()
	}
	return ""
}
