// SPDX-License-Identifier: Apache-2.0

package java_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/change/java"
	"freshet/schema"
	"freshet/test/notation"
)

func TestAppendHeaderOfAKey(t *testing.T) {
	var b change.Batch
	key := &schema.Type{Kind: schema.Struct, Fields: []schema.Field{
		{Name: "id", Type: &schema.Type{Kind: schema.Int64}},
		{Name: `k"`, Type: &schema.Type{Kind: schema.String}},
		{Name: "n", Type: &schema.Type{Kind: schema.Int32, Optional: true, Default: int64(3)}},
	}}
	v := notation.Run(&b, change.Struct, []change.Value{change.IntValue(1), b.Text(`key "1" \ é😀`), change.NullValue()})
	got, ok := java.AppendHeader(nil, key, &b, v)
	require.True(t, ok)
	require.Equal(t, `{"id":1,"k\"":"key \"1\" \\ é😀","n":3}`, string(got))
}

func TestAppendHeaderForms(t *testing.T) {
	var b change.Batch
	date, timestamp := &schema.Type{Kind: schema.Int32, Name: schema.ConnectDate}, &schema.Type{Kind: schema.Int64, Name: schema.ConnectTimestamp}
	double := &schema.Type{Kind: schema.Float64}
	for _, c := range []struct {
		typ  *schema.Type
		v    change.Value
		want string
	}{
		{date, change.IntValue(19000), "2022-01-08"},
		{date, change.IntValue(0), "00:00:00.000Z"}, // the first day is told as a time
		{timestamp, change.IntValue(86_400_001), "1970-01-02T00:00:00.001Z"},
		{double, change.FloatValue(1e10), "1.0E10"},
		{double, notation.Run(&b, change.Array, []change.Value{change.NullValue()}), "[null]"},
		{nil, change.FloatValue(0.5), "0.5"},
		{&schema.Type{Kind: schema.Int32, Optional: true, Default: int64(4)}, change.NullValue(), "4"},
	} {
		got, ok := java.AppendHeader(nil, c.typ, &b, c.v)
		require.True(t, ok)
		require.Equal(t, c.want, string(got))
	}
	_, ok := java.AppendHeader(nil, date, &b, change.NullValue())
	require.False(t, ok)
}

func TestParseHeader(t *testing.T) {
	for _, c := range []struct {
		in   string
		kind schema.Kind
		want string
	}{
		{" true ", schema.Boolean, "bool true"},
		{"null,", schema.String, `text "null,"`},
		{"1e30", schema.Float32, "float 1.0000000150474662e+30"},
		{"1e400", schema.Bytes, "bytes 01"},
		{"12345678901234567890.5", schema.Float32, "float 1.2345679395506094e+19"},
		{"+7", schema.Int8, "int 7"},
		{"1-2", schema.String, `text "1-2"`},
		{"1e", schema.String, `text "1e"`},
		{".5", schema.String, `text ".5"`},
		{"2020-01-02", schema.Int32, "int 18263"},
		{"2020-01-02T03:04:05.678Z", schema.Int64, "int 1577934245678"},
		{"1234567890", schema.Int32, "int 1234567890"},
		{"[1,\"a\"]", schema.Array, `8{int 1; text "a"}`},
		{"[null]", schema.Array, "8{null}"},
		{"[1.5,9223372036854775807]", schema.Array, "8{float 1.5; float 9.223372036854776e+18}"},
		{"{\"a\":1,\"b\":null}", schema.String, `text "{\"a\":1,\"b\":null}"`},
		{"{null:1}", schema.String, `text "{null:1}"`},
		{"\xff", schema.Bytes, "bytes ff"},
	} {
		var b change.Batch
		typ, v := java.ParseHeader([]byte(c.in), &b)
		require.Equal(t, c.kind, typ.Kind, c.in)
		require.Equal(t, c.want, notation.Render(&b, v), c.in)
	}
	var b change.Batch
	typ, v := java.ParseHeader(nil, &b)
	require.Nil(t, typ)
	require.True(t, v.IsNull())
	typ, _ = java.ParseHeader([]byte("1e400"), &b)
	scale, _ := typ.Param("scale")
	require.Equal(t, "-400", scale)
}

func TestGoldenSimpleHeaderWrite(t *testing.T) {
	for i, c := range notation.Cases(t, "simple-header-write.jsonl") {
		t.Run(fmt.Sprintf("%d %s", i, c.Value), func(t *testing.T) {
			var b change.Batch
			typ := notation.Type(t, c.Schema)
			got, ok := java.AppendHeader([]byte("x"), typ, &b, notation.Value(t, &b, typ, c.Value))
			want := c.Out.Bytes(t)
			require.Equal(t, want != nil, ok)
			require.Equal(t, "x"+string(want), string(got))
		})
	}
}

func TestGoldenSimpleHeaderRead(t *testing.T) {
	for i, c := range notation.Cases(t, "simple-header-read.jsonl") {
		in := c.In.Bytes(t)
		t.Run(fmt.Sprintf("%d %s", i, in), func(t *testing.T) {
			var b change.Batch
			typ, v := java.ParseHeader(in, &b)
			if c.Error != nil { // the text null, on which the original fails
				require.Equal(t, "null", string(in))
				require.Nil(t, typ)
				require.True(t, v.IsNull())
				return
			}
			want := notation.Type(t, c.Schema)
			require.Equal(t, want, typ)
			require.Equal(t, notation.Render(&b, notation.Value(t, &b, want, c.Value)), notation.Render(&b, v))
		})
	}
}

// FuzzParseHeader guesses at arbitrary texts; the guess has a text of its own.
func FuzzParseHeader(f *testing.F) {
	for _, c := range notation.Cases(f, "simple-header-read.jsonl") {
		f.Add(c.In.Bytes(f))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var b change.Batch
		typ, v := java.ParseHeader(text, &b)
		if _, ok := java.AppendHeader(nil, typ, &b, v); ok != !v.IsNull() {
			t.Fatalf("%q has no text", text)
		}
	})
}
