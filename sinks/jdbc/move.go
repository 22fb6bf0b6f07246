// SPDX-License-Identifier: Apache-2.0

package jdbc

import (
	"bytes"
	"encoding/json"
	"slices"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/sinks"
	"freshet/sinks/jdbc/dialect"
)

// A source makes delete and create of an update that changes the key. Where the create lacks values that the database
// did not send, only the old row has them: then the delete becomes a move of the row to its new key, which the delete's
// header tells, and the create patches it there.

// newKeyHeader is on the delete of a changed key and holds the new one as JSON.
const newKeyHeader = "__debezium.newkey"

// addMove notes for a delete where its row goes, if the record says so.
func (w *writer) addMove(o *op, p *rowPlan, r *sinks.Record, data *change.Batch, keyType *schema.Type, key change.Value) {
	if w.opt.insertMode != upsertMode {
		return
	}
	i := slices.IndexFunc(r.Headers, func(h topic.Header) bool { return h.Key == newKeyHeader })
	if i < 0 {
		return
	}
	moved, ok := parseKey(data, keyType, r.Headers[i].Value)
	if !ok {
		return
	}
	if p.move == nil {
		p.move = dialect.NewPlan(p.plan.Table, slices.Concat(p.plan.Fields, p.plan.Fields), p.plan.NKeys)
	}
	s := w.segment
	from := int32(len(s.slab))
	s.slab = p.gather(s.slab, data, key, change.Value{})
	to := int32(len(s.slab))
	s.slab = p.gather(s.slab, data, moved, change.Value{})
	if slices.ContainsFunc(s.slab[to:], change.Value.IsNull) {
		s.slab = s.slab[:from]
		return
	}
	o.move, o.moveTo = from, to
	o.mayMove = true
}

// parseKey reads a key struct from JSON; false where it is not one, or has types that JSON cannot tell.
func parseKey(b *change.Batch, t *schema.Type, text []byte) (change.Value, bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var members map[string]any
	if err := d.Decode(&members); err != nil || members == nil {
		return change.Value{}, false
	}
	row := b.NewRow(len(t.Fields))
	for i := range t.Fields {
		v, ok := parseKeyValue(b, t.Fields[i].Type, members[t.Fields[i].Name])
		if !ok {
			return change.Value{}, false
		}
		b.Set(row, i, v)
	}
	return b.Run(change.Struct, row), true
}

func parseKeyValue(b *change.Batch, t *schema.Type, member any) (change.Value, bool) {
	switch m := member.(type) {
	case bool:
		return change.BoolValue(m), t.Kind == schema.Boolean
	case string:
		return b.Text(m), t.Kind == schema.String
	case json.Number:
		if t.Kind >= schema.Int8 && t.Kind <= schema.Int64 {
			n, err := m.Int64()
			return change.IntValue(n), err == nil
		}
	}
	return change.Value{}, false
}
