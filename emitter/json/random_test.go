// SPDX-License-Identifier: Apache-2.0

package json_test

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter/json"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/sinks"
)

// maker makes random schemas and values of them, the same ones for the same seed.
type maker struct {
	*rand.Rand
	b *change.Batch
}

var makerTexts = []string{
	"", "a", "plain text that is longer than eight bytes", `q"uote`, `back\slash`, "\x00\x01\x1f\x7f", "\b\f\n\r\t", "é", "中文字",
	"\u2028", "\uFEFF", "😀", "a😀b", "\xED\xA0\xBD", "x\xED\xB8\x80", "</script>", "null", "NaN", `{"a":1}`, "ends with \\",
}

func (m *maker) text() string {
	var s strings.Builder
	for range m.IntN(3) {
		s.WriteString(makerTexts[m.IntN(len(makerTexts))])
	}
	return s.String()
}

var makerKinds = []schema.Type{
	{Kind: schema.Int8},
	{Kind: schema.Int16},
	{Kind: schema.Int32},
	{Kind: schema.Int64},
	{Kind: schema.Float32},
	{Kind: schema.Float64},
	{Kind: schema.Boolean},
	{Kind: schema.String},
	{Kind: schema.Bytes},
	{Kind: schema.Bytes, Name: schema.Decimal, Version: 1},
	{Kind: schema.Int32, Name: schema.ConnectDate, Version: 1},
	{Kind: schema.Int32, Name: schema.ConnectTime, Version: 1},
	{Kind: schema.Int64, Name: schema.ConnectTimestamp, Version: 1},
	{Kind: schema.Array},
	{Kind: schema.Map},
	{Kind: schema.Struct},
}

// schema makes a type with at most depth levels below it.
func (m *maker) schema(depth int) *schema.Type {
	n := len(makerKinds)
	if depth == 0 {
		n -= 3
	}
	t := makerKinds[m.IntN(n)]
	t.Optional = m.IntN(2) == 0
	switch {
	case t.Name == schema.Decimal:
		t.Params = []schema.Param{{Name: "scale", Value: fmt.Sprint(m.IntN(40) - 5)}}
	case t.Kind == schema.Array:
		t.Elem = m.schema(depth - 1)
	case t.Kind == schema.Map:
		t.Key, t.Elem = &schema.Type{Kind: schema.String}, m.schema(depth-1)
		if m.IntN(2) == 0 {
			t.Key = &schema.Type{Kind: schema.Int64}
		}
	case t.Kind == schema.Struct:
		t.Name = m.text()
		t.Fields = []schema.Field{}
		for i := range m.IntN(5) {
			t.Fields = append(t.Fields, schema.Field{Name: fmt.Sprint(i, m.text()), Type: m.schema(depth - 1)})
		}
	}
	if m.IntN(4) == 0 {
		t.Doc = m.text()
		t.Params = append(t.Params, schema.Param{Name: "p", Value: m.text()})
	}
	if m.IntN(4) == 0 {
		t.Default = m.b.Literal(m.some(&t))
	}
	return &t
}

// value makes a value, null where that is told from the default.
func (m *maker) value(t *schema.Type) change.Value {
	if t.Optional && t.Default == nil && m.IntN(3) == 0 {
		return change.NullValue()
	}
	return m.some(t)
}

func (m *maker) some(t *schema.Type) change.Value {
	switch t.Name {
	case schema.Decimal:
		x := big.NewInt(m.Int64() >> m.IntN(63))
		if m.IntN(4) == 0 {
			x.Lsh(x, uint(m.IntN(1200)))
		}
		if m.IntN(2) == 0 {
			x.Neg(x)
		}
		return m.b.BytesOf(twos(x))
	case schema.ConnectTime:
		return change.IntValue(m.Int64N(86_400_001))
	}
	switch t.Kind {
	case schema.Int8:
		return change.IntValue(int64(int8(m.Int64())))
	case schema.Int16:
		return change.IntValue(int64(int16(m.Int64())))
	case schema.Int32:
		return change.IntValue(int64(int32(m.Int64())))
	case schema.Int64:
		return change.IntValue(int64(m.Uint64()) >> m.IntN(64))
	case schema.Float32:
		return change.FloatValue(float64(math.Float32frombits(m.Uint32())))
	case schema.Float64:
		return change.FloatValue(m.float())
	case schema.Boolean:
		return change.BoolValue(m.IntN(2) == 0)
	case schema.String:
		return m.b.Text(m.text())
	case schema.Bytes:
		return m.b.BytesOf([]byte(m.text()))
	}
	return m.container(t)
}

func (m *maker) float() float64 {
	if m.IntN(3) > 0 {
		return float64(m.IntN(2_000_001)-1_000_000) / math.Pow10(m.IntN(12))
	}
	return math.Float64frombits(m.Uint64())
}

func (m *maker) container(t *schema.Type) change.Value {
	var values []change.Value
	switch t.Kind {
	case schema.Array:
		for range m.IntN(4) {
			values = append(values, m.value(t.Elem))
		}
		return run(m.b, change.Array, values)
	case schema.Map:
		for i := range m.IntN(40) {
			key := change.IntValue(int64(i) - 5)
			if t.Key.Kind == schema.String {
				key = m.b.Text(fmt.Sprint(m.text(), i))
			}
			values = append(values, key, m.value(t.Elem))
		}
		return run(m.b, change.Map, values)
	}
	for _, f := range t.Fields {
		values = append(values, m.value(f.Type))
	}
	return run(m.b, change.Struct, values)
}

// TestRoundTrip encodes random values of random schemas and decodes them again, in each form that a record can have.
func TestRoundTrip(t *testing.T) {
	for seed := range uint64(400) {
		var b change.Batch
		m := maker{rand.New(rand.NewPCG(seed, 1)), &b}
		typ := m.schema(3)
		v := m.value(typ)
		o := json.Options{SchemasEnable: true, ReplaceNullWithDefault: seed%2 == 0}
		if seed%3 == 0 {
			o.DecimalFormat = json.Numeric
		}
		e, err := json.New(o).Compile(typ)
		require.NoError(t, err, "seed %d", seed)
		body, ok, err := e.Append(nil, &b, v)
		require.NoError(t, err, "seed %d", seed)
		require.True(t, ok)
		wire := topic.Data{Head: e.Head(), Body: body}
		require.True(t, stdjson.Valid(wire.Bytes()), "seed %d: %s", seed, wire.Bytes())

		want := render(&b, v)
		decoder := json.NewDecoder(o, o)
		var first *schema.Type
		for form, data := range forms(t, wire) {
			var out sinks.Batch
			r, err := decoder.Decode(&out, &topic.Record{Topic: "t", Value: data})
			require.NoError(t, err, "seed %d, %s: %s", seed, form, data.Bytes())
			require.Equal(t, want, render(&out.Data, r.Value), "seed %d, %s: %s", seed, form, data.Bytes())
			if first == nil {
				first = r.ValueType
			}
			require.Same(t, first, r.ValueType, "seed %d, %s", seed, form)
		}
		again, err := json.New(o).Compile(first)
		require.NoError(t, err)
		require.Equal(t, string(e.Head().Bytes), string(again.Head().Bytes), "seed %d", seed)
		require.Equal(t, e.Head().ID, again.Head().ID)
	}
}

// forms are the ways in which the same record may be stored.
func forms(t *testing.T, wire topic.Data) map[string]topic.Data {
	var blanks bytes.Buffer
	require.NoError(t, stdjson.Indent(&blanks, wire.Bytes(), " ", "\t"))
	var m struct{ Schema, Payload stdjson.RawMessage }
	require.NoError(t, stdjson.Unmarshal(wire.Bytes(), &m))
	return map[string]topic.Data{
		"head":    wire,
		"whole":   {Body: wire.Bytes()},
		"again":   {Body: wire.Bytes()},
		"blanks":  {Body: blanks.Bytes()},
		"swapped": {Body: []byte(`{"payload":` + string(m.Payload) + `,"schema":` + string(m.Schema) + `}`)},
	}
}

// TestEnvelopeEqualsBuilt proves that the encoder of changes and the encoder of envelopes built as values write the
// same bytes.
func TestEnvelopeEqualsBuilt(t *testing.T) {
	for seed := range uint64(200) {
		var b change.Batch
		m := maker{rand.New(rand.NewPCG(seed, 2)), &b}
		table := &schema.Table{ID: schema.ID{Catalog: "c", Schema: "s", Name: m.text()}}
		for i := range m.IntN(6) {
			typ := m.schema(2)
			column := schema.Column{Name: fmt.Sprint(m.text(), i), Type: typ, Fallback: b.Literal(m.some(typ))}
			if m.IntN(2) == 0 {
				column.Unavailable = b.Literal(m.some(typ))
			}
			table.Columns = append(table.Columns, column)
		}
		c := change.Change{Table: table, Op: change.Update, SourceMicros: sourceMicros, Source: sourceRow(&b)}
		c.Snapshot = change.Snapshot(m.IntN(int(change.SnapshotIncremental) + 1))
		c.Before, c.After = m.row(table), m.row(table)
		if m.IntN(3) == 0 {
			c.Before = change.Row{}
		}
		envelope := envelopeOf(table, "p.s.t")
		format := json.New(json.Options{SchemasEnable: seed%2 == 0, ReplaceNullWithDefault: true})
		direct, err := format.CompileEnvelope(envelope)
		require.NoError(t, err)
		got, err := direct.AppendValue(nil, &b, &c, now)
		require.NoError(t, err, "seed %d", seed)
		built, err := format.Compile(envelope.Type)
		require.NoError(t, err)
		want, _, err := built.Append(nil, &b, envelope.Build(&b, &c, now))
		require.NoError(t, err, "seed %d", seed)
		require.Equal(t, string(want), string(got), "seed %d", seed)
		require.Same(t, built.Head(), direct.Head())
	}
}

// row makes a row in which any value may be null or unavailable.
func (m *maker) row(table *schema.Table) change.Row {
	values := make([]change.Value, len(table.Columns))
	for i, c := range table.Columns {
		switch m.IntN(6) {
		case 0:
			values[i] = change.UnavailableValue()
		case 1, 2: // null
		default:
			values[i] = m.value(c.Type)
		}
	}
	r := m.b.NewRow(len(values))
	copy(m.b.Values(r), values)
	return r
}
