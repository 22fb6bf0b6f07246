// SPDX-License-Identifier: Apache-2.0

package json_test

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter/json"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/sinks"
)

var withSchemas = json.Options{SchemasEnable: true, ReplaceNullWithDefault: true}

// decodeText decodes a value and renders it.
func decodeText(t testing.TB, o json.Options, wire string) (string, error) {
	t.Helper()
	var b sinks.Batch
	r, err := json.NewDecoder(o, o).Decode(&b, &topic.Record{Value: topic.Data{Body: []byte(wire)}})
	if err != nil {
		return "", err
	}
	return render(&b.Data, r.Value), nil
}

func TestDecodeFields(t *testing.T) {
	const fields = `{"schema":{"type":"struct","fields":[{"type":"int32","field":"a"},{"type":"string","optional":true,"field":"b"},` +
		`{"type":"int64","optional":true,"default":7,"field":"c"}]},"payload":%s}`
	for _, c := range []struct{ name, payload, want string }{
		{"in order", `{"a":1,"b":"x","c":3}`, `7{int 1; text "x"; int 3}`},
		{"any order", `{"c":3,"a":1,"b":"x"}`, `7{int 1; text "x"; int 3}`},
		{"missing", `{"a":1}`, `7{int 1; null; int 7}`},
		{"missing in the middle", `{"a":1,"c":3}`, `7{int 1; null; int 3}`},
		{"null with default", `{"a":1,"b":null,"c":null}`, `7{int 1; null; int 7}`},
		{"more than there are", `{"x":[{"y":"}"}],"a":1,"z":{},"b":"x","c":3,"q":null}`, `7{int 1; text "x"; int 3}`},
		{"blanks", "{ \"a\" : 1 ,\n\"b\":\t\"x\" , \"c\" : 3 }", `7{int 1; text "x"; int 3}`},
		{"escaped name", `{"\u0061":1,"b":"x","c":3}`, `7{int 1; text "x"; int 3}`},
		{"the last counts", `{"a":1,"b":"x","c":3,"a":9}`, `7{int 9; text "x"; int 3}`},
		{"wrong kinds", `{"a":"1","b":2,"c":{}}`, `7{int 0; null; int 0}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := decodeText(t, withSchemas, fmt.Sprintf(fields, c.payload))
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
	for _, c := range []struct{ name, payload, want string }{
		{"required and missing", `{"b":"x"}`, `Invalid null value for required INT32 field (field "a")`},
		{"only the first missing", `{"b":"x","c":3}`, `Invalid null value for required INT32 field (field "a")`},
		{"no object", `5`, `Structs should be encoded as JSON objects, but found NUMBER`},
		{"third member", `{"a":1},"x":2`, `requires "schema" and "payload" fields`},
		{"broken", `{"a":1,"b":"x`, `unexpected end at byte`},
		{"control character", "{\"a\":1,\"b\":\"\x01\"}", `unexpected character '\x01'`},
		{"unknown escape", `{"a":1,"b":"\q"}`, `unknown escape 'q'`},
		{"short escape", `{"a":1,"b":"\u12"}`, `malformed escape`},
		{"malformed UTF-8", "{\"a\":1,\"b\":\"\xff\"}", `malformed UTF-8`},
		{"comma missing", `{"a":1 "b":"x"}`, `unexpected character '"'`},
		{"too deep", `{"a":1,"b":` + strings.Repeat("[", 2000) + `}`, `nested too deep`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := decodeText(t, withSchemas, fmt.Sprintf(fields, c.payload))
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "convert value: ")
		})
	}
}

func TestDecodeFloats(t *testing.T) {
	for payload, want := range map[string]float64{
		`"NaN"`: math.NaN(), `"Infinity"`: math.Inf(1), `"-Infinity"`: math.Inf(-1), `-0.0`: math.Copysign(0, -1), `"text"`: 0, `1e400`: math.Inf(1),
	} {
		for _, kind := range []string{"float", "double"} {
			var b sinks.Batch
			wire := fmt.Sprintf(`{"schema":{"type":%q},"payload":%s}`, kind, payload)
			r, err := json.NewDecoder(withSchemas, withSchemas).Decode(&b, &topic.Record{Value: topic.Data{Body: []byte(wire)}})
			require.NoError(t, err)
			got := r.Value.Float()
			require.Equal(t, math.IsNaN(want), math.IsNaN(got), wire)
			if !math.IsNaN(want) {
				require.Equal(t, math.Float64bits(want), math.Float64bits(got), wire)
			}
		}
	}
}

// TestNullInEnvelope proves that null in the rows of a complete change event stays null, where other records get the
// column's default for it.
func TestNullInEnvelope(t *testing.T) {
	const row = `{"type":"struct","optional":true,"fields":[{"type":"int32","field":"id"},{"type":"int32","optional":true,"default":5,"field":"n"},` +
		`{"type":"int32","default":6,"field":"r"}],"field":%q}`
	const envelope = `{"schema":{"type":"struct","fields":[` + row + `,` + row + `,{"type":"struct","fields":[` +
		`{"type":"string","optional":true,"default":"false","field":"snapshot"}],"field":"source"},{"type":"string","field":"op"}]},` +
		`"payload":{"before":null,"after":{"id":1,"n":null,"r":null},"source":{"snapshot":null},"op":"c"}}`
	got, err := decodeText(t, withSchemas, fmt.Sprintf(envelope, "before", "after"))
	require.NoError(t, err)
	require.Equal(t, `7{null; 7{int 1; null; int 6}; 7{text "false"}; text "c"}`, got)

	flat := `{"schema":` + fmt.Sprintf(row, "x") + `,"payload":{"id":1,"n":null,"r":null}}`
	got, err = decodeText(t, withSchemas, flat)
	require.NoError(t, err)
	require.Equal(t, `7{int 1; int 5; int 6}`, got)

	_, err = decodeText(t, json.Options{SchemasEnable: true}, flat)
	require.ErrorContains(t, err, `Invalid null value for required INT32 field (field "r")`)
}

func TestDecodeRecord(t *testing.T) {
	key, value := json.Options{}, withSchemas
	d := json.NewDecoder(key, value)
	in := topic.Record{
		Topic: "t", Partition: 3, Offset: 4, TimeMillis: 5, Headers: []topic.Header{{Key: "h", Value: []byte("v")}},
		Key: topic.Data{Body: []byte(`{"id":1}`)},
	}
	var b sinks.Batch
	r, err := d.Decode(&b, &in)
	require.NoError(t, err)
	require.True(t, r.IsTombstone())
	require.Nil(t, r.KeyType)
	require.Equal(t, `9{text "id" = int 1}`, render(&b.Data, r.Key))
	r.Key, r.Value = change.Value{}, change.Value{}
	require.Equal(t, sinks.Record{Topic: "t", Partition: 3, Offset: 4, TimeMillis: 5, Headers: in.Headers}, r)

	in.Key.Body = []byte(`{`)
	_, err = d.Decode(&b, &in)
	require.ErrorContains(t, err, "convert key: Converting byte[] to Kafka Connect data failed due to serialization error: unexpected end")
}

// TestZeroBytes tells an empty record from a null one.
func TestZeroBytes(t *testing.T) {
	for _, o := range []json.Options{{}, withSchemas} {
		var b sinks.Batch
		r, err := json.NewDecoder(o, o).Decode(&b, &topic.Record{Value: topic.Data{Body: []byte{}}})
		if o.SchemasEnable {
			require.ErrorContains(t, err, "set schemas.enable=false")
			continue
		}
		require.NoError(t, err)
		require.True(t, r.IsTombstone())
	}
}

func TestSameSchemaSamePointer(t *testing.T) {
	d := json.NewDecoder(withSchemas, withSchemas)
	decode := func(schemaText string, head bool) *schema.Type {
		data := topic.Data{Head: &topic.Head{Bytes: []byte(`{"schema":` + schemaText + `,"payload":`)}, Body: []byte(`1}`)}
		if !head {
			data = topic.Data{Body: data.Bytes()}
		}
		var b sinks.Batch
		r, err := d.Decode(&b, &topic.Record{Topic: "t", Value: data})
		require.NoError(t, err)
		return r.ValueType
	}
	first := decode(`{"type":"int32","optional":false}`, true)
	require.Same(t, first, decode(`{"type":"int32","optional":false}`, true), "another head of the same content")
	require.Same(t, first, decode(`{"type":"int32","optional":false}`, false), "without a head")
	require.Same(t, first, decode(`{"optional":false,"type":"int32"}`, false), "other order of members")
	require.Same(t, first, decode(`{"type":"int32"}`, false), "defaults left out")
	require.NotSame(t, first, decode(`{"type":"int32","optional":true}`, false))
	require.NotSame(t, first, decode(`{"type":"int32","doc":"x"}`, false))
}

// TestSchemasAreBounded floods a decoder with schemas: it must keep some and let the others go.
func TestSchemasAreBounded(t *testing.T) {
	d := json.NewDecoder(withSchemas, withSchemas)
	var b sinks.Batch
	decode := func(i int) *schema.Type {
		b.Reset()
		wire := fmt.Sprintf(`{"schema":{"type":"int32","doc":"%s %d"},"payload":1}`, strings.Repeat("x", 2000), i)
		r, err := d.Decode(&b, &topic.Record{Topic: fmt.Sprint(i), Value: topic.Data{Body: []byte(wire)}})
		require.NoError(t, err)
		return r.ValueType
	}
	first := decode(0)
	for i := range 1000 {
		decode(i)
	}
	require.Same(t, first, decode(0), "a thousand schemas are kept")
	for i := range 6000 {
		decode(i)
	}
	require.NotSame(t, first, decode(0), "not all are")
	runtime.KeepAlive(d)
}

func TestHeadThatIsNoHead(t *testing.T) {
	// A head that does not end right before the payload is read together with its body.
	d := json.NewDecoder(withSchemas, withSchemas)
	var b sinks.Batch
	r, err := d.Decode(&b, &topic.Record{Value: topic.Data{Head: &topic.Head{Bytes: []byte(`{"schema":{"ty`)}, Body: []byte(`pe":"int32"},"payload":5}`)}})
	require.NoError(t, err)
	require.Equal(t, int64(5), r.Value.Int())

	// The schema is not wanted: the record is read as the object it is.
	plain := json.NewDecoder(json.Options{}, json.Options{})
	r, err = plain.Decode(&b, &topic.Record{Value: topic.Data{Head: &topic.Head{Bytes: []byte(`{"schema":null,"payload":`)}, Body: []byte(`5}`)}})
	require.NoError(t, err)
	require.Equal(t, `9{text "payload" = int 5; text "schema" = null}`, render(&b.Data, r.Value))
}

func TestSchemalessMapsKeepTheLastOfRepeatedMembers(t *testing.T) {
	got, err := decodeText(t, json.Options{}, `{"a":1,"b":2,"a":3}`)
	require.NoError(t, err)
	require.Equal(t, `9{text "a" = int 3; text "b" = int 2}`, got)

	var wire strings.Builder
	for range 2 {
		for i := range 100 {
			fmt.Fprintf(&wire, `,"k%d":%d`, i, wire.Len())
		}
	}
	var b sinks.Batch
	r, err := json.NewDecoder(json.Options{}, json.Options{}).Decode(&b, &topic.Record{Value: topic.Data{Body: []byte("{" + wire.String()[1:] + "}")}})
	require.NoError(t, err)
	require.Len(t, b.Data.Elems(r.Value), 200)
	require.Greater(t, b.Data.Elems(r.Value)[1].Int(), int64(600), "the second of each")
}

func TestNoAllocations(t *testing.T) {
	var b change.Batch
	c := orderChange(&b, change.Update)
	for _, o := range []json.Options{withSchemas, {}, {DecimalFormat: json.Numeric}} {
		e := mustEnvelope(t, o)
		dst, err := e.AppendValue(nil, &b, &c, now)
		require.NoError(t, err)
		require.Zero(t, testing.AllocsPerRun(100, func() { dst, _ = e.AppendValue(dst[:0], &b, &c, now) }))

		for _, headed := range []bool{true, false} {
			record := updateRecord(t, o, headed)
			d := json.NewDecoder(o, o)
			var out sinks.Batch
			decode := func() {
				out.Data.Reset()
				if _, err = d.Decode(&out, record); err != nil {
					panic(err)
				}
			}
			decode()
			decode()
			require.Zero(t, testing.AllocsPerRun(100, decode), "%+v headed %v", o, headed)
		}
	}
	// Records of other producers, with blanks and the members swapped.
	record := &topic.Record{Value: topic.Data{Body: []byte(
		`{ "payload": {"b": "\u00e9", "a": 1.5e1}, "schema": {"type": "struct", "fields": [{"type": "int32", "field": "a"}, {"type": "string", "field": "b"}]} }`)}}
	d := json.NewDecoder(withSchemas, withSchemas)
	var out sinks.Batch
	require.Zero(t, testing.AllocsPerRun(100, func() {
		out.Data.Reset()
		if _, err := d.Decode(&out, record); err != nil {
			panic(err)
		}
	}))
}

func TestDecodeEdges(t *testing.T) {
	const pairs = `{"type":"map","keys":{"type":"int32"},"values":{"type":"string","optional":true}}`
	const decimal = `{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}}`
	for _, c := range []struct{ name, schema, payload, want, refused string }{
		{"array of an object", `{"type":"array","items":{"type":"int8"}}`, `{"a":1}`, `8{}`, ""},
		{"map of a number", `{"type":"map","keys":{"type":"string"},"values":{"type":"int8"}}`, `5`, "", "Maps with string fields should be encoded as JSON objects, but found NUMBER"},
		{"pairs of an object", pairs, `{"1":"a"}`, "", "Maps with non-string fields should be encoded as JSON arrays of tuples, but found OBJECT"},
		{"pairs of three", pairs, `[[1,"a",{}]]`, "", "expected length 2 but found :3"},
		{"repeated pairs", pairs, `[[1,"a"],[2,null],[1,"b"]]`, `9{int 1 = text "b"; int 2 = null}`, ""},
		{"pair of texts", pairs, `["ab"]`, "", "Found invalid map entry instead of array tuple: STRING"},
		{"decimal of an object", decimal, `{}`, "", "should be numeric or bytes but was OBJECT"},
		{"decimal of no bytes", decimal, `""`, "", "Invalid bytes for Decimal field"},
		{"decimal with more digits", decimal, `1.255`, "", "Invalid number for Decimal field of scale 2: 1.255"},
		{"decimal with an exponent", decimal, `-1.2e1`, `bytes fb50`, ""},
		{"decimal without scale", `{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal"}`, `1.2`, "", "scale parameter not found"},
		{"decimal of an odd scale", strings.Replace(decimal, `"2"`, `"x"`, 1), `1.2`, "", "Invalid scale parameter found in Decimal schema: x"},
		{"escaped base64", `{"type":"bytes"}`, `"\u0041Q\/\/"`, `bytes 010fff`, ""},
		{"date beyond its type", `{"type":"int32","name":"org.apache.kafka.connect.data.Date"}`, `3000000000`, "", "should be integer but was NUMBER"},
		{"timestamp with a fraction", `{"type":"int64","name":"org.apache.kafka.connect.data.Timestamp"}`, `1.5`, "", "should be integral but was NUMBER"},
		{"time of null", `{"type":"int32","optional":true,"name":"org.apache.kafka.connect.data.Time"}`, `null`, `null`, ""},
		{"surrogates", `{"type":"string"}`, `"\ud83d\ude00 \ud83d \ude00\ud83dx"`, `text "😀 \xed\xa0\xbd \xed\xb8\x80\xed\xa0\xbdx"`, ""},
		{"raw surrogate", `{"type":"string"}`, "\"\xed\xa0\xbd\"", `text "\xed\xa0\xbd"`, ""},
		{"all escapes", `{"type":"string"}`, `"\"\\\/\b\f\n\r\t\u00Ff"`, `text "\"\\/\b\f\n\r\tÿ"`, ""},
		{"literal with more", `{"type":"boolean"}`, `truex`, "", "unexpected character 'x'"},
		{"number with more", `{"type":"int8"}`, `1x`, "", "unexpected character 'x'"},
		{"minus alone", `{"type":"int8"}`, `-`, "", "unexpected character '}'"},
		{"point alone", `{"type":"double"}`, `1.`, "", "unexpected character '}'"},
		{"exponent alone", `{"type":"double"}`, `1e+`, "", "unexpected character '}'"},
		{"wide number", `{"type":"int16"}`, `12345678901234567890123`, "int 17611", ""},
		{"repeated field", `{"type":"struct","fields":[{"type":"int8","field":"a"},{"type":"int8","field":"a"}]}`, `{}`, "", "field name duplication a"},
		{"bad nested schema", `{"type":"struct","fields":[{"type":"int7","field":"a"}]}`, `{}`, "", `Unknown schema type: int7 (field "a")`},
		{"map without values", `{"type":"map","keys":{"type":"int8"}}`, `{}`, "", "Map schema did not specify the value type"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := decodeText(t, withSchemas, `{"schema":`+c.schema+`,"payload":`+c.payload+`}`)
			if c.refused != "" {
				require.ErrorContains(t, err, c.refused)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

// TestDamagedRecords cuts a record at every place, which is always refused, and damages every byte of it, which must
// not do more harm than a wrong value.
func TestDamagedRecords(t *testing.T) {
	for _, o := range []json.Options{withSchemas, {}} {
		record := updateRecord(t, o, true)
		body := record.Value.Body
		d := json.NewDecoder(o, o)
		var b sinks.Batch
		for n := range body {
			b.Reset()
			record.Value.Body = body[:n:n]
			if _, err := d.Decode(&b, record); n > 0 || o.SchemasEnable {
				require.Error(t, err, "%q", body[:n])
			}
		}
		for n := range body {
			for _, c := range []byte("\"}[\\\xff") {
				damaged := append([]byte{}, body...)
				damaged[n] = c
				record.Value.Body = damaged
				b.Reset()
				if r, err := d.Decode(&b, record); err == nil {
					require.NotEmpty(t, render(&b.Data, r.Value))
				}
			}
		}
		record.Value.Body = body
		_, err := d.Decode(&b, record)
		require.NoError(t, err, "a refused record leaves nothing behind")
	}
}

// A schema of the settings stands for the one that records do not bring.
func TestSchemaContent(t *testing.T) {
	const text = `{"type":"struct","fields":[{"type":"int8","field":"a"},{"type":"string","optional":true,"default":"d","field":"b"}]}`
	side := json.NewSide(mustOptions(t, map[string]string{"schema.content": text}))
	var b change.Batch
	typ, v, err := side.DecodeData(&b, "t", topic.Data{Body: []byte(`{"a":300}`)})
	require.NoError(t, err)
	require.Equal(t, schema.Struct, typ.Kind)
	require.Equal(t, `7{int 44; text "d"}`, render(&b, v))
	_, _, err = side.DecodeData(&b, "t", topic.Data{Body: []byte{}})
	requireDataError(t, "Invalid null value for required STRUCT field", err)
	typ, v, err = side.DecodeData(&b, "t", topic.Data{})
	require.NoError(t, err)
	require.Nil(t, typ)
	require.True(t, v.IsNull())

	for _, bad := range []string{`{"type":"odd"}`, `{`, "x"} {
		_, err = json.ParseOptions(map[string]string{"schema.content": bad})
		require.ErrorContains(t, err, "Failed to parse schema in converter config due to serialization error: ", bad)
	}
}
