// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"fmt"

	"freshet/capture"
	"freshet/schema"
)

// simpleParts are the fields of an envelope that hold one value.
var simpleParts = map[string]part{
	"before": partBefore, "after": partAfter, "op": partOp, "transaction": partTransaction,
	"ts_ms": partNowMillis, "ts_us": partNowMicros, "ts_ns": partNowNanos,
}

// clocks are the fields of a source block that hold the time of the change.
var clocks = map[capture.Origin]part{
	capture.FromMillis: partSourceMillis, capture.FromMicros: partSourceMicros, capture.FromNanos: partSourceNanos,
}

// constant is the text that a field of the source block has in all changes of the table.
func (e *Envelope) constant(from capture.Origin) (string, bool) {
	switch from {
	case capture.FromVersion:
		return e.Source.Version, true
	case capture.FromConnector:
		return e.Source.Connector, true
	case capture.FromName:
		return e.Source.Name, true
	case capture.FromCatalog:
		return e.Table.ID.Catalog, true
	case capture.FromSchema:
		return e.Table.ID.Schema, true
	case capture.FromTable:
		return e.Table.ID.Name, true
	}
	return "", false
}

// Origin is where the value of a field of the envelope comes from, or of a field of the source or transaction block in it;
// inner is -1 for the envelope's own.
func (e *Envelope) Origin(outer, inner int) (Origin, error) {
	field := &e.Type.Fields[outer]
	o := Origin{place: place{outer: int16(outer), inner: int16(inner)}}
	var simple bool
	o.part, simple = simpleParts[field.Name]
	switch {
	case inner >= 0 && isSource(*field):
		return e.sourceOrigin(o, inner), nil
	case !simple || inner >= 0 && o.part != partTransaction:
		return o, Refuse(fmt.Sprintf("nothing fills field %q", field.Name))
	case inner >= 0:
		o.part, o.at = partTransactionField, o.inner
	case o.part <= partAfter && len(field.Type.Fields) != len(e.Table.Columns):
		return o, Refuse(fmt.Sprintf("field %q has %d members, the table %d columns", field.Name, len(field.Type.Fields), len(e.Table.Columns)))
	}
	return o, nil
}

func (e *Envelope) sourceOrigin(o Origin, inner int) Origin {
	from := e.Source.Block.Fields[inner].From
	if clock, ok := clocks[from]; ok {
		o.part = clock
		return o
	}
	if text, ok := e.constant(from); ok {
		o.part, o.text = partConstant, text
		return o
	}
	if o.part = partSourceRow; from == capture.FromSnapshot {
		o.part = partSnapshot
	}
	for _, f := range e.Source.Block.Fields[:inner] {
		if f.From == capture.FromRow {
			o.at++
		}
	}
	return o
}

func isSource(f schema.Field) bool { return f.Name == "source" }

// EnvelopeFields are the encoders of the fields of one table's envelopes in one format. before is what the format has before
// a field in all events.
type EnvelopeFields interface {
	// Field is a field of the source block, or of the envelope where inner is -1.
	Field(outer, inner int) (before []byte, enc FieldEncoder, err error)
	// Row is before or after. A null in a required column is written as the column's default, else its Fallback: it stands for
	// a column that the database did not tell, not for a null that is there; a value that is unavailable as its Unavailable.
	Row(outer int) (before []byte, enc FieldEncoder, err error)
	// Source adds the source block, whose fields fill adds.
	Source(l *LayoutBuilder, outer int, fill func() error) error
}

// Envelope adds the fields of the envelope.
func (l *LayoutBuilder) Envelope(e *Envelope, f EnvelopeFields) error {
	for i := range e.Type.Fields {
		if isSource(e.Type.Fields[i]) {
			if err := f.Source(l, i, func() error { return l.source(e, f, i) }); err != nil {
				return InField("source", err)
			}
			continue
		}
		from, err := e.Origin(i, -1)
		if err != nil {
			return err
		}
		var before []byte
		var enc FieldEncoder
		if from.part <= partAfter {
			before, enc, err = f.Row(i)
		} else {
			before, enc, err = f.Field(i, -1)
		}
		if err == nil {
			l.Constant(before...)
			err = l.Value(from, enc)
		}
		if err != nil {
			return InField(e.Type.Fields[i].Name, err)
		}
	}
	return nil
}

// source adds the fields of the source block.
func (l *LayoutBuilder) source(e *Envelope, f EnvelopeFields, outer int) error {
	for i, s := range e.Source.Block.Fields {
		before, enc, err := f.Field(outer, i)
		if err == nil {
			l.Constant(before...)
			var from Origin
			if from, err = e.Origin(outer, i); err == nil {
				err = l.Value(from, enc)
			}
		}
		if err != nil {
			return InField(s.Name, err)
		}
	}
	return nil
}
