// SPDX-License-Identifier: Apache-2.0

package testdb_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"freshet/internal/pgserver"
	"freshet/internal/testdb"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, testdb.IgnoreServer(), testdb.IgnoreKafka())
}

func TestPostgresGivesEachTestItsOwnDatabase(t *testing.T) {
	a, b := testdb.Postgres(t), testdb.Postgres(t)
	require.NotEqual(t, a.Database, b.Database)
	require.Equal(t, a.Port, b.Port)
	a.Exec(t, "create table x (i int); insert into x values (7)")
	require.Equal(t, "7", a.Text(t, "select i from x"))
	require.Equal(t, "0", b.Text(t, "select count(*) from pg_tables where tablename = 'x'"))
	require.Equal(t, "logical", a.Text(t, "show wal_level"))
	require.Equal(t, "UTC", a.Text(t, "show timezone"))
}

func TestDatabaseIsDroppedWithItsSlots(t *testing.T) {
	outer := testdb.Postgres(t)
	var name string
	t.Run("with a slot in use", func(t *testing.T) {
		s := testdb.Postgres(t)
		name = s.Database
		s.Exec(t, "select pg_create_logical_replication_slot($1, 'pgoutput')", s.Database)
		// A connection that is never closed, as a killed reader's.
		_, err := pgx.Connect(context.Background(), s.DSN())
		require.NoError(t, err)
	})
	require.Equal(t, "0", outer.Text(t, "select count(*) from pg_replication_slots where slot_name = '"+name+"'"))
	require.Equal(t, "0", outer.Text(t, "select count(*) from pg_database where datname = '"+name+"'"))
}

func TestRolesNeedTheirPassword(t *testing.T) {
	s := testdb.Postgres(t)
	role := s.Database + "_r"
	s.Exec(t, `create role "`+role+`" login password 'right'`)
	t.Cleanup(func() { s.Exec(t, `drop role "`+role+`"`) })
	c, err := pgx.Connect(t.Context(), s.DSNFor(s.Database, role, "right"))
	require.NoError(t, err)
	require.NoError(t, c.Close(t.Context()))
	_, err = pgx.Connect(t.Context(), s.DSNFor(s.Database, role, "wrong"))
	require.ErrorContains(t, err, "password authentication failed")
}

func TestOwnServerIsStoppedKilledAndFrozen(t *testing.T) {
	s := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{"wal_level": "replica"}, PasswordAuth: true})
	require.Equal(t, "replica", s.Text(t, "show wal_level"))
	_, err := pgx.Connect(t.Context(), s.DSNFor("test", "postgres", "wrong"))
	require.ErrorContains(t, err, "password authentication failed")
	s.Exec(t, "create table x as select 1 as i")
	port := s.Port

	s.Stop(t, pgserver.Fast)
	_, err = pgx.Connect(t.Context(), s.DSN())
	require.Error(t, err)
	s.Start(t)
	s.Kill(t)
	s.Start(t)
	require.Equal(t, port, s.Port)
	require.Equal(t, "1", s.Text(t, "select i from x"))
	require.Contains(t, s.Log(t), "ready to accept connections")

	c := s.Connect(t)
	s.Freeze(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.Error(t, c.Ping(ctx), "a frozen server answered")
	s.Thaw(t)
	require.Equal(t, "1", s.Text(t, "select i from x"))
}

func TestScript(t *testing.T) {
	s := testdb.Postgres(t)
	err := s.Script(t, `
create table x (i int, t text); -- a comment; with a semicolon
/* another; one */ insert into x values (1, 'a;b''c'), (2, E'\';');
copy x from stdin;
3	three
4	\N
\.
do $tag$ begin perform 1; end $tag$;
insert into x values (5, $$;$$)`)
	require.NoError(t, err)
	require.Equal(t, [][]string{{"1", "a;b'c"}, {"2", "';"}, {"3", "three"}, {"4", "NULL"}, {"5", ";"}},
		s.Rows(t, "select i, t from x order by i"))
	require.ErrorContains(t, s.Script(t, "insert into x values (6, ''); insert into nowhere values (1); insert into x values (7, '')"), "nowhere")
	require.Equal(t, "6", s.Text(t, "select max(i) from x"), "each statement is a transaction; the first error ends the script")
}
