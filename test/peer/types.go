// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// prelude makes what the types need.
const prelude = `create extension if not exists hstore;
create extension if not exists citext;
create extension if not exists ltree;
create schema if not exists "S 2";
create type mood as enum ('sad', 'ok', 'very happy', 'x,y');
create type pair as (a int, b text);
create domain d_int as int;
create domain d_num as numeric(8,3) check (value > -1000);
create domain d_text as varchar(7);
create domain d_time as timestamp(3);
create domain d_deep as d_int;
`

// kind is a type and values of it, as SQL expressions.
type kind struct {
	sql    string
	values []string
	// key makes the n-th value of a key, each another; nil for types that are no keys here.
	key func(n int) string
}

// words are texts that somebody will get wrong.
var words = []string{
	`'a'`, `''`, `'it''s'`, `'Grüße'`, `'日本'`, `'a"b'`, `'back\slash'`, `E'tab\tline\nend'`, `'😀'`, `' x '`, `E'\u0001'`, `E'\u2028'`, `'null'`, `'{"a":1}'`,
}

func text(sql string, most int) kind {
	k := kind{sql: sql}
	for _, w := range words {
		if len([]rune(w))-2 <= most || most == 0 {
			k.values = append(k.values, w)
		}
	}
	return k
}

func of(sql string, values ...string) kind {
	k := kind{sql: sql}
	for _, v := range values {
		k.values = append(k.values, "'"+strings.ReplaceAll(v, "'", "''")+"'")
	}
	return k
}

func (k kind) keyed(format string) kind {
	k.key = func(n int) string { return fmt.Sprintf(format, n) }
	return k
}

// toast is a text that does not fit into a row: the same for the same n.
func toast(n int) string {
	return fmt.Sprintf("(select string_agg(md5((i*%d)::text), '') from generate_series(1,300) i)", n+1)
}

var (
	day   = []string{"1970-01-01", "2024-02-29", "1969-12-31", "1900-01-01", "9999-12-31", "1583-01-01", "infinity", "-infinity"}
	clock = []string{"00:00:00", "23:59:59.999999", "12:34:56.789012", "00:00:00.5", "01:02:03", "24:00:00", "23:59:59.9999"}
)

func moments(zone string) []string {
	out := []string{"infinity", "-infinity", "12000-01-01 00:00:00" + zone}
	for i, d := range day[:6] {
		for j, c := range clock {
			if (i+j)%3 == 0 && c != "24:00:00" {
				out = append(out, d+" "+c+zone)
			}
		}
	}
	return out
}

// kinds are the types of columns.
var kinds = []kind{
	of("boolean", "t", "f"),
	of("bit(1)", "1", "0"),
	of("bit(5)", "10101", "00000", "11111"),
	of("bit(16)", "1010101010101010", "0000000000000001"),
	of("bit varying(9)", "1", "101010101", ""),
	of("bit varying", "1", "1010101011111", ""),
	of("smallint", "0", "-32768", "32767").keyed("%d"),
	of("integer", "0", "-2147483648", "2147483647", "42").keyed("%d"),
	of("bigint", "0", "-9223372036854775808", "9223372036854775807", "42").keyed("%d"),
	of("oid", "0", "4294967295", "1"),
	of("real", "0", "-0", "1.5", "1e10", "1.17549e-38", "3.4028235e38", "0.1", "123456.79", "16777216", "NaN", "Infinity", "1e-45"),
	of("double precision", "0", "-0", "1.5", "1e10", "1e7", "9999999", "0.001", "0.0001", "5e-324", "1.7976931348623157e308", "0.1", "123456789.123", "NaN", "-Infinity", "2e-3", "1e23"),
	of("numeric(10,2)", "0", "-0.01", "12345678.99", "1e3", "0.10", "-99999999.99"),
	of("numeric(38,0)", "0", "12345678901234567890123456789012345678", "-1", "1e30").keyed("%d"),
	of("numeric(3,3)", "0.999", "-0.001", "0"),
	of("numeric(40,20)", "0", "12345678901234567890.12345678901234567890", "-1e-20"),
	of("numeric", "0", "1e20", "-1.500", "0.000001", "123456789012345678901234567890.123456789", "1e-30", "100", "0.00"),
	of("money", "12.34", "-1000.00", "0", "92233720368547758.07"),
	text("char(1)", 1), text("char(5)", 5), text("varchar(3)", 3), text("varchar(40)", 40).keyed("'k%d'"), text("varchar", 0),
	text("text", 0).keyed("'k%d'"), text("citext", 0), text("character varying(1000)", 0), text(`"char"`, 1),
	of("bytea", `\x`, `\x00ff10`, `\xdeadbeef`, `\x5c27`),
	of("json", `{"a": 1, "b":[1,2]}`, `"str"`, `null`, `[]`, `{"u":"\u00e4","z":1.10}`, `  {"dup":1,"dup":2} `),
	of("jsonb", `{"a": 1, "b":[1,2]}`, `"str"`, `null`, `[]`, `{"u":"\u00e4","z":1.10}`, `{"b":1,"aa":2,"c":1e3}`),
	of("xml", "<a>1</a>", `<?xml version="1.0"?><b x="y"/>`, "text"),
	of("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000").keyed("'00000000-0000-0000-0000-%012d'"),
	of("inet", "192.168.0.1/24", "::1", "10.0.0.1", "2001:db8::/32", "0.0.0.0/0"), of("cidr", "192.168.0.0/24", "::/0", "10.1.2.3/32"),
	of("macaddr", "08:00:2b:01:02:03", "ffffffffffff"), of("macaddr8", "08:00:2b:01:02:03:04:05", "0800.2b01.0203"),
	of("int4range", "[1,10)", "empty", "(,5]", "(3,)"), of("int8range", "[1,10]", "empty"), of("numrange", "[1.5,2.50)", "(,)", "(0,0.1]"),
	of("tsrange", "[2024-01-01 00:00,2024-02-01 00:00:00.5)", "empty", "(,2024-01-01]"),
	of("tstzrange", "[2024-01-01 00:00+02,2024-02-01 00:00+00)", "empty", "[2024-01-01 00:00+00,infinity)"),
	of("daterange", "[2024-01-01,2024-02-01]", "empty", "(,2024-01-01)"),
	of("date", day...).keyed("date '2020-01-01' + %d"),
	of("time", clock...), of("time(0)", clock...), of("time(3)", clock...), of("time(6)", clock...),
	of("timestamp", moments("")...).keyed("timestamp '2020-01-01' + interval '1 s' * %d"), of("timestamp(0)", moments("")...), of("timestamp(3)", moments("")...), of("timestamp(6)", moments("")...),
	of("timestamptz", moments("+02")...).keyed("timestamptz '2020-01-01 00:00+00' + interval '1 s' * %d"), of("timestamptz(0)", moments("-05:30")...), of("timestamptz(3)", moments("+00")...),
	of("timetz", "10:00:00+05:30", "23:59:59.999999-12", "00:00:00.000001+15:59", "24:00:00+00", "12:00:00.5+00"), of("timetz(0)", "10:00:00+05:30", "23:59:59+00"), of("timetz(3)", "10:00:00.5+05:30", "23:59:59.999-07"),
	of("interval", "1 year 2 mons 3 days 04:05:06.789", "-1 mon +3 days -00:00:01", "0", "1 day", "-00:00:00.000001", "25:00:00", "100 years", "-13 mons"),
	of("interval(0)", "1 year 2 mons 3 days 04:05:06.789", "00:00:00.5"), of("interval year to month", "14 mons", "0"),
	of("point", "(1,2.5)", "(-0,1e10)", "(0,0)", "(NaN,Infinity)", "(1e-7,123456789)"),
	of("tsvector", "a:1 b:2", "'quoted word':3A", ""), of("ltree", "Top.Science", "a", ""),
	of("hstore", `a=>1, b=>NULL, "c d"=>"x\"y"`, "", `a=>""`, `"ü"=>"\\"`),
	of("mood", "sad", "ok", "very happy", "x,y"), of("d_int", "0", "-5"), of("d_num", "1.5", "-999.999", "0"), of("d_text", "abc", ""), of("d_time", "2024-01-01 10:00:00.1234"), of("d_deep", "7"),
	of("pair", "(1,x)", "(,)"), of("box", "(1,1),(0,0)"), of("circle", "<(1,2),3>"), of("line", "{1,-1,0}"), of("lseg", "[(0,0),(1,1)]"), of("path", "[(0,0),(1,1)]", "((0,0),(1,1))"), of("polygon", "((0,0),(1,1),(2,0))"),
	of("tsquery", "a & b"), of("pg_lsn", "0/16B3748"), of("int4multirange", "{[1,3),[5,7)}", "{}"), of("pair[]", "{}"), of("jsonpath", "$.a"), of("txid_snapshot", "10:20:10,14"), of("regtype", "integer"),
	of("integer[]", "{1,2,NULL}", "{}", "{{1,2},{3,4}}", "{-2147483648}"), of("smallint[]", "{1,NULL}"), of("bigint[]", "{9223372036854775807}", "{}"),
	of("text[]", `{a,"b c",NULL,"NULL","q\"x",""}`, "{}", `{"ü","\\\\","{}"}`), of("varchar(5)[]", "{a,b}", "{}"), of("char(3)[]", "{a,bcd}"), of("citext[]", "{A,b}"),
	of("boolean[]", "{t,f,NULL}"), of("real[]", "{1.5,NaN,-0}"), of("double precision[]", "{1e10,0.1,Infinity}"), of("numeric[]", "{1.5,2,NULL}"), of("numeric(10,2)[]", "{1.5,-0.01}"),
	of("date[]", "{2024-01-01,NULL}"), of("timestamp[]", `{"2024-01-01 10:00:00.123456"}`), of("timestamp(3)[]", `{"2024-01-01 10:00:00.123"}`), of("timestamptz[]", `{"2024-01-01 10:00:00+02"}`), of("time[]", "{10:00:00.5,NULL}"), of("timetz[]", "{10:00:00+02}"),
	of("uuid[]", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"), of("json[]", `{"{\"a\": 1}",NULL}`), of("jsonb[]", `{"{\"a\": 1}"}`), of("bytea[]", `{"\\x00ff"}`), of("inet[]", "{10.0.0.1/8}"), of("cidr[]", "{10.0.0.0/8}"), of("macaddr[]", "{08:00:2b:01:02:03}"),
	of("mood[]", `{sad,"very happy"}`, "{}"), of("int4range[]", `{"[1,3)"}`), of("tsrange[]", `{"[2024-01-01,2024-01-02)"}`), of("hstore[]", `{"a=>1"}`), of("ltree[]", "{a.b,c}"), of("oid[]", "{1}"), of("interval[]", `{"1 day"}`), of("d_int[]", "{1,2}"), of("money[]", "{1.5}"), of("xml[]", "{<a/>}"), of("point[]", `{"(1,2)"}`),
}

// pick is one of a list.
func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

// chance is true in p of a hundred cases.
func chance(r *rand.Rand, p int) bool { return r.IntN(100) < p }

// settings are the properties that vary, with the values that they may have besides the default.
var settings = []struct {
	name   string
	values []string
}{
	{"decimal.handling.mode", []string{"double", "string"}},
	{"time.precision.mode", []string{"adaptive_time_microseconds", "connect", "isostring", "microseconds", "nanoseconds"}},
	{"binary.handling.mode", []string{"base64", "base64-url-safe", "hex"}},
	{"hstore.handling.mode", []string{"map"}},
	{"interval.handling.mode", []string{"string"}},
	{"include.unknown.datatypes", []string{"true"}},
	{"tombstones.on.delete", []string{"false"}},
	{"skipped.operations", []string{"none", "u", "d", "t,d"}},
	{"publication.autocreate.mode", []string{"filtered"}},
	{"publish.via.partition.root", []string{"true"}},
	{"snapshot.mode", []string{"no_data"}},
	{"schema.name.adjustment.mode", []string{"avro", "avro_unicode"}},
	{"field.name.adjustment.mode", []string{"avro", "avro_unicode"}},
	{"unavailable.value.placeholder", []string{"missing"}},
	{"money.fraction.digits", []string{"0", "4"}},
	{"value.converter.schemas.enable", []string{"false"}},
	{"key.converter.schemas.enable", []string{"false"}},
	{"replica.identity.autoset.values", []string{"public.*:FULL", "public.t0:FULL,public.t1:NOTHING"}},
	{"skip.messages.without.change", []string{"true"}},
	{"extended.headers.enabled", []string{"false"}},
	{"message.key.columns", []string{"public.t0:k", "public.t1:c0,c1"}},
	{"column.exclude.list", []string{`public.t.*\.c[13]`}},
	{"column.include.list", []string{`public.t.*\.(k|k2|c[0-5]),public.zz_mark.id,S 2.*\.(k|k2|c.)`}},
	{"table.exclude.list", []string{`public.t1`}},
	{"column.truncate.to.3.chars", []string{`public.t.*\.c[024]`}},
	{"column.mask.with.4.chars", []string{`public.t.*\.c[25]`}},
	{"column.mask.hash.SHA-256.with.salt.s", []string{`public.t.*\.c[136]`}},
	{"column.mask.hash.v2.MD5.with.salt.s", []string{`public.t.*\.c[17]`}},
	{"column.propagate.source.type", []string{".*", `public.t.*\.c[03]`}},
	{"datatype.propagate.source.type", []string{`.*\.(varchar|numeric|_?int4)`}},
}
