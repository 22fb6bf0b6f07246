// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/internal/history"
	"freshet/internal/testdb"
	"freshet/schema"
)

// replication is a source, a target, and the arguments of freshet replicate.
type replication struct {
	source, target *testdb.Server
	data           string
}

func newReplication(t *testing.T) *replication {
	t.Helper()
	r := &replication{testdb.Postgres(t), testdb.Postgres(t), filepath.Join(t.TempDir(), "data")}
	t.Cleanup(func() {
		if _, err := os.Stat(r.data); err == nil && !t.Failed() {
			judgeFolder(t, r.data, history.Options{Prefix: "freshet", Exact: true, NoTombstones: true})
		}
	})
	return r
}

func (r *replication) args(more ...string) []string {
	return append([]string{"--log-format", "json", "replicate", "--from", r.source.DSN(), "--to", r.target.DSN(), "--data", r.data}, more...)
}

// once runs freshet replicate --once, which must succeed, and returns its log.
func (r *replication) once(t *testing.T, more ...string) *process {
	t.Helper()
	p := start(t, nil, r.args(append(more, "--once")...)...)
	require.Zero(t, p.wait(t), "%s", p.err)
	require.Empty(t, p.out.String(), "standard output is for data")
	return p
}

// refused runs freshet replicate, which must end with a code, and returns what it says.
func (r *replication) refused(t *testing.T, code int, more ...string) string {
	t.Helper()
	p := start(t, nil, r.args(more...)...)
	require.Equal(t, code, p.wait(t), "%s", p.err)
	return p.err.String()
}

func (r *replication) equal(t *testing.T, ids []schema.ID) {
	t.Helper()
	diff, err := difference(t, r.source, r.target, ids)
	require.NoError(t, err)
	require.Empty(t, diff)
}

// menagerie has a table of each kind that a copy could get wrong.
const menagerie = `
create schema shop;
create schema "Odd Schema";
create type shop.mood as enum ('sad', 'it''s ok', 'happy');
create domain shop.amount as numeric(12,3) check (value >= 0);
create table shop.orders(
  region text, number bigint, state shop.mood not null default 'sad', states shop.mood[], price shop.amount,
  plain numeric, paid boolean default true, at timestamptz default now(), until timestamp(3), day date, hour time, span interval,
  doc jsonb, old json, tags text[], matrix int[], raw bytea, ip inet, id uuid, bits varbit(9), code char(5), short varchar(7),
  real4 real, real8 double precision, small smallint default 7, marked xml, span4 int4range, cash money, net cidr, mac macaddr,
  total numeric generated always as (price * 2) stored,
  primary key (number, region));
create table public.plain(id int generated always as identity primary key, v text default 'a default', n int default 5);
create table public.parent(id int primary key);
create table public.child(id int primary key, parent int not null references public.parent deferrable);
create table "Odd Schema"."Odd ""Table"""("Key" int primary key, "select" text);
create table public.empty(id int primary key);
create table public.keys_only(a text, b int, primary key (b, a));`

const menagerieRows = `
insert into shop.orders(region, number, state, states, price, plain, paid, at, until, day, hour, span, doc, old, tags, matrix, raw, ip, id, bits, code, short, real4, real8, small, marked, span4, cash, net, mac)
select 'r' || g %% 3, g, (array['sad', 'it''s ok', 'happy'])[1 + g %% 3]::shop.mood, array['happy', null, 'it''s ok']::shop.mood[], g + 0.125, g * 1.5e20, g %% 2 = 0,
  '2026-01-02 03:04:05.678901+00'::timestamptz + g * interval '1 day', '2026-01-02 03:04:05.678', '2026-02-03', '23:59:59.999999', g * interval '1 day 2 hours',
  jsonb_build_object('n', g, 's', 'ü "q"'), '{"b": 1,  "a": [1,2]}', array['a,b', null, '"', '\'], array[[g, 2], [3, null]], decode('00ff', 'hex'),
  '10.0.0.1/8', gen_random_uuid(), b'10110', 'ab', 'short', 1.5, 'NaN', null, '<a>1</a>', '[1,5)', 12.34, '10.0.0.0/8', '08:00:2b:01:02:03'
from generate_series(%[1]d, %[2]d) g;
insert into public.plain(v, n) values (null, null), ('x', 1), (default, default);
insert into public.parent select g from generate_series(%[1]d, %[2]d) g;
insert into public.child select g, g from generate_series(%[1]d, %[2]d) g;
insert into "Odd Schema"."Odd ""Table""" select g, 'v' || g from generate_series(%[1]d, %[2]d) g;
insert into public.keys_only select 'k' || g, g from generate_series(%[1]d, %[2]d) g;`

var menagerieTables = []schema.ID{
	{Schema: "shop", Name: "orders"},
	{Schema: "public", Name: "plain"},
	{Schema: "public", Name: "parent"},
	{Schema: "public", Name: "child"},
	{Schema: "Odd Schema", Name: `Odd "Table"`},
	{Schema: "public", Name: "empty"},
	{Schema: "public", Name: "keys_only"},
}

// TestReplicateOnce: all tables as they are, then, on the same folder, what has changed since.
func TestReplicateOnce(t *testing.T) {
	t.Parallel()
	r := newReplication(t)
	r.source.Exec(t, menagerie)
	r.source.Exec(t, fmt.Sprintf(menagerieRows, 1, 200))
	p := r.once(t)
	r.equal(t, menagerieTables)
	require.Len(t, p.logged("table read"), len(menagerieTables))
	require.Equal(t, r.source.Text(t, types), r.target.Text(t, types), "columns of the copies")
	stays := p.logged("the slot stays in the source for the next run and makes it keep its log until then")
	require.Len(t, stays, 1)
	require.Contains(t, stays[0]["to_drop_it"], "SELECT pg_drop_replication_slot('freshet_")

	r.source.Exec(t, fmt.Sprintf(menagerieRows, 201, 210))
	r.source.Exec(t, `update shop.orders set number = number + 1000, state = 'happy', doc = doc || '{"more": null}' where number <= 5;
delete from public.child where id = 7; update public.plain set v = null, n = null; delete from public.keys_only where b > 100;
update "Odd Schema"."Odd ""Table""" set "select" = null; insert into public.empty values (1)`)
	p = r.once(t)
	r.equal(t, menagerieTables)
	require.Empty(t, p.logged("table read"), "nothing is read again")

	r.source.Exec(t, "delete from public.empty")
	r.once(t, "--clean")
	r.equal(t, menagerieTables)
	require.NoDirExists(t, r.data)
	require.Equal(t, "0", r.source.Text(t, "select count(*) from pg_replication_slots where database = current_database()"))
	require.Equal(t, "0", r.source.Text(t, "select count(*) from pg_publication"))
}

// types are the columns of all tables of the menagerie, but for what a copy does not have: defaults, identities and
// domains.
const types = `select string_agg(format('%s.%s %s %s %s', n.nspname, c.relname, a.attname, format_type(case t.typtype when 'd' then t.typbasetype else t.oid end,
  case t.typtype when 'd' then t.typtypmod else a.atttypmod end), a.attnotnull), e'\n' order by n.nspname, c.relname, a.attnum)
from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace join pg_type t on t.oid = a.atttypid
where n.nspname in ('public', 'shop', 'Odd Schema') and c.relkind = 'r' and a.attnum > 0 and c.relname not like 'freshet%'`

const columnsOfItems = "select string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' order by attnum) from pg_attribute where attrelid = 'items'::regclass and attnum > 0"

// TestReplicateStreams: every kind of change, until the command is told to stop; and on from there.
func TestReplicateStreams(t *testing.T) {
	t.Parallel()
	r := newReplication(t)
	items := []schema.ID{{Schema: "public", Name: "items"}, {Schema: "public", Name: "log"}}
	r.source.Exec(t, itemsDDL+"create table log(id int primary key); insert into items select g, 0, 'snapshot' from generate_series(1, 100) g; insert into log select 1")
	p := start(t, nil, r.args()...)
	equal(t, r.source, r.target, items...)
	for _, change := range []string{
		"insert into items values (101, 0, 'new')",
		"update items set n = n + 1",
		"update items set id = id + 1000 where id % 10 = 0",
		"delete from items where id % 7 = 0",
		"truncate log",
		"insert into log values (1), (2); truncate log; insert into log values (3)",
		"alter table items add column extra int default 9; update items set extra = id where id < 50",
		"alter table items add column list int[], add column span interval, add column price numeric, add column code varbit(9); update items set list = array[[id], [n]], span = '1 mon', price = 1.50, code = b'001' where id < 50",
		"insert into items values (5000, 0, repeat('long', 10000), 1); update items set n = 1 where id = 5000",
	} {
		r.source.Exec(t, change)
		equal(t, r.source, r.target, items...)
	}
	require.Equal(t, r.source.Text(t, columnsOfItems), r.target.Text(t, columnsOfItems))
	p.stop(t)
	require.Len(t, p.logged("worker has stopped"), 1)

	r.source.Exec(t, "update items set n = n + 1; truncate log")
	p = start(t, nil, r.args()...)
	equal(t, r.source, r.target, items...)
	r.source.Exec(t, "update items set n = n + 1")
	p.kill(t) // and a crash is nothing special
	r.source.Exec(t, "delete from items where id % 2 = 0")
	p = start(t, nil, r.args()...)
	equal(t, r.source, r.target, items...)
	p.stop(t)
}

// TestReplicateOddNames: the names that TestOddNames tries by files.
func TestReplicateOddNames(t *testing.T) {
	t.Parallel()
	r := newReplication(t)
	ids := oddTables(t, r.source)
	r.once(t)
	r.equal(t, ids)
	changeOddTables(t, r.source, ids)
	r.once(t)
	r.equal(t, ids)
}

// TestReplicateSomeTables: --tables takes names and patterns.
func TestReplicateSomeTables(t *testing.T) {
	t.Parallel()
	r := newReplication(t)
	r.source.Exec(t, menagerie)
	r.source.Exec(t, fmt.Sprintf(menagerieRows, 1, 10)+"create table keyless(n int)")
	r.once(t, "--tables", "plain,shop.*", "--tables", `Odd Schema.Odd*`)
	r.equal(t, []schema.ID{menagerieTables[0], menagerieTables[1], menagerieTables[4]})
	require.Equal(t, "Odd \"Table\",orders,plain", r.target.Text(t, `select string_agg(relname, ',' order by relname collate "C") from pg_class c join pg_namespace n on n.oid = relnamespace
where relkind = 'r' and nspname !~ '^(pg_|information_schema)' and relname not like 'freshet%'`))
}

// TestReplicateRefuses: what cannot work is said before anything is made.
func TestReplicateRefuses(t *testing.T) {
	t.Parallel()
	r := newReplication(t)
	r.source.Exec(t, "create table keyed(id int primary key); create schema shop; create table shop.keyless(n int); create table shop.another(n int)")
	for _, c := range []struct {
		name  string
		code  int
		args  []string
		words []string
	}{
		{"tables without a key", 2, nil, []string{"shop.keyless", "shop.another", "ADD PRIMARY KEY", "--tables"}},
		{"no table", 2, []string{"--tables", "keyd,shop.x*"}, []string{"--tables keyd,shop.x*", "schema.table"}},
		{"same database", 2, []string{"--to", r.source.DSN()}, []string{"--from and --to", r.source.Database}},
		{"not a URL", 2, []string{"--from", "http//x"}, []string{"--from", "postgres://USER@HOST:5432/DATABASE"}},
		{"wrong scheme", 2, []string{"--to", "mysql://u:p@h/d"}, []string{"--to", "postgres://USER@HOST:5432/DATABASE"}},
		{"SQLite", 2, []string{"--to", "jdbc:sqlite:/x.db"}, []string{"--to", "nothing into sqlite", "freshet standalone", "postgres://USER@HOST:5432/DATABASE"}},
		{"no such source", 1, []string{"--from", "postgres://postgres:x@127.0.0.1:" + closedPort(t) + "/db"}, []string{"--from", "127.0.0.1", "connection refused"}},
		{"no such target database", 1, []string{"--tables", "keyed", "--to", strings.Replace(r.target.DSN(), r.target.Database, "no_such_db", 1)}, []string{"--to", "no_such_db", "does not exist"}},
		{"wrong password", 1, []string{"--from", r.source.DSNFor(r.source.Database, login(t, "right", r.source), "wrong-one")}, []string{"--from", "password authentication failed"}},
		{"address taken", 2, []string{"--tables", "keyed", "--listen", listening(t)}, []string{"another process has port"}},
		{"folder", 2, []string{"--tables", "keyed", "--data", "/dev/null/data"}, []string{"/dev/null/data"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := r.refused(t, c.code, append([]string{"--once"}, c.args...)...)
			requireWords(t, said, c.words...)
			require.NotContains(t, said, "wrong-one")
			require.NotContains(t, said, r.source.Password)
		})
	}
	require.Equal(t, "0", r.source.Text(t, "select count(*) from pg_replication_slots where database = current_database()"))
	require.Equal(t, "0", r.source.Text(t, "select count(*) from pg_publication"))
	require.Equal(t, "keyed", r.target.Text(t, "select string_agg(tablename, ',') from pg_tables where schemaname = 'public'"))
}

// TestReplicateFaults: a fault on the way ends the command with 1 and the reason.
func TestReplicateFaults(t *testing.T) {
	t.Parallel()
	r := newReplication(t)
	r.source.Exec(t, itemsDDL+"insert into items values (1, 0, 'a'), (2, 100000, 'b')")
	r.target.Exec(t, "create table items(id int primary key, n smallint not null, note text)")
	said := r.refused(t, 1, "--once")
	requireWords(t, said, "replicate-sink", "freshet.public.items-0@1 (key id=2)", "out of range", "widen the column")
	r.target.Exec(t, "alter table items alter n type int")
	r.once(t)
	equal(t, r.source, r.target)
}
