// SPDX-License-Identifier: Apache-2.0

package avro

import (
	"fmt"

	"freshet/change"
	"freshet/emitter"
	"freshet/emitter/confluent"
	"freshet/schema"
)

var _ emitter.RowFormat = (*Format)(nil)

// CompileEnvelope makes the encoder of a table's changes, equal to building the envelope and encoding that. A schema that
// Avro cannot express is refused with the first value: transforms may have made another one of it by then.
func (f *Format) CompileEnvelope(e *emitter.Envelope) (emitter.EnvelopeEncoder, error) {
	to := f.compile(e.Topic, e.Type)
	l := emitter.NewLayout(e)
	err := to.Err
	if err == nil {
		err = l.Envelope(e, &envelopeFields{of: e, node: to.node})
	}
	if err != nil {
		err = fmt.Errorf("envelope of table %q: %w", e.Table.ID, err)
	}
	return &confluent.Envelope{Encoder: &to.Encoder, Layout: l.Layout(), Err: err}, nil
}

// envelopeFields makes the encoders of an envelope's fields.
type envelopeFields struct {
	of   *emitter.Envelope
	node *node      // of the envelope
	row  *rowFields // of before and after
}

func (f *envelopeFields) Field(outer, inner int) ([]byte, emitter.FieldEncoder, error) {
	n := f.node.members[outer].node
	if inner >= 0 {
		n = n.members[inner].node
	}
	null, err := literalField(n, nil)
	return nil, &column{node: n, null: null, unavailable: null}, err
}

func (f *envelopeFields) Row(outer int) ([]byte, emitter.FieldEncoder, error) {
	if f.row == nil {
		row := &rowFields{node: f.node.members[outer].node, columns: make([]column, len(f.of.Table.Columns))}
		for i := range row.columns {
			var err error
			if row.columns[i], err = newColumn(row.node.members[i].node, &f.of.Table.Columns[i]); err != nil {
				return nil, nil, emitter.InField(f.of.Table.Columns[i].Name, err)
			}
		}
		f.row = row
	}
	return nil, f.row, nil
}

func (f *envelopeFields) Source(l *emitter.LayoutBuilder, outer int, fill func() error) error {
	if n := f.node.members[outer].node; n.hasIndex {
		l.Constant(n.value)
	}
	return fill()
}

// column is a field with what stands for values that are not there; nil refuses them.
type column struct {
	name              string
	node              *node
	null, unavailable []byte
}

func newColumn(n *node, c *schema.Column) (column, error) {
	out := column{name: c.Name, node: n}
	stand := any(nil)
	if !c.Type.Optional {
		if stand = c.Type.Default; stand == nil {
			stand = c.Fallback
		}
	}
	var err error
	if out.null, err = literalField(n, stand); err != nil {
		return out, err
	}
	out.unavailable = out.null
	if c.Unavailable != nil {
		out.unavailable, err = literalField(n, c.Unavailable)
	}
	return out, err
}

// literalField is the encoding of a literal in a field of a struct; nil where it is null and may not be.
func literalField(n *node, lit any) ([]byte, error) {
	var b change.Batch
	v := b.AppendLiteral(lit, n.typ)
	switch {
	case !v.IsNull():
		return n.append(nil, &b, v)
	case n.def != nil:
		return n.def, nil
	case n.optional:
		return []byte{n.null}, nil
	}
	return nil, nil
}

// AppendField appends a value, or what stands for it.
func (c *column) AppendField(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	stand := c.null
	switch v.Kind() {
	case change.Unavailable:
		stand = c.unavailable
	case change.Null:
	default:
		return c.node.present(dst, b, v)
	}
	if stand == nil {
		return dst, emitter.Refuse(requiredNull)
	}
	return append(dst, stand...), nil
}

// rowFields are the rows of a table.
type rowFields struct {
	node    *node
	columns []column
}

// AppendField appends a row; the null of no row.
func (r *rowFields) AppendField(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	if v.IsNull() {
		return append(dst, r.node.null), nil
	}
	values := b.Elems(v)
	if len(values) != len(r.columns) {
		return dst, emitter.Refuse("Mismatching struct schema")
	}
	if r.node.hasIndex {
		dst = append(dst, r.node.value)
	}
	var err error
	for i := range r.columns {
		c := &r.columns[i]
		if dst, err = c.AppendField(dst, b, values[i]); err != nil {
			return dst, emitter.InField(c.name, err)
		}
	}
	return dst, nil
}
