// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/internal/mysqlserver"
	"freshet/internal/testdb"
	"freshet/schema"
	"freshet/sinks"
)

// allBytes is every byte once.
var allBytes = func() []byte {
	p := make([]byte, 256)
	for i := range p {
		p[i] = byte(i)
	}
	return p
}()

// mysqlValues are those that the recordings do not have. What is wanted is compared with hex(v) where it begins with 0x, and
// else with v as a text.
var mysqlValues = []typed{
	{"text escapes", kind(schema.String), "", "a\tb\nc\rd\\e\x00\x1a\x08'\"`%_", "a\tb\nc\rd\\e\x00\x1a\x08'\"`%_"},
	{"text that ends in a backslash", kind(schema.String), "", `\`, `\`},
	{"text that looks like an end", kind(schema.String), "", `'); drop table items; -- `, `'); drop table items; -- `},
	{"text of long runes", kind(schema.String), "", "ÄÖÜ߿€‰🎉", "ÄÖÜ߿€‰🎉"},
	{"empty text", kind(schema.String), "", "", ""},
	{"every byte", kind(schema.Bytes), "", allBytes, "0x" + strings.ToUpper(fmt.Sprintf("%x", allBytes))},
	{"no bytes", kind(schema.Bytes), "", []byte{}, "0x"},
	{"least integer", kind(schema.Int64), "", int64(math.MinInt64), "-9223372036854775808"},
	{"greatest integer", kind(schema.Int64), "", int64(math.MaxInt64), "9223372036854775807"},
	{"integer to text", kind(schema.Int32), "varchar(9)", int64(7), "7"},
	{"integer to decimal", kind(schema.Int32), "decimal(9,2)", int64(7), "7.00"},
	{"integer to enum, by name", kind(schema.Int32), "enum('2','1')", int64(1), "1"},
	{"integer to double", kind(schema.Int64), "double", int64(1) << 53, "9.007199254740992e15"},
	{"number text to integer", kind(schema.String), "int", " 12 ", "12"},
	{"number text to decimal", kind(schema.String), "decimal(8,2)", "1.50", "1.50"},
	{"boolean to text", kind(schema.Boolean), "varchar(5)", true, "1"},
	{"boolean to bit", kind(schema.Boolean), "bit(1)", true, "0x1"},
	{"least double", kind(schema.Float64), "", 2.5e-300, "2.5e-300"},
	{"greatest double", kind(schema.Float64), "", math.MaxFloat64, "1.7976931348623157e308"},
	{"double of all digits", kind(schema.Float64), "", 0.30000000000000004, "0.30000000000000004"},
	{"NaN to text", kind(schema.Float64), "varchar(9)", math.NaN(), "NaN"},
	{"whole double to integer", kind(schema.Float64), "int", 3.0, "3"},
	{"decimal of 38 digits", named(schema.Bytes, schema.Decimal, "scale", "2", "connect.decimal.precision", "38"), "", ninesOf(38), "999999999999999999999999999999999999.99"},
	{"decimal of 65 digits", named(schema.Bytes, schema.Decimal, "scale", "30", "connect.decimal.precision", "65"), "", ninesOf(65), strings.Repeat("9", 35) + "." + strings.Repeat("9", 30)},
	{"decimal to text, whole", named(schema.Bytes, schema.Decimal, "scale", "40"), "varchar(90)", ninesOf(80), strings.Repeat("9", 40) + "." + strings.Repeat("9", 40)},
	{"decimal with zeros that the column leaves out", named(schema.Bytes, schema.Decimal, "scale", "3"), "decimal(8,2)", []byte{0x04, 0xd8}, "1.24"},
	{"negative scale", named(schema.Bytes, schema.Decimal, "scale", "-2"), "", []byte{5}, "500"},
	{"variable scale", variable, "", []any{int64(4), []byte{0xff, 0x85}}, "-0.012300000000000000000000000000"},
	{"variable scale to double", variable, "double", []any{int64(1), []byte{15}}, "1.5"},
	{"time of MySQL's range", named(schema.Int64, schema.MicroTime), "", int64(-3020399000000), "-838:59:59.000000"},
	{"time of a day's end", named(schema.Int64, schema.MicroTime), "", int64(86_400_000_000), "24:00:00.000000"},
	{"nanoseconds round", named(schema.Int64, schema.NanoTimestamp), "", int64(1500), "1970-01-01 00:00:00.000002"},
	{"timestamp of year 1000", named(schema.Int64, schema.MicroTimestamp), "", int64(-30610224000000000), "1000-01-01 00:00:00.000000"},
	{"zoned to datetime, in the zone", named(schema.String, schema.ZonedTimestamp), "datetime(3)", "2024-07-01T12:00:00.123Z", "2024-07-01 14:00:00.123"},
	{"zoned to text", named(schema.String, schema.ZonedTimestamp), "varchar(40)", "2024-07-01T12:00:00+02:00", "2024-07-01T12:00:00+02:00"},
	{"zoned with an offset", named(schema.String, schema.ZonedTimestamp), "", "2024-07-01T12:00:00.5+02:00", "2024-07-01 10:00:00.500000"},
	{"zoned time to time", named(schema.String, schema.ZonedTime), "time", "23:30:00Z", "00:30:00"},
	{"date", named(schema.Int32, schema.Date), "", int64(-719162), "0001-01-01"},
	{"year", named(schema.Int32, schema.Year), "", int64(0), "0000"},
	{"long bits", named(schema.Bytes, schema.Bits, "length", "70"), "", []byte{1, 0, 0, 0, 0, 0, 0, 0, 0x20}, "1" + strings.Repeat("0", 68) + "1"},
	{"64 bits", named(schema.Bytes, schema.Bits, "length", "64"), "", []byte{1, 0, 0, 0, 0, 0, 0, 0x80}, "0x8000000000000001"},
	{"bits to bytes", named(schema.Bytes, schema.Bits, "length", "12"), "varbinary(2)", []byte{0x55, 5}, "0x5505"},
	{"enum with a quote", named(schema.String, schema.Enum, "allowed", `it's,b\,c`), "", "it's", "it's"},
	{"enum without values", named(schema.String, schema.Enum), "", "x", "x"},
	{"array of texts", arrayOf(kind(schema.String)), "", []any{"a'\"\\", nil}, `["a'\"\\", null]`},
	{"array of decimals", arrayOf(named(schema.Bytes, schema.Decimal, "scale", "1")), "", []any{[]byte{15}}, `[1.5]`},
	{"map", mapOf(kind(schema.Int32)), "", []any{"k", int64(1)}, `{"k": 1}`},
	{"struct", structOf("", fieldOf("t", schema.String), fieldOf("n", schema.Int32)), "", []any{"x\n", nil}, `{"n": null, "t": "x\n"}`},
	{
		"geometry of PostGIS", structOf(schema.Geometry, fieldOf("wkb", schema.Bytes), fieldOf("srid", schema.Int32)), "",
		[]any{append([]byte{1, 1, 0, 0, 0x20, 0xe6, 0x10, 0, 0}, make([]byte, 16)...), int64(0)},
		"0x000000000101000000" + strings.Repeat("00", 16),
	},
	{"null", kind(schema.String), "", nil, "NULL"},
}

// ninesOf is 10^n-1, as the bytes of a Decimal.
func ninesOf(n int) []byte {
	p := []byte{0}
	for range n {
		carry := 9
		for i := len(p) - 1; i >= 0; i-- {
			v := int(p[i])*10 + carry
			p[i], carry = byte(v), v>>8
		}
		p = append([]byte{byte(carry)}, p...)
	}
	return p
}

// TestMySQLValues writes each value alone and among many.
func TestMySQLValues(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		for i, c := range mysqlValues {
			t.Run(c.name, func(t *testing.T) {
				table := fmt.Sprint("v", i)
				if c.column != "" {
					script(t, s, fmt.Sprintf("create table %s(id bigint primary key, v %s)", table, c.column))
				}
				f := newFeed(table, 1, required("id", schema.Int64), schema.Field{Name: "v", Type: c.typ})
				w := open(t, mysqlUpsert(s, "use.time.zone", "Europe/Berlin"), nil)
				write(t, w, func(b *sinks.Batch) { f.change(b, change.Create, int64(0), c.value) })
				write(t, w, func(b *sinks.Batch) {
					for k := range int64(20) {
						f.change(b, change.Create, 1000+k, c.value)
					}
				})
				require.NoError(t, w.Close(t.Context()))
				shown := "cast(v as char)"
				if strings.HasPrefix(c.want, "0x") {
					shown = "concat('0x', hex(v))"
				}
				want := c.want
				if s.Kind == mysqlserver.MariaDB && (strings.HasPrefix(want, "[") || strings.HasPrefix(want, "{")) {
					shown = "replace(json_compact(v), ',', ', ')" // json is a text there, kept as it came
					want = strings.NewReplacer(`": `, `":`).Replace(want)
					if c.name == "struct" {
						want = `{"t":"x\u000a", "n":null}`
					}
				}
				require.Equal(t, [][]string{{want, "21"}}, s.Rows(t, "select "+shown+", count(*) from "+table+" group by 1"))
			})
		}
	})
}

func TestMySQLValuesThatDoNotFitAreRefused(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		for i, c := range []typed{
			{"text to integer", kind(schema.String), "int", "text", "Incorrect integer value: 'text' for column"},
			{"text that would be rounded", kind(schema.String), "int", "12.7", `value 12.7 has more decimals than column "v" of type int`},
			{"decimal that would be rounded", named(schema.Bytes, schema.Decimal, "scale", "3"), "decimal(8,2)", []byte{0x04, 0xd7}, `value 1.239 has more decimals than column "v" of type decimal(8,2) keeps`},
			{"decimal of too many digits", named(schema.Bytes, schema.Decimal, "scale", "0"), "decimal(8,2)", ninesOf(70), "Out of range value"},
			{"double that would be rounded", kind(schema.Float64), "decimal(8,2)", 1.234, "value 1.234 has more decimals"},
			{"integer that would be rounded", kind(schema.Int64), "float", int64(1<<24 + 1), "of type float would round 16777217"},
			{"overflow", kind(schema.Int32), "smallint", int64(70000), "Out of range value"},
			{"negative into unsigned", kind(schema.Int32), "int unsigned", int64(-1), "Out of range value"},
			{"too long", kind(schema.String), "varchar(3)", "long", "Data too long for column 'v'"},
			{"too many bytes", kind(schema.Bytes), "varbinary(3)", []byte{1, 2, 3, 4}, "Data too long for column 'v'"},
			{"text that the charset lacks", kind(schema.String), "varchar(9) character set latin1", "🎉", "Incorrect string value"},
			{"no value of the enum", kind(schema.String), "enum('a')", "b", "Data truncated for column 'v'"},
			{"empty text to enum", kind(schema.String), "enum('a')", "", "Data truncated for column 'v'"},
			{"no JSON", named(schema.String, schema.JSON), "", "{", ""},
			{"infinity", kind(schema.Float64), "", math.Inf(-1), `column "v" of type double has no value -Infinity`},
			{"NaN to decimal", kind(schema.Float32), "decimal(8,2)", math.NaN(), `column "v" of type decimal(8,2) has no value NaN`},
			{"infinite timestamp", named(schema.Int64, schema.MicroTimestamp), "", int64(9223372036825200000), "Incorrect datetime value: '+294247-01-10 04:00:25.2"},
			{"infinite date", named(schema.Int32, schema.Date), "", int64(-2147472692), "Incorrect date value: '-5877611-"},
			{"year before Christ", named(schema.Int64, schema.Timestamp), "", int64(-62198755200000), "Incorrect datetime value: '-0001-01-01 00:00:00'"},
			{"time beyond the range", named(schema.Int64, schema.MicroTime), "", int64(3020400000000), "Incorrect time value: '839:00:00'"},
			{"timestamp beyond 2038", named(schema.String, schema.ZonedTimestamp), "", "2040-01-01T00:00:00Z", "Incorrect datetime value: '2040-01-01 00:00:00'"},
			{"year beyond the range", named(schema.Int32, schema.Year), "", int64(2156), "Out of range value"},
			{"no geometry", structOf(schema.Geometry, fieldOf("wkb", schema.Bytes)), "", []any{[]byte{1, 99, 0, 0, 0}}, "Cannot get geometry object"},
			{"a null", kind(schema.String), "varchar(3) not null", nil, "Column 'v' cannot be null"},
		} {
			t.Run(c.name, func(t *testing.T) {
				table := fmt.Sprint("v", i)
				if c.column != "" {
					script(t, s, fmt.Sprintf("create table %s(id bigint primary key, v %s)", table, c.column))
				}
				f := newFeed(table, 1, required("id", schema.Int64), schema.Field{Name: "v", Type: c.typ})
				w := open(t, mysqlUpsert(s), nil)
				e := refused(t, w, func(b *sinks.Batch) { f.change(b, change.Create, int64(1), c.value) })
				require.ErrorContains(t, e, c.want)
				// Among rows that are fine it is the one that is named.
				if strings.Contains(c.column, "not null") {
					return
				}
				e = refused(t, w, func(b *sinks.Batch) {
					for k := range int64(many) {
						f.change(b, change.Create, k, nil)
					}
					f.change(b, change.Create, int64(7777), c.value)
					f.change(b, change.Create, int64(8888), nil)
				})
				require.Equal(t, many, e.Index, "%v", e)
				require.Contains(t, e.Key, "7777")
				require.Equal(t, "0", s.Text(t, "select count(*) from "+table))
			})
		}
	})
}

// Keys of every type find their row again: they are compared exactly.
func TestMySQLKeysFindTheirRows(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		for i, c := range []struct {
			name   string
			typ    *schema.Type
			column string
			values [2]any // alike, but for a conversion to another type
		}{
			{"bigint", kind(schema.Int64), "bigint", [2]any{int64(1<<53 + 1), int64(1 << 53)}},
			{"decimal", named(schema.Bytes, schema.Decimal, "scale", "2"), "decimal(38,2)", [2]any{ninesOf(38), ninesOf(37)}},
			{"text of digits", kind(schema.String), "varchar(40) collate utf8mb4_bin", [2]any{"1", "1.0"}},
			{"bytes", kind(schema.Bytes), "varbinary(9)", [2]any{[]byte{0, 'a'}, []byte{0, 'A'}}},
			{"double", kind(schema.Float64), "double", [2]any{0.30000000000000004, 0.3}},
			{"datetime", named(schema.Int64, schema.MicroTimestamp), "datetime(6)", [2]any{int64(1), int64(2)}},
			{"zoned", named(schema.String, schema.ZonedTimestamp), "timestamp(6)", [2]any{"2024-07-01T12:00:00.000001Z", "2024-07-01T12:00:00.000002Z"}},
			{"time", named(schema.Int64, schema.MicroTime), "time(6)", [2]any{int64(-1), int64(1)}},
			{"date", named(schema.Int32, schema.Date), "date", [2]any{int64(1), int64(2)}},
			{"bits", named(schema.Bytes, schema.Bits, "length", "16"), "bit(16)", [2]any{[]byte{1, 0}, []byte{0, 1}}},
			{"boolean", kind(schema.Boolean), "boolean", [2]any{true, false}},
			{"enum", named(schema.String, schema.Enum), "enum('a','b')", [2]any{"a", "b"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				for _, composite := range []bool{false, true} {
					table := fmt.Sprintf("k%d_%t", i, composite)
					fields := []schema.Field{{Name: "k", Type: c.typ}, required("second", schema.Int32), fieldOf("v", schema.String), fieldOf("w", schema.String)}
					key, nkeys := "k, second", 2
					if !composite {
						fields[1] = fieldOf("second", schema.Int32)
						key, nkeys = "k", 1
					}
					script(t, s, fmt.Sprintf("create table %s(k %s, second int, v text, w text, primary key(%s))", table, c.column, key))
					f := newFeed(table, nkeys, fields...)
					w := open(t, mysqlUpsert(s), nil)
					write(t, w, func(b *sinks.Batch) {
						f.change(b, change.Create, c.values[0], int64(1), "first", "w")
						f.change(b, change.Create, c.values[1], int64(1), "second", "w")
					})
					write(t, w, func(b *sinks.Batch) { f.change(b, change.Update, c.values[1], int64(1), "patched", unknown) })
					write(t, w, func(b *sinks.Batch) { f.change(b, change.Delete, c.values[0], int64(1)) })
					require.Equal(t, "1 patched w", rows(t, s, "select second, v, w from "+table))
				}
			})
		}
	})
}
