// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"freshet/config"
)

// connectionKeys are the properties of the connection, the slot and the publication: group Postgres of validation answers.
func connectionKeys() []config.Key {
	return []config.Key{
		{
			Name: "topic.prefix", Type: config.String, Required: true, Importance: config.High,
			Display: "Topic prefix", Width: config.WidthMedium,
			Doc:   "Names the source: the first part of every topic, and the key of the stored position.",
			Check: checkTopicPrefix,
		},
		{
			Name: "database.hostname", Type: config.String, Required: true, Importance: config.High,
			Display: "Hostname", Width: config.WidthMedium,
			Doc: "Host name or address of the PostgreSQL server.",
		},
		{
			Name: "database.port", Type: config.Int, Default: "5432", HasDefault: true, Importance: config.High,
			Display: "Port", Width: config.WidthShort,
			Doc:   "Port of the PostgreSQL server.",
			Check: checkPort,
		},
		{
			Name: "database.user", Type: config.String, Required: true, Importance: config.High,
			Display: "User", Width: config.WidthShort,
			Doc: "Role to log in as; it needs REPLICATION, and SELECT on the captured tables.",
		},
		{
			Name: "database.password", Type: config.Password, Importance: config.High,
			Display: "Password", Width: config.WidthShort,
			Doc: "Password of the role.",
		},
		{
			Name: "database.dbname", Type: config.String, Required: true, Importance: config.High,
			Display: "Database", Width: config.WidthMedium,
			Doc: "The one database that is captured.",
		},
		{
			Name: "database.query.timeout.ms", Type: config.Int, Default: "600000", HasDefault: true, Importance: config.Low,
			Display: "Query timeout", Width: config.WidthNone,
			Doc:   "Milliseconds that a statement may take on ordinary connections; 0 is no limit.",
			Check: nonNegative,
		},
		{
			Name: "plugin.name", Type: config.String, Default: "pgoutput", HasDefault: true, Importance: config.Medium,
			Display: "Plugin", Width: config.WidthMedium,
			Doc:     "Output plug-in of the replication slot; only pgoutput is served, and it is the default.",
			Allowed: []string{"decoderbufs", "pgoutput"},
			Served:  []string{"pgoutput"}, Later: "write plugin.name=pgoutput, which every server since PostgreSQL 10 has",
		},
		{
			Name: "slot.name", Type: config.String, Default: "debezium", HasDefault: true, Importance: config.Medium,
			Display: "Slot", Width: config.WidthMedium,
			Doc:   "Replication slot of this connector; no other connector may use it.",
			Check: checkSlotName,
		},
		{
			Name: "publication.name", Type: config.String, Default: "dbz_publication", HasDefault: true, Importance: config.Medium,
			Display: "Publication", Width: config.WidthMedium,
			Doc: "Publication that the slot reads.",
		},
		{
			Name: "publication.autocreate.mode", Type: config.String, Default: "all_tables", HasDefault: true, Importance: config.Medium,
			Display: "Publication Auto Create Mode", Width: config.WidthMedium,
			Doc:     "Which publication is created where it is missing: of all tables, of the captured tables, an empty one, or none.",
			Allowed: []string{"no_tables", "filtered", "disabled", "all_tables"},
		},
		{
			Name: "replica.identity.autoset.values", Type: config.String, Importance: config.Medium,
			Display: "Replica Identity Auto Set Values", Width: config.WidthLong,
			Doc:   "Replica identities to set at start: regular expressions of tables with DEFAULT, FULL, NOTHING or INDEX and a name.",
			Check: checkIdentityRules,
		},
		{
			Name: "slot.drop.on.stop", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Medium,
			Display: "Drop slot on stop", Width: config.WidthNone,
			Doc: "Drops the replication slot when the connector stops in order; changes until the next start are lost.",
		},
		{
			Name: "slot.failover", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Medium,
			Display: "Create failover slot", Width: config.WidthNone,
			Doc: "Creates the slot so that standbys of PostgreSQL 17 and later keep it.",
		},
		{
			Name: "slot.stream.params", Type: config.String, Importance: config.Low,
			Display: "Optional parameters to pass to the logical decoder when the stream is started.", Width: config.WidthLong,
			Doc:   "Further options of the output plug-in, such as origin=none: name=value, with semicolons in between. Those that decide what is decoded are refused.",
			Check: checkStreamParams,
		},
		{
			Name: "database.initial.statements", Type: config.String, Importance: config.Low,
			Display: "Initial statements", Width: config.WidthLong,
			Doc: "SQL statements to run on each new ordinary connection, with semicolons between them; two semicolons stand for one.",
		},
		{
			Name: "database.sslmode", Type: config.String, Default: "prefer", HasDefault: true, Importance: config.Medium,
			Display: "SSL mode", Width: config.WidthMedium,
			Doc:     "How far the connection to the server is encrypted and verified, as in libpq.",
			Allowed: []string{"allow", "prefer", "disable", "verify-ca", "require", "verify-full"},
		},
		{
			Name: "database.sslcert", Type: config.String, Importance: config.Medium,
			Display: "SSL Client Certificate", Width: config.WidthLong,
			Doc: "File of the client certificate.",
		},
		{
			Name: "database.sslpassword", Type: config.Password, Importance: config.Medium,
			Display: "SSL Client Key Password", Width: config.WidthMedium,
			Doc: "Password of the client key.",
		},
		{
			Name: "database.sslrootcert", Type: config.String, Importance: config.Medium,
			Display: "SSL Root Certificate", Width: config.WidthLong,
			Doc: "File of the certificates of the authorities to trust.",
		},
		{
			Name: "database.sslkey", Type: config.String, Importance: config.Medium,
			Display: "SSL Client Key", Width: config.WidthLong,
			Doc: "File of the client key.",
		},
		{
			Name: "slot.max.retries", Type: config.Int, Default: "6", HasDefault: true, Importance: config.Low,
			Display: "Retry count", Width: config.WidthNone,
			Doc: "How often creating or starting the slot is tried again.",
		},
		{
			Name: "slot.retry.delay.ms", Type: config.Long, Default: "10000", HasDefault: true, Importance: config.Low,
			Display: "Retry delay", Width: config.WidthNone,
			Doc: "Milliseconds between two such tries.",
		},
		{
			Name: "database.sslfactory", Type: config.String, Importance: config.Medium,
			Display: "SSL Root Certificate", Width: config.WidthLong,
			Doc:   "Java class that makes TLS sockets.",
			Later: "a Java class cannot be loaded here",
		},
		{
			Name: "status.update.interval.ms", Type: config.Int, Default: "10000", HasDefault: true, Importance: config.Medium,
			Display: "Status update interval (ms)", Width: config.WidthShort,
			Doc:   "Milliseconds between two status messages to the server.",
			Check: positive,
		},
		{
			Name: "lsn.flush.timeout.ms", Type: config.Long, Default: "30000", HasDefault: true, Importance: config.Medium,
			Display: "LSN flush timeout (ms)", Width: config.WidthShort,
			Doc:     "Milliseconds that confirming a position to the server may take.",
			Check:   positive,
			Ignored: "confirming never waits for the server",
		},
		{
			Name: "lsn.flush.timeout.action", Type: config.String, Default: "fail", HasDefault: true, Importance: config.Medium,
			Display: "LSN flush timeout action", Width: config.WidthMedium,
			Doc:     "What happens when confirming a position takes too long.",
			Allowed: []string{"fail", "warn", "ignore"},
			Ignored: "confirming never waits for the server",
		},
		{
			Name: "database.tcpKeepAlive", Type: config.Boolean, Default: "true", HasDefault: true, Importance: config.Medium,
			Display: "TCP keep-alive probe", Width: config.WidthShort,
			Doc: "Sends TCP keep-alive probes on idle connections.",
		},
		{
			Name: "xmin.fetch.interval.ms", Type: config.Long, Default: "0", HasDefault: true, Importance: config.Medium,
			Display: "Xmin fetch interval (ms)", Width: config.WidthShort,
			Doc:   "Milliseconds between two readings of the slot's xmin for the source block; 0 leaves it out.",
			Check: nonNegative,
		},
		{
			Name: "skipped.operations", Type: config.List, Default: "t", HasDefault: true, Importance: config.Low,
			Display: "Skipped Operations", Width: config.WidthShort,
			Doc:   "Operations that are not emitted: c, u, d, t, or none. Snapshot rows are always emitted.",
			Check: checkOperations,
		},
		{
			Name: "lsn.flush.mode", Type: config.String, Default: "connector", Importance: config.Low,
			Display: "LSN flush mode", Width: config.WidthShort,
			Doc: "Who confirms positions to the server: the connector once they are durable, or with manual somebody else alone, who " +
				"must not go beyond the stored offset. connector_and_driver is the same as connector, which follows keep-alives anyway.",
			Allowed: []string{"connector_and_driver", "connector", "manual"},
		},
		{
			Name: "flush.lsn.source", Type: config.Boolean, Default: "true", HasDefault: true, Importance: config.Low,
			Display: "Boolean to determine if Debezium should flush LSN in the source database", Width: config.WidthShort,
			Doc: "Former switch of lsn.flush.mode: false is manual, where lsn.flush.mode is not given.",
		},
	}
}
