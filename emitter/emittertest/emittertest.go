// SPDX-License-Identifier: Apache-2.0

// Package emittertest has what the tests of formats share: a table with columns of all sorts of nulls, and random changes of it,
// by which a format shows that its program of a table writes what building the envelope and encoding it writes.
package emittertest

import (
	"math/rand/v2"

	"freshet/capture"
	"freshet/change"
	"freshet/emitter"
	"freshet/schema"
)

// Persons is the envelope of a table with columns of all sorts of nulls, as the emitter makes it.
func Persons() *emitter.Envelope {
	text, long := &schema.Type{Kind: schema.String}, &schema.Type{Kind: schema.Int64}
	optionalText, optionalLong := text.AsOptional(true), long.AsOptional(true)
	decimal := &schema.Type{Kind: schema.Bytes, Name: schema.Decimal, Version: 1, Params: []schema.Param{{Name: "scale", Value: "2"}}}
	table := &schema.Table{ID: schema.ID{Catalog: "db", Schema: "public", Name: "persons"}, Columns: []schema.Column{
		{Name: "id", Type: &schema.Type{Kind: schema.Int32, Default: int64(0)}},
		{Name: "name", Type: text, Fallback: ""},
		{Name: "email", Type: optionalText, Unavailable: "__debezium_unavailable_value"},
		{Name: "price", Type: decimal.AsOptional(true)},
		{Name: "state", Type: &schema.Type{Kind: schema.String, Optional: true, Default: "new"}},
		{Name: "tags", Type: &schema.Type{Kind: schema.Array, Optional: true, Elem: optionalText}},
		{Name: "at", Type: long, Fallback: int64(7), Unavailable: int64(8)},
	}}
	table.Key = table.Columns[:1]
	snapshot := &schema.Type{Kind: schema.String, Optional: true, Name: schema.Enum, Version: 1, Default: "false"}
	block := capture.SourceBlock{Name: "io.debezium.connector.postgresql.Source", Version: 1, Fields: []capture.SourceField{
		{Name: "version", Type: text, From: capture.FromVersion},
		{Name: "connector", Type: text, From: capture.FromConnector},
		{Name: "name", Type: text, From: capture.FromName},
		{Name: "ts_ms", Type: long, From: capture.FromMillis},
		{Name: "snapshot", Type: snapshot, From: capture.FromSnapshot},
		{Name: "db", Type: text, From: capture.FromCatalog},
		{Name: "sequence", Type: optionalText},
		{Name: "ts_us", Type: optionalLong, From: capture.FromMicros},
		{Name: "ts_ns", Type: optionalLong, From: capture.FromNanos},
		{Name: "schema", Type: text, From: capture.FromSchema},
		{Name: "table", Type: text, From: capture.FromTable},
		{Name: "txId", Type: optionalLong},
		{Name: "lsn", Type: optionalLong},
	}}
	plan := emitter.SourcePlan{Block: block, Version: "3.6.1.Final", Connector: "postgresql", Name: "srv"}
	row := schema.StructOf("srv.public.persons.Value", true, table.Columns)
	transaction := &schema.Type{Kind: schema.Struct, Name: "event.block", Version: 1, Optional: true, Fields: []schema.Field{
		{Name: "id", Type: text}, {Name: "total_order", Type: long}, {Name: "data_collection_order", Type: long},
	}}
	return &emitter.Envelope{
		Table: table, Source: plan, Topic: "srv.public.persons",
		Type: &schema.Type{Kind: schema.Struct, Name: "srv.public.persons.Envelope", Version: 2, Fields: []schema.Field{
			{Name: "before", Type: row},
			{Name: "after", Type: row},
			{Name: "source", Type: plan.Type()},
			{Name: "transaction", Type: transaction},
			{Name: "op", Type: text},
			{Name: "ts_ms", Type: optionalLong},
			{Name: "ts_us", Type: optionalLong},
			{Name: "ts_ns", Type: optionalLong},
		}},
	}
}

// RandomChange is a change with values, nulls and values that were not sent where the columns have room for them.
func RandomChange(r *rand.Rand, b *change.Batch, e *emitter.Envelope) change.Change {
	row := func() change.Row {
		out := b.NewRow(len(e.Table.Columns))
		tags := b.NewRow(2)
		b.Set(tags, 0, b.Text("x"))
		for i, v := range []change.Value{
			change.IntValue(r.Int64N(100)), b.Text("Ada"), b.Text("a@b"), b.BytesOf([]byte{0x30, 0x39}), b.Text("old"),
			b.Run(change.Array, tags), change.IntValue(-r.Int64N(1 << 60)),
		} {
			switch r.IntN(4) {
			case 0:
				v = change.NullValue()
			case 1:
				v = change.UnavailableValue()
				if c := &e.Table.Columns[i]; c.Unavailable == nil && !c.Type.Optional && c.Type.Default == nil && c.Fallback == nil {
					v = change.NullValue()
				}
			}
			b.Set(out, i, v)
		}
		return out
	}
	c := change.Change{Table: e.Table, Op: change.Op("cudr"[r.IntN(4)]), SourceMicros: r.Int64N(1<<51) - 1<<40, Snapshot: change.Snapshot(r.IntN(7))}
	if r.IntN(3) > 0 {
		c.Before = row()
	}
	if r.IntN(3) > 0 {
		c.After = row()
	}
	if r.IntN(5) > 0 {
		c.Source = b.NewRow(3)
		if r.IntN(2) == 0 {
			b.Set(c.Source, 0, b.Text(`["1","2"]`))
			b.Set(c.Source, 1, change.IntValue(771))
			b.Set(c.Source, 2, change.IntValue(r.Int64()))
		}
	}
	if r.IntN(2) == 0 {
		tx := b.NewRow(3)
		b.Set(tx, 0, b.Text("771:1"))
		b.Set(tx, 1, change.IntValue(1))
		b.Set(tx, 2, change.IntValue(2))
		c.Transaction = b.Run(change.Struct, tx)
	}
	return c
}
