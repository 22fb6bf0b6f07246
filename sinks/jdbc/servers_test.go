// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/internal/testdb"
	"freshet/sinks"
)

// database is a test's own database on a real server.
type database interface {
	Exec(t testing.TB, statement string, args ...any)
	Script(t testing.TB, script string) error
	Rows(t testing.TB, query string) [][]string
	Text(t testing.TB, query string) string
}

// server is a database with what tests of all kinds of servers need of it.
type server struct {
	database
	kind         string
	upsert       func(pairs ...string) map[string]string // properties
	urlOf        func(database string) string            // connection.url of another database
	breakWriters func()                                  // ends their sessions and waits until they are gone
	waiting      string                                  // the query for how many writers wait for another one's end
	// What the server says of a row whose key is there, and of one that lacks a value.
	duplicate, missing string
}

// servers are all kinds of servers; SQLite has tests of its own.
var servers = map[string]func(t testing.TB) server{
	"PostgreSQL": func(t testing.TB) server {
		s := testdb.Postgres(t)
		return server{
			database: s, kind: "PostgreSQL", upsert: func(pairs ...string) map[string]string { return upsert(s, pairs...) },
			urlOf:        func(name string) string { return s.DSNFor(name, s.User, s.Password) },
			breakWriters: func() { breakWriters(s) },
			waiting:      "select count(*) from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())",
			duplicate:    "duplicate key value violates unique constraint", missing: `null value in column "v"`,
		}
	},
	"MySQL":   func(t testing.TB) server { return ofMySQL(testdb.MySQL(t), "MySQL") },
	"MariaDB": func(t testing.TB) server { return ofMySQL(testdb.MariaDB(t), "MariaDB") },
}

func ofMySQL(s *testdb.MySQLServer, kind string) server {
	return server{
		database: s, kind: kind, upsert: func(pairs ...string) map[string]string { return mysqlUpsert(s, pairs...) },
		urlOf:        func(name string) string { return strings.TrimSuffix(s.URL(), s.Database) + name },
		breakWriters: func() { breakMySQLWriters(s) },
		waiting:      "select count(*) from information_schema.processlist where state = 'User lock' and db = database()",
		duplicate:    "Duplicate entry '1' for key", missing: "Field 'v' doesn't have a default value",
	}
}

// many is a number of rows that goes by COPY where the server has that, few one that does not.
const (
	few  = 3
	many = 200
)

// eachServer runs a test on every kind of server, each time in a database of its own.
func eachServer(t *testing.T, f func(t *testing.T, s server)) {
	t.Helper()
	for kind, newServer := range servers {
		t.Run(kind, func(t *testing.T) { f(t, newServer(t)) })
	}
}

// eachServerAndSize runs a test on every kind of server with few rows and with many, which may take different ways to the server.
func eachServerAndSize(t *testing.T, f func(t *testing.T, s server, n int)) {
	t.Helper()
	for kind, newServer := range servers {
		t.Run(kind, func(t *testing.T) {
			eachSize(t, func(t *testing.T, n int) { f(t, newServer(t), n) })
		})
	}
}

func write(t *testing.T, w sinks.Writer, fill func(b *sinks.Batch)) {
	t.Helper()
	b := newBatch()
	fill(b)
	require.NoError(t, w.Write(t.Context(), b))
}

// refused writes a batch that must be refused for one record.
func refused(t *testing.T, w sinks.Writer, fill func(b *sinks.Batch)) *sinks.RowError {
	t.Helper()
	b := newBatch()
	fill(b)
	var e *sinks.RowError
	require.ErrorAs(t, w.Write(t.Context(), b), &e)
	return e
}

// failing writes a batch that must fail for another reason than its records.
func failing(t *testing.T, w sinks.Writer, fill func(b *sinks.Batch)) error {
	t.Helper()
	b := newBatch()
	fill(b)
	err := w.Write(t.Context(), b)
	require.Error(t, err)
	var e *sinks.RowError
	require.NotErrorAs(t, err, &e)
	return err
}

func retriable(err error) bool {
	r, ok := err.(interface{ Retriable() bool })
	return !ok || r.Retriable()
}

// rows are those of a query, values divided by blanks.
func rows(t testing.TB, s database, query string) string {
	t.Helper()
	var out []string
	for _, r := range s.Rows(t, query) {
		out = append(out, strings.Join(r, " "))
	}
	return strings.Join(out, "; ")
}

// script runs statements.
func script(t testing.TB, s database, text string) {
	t.Helper()
	require.NoError(t, s.Script(t, text))
}
