// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/capture/capturetest"
	"freshet/change"
	"freshet/internal/testdb"
	"freshet/snapshot"
)

// withState makes a temporary slot, whose exported snapshot lives as long as the test.
func withState(t *testing.T, o *options) snapshotState {
	t.Helper()
	repl, _, err := dialer{o: o, name: "holder"}.connectReplication(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = repl.Close(context.Background()) })
	created, err := createSlot(t.Context(), repl, newSlot{Name: "blocks", Temporary: true}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return snapshotState{Exported: created.Snapshot, At: created.Point}
}

func TestBlocksArePlannedBySize(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `
		create table big(id int primary key, v text); insert into big select g, repeat('x', 500) from generate_series(1, 2000) g;
		create table toasted(id int primary key, v text); alter table toasted alter v set storage external;
		insert into toasted select g, repeat('x', 8000) from generate_series(1, 400) g;
		create table small(id int); insert into small values (1); create table empty(id int);
		create table base(v text); insert into base select repeat('x', 500) from generate_series(1, 500); create table child() inherits (base);`)
	o := serverOptions(t, s, map[string]string{"snapshot.max.threads.multiplier.public.small": "7"})
	q := newTestCopier(t, o, snapshotState{}, nil)
	q.block = 256 << 10
	tables, err := q.Tables(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, q.Close(t.Context())) }()
	blocks := map[string]int{}
	for _, table := range tables {
		chunks, err := q.Chunks(t.Context(), table, 1)
		require.NoError(t, err)
		blocks[table.ID.Name] = len(chunks)
		if table.ID.Name == "small" {
			require.Equal(t, 7, table.Multiplier)
		}
		require.True(t, len(chunks) > 1 || chunks[0].Part == "", "a table of one block stays a plain COPY")
		require.NotContains(t, chunks[len(chunks)-1].Part, "<", "the last block is open")
	}
	require.Greater(t, blocks["toasted"], 2, "what is stored out of line counts")
	delete(blocks, "toasted")
	require.Equal(t, map[string]int{"small": 1, "empty": 1, "base": 1, "child": 1, "big": 5}, blocks)
}

// TestBrokenSessionsGoOnInTheSameSnapshot ends the connections of the snapshot again and again, while rows change.
func TestBrokenSessionsGoOnInTheSameSnapshot(t *testing.T) {
	for _, threads := range []int{1, 3} {
		t.Run(fmt.Sprintf("threads %d", threads), func(t *testing.T) {
			s := testdb.Postgres(t)
			s.Exec(t, `create table t(id int primary key, v text);
				insert into t select g, repeat('x', 500) from generate_series(1, 3000) g;
				create table u(id int primary key); insert into u values (1)`)
			o := serverOptions(t, s, nil)
			log := &logBuffer{}
			q := newTestCopier(t, o, withState(t, o), slog.New(slog.NewTextHandler(log, nil)))
			q.block = 128 << 10
			r := snapshot.Initial(q, nil, snapshot.Options{Threads: threads, BatchRows: 50})
			defer func() { require.NoError(t, r.Close(context.Background())) }()

			seen := map[string]bool{}
			var b change.Batch
			for n := 0; ; n++ {
				b.Reset()
				require.NoError(t, r.Next(t.Context(), &b))
				for i := range b.Changes {
					c := &b.Changes[i]
					require.NotContains(t, capturetest.Render(&b, c), "changed", "another state was read")
					seen[fmt.Sprintf("%s %d", c.Table.ID.Name, b.At(c.Key, 0).Int())] = true
				}
				if b.End == q.Position(true) {
					break
				}
				if n%12 == 3 && n < 50 {
					s.Exec(t, fmt.Sprintf(`update t set v = 'changed' where id %% 7 = %d; delete from t where id %% 50 = %d`, n%7, n%50))
					s.Exec(t, `select pg_terminate_backend(pid) from pg_stat_activity
						where application_name = 'freshet:test' and backend_type = 'client backend' and datname = current_database()`)
				}
			}
			require.Len(t, seen, 3001)
			require.Contains(t, log.String(), "a connection of the snapshot broke")
		})
	}
}

// TestBrokenSessionWithoutItsSnapshot: when the state is gone too, the snapshot ends with an error that is tried again.
func TestBrokenSessionWithoutItsSnapshot(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `create table t(id int primary key, v text); insert into t select g, repeat('x', 500) from generate_series(1, 3000) g`)
	o := serverOptions(t, s, nil)
	q := newTestCopier(t, o, withState(t, o), nil)
	q.block = 128 << 10
	r := snapshot.Initial(q, nil, snapshot.Options{BatchRows: 50})
	require.NoError(t, r.Next(t.Context(), &change.Batch{}))
	s.Exec(t, `select pg_terminate_backend(pid) from pg_stat_activity where application_name in ('freshet:holder', 'freshet:test') and datname = current_database()`)
	waitFor(t, "the end of the slot", func() bool {
		return s.Text(t, `select count(*) from pg_replication_slots where slot_name = 'blocks'`) == "0"
	})
	_, _, err := readSnapshot(t, r)
	require.ErrorContains(t, err, "import snapshot")
	var e *Error
	require.ErrorAs(t, err, &e)
	require.True(t, e.Retriable())
	require.NoError(t, r.Close(t.Context()))
}

// TestSessionOfAnotherStateIsRefused: a pooler may send the connection to another server.
func TestSessionOfAnotherStateIsRefused(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `create table t(id int primary key, v text); insert into t values (1, '')`)
	o := serverOptions(t, s, nil)
	q := newTestCopier(t, o, withState(t, o), nil)
	_, err := q.Tables(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, q.Close(t.Context())) }()
	require.Regexp(t, `^\d+:\d+:[\d,]*$`, q.seen)
	conn, err := q.importing(t.Context())
	require.NoError(t, err, "the same state")
	require.NoError(t, conn.Close(t.Context()))
	q.seen = "1:2:"
	_, err = q.importing(t.Context())
	require.ErrorContains(t, err, `and the first one saw 1:2:`)
	var e *Error
	require.ErrorAs(t, err, &e)
	require.False(t, e.Retriable())
}

// TestBlocksNoticeMovedRows: VACUUM FULL keeps the rows that an older snapshot sees and puts them into other pages.
func TestBlocksNoticeMovedRows(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `create table t(id int primary key, v text); insert into t select g, repeat('x', 500) from generate_series(1, 2000) g;
		delete from t where id <= 1500`)
	q := newTestCopier(t, serverOptions(t, s, nil), snapshotState{}, nil)
	q.block = 128 << 10
	r := snapshot.Initial(&afterTables{q, func() { s.Exec(t, `vacuum full t`) }}, nil, snapshot.Options{})
	_, _, err := readSnapshot(t, r)
	require.ErrorContains(t, err, `it was rewritten after the snapshot was taken`)
	require.NoError(t, r.Close(t.Context()))
}

// TestBlocksOfOneTableAtOnce: several connections read one table, and its progress is told.
func TestBlocksOfOneTableAtOnce(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `create table t(id int primary key, v text); insert into t select g, repeat('x', 500) from generate_series(1, 20000) g`)
	o := serverOptions(t, s, map[string]string{"snapshot.max.threads": "3"})
	q := newTestCopier(t, o, withState(t, o), nil)
	q.block = 512 << 10
	var last capture.Progress
	r := snapshot.Initial(q, nil, snapshot.Options{Threads: 3, BatchRows: 100, Progress: func(p capture.Progress) { last = p }})
	defer func() { require.NoError(t, r.Close(context.Background())) }()
	require.NoError(t, r.Next(t.Context(), &change.Batch{}))
	waitFor(t, "three connections that copy the table", func() bool {
		return s.Text(t, `select count(*) from pg_stat_activity where application_name = 'freshet:test' and datname = current_database()
			and query like 'COPY (SELECT%FROM "public"."t" WHERE ctid%'`) == "3"
	})
	got, _, err := readSnapshot(t, r)
	require.NoError(t, err)
	slices.Sort(got)
	require.Len(t, slices.Compact(got), 20000-100)
	require.Greater(t, last.Blocks, 20)
	require.Equal(t, last.Blocks, last.BlocksDone)
}

// TestPlanningAsksOnce: the number of tables must not be a number of round trips.
func TestPlanningAsksOnce(t *testing.T) {
	s := testdb.Postgres(t)
	var ddl strings.Builder
	for i := range 300 {
		fmt.Fprintf(&ddl, "create table t%03d(id int primary key);", i)
	}
	s.Exec(t, ddl.String())
	q := newTestCopier(t, serverOptions(t, s, nil), snapshotState{}, nil)
	tables, err := q.Tables(t.Context())
	require.NoError(t, err)
	require.Len(t, tables, 300)
	canceled, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	for _, table := range tables {
		_, err := q.Chunks(canceled, table, 4)
		require.NoError(t, err, "planning a table asks nothing of the server")
	}
	require.NoError(t, q.Close(t.Context()))
}
