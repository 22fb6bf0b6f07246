// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/schema"
)

// fuzzTypes are the columns that FuzzDecodeText feeds: every type and mode of the table test.
func fuzzTypes(t testing.TB) []Codec {
	t.Helper()
	var codecs []Codec
	seen := map[[3]any]bool{}
	for _, test := range decodeTests {
		id := [3]any{test.typ, test.typmod, test.option}
		if !seen[id] {
			seen[id] = true
			codecs = append(codecs, mustCodec(t, ColumnInfo{TypeOID: typeOID(t, test.typ), Typmod: test.typmod}, optionsWith(t, test.option)))
		}
	}
	return codecs
}

// FuzzDecodeText: whatever the text, a decoder gives an error or a value of its type, touches nothing that the batch holds
// already, and leaves the text alone.
func FuzzDecodeText(f *testing.F) {
	for _, test := range decodeTests {
		f.Add([]byte(test.text))
	}
	codecs := fuzzTypes(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, codec := range codecs {
			b := &change.Batch{}
			before := b.Text("before")
			row := b.NewRow(1)
			b.Set(row, 0, before)
			input := bytes.Clone(text)
			v, err := codec.Decode(b, input)
			require.Equal(t, text, input, "the text was written to")
			require.Equal(t, "before", b.String(b.At(row, 0)))
			if err == nil {
				requireOfType(t, b, v, codec.Type)
			}
		}
	})
}

// requireOfType checks that a value can be what its schema says.
func requireOfType(t *testing.T, b *change.Batch, v change.Value, typ *schema.Type) {
	t.Helper()
	if v.IsNull() {
		require.True(t, typ.Optional, "null in a required %s", typ.Kind)
		return
	}
	kinds := map[schema.Kind]change.Kind{
		schema.Boolean: change.Bool, schema.Int16: change.Int, schema.Int32: change.Int, schema.Int64: change.Int,
		schema.Float32: change.Float, schema.Float64: change.Float, schema.String: change.Text, schema.Bytes: change.Bytes,
		schema.Array: change.Array, schema.Map: change.Map, schema.Struct: change.Struct,
	}
	require.Equal(t, kinds[typ.Kind], v.Kind(), "a value of schema type %s", typ.Kind)
	switch typ.Kind {
	case schema.Int16:
		require.Equal(t, v.Int(), int64(int16(v.Int())))
	case schema.Int32:
		require.Equal(t, v.Int(), int64(int32(v.Int())))
	case schema.Array:
		for _, e := range b.Elems(v) {
			requireOfType(t, b, e, typ.Elem)
		}
	case schema.Map:
		for i, e := range b.Elems(v) {
			requireOfType(t, b, e, []*schema.Type{typ.Key, typ.Elem}[i%2])
		}
	case schema.Struct:
		require.Len(t, b.Elems(v), len(typ.Fields))
		for i, e := range b.Elems(v) {
			requireOfType(t, b, e, typ.Fields[i].Type)
		}
	case schema.Bytes:
		if typ.Name == schema.Decimal {
			require.NotEmpty(t, b.Bytes(v))
		}
	}
}

// FuzzDefault: whatever the expression, the default is of the column's type.
func FuzzDefault(f *testing.F) {
	for _, expr := range []string{"42", "'it''s'::text", "nextval('sq'::regclass)", "(1 + 1)", "NULL::int", "CURRENT_DATE", "'", "''::", "('a'"} {
		f.Add(expr)
	}
	types := []any{"bool", "int4", "float8", "text", "numeric", "date", "timestamptz", "interval", "uuid", moodOID}
	f.Fuzz(func(t *testing.T, expr string) {
		for _, typ := range types {
			c := ColumnInfo{TypeOID: typeOID(t, typ), Typmod: -1, HasDefault: true, Default: expr}
			codec := mustCodec(t, c, defaultOptions())
			if codec.Type.Default == nil {
				continue
			}
			var b change.Batch
			v := b.AppendLiteral(codec.Type.Default, codec.Type)
			require.False(t, v.IsNull(), "default %v of the wrong Go type", codec.Type.Default)
			requireOfType(t, &b, v, codec.Type)
		}
	})
}
