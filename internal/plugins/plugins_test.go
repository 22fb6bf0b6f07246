// SPDX-License-Identifier: Apache-2.0

package plugins_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/internal/plugins"
)

// Every name that configurations of Debezium and Kafka Connect use leads to its connector.
func TestNames(t *testing.T) {
	all := plugins.All()
	for class, want := range map[string]string{
		"io.debezium.connector.postgresql.PostgresConnector": "source",
		"PostgresConnector": "source",
		"Postgres":          "source",
		"postgres":          "source",
		"io.debezium.connector.jdbc.JdbcSinkConnector": "sink",
		"JdbcSinkConnector":                            "sink",
		"JdbcSink":                                     "sink",
		"jdbc":                                         "sink",
		"FileStreamSource":                             "source",
		"FileStreamSink":                               "sink",
		"org.apache.kafka.connect.file.FileStreamSourceConnector": "source",
	} {
		p, err := all.Find(class)
		require.NoError(t, err, class)
		require.Equal(t, want, p.Kind, class)
		require.True(t, (p.Source != nil) == (want == "source") && (p.Sink != nil) == (want == "sink"), class)
	}
	for _, class := range []string{"", "postgresql-sink", "MySqlConnector", "io.debezium.connector.postgresql.postgresconnector"} {
		_, err := all.Find(class)
		require.ErrorContains(t, err, "available connectors are: PluginDesc{klass=class io.debezium.connector.jdbc.JdbcSinkConnector", class)
	}
	require.GreaterOrEqual(t, len(all.List()), 6)
}
