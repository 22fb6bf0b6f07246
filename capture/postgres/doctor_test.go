// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/internal/testdb"
)

// examined runs the checks, and makes sure that they neither change the server nor tell the password.
func examined(t *testing.T, s *testdb.Server, o *options) []capture.Finding {
	t.Helper()
	state := `select (select count(*) from pg_replication_slots where database = current_database()), (select count(*) from pg_publication),
		(select string_agg(relreplident::text, '' order by oid) from pg_class), (select count(*) from pg_class)`
	before := fmt.Sprint(s.Rows(t, state))
	findings, err := check(t.Context(), o, "doctor")
	require.NoError(t, err)
	require.Equal(t, before, fmt.Sprint(s.Rows(t, state)), "the server was changed")
	require.NotContains(t, fmt.Sprintf("%+v", findings), o.Password.Reveal())
	for _, f := range findings {
		require.NotEmpty(t, f.Seen, f)
		if f.Level != capture.OK {
			require.NotEmpty(t, f.Detail, f)
			require.NotEmpty(t, f.Fix, f)
		}
	}
	return findings
}

// requireFinding expects one finding about subject and seen, and returns it.
func requireFinding(t *testing.T, findings []capture.Finding, level capture.Level, subject, seen string) capture.Finding {
	t.Helper()
	var of []string
	for _, f := range findings {
		if f.Subject == subject && f.Level == level && strings.Contains(f.Seen, seen) {
			return f
		}
		of = append(of, fmt.Sprintf("%s %s: %s", f.Level, f.Subject, f.Seen))
	}
	require.Fail(t, "no such finding", "%s %s: %s\namong\n%s", level, subject, seen, strings.Join(of, "\n"))
	return capture.Finding{}
}

func requireNoFail(t *testing.T, findings []capture.Finding) {
	t.Helper()
	for _, f := range findings {
		require.NotEqual(t, capture.Fail, f.Level, "%+v", f)
	}
}

func TestCheckOfAHealthyServer(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `create table t(id int primary key)`)
	findings := examined(t, s, serverOptions(t, s, nil))
	requireNoFail(t, findings)
	for subject, seen := range map[string]string{
		"wal_level": "logical", "role " + s.User: "superuser", "slot debezium": "missing", "captured tables": "1",
		"publication dbz_publication": "CREATE PUBLICATION", "table public.t": "replica identity default", "SELECT on captured tables": "granted",
	} {
		requireFinding(t, findings, capture.OK, subject, seen)
	}
	requireFinding(t, findings, capture.Warn, "max_slot_wal_keep_size", "-1")
}

func TestCheckFailsToConnect(t *testing.T) {
	s := testdb.Postgres(t)
	unused, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closedPort := strconv.Itoa(unused.Addr().(*net.TCPAddr).Port)
	require.NoError(t, unused.Close())
	tests := []struct {
		name string
		raw  map[string]string
		seen string
	}{
		{"role", map[string]string{"database.user": "pg2_nobody"}, `FATAL: `},
		{"database", map[string]string{"database.dbname": "pg2_no_such_db"}, `FATAL: database "pg2_no_such_db" does not exist`},
		{"port", map[string]string{"database.port": closedPort}, "Connection to 127.0.0.1:" + closedPort +
			" refused. Check that the hostname and port are correct and that the postmaster is accepting TCP/IP connections."},
		{"host", map[string]string{"database.hostname": "no-such-host.invalid"}, "The connection attempt failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			findings, err := check(t.Context(), serverOptions(t, s, tt.raw), "doctor")
			require.NoError(t, err)
			require.Len(t, findings, 1)
			f := findings[0]
			require.Equal(t, capture.Fail, f.Level)
			require.Equal(t, "database.hostname", f.Property)
			require.Contains(t, f.Seen, tt.seen)
			require.NotEmpty(t, f.Fix)
			require.NotContains(t, fmt.Sprintf("%+v", f), s.Password)
		})
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = check(canceled, serverOptions(t, s, nil), "doctor")
	require.ErrorIs(t, err, context.Canceled)
}

// TestCheckServerSettings has a server where nothing is right.
func TestCheckServerSettings(t *testing.T) {
	s := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{
		"wal_level": "replica", "max_replication_slots": "1", "max_wal_senders": "0", "max_slot_wal_keep_size": "1GB",
	}})
	s.Exec(t, `create table t(id int primary key); select pg_create_physical_replication_slot('other')`)
	findings := examined(t, s, serverOptions(t, s, nil))
	f := requireFinding(t, findings, capture.Fail, "wal_level", "replica")
	require.Contains(t, f.Fix, "ALTER SYSTEM SET wal_level = 'logical'")
	f = requireFinding(t, findings, capture.Fail, "max_replication_slots", "1 of 1 in use")
	require.Contains(t, f.Fix, "ALTER SYSTEM SET max_replication_slots = 6")
	f = requireFinding(t, findings, capture.Fail, "max_wal_senders", "0 of 0 in use")
	require.Contains(t, f.Fix, "ALTER SYSTEM SET max_wal_senders = 5")
	requireFinding(t, findings, capture.OK, "max_slot_wal_keep_size", "1GB")

	requireNoFail(t, examined(t, s, serverOptions(t, s, map[string]string{"snapshot.mode": "initial_only"})))
}

func TestCheckRoleWithoutRights(t *testing.T) {
	s := testdb.Postgres(t)
	role := "weak_" + s.Database
	s.Exec(t, fmt.Sprintf(`create table t(id int primary key); create schema "Hid"; create table "Hid".u(id int primary key);
		create role %q login password 'weak-secret'`, role))
	t.Cleanup(func() { s.Exec(t, fmt.Sprintf(`drop owned by %q; drop role %[1]q`, role)) })
	weak := map[string]string{"database.user": role, "database.password": "weak-secret"}
	findings := examined(t, s, serverOptions(t, s, weak))
	f := requireFinding(t, findings, capture.Fail, "role "+role, "no REPLICATION")
	require.Contains(t, f.Fix, fmt.Sprintf(`ALTER ROLE %q WITH REPLICATION`, role))
	f = requireFinding(t, findings, capture.Fail, "table public.t", "no SELECT")
	require.Contains(t, f.Fix, fmt.Sprintf(`GRANT SELECT ON "public"."t" TO %q;`, role))
	f = requireFinding(t, findings, capture.Fail, "table Hid.u", "no SELECT")
	require.Contains(t, f.Fix, fmt.Sprintf(`GRANT USAGE ON SCHEMA "Hid" TO %q; GRANT SELECT ON "Hid"."u" TO %[1]q;`, role))
	f = requireFinding(t, findings, capture.Fail, "publication dbz_publication", "missing")
	require.Contains(t, f.Detail, "only a superuser may create it FOR ALL TABLES")

	weak["publication.autocreate.mode"] = "filtered"
	f = requireFinding(t, examined(t, s, serverOptions(t, s, weak)), capture.Fail, "publication dbz_publication", "missing")
	require.Contains(t, f.Detail, "does not own all captured tables")
	require.Contains(t, f.Fix, `CREATE PUBLICATION "dbz_publication" FOR TABLE "Hid"."u", "public"."t";`)

	weak["snapshot.mode"] = "no_data"
	for _, f := range examined(t, s, serverOptions(t, s, weak)) {
		require.NotContains(t, f.Seen, "no SELECT", "the stream needs no SELECT")
	}
	for mode, level := range map[string]capture.Level{"warn": capture.Warn, "fail": capture.Fail} {
		again := maps.Clone(weak)
		maps.Copy(again, map[string]string{"post.processors": "re", "re.type": reselectClass, "re.reselect.error.handling.mode": mode})
		f = requireFinding(t, examined(t, s, serverOptions(t, s, again)), level, "table public.t", "no SELECT")
		require.Contains(t, f.Detail, "cannot read its rows again")
	}

	// Every fix that was named is enough.
	s.Exec(t, fmt.Sprintf(`alter role %q with replication; grant usage on schema "Hid" to %[1]q; grant select on "Hid".u, t to %[1]q;
		create publication dbz_publication for table "Hid".u, t`, role))
	delete(weak, "snapshot.mode")
	weak["publication.autocreate.mode"] = "disabled"
	requireNoFail(t, examined(t, s, serverOptions(t, s, weak)))
}

func TestCheckPublication(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `create table a(id int primary key); create table b(id int primary key);
		create publication p_all for all tables; create publication p_part for table a with (publish = 'insert, truncate')`)
	tests := []struct {
		name, publication, mode string
		level                   capture.Level
		seen, fix               string
	}{
		{"disabled and missing", "none", "disabled", capture.Fail, "missing", `CREATE PUBLICATION "none" FOR TABLE "public"."a", "public"."b";`},
		{"created", "none", "filtered", capture.OK, `created at the start by CREATE PUBLICATION "none" FOR TABLE "public"."a", "public"."b"`, ""},
		{"created empty", "none", "no_tables", capture.OK, `CREATE PUBLICATION "none"`, ""},
		{"all tables", "p_all", "all_tables", capture.OK, "covers", ""},
		{"all tables, filtered wanted", "p_all", "filtered", capture.Fail, "FOR ALL TABLES", `DROP PUBLICATION "p_all";`},
		{"some tables", "p_part", "disabled", capture.Warn, "lacks public.b", `ALTER PUBLICATION "p_part" ADD TABLE "public"."b";`},
		{"some tables, altered", "p_part", "filtered", capture.OK, "will be altered to have public.b", ""},
		{"some operations", "p_part", "disabled", capture.Warn, "does not publish update, delete", `SET (publish = `},
	}
	const firstRowFilter = 15
	if s.Version(t) >= firstRowFilter {
		s.Exec(t, `create publication p_rows for table a where (id > 1), b`)
		tests = append(tests, struct {
			name, publication, mode string
			level                   capture.Level
			seen, fix               string
		}{"row filter", "p_rows", "disabled", capture.Warn, "row filter on public.a", `SET TABLE`})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := serverOptions(t, s, map[string]string{"publication.name": tt.publication, "publication.autocreate.mode": tt.mode})
			f := requireFinding(t, examined(t, s, o), tt.level, "publication "+tt.publication, tt.seen)
			require.Contains(t, f.Fix, tt.fix)
		})
	}
	o := serverOptions(t, s, map[string]string{"publication.name": "none", "publication.autocreate.mode": "filtered", "table.include.list": "public.gone"})
	findings := examined(t, s, o)
	requireFinding(t, findings, capture.Fail, "publication none", "missing")
	requireFinding(t, findings, capture.Warn, "captured tables", "none")
}

func TestCheckTables(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `
		create table keyless(v int);
		create table nothing(id int primary key); alter table nothing replica identity nothing;
		create table full_(v int); alter table full_ replica identity full;
		create table ix(id int primary key, code text not null); create unique index "ix,code" on ix(code); alter table ix replica identity using index "ix,code";
		create unlogged table un(id int primary key);
		create table gen(id int primary key, d int generated always as (id) stored);
		create table odd(id int primary key, l pg_lsn, c circle);
		create table parts(id int primary key) partition by range (id); create table part1 partition of parts default;`)
	findings := examined(t, s, serverOptions(t, s, nil))
	requireNoFail(t, findings)
	f := requireFinding(t, findings, capture.Warn, "table public.keyless", "no primary key, replica identity default")
	require.Contains(t, f.Fix, `ALTER TABLE "public"."keyless" REPLICA IDENTITY FULL;`)
	require.Contains(t, f.Detail, "refuses every UPDATE and DELETE")
	requireFinding(t, findings, capture.Warn, "table public.nothing", "replica identity nothing")
	requireFinding(t, findings, capture.OK, "table public.full_", "replica identity full")
	requireFinding(t, findings, capture.Warn, "table public.ix", "by an index on code")
	f = requireFinding(t, findings, capture.Warn, "table public.un", "unlogged")
	require.Equal(t, `ALTER TABLE "public"."un" SET LOGGED;`, f.Fix)
	requireFinding(t, findings, capture.Warn, "table public.gen", "generated columns d")
	requireFinding(t, findings, capture.Warn, "table public.odd", "l (pg_lsn), c (circle)")

	o := serverOptions(t, s, map[string]string{"replica.identity.autoset.values": "public.keyless:FULL", "include.unknown.datatypes": "true"})
	findings = examined(t, s, o)
	requireFinding(t, findings, capture.OK, "table public.keyless", "set at the start to FULL")
	for _, f := range findings {
		require.NotContains(t, f.Seen, "unknown types")
	}
}

func TestCheckSlot(t *testing.T) {
	s := testdb.Postgres(t)
	slot := s.Database + "_s"
	s.Exec(t, `create table t(id int primary key)`)
	s.Exec(t, `select pg_create_logical_replication_slot($1, 'test_decoding')`, slot)
	o := serverOptions(t, s, map[string]string{"slot.name": slot})
	requireFinding(t, examined(t, s, o), capture.Fail, "slot "+slot, "plugin test_decoding")

	s.Exec(t, `select pg_drop_replication_slot($1)`, slot)
	s.Exec(t, `select pg_create_logical_replication_slot($1, 'pgoutput')`, slot)
	requireFinding(t, examined(t, s, o), capture.OK, "slot "+slot, "wal_status reserved, ")

	s.Exec(t, `create publication dbz_publication for all tables`)
	c := dialer{o: o, name: "other"}
	repl, _, err := c.connectReplication(t.Context())
	require.NoError(t, err)
	defer func() { _ = repl.Close(context.Background()) }()
	repl.Frontend().Send(startQuery(slot, o.Publication))
	require.NoError(t, repl.Frontend().Flush())
	require.Eventually(t, func() bool {
		return s.Text(t, `select active from pg_replication_slots where slot_name = '`+slot+`'`) == "t"
	}, testPatience, testPoll)
	f := requireFinding(t, examined(t, s, o), capture.Warn, "slot "+slot, "in use by PID ")
	require.Contains(t, f.Seen, "freshet:other")

	own := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{"max_slot_wal_keep_size": "1MB", "max_wal_size": "32MB", "min_wal_size": "32MB", "wal_keep_size": "0"}})
	own.Exec(t, `select pg_create_logical_replication_slot('debezium', 'pgoutput')`)
	require.Eventually(t, func() bool {
		own.Exec(t, `select pg_logical_emit_message(false, 'x', repeat('x', 1000000)) from generate_series(1, 20)`)
		own.Exec(t, `select pg_switch_wal()`)
		own.Exec(t, `checkpoint`)
		return own.Text(t, `select wal_status from pg_replication_slots`) == "lost"
	}, testPatience, testPoll)
	f = requireFinding(t, examined(t, own, serverOptions(t, own, nil)), capture.Fail, "slot debezium", "lost")
	require.Contains(t, f.Fix, "SELECT pg_drop_replication_slot('debezium');")
}

const (
	testPatience = time.Minute
	testPoll     = 10 * time.Millisecond
)

// startQuery starts a stream that nobody reads.
func startQuery(slot, publication string) *pgproto3.Query {
	return &pgproto3.Query{String: fmt.Sprintf(`START_REPLICATION SLOT %q LOGICAL 0/0 ("proto_version" '1', "publication_names" '%s')`, slot, publication)}
}
