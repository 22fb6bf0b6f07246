// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/schema"
)

// values are types with values that are easy to get wrong: at the ends of what a type holds, or without a counterpart in
// the events.
var values = map[string][]string{
	"boolean": {"true"}, "smallint": {"-32768"}, "bigint": {"-9223372036854775808"}, "oid": {"4294967295"},
	"real": {"'NaN'", "'-Infinity'", "1.1754944e-38"}, "float8": {"1e308", "5e-324", "'-0'"}, "money": {"'-92233720368547758.08'"},
	"numeric": {"1e-20", "1e100", "-0.10", "'NaN'", "'-Infinity'"}, "numeric(38,10)": {"1234567890123456789012345678.0123456789"},
	"text":     {"''", `E'\n\r\t\\'`, `E'\u0001\u007f'`, "'__debezium_unavailable_value'", "'null'", "'NULL'", `'\N'`, "'слон 🐘'"},
	"char(10)": {"'a'"}, "name": {"'abc'"}, `"char"`: {"'x'"}, "varchar(3)": {"'abc'"},
	"bytea": {"''", `'\x00ff5c'`}, "uuid": {"'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"},
	"json": {`'{"a":  1, "a": 2}'`, "'null'", "'1e400'"}, "jsonb": {"'null'", `'"x"'`, "'1e400'", `'{"ü": [1.50]}'`}, "xml": {"'<a/>'"},
	"timestamp":   {"'infinity'", "'-infinity'", "'0044-03-15 12:00:00 BC'", "'4713-01-01 BC'", "'1969-12-31 23:59:59.999999'"},
	"timestamptz": {"'infinity'", "'0044-03-15 12:00:00+00 BC'", "'294276-12-31 23:59:59.999999+00'"}, "timestamp(3)": {"'2026-01-02 03:04:05.678'"},
	"date": {"'infinity'", "'-infinity'", "'0044-03-15 BC'", "'5874897-12-31'"},
	"time": {"'24:00:00'", "'00:00:00.000001'"}, "time(3)": {"'01:02:03.004'"}, "timetz": {"'23:59:59.999999+05:30'", "'24:00:00-12'"},
	"interval": {"'1 month'", "'1 year 2 mons 3 days 04:05:06.789'", "'-1 mons +2 days -03:04'", "'0'", "'178000000 years'"},
	"bit(1)":   {"b'1'"}, "bit(9)": {"b'001010101'"}, "varbit": {"b''", "b'0001'"}, "varbit(70)": {"b'1' || repeat('0', 69)::varbit"},
	"inet": {"'::1/64'"}, "cidr": {"'10.0.0.0/8'"}, "macaddr": {"'08:00:2b:01:02:03'"}, "macaddr8": {"'08:00:2b:01:02:03:04:05'"},
	"point": {"'(1.5,-2.5)'", "'(NaN,Infinity)'"}, "box": {"'(1,1),(0,0)'"}, "path": {"'[(0,0),(1,1)]'"}, "circle": {"'<(0,0),1.5>'"},
	"int4range": {"'empty'", "'[1,5)'"}, "numrange": {"'(,1.5]'"}, "tstzrange": {"'[2020-01-01,)'"}, "int8multirange": {"'{[1,3),[5,7)}'"},
	"tsvector": {"'a:1 b:2'"}, "tsquery": {"'a & !b'"}, "pg_lsn": {"'0/1'"}, "oidvector": {"'1 2'"}, "regclass": {"'pg_class'"},
	"int[]":  {"'{}'", "'{{1,2},{3,NULL}}'", "'[2:3]={1,2}'"},
	"text[]": {`'{"",NULL,"NULL"}'`, `array[['a,b', '\"'], [null, '{}']]`}, "varchar(3)[]": {"'{a,NULL}'"}, "char(3)[]": {"'{a,NULL}'"},
	"numeric(6,2)[]": {"'{1.50,NULL,NaN}'"}, "float8[]": {"'{NaN,NULL,Infinity}'"}, "boolean[]": {"'{t,NULL}'"},
	"timestamp[]": {"'{infinity,2020-01-01}'"}, "date[]": {"'{2020-01-01,NULL}'"}, "timetz[]": {"'{10:00+02}'"}, "interval[]": {"'{1 mon,NULL}'"},
	"jsonb[]": {"array['{}'::jsonb, null]"}, "bytea[]": {`array['\x00'::bytea, null]`}, "uuid[]": {"array[null]::uuid[]"}, "inet[]": {"'{10.0.0.1,NULL}'"},
	"money[]": {"'{1.5}'"}, "point[]": {`'{"(1,2)"}'`}, "xml[]": {"array['<a/>'::xml]"}, "varbit(9)[]": {"'{0001,NULL}'"},
	"mood": {"'it''s'"}, "mood[]": {"'{a,NULL}'"}, "amount": {"5"}, "amount[]": {"'{5,NULL}'"}, "label": {"'x'"},
	"citext": {"'Abc'"}, "ltree": {"'a.b.c'"}, "hstore": {`'a=>1, b=>NULL, "c d"=>"\""'`},
}

// TestReplicateTypes: every value arrives as it is, out of a snapshot and out of the stream.
func TestReplicateTypes(t *testing.T) {
	t.Parallel()
	r := newReplication(t)
	extensions := r.source.Text(t, "select coalesce(string_agg(name, ' '), '') from pg_available_extensions where name in ('citext', 'ltree', 'hstore')")
	for name := range strings.FieldsSeq(extensions) {
		r.source.Exec(t, "create extension "+name)
		r.target.Exec(t, "create extension "+name)
	}
	var create, snapshot, streamed strings.Builder
	create.WriteString("create type mood as enum ('a', 'it''s'); create domain amount as int check (value > 0); create domain label as varchar(5);")
	var ids []schema.ID
	for typ, list := range values {
		if missing := typ == "citext" || typ == "ltree" || typ == "hstore"; missing && !strings.Contains(extensions, typ) {
			continue
		}
		id := schema.ID{Schema: "public", Name: "of " + typ}
		ids = append(ids, id)
		fmt.Fprintf(&create, "create table %s (id serial primary key, v %s, w %[2]s);\n", id.Quoted(), typ)
		for _, v := range append(list, "null") {
			fmt.Fprintf(&snapshot, "insert into %s(v) values (%s);\n", id.Quoted(), v)
			fmt.Fprintf(&streamed, "insert into %s(v) values (%s);\n", id.Quoted(), v)
		}
		fmt.Fprintf(&streamed, "update %s set w = v;\n", id.Quoted())
	}
	r.source.Exec(t, create.String()+snapshot.String())
	r.once(t)
	r.equal(t, ids)
	r.source.Exec(t, streamed.String())
	r.once(t, "--clean")
	r.equal(t, ids)
}

// TestReplicateTypesThatCannot: a value that has no place in an event ends the command; a column that the copy cannot
// have is told of.
func TestReplicateTypesThatCannot(t *testing.T) {
	t.Parallel()
	r := newReplication(t)
	r.source.Exec(t, `create table items(id int primary key, n numeric(5,2)); insert into items values (1, 'NaN')`)
	requireWords(t, r.refused(t, 1, "--once"), "public.items.n", "NaN")
	r.source.Exec(t, "update items set n = 1; create type pair as (a int, b text); create table pairs(id int primary key, v pair, n int); insert into pairs values (1, (1, 'x'), 2)")
	p := r.once(t)
	equal(t, r.source, r.target)
	require.Equal(t, "id,n", r.target.Text(t, "select string_agg(attname, ',' order by attnum) from pg_attribute where attrelid = 'pairs'::regclass and attnum > 0"))
	told := p.logged("column is not replicated: its type is not captured")
	require.Len(t, told, 1)
	require.Equal(t, "public.pairs", told[0]["table"])
	require.Equal(t, "v", told[0]["column"])
}
