// SPDX-License-Identifier: Apache-2.0

package jdbc

import (
	"strings"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks"
)

// shapeKey is what records of one shape have in common.
type shapeKey struct {
	topic      string
	key, value *schema.Type
}

// shape is where the parts of a record stand that has these schemas: an envelope or a flat row, perhaps inside of a
// CloudEvent. Field indexes are -1 where there is no such field.
type shape struct {
	skip string // why such records mean nothing to a table; "" if they do

	data                      int // of a CloudEvent's data
	op, before, after, source int // of an envelope
	image                     *schema.Type
	sourceType                *schema.Type

	plans    map[planKey]*rowPlan
	last     planKey // of lastPlan
	lastPlan *rowPlan
}

// planKey tells the plans of a shape apart: the collection name may depend on the source block, the key's type on the
// headers.
type planKey struct {
	collection string
	key        *schema.Type
}

func newShape(w *writer, r *sinks.Record) *shape {
	s := &shape{data: -1, op: -1, before: -1, after: -1, source: -1, plans: map[planKey]*rowPlan{}}
	t := r.ValueType
	switch {
	case t == nil && !r.Value.IsNull():
		// Schemaless data: what the record lacks is told when its key or table is asked for.
		return s
	case t == nil: // tombstone
		return s
	case strings.Contains(t.Name, "SchemaChangeValue"):
		s.skip = "schema changes are not rows"
		return s
	case t.Kind == schema.Struct && w.opt.cloudEvents.MatchString(t.Name):
		if s.data = t.FieldIndex("data"); s.data < 0 || t.Fields[s.data].Type.Kind != schema.Struct {
			s.skip = "the CloudEvent has no structured data"
			return s
		}
		t = t.Fields[s.data].Type
	}
	s.image = t
	if t.Kind != schema.Struct {
		return s
	}
	s.op = t.FieldIndex("op")
	isEnvelope := s.op >= 0 && (t.Name == "" || strings.Contains(t.Name, "Envelope"))
	if s.op >= 0 && t.FieldIndex("message") >= 0 && t.FieldIndex("source") >= 0 && t.FieldIndex("after") < 0 {
		s.skip = "logical messages are not rows"
		return s
	}
	if !isEnvelope {
		s.op = -1
		return s
	}
	s.before, s.after, s.source = t.FieldIndex("before"), t.FieldIndex("after"), t.FieldIndex("source")
	if s.source >= 0 {
		s.sourceType = t.Fields[s.source].Type
	}
	if s.after < 0 {
		s.skip = "the envelope has no field after"
		return s
	}
	s.image = t.Fields[s.after].Type
	return s
}

// envelope says whether records of this shape are change events.
func (s *shape) envelope() bool { return s.after >= 0 }

// value is the record's envelope or row, with a CloudEvent around it taken away.
func (s *shape) value(b *change.Batch, r *sinks.Record) change.Value {
	if s.data < 0 || r.Value.Kind() != change.Struct {
		return r.Value
	}
	return b.At(b.RowOf(r.Value), s.data)
}

// field is a member of a struct; null where the struct or the member is not there.
func field(b *change.Batch, v change.Value, i int) change.Value {
	if i < 0 || v.Kind() != change.Struct {
		return change.Value{}
	}
	return b.At(b.RowOf(v), i)
}

// opOf is the operation of a record: Delete also for tombstones and flat rows that are null, Create for flat rows (of
// which nobody knows whether they are new, so isNew is false).
func (s *shape) opOf(b *change.Batch, v change.Value) (op change.Op, isNew bool) {
	switch {
	case v.IsNull():
		return change.Delete, false
	case !s.envelope():
		return change.Create, false
	}
	text := field(b, v, s.op)
	if text.Kind() != change.Text || len(b.Bytes(text)) == 0 {
		return change.Create, false
	}
	op = change.Op(b.Bytes(text)[0])
	return op, op == change.Create || op == change.Read
}

// row is the row image of a create, read or update.
func (s *shape) row(b *change.Batch, v change.Value) change.Value {
	if s.envelope() {
		return field(b, v, s.after)
	}
	return v
}
