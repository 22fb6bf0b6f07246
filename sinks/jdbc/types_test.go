// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/internal/testdb"
	"freshet/schema"
	"freshet/sinks"
)

// typed is a value of a type, the column it goes into, and what the server then shows.
type typed struct {
	name   string
	typ    *schema.Type
	column string // "" for the one that the sink creates
	value  any
	want   string
}

func kind(k schema.Kind) *schema.Type { return &schema.Type{Kind: k, Optional: true} }

func named(k schema.Kind, name string, params ...string) *schema.Type {
	t := &schema.Type{Kind: k, Name: name, Optional: true}
	for i := 0; i < len(params); i += 2 {
		t.Params = append(t.Params, schema.Param{Name: params[i], Value: params[i+1]})
	}
	return t
}

func arrayOf(t *schema.Type) *schema.Type {
	return &schema.Type{Kind: schema.Array, Elem: t, Optional: true}
}

func mapOf(v *schema.Type) *schema.Type {
	return &schema.Type{Kind: schema.Map, Key: &schema.Type{Kind: schema.String}, Elem: v, Optional: true}
}

func structOf(name string, fields ...schema.Field) *schema.Type {
	return &schema.Type{Kind: schema.Struct, Name: name, Optional: true, Fields: fields}
}

const sourceType = "__debezium.source.column.type"

var variable = structOf(schema.VariableScaleDecimal, required("scale", schema.Int32), required("value", schema.Bytes))

// values are those that the recordings do not have: casts to existing columns, edges, escapes.
var values = []typed{
	{"text escapes", kind(schema.String), "", "a\tb\nc\rd\\e\x08\x0b\x0c'\"", "a\tb\nc\rd\\e\x08\x0b\x0c'\""},
	{"text that looks like a null", kind(schema.String), "", `\N`, `\N`},
	{"empty text", kind(schema.String), "", "", ""},
	{"text to enum", named(schema.String, schema.Enum, "allowed", `a,b`), "mood", "sad", "sad"},
	{"plain text to enum", kind(schema.String), "mood", "sad", "sad"},
	{"text to jsonb", kind(schema.String), "jsonb", `{"b":1,"a":"\\n"}`, `{"a": "\\n", "b": 1}`},
	{"text to inet", kind(schema.String), "inet", "10.0.0.1", "10.0.0.1/32"},
	{"text to citext", named(schema.String, "", sourceType, "CITEXT"), "", "Ab", "Ab"},
	{"text to a domain", kind(schema.String), "short", "abc", "abc"},
	{"int to a domain", kind(schema.Int32), "positive", int64(5), "5"},
	{"int to text", kind(schema.Int32), "text", int64(-5), "-5"},
	{"int to numeric", kind(schema.Int64), "numeric(20,2)", int64(7), "7.00"},
	{"bool to text", kind(schema.Boolean), "text", true, "true"},
	{"bool to bit", named(schema.Boolean, "", sourceType, "BIT"), "", true, "1"},
	{"float", kind(schema.Float64), "", 1e-7, "1e-07"},
	{"float to numeric", kind(schema.Float64), "numeric", 0.1, "0.1"},
	{"NaN", kind(schema.Float64), "", math.NaN(), "NaN"},
	{"NaN to numeric", kind(schema.Float64), "numeric(8,2)", math.NaN(), "NaN"},
	{"infinity to real", kind(schema.Float32), "real", math.Inf(-1), "-Infinity"},
	{"float32", kind(schema.Float32), "", float64(float32(0.1)), "0.1"},
	{"bytes", kind(schema.Bytes), "", []byte("\\\x00\n"), `\x5c000a`},
	{"decimal", named(schema.Bytes, schema.Decimal, "scale", "4", "connect.decimal.precision", "10"), "", []byte{0xff, 0x85}, "-0.0123"},
	{"decimal without digits before the point", named(schema.Bytes, schema.Decimal, "scale", "3", "connect.decimal.precision", "10"), "", []byte{5}, "0.005"},
	{"decimal of scale 0", named(schema.Bytes, schema.Decimal, "scale", "0", "connect.decimal.precision", "10"), "bigint", []byte{7}, "7"},
	{"decimal with zeros that the column has no room for", named(schema.Bytes, schema.Decimal, "scale", "3"), "numeric(8,2)", []byte{0x04, 0xce}, "1.23"},
	{"decimal of negative scale", named(schema.Bytes, schema.Decimal, "scale", "-3"), "", []byte{12}, "12000"},
	{"large decimal", named(schema.Bytes, schema.Decimal, "scale", "2"), "", []byte{0xff, 0, 0, 0, 0, 0, 0, 0, 0, 1}, "-47223664828696452136.95"},
	{"variable decimal", variable, "", []any{int64(-2), []byte{0xfb}}, "-500"},
	{"date BC", named(schema.Int32, schema.Date), "", int64(-719163 - 365), "0001-01-01 BC"},
	{"infinite date", named(schema.Int32, schema.Date), "", int64(-2147472692), "infinity"},
	{"far date", named(schema.Int32, schema.Date), "", int64(2000000), "7445-10-25"},
	{"end of day", named(schema.Int64, schema.MicroTime), "", int64(86400000000), "24:00:00"},
	{"time beyond a day to interval", named(schema.Int64, schema.MicroTime), "interval", int64(-361815123456), "-100:30:15.123456"},
	{"timestamp BC", named(schema.Int64, schema.MicroTimestamp), "", int64(-62135596800000001), "0001-12-31 23:59:59.999999 BC"},
	{"timestamp in ms to timestamptz", named(schema.Int64, schema.Timestamp), "timestamptz", int64(1500), "1970-01-01 00:00:01.5+00"},
	{"infinite timestamp in ms", named(schema.Int64, schema.Timestamp), "", int64(-9223372036832400000), "-infinity"},
	{"zoned to a column without zone", named(schema.String, schema.ZonedTimestamp), "timestamp", "2024-05-06T05:08:09.123+02:00", "2024-05-06 03:08:09.123"},
	{"zoned BC", named(schema.String, schema.ZonedTimestamp), "", "-0043-03-15T12:00:00Z", "0044-03-15 12:00:00+00 BC"},
	{"zoned year 0", named(schema.String, schema.ZonedTimestamp), "", "0000-03-15T12:00:00Z", "0001-03-15 12:00:00+00 BC"},
	{"zoned far", named(schema.String, schema.ZonedTimestamp), "", "+12345-03-15T12:00:00Z", "12345-03-15 12:00:00+00"},
	{"zoned infinity", named(schema.String, schema.ZonedTimestamp), "", "-infinity", "-infinity"},
	{"duration to bigint", named(schema.Int64, schema.MicroDuration), "bigint", int64(1500000), "1500000"},
	{"iso interval to interval", named(schema.String, schema.Interval), "interval", "P1Y2M3DT4H5M6.7S", "1 year 2 mons 3 days 04:05:06.7"},
	{"bits", named(schema.Bytes, schema.Bits, "length", "12"), "", []byte{0x55, 0x05}, "010101010101"},
	{"bits shorter than the column", named(schema.Bytes, schema.Bits, "length", "12"), "", []byte{0x05}, "000000000101"},
	{"varying bits", named(schema.Bytes, schema.Bits, "length", "2147483647"), "", []byte{0x0c}, "1100"},
	{"array of texts", arrayOf(kind(schema.String)), "", []any{"a", `q"\`, nil, "NULL", "", "x,y", "{}"}, `{a,"q\"\\",NULL,"NULL","","x,y","{}"}`},
	{"array of arrays", arrayOf(arrayOf(kind(schema.Int32))), "", []any{[]any{int64(1), int64(2)}, []any{int64(3), nil}}, "{{1,2},{3,NULL}}"},
	{"array of decimals", arrayOf(named(schema.Bytes, schema.Decimal, "scale", "1", "connect.decimal.precision", "4")), "", []any{[]byte{15}, nil}, "{1.5,NULL}"},
	{"array of timestamps", arrayOf(named(schema.Int64, schema.MicroTimestamp)), "", []any{int64(0)}, `{"1970-01-01 00:00:00"}`},
	{"array of bytes", arrayOf(kind(schema.Bytes)), "", []any{[]byte{0, 255}}, `{"\\x00ff"}`},
	{"array of booleans", arrayOf(kind(schema.Boolean)), "", []any{true, false}, "{t,f}"},
	{"array of network addresses", &schema.Type{Kind: schema.Array, Optional: true, Elem: kind(schema.String), Params: []schema.Param{{Name: sourceType, Value: "_INET"}}}, "", []any{"10.0.0.1"}, "{10.0.0.1}"},
	{"array to jsonb", arrayOf(kind(schema.Int32)), "jsonb", []any{int64(1), nil}, "[1, null]"},
	{"empty array", arrayOf(kind(schema.Int32)), "", []any{}, "{}"},
	{"map", mapOf(kind(schema.String)), "", []any{`k"`, `v\`, "n", nil}, `"n"=>"null", "k\""=>"v\\"`},
	{"map to jsonb", mapOf(kind(schema.Int32)), "jsonb", []any{"k", int64(1), "n", nil}, `{"k": 1, "n": null}`},
	{"json to hstore", named(schema.String, schema.JSON, sourceType, "HSTORE"), "", `{"a":"1","b":null}`, `"a"=>"1", "b"=>NULL`},
	{
		"struct", structOf("", fieldOf("t", schema.String), fieldOf("n", schema.Int32), fieldOf("f", schema.Float64), schema.Field{Name: "a", Type: arrayOf(kind(schema.Boolean))}),
		"",
		[]any{"x\"\n\x01", nil, 1.5, []any{true}},
		`{"t":"x\"\u000a\u0001","n":null,"f":1.5,"a":[true]}`,
	},
	{
		"point", structOf(schema.Point, required("x", schema.Float64), required("y", schema.Float64), fieldOf("wkb", schema.Bytes), fieldOf("srid", schema.Int32)),
		"",
		[]any{1.5, -2.0, nil, nil},
		"(1.5,-2)",
	},
	{"null", kind(schema.String), "", nil, "NULL"},
}

// TestValuesAreTheSameOnEveryWay writes each value alone, straight by COPY and through a staging table.
func TestValuesAreTheSameOnEveryWay(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `create extension hstore; create extension citext; create type mood as enum ('sad', 'ok');
		create domain short as varchar(5); create domain positive as int check (value > 0)`)
	for i, c := range values {
		t.Run(c.name, func(t *testing.T) {
			table := fmt.Sprint("v", i)
			if c.column != "" {
				s.Exec(t, fmt.Sprintf("create table %s(id bigint primary key, v %s)", table, c.column))
			}
			f := newFeed(table, 1, required("id", schema.Int64), schema.Field{Name: "v", Type: c.typ})
			w := open(t, upsert(s), nil)
			write(t, w, func(b *sinks.Batch) { f.change(b, change.Create, int64(0), c.value) })
			for way, op := range map[int64]change.Op{1000: change.Create, 2000: change.Update} {
				write(t, w, func(b *sinks.Batch) {
					for k := range int64(400) {
						f.change(b, op, way+k, c.value)
					}
				})
			}
			require.NoError(t, w.Close(t.Context()))
			require.Equal(t, [][]string{{c.want, "801"}}, s.Rows(t, "select v::text, count(*)::text from "+table+" group by 1"))
		})
	}
}

func TestValuesThatDoNotFitAreRefused(t *testing.T) {
	for i, c := range []typed{
		{"text to integer", kind(schema.String), "integer", "12", `column "v" is of type integer but expression is of type character varying`},
		{"text to numeric", kind(schema.String), "numeric(8,2)", "12", `column "v" is of type numeric but expression is of type character varying`},
		{"array to integer", arrayOf(kind(schema.Int32)), "integer", []any{int64(1)}, `column "v" is of type integer but expression is of type array`},
		{"time beyond a day", named(schema.Int64, schema.MicroTime), "", int64(-361815123456), "Invalid value for NanoOfDay (valid values 0 - 86399999999999): -361815123456000"},
		{"decimal that would be rounded", named(schema.Bytes, schema.Decimal, "scale", "3"), "numeric(8,2)", []byte{0x04, 0xd7}, `value 1.239 has more decimals than column "v" of type numeric(8,2) keeps`},
		{"NaN to integer", kind(schema.Float64), "integer", math.NaN(), "invalid input syntax for type integer"},
		{"infinity to numeric with a precision", kind(schema.Float64), "numeric(8,2)", math.Inf(1), "numeric"},
		{"timestamp out of range", named(schema.Int64, schema.Timestamp), "", int64(1 << 60), "is out of range"},
		{"json to hstore", named(schema.String, schema.JSON, sourceType, "HSTORE"), "", `[1]`, "hstore: not a JSON object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachSize(t, func(t *testing.T, n int) {
				s := testdb.Postgres(t)
				s.Exec(t, "create extension hstore")
				table := fmt.Sprint("v", i)
				if c.column != "" {
					s.Exec(t, fmt.Sprintf("create table %s(id bigint primary key, v %s)", table, c.column))
				}
				f := newFeed(table, 1, required("id", schema.Int64), schema.Field{Name: "v", Type: c.typ})
				e := refused(t, open(t, upsert(s), nil), func(b *sinks.Batch) {
					for k := range n {
						f.change(b, change.Create, int64(k), c.value)
					}
				})
				require.Equal(t, 0, e.Index)
				require.ErrorContains(t, e, c.want)
			})
		})
	}
}

// TestOddNames: names are quoted wherever they stand, in DDL, statements, COPY and staging tables.
func TestOddNames(t *testing.T) {
	for _, name := range []string{`a"b`, `select`, `Mixed Case`, `naïve-ünïcode`, `tab	new
line`, `$1`, `x'; drop table t; --`, strings.Repeat("x", 63), strings.Repeat("ü", 31), `\`, `.`} {
		t.Run(name, func(t *testing.T) {
			eachSize(t, func(t *testing.T, n int) {
				s := testdb.Postgres(t)
				f := newFeed("t", 1, required("id"+name[:min(len(name), 40)], schema.Int64), fieldOf(name, schema.String))
				w := open(t, upsert(s, "quote.identifiers", "true", "collection.name.format", strings.ReplaceAll(name, ".", "dot")), nil)
				for _, op := range []change.Op{change.Create, change.Update, change.Update, change.Delete} {
					write(t, w, func(b *sinks.Batch) {
						for i := range n {
							f.change(b, op, int64(i), "v")
						}
						f.change(b, change.Create, int64(n), "kept")
					})
				}
				table := s.Text(t, "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'")
				require.Equal(t, strings.ReplaceAll(name, ".", "dot"), table)
				require.Equal(t, "kept", s.Text(t, "select "+schema.QuoteName(name)+" from "+schema.QuoteName(table)))
				require.NoError(t, w.Close(t.Context()))
			})
		})
	}
}

func TestNamesThatTheServerWouldCutAreRefused(t *testing.T) {
	s := testdb.Postgres(t)
	f := newFeed(strings.Repeat("x", 64), 1, required("id", schema.Int64))
	e := refused(t, open(t, upsert(s), nil), func(b *sinks.Batch) { f.change(b, change.Create, int64(1)) })
	require.ErrorContains(t, e, "is longer than 63 bytes: give a shorter one by collection.name.format")

	f = newFeed("t", 1, required("id", schema.Int64), fieldOf(strings.Repeat("x", 64), schema.String))
	e = refused(t, open(t, upsert(s), nil), func(b *sinks.Batch) { f.change(b, change.Create, int64(1)) })
	require.ErrorContains(t, e, "is longer than 63 bytes: rename or exclude the field")
}
