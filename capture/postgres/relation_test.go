// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
)

func TestDDLInMidStream(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key, v text)`)
	s := f.open("")
	step := func(sql string, want ...string) []event {
		t.Helper()
		f.Exec(t, sql)
		events := s.events(len(want))
		for i, e := range events {
			require.Equal(t, want[i], e.String())
		}
		return events
	}
	first := step(`insert into a values (1,'x')`, "c a {id=1} -> {id=1 v=x}")
	again := step(`insert into a values (2,'y')`, "c a {id=2} -> {id=2 v=y}")
	require.Same(t, first[0].schema, again[0].schema, "one version, one pointer")
	step(`alter table a add column n int not null default 7; update a set v='z' where id=1`, "u a {id=1} -> {id=1 v=z n=7}")
	step(`alter table a rename column v to w; update a set w='q' where id=1`, "u a {id=1} -> {id=1 w=q n=7}")
	step(`alter table a drop column w; update a set n=8 where id=1`, "u a {id=1} -> {id=1 n=8}")
	step(`alter table a alter column n type text; insert into a values (3,'text')`, "c a {id=3} -> {id=3 n=text}")
	step(`alter table a drop constraint a_pkey; alter table a add primary key (n); insert into a values (4,'k')`, "c a {n=k} -> {id=4 n=k}")
	step(`alter table a rename to b; insert into b values (5,'l')`, "c b {n=l} -> {id=5 n=l}")
	step(`alter table b drop constraint a_pkey; insert into b values (6,'m')`, "c b {n=m} -> {id=6 n=m}") // the key of the version before
	unchanged := step(`comment on table b is 'x'; analyze b; insert into b values (7,'m')`, "c b {n=m} -> {id=7 n=m}")
	more := step(`alter table b set (fillfactor=50); insert into b values (8,'m')`, "c b {n=m} -> {id=8 n=m}")
	require.Same(t, unchanged[0].schema, more[0].schema, "a new description of the same is the same version")
}

// The catalog is ahead of a stream that lags.
func TestDDLBeforeTheReaderCameBack(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key, v text not null); create table gone(k int, v text, primary key (k))`)
	f.open("").close()
	f.Exec(t, `insert into a values (1,'x'); insert into gone values (1,'x')`)
	f.Exec(t, `update gone set k=2; drop table gone`)
	f.Exec(t, `alter table a drop constraint a_pkey; alter table a drop column v; alter table a add column u int not null default 5; alter table a add primary key (u, id)`)
	f.Exec(t, `insert into a values (2,6)`)
	s := f.open("")
	events := s.events(4)
	require.Equal(t, []string{
		"c a {id=1} -> {id=1 v=x}", // of the new key what there was
		"c gone {k=1} -> {k=1 v=x}",
		"u gone {k=2} was {k=1} {k=1 v=null} -> {k=2 v=x}",
		"c a {u=6 id=2} -> {id=2 u=6}",
	}, []string{events[0].String(), events[1].String(), events[2].String(), events[3].String()})
	require.True(t, events[0].schema.Columns[1].Type.Optional, "a column that is gone counts as optional")
}

func TestNewTypeInMidStream(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	f.Exec(t, `create type mood as enum ('sad','ok'); create table m(id int primary key, m mood); insert into m values (1,'ok')`)
	e := s.events(1)[0]
	require.Equal(t, "c m {id=1} -> {id=1 m=ok}", e.String())
	allowed, ok := e.schema.Columns[1].Type.Param("allowed")
	require.True(t, ok)
	require.Equal(t, "sad,ok", allowed)
}

func TestReplicaIdentityKinds(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `
create table ri_default(id int primary key, name varchar(20) not null, note text, qty int default 5);
create table ri_full(id int primary key, name varchar(20) not null, note text); alter table ri_full replica identity full;
create table ri_index(id int primary key, code varchar(10) not null, note text); create unique index ri_index_ix on ri_index(id, code); alter table ri_index replica identity using index ri_index_ix;
create table ri_other(id int primary key, code varchar(10) not null, note text); create unique index ri_other_ix on ri_other(code); alter table ri_other replica identity using index ri_other_ix;
create table ri_nothing(id int primary key); alter table ri_nothing replica identity nothing;
create table keyless(a int, b text); alter table keyless replica identity full`)
	s := f.open("")
	for _, c := range []struct{ sql, want string }{
		{`insert into ri_default values (1,'a','x',1)`, "c ri_default {id=1} -> {id=1 name=a note=x qty=1}"},
		{`update ri_default set note='y'`, "u ri_default {id=1} -> {id=1 name=a note=y qty=1}"},
		{`update ri_default set id=2`, "u ri_default {id=2} was {id=1} {id=1 name=null note=null qty=null} -> {id=2 name=a note=y qty=1}"},
		{`delete from ri_default`, "d ri_default {id=2} {id=2 name=null note=null qty=null}"},
		{`insert into ri_full values (1,'a',null)`, "c ri_full {id=1} -> {id=1 name=a note=null}"},
		{`update ri_full set note='y'`, "u ri_full {id=1} was {id=1} {id=1 name=a note=null} -> {id=1 name=a note=y}"},
		{`delete from ri_full`, "d ri_full {id=1} {id=1 name=a note=y}"},
		{`insert into ri_index values (1,'c1','x')`, "c ri_index {id=1} -> {id=1 code=c1 note=x}"},
		{`update ri_index set note='y'`, "u ri_index {id=1} -> {id=1 code=c1 note=y}"},
		{`update ri_index set code='c9'`, "u ri_index {id=1} was {id=1} {id=1 code=c1 note=null} -> {id=1 code=c9 note=y}"},
		{`insert into ri_other values (1,'c1','x')`, "c ri_other {id=1} -> {id=1 code=c1 note=x}"},
		{`update ri_other set note='y'`, "u ri_other {id=1} -> {id=1 code=c1 note=y}"},
		{`update ri_other set code='c9'`, "u ri_other {id=1} was {id=null} {id=null code=c1 note=null} -> {id=1 code=c9 note=y}"},
		{`delete from ri_other`, "d ri_other {id=null} {id=null code=c9 note=null}"},
		{`insert into ri_nothing values (1)`, "c ri_nothing {id=1} -> {id=1}"},
		{`insert into keyless values (1,'x')`, "c keyless  -> {a=1 b=x}"},
		{`update keyless set b='y'`, "u keyless  {a=1 b=x} -> {a=1 b=y}"},
		{`delete from keyless`, "d keyless  {a=1 b=y}"},
	} {
		f.Exec(t, c.sql)
		require.Equal(t, []string{c.want}, s.read(1), c.sql)
	}
}

func TestUnchangedToast(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table d(id int primary key, big text, n int); alter table d alter big set storage external;
create table fu(id int primary key, big text, n int); alter table fu alter big set storage external; alter table fu replica identity full;
create table ki(id int primary key, big text not null, n int); alter table ki alter big set storage external; create unique index ki_i on ki(big); alter table ki replica identity using index ki_i`)
	s := f.open("")
	big := strings.Repeat("x", 2600)
	for _, table := range []string{"d", "fu", "ki"} {
		value := `repeat('x', 2600)`
		f.Exec(t, `insert into `+table+` values (1, `+value+`, 1)`)
		s.read(1)
		f.Exec(t, `update `+table+` set n=2`)
		e := s.events(1)[0]
		want := map[string]string{"d": "unavailable", "fu": big, "ki": big}[table] // from the old row, or from the identity
		require.Equal(t, "{id=1 big="+want+" n=2}", e.after, table)
		f.Exec(t, `update `+table+` set id=2, big='short'`)
		require.Equal(t, "{id=2 big=short n=2}", s.events(1)[0].after)
	}
}

func TestTruncate(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data", "table.exclude.list", "public.c", "skipped.operations", "none")
	f.Exec(t, `create table a(id int primary key); create table b(id int); create table c(id int)`)
	s := f.open("")
	f.Exec(t, `truncate a, b, c`)
	require.ElementsMatch(t, []string{"t a ", "t b "}, s.read(2))
	f.Exec(t, `truncate c`)
	f.Exec(t, `insert into a values (1)`)
	require.Equal(t, []string{"c a {id=1} -> {id=1}"}, s.read(1))
}

func TestKeySelection(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `
create table k_none(a int, b text); insert into k_none values (1,'x');
create table k_comp(a int, b text, c int, primary key(c,a)); insert into k_comp values (1,'x',7);
create table k_uniq(a int not null, b int, unique(b), unique(a)); insert into k_uniq values (1,51);
create table k_partial(a int not null, v text); create unique index k_partial_u on k_partial(a) where v is not null; insert into k_partial values (1,'x');
create table k_expr(a int not null, v text); create unique index k_expr_u on k_expr(lower(v)); insert into k_expr values (1,'x');
create table k_incl(a int, b int, primary key(a) include (b)); insert into k_incl values (1,3);
create table k_uincl(a int, b int); create unique index k_uincl_u on k_uincl(a) include (b); insert into k_uincl values (1,3);
create table k_clust(a int not null, b int not null); create unique index k_clust_a on k_clust(a); create unique index k_clust_b on k_clust(b); cluster k_clust using k_clust_b; insert into k_clust values (1,2);
create table k_unk(k pg_lsn primary key, v int); insert into k_unk values ('0/1',1);
create table k_case("aB" int primary key, "Ab" int, ab int); insert into k_case values (1,2,3)`)
	want := map[string]string{
		"k_none": "r k_none  -> {a=1 b=x}", "k_comp": "r k_comp {c=7 a=1} -> {a=1 b=x c=7}", "k_uniq": "r k_uniq {a=1} -> {a=1 b=51}",
		"k_partial": "r k_partial {a=1} -> {a=1 v=x}", "k_expr": "r k_expr  -> {a=1 v=x}", "k_incl": "r k_incl {a=1} -> {a=1 b=3}",
		"k_uincl": "r k_uincl {a=1} -> {a=1 b=3}", "k_clust": "r k_clust {b=2} -> {a=1 b=2}", "k_unk": "r k_unk {} -> {v=1}",
		"k_case": "r k_case {aB=1} -> {aB=1 Ab=2 ab=3}",
	}
	s := f.open("")
	for _, e := range s.events(len(want)) {
		require.Equal(t, want[e.table], e.String())
	}
	f.Exec(t, `insert into k_case values (4,5,6); insert into k_unk values ('0/2',2); insert into k_none values (2,'y'); insert into k_clust values (5,6)`)
	require.Equal(t, []string{"c k_case {aB=4} -> {aB=4 Ab=5 ab=6}", "c k_unk {} -> {v=2}", "c k_none  -> {a=2 b=y}", "c k_clust {b=6} -> {a=5 b=6}"}, s.read(4))
}

func TestColumnFiltersLeaveKeysAlone(t *testing.T) {
	f := newFixture(t, "column.exclude.list", `public.ci.(b|k2),PUBLIC\.CI\.C,public.ci.Odd.Col`)
	f.Exec(t, `create table ci(id int, k2 int, a int, b int, "C" int, "Odd Col" int, primary key(id,k2)); insert into ci values (1,2,3,4,5,6)`)
	s := f.open("")
	require.Equal(t, []string{"r ci {id=1 k2=2} -> {id=1 a=3}"}, s.read(1))
	f.Exec(t, `insert into ci values (7,8,9,9,9,9)`)
	require.Equal(t, []string{"c ci {id=7 k2=8} -> {id=7 a=9}"}, s.read(1))

	f = newFixture(t, "column.include.list", "public.other.x")
	f.Exec(t, `create table ci(id int primary key, a int); insert into ci values (1,2)`)
	require.Equal(t, []string{"r ci {id=1} -> {}"}, f.open("").read(1))
}

func TestFieldNamesAreAdjusted(t *testing.T) {
	f := newFixture(t, "field.name.adjustment.mode", "avro")
	f.Exec(t, `create table a("1 id" int primary key, "with.dot" int); insert into a values (1,2)`)
	s := f.open("")
	require.Equal(t, []string{"r a {_1_id=1} -> {_1_id=1 with_dot=2}"}, s.read(1))
	f.Exec(t, `update a set "1 id"=5`)
	require.Equal(t, []string{"u a {_1_id=5} was {_1_id=1} {_1_id=1 with_dot=null} -> {_1_id=5 with_dot=2}"}, s.read(1))
}

func TestConversionFailures(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table sp(id int primary key, n numeric(5,2) not null)`)
	f.open("").close()
	f.Exec(t, `insert into sp values (1,'NaN'),(2,'NaN'),(3,1.5)`)
	for _, mode := range []string{"warn", "skip"} {
		g := f.with("event.converting.failure.handling.mode", mode)
		g.log = &logBuffer{}
		s := g.open("")
		var got []string
		for _, e := range s.read(3) {
			got = append(got, e[:strings.LastIndex(e, "n=")]+e[strings.LastIndex(e, "n="):])
		}
		require.Equal(t, []string{"c sp {id=1} -> {id=1 n=null}", "c sp {id=2} -> {id=2 n=null}", "c sp {id=3} -> {id=3 n=0096}"}, got)
		require.Equal(t, map[string]int{"warn": 1, "skip": 0}[mode], strings.Count(g.log.String(), "value cannot be converted"))
		s.close()
	}
}

// I5: a value that stops the task is still to come when the task goes on.
func TestFailedConversionIsReadAgain(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table sp(id int primary key, n numeric(5,2))`)
	f.open("").close()
	f.Exec(t, `insert into sp values (1,1.5),(2,'NaN'),(3,2.5)`)
	s := f.with("event.converting.failure.handling.mode", "fail").open("")
	require.Equal(t, []string{"c sp {id=1} -> {id=1 n=0096}"}, s.read(1), "what came before is handed over")
	_, _, err := s.tryNext(deadline)
	require.ErrorContains(t, err, "Failed to properly convert data value for 'public.sp.n' of type numeric")
	require.False(t, retriable(err))
	s.close()
	require.Equal(t, []string{"c sp {id=2} -> {id=2 n=null}", "c sp {id=3} -> {id=3 n=00fa}"}, f.open(s.end).read(2))
}

func TestTablesWithoutColumns(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table e(); alter table e replica identity full; create table a(id int primary key)`)
	s := f.open("")
	f.Exec(t, `insert into e default values; delete from e`)
	f.Exec(t, `insert into a values (1)`)
	require.Equal(t, []string{"c e  -> {}", "c a {id=1} -> {id=1}"}, s.read(2))
}

func TestPartitions(t *testing.T) {
	const tables = `create table p(id int primary key, v text) partition by range (id); create table p1 partition of p for values from (0) to (10);
create table p2 partition of p for values from (10) to (20)`
	for _, c := range []struct {
		root string
		want []string
	}{
		{"false", []string{"c p1 {id=1} -> {id=1 v=x}", "d p1 {id=1} {id=1 v=null}", "c p2 {id=11} -> {id=11 v=x}"}},
		{"true", []string{"c p {id=1} -> {id=1 v=x}", "d p {id=1} {id=1 v=null}", "c p {id=11} -> {id=11 v=x}"}},
	} {
		f := newFixture(t, "snapshot.mode", "no_data", "publish.via.partition.root", c.root)
		f.Exec(t, tables)
		s := f.open("")
		f.Exec(t, `insert into p values (1,'x')`)
		f.Exec(t, `update p set id=11`)
		require.Equal(t, c.want, s.read(3))
	}
}

func TestGeneratedColumnsAreNotStreamed(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table g(id int primary key, twice int generated always as (id*2) stored); insert into g values (1)`)
	s := f.open("")
	require.Equal(t, []string{"r g {id=1} -> {id=1 twice=2}"}, s.read(1))
	f.Exec(t, `insert into g values (2)`)
	require.Equal(t, []string{"c g {id=2} -> {id=2}"}, s.read(1))
}

func TestMessageKeyColumns(t *testing.T) {
	f := newFixture(t, "message.key.columns", "public.m1:b;public.m2:a,b;(.*).M3:c")
	f.Exec(t, `create table m1(a int primary key, b text not null, c int); create table m2(a int, b text, c int); alter table m2 replica identity full;
create table m3(a int primary key, b text, c int); alter table m3 replica identity full; create table m4(a int primary key, b text);
insert into m1 values (1,'x',1); insert into m2 values (1,null,1); insert into m3 values (1,'x',1); insert into m4 values (1,'x')`)
	s := f.open("")
	require.Equal(t, []string{
		"r m1 {b=x} -> {a=1 b=x c=1}", "r m2 {a=1 b=null} -> {a=1 b=null c=1}", "r m3 {c=1} -> {a=1 b=x c=1}", "r m4 {a=1} -> {a=1 b=x}",
	}, s.read(4))
	f.Exec(t, `update m2 set b='z'; update m3 set c=5; delete from m1`)
	require.Equal(t, []string{
		"u m2 {a=1 b=z} was {a=1 b=null} {a=1 b=null c=1} -> {a=1 b=z c=1}",
		"u m3 {c=5} was {c=1} {a=1 b=x c=1} -> {a=1 b=x c=5}",
		"d m1 {b=null} {a=1 b=null c=null}", // outside of the replica identity nothing is known
	}, s.read(3))
}

func TestKeyRules(t *testing.T) {
	rules, err := parseKeyRules(" a.b:x, y ;c.d:z;")
	require.NoError(t, err)
	require.Len(t, rules, 3)
	for _, bad := range []string{"nothing", "a(:b", "a:b["} {
		_, err := parseKeyRules(bad)
		require.Error(t, err, bad)
	}
}

// A table that has not changed since the snapshot stays the same value in the stream, so that its plans are compiled once.
func TestTablesOfTheSnapshotAreThoseOfTheStream(t *testing.T) {
	for _, spooled := range []bool{false, true} {
		t.Run(fmt.Sprintf("spool %t", spooled), func(t *testing.T) {
			f := newFixture(t)
			if spooled {
				f.spool = capture.NewSpool(newSpoolLog(t), "src")
			}
			f.Exec(t, `create type mood as enum ('ok');
create table a(id bigint generated always as identity primary key, n numeric(10,2) not null default 1.5, v text, m mood, at timestamptz default now(), l int[]);
create table b(id int primary key); insert into a(v) values ('x'); insert into b values (1)`)
			s := f.open("")
			rows := s.events(2)
			f.Exec(t, `alter table b add v text; insert into a(v) values ('y'); insert into b values (2, 'y')`)
			changes := s.events(2)
			require.Same(t, rows[0].schema, changes[0].schema)
			require.NotSame(t, rows[1].schema, changes[1].schema)
		})
	}
}
