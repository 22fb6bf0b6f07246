// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/internal/testdb"
	"freshet/schema"
	"freshet/snapshot"
)

func TestAddSpan(t *testing.T) {
	var spans []pageSpan
	for _, s := range []pageSpan{{5, 7}, {0, 2}, {9, -1}, {2, 5}, {7, 9}} {
		spans = addSpan(spans, s)
	}
	require.Equal(t, []pageSpan{{0, -1}}, spans)
	require.Equal(t, []pageSpan{{0, 2}, {4, 6}}, addSpan(addSpan(nil, pageSpan{4, 6}), pageSpan{0, 2}))
}

// tallyOf is a snapshot of n tables of one chunk.
func tallyOf(n int) *tally {
	f := &tally{}
	for i := range n {
		f.order = append(f.order, &copyTable{catalogTable: &catalogTable{OID: uint32(100 + i), ID: schema.ID{Schema: "s", Name: fmt.Sprint("t", i)}}, left: 1})
	}
	return f
}

// TestPositionsStaySmall: with ten thousand tables, finished out of order, too.
func TestPositionsStaySmall(t *testing.T) {
	f := tallyOf(10_000)
	require.Empty(t, f.member(""), "of an unknown state")
	require.NotNil(t, parseFinished(f.member("5:9:")), "nothing is finished, and that is told")
	o := &options{}
	order := rand.New(rand.NewPCG(1, 2)).Perm(10_000)
	for _, i := range order[:5000] {
		f.add(f.order[i], "")
	}
	member := f.member("5:9:7,8")
	require.Less(t, len(member), 3000)
	p := position{LSN: 10, Snapshot: "INITIAL", Finished: member}
	got, err := parsePosition(p.Position())
	require.NoError(t, err)
	require.Equal(t, p, got)
	require.Zero(t, got.start())
	require.Equal(t, "5:9:7,8", parseFinished(got.Finished).State)
	for _, i := range order[5000:] {
		f.add(f.order[i], "")
	}
	m := parseFinished(f.member("5:9:"))
	require.Equal(t, 10_000, m.Tables)
	require.Empty(t, m.Parts)
	parts, ok := m.remaining(f.order, o)
	require.True(t, ok)
	require.Empty(t, parts)
}

func TestFinishedThatMeansNothing(t *testing.T) {
	for _, member := range []string{"", "7", `{"v":2,"state":"1:2:","tables":1}`, `{"v":1,"tables":1}`} {
		require.Nil(t, parseFinished(member), member)
	}
}

// TestOtherTablesThanThose: what is finished is told by place, so tables that came or went in between make it void.
func TestOtherTablesThanThose(t *testing.T) {
	f := tallyOf(5)
	for i := range 3 {
		f.add(f.order[i], "")
	}
	m := parseFinished(f.member("5:9:"))
	o := &options{}
	parts, ok := m.remaining(f.order, o)
	require.True(t, ok)
	require.Len(t, parts, 2)
	require.Empty(t, parts[0].condition)

	without := append([]*copyTable{f.order[0]}, f.order[2:]...)
	_, ok = m.remaining(without, o)
	require.False(t, ok, "one was dropped")
	_, ok = m.remaining(f.order[:2], o)
	require.False(t, ok)
	parts, ok = m.remaining(append(f.order[:4:4], tallyOf(9).order[8]), o)
	require.True(t, ok, "behind the finished ones anything may come and go")
	require.Len(t, parts, 2)
	f.order[1].ID.Name = "renamed"
	_, ok = m.remaining(f.order, o)
	require.False(t, ok)
	f.order[1].ID.Name = "t1"
	f.order[4].override = "select 1"
	_, ok = m.remaining(f.order, o)
	require.False(t, ok, "windows do not read statements")
}

// TestWhatASnapshotOwes stops a snapshot at every batch while rows change and move. Every row must then have been handed
// out, or be owed: where it was in a block that was not read and is in one that was, too.
func TestWhatASnapshotOwes(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `
		create table a(id int primary key); insert into a select generate_series(1, 5);
		create table b(id int primary key, n int, v text) with (fillfactor = 60);
		insert into b select g, 0, repeat('x', 300) from generate_series(1, 1500) g;
		delete from b where id % 9 = 0;
		create table c(id int primary key); insert into c select generate_series(1, 5)`)
	s.Exec(t, `vacuum b`)
	rng := rand.New(rand.NewPCG(3, 4))
	o := serverOptions(t, s, nil)
	conn := mustConnect(t, dialer{o: o, name: "asks"})
	partly := 0
	for stop := 1; ; stop++ {
		repl, _, err := dialer{o: o, name: "holder"}.connectReplication(t.Context())
		require.NoError(t, err)
		created, err := createSlot(t.Context(), repl, newSlot{Name: fmt.Sprintf("owes%d", stop), Temporary: true}, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		q := newTestCopier(t, o, snapshotState{Exported: created.Snapshot, At: created.Point}, nil)
		q.block = 64 << 10
		r := snapshot.Initial(q, nil, snapshot.Options{Threads: 1 + stop%2, BatchRows: 97})
		seen := map[string]bool{}
		var end position
		for n := 0; n < stop && !end.Completed; n++ {
			var b change.Batch
			require.NoError(t, r.Next(t.Context(), &b))
			for i := range b.Changes {
				seen[fmt.Sprintf("%s %d", b.Changes[i].Table.ID.Name, b.At(b.Changes[i].Key, 0).Int())] = true
			}
			end, err = parsePosition(b.End)
			require.NoError(t, err)
			s.Exec(t, fmt.Sprintf(`update b set n = n + 1 where id %% 17 = %d; delete from b where id = %d; insert into b values (%d, 0, 'new')`,
				rng.IntN(17), rng.IntN(1500), 10_000+100*stop+n))
			if rng.IntN(3) == 0 {
				s.Exec(t, `vacuum b`)
			}
		}
		require.NoError(t, r.Close(context.Background()))
		require.NoError(t, repl.Close(context.Background()))
		if end.Completed {
			require.Empty(t, end.Finished)
			break
		}
		if end.Finished == "" {
			continue
		}
		m := parseFinished(end.Finished)
		require.NotNil(t, m)
		tables, owedRows := owedNow(t, conn, o, m)
		for name, ids := range tables {
			for _, id := range ids {
				row := name + " " + id
				require.True(t, seen[row] || owedRows[row], "row %s after %d batches: %s", row, stop, end.Finished)
			}
		}
		if len(owedRows) > 5 && len(owedRows) < 1300 {
			partly++
		}
	}
	require.Greater(t, partly, 3, "a part of table b was owed")
}

// owedNow reads the ids of all tables, and those of the rows that a snapshot owes.
func owedNow(t *testing.T, conn *pgconn.PgConn, o *options, m *finished) (all map[string][]string, owedRows map[string]bool) {
	t.Helper()
	catalog, err := capturedTables(t.Context(), conn, o)
	require.NoError(t, err)
	tables := snapshotTables(catalog, o)
	require.NoError(t, readFiles(t.Context(), conn, tables))
	parts, ok := m.remaining(tables, o)
	require.True(t, ok)
	all, owedRows = map[string][]string{}, map[string]bool{}
	ids := func(t2 *copyTable, condition string) (out []string) {
		sql := "SELECT id FROM " + t2.ID.Quoted()
		if condition != "" {
			sql += " WHERE " + condition
		}
		rows, err := query(t.Context(), conn, sql)
		require.NoError(t, err)
		for _, r := range rows {
			out = append(out, string(r[0]))
		}
		return out
	}
	for _, table := range tables {
		all[table.ID.Name] = ids(table, "")
	}
	for _, p := range parts {
		for _, id := range ids(p.copyTable, p.condition) {
			owedRows[p.ID.Name+" "+id] = true
		}
	}
	return all, owedRows
}

// TestOwedAfterARewrite: rows are in other places of another file, so all of the table is owed.
func TestOwedAfterARewrite(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `create table b(id int primary key, v text); insert into b select g, repeat('x', 300) from generate_series(1, 1500) g`)
	o := serverOptions(t, s, nil)
	q := newTestCopier(t, o, withState(t, o), nil)
	q.block = 64 << 10
	r := snapshot.Initial(q, nil, snapshot.Options{BatchRows: 400})
	var b change.Batch
	for !strings.Contains(string(b.End), "freshet_blocks") {
		b.Reset()
		require.NoError(t, r.Next(t.Context(), &b))
	}
	require.NoError(t, r.Close(context.Background()))
	end, err := parsePosition(b.End)
	require.NoError(t, err)
	conn := mustConnect(t, dialer{o: o, name: "asks"})
	_, some := owedNow(t, conn, o, parseFinished(end.Finished))
	require.Less(t, len(some), 1500)
	s.Exec(t, `vacuum full b`)
	_, every := owedNow(t, conn, o, parseFinished(end.Finished))
	require.Len(t, every, 1500)
}
