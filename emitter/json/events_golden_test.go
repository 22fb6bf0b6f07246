// SPDX-License-Identifier: Apache-2.0

package json_test

import (
	"bytes"
	stdjson "encoding/json"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/change"
	"freshet/emitter"
	"freshet/emitter/json"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/sinks"
)

// goldenEvents are the wire texts of keys and values of all recorded events of a database that JsonConverter wrote with
// schemas, by case.
func goldenEvents(t testing.TB, database string) map[string][][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(goldenDir(), database, "*", "events.jsonl"))
	require.NoError(t, err)
	events := map[string][][]byte{}
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		for _, line := range goldenLines(t, filepath.Join(database, name, "events.jsonl")) {
			var r struct{ Key, Value stdjson.RawMessage }
			require.NoError(t, stdjson.Unmarshal(line, &r))
			for _, wire := range []stdjson.RawMessage{r.Key, r.Value} {
				if bytes.HasPrefix(wire, []byte(`{"schema":{`)) {
					events[name] = append(events[name], wire)
				}
			}
		}
	}
	return events
}

// TestGoldenJSONConverterEvents reads each recorded key and value and writes it again: the text must not change. It
// covers the schemas and values of every recorded type, and null, which stands for itself here on both sides.
func TestGoldenJSONConverterEvents(t *testing.T) {
	options := json.Options{SchemasEnable: true}
	for name, wires := range goldenEvents(t, "postgres") {
		t.Run(name, func(t *testing.T) {
			format, decoder := json.New(options), json.NewDecoder(options, options)
			var b sinks.Batch
			for _, wire := range wires {
				b.Reset()
				r, err := decoder.Decode(&b, &topic.Record{Topic: name, Value: topic.Data{Body: wire}})
				require.NoError(t, err, string(wire))
				e, err := format.Compile(r.ValueType)
				require.NoError(t, err)
				body, ok, err := e.Append(nil, &b.Data, r.Value)
				require.NoError(t, err)
				require.True(t, ok)
				got := topic.Data{Head: e.Head(), Body: body}.Bytes()
				if string(got) != string(wire) {
					requireSameNumbers(t, string(wire), string(got))
				}
			}
		})
	}
}

var floatText = regexp.MustCompile(`-?\d+\.\d+(?:E-?\d+)?`)

// requireSameNumbers compares two texts in which floats may have other digits for the same number: JDK 17 does not
// always print the shortest.
func requireSameNumbers(t testing.TB, want, got string) {
	t.Helper()
	require.Equal(t, floatText.ReplaceAllString(want, "#"), floatText.ReplaceAllString(got, "#"))
	wants, gots := floatText.FindAllString(want, -1), floatText.FindAllString(got, -1)
	for i := range wants {
		require.InEpsilon(t, number(t, wants[i]), number(t, gots[i]), 1e-7) // a float32 has seven digits
		require.LessOrEqual(t, len(gots[i]), len(wants[i]))
	}
}

func number(t testing.TB, text string) float64 {
	t.Helper()
	var f float64
	require.NoError(t, stdjson.Unmarshal([]byte(text), &f))
	return f
}

// TestGoldenEnvelopes puts the recorded change events through the encoder of envelopes: table, source block and change
// are made of the event, and must give its text.
func TestGoldenEnvelopes(t *testing.T) {
	options := json.Options{SchemasEnable: true, ReplaceNullWithDefault: true}
	decoder := json.NewDecoder(options, json.Options{SchemasEnable: true})
	format := json.New(options)
	n := 0
	events := goldenEvents(t, "postgres")
	for name, wires := range events {
		t.Run(name, func(t *testing.T) {
			encoders := map[*schema.Type]emitter.EnvelopeEncoder{}
			for _, wire := range wires {
				var b sinks.Batch
				r, err := decoder.Decode(&b, &topic.Record{Topic: name, Value: topic.Data{Body: wire}})
				require.NoError(t, err)
				if len(r.ValueType.Fields) != 8 || r.ValueType.Fields[0].Name != "before" || transaction(&b, &r) {
					continue // a key, a flat record, or an event with transaction metadata
				}
				n++
				if encoders[r.ValueType] == nil {
					encoders[r.ValueType], err = format.CompileEnvelope(recordedEnvelope(r.ValueType))
					require.NoError(t, err)
				}
				got := envelopeText(t, encoders[r.ValueType], &b, &r)
				if got != string(wire) {
					requireSameNumbers(t, string(wire), got)
				}
			}
		})
	}
	require.Equal(t, len(events) > 0, n > 0)
}

func transaction(b *sinks.Batch, r *sinks.Record) bool {
	return !b.Data.Elems(r.Value)[3].IsNull()
}

// recordedEnvelope is what an event's schema says of its table and source block, all of whose fields vary.
func recordedEnvelope(typ *schema.Type) *emitter.Envelope {
	e := &emitter.Envelope{Type: typ, Table: &schema.Table{ID: schema.ID{Name: "t"}}}
	for _, f := range typ.Fields[1].Type.Fields {
		e.Table.Columns = append(e.Table.Columns, schema.Column{Name: f.Name, Type: f.Type})
	}
	for _, f := range typ.Fields[2].Type.Fields {
		e.Source.Block.Fields = append(e.Source.Block.Fields, capture.SourceField{Name: f.Name, Type: f.Type, From: capture.FromRow})
	}
	return e
}

// envelopeText makes a change of an event and writes it.
func envelopeText(t testing.TB, encoder emitter.EnvelopeEncoder, b *sinks.Batch, r *sinks.Record) string {
	t.Helper()
	rows := b.Data.Elems(r.Value)
	c := change.Change{Op: change.Op(b.Data.Bytes(rows[4])[0]), Source: b.Data.RowOf(rows[2])}
	if !rows[0].IsNull() {
		c.Before = b.Data.RowOf(rows[0])
	}
	if !rows[1].IsNull() {
		c.After = b.Data.RowOf(rows[1])
	}
	body, err := encoder.AppendValue(nil, &b.Data, &c, 0) // the recording's times are masked
	require.NoError(t, err)
	return string(topic.Data{Head: encoder.Head(), Body: body}.Bytes())
}
