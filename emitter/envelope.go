// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"freshet/capture"
	"freshet/change"
	"freshet/schema"
)

// transactionBlock is the struct of the envelope's transaction field.
var transactionBlock = &schema.Type{
	Kind: schema.Struct, Optional: true, Name: "event.block", Version: 1,
	Fields: []schema.Field{
		{Name: "id", Type: &schema.Type{Kind: schema.String}},
		{Name: "total_order", Type: &schema.Type{Kind: schema.Int64}},
		{Name: "data_collection_order", Type: &schema.Type{Kind: schema.Int64}},
	},
}

var (
	textType         = &schema.Type{Kind: schema.String}
	optionalLongType = &schema.Type{Kind: schema.Int64, Optional: true}
)

// Type is the struct of the source block.
func (p SourcePlan) Type() *schema.Type {
	t := &schema.Type{Kind: schema.Struct, Name: p.Block.Name, Version: p.Block.Version}
	for _, f := range p.Block.Fields {
		t.Fields = append(t.Fields, schema.Field{Name: f.Name, Type: f.Type})
	}
	return t
}

// envelopeType is the envelope of a table whose rows are named value.
func envelopeType(name, value string, t *schema.Table, source *schema.Type) *schema.Type {
	row := schema.StructOf(value, true, t.Columns)
	return &schema.Type{
		Kind: schema.Struct, Name: name, Version: 2,
		Fields: []schema.Field{
			{Name: "before", Type: row},
			{Name: "after", Type: row},
			{Name: "source", Type: source},
			{Name: "transaction", Type: transactionBlock},
			{Name: "op", Type: textType},
			{Name: "ts_ms", Type: optionalLongType},
			{Name: "ts_us", Type: optionalLongType},
			{Name: "ts_ns", Type: optionalLongType},
		},
	}
}

// Build makes the envelope of a change a Value of type e.Type in the change's batch: the slow path, for transforms that
// look inside. now is the time of the event, ns since the epoch.
func (e *Envelope) Build(b *change.Batch, c *change.Change, now int64) change.Value {
	env := b.NewRow(len(e.Type.Fields))
	b.Set(env, 0, e.row(b, c.Before))
	b.Set(env, 1, e.row(b, c.After))
	b.Set(env, 2, e.source(b, c))
	b.Set(env, 3, c.Transaction)
	op := len(b.Arena)
	b.Arena = append(b.Arena, byte(c.Op))
	b.Set(env, 4, b.TextFrom(op))
	b.Set(env, 5, change.IntValue(now/1e6))
	b.Set(env, 6, change.IntValue(now/1e3))
	b.Set(env, 7, change.IntValue(now))
	return b.Run(change.Struct, env)
}

// row copies a row, with fallbacks for nulls that the schema does not allow and placeholders for what is unavailable.
func (e *Envelope) row(b *change.Batch, r change.Row) change.Value {
	if !r.Present() {
		return change.NullValue()
	}
	out := b.NewRow(r.Len())
	for i := range r.Len() {
		b.Set(out, i, settled(b, b.At(r, i), &e.Table.Columns[i]))
	}
	return b.Run(change.Struct, out)
}

// settled is v, or what stands for it where the column's schema has no room for null or unavailable values.
func settled(b *change.Batch, v change.Value, c *schema.Column) change.Value {
	if v.Kind() == change.Unavailable {
		v = b.AppendLiteral(c.Unavailable, c.Type)
	}
	if !v.IsNull() || c.Type.Optional {
		return v
	}
	if c.Type.Default != nil {
		return b.AppendLiteral(c.Type.Default, c.Type)
	}
	return b.AppendLiteral(c.Fallback, c.Type)
}

func (e *Envelope) source(b *change.Batch, c *change.Change) change.Value {
	fields := e.Source.Block.Fields
	out := b.NewRow(len(fields))
	next := 0
	for i := range fields {
		var v change.Value
		switch fields[i].From {
		case capture.FromRow:
			if c.Source.Present() {
				v = b.At(c.Source, next)
			}
			next++
		case capture.FromVersion:
			v = b.Text(e.Source.Version)
		case capture.FromConnector:
			v = b.Text(e.Source.Connector)
		case capture.FromName:
			v = b.Text(e.Source.Name)
		case capture.FromCatalog:
			v = b.Text(e.Table.ID.Catalog)
		case capture.FromSchema:
			v = b.Text(e.Table.ID.Schema)
		case capture.FromTable:
			v = b.Text(e.Table.ID.Name)
		case capture.FromMillis:
			v = change.IntValue(floorDiv(c.SourceMicros, 1000))
		case capture.FromMicros:
			v = change.IntValue(c.SourceMicros)
		case capture.FromNanos:
			v = change.IntValue(c.SourceMicros * 1000)
		case capture.FromSnapshot:
			if c.Snapshot != change.NoSnapshot {
				v = b.Text(c.Snapshot.String())
			}
		}
		b.Set(out, i, v)
	}
	return b.Run(change.Struct, out)
}

func floorDiv(a, n int64) int64 {
	if a < 0 {
		return -((-a + n - 1) / n)
	}
	return a / n
}
