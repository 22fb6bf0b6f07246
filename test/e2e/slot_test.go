// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strconv"
	"testing"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/internal/testdb"
)

// TestWALLevel: a server that does not write what logical decoding needs.
func TestWALLevel(t *testing.T) {
	t.Parallel()
	source := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{"wal_level": "replica"}})
	target := testdb.Postgres(t)
	source.Exec(t, itemsDDL+"insert into items values (1, 0, 'snapshot')")
	s := pair(t, source, target)
	w := s.start(t)
	trace := w.await(t, sourceName, connect.Failed)
	requireWords(t, trace, "wal_level", `"replica"`, "ALTER SYSTEM SET wal_level")
	require.Equal(t, connect.Failed, w.status(t, sourceName).Connector.State, "the connector as a whole cannot work")
	code, out, _ := run(t, "doctor", s.sourceFile(t))
	require.Equal(t, 3, code, "exit code of the doctor")
	requireWords(t, out, "FAIL", "wal_level", "replica", "ALTER SYSTEM SET wal_level = 'logical'")

	source.Exec(t, "alter system set wal_level = logical")
	source.Stop(t, pgFast)
	source.Start(t)
	w.restart(t, sourceName)
	w.await(t, sourceName, connect.Running)
	source.Exec(t, "insert into items values (2, 0, 'streamed')")
	equal(t, source, target)
	w.stop(t)
}

// TestNoFreeSlot: all slots of the server are taken.
func TestNoFreeSlot(t *testing.T) {
	t.Parallel()
	source := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{"max_replication_slots": "1"}})
	target := testdb.Postgres(t)
	source.Exec(t, itemsDDL+"insert into items values (1, 0, 'snapshot')")
	source.Exec(t, "select pg_create_logical_replication_slot('somebodys', 'pgoutput')")
	s := pair(t, source, target)
	w := s.start(t)
	trace := w.await(t, sourceName, connect.Failed)
	requireWords(t, trace, "max_replication_slots", "1 of 1 in use", "e2e_test", "drop a slot")
	code, out, _ := run(t, "doctor", s.sourceFile(t))
	require.Equal(t, 3, code, "exit code of the doctor")
	requireWords(t, out, "max_replication_slots", "ALTER SYSTEM SET max_replication_slots")

	source.Exec(t, "select pg_drop_replication_slot('somebodys')")
	w.restart(t, sourceName)
	w.streaming(t, source)
	source.Exec(t, "insert into items values (2, 0, 'streamed')")
	equal(t, source, target)
	w.stop(t)
}

// TestSlotInUse: another reader has the slot, at the first start and at a later one.
func TestSlotInUse(t *testing.T) {
	t.Parallel()
	source, target := testdb.Postgres(t), testdb.Postgres(t)
	source.Exec(t, itemsDDL+"insert into items values (1, 0, 'snapshot')")
	s := pair(t, source, target)
	s.connectors[sourceName] = s.connectors[sourceName].with(properties{"slot.max.retries": "2"})
	w := s.start(t)
	w.streaming(t, source)
	equal(t, source, target)
	w.stop(t)
	source.Exec(t, "insert into items values (2, 0, 'nobody reads')")

	release := occupy(t, source)
	w = s.start(t)
	trace := w.await(t, sourceName, connect.Failed)
	requireWords(t, trace, "slot.name", `"e2e_`+source.Database+`"`, "is active for PID", "somebody else", "stop the other consumer",
		"please make sure to use a distinct replication slot name")
	code, out, _ := run(t, "doctor", s.sourceFile(t))
	require.Zero(t, code, "exit code of the doctor: it may be this very connector that reads")
	requireWords(t, out, "WARN", "in use by PID", "somebody else")
	source.Exec(t, "update items set n = 1 where id = 1")

	release()
	w.restart(t, sourceName)
	w.awaitHistory(t, map[string]string{"1": "r0 u1", "2": "c0"})
	equal(t, source, target)
	w.stop(t)
}

// TestSlotOfAnother: the name of the slot is that of one that belongs to another database.
func TestSlotOfAnother(t *testing.T) {
	t.Parallel()
	source, other := testdb.Postgres(t), testdb.Postgres(t)
	other.Exec(t, "select pg_create_logical_replication_slot($1, 'pgoutput')", "e2e_"+other.Database)
	source.Exec(t, itemsDDL)
	s := newSetup(t)
	s.connectors[sourceName] = sourceConfig(source).with(properties{"slot.name": "e2e_" + other.Database})
	w := s.start(t)
	trace := w.await(t, sourceName, connect.Failed)
	requireWords(t, trace, "slot.name", "e2e_"+other.Database, "already exists, in the database "+strconv.Quote(other.Database))
	w.stop(t)
}

// occupy reads the slot of a source as another consumer does, until the returned function is called. It confirms
// nothing.
func occupy(t *testing.T, source *testdb.Server) (release func()) {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), source.DSN()+"&replication=database&application_name=somebody%20else")
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	require.NoError(t, pglogrepl.StartReplication(t.Context(), conn, "e2e_"+source.Database, 0, pglogrepl.StartReplicationOptions{
		PluginArgs: []string{"proto_version '1'", "publication_names 'e2e'"},
	}))
	return func() {
		t.Helper()
		require.NoError(t, conn.Close(t.Context()))
		waitFor(t, "the slot to be free", func() bool {
			return source.Text(t, "select active from pg_replication_slots where slot_name = 'e2e_"+source.Database+"'") == "f"
		})
	}
}
