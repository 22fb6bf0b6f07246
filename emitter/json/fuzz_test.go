// SPDX-License-Identifier: Apache-2.0

package json_test

import (
	"strings"
	"testing"

	"freshet/emitter/json"
	"freshet/emitter/topic"
	"freshet/sinks"
)

// fuzzSeeds are the inputs of the recorded reads, and an event of the benchmarks.
func fuzzSeeds(f *testing.F) [][]byte {
	var seeds [][]byte
	for _, file := range []string{"json-read-schemas.jsonl", "json-read-envelope.jsonl", "json-read-plain.jsonl"} {
		for _, c := range goldenCases(f, file) {
			seeds = append(seeds, c.In.Bytes(f))
		}
	}
	return append(seeds, updateRecord(f, withSchemas, false).Value.Bytes())
}

// FuzzDecode reads arbitrary bytes. What can be read can be written, and reads again as the same.
func FuzzDecode(f *testing.F) {
	for _, seed := range fuzzSeeds(f) {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, wire []byte, schemas bool) {
		o := json.Options{SchemasEnable: schemas}
		d := json.NewDecoder(o, o)
		var b sinks.Batch
		r, err := d.Decode(&b, &topic.Record{Topic: "t", Value: topic.Data{Body: wire}})
		if err != nil {
			return
		}
		e, err := json.New(o).Compile(r.ValueType)
		if err != nil {
			return // a default that its own schema refuses
		}
		body, ok, err := e.Append(nil, &b.Data, r.Value)
		if err != nil || !ok {
			return // null where the schema has no room for it: texts read from other kinds
		}
		again, err := d.Decode(&b, &topic.Record{Topic: "t", Value: topic.Data{Head: e.Head(), Body: body}})
		if err != nil {
			t.Fatalf("%q was written as %q, which cannot be read: %v", wire, body, err)
		}
		if again.ValueType != r.ValueType {
			t.Fatalf("%q: the schema has changed", wire)
		}
		got, want := render(&b.Data, again.Value), render(&b.Data, r.Value)
		if r.ValueType == nil { // an infinity is a text in JSON, and no schema says that it was a number
			want = infinities.Replace(want)
		}
		if got != want {
			t.Fatalf("%q: read as %s, written and read as %s", wire, want, got)
		}
	})
}

var infinities = strings.NewReplacer("float +Inf", `text "Infinity"`, "float -Inf", `text "-Infinity"`)

// FuzzSchema reads arbitrary schemas: written and read again they are the same.
func FuzzSchema(f *testing.F) {
	for _, seed := range []string{
		`{"type":"int32"}`, `{"type":"struct","fields":[{"type":"string","field":"a","default":"x"}],"name":"n","version":2}`,
		`{"type":"map","keys":{"type":"int8"},"values":{"type":"array","items":{"type":"bytes"}},"default":[[1,["AA=="]]]}`,
		`{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"3"},"default":1.25,"optional":true}`,
		`{"type":"double","default":"NaN","doc":"\ud83d"}`,
	} {
		f.Add([]byte(seed))
	}
	o := json.Options{SchemasEnable: true}
	f.Fuzz(func(t *testing.T, text []byte) {
		head := append(append([]byte(`{"schema":`), text...), `,"payload":`...)
		d := json.NewDecoder(o, o)
		var b sinks.Batch
		r, err := d.Decode(&b, &topic.Record{Value: topic.Data{Head: &topic.Head{Bytes: head}, Body: []byte(`null}`)}})
		if err != nil || r.ValueType == nil {
			return
		}
		e, err := json.New(o).Compile(r.ValueType)
		if err != nil {
			t.Fatalf("%q was read but cannot be written: %v", text, err)
		}
		again, err := d.Decode(&b, &topic.Record{Value: topic.Data{Head: e.Head(), Body: []byte(`null}`)}})
		if err != nil || again.ValueType != r.ValueType {
			t.Fatalf("%q was written as %q: %v", text, e.Head().Bytes, err)
		}
	})
}
