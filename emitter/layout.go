// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"fmt"
	"slices"

	"freshet/capture"
	"freshet/change"
	"freshet/schema"
)

// Layout is the program of one table's change events in one format: constant bytes, and between them values of the change
// that a FieldEncoder writes. It is made once a table version by a LayoutBuilder, then immutable, and allocates nothing for a
// change.
type Layout struct {
	pieces    []piece
	tail      []byte
	sourceLen int            // values expected in Change.Source
	fields    []schema.Field // of the envelope, for errors
	frame     func(dst []byte, start int) []byte
	// ops and snapshots are the encodings of the texts that there are few of.
	ops       [len(ops)][]byte
	snapshots [change.SnapshotIncremental + 1][]byte
}

// piece is constant bytes and what follows them.
type piece struct {
	constant []byte
	encoder  FieldEncoder
	place
}

// FieldEncoder appends a field of an event: the value, and whatever the format puts around it. A null is written as the
// format writes what is not there.
type FieldEncoder interface {
	AppendField(dst []byte, b *change.Batch, v change.Value) ([]byte, error)
}

// part is where in a change a value comes from.
type part uint8

const (
	partBefore part = iota
	partAfter
	partOp
	partNowMillis
	partNowMicros
	partNowNanos
	partSourceMillis
	partSourceMicros
	partSourceNanos
	partSnapshot
	partSourceRow // a value of Change.Source
	partTransaction
	partTransactionField // a member of it
	partConstant         // the same in all changes of the table
	partOpen             // a framed struct begins
	partClose            // and ends
)

// Origin says where in a change a value comes from.
type Origin struct {
	place
	text string // of a partConstant
}

// place is a part, with the place in the envelope for errors.
type place struct {
	part         part
	at           int16 // in Change.Source, or in the transaction block
	outer, inner int16 // places in the envelope and in the struct there; inner is -1 for the field itself
}

// ops are the operations of rows.
const ops = "curdt"

// LayoutBuilder gathers constant bytes until a value ends them.
type LayoutBuilder struct {
	out  *Layout
	text []byte
}

// NewLayout begins the layout of events of e.
func NewLayout(e *Envelope) *LayoutBuilder {
	b := &LayoutBuilder{out: &Layout{fields: e.Type.Fields}}
	for _, f := range e.Source.Block.Fields {
		if f.From == capture.FromRow {
			b.out.sourceLen++
		}
	}
	return b
}

// Constant adds bytes that all events have.
func (l *LayoutBuilder) Constant(p ...byte) { l.text = append(l.text, p...) }

// literal is a field that is a text.
func literal(enc FieldEncoder, text string) ([]byte, error) {
	var b change.Batch
	return enc.AppendField(nil, &b, b.Text(text))
}

// Value adds a value.
func (l *LayoutBuilder) Value(from Origin, enc FieldEncoder) error {
	var err error
	switch from.part {
	case partConstant:
		var out []byte
		out, err = literal(enc, from.text)
		l.text = append(l.text, out...)
		return err
	case partOp:
		for i := 0; i < len(ops) && err == nil; i++ {
			l.out.ops[i], err = literal(enc, ops[i:i+1])
		}
	case partSnapshot:
		var b change.Batch
		// Streamed changes have none: the field is null, which is the schema's default "false" unless nulls are kept.
		if l.out.snapshots[0], err = enc.AppendField(nil, &b, change.NullValue()); err != nil {
			l.out.snapshots[0], err = literal(enc, change.NoSnapshot.String())
		}
		for s := change.NoSnapshot + 1; s <= change.SnapshotIncremental && err == nil; s++ {
			l.out.snapshots[s], err = literal(enc, s.String())
		}
	}
	l.out.pieces = append(l.out.pieces, piece{l.text, enc, from.place})
	l.text = nil
	return err
}

// Frame adds what nested writes, framed by what is known only once that is written, such as its length. There are no frames in
// frames, and all frames of a layout are of one kind.
func (l *LayoutBuilder) Frame(frame func(dst []byte, start int) []byte, nested func() error) error {
	l.out.frame = frame
	l.mark(partOpen)
	err := nested()
	l.mark(partClose)
	return err
}

func (l *LayoutBuilder) mark(p part) {
	l.out.pieces = append(l.out.pieces, piece{constant: l.text, place: place{part: p, inner: -1}})
	l.text = nil
}

// Layout ends the layout.
func (l *LayoutBuilder) Layout() *Layout {
	l.out.tail = l.text
	l.out.pieces = slices.Clone(l.out.pieces) // no longer than needed: there is one of these a table
	return l.out
}

// Append appends the event of c. now is the time of the event, ns since the epoch.
func (l *Layout) Append(dst []byte, b *change.Batch, c *change.Change, now int64) ([]byte, error) {
	if c.Source.Present() && c.Source.Len() != l.sourceLen {
		return dst, InField("source", Refuse(fmt.Sprintf("Mismatching schema: %d values for %d fields", c.Source.Len(), l.sourceLen)))
	}
	open := 0
	for i := range l.pieces {
		p := &l.pieces[i]
		dst = append(dst, p.constant...)
		var v change.Value
		switch p.part {
		case partBefore:
			v = rowValue(b, c.Before)
		case partAfter:
			v = rowValue(b, c.After)
		case partOp:
			dst = append(dst, l.ops[opIndex(c.Op)]...)
			continue
		case partNowMillis:
			v = change.IntValue(now / 1e6)
		case partNowMicros:
			v = change.IntValue(now / 1e3)
		case partNowNanos:
			v = change.IntValue(now)
		case partSourceMillis:
			v = change.IntValue(floorDiv(c.SourceMicros, 1000))
		case partSourceMicros:
			v = change.IntValue(c.SourceMicros)
		case partSourceNanos:
			v = change.IntValue(c.SourceMicros * 1000)
		case partSnapshot:
			dst = append(dst, l.snapshots[c.Snapshot]...)
			continue
		case partSourceRow:
			if c.Source.Present() {
				v = b.At(c.Source, int(p.at))
			}
		case partTransaction:
			v = c.Transaction
		case partTransactionField:
			if !c.Transaction.IsNull() {
				v = b.At(b.RowOf(c.Transaction), int(p.at))
			}
		case partOpen:
			open = len(dst)
			continue
		case partClose:
			dst = l.frame(dst, open)
			continue
		}
		var err error
		if dst, err = p.encoder.AppendField(dst, b, v); err != nil {
			return dst, l.failed(p.place, err)
		}
	}
	return append(dst, l.tail...), nil
}

// opIndex is the place in ops.
func opIndex(op change.Op) int {
	switch op {
	case change.Create:
		return 0
	case change.Update:
		return 1
	case change.Read:
		return 2
	case change.Delete:
		return 3
	}
	return 4
}

// rowValue is a row as a Struct.
func rowValue(b *change.Batch, r change.Row) change.Value {
	if !r.Present() {
		return change.NullValue()
	}
	return b.Run(change.Struct, r)
}

// failed says where.
func (l *Layout) failed(at place, err error) error {
	field := &l.fields[at.outer]
	if at.inner >= 0 {
		err = InField(field.Type.Fields[at.inner].Name, err)
	}
	return InField(field.Name, err)
}
