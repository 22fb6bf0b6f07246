// SPDX-License-Identifier: Apache-2.0

package testdb

import (
	"context"
	"crypto/rand"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// DSN is the URL of the test's database for the superuser.
func (s *Server) DSN() string { return s.DSNFor(s.Database, s.User, s.Password) }

// DSNFor is the URL of a database of the server for a role.
func (s *Server) DSNFor(database, user, password string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password), Path: "/" + database,
		Host: net.JoinHostPort(s.Host, strconv.Itoa(s.Port)), RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Connect opens a connection to the test's database, closed when the test ends.
func (s *Server) Connect(t testing.TB) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // it may be broken on purpose
	return conn
}

// Exec runs statements, in one transaction unless they say otherwise.
func (s *Server) Exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	s.on(t, s.Database, func(ctx context.Context, c *pgx.Conn) {
		_, err := c.Exec(ctx, sql, args...)
		require.NoError(t, err, "run %s", sql)
	})
}

// QueryRow runs a query and scans its only row into dst.
func (s *Server) QueryRow(t testing.TB, sql string, dst ...any) {
	t.Helper()
	s.on(t, s.Database, func(ctx context.Context, c *pgx.Conn) {
		require.NoError(t, c.QueryRow(ctx, sql).Scan(dst...), "run %s", sql)
	})
}

// Rows runs a query and returns its rows, each value as the server's text, NULL as "NULL".
func (s *Server) Rows(t testing.TB, sql string) [][]string {
	t.Helper()
	var out [][]string
	s.on(t, s.Database, func(ctx context.Context, c *pgx.Conn) {
		results, err := c.PgConn().Exec(ctx, sql).ReadAll()
		require.NoError(t, err, "run %s", sql)
		for _, r := range results {
			for _, row := range r.Rows {
				texts := make([]string, len(row))
				for i, v := range row {
					if texts[i] = string(v); v == nil {
						texts[i] = "NULL"
					}
				}
				out = append(out, texts)
			}
		}
	})
	return out
}

// Text runs a query with one value as its answer.
func (s *Server) Text(t testing.TB, sql string) string {
	t.Helper()
	rows := s.Rows(t, sql)
	require.Len(t, rows, 1, "rows of %s", sql)
	require.Len(t, rows[0], 1, "columns of %s", sql)
	return rows[0][0]
}

// Script runs a file's statements as psql does: each in its own transaction unless the file says BEGIN, with the data
// of COPY ... FROM STDIN in the lines below it. It stops at the first error and returns it.
func (s *Server) Script(t testing.TB, sql string) (err error) {
	t.Helper()
	s.on(t, s.Database, func(ctx context.Context, c *pgx.Conn) {
		for _, st := range Statements(sql) {
			if st.Data == "" {
				_, err = c.PgConn().Exec(ctx, st.SQL).ReadAll()
			} else {
				_, err = c.PgConn().CopyFrom(ctx, strings.NewReader(st.Data), st.SQL)
			}
			if err != nil {
				return
			}
		}
	})
	return err
}

// NewDatabase creates a database with a name of its own, also good as the name of a slot, and drops it when the test
// ends, with the slots that were made in it.
func (s *Server) NewDatabase(t testing.TB) string {
	t.Helper()
	name := "t_" + strings.ToLower(rand.Text()[:16])
	s.on(t, "postgres", func(ctx context.Context, c *pgx.Conn) {
		_, err := c.Exec(ctx, `create database "`+name+`"`)
		require.NoError(t, err)
	})
	t.Cleanup(func() { s.drop(t, name) })
	return name
}

// drop removes a database. Its slots go first: a database with a slot cannot be dropped, and a slot in use not either.
// An own server may be stopped, or have no room left: it goes away as a whole.
func (s *Server) drop(t testing.TB, database string) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := pgx.Connect(ctx, s.DSNFor("postgres", s.User, s.Password))
	if err != nil {
		t.Logf("database %q stays: %v", database, err)
		return
	}
	defer func() { _ = c.Close(ctx) }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := dropOnce(ctx, c, database)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Errorf("drop database %q: %v", database, err)
			return
		case <-tick.C: // a terminated process lets go of its slot a moment later
		}
	}
}

func dropOnce(ctx context.Context, c *pgx.Conn, database string) error {
	const end = `select pg_terminate_backend(pid) from pg_stat_activity where datname = $1`
	const slots = `select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = $1`
	for _, sql := range []string{end, slots} {
		if _, err := c.Exec(ctx, sql, database); err != nil {
			return err
		}
	}
	_, err := c.Exec(ctx, `drop database if exists "`+database+`" with (force)`)
	return err
}

// on runs f with a connection of its own to a database.
func (s *Server) on(t testing.TB, database string, f func(context.Context, *pgx.Conn)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute) // cleanups call this too
	defer cancel()
	c, err := pgx.Connect(ctx, s.DSNFor(database, s.User, s.Password))
	require.NoError(t, err)
	defer func() { _ = c.Close(ctx) }()
	f(ctx, c)
}
