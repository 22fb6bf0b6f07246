// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"slices"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/sinks"
)

// feed makes records of one topic. Values are literals, see schema.Type.Default; unknown stands for a value that the
// database did not send.
type feed struct {
	topic    string
	key, row *schema.Type
	envelope *schema.Type
	next     int64
}

const unknown = "__debezium_unavailable_value"

// newFeed makes a feed of rows with fields; the first nkeys of them are the record key.
func newFeed(name string, nkeys int, fields ...schema.Field) *feed {
	f := &feed{topic: name, row: &schema.Type{Kind: schema.Struct, Name: name + ".Value", Optional: true, Fields: fields}}
	if nkeys > 0 {
		f.key = &schema.Type{Kind: schema.Struct, Name: name + ".Key", Fields: fields[:nkeys]}
	}
	source := &schema.Type{Kind: schema.Struct, Name: "io.debezium.connector.postgresql.Source", Fields: []schema.Field{
		{Name: "schema", Type: &schema.Type{Kind: schema.String}}, {Name: "table", Type: &schema.Type{Kind: schema.String}},
	}}
	f.envelope = &schema.Type{Kind: schema.Struct, Name: name + ".Envelope", Fields: []schema.Field{
		{Name: "before", Type: f.row}, {Name: "after", Type: f.row}, {Name: "source", Type: source}, {Name: "op", Type: &schema.Type{Kind: schema.String}},
	}}
	return f
}

// record appends an empty record to a batch.
func (f *feed) record(b *sinks.Batch) *sinks.Record {
	p := topic.Partition{Topic: f.topic}
	b.Records = append(b.Records, sinks.Record{Source: p, Topic: f.topic, Offset: f.next})
	f.next++
	b.Next[p] = f.next
	return &b.Records[len(b.Records)-1]
}

// change appends a change event. A delete has its row in before, any other in after; a truncate has neither.
func (f *feed) change(b *sinks.Batch, op change.Op, values ...any) *sinks.Record {
	r, d := f.record(b), &b.Data
	r.ValueType = f.envelope
	value := d.NewRow(4)
	d.Set(value, 2, d.AppendLiteral([]any{"shop", "items"}, f.envelope.Fields[2].Type))
	d.Set(value, 3, d.Text(string(op)))
	r.Value = d.Run(change.Struct, value)
	if op == change.Truncate {
		return r
	}
	at := 1
	if op == change.Delete {
		at = 0
	}
	values = append(slices.Clone(values), make([]any, len(f.row.Fields)-len(values))...)
	d.Set(value, at, d.AppendLiteral(values, f.row))
	f.setKey(b, r, values)
	return r
}

func (f *feed) setKey(b *sinks.Batch, r *sinks.Record, values []any) {
	if f.key != nil {
		r.KeyType, r.Key = f.key, b.Data.AppendLiteral(values[:len(f.key.Fields)], f.key)
	}
}

// flat appends a row without envelope.
func (f *feed) flat(b *sinks.Batch, values ...any) *sinks.Record {
	r := f.record(b)
	r.ValueType, r.Value = f.row, b.Data.AppendLiteral(values, f.row)
	f.setKey(b, r, values)
	return r
}

// tombstone appends a key without a value.
func (f *feed) tombstone(b *sinks.Batch, key ...any) *sinks.Record {
	r := f.record(b)
	f.setKey(b, r, key)
	return r
}

func fieldOf(name string, k schema.Kind) schema.Field {
	return schema.Field{Name: name, Type: &schema.Type{Kind: k, Optional: true}}
}

func required(name string, k schema.Kind) schema.Field {
	return schema.Field{Name: name, Type: &schema.Type{Kind: k}}
}

// items is a feed of the table that most tests write.
func items() *feed {
	return newFeed("items", 1, required("id", schema.Int64), fieldOf("v", schema.String), fieldOf("n", schema.Int32))
}
