// SPDX-License-Identifier: Apache-2.0

package protobuf

import (
	"encoding/hex"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"freshet/change"
	"freshet/emitter/emittertest"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/schema/registry"
	"freshet/schema/registry/registrytest"
	"freshet/test/notation"
)

func newFormat(t testing.TB, url string, more ...string) (*Format, *Side) {
	t.Helper()
	properties := map[string]string{"schema.registry.url": url}
	for i := 0; i < len(more); i += 2 {
		properties[more[i]] = more[i+1]
	}
	o, err := ParseOptions(properties, false)
	require.NoError(t, err)
	f, err := New(o)
	require.NoError(t, err)
	return f, NewSide(o, f)
}

func optional(t schema.Type) *schema.Type {
	t.Optional = true
	return &t
}

func structOf(name string, fields ...schema.Field) *schema.Type {
	return &schema.Type{Kind: schema.Struct, Name: name, Fields: fields}
}

func one(t *schema.Type) *schema.Type { return structOf("p.M", schema.Field{Name: "f", Type: t}) }

func logicalType(kind schema.Kind, name string, params ...schema.Param) *schema.Type {
	return &schema.Type{Kind: kind, Name: name, Version: 1, Params: params}
}

// requireCanonical compares a message with what Protobuf's own library makes of it.
func requireCanonical(t *testing.T, text string, body []byte) {
	t.Helper()
	file, err := compile(&registry.Schema{Text: text})
	require.NoError(t, err, text)
	m := dynamicpb.NewMessage(file.Messages().Get(0))
	require.NoError(t, proto.Unmarshal(body, m), text)
	require.Empty(t, m.GetUnknown(), text)
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	require.NoError(t, err)
	require.Equal(t, hex.EncodeToString(again), hex.EncodeToString(body), text)
}

// Each type has its field, its bytes, and comes back.
func TestTypes(t *testing.T) {
	long := strings.Repeat("x", 300)
	enum := &schema.Type{Kind: schema.String, Name: "E", Params: []schema.Param{{Name: enumParam, Value: "E"}, {Name: enumParam + ".A", Value: "0"}, {Name: enumParam + ".B", Value: "7"}}}
	uint32Type := &schema.Type{Kind: schema.Int64, Params: []schema.Param{{Name: typeParam, Value: "uint32"}}}
	tagged := &schema.Type{Kind: schema.Int32, Params: []schema.Param{{Name: tagParam, Value: "9"}}}
	money := logicalType(schema.Bytes, schema.Decimal, schema.Param{Name: "scale", Value: "2"}, schema.Param{Name: precisionParam, Value: "14"})
	textMap := &schema.Type{Kind: schema.Map, Name: "a_map", Key: &schema.Type{Kind: schema.String}, Elem: &schema.Type{Kind: schema.Int32}}
	inner := structOf("x.y.Inner", schema.Field{Name: "g", Type: &schema.Type{Kind: schema.String}})
	union := structOf(unionPrefix+".choice", schema.Field{Name: "a", Type: &schema.Type{Kind: schema.Int32}}, schema.Field{Name: "b", Type: &schema.Type{Kind: schema.String}})
	text := func(s string) func(*change.Batch) change.Value {
		return func(b *change.Batch) change.Value { return b.Text(s) }
	}
	raw := func(p ...byte) func(*change.Batch) change.Value {
		return func(b *change.Batch) change.Value { return b.BytesOf(p) }
	}
	number := func(i int64) func(*change.Batch) change.Value {
		return func(*change.Batch) change.Value { return change.IntValue(i) }
	}
	float := func(f float64) func(*change.Batch) change.Value {
		return func(*change.Batch) change.Value { return change.FloatValue(f) }
	}
	run := func(k change.Kind, makers ...func(*change.Batch) change.Value) func(*change.Batch) change.Value {
		return func(b *change.Batch) change.Value {
			values := make([]change.Value, len(makers))
			for i, m := range makers {
				values[i] = m(b)
			}
			return notation.Run(b, k, values)
		}
	}
	null := func(*change.Batch) change.Value { return change.NullValue() }
	for _, c := range []struct {
		typ        *schema.Type
		v          func(*change.Batch) change.Value
		field, hex string
		back       string // "" for what was written
	}{
		{&schema.Type{Kind: schema.Int8}, number(-1), "int32 f = 1 [(confluent.field_meta) = {", "08ffffffffffffffffff01", ""},
		{&schema.Type{Kind: schema.Int16}, number(300), "int32 f = 1 [(confluent.field_meta) = {", "08ac02", ""},
		{&schema.Type{Kind: schema.Int32}, number(0), "int32 f = 1;", "", ""},
		{&schema.Type{Kind: schema.Int64}, number(math.MinInt64), "int64 f = 1;", "0880808080808080808001", ""},
		{uint32Type, number(4294967295), "uint32 f = 1;", "08ffffffff0f", ""},
		{tagged, number(5), "int32 f = 9;", "4805", ""},
		{&schema.Type{Kind: schema.Float32}, float(1.5), "float f = 1;", "0d0000c03f", ""},
		{&schema.Type{Kind: schema.Float64}, float(math.Copysign(0, -1)), "double f = 1;", "090000000000000080", ""},
		{&schema.Type{Kind: schema.Float64}, float(math.NaN()), "double f = 1;", "09000000000000f87f", ""},
		{&schema.Type{Kind: schema.Boolean}, func(*change.Batch) change.Value { return change.BoolValue(true) }, "bool f = 1;", "0801", ""},
		{&schema.Type{Kind: schema.String}, text("é"), "string f = 1;", "0a02c3a9", ""},
		{&schema.Type{Kind: schema.String}, text(""), "string f = 1;", "", ""},
		{&schema.Type{Kind: schema.String}, text(long), "string f = 1;", "0aac02" + hex.EncodeToString([]byte(long)), ""},
		{optional(schema.Type{Kind: schema.String}), null, "string f = 1;", "", `7{text ""}`},
		{&schema.Type{Kind: schema.Int32, Optional: true, Default: int64(3)}, null, "int32 f = 1;", "0803", "7{int 3}"},
		{&schema.Type{Kind: schema.Bytes}, raw(1, 2), "bytes f = 1;", "0a020102", ""},
		{money, raw(0x30, 0x39), "confluent.type.Decimal f = 1 [(confluent.field_meta) = {", "0a080a02303910051802", ""},
		{money, raw(0), "confluent.type.Decimal f = 1 [(confluent.field_meta) = {", "0a070a010010011802", ""},
		{money, raw(0xff, 0, 0, 0, 0, 0, 0, 0, 0), "confluent.type.Decimal f = 1 [(confluent.field_meta) = {", "0a0f0a09ff000000000000000010141802", ""},
		{logicalType(schema.Int32, schema.ConnectDate), number(20000), "google.type.Date f = 1;", "0a0708e80f100a1804", ""},
		{logicalType(schema.Int32, schema.ConnectDate), number(-1), "google.type.Date f = 1;", "0a0708b10f100c181f", ""},
		{logicalType(schema.Int32, schema.ConnectTime), number(3723004), "google.type.TimeOfDay f = 1;", "0a0b080110021803208092f401", ""},
		{logicalType(schema.Int64, schema.ConnectTimestamp), number(-1), "google.protobuf.Timestamp f = 1;", "0a1108ffffffffffffffffff0110c08faedc03", ""},
		{&schema.Type{Kind: schema.Array, Elem: &schema.Type{Kind: schema.Int32}}, run(change.Array, number(1), number(0)), "repeated int32 f = 1;", "0a020100", ""},
		{&schema.Type{Kind: schema.Array, Elem: &schema.Type{Kind: schema.String}}, run(change.Array, text("a"), text("")), "repeated string f = 1;", "0a01610a00", ""},
		{&schema.Type{Kind: schema.Array, Elem: &schema.Type{Kind: schema.String}}, null, "repeated string f = 1;", "", "7{8{}}"},
		{textMap, run(change.Map, text("k"), number(0)), "repeated AMapEntry f = 1;", "0a030a016b", ""},
		{inner, run(change.Struct, text("v")), "Inner f = 1;", "0a030a0176", ""},
		{optional(*inner), null, "Inner f = 1;", "", "7{null}"},
		{union, run(change.Struct, null, text("")), "oneof choice {", "1200", ""},
		{union, run(change.Struct, number(0), null), "oneof choice {", "0800", ""},
		{enum, text("B"), "E f = 1;", "0807", ""},
		{&schema.Type{Kind: schema.Array, Elem: inner}, run(change.Array, run(change.Struct, text("v")), run(change.Struct, text(""))), "repeated Inner f = 1;", "0a030a01760a00", ""},
	} {
		r := registrytest.New(t)
		f, side := newFormat(t, r.URL)
		typ := one(c.typ)
		e, err := f.CompileFor("t", typ)
		require.NoError(t, err)
		require.Empty(t, r.Asked(), "nothing is registered that nothing is written by")
		var b change.Batch
		v := notation.Run(&b, change.Struct, []change.Value{c.v(&b)})
		body, ok, err := e.Append([]byte{}, &b, v)
		require.NoError(t, err, c.field)
		require.True(t, ok)
		registered := r.Subjects()["t-value"][0]
		require.Contains(t, registered, "syntax = \"proto3\";\npackage p;\n")
		require.Contains(t, registered, c.field)
		require.Equal(t, c.hex, hex.EncodeToString(body), registered)
		requireCanonical(t, registered, body)
		require.Equal(t, []byte{0, 0, 0, 0, 1, 0}, e.Head().Bytes)
		for _, data := range []topic.Data{{Head: e.Head(), Body: body}, {Body: append(append([]byte{}, e.Head().Bytes...), body...)}} {
			_, back, err := side.DecodeData(&b, "t", data)
			require.NoError(t, err, registered)
			want := c.back
			if want == "" {
				want = notation.Render(&b, v)
			}
			require.Equal(t, want, notation.Render(&b, back), registered)
		}
	}
}

// A schema as it is registered.
func TestText(t *testing.T) {
	money := logicalType(schema.Bytes, schema.Decimal, schema.Param{Name: "scale", Value: "2"})
	row := optional(*structOf("s.t.Value", schema.Field{Name: "id", Type: &schema.Type{Kind: schema.Int16}}, schema.Field{Name: "m", Type: optional(*money)}))
	built, err := build(structOf("s.t.Envelope", schema.Field{Name: "before", Type: row}, schema.Field{Name: "after", Type: row}, schema.Field{Name: "at", Type: logicalType(schema.Int64, schema.ConnectTimestamp)}), &Options{})
	require.NoError(t, err)
	require.Equal(t, `syntax = "proto3";
package s.t;

import "confluent/meta.proto";
import "confluent/type/decimal.proto";
import "google/protobuf/timestamp.proto";

message Envelope {
  Value before = 1;
  Value after = 2;
  google.protobuf.Timestamp at = 3;

  message Value {
    int32 id = 1 [(confluent.field_meta) = {
      params: [
        {
          key: "connect.type",
          value: "int16"
        }
      ]
    }];
    confluent.type.Decimal m = 2 [(confluent.field_meta) = {
      params: [
        {
          key: "scale",
          value: "2"
        }
      ]
    }];
  }
}
`, built.text())
	require.Equal(t, "s.t.Envelope", built.fullName())
}

// Null is told from 0 by optional fields, and by wrappers.
func TestNullables(t *testing.T) {
	typ := structOf("p.M",
		schema.Field{Name: "i", Type: optional(schema.Type{Kind: schema.Int32})}, schema.Field{Name: "s", Type: optional(schema.Type{Kind: schema.String})},
		schema.Field{Name: "n", Type: &schema.Type{Kind: schema.Int64}}, schema.Field{Name: "u", Type: optional(schema.Type{Kind: schema.Int64, Params: []schema.Param{{Name: typeParam, Value: "fixed32"}}})},
	)
	for option, want := range map[string]struct{ text, body string }{
		"optional.for.nullables": {"  optional int32 i = 1;\n  optional string s = 2;\n  int64 n = 3;\n  optional fixed32 u = 4;\n", "0800" + "2507000000"},
		"wrapper.for.nullables":  {"  google.protobuf.Int32Value i = 1;\n  google.protobuf.StringValue s = 2;\n  int64 n = 3;\n  google.protobuf.UInt32Value u = 4;\n", ""},
	} {
		r := registrytest.New(t)
		f, side := newFormat(t, r.URL, option, "true")
		e, err := f.CompileFor("t", typ)
		require.NoError(t, err)
		for _, values := range [][]change.Value{
			{change.IntValue(0), change.NullValue(), change.IntValue(0), change.IntValue(7)},
			{change.NullValue(), change.NullValue(), change.IntValue(1), change.NullValue()},
		} {
			var b change.Batch
			v := notation.Run(&b, change.Struct, values)
			body, _, err := e.Append([]byte{}, &b, v)
			require.NoError(t, err)
			if want.body != "" && !values[0].IsNull() {
				require.Equal(t, want.body, hex.EncodeToString(body))
			}
			registered := r.Subjects()["t-value"][0]
			require.Contains(t, registered, want.text)
			if option == "optional.for.nullables" {
				requireCanonical(t, registered, body)
			}
			got, back, err := side.DecodeData(&b, "t", topic.Data{Head: e.Head(), Body: body})
			require.NoError(t, err)
			require.Equal(t, notation.Render(&b, v), notation.Render(&b, back))
			require.True(t, got.Fields[0].Type.Optional)
			require.False(t, got.Fields[2].Type.Optional)
		}
	}
}

// Schemas of others are read as Confluent's converter reads them.
func TestForeignSchemas(t *testing.T) {
	const file = `syntax = "proto3"; package a.b;
import "google/protobuf/wrappers.proto";
message First { int32 x = 1; }
message Second {
  enum Color { RED = 0; BLUE = 5; }
  message Deep { bool ok = 1; }
  uint32 u = 1; sint32 z = 2; fixed64 f = 3; Color c = 4; Deep deep = 5; map<string, Deep> m = 6;
  oneof pick { string s = 7; Deep d = 8; }
  repeated sint64 packed = 9; google.protobuf.Int32Value w = 10; optional string o = 11; float fl = 12;
}`
	tag := func(n string) schema.Param { return schema.Param{Name: tagParam, Value: n} }
	file2 := registry.Schema{Text: file}
	p, err := planOf(&file2, []int{1}, &Options{IndexInUnions: true})
	require.NoError(t, err)
	var names []string
	for _, f := range p.typ.Fields {
		names = append(names, f.Name)
		require.True(t, f.Type.Optional, f.Name)
	}
	require.Equal(t, []string{"pick_0", "u", "z", "f", "c", "deep", "m", "packed", "w", "o", "fl"}, names)
	require.Equal(t, "Second", p.typ.Name)
	require.Equal(t, &schema.Type{Kind: schema.Int64, Optional: true, Params: []schema.Param{{Name: typeParam, Value: "uint32"}, tag("1")}}, p.typ.Fields[1].Type)
	require.Equal(t, &schema.Type{Kind: schema.String, Name: "Color", Optional: true, Params: []schema.Param{
		{Name: enumParam, Value: "Color"}, {Name: enumParam + ".RED", Value: "0"}, {Name: enumParam + ".BLUE", Value: "5"}, tag("4"),
	}}, p.typ.Fields[4].Type)
	require.Equal(t, unionPrefix+".pick", p.typ.Fields[0].Type.Name)

	decode := func(o Options, body string) string {
		t.Helper()
		p, err := planOf(&file2, []int{1}, &o)
		require.NoError(t, err)
		wire, err := hex.DecodeString(body)
		require.NoError(t, err)
		var b change.Batch
		r := reader{b: &b}
		v, err := r.value(p, wire)
		require.NoError(t, err)
		return notation.Render(&b, v)
	}
	require.Equal(t, `7{null; int 0; int 0; int 0; text "RED"; null; 9{}; 8{}; null; null; float 0}`, decode(Options{}, ""))
	require.Equal(t, `7{null; int 0; int 0; int 0; int 0; null; 9{}; 8{}; null; null; float 0}`, decode(Options{IntEnums: true}, ""))
	// u 4294967295, z -1, c 5, m {"k":Deep{ok:true}} twice, s "q", packed [-1,1] and apart 2, w 3, o "", an unknown field.
	require.Equal(t, `7{7{text "q"; null}; int 4294967295; int -1; int 0; text "BLUE"; null; 9{text "k" = 7{bool true}}; 8{int -1; int 1; int 2}; int 3; text ""; float 0}`,
		decode(Options{WrapNullables: true}, "08ffffffff0f"+"1001"+"2005"+"32030a016b"+"32070a016b12020801"+"3a0171"+"4a020102"+"4804"+"52020803"+"5a00"+"f2070161"))
	require.Contains(t, decode(Options{StructsForNulls: true}, ""), `text "RED"; 7{bool false}`)

	for _, c := range []struct{ name, schema, err string }{
		{"a recursion", `syntax = "proto3"; message M { M next = 1; }`, "holds itself"},
		{"no schema", `message {`, "Protobuf schema: schema.proto:1:9"},
		{"no such import", `syntax = "proto3"; import "x.proto"; message M {}`, "x.proto"},
		{"no message", `syntax = "proto3";`, "no message of index"},
	} {
		_, err := planOf(&registry.Schema{Text: c.schema}, []int{0}, &Options{})
		require.ErrorContains(t, err, c.err, c.name)
	}
	withRef := registry.Schema{
		Text:       `syntax = "proto3"; import "x.proto"; message M { x.X f = 1; int32 t = 2 [(confluent.field_meta).params = {key: "connect.type", value: "int8"}]; }`,
		References: []registry.Reference{{Name: "x.proto", Text: `syntax = "proto3"; package x; message X { double d = 1; }`}},
	}
	p, err = planOf(&withRef, []int{0}, &Options{})
	require.NoError(t, err)
	require.Equal(t, schema.Int8, p.typ.Fields[1].Type.Kind)
	require.Equal(t, schema.Float64, p.typ.Fields[0].Type.Fields[0].Type.Kind)
	proto2 := registry.Schema{Text: `message M { optional int32 a = 1 [default = 5]; required string b = 2; }`}
	for _, c := range []struct {
		o    Options
		want string
	}{{Options{OptionalProto2: true}, `7{null; text ""}`}, {Options{}, `7{int 5; text ""}`}} {
		p, err = planOf(&proto2, []int{0}, &c.o)
		require.NoError(t, err)
		var b change.Batch
		v, err := (&reader{b: &b}).value(p, nil)
		require.NoError(t, err)
		require.Equal(t, c.want, notation.Render(&b, v))
	}
}

// Values that are no Structs are in wrappers.
func TestRootsThatAreNoStructs(t *testing.T) {
	r := registrytest.New(t)
	f, side := newFormat(t, r.URL)
	var b change.Batch
	for _, c := range []struct {
		typ  *schema.Type
		v    change.Value
		head string
	}{
		{&schema.Type{Kind: schema.String}, b.Text("x"), "00000000010" + "20e"},
		{&schema.Type{Kind: schema.Int32}, change.IntValue(7), "000000000102" + "08"},
		{&schema.Type{Kind: schema.Float64}, change.FloatValue(1), "000000000102" + "00"},
	} {
		e, err := f.CompileFor("t", c.typ)
		require.NoError(t, err)
		body, ok, err := e.Append([]byte{}, &b, c.v)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, c.head, hex.EncodeToString(e.Head().Bytes))
		typ, v, err := side.DecodeData(&b, "t", topic.Data{Body: append(append([]byte{}, e.Head().Bytes...), body...)})
		require.NoError(t, err)
		require.Equal(t, c.typ.Kind, typ.Kind)
		require.Equal(t, notation.Render(&b, c.v), notation.Render(&b, v))
	}
	require.Len(t, r.Subjects()["t-value"], 1)
}

func TestRefused(t *testing.T) {
	r := registrytest.New(t)
	text := &schema.Type{Kind: schema.String}
	array := &schema.Type{Kind: schema.Array, Elem: text}
	for want, typ := range map[string]*schema.Type{
		"no values without a schema":             nil,
		"Unsupported root schema of type ARRAY":  array,
		"Array cannot be nested":                 one(&schema.Type{Kind: schema.Array, Elem: array}),
		"does not allow the name \"a b\"":        structOf("M", schema.Field{Name: "a b", Type: text}),
		"does not allow the name \"my-server\"":  structOf("my-server.M"),
		"that differ cannot be written":          structOf("M", schema.Field{Name: "a", Type: structOf("x.N")}, schema.Field{Name: "b", Type: structOf("y.N", schema.Field{Name: "z", Type: text})}),
		"in a message of the same name":          structOf("a.M", schema.Field{Name: "f", Type: structOf("b.M")}),
		"Invalid scale parameter found in Decim": one(logicalType(schema.Bytes, schema.Decimal)),
	} {
		f, _ := newFormat(t, r.URL)
		e, err := f.CompileFor("t", typ)
		require.NoError(t, err)
		var b change.Batch
		_, _, err = e.Append(nil, &b, b.Text("x"))
		require.ErrorContains(t, err, want)
		require.Nil(t, e.Head())
	}
	require.Empty(t, r.Asked())
	scrubbed, err := build(structOf("s.my-t", schema.Field{Name: "a b", Type: text}, schema.Field{Name: "1", Type: text}, schema.Field{Name: "_u", Type: text}, schema.Field{Name: "ž", Type: text}), &Options{ScrubNames: true})
	require.NoError(t, err)
	require.Contains(t, scrubbed.text(), "message my_t {\n  string a_b = 1;\n  string x1 = 2;\n  string x_u = 3;\n  string _C5_BE = 4;\n")

	f, side := newFormat(t, r.URL)
	e, err := f.CompileFor("t", one(array))
	require.NoError(t, err)
	var b change.Batch
	items := notation.Run(&b, change.Array, []change.Value{change.NullValue()})
	_, _, err = e.Append(nil, &b, notation.Run(&b, change.Struct, []change.Value{items}))
	require.ErrorContains(t, err, "no null in arrays")
	r.Put(90, `"string"`)
	r.PutSchema(91, registrytest.Schema{Kind: "PROTOBUF", Text: `syntax = "proto3"; message M { string s = 1; }`})
	for body, want := range map[string]string{
		"":                                     "Unknown magic byte!",
		"\x00\x00\x00\x00\x5a\x00":             "schema 90 is of type AVRO, not PROTOBUF",
		"\x00\x00\x00\x00\x5b":                 "ends before its indexes do",
		"\x00\x00\x00\x00\x5b\x02\x02":         "no message of index",
		"\x00\x00\x00\x00\x5b\x01":             "Invalid message indexes",
		"\x00\x00\x00\x00\x5b\x00\x0a\x05":     "not well-formed",
		"\x00\x00\x00\x00\x5b\x00\x0a\x01\xff": "invalid UTF-8",
	} {
		_, _, err := side.DecodeData(&b, "t", topic.Data{Body: []byte(body)})
		require.ErrorContains(t, err, want, "%q", body)
	}
}

// Writing by the latest version needs the same fields.
func TestLatestVersion(t *testing.T) {
	r := registrytest.New(t)
	f, _ := newFormat(t, r.URL, "auto.register.schemas", "false", "use.latest.version", "true")
	r.PutSchema(7, registrytest.Schema{Kind: "PROTOBUF", Text: "// ours\nsyntax = \"proto3\"; package p;\nmessage M { int32 f = 1; }"})
	r.PutVersion("t-value", 7)
	var b change.Batch
	e, err := f.CompileFor("t", one(&schema.Type{Kind: schema.Int32}))
	require.NoError(t, err)
	_, _, err = e.Append(nil, &b, notation.Run(&b, change.Struct, []change.Value{change.IntValue(1)}))
	require.NoError(t, err)
	require.Equal(t, []byte{0, 0, 0, 0, 7, 0}, e.Head().Bytes)
	e, err = f.CompileFor("t", one(&schema.Type{Kind: schema.Int64}))
	require.NoError(t, err)
	_, _, err = e.Append(nil, &b, notation.Run(&b, change.Struct, []change.Value{change.IntValue(1)}))
	require.ErrorContains(t, err, "has other fields than what is written")
}

// The program of a table writes what building the envelope and encoding it writes, without garbage.
func TestChangesAreAsBuilt(t *testing.T) {
	r := registrytest.New(t)
	for _, option := range []string{"scrub.invalid.names", "optional.for.nullables", "wrapper.for.nullables"} {
		f, side := newFormat(t, r.URL, option, "true")
		e := emittertest.Persons()
		program, err := f.CompileEnvelope(e)
		require.NoError(t, err)
		built, err := f.CompileFor(e.Topic, e.Type)
		require.NoError(t, err)
		random := rand.New(rand.NewPCG(1, 2))
		const now = 1795256130340512000
		for i := range 1000 {
			var b change.Batch
			c := emittertest.RandomChange(random, &b, e)
			want, _, wantErr := built.Append([]byte("x"), &b, e.Build(&b, &c, now))
			got, err := program.AppendValue([]byte("x"), &b, &c, now)
			require.Equal(t, wantErr == nil, err == nil, "change %d: %v, built: %v", i, err, wantErr)
			if err != nil {
				continue
			}
			require.Equal(t, hex.EncodeToString(want), hex.EncodeToString(got), "change %d", i)
			if i < 50 {
				require.Zero(t, testing.AllocsPerRun(10, func() { got, _ = program.AppendValue(got[:1], &b, &c, now) }))
				subjects := r.Subjects()["srv.public.persons-value"]
				requireCanonical(t, subjects[len(subjects)-1], got[1:])
			}
			_, _, err = side.DecodeData(&b, e.Topic, topic.Data{Head: program.Head(), Body: got[1:]})
			require.NoError(t, err)
		}
		require.Same(t, built.Head(), program.Head())
	}
}
