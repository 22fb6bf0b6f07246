// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks"
)

func decimal(scale string, params ...string) *schema.Type {
	return named(schema.Bytes, schema.Decimal, append([]string{"scale", scale}, params...)...)
}

// sqliteValues are edges, and values in columns of other affinities. What is wanted is as quote() shows it, or a part of the
// refusal where it begins with "!".
var sqliteValues = []typed{
	{"empty text", kind(schema.String), "", "", "''"},
	{"text with a NUL", kind(schema.String), "", "a\x00b", "61 00 62"},
	{"no bytes", kind(schema.Bytes), "", []byte{}, "X''"},
	{"text that looks like a number", kind(schema.String), "", "007", "'007'"},
	{"number to text", kind(schema.Int64), "TEXT", int64(-5), "'-5'"},
	{"number to VARCHAR", kind(schema.Int64), "VARCHAR(3)", int64(math.MinInt64), "'-9223372036854775808'"},
	{"number to REAL", kind(schema.Int64), "REAL", int64(1 << 53), "9007199254740992.0"},
	{"large number to REAL", kind(schema.Int64), "REAL", int64(1<<53 + 1), "!9007199254740993 would change in column"},
	{"boolean to text", kind(schema.Boolean), "TEXT", true, "'true'"},
	{"boolean to a number", kind(schema.Boolean), "INT", true, "1"},
	{"infinity", kind(schema.Float64), "", math.Inf(-1), "-9.0e+999"},
	{"NaN", kind(schema.Float64), "", math.NaN(), "!cannot hold NaN"},
	{"NaN to text", kind(schema.Float64), "TEXT", math.NaN(), "'NaN'"},
	{"NaN to a column without type", kind(schema.Float64), " ", math.NaN(), "'NaN'"},
	{"float to text", kind(schema.Float64), "TEXT", 0.1, "'0.1'"},
	{"minus zero", kind(schema.Float64), "", math.Copysign(0, -1), "0.0"},
	{"whole float to NUMERIC", kind(schema.Float64), "NUMERIC", 5.0, "5"},
	{"decimal", decimal("2"), "", []byte{110}, "'1.10'"},
	{"decimal of negative scale", decimal("-3"), "", []byte{12}, "'12000'"},
	{"decimal to DECIMAL", decimal("2"), "DECIMAL(10,2)", []byte{110}, "1.1"},
	{"whole decimal to DECIMAL", decimal("2"), "DECIMAL(10,2)", []byte{100}, "1"},
	{"decimal of many digits to DECIMAL", decimal("2"), "DECIMAL(38,2)", []byte{0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "!92233720368547758.07 would change"},
	{"large whole decimal to DECIMAL", decimal("0"), "DECIMAL(38)", []byte{1, 0, 0, 0, 0, 0, 0, 0, 0}, "!18446744073709551616 would change"},
	{"decimal to INTEGER", decimal("1"), "INTEGER", []byte{15}, "!1.5 would change"},
	{"whole decimal to INTEGER", decimal("1"), "INTEGER", []byte{20}, "2"},
	{"decimal to a column without type", decimal("2"), " ", []byte{110}, "'1.10'"},
	{"decimal of 18 digits and no decimals", decimal("0", "connect.decimal.precision", "18"), "", []byte{0x0d, 0xe0, 0xb6, 0xb3, 0xa7, 0x63, 0xff, 0xff}, "999999999999999999"},
	{"text to NUMERIC", kind(schema.String), "NUMERIC", "a1", "'a1'"},
	{"whole number as a text to NUMERIC", kind(schema.String), "NUMERIC", "-12", "-12"},
	{"number with zeros as a text to NUMERIC", kind(schema.String), "NUMERIC", "1.10", `!"1.10" would change`},
	{"number of JSON in a column declared JSON", named(schema.String, schema.JSON), "JSON", "1e3", `!"1e3" would change`},
	{"JSON in a column declared JSON", named(schema.String, schema.JSON), "JSON", `{"a":1.10}`, `'{"a":1.10}'`},
	{"uuid in a column declared UUID", named(schema.String, schema.UUID), "UUID", "00000000-0000-0000-0000-000000000001", "'00000000-0000-0000-0000-000000000001'"},
	{"bytes to INTEGER", kind(schema.Bytes), "INTEGER", []byte("12"), "X'3132'"},
	{"date to INTEGER", named(schema.Int32, schema.Date), "INTEGER", int64(0), "!makes numbers of texts"},
	{"date to DATETIME", named(schema.Int32, schema.Date), "DATETIME", int64(0), "'1970-01-01'"},
	{"date BC", named(schema.Int32, schema.Date), "", int64(-719163 - 366), "'-0001-12-31'"},
	{"infinite date", named(schema.Int32, schema.Date), "", int64(-2147472692), "'infinity'"},
	{"timestamp of ns", named(schema.Int64, schema.NanoTimestamp), "", int64(-1), "'1969-12-31 23:59:59.999999999'"},
	{"infinite timestamp in ms", named(schema.Int64, schema.Timestamp), "", int64(-9223372036832400000), "'-infinity'"},
	{"timestamp out of range", named(schema.Int64, schema.Timestamp), "", int64(1 << 60), "!is out of range"},
	{"time beyond a day", named(schema.Int64, schema.MicroTime), "", int64(-361815123456), "'-100:30:15.123456'"},
	{"zoned", named(schema.String, schema.ZonedTimestamp), "", "2024-05-06T05:08:09.5+02:00", "'2024-05-06 03:08:09.500000+00:00'"},
	{"zoned infinity", named(schema.String, schema.ZonedTimestamp), "", "infinity", "'infinity'"},
	{"zoned far", named(schema.String, schema.ZonedTimestamp), "", "+12345-03-15T12:00:00Z", "'+12345-03-15T12:00:00Z'"},
	{"bits", named(schema.Bytes, schema.Bits, "length", "12"), "", []byte{0x05}, "'000000000101'"},
	{"varying bits", named(schema.Bytes, schema.Bits, "length", "2147483647"), "", []byte{0x0c}, "'1100'"},
	{"array of arrays", arrayOf(arrayOf(kind(schema.Int32))), "", []any{[]any{int64(1), nil}, []any{}}, "'[[1,null],[]]'"},
	{"null", kind(schema.String), "", nil, "NULL"},
}

// TestSQLiteValues writes each value alone and in statements of many rows.
func TestSQLiteValues(t *testing.T) {
	file := newSQLite(t, "")
	for i, c := range sqliteValues {
		t.Run(c.name, func(t *testing.T) {
			table := fmt.Sprint("v", i)
			if c.column != "" {
				file.exec(t, fmt.Sprintf("CREATE TABLE %s (id INTEGER PRIMARY KEY, v %s)", table, c.column))
			}
			f := newFeed(table, 1, required("id", schema.Int64), schema.Field{Name: "v", Type: c.typ})
			w := open(t, file.upsert(), nil)
			rows := func(b *sinks.Batch) {
				for k := range int64(100) {
					f.change(b, change.Create, k, c.value)
				}
			}
			if c.want[0] == '!' {
				e := refused(t, w, rows)
				require.Equal(t, 0, e.Index)
				require.ErrorContains(t, e, c.want[1:])
			} else {
				write(t, w, rows)
				write(t, w, func(b *sinks.Batch) { f.change(b, change.Create, int64(100), c.value) })
				show := "quote(v)"
				if c.name == "text with a NUL" { // quote() and others end there
					show = "substr(hex(v), 1, 2) || ' ' || substr(hex(v), 3, 2) || ' ' || substr(hex(v), 5)"
				}
				require.Equal(t, c.want+" 101", file.show(t, "SELECT "+show+", count(*) FROM "+table+" GROUP BY 1"))
			}
			require.NoError(t, w.Close(t.Context()))
		})
	}
}

func TestSQLiteUpdateMode(t *testing.T) {
	eachSize(t, func(t *testing.T, n int) {
		file := newSQLite(t, "")
		file.exec(t, itemsTable+"; INSERT INTO items (id, v) VALUES (0, 'old'), (1, 'old')")
		w := open(t, file.upsert("insert.mode", "update"), nil)
		f := items()
		write(t, w, func(b *sinks.Batch) {
			for i := range n {
				f.change(b, change.Update, int64(i), "new", int64(1))
			}
			f.change(b, change.Delete, int64(0))
		})
		require.NoError(t, w.Close(t.Context()))
		require.Equal(t, "1 new 1", file.show(t, "SELECT * FROM items"))
	})
}
