// SPDX-License-Identifier: Apache-2.0

package sinktest

import (
	"fmt"
	"math/rand/v2"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/sinks"
)

// Topic is the topic of all events, which have one partition; the offset of event n is n.
const Topic = "sinktest.public.items"

// Event is a change of a row.
type Event struct {
	Op        change.Op // Create, Update or Delete
	ID        int64
	V         string // Null is null
	Tombstone bool   // only the key: what follows a delete
	Unknown   bool   // an update whose v the database did not send: the row keeps the one it has
}

// History is a sequence of events.
type History []Event

// placeholder is what a source emits for a value that the database did not send.
const placeholder = "__debezium_unavailable_value"

// The schemas of the events.
var (
	keyType = &schema.Type{Kind: schema.Struct, Name: Topic + ".Key", Fields: []schema.Field{{Name: "id", Type: &schema.Type{Kind: schema.Int64}}}}
	rowType = &schema.Type{Kind: schema.Struct, Name: Topic + ".Value", Optional: true, Fields: []schema.Field{
		{Name: "id", Type: &schema.Type{Kind: schema.Int64}},
		{Name: "v", Type: &schema.Type{Kind: schema.String, Optional: true}},
		{Name: "n", Type: &schema.Type{Kind: schema.Int32, Optional: true}},
	}}
	envelopeType = &schema.Type{Kind: schema.Struct, Name: Topic + ".Envelope", Version: 2, Fields: []schema.Field{
		{Name: "before", Type: rowType},
		{Name: "after", Type: rowType},
		{Name: "op", Type: &schema.Type{Kind: schema.String}},
	}}
)

// RandomHistory is a history of n events, as a source with keys rows can make it: rows are created, updated and deleted;
// every delete is followed by a tombstone; some updates lack v.
func RandomHistory(r *rand.Rand, n, keys int) History {
	var h History
	there := map[int64]bool{}
	for len(h) < n {
		id := int64(r.IntN(keys))
		v := fmt.Sprintf("v%d\t\"x\"\\", len(h))
		if r.IntN(10) == 0 {
			v = Null
		}
		switch {
		case !there[id]:
			h = append(h, Event{Op: change.Create, ID: id, V: v})
			there[id] = true
		case r.IntN(4) == 0:
			h = append(h, Event{Op: change.Delete, ID: id}, Event{Op: change.Delete, ID: id, Tombstone: true})
			there[id] = false
		default:
			h = append(h, Event{Op: change.Update, ID: id, V: v, Unknown: r.IntN(5) == 0})
		}
	}
	return h
}

// Rows is what the first n events leave in a table.
func (h History) Rows(n int) map[int64]string {
	rows := map[int64]string{}
	for _, e := range h[:n] {
		switch {
		case e.Op == change.Delete:
			delete(rows, e.ID)
		case !e.Unknown:
			rows[e.ID] = e.V
		}
	}
	return rows
}

// Batch is the events from..to as records.
func (h History) Batch(from, to int) *sinks.Batch {
	b := &sinks.Batch{Next: map[topic.Partition]int64{}}
	for i := from; i < to; i++ {
		b.Records = append(b.Records, h.record(b, i))
		b.Next[topic.Partition{Topic: Topic}] = int64(i) + 1
	}
	return b
}

func (h History) record(b *sinks.Batch, i int) sinks.Record {
	e, d := h[i], &b.Data
	key := d.NewRow(1)
	d.Set(key, 0, change.IntValue(e.ID))
	r := sinks.Record{Source: topic.Partition{Topic: Topic}, Topic: Topic, Offset: int64(i), KeyType: keyType, Key: d.Run(change.Struct, key)}
	if e.Tombstone {
		return r
	}
	row := d.NewRow(3)
	d.Set(row, 0, change.IntValue(e.ID))
	switch {
	case e.Unknown:
		d.Set(row, 1, d.Text(placeholder))
	case e.V != Null:
		d.Set(row, 1, d.Text(e.V))
	}
	d.Set(row, 2, change.IntValue(int64(i)))
	value := d.NewRow(3)
	at := 1 // after
	if e.Op == change.Delete {
		at = 0
	}
	d.Set(value, at, d.Run(change.Struct, row))
	d.Set(value, 2, d.Text(string(e.Op)))
	r.ValueType, r.Value = envelopeType, d.Run(change.Struct, value)
	return r
}
