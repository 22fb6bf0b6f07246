// SPDX-License-Identifier: Apache-2.0

package json_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/change"
	"freshet/emitter"
	"freshet/emitter/json"
	"freshet/emitter/topic"
	"freshet/schema"
)

// shopTable is public.orders(id serial, sku varchar not null, qty int default 1, price numeric(10,2), created timestamptz
// not null, doc text) with a large document.
func shopTable() *schema.Table {
	return &schema.Table{ID: schema.ID{Catalog: "shopdb", Schema: "public", Name: "orders"}, Columns: []schema.Column{
		{Name: "id", Type: &schema.Type{Kind: schema.Int32, Default: int64(0)}, Fallback: int64(9)},
		{Name: "sku", Type: &schema.Type{Kind: schema.String}, Fallback: ""},
		{Name: "qty", Type: &schema.Type{Kind: schema.Int32, Optional: true, Default: int64(1)}},
		{Name: "price", Type: &schema.Type{
			Kind: schema.Bytes, Name: schema.Decimal, Version: 1, Optional: true,
			Params: []schema.Param{{Name: "scale", Value: "2"}, {Name: "connect.decimal.precision", Value: "10"}},
		}},
		{Name: "created", Type: &schema.Type{Kind: schema.String, Name: schema.ZonedTimestamp, Version: 1}, Fallback: "1970-01-01T00:00:00Z"},
		{Name: "doc", Type: &schema.Type{Kind: schema.String, Optional: true}, Unavailable: "__debezium_unavailable_value"},
	}}
}

func shopRow(b *change.Batch, values ...change.Value) change.Row {
	r := b.NewRow(6)
	copy(b.Values(r), values)
	return r
}

func TestEnvelope(t *testing.T) {
	const source = `"source":{"version":"3.6.1.Final","connector":"postgresql","name":"dbserver1","ts_ms":1795256130124,"snapshot":%s,` +
		`"db":"shopdb","sequence":"[\"26523000\",\"26523128\"]","ts_us":1795256130124001,"ts_ns":1795256130124001000,"schema":"public",` +
		`"table":"orders","txId":771,"lsn":26523128,"xmin":null,"origin":null,"origin_lsn":null},"transaction":null,"op":%q,` +
		`"ts_ms":1795256130340,"ts_us":1795256130340512,"ts_ns":1795256130340512000}`
	var b change.Batch
	full := shopRow(&b, change.IntValue(1), b.Text("A-7"), change.IntValue(2), b.BytesOf([]byte{0x04, 0xE2}), b.Text("2026-11-21T10:15:30.123456Z"), b.Text("d"))
	half := shopRow(&b, change.IntValue(1))
	toast := shopRow(&b, change.IntValue(1), b.Text("A"), change.IntValue(2), change.NullValue(), b.Text("T"), change.UnavailableValue())
	const fullText = `{"id":1,"sku":"A-7","qty":2,"price":"BOI=","created":"2026-11-21T10:15:30.123456Z","doc":"d"}`
	for _, c := range []struct {
		name     string
		keepNull bool
		change   change.Change
		want     string
	}{
		{"create", false, change.Change{Op: change.Create, After: full}, `{"before":null,"after":` + fullText + `,` + fmt.Sprintf(source, `"false"`, "c")},
		{"read", false, change.Change{Op: change.Read, After: full, Snapshot: change.SnapshotLast}, `{"before":null,"after":` + fullText + `,` + fmt.Sprintf(source, `"last"`, "r")},
		{"truncate", false, change.Change{Op: change.Truncate}, `{"before":null,"after":null,` + fmt.Sprintf(source, `"false"`, "t")},
		{
			"delete with key only", false,
			change.Change{Op: change.Delete, Before: half},
			`{"before":{"id":1,"sku":"","qty":1,"price":null,"created":"1970-01-01T00:00:00Z","doc":null},"after":null,` + fmt.Sprintf(source, `"false"`, "d"),
		},
		{
			"delete with key only, nulls kept", true,
			change.Change{Op: change.Delete, Before: shopRow(&b)},
			`{"before":{"id":0,"sku":"","qty":null,"price":null,"created":"1970-01-01T00:00:00Z","doc":null},"after":null,` + fmt.Sprintf(source, `null`, "d"),
		},
		{
			"update without the document", false,
			change.Change{Op: change.Update, After: toast},
			`{"before":null,"after":{"id":1,"sku":"A","qty":2,"price":null,"created":"T","doc":"__debezium_unavailable_value"},` + fmt.Sprintf(source, `"false"`, "u"),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, err := json.New(json.Options{ReplaceNullWithDefault: !c.keepNull}).CompileEnvelope(envelopeOf(shopTable(), "shop"))
			require.NoError(t, err)
			require.Nil(t, e.Head())
			c.change.Source, c.change.SourceMicros = sourceRow(&b), sourceMicros
			got, err := e.AppendValue([]byte("x"), &b, &c.change, now)
			require.NoError(t, err)
			require.Equal(t, "x"+c.want, string(got))

			e, err = json.New(json.Options{SchemasEnable: true, ReplaceNullWithDefault: !c.keepNull}).CompileEnvelope(envelopeOf(shopTable(), "shop"))
			require.NoError(t, err)
			got, err = e.AppendValue(nil, &b, &c.change, now)
			require.NoError(t, err)
			require.Equal(t, c.want+"}", string(got))
		})
	}
}

func TestEnvelopeErrors(t *testing.T) {
	var b change.Batch
	compile := func(e *emitter.Envelope) emitter.EnvelopeEncoder {
		t.Helper()
		out, err := json.New(json.Options{}).CompileEnvelope(e)
		require.NoError(t, err)
		return out
	}
	table := shopTable()
	table.Columns[1].Fallback = nil
	e := compile(envelopeOf(table, "shop"))
	_, err := e.AppendValue(nil, &b, &change.Change{Op: change.Create, After: shopRow(&b)}, now)
	require.EqualError(t, err, `Conversion error: null value for field that is required and has no default value (field "after.sku")`)
	_, err = e.AppendValue(nil, &b, &change.Change{Op: change.Create, After: b.NewRow(2)}, now)
	require.EqualError(t, err, `Mismatching schema: 2 values for 6 fields (field "after")`)
	_, err = e.AppendValue(nil, &b, &change.Change{Op: change.Create, Source: b.NewRow(2)}, now)
	require.EqualError(t, err, `Mismatching schema: 2 values for 6 fields (field "source")`)
	_, err = e.AppendValue(nil, &b, &change.Change{Op: change.Create, After: shopRow(&b, b.Text("x"))}, now)
	require.EqualError(t, err, `Invalid type for INT32: class java.lang.String (field "after.id")`)

	odd := envelopeOf(table, "shop")
	odd.Type.Fields = append(odd.Type.Fields, schema.Field{Name: "message", Type: &schema.Type{Kind: schema.String, Optional: true}})
	_, err = json.New(json.Options{}).CompileEnvelope(odd)
	require.EqualError(t, err, `envelope of table "public.orders": nothing fills field "message"`)
	odd = envelopeOf(table, "shop")
	odd.Table = &schema.Table{ID: table.ID, Columns: table.Columns[:3]}
	_, err = json.New(json.Options{}).CompileEnvelope(odd)
	require.EqualError(t, err, `envelope of table "public.orders": field "before" has 6 members, the table 3 columns`)
}

func TestEmptyTableAndSource(t *testing.T) {
	table := &schema.Table{ID: schema.ID{Name: "t"}}
	e := envelopeOf(table, "e")
	e.Source.Block = capture.SourceBlock{}
	out, err := json.New(json.Options{}).CompileEnvelope(e)
	require.NoError(t, err)
	var b change.Batch
	got, err := out.AppendValue(nil, &b, &change.Change{Op: change.Create, After: b.NewRow(0)}, 1)
	require.NoError(t, err)
	require.Equal(t, `{"before":null,"after":{},"source":{},"transaction":null,"op":"c","ts_ms":0,"ts_us":0,"ts_ns":1}`, string(got))
}

func TestNullIsNoTombstoneWithASchema(t *testing.T) {
	var b change.Batch
	optional := &schema.Type{Kind: schema.Int32, Optional: true}
	for _, c := range []struct {
		options json.Options
		typ     *schema.Type
		want    string // "" for null bytes
	}{
		{json.Options{}, optional, "null"},
		{json.Options{SchemasEnable: true}, optional, `{"schema":{"type":"int32","optional":true},"payload":null}`},
		{json.Options{}, nil, ""},
		{json.Options{SchemasEnable: true}, nil, ""},
	} {
		e, err := json.New(c.options).Compile(c.typ)
		require.NoError(t, err)
		body, ok, err := e.Append(nil, &b, change.NullValue())
		require.NoError(t, err)
		require.Equal(t, c.want != "", ok)
		if ok {
			require.Equal(t, c.want, string(topic.Data{Head: e.Head(), Body: body}.Bytes()))
		}
	}
}

func TestEncodeErrors(t *testing.T) {
	var b change.Batch
	row := &schema.Type{Kind: schema.Struct, Fields: []schema.Field{{Name: "a", Type: &schema.Type{
		Kind: schema.Struct, Fields: []schema.Field{{Name: "b", Type: &schema.Type{Kind: schema.Array, Elem: &schema.Type{Kind: schema.Boolean}}}},
	}}}}
	nested := func(v change.Value) change.Value {
		return run(&b, change.Struct, []change.Value{run(&b, change.Struct, []change.Value{run(&b, change.Array, []change.Value{v})})})
	}
	e, err := json.New(json.Options{}).Compile(row)
	require.NoError(t, err)
	for want, v := range map[string]change.Value{
		`Invalid type for BOOLEAN: class java.lang.Long (field "a.b")`:                                                     change.IntValue(1),
		`Conversion error: null value for field that is required and has no default value (field "a.b")`:                   change.NullValue(),
		`Conversion error: the value was not sent by the database, and the schema has no placeholder for it (field "a.b")`: change.UnavailableValue(),
		`Invalid type for BOOLEAN: class java.util.ArrayList (field "a.b")`:                                                run(&b, change.Array, nil),
	} {
		_, ok, err := e.Append(nil, &b, nested(v))
		require.False(t, ok)
		require.EqualError(t, err, want)
	}

	_, err = json.New(json.Options{DecimalFormat: json.Numeric}).Compile(&schema.Type{Kind: schema.Bytes, Name: schema.Decimal})
	require.EqualError(t, err, "Invalid Decimal schema: scale parameter not found.")
	_, err = json.New(json.Options{}).Compile(&schema.Type{Kind: schema.Array, Elem: &schema.Type{}})
	require.EqualError(t, err, "Unknown schema type: invalid")
}

// TestCompileConcurrently compiles the same schemas from several goroutines: each content has one head.
func TestCompileConcurrently(t *testing.T) {
	format := json.New(json.Options{SchemasEnable: true})
	shared := &schema.Type{Kind: schema.String}
	var wg sync.WaitGroup
	heads, encoders := make([]*topic.Head, 8), make([]emitter.Encoder, 8)
	for i := range heads {
		wg.Go(func() {
			e, err := format.Compile(&schema.Type{Kind: schema.Int64, Doc: "same content"})
			if err == nil {
				heads[i] = e.Head()
			}
			encoders[i], _ = format.Compile(shared)
		})
	}
	wg.Wait()
	for i := range heads {
		require.NotNil(t, heads[i])
		require.Same(t, heads[0], heads[i])
		require.Same(t, encoders[0], encoders[i])
	}
}

func TestOptions(t *testing.T) {
	o, err := json.ParseOptions(nil)
	require.NoError(t, err)
	require.Equal(t, json.Options{SchemasEnable: true, DecimalFormat: json.Base64, ReplaceNullWithDefault: true}, o)
	o, err = json.ParseOptions(map[string]string{
		"schemas.enable": "False", "decimal.format": "numeric", "replace.null.with.default": " false ", "schemas.cache.size": "10",
	})
	require.NoError(t, err)
	require.Equal(t, json.Options{DecimalFormat: json.Numeric}, o)
	_, err = json.ParseOptions(map[string]string{"schemas.enable": "x", "replace.null.with.default": "y"})
	require.Len(t, strings.Split(err.Error(), "\n"), 2, "all problems at once")
	p := json.Plugin()
	require.True(t, p.Matches("org.apache.kafka.connect.json.JsonConverter"))
	require.True(t, p.Matches("JsonConverter"))
}

func ExampleNew() {
	point := &schema.Type{Kind: schema.Struct, Fields: []schema.Field{
		{Name: "x", Type: &schema.Type{Kind: schema.Int32}}, {Name: "label", Type: &schema.Type{Kind: schema.String, Optional: true}},
	}}
	encoder, err := json.New(json.Options{}).Compile(point)
	if err != nil {
		panic(err)
	}
	var b change.Batch
	row := b.NewRow(2)
	b.Set(row, 0, change.IntValue(7))
	text, _, err := encoder.Append(nil, &b, b.Run(change.Struct, row))
	fmt.Println(string(text), err)
	// Output: {"x":7,"label":null} <nil>
}
