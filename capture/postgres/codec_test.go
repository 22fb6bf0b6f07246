// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/schema"
)

func TestHstoreOrder(t *testing.T) {
	// More than twelve entries make a Java HashMap of 32 buckets, and collisions keep the order of the text.
	codec := mustCodec(t, ColumnInfo{TypeOID: hstoreOID, Typmod: -1}, defaultOptions())
	for text, want := range map[string]string{
		`"Aa"=>"1", "BB"=>"2", "C#"=>"3"`: `{"Aa":"1","BB":"2","C#":"3"}`,
		`"😀"=>"1", "b"=>"2", "a"=>"3"`:    `{"a":"3","b":"2","😀":"1"}`,
		`"a"=>"", "b"=>"", "c"=>"", "d"=>"", "e"=>"", "f"=>"", "g"=>"", "h"=>"", "i"=>"", "j"=>"", "k"=>"", "p"=>""`:          `{"p":"","a":"","b":"","c":"","d":"","e":"","f":"","g":"","h":"","i":"","j":"","k":""}`,
		`"a"=>"", "b"=>"", "c"=>"", "d"=>"", "e"=>"", "f"=>"", "g"=>"", "h"=>"", "i"=>"", "j"=>"", "k"=>"", "p"=>"", "@"=>""`: `{"@":"","a":"","b":"","c":"","d":"","e":"","f":"","g":"","h":"","i":"","j":"","k":"","p":""}`,
	} {
		var b change.Batch
		v, err := codec.Decode(&b, []byte(text))
		require.NoError(t, err)
		require.Equal(t, want, b.String(v))
	}
	require.Equal(t, uint32(16), hashMapSize(12))
	require.Equal(t, uint32(32), hashMapSize(13))
	require.Equal(t, uint32(128), hashMapSize(96))
	require.Equal(t, uint32(1772899), javaHash([]byte("😀")))
	require.Equal(t, uint32(2112), javaHash([]byte("Aa")))
}

func TestErrorsLeaveLongValuesOut(t *testing.T) {
	codec := mustCodec(t, ColumnInfo{TypeOID: 1700, Typmod: -1}, defaultOptions())
	var b change.Batch
	_, err := codec.Decode(&b, []byte("NaN"))
	require.EqualError(t, err, `decode numeric value "NaN": decimal.handling.mode precise cannot hold it, double and string can`)
	_, err = codec.Decode(&b, []byte(strings.Repeat("secret", 20)))
	require.EqualError(t, err, "decode numeric value of 120 bytes: it is not a number")
}

func TestLeftOutColumns(t *testing.T) {
	r := testRegistry()
	for _, test := range []struct {
		typ      any
		included bool // with include.unknown.datatypes
	}{
		{"pg_lsn", true},
		{"int4multirange", true},
		{"line", true},
		{compOID, true},
		{fakeHstoreOID, true},
		{userNumericOID, true},
		{posintArrayOID, true},
		{"pg_lsn[]", true},
		{"tsvector[]", true},
		{"box[]", true},
		{999999, true},
		{"money[]", false},
		{"name[]", false},
		{"interval[]", false},
		{"varbit[]", false},
		{"xml[]", false},
		{"point[]", false},
	} {
		c := ColumnInfo{TypeOID: typeOID(t, test.typ), Typmod: -1}
		o := defaultOptions()
		_, ok := r.Codec(c, o)
		require.False(t, ok, "%v", test.typ)
		o.IncludeUnknown = true
		_, ok = r.Codec(c, o)
		require.Equal(t, test.included, ok, "%v", test.typ)
	}
	require.True(t, r.Known(23))
	require.False(t, r.Known(999999))
}

func TestOptional(t *testing.T) {
	for _, test := range []struct {
		typ      any
		notNull  bool
		optional bool
	}{
		{"int4", false, true}, {"int4", true, false}, {dtxtOID, false, false}, {geometryOID, true, true}, {geographyOID, true, false},
	} {
		codec := mustCodec(t, ColumnInfo{TypeOID: typeOID(t, test.typ), Typmod: -1, NotNull: test.notNull}, defaultOptions())
		require.Equal(t, test.optional, codec.Type.Optional, "%v", test.typ)
	}
}

func TestFallback(t *testing.T) {
	for _, test := range []struct {
		typ    any
		typmod int32
		option string
		want   any
	}{
		{"int4", -1, "", int64(0)},
		{"float8", -1, "", 0.0},
		{"bool", -1, "", false},
		{"bit", 1, "", false},
		{"bit", 8, "", []byte{}},
		{"text", -1, "", ""},
		{"uuid", -1, "", ""},
		{moodOID, -1, "", ""},
		{"bytea", -1, "", []byte{}},
		{"bytea", -1, "binary=base64", ""},
		{"timestamp", -1, "time=nanoseconds", int64(0)},
		{"timestamptz", -1, "", "1970-01-01T00:00:00Z"},
		{"timetz", -1, "", "00:00:00Z"},
		{"date", -1, "time=isostring", "1970-01-01Z"},
		{"time", -1, "time=isostring", "00:00:00Z"},
		{"timestamp", -1, "time=isostring", "1970-01-01T00:00:00Z"},
		{"interval", -1, "", int64(0)},
		{"interval", -1, "interval=string", "P0Y0M0DT0H0M0S"},
		{"numeric", numericTypmod(10, 2), "", []byte{0}},
		{"numeric", -1, "", []any{int64(0), []byte{0}}},
		{"numeric", -1, "decimal=double", 0.0},
		{"numeric", numericTypmod(10, 2), "decimal=string", "0.00"},
		{"numeric", -1, "decimal=string", "0"},
		{"money", -1, "decimal=string", "0.00"},
		{"int4[]", -1, "", []any{}},
		{hstoreOID, -1, "", "{}"},
		{hstoreOID, -1, "hstore=map", []any{}},
		{vectorOID, -1, "", []any{}},
		{geographyOID, -1, "", []any{[]byte{1, 7, 0, 0, 0, 0, 0, 0, 0}, nil}},
		{sparsevecOID, -1, "", []any{int64(0), []any{}}},
	} {
		codec := mustCodec(t, ColumnInfo{TypeOID: typeOID(t, test.typ), Typmod: test.typmod, NotNull: true}, optionsWith(t, test.option))
		require.Equal(t, test.want, codec.Fallback, "%v %s", test.typ, test.option)
		require.NotPanics(t, func() { literal(codec.Fallback, codec.Type) })
		require.NotNil(t, codec.Unavailable, "%v %s: a required column must have something to emit", test.typ, test.option)
		require.NotPanics(t, func() { literal(codec.Unavailable, codec.Type) })
	}
}

func TestUnavailable(t *testing.T) {
	const text = "__debezium_unavailable_value"
	bytesOf := []byte(text)
	numbers := placeholderInts(bytesOf)
	for _, test := range []struct {
		typ      any
		option   string
		optional any // of a nullable column, as recorded
		required any // of a NOT NULL column
	}{
		{"text", "", text, text},
		{"jsonb", "", text, text},
		{"tstzrange", "", text, text},
		{"bytea", "", bytesOf, bytesOf},
		{"bytea", "binary=hex", text, text},
		{"bytea", "binary=base64", nil, text},
		{"text[]", "", []any{text}, []any{text}},
		{"bpchar[]", "", []any{text}, []any{text}},
		{"bytea[]", "", []any{bytesOf}, []any{bytesOf}},
		{"bytea[]", "binary=hex", nil, []any{text}},
		{"int4[]", "", numbers, numbers},
		{"int8[]", "", numbers, numbers},
		{"date[]", "", numbers, numbers},
		{"date[]", "time=isostring", nil, []any{text}},
		{"uuid[]", "", []any{"b68a35a7-17ad-35b3-af2a-ae46edb4545a"}, []any{"b68a35a7-17ad-35b3-af2a-ae46edb4545a"}},
		{hstoreOID, "", `{"` + text + `":"` + text + `"}`, `{"` + text + `":"` + text + `"}`},
		{hstoreOID, "hstore=map", []any{text, text}, []any{text, text}},
		{"numeric", "decimal=string", text, text},
		{"numeric", "", nil, []any{int64(0), bytesOf}},
		{"numeric[]", "", nil, []any{[]any{int64(0), bytesOf}}},
		{"int2[]", "", nil, numbers},
		{"bool[]", "", nil, []any{}},
		{geographyOID, "", nil, []any{bytesOf, nil}},
		{sparsevecOID, "", nil, []any{int64(0), []any{}}},
		{moodArrayOID, "", nil, []any{text}},
		{"int4", "", nil, int64(0)},
	} {
		c := ColumnInfo{TypeOID: typeOID(t, test.typ), Typmod: -1}
		o := optionsWith(t, test.option)
		require.Equal(t, test.optional, mustCodec(t, c, o).Unavailable, "%v %s", test.typ, test.option)
		c.NotNull = true
		required := mustCodec(t, c, o)
		require.Equal(t, test.required, required.Unavailable, "%v %s", test.typ, test.option)
		require.NotPanics(t, func() { literal(required.Unavailable, required.Type) })
	}

	double := mustCodec(t, ColumnInfo{TypeOID: 1700, Typmod: -1, NotNull: true}, optionsWith(t, "decimal=double"))
	require.True(t, math.IsNaN(double.Unavailable.(float64)))

	o := defaultOptions()
	o.Placeholder = []byte{0, 0xc0, 0xff, 0xee}
	require.Equal(t, "\x00\ufffd\ufffd\ufffd", mustCodec(t, ColumnInfo{TypeOID: 25, Typmod: -1}, o).Unavailable)
	require.Equal(t, []any{int64(0), int64(-64), int64(-1), int64(-18)}, mustCodec(t, ColumnInfo{TypeOID: 1007, Typmod: -1}, o).Unavailable)
}

func TestSaturatedValuesAreCounted(t *testing.T) {
	r := testRegistry()
	o := optionsWith(t, "decimal=double")
	var b change.Batch
	for _, test := range []struct {
		typ, text string
		want      int64
	}{
		{"timestamp", "2026-01-01 00:00:00", 0},
		{"timestamp", "294276-12-31 23:59:59", 1},
		{"interval", "1 day", 1},
		{"interval", "178000000 years", 2},
		{"numeric", "Infinity", 2},
		{"numeric", strings.Repeat("9", 400), 3},
	} {
		codec, ok := r.Codec(ColumnInfo{TypeOID: typeOID(t, test.typ), Typmod: -1}, o)
		require.True(t, ok)
		_, err := codec.Decode(&b, []byte(test.text))
		require.NoError(t, err)
		require.Equal(t, test.want, r.Saturated(), test.text)
	}
}

func TestEnumAndDomainTypes(t *testing.T) {
	enum := mustCodec(t, ColumnInfo{TypeOID: dmoodOID, Typmod: -1}, defaultOptions())
	allowed, ok := enum.Type.Param("allowed")
	require.True(t, ok)
	require.Equal(t, "sad,ok,a,b", allowed)
	require.Equal(t, schema.Enum, enum.Type.Name)
	require.True(t, mustCodec(t, ColumnInfo{TypeOID: moodOID, Typmod: -1}, defaultOptions()).Type.Optional)
	require.False(t, mustCodec(t, ColumnInfo{TypeOID: moodArrayOID, Typmod: -1}, defaultOptions()).Type.Elem.Optional)

	dec := mustCodec(t, ColumnInfo{TypeOID: money2OID, Typmod: -1}, defaultOptions())
	require.Equal(t, []schema.Param{{Name: "scale", Value: "3"}, {Name: "connect.decimal.precision", Value: "8"}}, dec.Type.Params)
}
