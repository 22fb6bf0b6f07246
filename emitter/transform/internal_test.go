// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

func TestFieldPath(t *testing.T) {
	for _, c := range []struct {
		path string
		want []string
	}{
		{"a", []string{"a"}},
		{"a.b.c", []string{"a", "b", "c"}},
		{"", []string{""}},
		{"a.", []string{"a", ""}},
		{"`a.b`.c", []string{"a.b", "c"}},
		{"a.`b.c`", []string{"a", "b.c"}},
		{"`a`b`.c", []string{"a`b", "c"}},
		{"`a\\`.b`.c", []string{"a`.b", "c"}},
		{"a`b.c", []string{"a`b", "c"}},
	} {
		got, err := fieldPath(c.path)
		require.NoError(t, err, c.path)
		require.Equal(t, c.want, got, c.path)
	}
	for _, path := range []string{"`a", "`a.b", "a.`b", "`a\\`"} {
		_, err := fieldPath(path)
		require.ErrorContains(t, err, "Incomplete backtick pair in path: ["+path+"]")
	}
}

// FuzzFieldPath splits arbitrary paths.
func FuzzFieldPath(f *testing.F) {
	f.Add("a.`b.c`.d")
	f.Add("`a\\`.b`")
	f.Fuzz(func(t *testing.T, path string) {
		if steps, err := fieldPath(path); err == nil && len(steps) == 0 {
			t.Fatalf("%q has no steps", path)
		}
	})
}

func TestCastNarrowsAsJava(t *testing.T) {
	decimal := &schema.Type{Kind: schema.Bytes, Name: schema.Decimal, Params: []schema.Param{{Name: "scale", Value: "2"}}}
	var b change.Batch
	for _, c := range []struct {
		name string
		typ  *schema.Type
		in   change.Value
		to   schema.Kind
		want change.Value
	}{
		{"infinity to long", nil, change.FloatValue(math.Inf(1)), schema.Int64, change.IntValue(math.MaxInt64)},
		{"minus infinity to int", nil, change.FloatValue(math.Inf(-1)), schema.Int32, change.IntValue(math.MinInt32)},
		{"large float to short, by way of int", nil, change.FloatValue(1e20), schema.Int16, change.IntValue(-1)},
		{"half to boolean", nil, change.FloatValue(0.5), schema.Boolean, change.BoolValue(false)},
		{"negative decimal", decimal, b.BytesOf([]byte{0xFE, 0xD3}), schema.Int32, change.IntValue(-3)},
		{"decimal beyond a long", decimal, b.BytesOf([]byte{0x64, 0, 0, 0, 0, 0, 0, 0, 0x64}), schema.Int64, change.IntValue(1)},
		{"text with blanks to double", nil, b.Text(" 1e3d "), schema.Float64, change.FloatValue(1000)},
		{"text too large for a float", nil, b.Text("1e39"), schema.Float32, change.FloatValue(math.Inf(1))},
		{"text infinity", nil, b.Text("-Infinity"), schema.Float64, change.FloatValue(math.Inf(-1))},
		{"text with a sign", nil, b.Text("+7"), schema.Int8, change.IntValue(7)},
	} {
		got, err := castValue(&b, c.typ, c.in, c.to)
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, got, c.name)
	}
	for _, text := range []string{"", "1_0", "0x10", "inf", "nan", "1e", "--1", "1ff", ".", "f"} {
		_, err := castValue(&b, nil, b.Text(text), schema.Float64)
		require.EqualError(t, err, "Value ("+text+") was out of range for requested data type")
	}
	_, err := castValue(&b, nil, b.Text("128"), schema.Int8)
	require.Error(t, err)
	_, err = castValue(&b, nil, change.DateValue(1), schema.String)
	require.ErrorContains(t, err, "java.util.Date")
}

func TestMaskOfADecimalKeepsItsScale(t *testing.T) {
	decimal := &schema.Type{Kind: schema.Bytes, Name: schema.Decimal, Params: []schema.Param{{Name: "scale", Value: "2"}}}
	var b change.Batch
	for replacement, want := range map[string][]byte{"1.5": {0, 0x96}, "-2": {0xFF, 0x38}, "1.234": nil, "x": nil} {
		chain, problems := Parse(map[string]string{"transforms": "m", "transforms.m.type": "MaskField$Value", "transforms.m.fields": "a", "transforms.m.replacement": replacement})
		require.Empty(t, problems)
		m := chain[0].(*step).Transform.(*maskField)
		v, err := m.mask(&b, decimal, b.BytesOf([]byte{1}))
		if want == nil {
			require.Error(t, err, replacement)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want, b.Bytes(v), replacement)
	}
}

func TestCacheForgetsRatherThanGrow(t *testing.T) {
	var c cache[int]
	types := make([]schema.Type, 2*cacheSize)
	for i := range types {
		_, ok := c.get(&types[i])
		require.False(t, ok)
		c.put(&types[i], i)
		got, ok := c.get(&types[i])
		require.True(t, ok)
		require.Equal(t, i, got)
		require.LessOrEqual(t, len(c.known), cacheSize)
	}
}

// The default of a struct has its fields cast, too; Kafka's transform fails on such a schema.
func TestCastOfAStructWithADefault(t *testing.T) {
	typ := &schema.Type{Kind: schema.Struct, Optional: true, Default: []any{int64(7), "x"}, Fields: []schema.Field{
		{Name: "id", Type: &schema.Type{Kind: schema.Int64}},
		{Name: "name", Type: &schema.Type{Kind: schema.String}},
	}}
	s, err := (&cast{fields: []castField{{"id", schema.String}}}).shape(typ)
	require.NoError(t, err)
	require.Equal(t, []any{"7", "x"}, s.out.Default)
	require.Equal(t, []any{int64(7), "x"}, typ.Default)
	require.True(t, s.out.Optional)
}

func TestFlattenTakesDefaultsFromAround(t *testing.T) {
	inner := &schema.Type{Kind: schema.Struct, Optional: true, Default: []any{int64(5)}, Fields: []schema.Field{{Name: "x", Type: &schema.Type{Kind: schema.Int32}}}}
	typ := &schema.Type{Kind: schema.Struct, Fields: []schema.Field{{Name: "in", Type: inner}, {Name: "tags", Type: &schema.Type{Kind: schema.Array, Elem: &schema.Type{Kind: schema.String}}}}}
	f := &flatten{delimiter: "_"}
	var b change.Batch
	row := b.NewRow(2)
	r := &Record{Data: &b, ValueType: typ, Value: b.Run(change.Struct, row)}
	_, err := f.Apply(r)
	require.NoError(t, err)
	require.Equal(t, []schema.Field{
		{Name: "in_x", Type: &schema.Type{Kind: schema.Int32, Optional: true, Default: int64(5)}},
		{Name: "tags", Type: typ.Fields[1].Type},
	}, r.ValueType.Fields)
	require.True(t, b.At(b.RowOf(r.Value), 0).IsNull(), "the struct around it is null")
	clash := &schema.Type{Kind: schema.Struct, Fields: []schema.Field{{Name: "a_x", Type: inner.Fields[0].Type}, {Name: "a", Type: inner}}}
	r = &Record{Data: &b, ValueType: clash, Value: b.Run(change.Struct, b.NewRow(2))}
	_, err = f.Apply(r)
	require.EqualError(t, err, "Cannot create field because of field name duplication a_x")
}

func TestHoistOfANullThatIsRequired(t *testing.T) {
	r := &Record{Data: &change.Batch{}, ValueType: &schema.Type{Kind: schema.Int32}}
	_, err := (&hoistField{field: "magic"}).Apply(r)
	require.EqualError(t, err, `Invalid value: null used for required field: "magic", schema type: INT32`)
}

func TestTimestampConverterConvertsDefaults(t *testing.T) {
	typ := &schema.Type{Kind: schema.Struct, Default: []any{int64(86_400_000)}, Fields: []schema.Field{
		{Name: "at", Type: &schema.Type{Kind: schema.Int64, Optional: true, Default: int64(1)}},
	}}
	made, err := newTimestampConverter(valueSide, parsed(t, &timestampConverterKinds[1].plugin.Def, "field", "at", "target.type", "Date"))
	require.NoError(t, err)
	s, err := made.(*timestampConverter).shape(typ)
	require.NoError(t, err)
	require.Equal(t, []any{int64(1)}, s.out.Default)
	require.Equal(t, &schema.Type{Kind: schema.Int32, Name: schema.ConnectDate, Version: 1, Optional: true}, s.out.Fields[0].Type)
}

// parsed are settings, given as name, value, ...
func parsed(t testing.TB, def *config.Def, settings ...string) config.Values {
	t.Helper()
	raw := map[string]string{}
	for i := 0; i < len(settings); i += 2 {
		raw[settings[i]] = settings[i+1]
	}
	v, problems := def.Parse(raw)
	require.Empty(t, problems)
	return v
}
