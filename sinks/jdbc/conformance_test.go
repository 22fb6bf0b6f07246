// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"cmp"
	"context"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/internal/testdb"
	"freshet/sinks"
	"freshet/sinks/jdbc"
	"freshet/sinks/sinktest"
)

// TestConformance runs the suite with and without offsets in the target, with several connections, and with a table in which
// rows of different keys may collide, so that reduced batches fall back to single statements.
func TestConformance(t *testing.T) {
	defer jdbc.SetLaneRows(1)()
	for _, c := range []struct{ name, extra, offsets, connections string }{
		{name: "plain"},
		{name: "offsets", offsets: "freshet_offsets"},
		{name: "connections", connections: "3"},
		{name: "connections, offsets", connections: "4", offsets: "freshet_offsets"},
		{name: "deferred constraint", extra: "alter table items add unique (n) deferrable initially deferred"},
		{name: "cascading reference", extra: "create table child(id int references items on delete cascade)", offsets: "public.offs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Target {
				s := testdb.Postgres(t)
				s.Exec(t, "create table items(id bigint primary key, v varchar(60), n int)")
				if c.extra != "" {
					s.Exec(t, c.extra)
				}
				return target(s, c.offsets, c.connections)
			})
		})
	}
}

func target(s *testdb.Server, offsets, connections string) sinktest.Target {
	return sinktest.Target{
		Open: func(t testing.TB) sinks.Writer {
			return open(t, map[string]string{
				"connection.url": s.DSN(), "insert.mode": "upsert", "primary.key.mode": "record_key", "delete.enabled": "true",
				"collection.name.format": "items", "offsets.table.name": offsets,
				"write.connections": cmp.Or(connections, "1"),
			}, nil)
		},
		Rows: func(t testing.TB) map[int64]string {
			rows := map[int64]string{}
			for _, r := range s.Rows(t, "select id, coalesce(v, '"+sinktest.Null+"') from items") {
				id, err := strconv.ParseInt(r[0], 10, 64)
				require.NoError(t, err)
				rows[id] = r[1]
			}
			return rows
		},
		Break:   func() { breakWriters(s) },
		InParts: connections != "",
		Poison:  strings.Repeat("too long ", 10),
	}
}

// breakWriters ends the sessions of writers, and waits until they are gone.
func breakWriters(s *testdb.Server) {
	var t quiet
	s.Rows(&t, "select pg_terminate_backend(pid, 10000) from pg_stat_activity where application_name = 'freshet' and datname = current_database()")
}

// quiet is a testing.TB for helpers that are called where no test is at hand.
type quiet struct{ testing.TB }

func (*quiet) Helper()                           {}
func (*quiet) Context() context.Context          { return context.Background() }
func (*quiet) Errorf(format string, args ...any) { panic(format) }
func (*quiet) FailNow()                          { panic("failed") }

// open opens a writer with properties, which must be free of problems. log may be nil.
func open(t testing.TB, properties map[string]string, log *slog.Logger) sinks.Writer {
	t.Helper()
	w, err := tryOpen(t, properties, log)
	require.NoError(t, err)
	return w
}

func tryOpen(t testing.TB, properties map[string]string, log *slog.Logger) (sinks.Writer, error) {
	t.Helper()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := jdbc.New()
	def := c.Describe().Def
	v, problems := def.Parse(properties)
	for _, p := range problems {
		require.True(t, p.Warning, p.Message)
	}
	return c.Open(t.Context(), sinks.Env{Connector: "c", Group: "connect-c", Log: log}, v)
}
