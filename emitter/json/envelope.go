// SPDX-License-Identifier: Apache-2.0

package json

import (
	"fmt"
	"strconv"

	"freshet/change"
	"freshet/emitter"
	"freshet/emitter/topic"
	"freshet/schema"
)

var _ emitter.RowFormat = (*Format)(nil)

// envelope is the encoder of one table's envelopes.
type envelope struct {
	head   *topic.Head
	layout *emitter.Layout
}

// CompileEnvelope makes the encoder of a table's changes. What the columns say of nulls holds whatever
// ReplaceNullWithDefault says.
func (f *Format) CompileEnvelope(e *emitter.Envelope) (emitter.EnvelopeEncoder, error) {
	head, err := f.head(e.Type)
	if err != nil {
		return nil, fmt.Errorf("schema of table %q: %w", e.Table.ID, err)
	}
	l := emitter.NewLayout(e)
	l.Constant('{')
	if err = l.Envelope(e, &envelopeFields{format: f, of: e}); err != nil {
		return nil, fmt.Errorf("envelope of table %q: %w", e.Table.ID, err)
	}
	l.Constant('}')
	if head != nil {
		l.Constant('}')
	}
	return &envelope{head, l.Layout()}, nil
}

// Head is {"schema":…,"payload": or nil.
func (e *envelope) Head() *topic.Head { return e.head }

// AppendValue appends the envelope of c.
func (e *envelope) AppendValue(dst []byte, b *change.Batch, c *change.Change, now int64) ([]byte, error) {
	return e.layout.Append(dst, b, c, now)
}

// envelopeFields makes the encoders of an envelope's fields.
type envelopeFields struct {
	format *Format
	of     *emitter.Envelope
	row    *node // of before and after
}

// Field is a node that all tables share.
func (f *envelopeFields) Field(outer, inner int) ([]byte, emitter.FieldEncoder, error) {
	field, at := &f.of.Type.Fields[outer], outer
	if inner >= 0 {
		field, at = &field.Type.Fields[inner], inner
	}
	n, err := f.format.field(field.Type)
	return label(at, field.Name), n, err
}

func (f *envelopeFields) Row(outer int) ([]byte, emitter.FieldEncoder, error) {
	field := &f.of.Type.Fields[outer]
	if f.row == nil {
		var err error
		if f.row, err = f.format.compileRow(field.Type, f.of.Table.Columns); err != nil {
			return nil, nil, err
		}
	}
	return label(outer, field.Name), f.row, nil
}

func (f *envelopeFields) Source(l *emitter.LayoutBuilder, outer int, fill func() error) error {
	l.Constant(append(label(outer, "source"), '{')...)
	err := fill()
	l.Constant('}')
	return err
}

// label is a member's name, as it stands before the value of the member at a place.
func label(at int, name string) []byte {
	if at == 0 {
		return memberPrefix(0, name)[1:]
	}
	return memberPrefix(at, name)
}

// AppendField appends the JSON of a value. Most are times.
func (n *node) AppendField(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	if n.code == codeInt64 && v.Kind() == change.Int {
		return strconv.AppendInt(dst, v.Int(), 10), nil
	}
	return n.append(dst, b, v)
}

// Head is what the wire form of values of a schema begins with: the schema; nil where schemas are off.
func (f *Format) Head(t *schema.Type) (*topic.Head, error) { return f.head(t) }

// Field is the encoder of a type in a bigger text: without a schema.
func (f *Format) Field(t *schema.Type) (emitter.FieldEncoder, error) { return f.field(t) }

// field is the node of a type; equal pointers have one node, for as long as the Format lives.
func (f *Format) field(t *schema.Type) (*node, error) {
	if n, ok := f.fields.Load(t); ok {
		return n.(*node), nil
	}
	n, err := compileBelow(t, f.options)
	if err != nil {
		return nil, err
	}
	kept, _ := f.fields.LoadOrStore(t, n)
	return kept.(*node), nil
}

// Row is the encoder of the rows of a table, as they stand in envelopes: t is the type of before and after.
func (f *Format) Row(t *schema.Type, columns []schema.Column) (emitter.FieldEncoder, error) {
	return f.compileRow(t, columns)
}

func (f *Format) compileRow(t *schema.Type, columns []schema.Column) (*node, error) {
	row := &node{code: codeStruct, typ: t, null: nullText, members: make([]member, len(columns))}
	for i := range columns {
		n, err := compileColumn(&columns[i], f.options)
		if err != nil {
			return nil, inField(columns[i].Name, err)
		}
		row.members[i] = member{memberPrefix(i, columns[i].Name), columns[i].Name, n}
	}
	return row, nil
}

func compileColumn(col *schema.Column, o Options) (node, error) {
	n, err := compile(col.Type, o)
	if err != nil {
		return n, err
	}
	if !col.Type.Optional {
		stand := col.Type.Default
		if stand == nil {
			stand = col.Fallback
		}
		if stand != nil {
			if n.null, err = n.literal(stand); err != nil {
				return n, fmt.Errorf("fallback: %w", err)
			}
			n.omit = false
		}
	}
	n.unavailable = n.null // without a placeholder it is a null like any other
	if col.Unavailable != nil {
		if n.unavailable, err = n.literal(col.Unavailable); err != nil {
			return n, fmt.Errorf("placeholder of unavailable values: %w", err)
		}
	}
	return n, nil
}
