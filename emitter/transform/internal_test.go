// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
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
