// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/config"
	"freshet/sinks/jdbc"
)

const canary = "canary-4711"

func problems(changed map[string]string) []config.Problem {
	raw := map[string]string{
		"connection.url": "jdbc:postgresql://db/shop", "connection.username": "u", "connection.password": canary,
		"insert.mode": "upsert", "primary.key.mode": "record_key",
	}
	maps.Copy(raw, changed)
	def := jdbc.New().Describe().Def
	_, problems := def.Parse(raw)
	return problems
}

func TestProperties(t *testing.T) {
	cases := []struct {
		name, value, want string // want is "" for a property that is fine
		warning           bool
	}{
		{name: "batch.size", value: "many", want: "Invalid value many for configuration batch.size: Not a number of type INT"},
		{name: "batch.size", value: "0", want: "Invalid value 0 for configuration batch.size: Value must be at least 1"},
		{name: "batch.size", value: "2000"},
		{name: "delete.enabled", value: "maybe", want: "Invalid value maybe for configuration delete.enabled: Expected value to be either true or false"},
		{name: "insert.mode", value: "replace", want: "Invalid value replace for configuration insert.mode: String must be one of: upsert, insert, update"},
		{name: "insert.mode", value: "UPSERT"},
		{name: "primary.key.mode", value: "none", want: "Invalid value upsert for configuration insert.mode: When using UPSERT, please define 'primary.key.mode' and 'primary.key.fields'."},
		{name: "schema.evolution", value: "basic"},
		{
			name: "connection.url", value: "jdbc:nosuchdb://u:" + canary + "@db/x",
			want: "Invalid value jdbc:nosuchdb://u:****@db/x for configuration connection.url: No suitable driver: give jdbc:postgresql://host:port/database or postgres://host:port/database, " +
				"jdbc:mysql://host:port/database or jdbc:mariadb://host:port/database, jdbc:sqlite:/path/to/file.db",
		},
		{name: "connection.url", value: "postgres://u:" + canary + "@db/x"},
		{name: "connection.username", value: " ", want: "Invalid value  for configuration connection.username: A value is required"},
		{name: "use.time.zone", value: "Mars/Base", want: "Invalid value Mars/Base for configuration use.time.zone: Unknown time-zone ID: Mars/Base"},
		{name: "database.time_zone", value: "Europe/Berlin"},
		{name: "cloud.events.schema.name.pattern", value: "(", want: "Invalid value ( for configuration cloud.events.schema.name.pattern: not a regular expression: error parsing regexp: missing closing ): `(`"},
		{name: "column.naming.strategy", value: "a.B", want: "Invalid value a.B for configuration column.naming.strategy: not served yet: classes of Java cannot be loaded; rename fields with a transform"},
		{name: "connection.pool.max_size", value: "10", want: "The property 'connection.pool.max_size' has no effect here: write.connections says how many connections a task has", warning: true},
		{name: "hibernate.dialect", value: "x", want: "The property 'hibernate.dialect' has no effect here: there is no Hibernate", warning: true},
		{name: "offsets.table.name", value: "freshet_offsets"},
	}
	require.Empty(t, problems(nil))
	for _, c := range cases {
		t.Run(c.name+"="+c.value, func(t *testing.T) {
			got := problems(map[string]string{c.name: c.value})
			if c.want == "" {
				require.Empty(t, got)
				return
			}
			require.Len(t, got, 1)
			require.Equal(t, c.want, got[0].Message)
			require.Equal(t, c.warning, got[0].Warning)
			require.NotContains(t, got[0].Message, canary)
		})
	}
}

// TestEveryPropertyIsDeclared holds the names of Debezium's documentation and of its configuration.
func TestEveryPropertyIsDeclared(t *testing.T) {
	def := jdbc.New().Describe().Def
	for _, name := range []string{
		"connection.provider", "connection.url", "connection.username", "connection.password", "connection.pool.min_size", "connection.pool.max_size",
		"connection.pool.timeout", "connection.restart.on.errors", "insert.mode", "delete.enabled", "truncate.enabled", "primary.key.mode",
		"primary.key.fields", "schema.evolution", "quote.identifiers", "use.time.zone", "database.time_zone", "collection.name.format",
		"table.name.format", "collection.table.format", "collection.naming.strategy", "table.naming.strategy", "column.naming.strategy",
		"field.include.list", "field.exclude.list", "batch.size", "use.reduction.buffer", "flush.max.retries", "flush.retry.delay.ms",
		"cloud.events.schema.name.pattern", "dialect.postgres.postgis.schema", "dialect.postgres.unnest.insert.enabled",
		"dialect.sqlserver.identity.insert", "dialect.starrocks.catalog.name", "keyed.message.batch.mode", "internal.enable.sces", "hibernate.jdbc.time_zone",
	} {
		k := def.Find(name)
		require.NotNil(t, k, name)
		require.NotEmpty(t, k.Doc, name)
	}
}

func TestOpenTellsTheCauseWithoutThePassword(t *testing.T) {
	for _, c := range []struct{ url, want string }{
		{"jdbc:postgresql://127.0.0.1:1/shop", `connect to PostgreSQL at 127.0.0.1:1, database "shop", as "u": dial tcp 127.0.0.1:1: connect: connection refused: check host and port`},
		{"postgres://u:" + canary + "@127.0.0.1:1/shop?connect_timeout=x", "connection.url: "},
	} {
		_, err := tryOpen(t, map[string]string{"connection.url": c.url, "connection.username": "u", "connection.password": canary}, nil)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), canary)
	}
}
