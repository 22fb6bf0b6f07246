// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
)

// commonValues are the types that fill tables; decoding them must not allocate.
var commonValues = []struct {
	name   string
	typ    any
	typmod int32
	option string
	text   string
}{
	{"bool", "bool", -1, "", "t"},
	{"int4", "int4", -1, "", "-2147483648"},
	{"int8", "int8", -1, "", "9223372036854775807"},
	{"float8", "float8", -1, "", "0.30000000000000004"},
	{"text", "text", -1, "", "some text of a usual length"},
	{"uuid", "uuid", -1, "", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
	{"jsonb", "jsonb", -1, "", `{"a": [1, 2.50, null], "b": "é"}`},
	{"bytea", "bytea", -1, "", `\x00ff10fb5c`},
	{"bytea base64", "bytea", -1, "binary=base64", `\x00ff10fb5c`},
	{"bytea hex", "bytea", -1, "binary=hex", `\x00ff10fb5c`},
	{"numeric(10,2)", "numeric", numericTypmod(10, 2), "", "-99999999.99"},
	{"numeric(38,10)", "numeric", numericTypmod(38, 10), "", "1234567890123456789012345678.1234567890"},
	{"numeric", "numeric", -1, "", "10.1111"},
	{"numeric string", "numeric", numericTypmod(10, 2), "decimal=string", "7.5"},
	{"numeric double", "numeric", numericTypmod(10, 2), "decimal=double", "7.50"},
	{"money", "money", -1, "", "-$1,234.56"},
	{"date", "date", -1, "", "2026-01-02"},
	{"time", "time", -1, "", "03:04:05.678901"},
	{"timestamp", "timestamp", -1, "", "2026-01-02 03:04:05.678901"},
	{"timestamp iso", "timestamp", -1, "time=isostring", "2026-01-02 03:04:05.678901"},
	{"timestamptz", "timestamptz", -1, "", "2026-01-02 03:04:05.678901+00"},
	{"timetz", "timetz", -1, "", "03:04:05.678901+02"},
	{"interval", "interval", -1, "", "1 year 2 mons 3 days 04:05:06.78"},
	{"interval string", "interval", -1, "interval=string", "1 year 2 mons 3 days 04:05:06.78"},
	{"enum", moodOID, -1, "", "ok"},
	{"bits", "bit", 24, "", "000000110000001000000001"},
	{"point", "point", -1, "", "(1.5,-2)"},
	{"hstore json", hstoreOID, -1, "", `"key"=>"val", "k 2"=>NULL, "q\"x"=>"y\\z"`},
	{"hstore map", hstoreOID, -1, "hstore=map", `"key"=>"val", "k 2"=>NULL, "q\"x"=>"y\\z"`},
	{"int4 array", "int4[]", -1, "", "{1,NULL,3}"},
	{"text array", "text[]", -1, "", `{a,"",NULL,"with \"q\", comma"}`},
	{"numeric array", "numeric[]", -1, "", "{1.10,200,NULL}"},
	{"vector", vectorOID, -1, "", "[1,2.5,-3]"},
}

func TestDecodeAllocatesNothing(t *testing.T) {
	for _, test := range commonValues {
		t.Run(test.name, func(t *testing.T) {
			codec := mustCodec(t, ColumnInfo{TypeOID: typeOID(t, test.typ), Typmod: test.typmod}, optionsWith(t, test.option))
			text := []byte(test.text)
			b := newWarmBatch()
			require.Zero(t, testing.AllocsPerRun(100, func() {
				b.Reset()
				if _, err := codec.Decode(b, text); err != nil {
					t.Fatal(err)
				}
			}))
		})
	}
}

// newWarmBatch is a batch whose slabs have grown.
func newWarmBatch() *change.Batch {
	b := &change.Batch{Arena: make([]byte, 0, 4096)}
	b.NewRow(256)
	b.Reset()
	return b
}

func BenchmarkDecode(b *testing.B) {
	for _, test := range commonValues {
		b.Run(strings.ReplaceAll(test.name, " ", "_"), func(b *testing.B) {
			codec := mustCodec(b, ColumnInfo{TypeOID: typeOID(b, test.typ), Typmod: test.typmod}, optionsWith(b, test.option))
			text := []byte(test.text)
			batch := newWarmBatch()
			b.ReportAllocs()
			for b.Loop() {
				batch.Reset()
				if _, err := codec.Decode(batch, text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
