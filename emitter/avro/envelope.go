// SPDX-License-Identifier: Apache-2.0

package avro

import (
	"fmt"

	"freshet/capture"
	"freshet/change"
	"freshet/emitter"
	"freshet/emitter/topic"
	"freshet/schema"
)

// part is a place in an envelope whose bytes differ from change to change.
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
)

// piece is constant bytes and the varying part that follows them.
type piece struct {
	constant []byte
	part     part
	row      int // index in Change.Source
	value    column
}

// column is a field with what stands for values that are not there; nil refuses them.
type column struct {
	name              string
	node              *node
	null, unavailable []byte
}

// envelope is the program of one table's envelopes: pieces, then the tail.
type envelope struct {
	encoder  *encoder
	pieces   []piece
	tail     []byte
	columns  []column
	row      *node // of before and after
	snapshot [change.SnapshotIncremental + 1][]byte
	rowLen   int // values expected in Change.Source
}

var (
	_ emitter.RowFormat       = (*Format)(nil)
	_ emitter.EnvelopeEncoder = (*envelope)(nil)
)

// CompileEnvelope makes the encoder of a table's changes, equal to building the envelope and encoding that. A schema that
// Avro cannot express is refused with the first value: transforms may have made another one of it by then.
func (f *Format) CompileEnvelope(e *emitter.Envelope) (emitter.EnvelopeEncoder, error) {
	compiled, err := f.CompileFor(e.Topic, e.Type)
	if err != nil {
		return nil, err
	}
	c := envelopeCompiler{out: &envelope{encoder: compiled.(*encoder)}}
	if err = c.out.encoder.err; err == nil {
		err = c.envelope(e)
	}
	if err != nil {
		return &refused{c.out.encoder.failed(fmt.Errorf("envelope of table %q: %w", e.Table.ID, err))}, nil
	}
	c.out.tail = c.constant
	return c.out, nil
}

// refused is the encoder of envelopes that cannot be written.
type refused struct{ err error }

// Head is nil.
func (*refused) Head() *topic.Head { return nil }

// AppendValue says why.
func (r *refused) AppendValue(dst []byte, _ *change.Batch, _ *change.Change, _ int64) ([]byte, error) {
	return dst, r.err
}

// envelopeCompiler gathers constant bytes until a varying part ends them.
type envelopeCompiler struct {
	out      *envelope
	constant []byte
}

func (c *envelopeCompiler) vary(p piece) {
	p.constant = c.constant
	c.constant = nil
	c.out.pieces = append(c.out.pieces, p)
}

var simpleParts = map[string]part{
	"before": partBefore, "after": partAfter, "op": partOp,
	"ts_ms": partNowMillis, "ts_us": partNowMicros, "ts_ns": partNowNanos,
}

func (c *envelopeCompiler) envelope(e *emitter.Envelope) error {
	members := c.out.encoder.node.members
	for i, field := range e.Type.Fields {
		n := members[i].node
		p, simple := simpleParts[field.Name]
		switch {
		case simple && p <= partAfter:
			if err := c.rows(n, e.Table.Columns); err != nil {
				return emitter.InField(field.Name, err)
			}
			c.vary(piece{part: p})
		case simple:
			c.vary(piece{part: p, value: column{name: field.Name, node: n}})
		case field.Name == "source":
			if err := c.source(e, n); err != nil {
				return emitter.InField("source", err)
			}
		case field.Name == "transaction":
			c.vary(piece{part: partTransaction, value: column{name: field.Name, node: n}})
		default:
			return schemaError(fmt.Sprintf("nothing fills field %q", field.Name))
		}
	}
	return nil
}

// rows compiles the columns, once for before and after.
func (c *envelopeCompiler) rows(n *node, columns []schema.Column) error {
	if c.out.row = n; c.out.columns != nil {
		return nil
	}
	if len(n.members) != len(columns) {
		return schemaError("the envelope has other columns than the table")
	}
	c.out.columns = make([]column, len(columns))
	for i := range columns {
		col := &columns[i]
		out := column{name: col.Name, node: n.members[i].node}
		stand := any(nil)
		if !col.Type.Optional {
			if stand = col.Type.Default; stand == nil {
				stand = col.Fallback
			}
		}
		var err error
		if out.null, err = field(out.node, stand); err != nil {
			return emitter.InField(col.Name, err)
		}
		out.unavailable = out.null
		if col.Unavailable != nil {
			if out.unavailable, err = field(out.node, col.Unavailable); err != nil {
				return emitter.InField(col.Name, err)
			}
		}
		c.out.columns[i] = out
	}
	return nil
}

// field is the encoding of a literal in a field of a struct; nil where it is null and may not be.
func field(n *node, lit any) ([]byte, error) {
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

// source compiles the source block, its constants into bytes.
func (c *envelopeCompiler) source(e *emitter.Envelope, n *node) error {
	if n.hasIndex {
		c.constant = append(c.constant, n.value)
	}
	constants := map[capture.Origin]string{
		capture.FromVersion: e.Source.Version, capture.FromConnector: e.Source.Connector, capture.FromName: e.Source.Name,
		capture.FromCatalog: e.Table.ID.Catalog, capture.FromSchema: e.Table.ID.Schema, capture.FromTable: e.Table.ID.Name,
	}
	clocks := map[capture.Origin]part{
		capture.FromMillis: partSourceMillis, capture.FromMicros: partSourceMicros, capture.FromNanos: partSourceNanos,
	}
	for i, f := range e.Source.Block.Fields {
		below := column{name: f.Name, node: n.members[i].node}
		var err error
		if below.null, err = field(below.node, nil); err != nil {
			return emitter.InField(f.Name, err)
		}
		text, constant := constants[f.From]
		clock, timed := clocks[f.From]
		switch {
		case constant:
			bytes, err := field(below.node, text)
			if err != nil {
				return emitter.InField(f.Name, err)
			}
			c.constant = append(c.constant, bytes...)
		case timed:
			c.vary(piece{part: clock, value: below})
		case f.From == capture.FromSnapshot:
			c.out.snapshot[change.NoSnapshot] = below.null
			for s := change.NoSnapshot + 1; s <= change.SnapshotIncremental; s++ {
				if c.out.snapshot[s], err = field(below.node, s.String()); err != nil {
					return emitter.InField(f.Name, err)
				}
			}
			c.vary(piece{part: partSnapshot})
		default:
			c.vary(piece{part: partSourceRow, row: c.out.rowLen, value: below})
			c.out.rowLen++
		}
	}
	return nil
}

// Head is the zero byte and the id; nil before the first AppendValue.
func (e *envelope) Head() *topic.Head { return e.encoder.Head() }

// AppendValue appends the binary form of a change's envelope.
func (e *envelope) AppendValue(dst []byte, b *change.Batch, c *change.Change, now int64) ([]byte, error) {
	err := e.encoder.ready()
	for i := 0; i < len(e.pieces) && err == nil; i++ {
		p := &e.pieces[i]
		dst, err = e.append(append(dst, p.constant...), p, b, c, now)
	}
	if err != nil {
		return dst, e.encoder.failed(err)
	}
	return append(dst, e.tail...), nil
}

func (e *envelope) append(dst []byte, p *piece, b *change.Batch, c *change.Change, now int64) ([]byte, error) {
	switch p.part {
	case partBefore:
		return e.appendRow(dst, "before", b, c.Before)
	case partAfter:
		return e.appendRow(dst, "after", b, c.After)
	case partOp:
		return append(appendLong(dst, 1), byte(c.Op)), nil
	case partNowMillis:
		return p.value.append(dst, b, change.IntValue(now/1e6))
	case partNowMicros:
		return p.value.append(dst, b, change.IntValue(now/1e3))
	case partNowNanos:
		return p.value.append(dst, b, change.IntValue(now))
	case partSourceMillis:
		return p.value.append(dst, b, change.IntValue(floorDiv(c.SourceMicros, 1000)))
	case partSourceMicros:
		return p.value.append(dst, b, change.IntValue(c.SourceMicros))
	case partSourceNanos:
		return p.value.append(dst, b, change.IntValue(c.SourceMicros*1000))
	case partSnapshot:
		return append(dst, e.snapshot[c.Snapshot]...), nil
	case partSourceRow:
		v := change.NullValue()
		if c.Source.Present() {
			if c.Source.Len() != e.rowLen {
				return dst, emitter.Refuse("the source block has another number of values")
			}
			v = b.At(c.Source, p.row)
		}
		return p.value.append(dst, b, v)
	}
	return p.value.node.append(dst, b, c.Transaction)
}

func floorDiv(a, n int64) int64 {
	if a < 0 {
		return -((-a + n - 1) / n)
	}
	return a / n
}

func (c *column) append(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	stand := c.null
	switch v.Kind() {
	case change.Unavailable:
		stand = c.unavailable
	case change.Null:
	default:
		return c.node.append(dst, b, v)
	}
	if stand == nil {
		return dst, emitter.Refuse(requiredNull)
	}
	return append(dst, stand...), nil
}

func (e *envelope) appendRow(dst []byte, name string, b *change.Batch, r change.Row) ([]byte, error) {
	if !r.Present() {
		return append(dst, e.row.null), nil
	}
	values := b.Values(r)
	if len(values) != len(e.columns) {
		return dst, emitter.Refuse("Mismatching struct schema")
	}
	dst = append(dst, e.row.value)
	var err error
	for i := range e.columns {
		col := &e.columns[i]
		if dst, err = col.append(dst, b, values[i]); err != nil {
			return dst, emitter.InField(name, emitter.InField(col.name, err))
		}
	}
	return dst, nil
}
