// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/internal/testdb"
	"freshet/sinks/jdbc/dialect"
	"freshet/sinks/jdbc/sqlite"
)

// sqliteRows are the rows of items in a file, as one text.
func sqliteRows(t *testing.T, path string) string {
	t.Helper()
	s, err := sqlite.Dialect{}.Open(t.Context(), dialect.Options{URL: "jdbc:sqlite:" + path, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(t.Context())) }()
	var out []string
	err = s.Query(t.Context(), "SELECT id, n, coalesce(note, '-') FROM items ORDER BY id", func(c [][]byte) error {
		out = append(out, fmt.Sprintf("%s %s %s", c[0], c[1], c[2]))
		return nil
	})
	if err != nil {
		return err.Error() // not there yet
	}
	return strings.Join(out, "; ")
}

// TestIntoSQLite: a snapshot and changes arrive in a file, over a worker that is killed and a file that another program keeps
// for itself for a while.
func TestIntoSQLite(t *testing.T) {
	t.Parallel()
	source := testdb.Postgres(t)
	source.Exec(t, itemsDDL+"insert into items select g, 0, 'ü ' || g from generate_series(1, 500) g")
	path := filepath.Join(t.TempDir(), "copy.db")
	s := newSetup(t)
	s.connectors[sourceName] = sourceConfig(source).with(properties{"skipped.operations": "none"})
	s.connectors[sinkName] = properties{
		"connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector", "topics.regex": `e2e\..*`, "connection.url": "jdbc:sqlite:" + path + "?busy_timeout=50",
		"insert.mode": "upsert", "primary.key.mode": "record_key", "delete.enabled": "true", "truncate.enabled": "true", "schema.evolution": "basic",
		"collection.name.format": "${source.table}", "offsets.table.name": "freshet_offsets",
	}
	s.journal(t, source)
	same := func() {
		t.Helper()
		var last, want string
		defer func() {
			if t.Failed() {
				t.Logf("want %.500s\nhave %.500s", want, last)
			}
		}()
		waitFor(t, "the file to be equal to the source", func() bool {
			want = source.Text(t, "select coalesce(string_agg(id || ' ' || n || ' ' || coalesce(note, '-'), '; ' order by id), '') from items")
			last = sqliteRows(t, path)
			return last == want
		})
	}
	w := s.start(t)
	w.streaming(t, source)
	same()
	source.Exec(t, "update items set n = n + 1, note = null where id % 3 = 0; delete from items where id % 5 = 0; update items set id = id + 1000 where id = 1")
	w.process.kill(t)
	source.Exec(t, "insert into items select g, 7, 'while it was away' from generate_series(2000, 2100) g")
	w = s.start(t)
	same()

	other, err := sqlite.Dialect{}.Open(t.Context(), dialect.Options{URL: "jdbc:sqlite:" + path})
	require.NoError(t, err)
	held := func(sql string) {
		require.NoError(t, other.Query(t.Context(), sql, func([][]byte) error { return nil }))
	}
	held("BEGIN IMMEDIATE")
	source.Exec(t, "update items set n = n + 1 where id = 2")
	w.awaitTrace(t, sinkName, connect.Restarting, "another process holds the database's lock")
	held("COMMIT")
	require.NoError(t, other.Close(t.Context()))
	same()
	source.Exec(t, "truncate items; insert into items values (1, 1, 'last')")
	same()
	w.stop(t)
}
