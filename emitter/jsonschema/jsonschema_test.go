// SPDX-License-Identifier: Apache-2.0

package jsonschema

import (
	stdjson "encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter/emittertest"
	"freshet/emitter/json"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/schema/registry"
	"freshet/schema/registry/registrytest"
	"freshet/test/notation"
)

func newFormat(t testing.TB, properties map[string]string) (*Format, *Side) {
	t.Helper()
	o, err := ParseOptions(properties, false)
	require.NoError(t, err)
	f, err := New(o)
	require.NoError(t, err)
	return f, NewSide(o, f)
}

func at(url string, more ...string) map[string]string {
	out := map[string]string{"schema.registry.url": url}
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

func typed(kind schema.Kind, change ...func(*schema.Type)) *schema.Type {
	t := &schema.Type{Kind: kind}
	for _, f := range change {
		f(t)
	}
	return t
}

func optional(t *schema.Type) { t.Optional = true }

func named(name string, version int, params ...schema.Param) func(*schema.Type) {
	return func(t *schema.Type) { t.Name, t.Version, t.Params = name, version, params }
}

func structOf(name string, fields ...schema.Field) *schema.Type {
	return &schema.Type{Kind: schema.Struct, Name: name, Fields: fields}
}

var (
	text  = typed(schema.String)
	money = typed(schema.Bytes, named(schema.Decimal, 1, schema.Param{Name: "scale", Value: "2"}, schema.Param{Name: "connect.decimal.precision", Value: "14"}))
)

// Schemas are Confluent's to the byte: the texts of Debezium's events are out of error messages of its converter.
func TestSchemas(t *testing.T) {
	long, optionalLong, optionalText := typed(schema.Int64), typed(schema.Int64, optional), typed(schema.String, optional)
	row := structOf("dbserver1.public.t.Value", schema.Field{Name: "id", Type: typed(schema.Int32)}, schema.Field{Name: "val", Type: optionalText})
	row.Optional = true
	snapshot := typed(schema.String, optional, named(schema.Enum, 1, schema.Param{Name: "allowed", Value: "true,last,false,incremental"}))
	snapshot.Default = "false"
	source := structOf("io.debezium.connector.postgresql.Source",
		schema.Field{Name: "version", Type: text}, schema.Field{Name: "connector", Type: text}, schema.Field{Name: "name", Type: text},
		schema.Field{Name: "ts_ms", Type: long}, schema.Field{Name: "snapshot", Type: snapshot}, schema.Field{Name: "db", Type: text},
		schema.Field{Name: "sequence", Type: optionalText}, schema.Field{Name: "schema", Type: text}, schema.Field{Name: "table", Type: text},
		schema.Field{Name: "txId", Type: optionalLong}, schema.Field{Name: "lsn", Type: optionalLong}, schema.Field{Name: "xmin", Type: optionalLong},
	)
	transaction := structOf("event.block", schema.Field{Name: "id", Type: text}, schema.Field{Name: "total_order", Type: long}, schema.Field{Name: "data_collection_order", Type: long})
	transaction.Optional, transaction.Version = true, 1
	envelope := structOf("dbserver1.public.t.Envelope",
		schema.Field{Name: "before", Type: row}, schema.Field{Name: "after", Type: row}, schema.Field{Name: "source", Type: source},
		schema.Field{Name: "op", Type: text}, schema.Field{Name: "ts_ms", Type: optionalLong}, schema.Field{Name: "transaction", Type: transaction},
	)
	envelope.Version = 1
	const rowText = `"oneOf":[{"type":"null"},{"type":"object","title":"dbserver1.public.t.Value","properties":{"val":{"connect.index":1,"oneOf":[{"type":"null"},{"type":"string"}]},"id":{"type":"integer","connect.index":0,"connect.type":"int32"}}}]}`
	for _, c := range []struct {
		typ  *schema.Type
		want string
	}{
		{envelope, `{"type":"object","title":"dbserver1.public.t.Envelope","connect.version":1,"properties":{"op":{"type":"string","connect.index":3},"before":{"connect.index":0,` + rowText + `,"after":{"connect.index":1,` + rowText +
			`,"source":{"type":"object","title":"io.debezium.connector.postgresql.Source","connect.index":2,"properties":{"schema":{"type":"string","connect.index":7},"sequence":{"connect.index":6,"oneOf":[{"type":"null"},{"type":"string"}]},` +
			`"xmin":{"connect.index":11,"oneOf":[{"type":"null"},{"type":"integer","connect.type":"int64"}]},"connector":{"type":"string","connect.index":1},"lsn":{"connect.index":10,"oneOf":[{"type":"null"},{"type":"integer","connect.type":"int64"}]},` +
			`"name":{"type":"string","connect.index":2},"txId":{"connect.index":9,"oneOf":[{"type":"null"},{"type":"integer","connect.type":"int64"}]},"version":{"type":"string","connect.index":0},"ts_ms":{"type":"integer","connect.index":3,"connect.type":"int64"},` +
			`"snapshot":{"connect.index":4,"oneOf":[{"type":"null"},{"type":"string","title":"io.debezium.data.Enum","default":"false","connect.version":1,"connect.parameters":{"allowed":"true,last,false,incremental"}}]},` +
			`"db":{"type":"string","connect.index":5},"table":{"type":"string","connect.index":8}}},"ts_ms":{"connect.index":4,"oneOf":[{"type":"null"},{"type":"integer","connect.type":"int64"}]},` +
			`"transaction":{"connect.index":5,"oneOf":[{"type":"null"},{"type":"object","title":"event.block","connect.version":1,"properties":{"data_collection_order":{"type":"integer","connect.index":2,"connect.type":"int64"},"id":{"type":"string","connect.index":0},"total_order":{"type":"integer","connect.index":1,"connect.type":"int64"}}}]}}}`},
		{money, `{"type":"number","title":"org.apache.kafka.connect.data.Decimal","connect.version":1,"connect.type":"bytes","connect.parameters":{"scale":"2","connect.decimal.precision":"14"}}`},
		{
			structOf("r", schema.Field{Name: "lastModifiedTime", Type: typed(schema.String, named(schema.ZonedTimestamp, 1), func(t *schema.Type) { t.Default = "1970-01-01T00:00:00Z" })}),
			`{"type":"object","title":"r","properties":{"lastModifiedTime":{"type":"string","title":"io.debezium.time.ZonedTimestamp","default":"1970-01-01T00:00:00Z","connect.index":0,"connect.version":1}}}`,
		},
		{typed(schema.Bytes, optional), `{"oneOf":[{"type":"null"},{"type":"string","connect.type":"bytes"}]}`},
		{&schema.Type{Kind: schema.Array, Elem: typed(schema.Float64, optional)}, `{"type":"array","items":{"oneOf":[{"type":"null"},{"type":"number","connect.type":"float64"}]}}`},
		{&schema.Type{Kind: schema.Map, Key: text, Elem: typed(schema.Boolean)}, `{"type":"object","connect.type":"map","additionalProperties":{"type":"boolean"}}`},
		{
			&schema.Type{Kind: schema.Map, Key: typed(schema.Int16), Elem: text},
			`{"type":"array","connect.type":"map","items":{"type":"object","properties":{"key":{"type":"integer","connect.index":0,"connect.type":"int16"},"value":{"type":"string","connect.index":1}}}}`,
		},
		{typed(schema.String, named("", 0, schema.Param{Name: enumParam}, schema.Param{Name: enumParam + ".a", Value: "a"})), `{"enum":["a"]}`},
		{
			&schema.Type{Kind: schema.Struct, Name: json.OneOf, Optional: true, Fields: []schema.Field{{Name: "x", Type: typed(schema.Int8, optional)}, {Name: "y", Type: optionalText}}},
			`{"oneOf":[{"type":"null"},{"type":"integer","connect.index":0,"connect.type":"int8"},{"type":"string","connect.index":1}]}`,
		},
		{typed(schema.Int32, func(t *schema.Type) { t.Doc = "a \"doc\"" }), `{"type":"integer","description":"a \"doc\"","connect.type":"int32"}`},
	} {
		got, err := appendSchema(nil, c.typ, &Options{Data: json.Options{JSONSchema: true, ReplaceNullWithDefault: true}}, -1)
		require.NoError(t, err)
		require.Equal(t, c.want, string(got))
	}
	closed, err := appendSchema(nil, row, &Options{Closed: true}, -1)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(string(closed), `}},"additionalProperties":false}]}`), string(closed))
}

// Values of each type are written as JSON, and come back with their types.
func TestRoundTrip(t *testing.T) {
	date, clock, stamp := typed(schema.Int32, named(schema.ConnectDate, 1)), typed(schema.Int32, named(schema.ConnectTime, 1)), typed(schema.Int64, named(schema.ConnectTimestamp, 1))
	deflt := typed(schema.Int64, optional)
	deflt.Default = int64(5)
	union := &schema.Type{Kind: schema.Struct, Name: json.OneOf, Optional: true, Fields: []schema.Field{
		{Name: json.OneOf + ".field.0", Type: typed(schema.Int64, optional)},
		{Name: json.OneOf + ".field.1", Type: typed(schema.String, optional)},
		{Name: json.OneOf + ".field.2", Type: func() *schema.Type {
			s := structOf("P", schema.Field{Name: "x", Type: text})
			s.Optional = true
			return s
		}()},
	}}
	point := func(b *change.Batch) change.Value { return notation.Run(b, change.Struct, []change.Value{b.Text("u")}) }
	for _, c := range []struct {
		typ  *schema.Type
		make func(b *change.Batch) change.Value
		want string
	}{
		{typed(schema.Int8), func(*change.Batch) change.Value { return change.IntValue(-8) }, `-8`},
		{typed(schema.Int64), func(*change.Batch) change.Value { return change.IntValue(1 << 62) }, `4611686018427387904`},
		{typed(schema.Float32), func(*change.Batch) change.Value { return change.FloatValue(1.5) }, `1.5`},
		{typed(schema.Float64, optional), func(*change.Batch) change.Value { return change.FloatValue(1e300) }, `1.0E300`},
		{typed(schema.Boolean), func(*change.Batch) change.Value { return change.BoolValue(true) }, `true`},
		{text, func(b *change.Batch) change.Value { return b.Text("é\"") }, `"é\""`},
		{typed(schema.Bytes), func(b *change.Batch) change.Value { return b.BytesOf([]byte{0, 255}) }, `"AP8="`},
		{money, func(b *change.Batch) change.Value { return b.BytesOf([]byte{0x30, 0x39}) }, `"MDk="`},
		{date, func(*change.Batch) change.Value { return change.IntValue(20000) }, `20000`},
		{clock, func(*change.Batch) change.Value { return change.IntValue(86400000) }, `86400000`},
		{stamp, func(*change.Batch) change.Value { return change.IntValue(-1) }, `-1`},
		{typed(schema.Int32, optional), func(*change.Batch) change.Value { return change.NullValue() }, `null`},
		{deflt, func(*change.Batch) change.Value { return change.IntValue(6) }, `6`},
		{&schema.Type{Kind: schema.Array, Elem: typed(schema.String, optional)}, func(b *change.Batch) change.Value {
			return notation.Run(b, change.Array, []change.Value{b.Text("a"), change.NullValue()})
		}, `["a",null]`},
		{&schema.Type{Kind: schema.Map, Key: text, Elem: typed(schema.Int32)}, func(b *change.Batch) change.Value {
			return notation.Run(b, change.Map, []change.Value{b.Text("a"), change.IntValue(1)})
		}, `{"a":1}`},
		{&schema.Type{Kind: schema.Map, Key: typed(schema.Int32), Elem: typed(schema.String, optional)}, func(b *change.Batch) change.Value {
			return notation.Run(b, change.Map, []change.Value{change.IntValue(1), b.Text("x"), change.IntValue(2), change.NullValue()})
		}, `[{"key":1,"value":"x"},{"key":2,"value":null}]`},
		{union, func(b *change.Batch) change.Value {
			return notation.Run(b, change.Struct, []change.Value{change.IntValue(3), change.NullValue(), change.NullValue()})
		}, `3`},
		{union, func(b *change.Batch) change.Value {
			return notation.Run(b, change.Struct, []change.Value{change.NullValue(), b.Text("s"), change.NullValue()})
		}, `"s"`},
		{union, func(b *change.Batch) change.Value {
			return notation.Run(b, change.Struct, []change.Value{change.NullValue(), change.NullValue(), point(b)})
		}, `{"x":"u"}`},
		{structOf("a.S", schema.Field{Name: "x", Type: typed(schema.Int32)}, schema.Field{Name: "y", Type: text}), func(b *change.Batch) change.Value {
			return notation.Run(b, change.Struct, []change.Value{change.NullValue(), b.Text("y")})
		}, `{"y":"y"}`},
		{&schema.Type{Kind: schema.Struct, Name: "a.E", Fields: []schema.Field{}}, func(b *change.Batch) change.Value { return notation.Run(b, change.Struct, nil) }, `{}`},
		{typed(schema.String, named("", 0, schema.Param{Name: enumParam}, schema.Param{Name: enumParam + ".a", Value: "a"})), func(b *change.Batch) change.Value { return b.Text("a") }, `"a"`},
	} {
		r := registrytest.New(t)
		f, side := newFormat(t, at(r.URL))
		e, err := f.CompileFor("t", c.typ)
		require.NoError(t, err)
		require.Empty(t, r.Asked(), "nothing is registered that nothing is written by")
		var b change.Batch
		v := c.make(&b)
		body, ok, err := e.Append([]byte{}, &b, v)
		require.NoError(t, err, c.want)
		require.True(t, ok)
		require.Equal(t, c.want, string(body))
		require.Equal(t, []byte{0, 0, 0, 0, 1}, e.Head().Bytes)
		typ, back, err := side.DecodeData(&b, "t", topic.Data{Head: e.Head(), Body: body})
		require.NoError(t, err, c.want)
		require.Equal(t, c.typ, typ, c.want)
		require.Equal(t, notation.Render(&b, v), notation.Render(&b, back))
	}
}

// Foreign schemas are read as Confluent's converter reads them.
func TestForeignSchemas(t *testing.T) {
	for _, c := range []struct {
		name, schema string
		options      Options
		want         *schema.Type // nil: an error
		err          string
		value        string
		render       string
	}{
		{
			name: "plain kinds", schema: `{"type":"object","title":"T","required":["a"],"properties":{"a":{"type":"integer"},"b":{"type":"number","default":1.5},"c":{"type":"boolean"}}}`,
			want:  structOf("T", schema.Field{Name: "a", Type: typed(schema.Int64)}, schema.Field{Name: "b", Type: typed(schema.Float64, func(t *schema.Type) { t.Default = 1.5 })}, schema.Field{Name: "c", Type: typed(schema.Boolean)}),
			value: `{"c":true, "a" : 7}`, render: "7{int 7; float 1.5; bool true}",
		},
		{
			name: "not required is optional", options: Options{OptionalIfNotRequired: true}, schema: `{"type":"object","required":["a"],"properties":{"a":{"type":"integer"},"b":{"type":"string"}}}`,
			want: structOf("", schema.Field{Name: "a", Type: typed(schema.Int64)}, schema.Field{Name: "b", Type: typed(schema.String, optional)}), value: `{"a":1,"b":null}`, render: "7{int 1; null}",
		},
		{name: "several types", schema: `{"type":["null","string"]}`, want: typed(schema.String, optional), value: `"x"`, render: `text "x"`},
		{
			name: "a union", schema: `{"anyOf":[{"type":"string"},{"type":"number"}]}`, want: structOf(json.OneOf,
				schema.Field{Name: json.OneOf + ".field.0", Type: typed(schema.String, optional)}, schema.Field{Name: json.OneOf + ".field.1", Type: typed(schema.Float64, optional)}),
			value: `2`, render: "7{null; float 2}",
		},
		{
			name: "references", schema: `{"type":"object","properties":{"a":{"$ref":"#/definitions/p%20q"},"b":{"$ref":"#/definitions/p%20q"}},"definitions":{"p q":{"type":"string","title":"P"}}}`,
			want: structOf("", schema.Field{Name: "a", Type: typed(schema.String, named("P", 0))}, schema.Field{Name: "b", Type: typed(schema.String, named("P", 0))}),
		},
		{name: "a recursion", schema: `{"type":"object","properties":{"next":{"$ref":"#"}}}`, err: "holds itself"},
		{name: "a reference to nothing", schema: `{"$ref":"#/definitions/x"}`, err: "nothing at reference"},
		{name: "a foreign reference", schema: `{"$ref":"other.json"}`, err: "not registered"},
		{
			name: "all of objects", schema: `{"allOf":[{"type":"object","properties":{"a":{"type":"integer"}}},{"properties":{"b":{"type":"string"}}}]}`,
			want: structOf("", schema.Field{Name: "a", Type: typed(schema.Int64)}, schema.Field{Name: "b", Type: text}),
		},
		{name: "all of a type and a restriction", schema: `{"allOf":[{"type":"string"},{"not":{}}]}`, want: text},
		{name: "a constant", schema: `{"type":"string","const":"x"}`, want: text},
		{name: "an enum of numbers", schema: `{"type":"integer","enum":[1,2]}`, want: typed(schema.Int64)},
		{name: "an enum", schema: `{"type":"string","enum":["a","b"]}`, want: typed(schema.String, named("", 0,
			schema.Param{Name: enumParam}, schema.Param{Name: enumParam + ".a", Value: "a"}, schema.Param{Name: enumParam + ".b", Value: "b"}))},
		{name: "implied", schema: `{"properties":{"a":{"items":{"type":"string"}}}}`, want: structOf("", schema.Field{Name: "a", Type: &schema.Type{Kind: schema.Array, Elem: text}})},
		{name: "null alone", schema: `{"type":"null"}`, err: "Unsupported schema type"},
		{name: "anything", schema: `true`, err: "Unsupported schema type"},
		{name: "no items", schema: `{"type":"array"}`, err: "did not specify the items type"},
		{name: "no JSON", schema: `{"type"`, err: "JSON"},
		{
			name: "decimal as number", schema: `{"type":"number","title":"org.apache.kafka.connect.data.Decimal","connect.version":1,"connect.type":"bytes","connect.parameters":{"scale":"2"}}`,
			want: typed(schema.Bytes, named(schema.Decimal, 1, schema.Param{Name: "scale", Value: "2"})), value: `123.45`, render: "bytes 3039",
		},
		{name: "null in a required field", schema: `{"type":"object","properties":{"a":{"type":"string"}}}`, value: `{"a":null}`, err: "Invalid null value for required STRING field"},
		{name: "no such branch", schema: `{"oneOf":[{"type":"string"},{"type":"boolean"}]}`, value: `1`, err: "Did not find matching oneof field"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.options.Data = json.Options{JSONSchema: true, ReplaceNullWithDefault: true}
			typ, err := parseSchema(&registry.Schema{Text: c.schema}, &c.options)
			if c.value == "" && c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			if c.want != nil {
				require.Equal(t, c.want, typ)
			}
			if c.value == "" {
				return
			}
			var b change.Batch
			var r json.PayloadReader
			v, err := r.Decode(&b, json.NewPayload(typ, c.options.Data), []byte(c.value))
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.render, notation.Render(&b, v))
		})
	}
	other := registry.Schema{Text: `{"$ref":"other.json#/x"}`, References: []registry.Reference{{Name: "other.json", Text: `{"x":{"$ref":"#/y"},"y":{"type":"string"}}`}}}
	typ, err := parseSchema(&other, &Options{})
	require.NoError(t, err)
	require.Equal(t, text, typ)
}

// The program of a table writes what building the envelope and encoding it writes, without garbage.
func TestChangesAreAsBuilt(t *testing.T) {
	r := registrytest.New(t)
	f, side := newFormat(t, at(r.URL))
	e := emittertest.Persons()
	program, err := f.CompileEnvelope(e)
	require.NoError(t, err)
	built, err := f.CompileFor(e.Topic, e.Type)
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(1, 2))
	const now = 1795256130340512000
	compared := 0
	for i := range 1000 {
		var b change.Batch
		c := emittertest.RandomChange(random, &b, e)
		got, err := program.AppendValue(nil, &b, &c, now)
		require.NoError(t, err)
		require.True(t, stdjson.Valid(got), string(got))
		_, back, err := side.DecodeData(&b, e.Topic, topic.Data{Head: program.Head(), Body: got})
		require.NoError(t, err)
		require.Equal(t, change.Struct, back.Kind())
		want, _, err := built.Append(nil, &b, e.Build(&b, &c, now))
		require.NoError(t, err)
		if string(want) == string(got) {
			compared++ // others have nulls where the built envelope has the defaults of the schema
		}
		if i == 0 {
			require.Zero(t, testing.AllocsPerRun(100, func() { got, _ = program.AppendValue(got[:0], &b, &c, now) }))
		}
	}
	require.Greater(t, compared, 100)
	require.Same(t, built.Head(), program.Head())
	require.Len(t, r.Subjects()["srv.public.persons-value"], 1)
}

// Recorded events of Debezium go through the converter and come back as they were.
func TestGoldenEvents(t *testing.T) {
	plain := json.Options{SchemasEnable: true}
	r := registrytest.New(t)
	f, side := newFormat(t, at(r.URL, "ignore.default.for.nullables", "true"))
	reader, n := json.NewSide(plain), 0
	notation.Events(t, func(file string, wire []byte) {
		var b change.Batch
		typ, v, err := reader.DecodeData(&b, "t", topic.Data{Body: wire})
		require.NoError(t, err)
		e, err := f.CompileFor("t", typ)
		require.NoError(t, err)
		body, ok, err := e.Append([]byte{}, &b, v)
		require.NoError(t, err, file)
		require.True(t, ok)
		gotType, got, err := side.DecodeData(&b, "t", topic.Data{Head: e.Head(), Body: body})
		require.NoError(t, err, file)
		require.Equal(t, schemaText(t, sorted(typ)), schemaText(t, sorted(gotType)), file)
		require.Equal(t, notation.Render(&b, v), notation.Render(&b, got), file)
		n++
	})
	require.Greater(t, n, 100)
}

// schemaText is a schema as JsonConverter writes it.
func schemaText(t *testing.T, typ *schema.Type) string {
	t.Helper()
	head, err := json.New(json.Options{SchemasEnable: true}).Head(typ)
	require.NoError(t, err)
	return string(head.Bytes)
}

// sorted is a type with its parameters in order of their names: JSON Schema has them in the order of a HashMap.
func sorted(t *schema.Type) *schema.Type {
	if t == nil {
		return nil
	}
	c := *t
	c.Params = nil
	names := map[string]string{}
	var keys []string
	for _, p := range t.Params {
		names[p.Name] = p.Value
		keys = append(keys, p.Name)
	}
	for _, key := range schema.JavaOrder(keys) {
		c.Params = append(c.Params, schema.Param{Name: key, Value: names[key]})
	}
	c.Key, c.Elem = sorted(t.Key), sorted(t.Elem)
	c.Fields = nil
	for _, f := range t.Fields {
		c.Fields = append(c.Fields, schema.Field{Name: f.Name, Type: sorted(f.Type)})
	}
	return &c
}

func TestNamesAndIDs(t *testing.T) {
	r := registrytest.New(t)
	point := structOf("a.Point", schema.Field{Name: "x", Type: text})
	write := func(properties map[string]string, typ *schema.Type, v func(*change.Batch) change.Value) error {
		f, _ := newFormat(t, properties)
		e, err := f.CompileFor("t", typ)
		require.NoError(t, err)
		var b change.Batch
		_, _, err = e.Append(nil, &b, v(&b))
		return err
	}
	x := func(b *change.Batch) change.Value { return notation.Run(b, change.Struct, []change.Value{b.Text("x")}) }
	const subjects = "io.confluent.kafka.serializers.subject."
	require.ErrorContains(t, write(at(r.URL, "auto.register.schemas", "false"), point, x), "Subject 't-value' not found.")
	require.NoError(t, write(at(r.URL), point, x))
	require.NoError(t, write(at(r.URL, "auto.register.schemas", "false"), point, x))
	require.NoError(t, write(at(r.URL, "auto.register.schemas", "false", "use.latest.version", "true"), point, x))
	require.NoError(t, write(at(r.URL, "value.subject.name.strategy", subjects+"RecordNameStrategy"), point, x))
	require.NoError(t, write(at(r.URL, "value.subject.name.strategy", subjects+"TopicRecordNameStrategy"), point, x))
	require.Len(t, r.Subjects(), 3)
	require.Contains(t, r.Subjects(), "a.Point")
	require.Contains(t, r.Subjects(), "t-a.Point")
	require.ErrorContains(t, write(at(r.URL, "value.subject.name.strategy", subjects+"RecordNameStrategy"), text, func(b *change.Batch) change.Value { return b.Text("x") }),
		"needs a record, but the schema is of type without a title")
	other := structOf("a.Point", schema.Field{Name: "y", Type: text})
	require.ErrorContains(t, write(at(r.URL, "auto.register.schemas", "false", "use.latest.version", "true"), other, x), "has other fields than what is written")
	require.ErrorContains(t, write(at(r.URL), nil, x), "no values without a schema")
	require.NoError(t, write(at(r.URL), nil, func(*change.Batch) change.Value { return change.NullValue() }))

	r.Put(90, `"string"`)
	_, side := newFormat(t, at(r.URL))
	var b change.Batch
	for body, want := range map[string]string{
		"":                         "Unknown magic byte!",
		"{\"a\":1}":                "Unknown magic byte!",
		"\x00\x00\x00\x00\x5a1":    "schema 90 is of type AVRO, not JSON",
		"\x00\x00\x00\x00\x63true": "Schema 99 not found",
	} {
		_, _, err := side.DecodeData(&b, "t", topic.Data{Body: []byte(body)})
		require.ErrorContains(t, err, want)
	}
	_, err := ParseOptions(at(r.URL, "decimal.format", "x"), false)
	require.ErrorContains(t, err, "String must be one of")
	_, err = (&Format{}).Compile(text)
	require.ErrorContains(t, err, "keys and values of records only")
}

// FuzzRead reads arbitrary schemas and values: none may panic, and what a type says, its schema says.
func FuzzRead(f *testing.F) {
	f.Add(`{"type":"object","properties":{"a":{"type":"integer","connect.index":0}}}`, `{"a":1}`)
	f.Add(`{"oneOf":[{"type":"null"},{"type":"array","connect.type":"map","items":{"type":"object","properties":{"key":{"type":"string"},"value":{"type":"number"}}}}]}`, `[{"key":"x","value":1e3}]`)
	f.Add(`{"allOf":[{"$ref":"#/a"}],"a":{"type":["string","null","number"],"default":"x"}}`, `null`)
	f.Fuzz(func(t *testing.T, schemaText, value string) {
		o := Options{Data: json.Options{JSONSchema: true, ReplaceNullWithDefault: true}}
		typ, err := parseSchema(&registry.Schema{Text: schemaText}, &o)
		if err != nil {
			return
		}
		again, err := appendSchema(nil, typ, &o, -1)
		if err == nil && !stdjson.Valid(again) {
			t.Fatalf("no JSON: %s", again)
		}
		var b change.Batch
		var r json.PayloadReader
		_, _ = r.Decode(&b, json.NewPayload(typ, o.Data), []byte(value))
	})
}
