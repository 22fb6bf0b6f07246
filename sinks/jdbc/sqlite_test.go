// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/sinks/jdbc/dialect"
	"freshet/sinks/jdbc/sqlite"
)

// sqliteFile is a database of a test's own.
type sqliteFile struct{ path, params string }

// newSQLite makes a database that does not exist yet. params are those of its connection.url.
func newSQLite(t testing.TB, params string) *sqliteFile {
	t.Helper()
	return &sqliteFile{filepath.Join(t.TempDir(), "target.db"), params}
}

// upsert are the properties of an upsert by record key with deletes; pairs are more of them.
func (f *sqliteFile) upsert(pairs ...string) map[string]string {
	p := map[string]string{
		"connection.url": "jdbc:sqlite:" + f.path + f.params, "insert.mode": "upsert", "primary.key.mode": "record_key", "delete.enabled": "true",
		"truncate.enabled": "true", "schema.evolution": "basic",
	}
	for i := 0; i < len(pairs); i += 2 {
		p[pairs[i]] = pairs[i+1]
	}
	return p
}

func (f *sqliteFile) session(t testing.TB) dialect.Session {
	t.Helper()
	s, err := sqlite.Dialect{}.Open(t.Context(), dialect.Options{URL: "jdbc:sqlite:" + f.path + f.params, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return s
}

func (f *sqliteFile) exec(t testing.TB, sql string) {
	t.Helper()
	s := f.session(t)
	require.NoError(t, s.Exec(t.Context(), sql))
	require.NoError(t, s.Close(t.Context()))
}

// rows are the rows of a query as texts; a null is NULL.
func (f *sqliteFile) rows(t testing.TB, query string) [][]string {
	t.Helper()
	s := f.session(t)
	var out [][]string
	require.NoError(t, s.Query(t.Context(), query, func(columns [][]byte) error {
		row := make([]string, len(columns))
		for i, c := range columns {
			row[i] = "NULL"
			if c != nil {
				row[i] = string(c)
			}
		}
		out = append(out, row)
		return nil
	}))
	require.NoError(t, s.Close(t.Context()))
	return out
}

// show is the rows of a query on one line.
func (f *sqliteFile) show(t testing.TB, query string) string {
	t.Helper()
	var out []string
	for _, r := range f.rows(t, query) {
		out = append(out, strings.Join(r, " "))
	}
	return strings.Join(out, "; ")
}
