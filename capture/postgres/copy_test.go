// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/capture/capturetest"
	"freshet/change"
	"freshet/internal/testdb"
	"freshet/snapshot"
)

// serverOptions are options for the test's database.
func serverOptions(t testing.TB, s *testdb.Server, more map[string]string) *options {
	t.Helper()
	raw := map[string]string{
		"database.hostname": s.Host, "database.port": strconv.Itoa(s.Port), "database.dbname": s.Database,
		"database.user": s.User, "database.password": s.Password, "database.sslmode": "disable",
	}
	maps.Copy(raw, more)
	o := mustOptions(t, raw)
	return &o
}

func mustConnect(t testing.TB, c dialer) *pgconn.PgConn {
	t.Helper()
	conn, err := c.connect(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // it may be broken by then
	return conn
}

func newTestCopier(t testing.TB, o *options, state snapshotState, log *slog.Logger) *copier {
	t.Helper()
	c := dialer{o: o, name: "test"}
	types, err := LoadRegistry(t.Context(), mustConnect(t, c))
	require.NoError(t, err)
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return newCopier(c, types, state, log)
}

// copied reads a whole snapshot: its changes as text, and the position it ends at.
func copied(t testing.TB, q snapshot.Querier, o snapshot.Options) ([]string, change.Position) {
	t.Helper()
	r := snapshot.Initial(q, nil, o)
	defer func() { require.NoError(t, r.Close(context.Background())) }()
	out, end, err := readSnapshot(t, r)
	require.NoError(t, err)
	return out, end
}

func readSnapshot(t testing.TB, r capture.Reader) (out []string, end change.Position, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var b change.Batch
	for {
		b.Reset()
		if err := r.Next(ctx, &b); err != nil {
			return out, end, err
		}
		for i := range b.Changes {
			out = append(out, capturetest.Render(&b, &b.Changes[i]))
		}
		end = b.End
		if p, err := parsePosition(end); err != nil || p.Completed {
			return out, end, err
		}
	}
}

func TestCopyReadsTables(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `
		create schema "Odd ""S";
		create table a_first(id int primary key, t text, n numeric(5,2));
		insert into a_first values (1, E'tab\t line\n return\r slash\\ \b\f' || chr(11) || ' end', 1.50), (2, null, null), (3, '', 0);
		create table b_empty(id int primary key);
		create table c_keyless(v text);
		insert into c_keyless values ('\N'), (E'\\.'), (null);
		create table d_unknown(l pg_lsn);
		insert into d_unknown values ('0/1'), (null);
		create table e_generated(id int primary key, d int generated always as (id * 2) stored);
		insert into e_generated values (4);
		create table "Odd ""S"."T b"("Key ""k" int primary key, "äö, ü" text);
		insert into "Odd ""S"."T b" values (1, 'ü');
		create table f_parent(id int, p int, primary key (id, p)) partition by list (p);
		create table f_part partition of f_parent for values in (1);
		insert into f_parent values (7, 1);
		create table g_base(id int); create table g_child() inherits (g_base);
		insert into g_base values (1); insert into g_child values (2);
		create view v as select 1;`)
	o := serverOptions(t, s, nil)
	got, end := copied(t, newTestCopier(t, o, snapshotState{}, nil), snapshot.Options{})
	want := []string{
		`r Odd "S.T b first key(1) after(1, "ü")`,
		`r public.a_first first_in_data_collection key(1) after(1, "tab\t line\n return\r slash\\ \b\f\v end", x'0096')`,
		`r public.a_first true key(2) after(2, null, null)`,
		`r public.a_first last_in_data_collection key(3) after(3, "", x'00')`,
		`r public.c_keyless first_in_data_collection after("\\N")`,
		`r public.c_keyless true after("\\.")`,
		`r public.c_keyless last_in_data_collection after(null)`,
		`r public.d_unknown first_in_data_collection after()`,
		`r public.d_unknown last_in_data_collection after()`,
		`r public.e_generated last_in_data_collection key(4) after(4, 8)`,
		`r public.f_parent last_in_data_collection key(7, 1) after(7, 1)`,
		`r public.f_part last_in_data_collection key(7, 1) after(7, 1)`,
		`r public.g_base first_in_data_collection after(1)`,
		`r public.g_base last_in_data_collection after(2)`,
		`r public.g_child last after(2)`,
	}
	require.Equal(t, want, got)
	p, err := parsePosition(end)
	require.NoError(t, err)
	require.True(t, p.Completed && p.Last && p.Snapshot == "INITIAL" && p.LSN > 0 && p.TxID > 0 && p.Micros > 0, "%s", end)
}

func TestCopyFollowsFilters(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `
		create table a(id int primary key, v text, w text); insert into a values (1, 'v', 'w');
		create table b(id int primary key); insert into b values (1);
		create table c(id int primary key); insert into c values (1);`)
	tests := []struct {
		name string
		raw  map[string]string
		want []string
	}{
		{
			"order of the include list",
			map[string]string{"table.include.list": "public.c,public.(a|b),public.gone"},
			[]string{`r public.c first key(1) after(1)`, `r public.a last_in_data_collection key(1) after(1, "v", "w")`, `r public.b last key(1) after(1)`},
		},
		{
			"part of the captured tables",
			map[string]string{"snapshot.include.collection.list": `public.b, "public"."c"`},
			[]string{`r public.b first key(1) after(1)`, `r public.c last key(1) after(1)`},
		},
		{
			"excluded key column stays in the key",
			map[string]string{"table.include.list": "public.a", "column.exclude.list": "public.a.(id|v)"},
			[]string{`r public.a last key(1) after("w")`},
		},
		{
			"a statement of one's own",
			map[string]string{
				"table.include.list": "public.(a|b)", "snapshot.select.statement.overrides": "public.a",
				"snapshot.select.statement.overrides.public.a": "select w, v, 10 - id as id from a, generate_series(1, 2) where w <> 'x' order by id desc -- mine\n;",
			},
			[]string{`r public.a first key(9) after(9, "v", "w")`, `r public.a last_in_data_collection key(9) after(9, "v", "w")`, `r public.b last key(1) after(1)`},
		},
		{"no column", map[string]string{"table.include.list": "public.a", "column.include.list": "x"}, []string{`r public.a last key(1) after()`}},
		{"no table", map[string]string{"table.include.list": "public.x"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, end := copied(t, newTestCopier(t, serverOptions(t, s, tt.raw), snapshotState{}, nil), snapshot.Options{})
			require.Equal(t, tt.want, got)
			require.NotEmpty(t, end)
		})
	}
}

func TestCopyOrdersByRowCount(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `create table a as select generate_series(1, 20); create table b as select generate_series(1, 5);
		create table c as select generate_series(1, 9); analyze a; analyze b; analyze c;`)
	for order, want := range map[string][]string{"disabled": {"a", "b", "c"}, "ascending": {"b", "c", "a"}, "descending": {"a", "c", "b"}} {
		q := newTestCopier(t, serverOptions(t, s, map[string]string{"snapshot.tables.order.by.row.count": order}), snapshotState{}, nil)
		tables, err := q.Tables(t.Context())
		require.NoError(t, err)
		var got []string
		for _, table := range tables {
			got = append(got, table.ID.Name)
		}
		require.Equal(t, want, got, order)
		require.NoError(t, q.Close(t.Context()))
	}
}

// TestCopySeesOneState changes the database after the state was fixed: no session may see it, and what the stream will
// begin at covers it.
func TestCopySeesOneState(t *testing.T) {
	for _, existing := range []bool{false, true} {
		t.Run(fmt.Sprintf("slot was there %t", existing), func(t *testing.T) {
			s := testdb.Postgres(t)
			s.Exec(t, `create table t(id int primary key, v text);
				insert into t select g, repeat('x', 500) from generate_series(1, 2000) g`)
			o := serverOptions(t, s, map[string]string{"snapshot.max.threads": "3"})
			c := dialer{o: o, name: "test"}
			var state snapshotState
			if existing {
				conn := mustConnect(t, c)
				rows, err := query(t.Context(), conn, `select lsn from pg_create_logical_replication_slot('debezium', 'pgoutput')`)
				require.NoError(t, err)
				state.At, err = parseLSN(rows[0][0])
				require.NoError(t, err)
				s.Exec(t, `insert into t values (2001, 'between slot and state')`)
			} else {
				repl, _, err := c.connectReplication(t.Context())
				require.NoError(t, err)
				defer func() { _ = repl.Close(context.Background()) }()
				created, err := createSlot(t.Context(), repl, newSlot{Name: "debezium", Temporary: true}, slog.New(slog.DiscardHandler))
				require.NoError(t, err)
				state = snapshotState{Exported: created.Snapshot, At: created.Point}
			}
			q := newTestCopier(t, o, state, nil)
			r := snapshot.Initial(&afterTables{q, func() {
				s.Exec(t, `delete from t where id % 2 = 0; update t set v = 'changed'; insert into t values (9999, 'later')`)
			}}, nil, snapshot.Options{Threads: 3})
			defer func() { require.NoError(t, r.Close(context.Background())) }()
			got, end, err := readSnapshot(t, r)
			require.NoError(t, err)
			want := 2000
			if existing {
				want = 2001
			}
			require.Len(t, got, want)
			require.NotContains(t, strings.Join(got, "\n"), "changed")
			keys := map[string]bool{}
			for _, c := range got {
				_, key, _ := strings.Cut(c, "key(")
				key, _, _ = strings.Cut(key, ")")
				keys[key] = true
			}
			require.Len(t, keys, want, "every row once")
			p, err := parsePosition(end)
			require.NoError(t, err)
			require.True(t, p.LSN >= state.At && (p.LSN > state.At) == existing, "position %s, slot at %s", p.LSN, state.At)
			if existing {
				require.Eventually(t, func() bool {
					return s.Text(t, `select count(*) from pg_replication_slots where temporary and database = current_database()`) == "0"
				}, time.Minute, 10*time.Millisecond, "the temporary slot is gone")
			}
		})
	}
}

// afterTables calls then once the state is fixed and the tables are listed.
type afterTables struct {
	*copier
	then func()
}

func (a *afterTables) Tables(ctx context.Context) ([]snapshot.Table, error) {
	tables, err := a.copier.Tables(ctx)
	a.then()
	return tables, err
}

func TestCopyWithoutFreeSlotKeepsThePosition(t *testing.T) {
	s := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{"max_replication_slots": "1"}})
	s.Exec(t, `create table t(id int primary key); insert into t values (1)`)
	at, err := parseLSN([]byte(s.Text(t, `select lsn from pg_create_logical_replication_slot('debezium', 'pgoutput')`)))
	require.NoError(t, err)
	s.Exec(t, `insert into t values (2)`)
	got, end := copied(t, newTestCopier(t, serverOptions(t, s, nil), snapshotState{At: at}, nil), snapshot.Options{})
	require.Len(t, got, 2)
	p, err := parsePosition(end)
	require.NoError(t, err)
	require.Equal(t, at, p.LSN, "what the snapshot has already comes again rather than getting lost")
}

func TestCopyChunksHoldEachRowOnce(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `create table t(id int primary key, v text); insert into t select g, repeat('x', 300) from generate_series(1, 1000) g;
		delete from t where id > 900; create table small(id int); insert into small values (1); create table empty(id int);
		create table parts(id int) partition by range (id); create table p1 partition of parts default; insert into parts values (5)`)
	o := serverOptions(t, s, map[string]string{"snapshot.max.threads": "4"})
	q := newTestCopier(t, o, snapshotState{}, nil)
	tables, err := q.Tables(t.Context())
	require.NoError(t, err)
	chunks := map[string]int{}
	for _, table := range tables {
		c, err := q.Chunks(t.Context(), table, 8)
		require.NoError(t, err)
		chunks[table.ID.Name] = len(c)
	}
	require.Equal(t, map[string]int{"t": 8, "small": 1, "empty": 1, "parts": 1, "p1": 1}, chunks)
	require.NoError(t, q.Close(t.Context()))

	got, _ := copied(t, newTestCopier(t, o, snapshotState{}, nil), snapshot.Options{Threads: 4, Multiplier: 2})
	slices.Sort(got)
	require.Len(t, slices.Compact(got), 900+1+1+1)
}

func TestCopyIsolation(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `create table t(id int primary key); insert into t values (1)`)
	for _, mode := range []string{"serializable", "repeatable_read", "read_committed", "read_uncommitted"} {
		for _, threads := range []string{"1", "2"} {
			o := serverOptions(t, s, map[string]string{"snapshot.isolation.mode": mode, "snapshot.max.threads": threads})
			q := newTestCopier(t, o, snapshotState{}, nil)
			require.NoError(t, q.begin(t.Context()))
			rows, err := query(t.Context(), q.anchor, `select current_setting('transaction_isolation'), current_setting('transaction_read_only'), current_setting('statement_timeout')`)
			require.NoError(t, err)
			require.Equal(t, strings.ReplaceAll(mode, "_", " "), string(rows[0][0]))
			require.Equal(t, "on", string(rows[0][1]))
			require.Equal(t, "0", string(rows[0][2]), "a COPY may take hours")
			require.Equal(t, threads == "2", q.exported != "")
			require.NoError(t, q.Close(t.Context()))
		}
	}
}

func TestCopyLocks(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `create table t(id int primary key)`)
	o := serverOptions(t, s, map[string]string{"snapshot.locking.mode": "shared", "snapshot.lock.timeout.ms": "50"})
	q := newTestCopier(t, o, snapshotState{}, nil)
	_, err := q.Tables(t.Context())
	require.NoError(t, err)
	require.Equal(t, "1", s.Text(t, `select count(*) from pg_locks where relation = 't'::regclass and mode = 'AccessShareLock' and granted`))
	require.NoError(t, q.Close(t.Context()))

	blocker := s.Connect(t)
	_, err = blocker.Exec(t.Context(), `begin; lock table t in access exclusive mode`)
	require.NoError(t, err)
	q = newTestCopier(t, o, snapshotState{}, nil)
	_, err = q.Tables(t.Context())
	require.ErrorContains(t, err, `lock table "public.t"`)
	require.NoError(t, q.Close(t.Context()))
}

// TestCopyNoticesRewrittenTables: a table whose type was changed after the state was fixed looks empty to the snapshot.
func TestCopyNoticesRewrittenTables(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `create table t(id int primary key); insert into t values (1); create table u(id int); create table empty(id int)`)
	q := newTestCopier(t, serverOptions(t, s, nil), snapshotState{}, nil)
	r := snapshot.Initial(&afterTables{q, func() { s.Exec(t, `alter table t alter id type bigint`) }}, nil, snapshot.Options{})
	_, _, err := readSnapshot(t, r)
	require.ErrorContains(t, err, `snapshot of table "public.t": copy table "public.t": it was rewritten`)
	var e *Error
	require.True(t, errors.As(err, &e) && e.Retriable())
	require.NoError(t, r.Close(t.Context()))
}

func TestCopyErrorsNameTheTable(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `create table t(id int primary key); insert into t values (1); create table u(id int)`)
	q := newTestCopier(t, serverOptions(t, s, nil), snapshotState{}, nil)
	r := snapshot.Initial(&afterTables{q, func() { s.Exec(t, `drop table u`) }}, nil, snapshot.Options{})
	_, _, err := readSnapshot(t, r)
	require.ErrorContains(t, err, `snapshot of table "public.u"`)
	require.NotContains(t, err.Error(), s.Password)
	require.NoError(t, r.Close(t.Context()))

	_, err = newTestCopier(t, serverOptions(t, s, nil), snapshotState{Exported: "00000003-0000001B-1", At: 1}, nil).Tables(t.Context())
	require.ErrorContains(t, err, `import snapshot "00000003-0000001B-1"`)
}

func TestCopyConvertFailures(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `create table sp(id int primary key, n numeric); insert into sp values (1, 'NaN'), (2, 'NaN'), (3, 1.5)`)
	for mode, warnings := range map[string]int{"warn": 1, "skip": 0} {
		var log strings.Builder
		q := newTestCopier(t, serverOptions(t, s, map[string]string{"event.converting.failure.handling.mode": mode}), snapshotState{},
			slog.New(slog.NewTextHandler(&log, nil)))
		got, _ := copied(t, q, snapshot.Options{})
		require.Len(t, got, 3)
		require.Equal(t, `r public.sp first key(1) after(1, null)`, got[0])
		require.Equal(t, warnings, strings.Count(log.String(), "public.sp.n"), log.String())
	}
	r := snapshot.Initial(newTestCopier(t, serverOptions(t, s, map[string]string{"event.converting.failure.handling.mode": "fail"}), snapshotState{}, nil), nil, snapshot.Options{})
	_, _, err := readSnapshot(t, r)
	require.ErrorContains(t, err, "Failed to properly convert data value for 'public.sp.n' of type numeric")
	require.NoError(t, r.Close(t.Context()))
}

func TestCopyReportsProgress(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `create table a(id int); insert into a select generate_series(1, 5000); analyze a; create table b(id int)`)
	last := map[string]capture.Progress{}
	copied(t, newTestCopier(t, serverOptions(t, s, nil), snapshotState{}, nil), snapshot.Options{
		Progress: func(p capture.Progress) { last[p.Table.Name] = p },
	})
	require.Equal(t, int64(5000), last["a"].Rows)
	require.Equal(t, int64(5000), last["a"].Estimated)
	require.True(t, last["a"].Done)
	require.Equal(t, int64(-1), last["b"].Estimated)
	require.True(t, last["b"].Done)
}

func TestAppendCopyText(t *testing.T) {
	for in, want := range map[string]string{
		`plain`: "plain", `\\`: `\`, `a\tb`: "a\tb", `\b\f\n\r\t\v`: "\b\f\n\r\t\v", `x\\N`: `x\N`, `\q`: "q", `end\`: `end\`,
	} {
		require.Equal(t, want, string(appendCopyText(nil, []byte(in))))
	}
}
