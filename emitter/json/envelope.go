// SPDX-License-Identifier: Apache-2.0

package json

import (
	"fmt"
	"slices"
	"strconv"

	"freshet/capture"
	"freshet/change"
	"freshet/emitter"
	"freshet/emitter/topic"
	"freshet/schema"
)

// part is a place in an envelope whose text differs from change to change.
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

// piece is constant text and the varying part that follows it.
type piece struct {
	text []byte
	part part
	row  int  // index in Change.Source
	node node // of a partSourceRow or partTransaction
}

// envelope is the program of one table's envelopes: pieces, then the tail.
type envelope struct {
	head     *topic.Head
	pieces   []piece
	tail     []byte
	columns  []member
	snapshot [change.SnapshotIncremental + 1][]byte // texts of the markers
	rowLen   int                                    // values expected in Change.Source
}

var _ emitter.EnvelopeEncoder = (*envelope)(nil)

// CompileEnvelope makes the encoder of a table's changes. A null in a required column is written as the column's
// default, else its Fallback, whatever ReplaceNullWithDefault says: it stands for a column that the database did not
// tell, not for a null that is there.
func (f *Format) CompileEnvelope(e *emitter.Envelope) (emitter.EnvelopeEncoder, error) {
	head, err := f.head(e.Type)
	if err != nil {
		return nil, fmt.Errorf("schema of table %q: %w", e.Table.ID, err)
	}
	out := &envelope{head: head}
	c := envelopeCompiler{options: f.options, out: out}
	if out.columns, err = c.columns(e.Table.Columns); err == nil {
		err = c.envelope(e)
	}
	if err != nil {
		return nil, fmt.Errorf("envelope of table %q: %w", e.Table.ID, err)
	}
	if head != nil {
		c.text = append(c.text, '}')
	}
	out.tail = c.text
	out.pieces = slices.Clone(out.pieces) // no longer than needed: there is one of these a table
	return out, nil
}

// envelopeCompiler gathers constant text until a varying part ends it.
type envelopeCompiler struct {
	options Options
	out     *envelope
	text    []byte
}

func (c *envelopeCompiler) vary(p piece) {
	p.text = c.text
	c.text = nil
	c.out.pieces = append(c.out.pieces, p)
}

func (c *envelopeCompiler) columns(columns []schema.Column) ([]member, error) {
	members := make([]member, len(columns))
	for i := range columns {
		n, err := c.column(&columns[i])
		if err != nil {
			return nil, inField(columns[i].Name, err)
		}
		members[i] = member{memberPrefix(i, columns[i].Name), columns[i].Name, n}
	}
	return members, nil
}

func (c *envelopeCompiler) column(col *schema.Column) (node, error) {
	n, err := compile(col.Type, c.options)
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

// simpleParts are the fields of an envelope that hold one varying value.
var simpleParts = map[string]part{
	"before": partBefore, "after": partAfter, "op": partOp,
	"ts_ms": partNowMillis, "ts_us": partNowMicros, "ts_ns": partNowNanos,
}

func (c *envelopeCompiler) envelope(e *emitter.Envelope) error {
	for i, field := range e.Type.Fields {
		c.text = append(c.text, memberPrefix(i, field.Name)...)
		p, simple := simpleParts[field.Name]
		switch {
		case simple:
			if p <= partAfter && len(field.Type.Fields) != len(e.Table.Columns) {
				return fmt.Errorf("field %q has %d members, the table %d columns", field.Name, len(field.Type.Fields), len(e.Table.Columns))
			}
			c.vary(piece{part: p})
		case field.Name == "source":
			if err := c.source(e); err != nil {
				return inField("source", err)
			}
		case field.Name == "transaction" && field.Type.Optional:
			n, err := compile(field.Type, c.options)
			if err != nil {
				return inField("transaction", err)
			}
			c.vary(piece{part: partTransaction, node: n})
		default:
			return fmt.Errorf("nothing fills field %q", field.Name)
		}
	}
	c.text = append(c.text, '}')
	return nil
}

// source compiles the source block, its constants into text.
func (c *envelopeCompiler) source(e *emitter.Envelope) error {
	constants := map[capture.Origin]string{
		capture.FromVersion: e.Source.Version, capture.FromConnector: e.Source.Connector, capture.FromName: e.Source.Name,
		capture.FromCatalog: e.Table.ID.Catalog, capture.FromSchema: e.Table.ID.Schema, capture.FromTable: e.Table.ID.Name,
	}
	clocks := map[capture.Origin]part{
		capture.FromMillis: partSourceMillis, capture.FromMicros: partSourceMicros, capture.FromNanos: partSourceNanos,
	}
	for i, f := range e.Source.Block.Fields {
		c.text = append(c.text, memberPrefix(i, f.Name)...)
		n, err := compile(f.Type, c.options)
		if err != nil {
			return inField(f.Name, err)
		}
		if text, ok := constants[f.From]; ok {
			c.text = AppendString(c.text, []byte(text))
			continue
		}
		if clock, ok := clocks[f.From]; ok {
			c.vary(piece{part: clock})
			continue
		}
		if f.From == capture.FromSnapshot {
			c.snapshot(n)
			continue
		}
		c.vary(piece{part: partSourceRow, row: c.out.rowLen, node: n})
		c.out.rowLen++
	}
	if len(e.Source.Block.Fields) == 0 {
		c.text = append(c.text, '{')
	}
	c.text = append(c.text, '}')
	return nil
}

// snapshot compiles the marker. Streamed changes have none: the field is null, which is the schema's default "false"
// unless nulls are kept.
func (c *envelopeCompiler) snapshot(n node) {
	c.out.snapshot[change.NoSnapshot] = n.null
	if n.null == nil {
		c.out.snapshot[change.NoSnapshot] = []byte(`"false"`)
	}
	for s := change.SnapshotFirst; s <= change.SnapshotIncremental; s++ {
		c.out.snapshot[s] = AppendString(nil, []byte(s.String()))
	}
	c.vary(piece{part: partSnapshot})
}

// Head is {"schema":…,"payload": or nil.
func (e *envelope) Head() *topic.Head { return e.head }

// AppendValue appends the envelope of c. Times are after 1970, so that cutting digits off is rounding down.
func (e *envelope) AppendValue(dst []byte, b *change.Batch, c *change.Change, now int64) ([]byte, error) {
	source := noValues
	if c.Source.Present() {
		if source = b.Values(c.Source); len(source) != e.rowLen {
			return dst, inField("source", refuse("Mismatching schema: "+strconv.Itoa(len(source))+" values for "+strconv.Itoa(e.rowLen)+" fields"))
		}
	}
	var err error
	for i := range e.pieces {
		p := &e.pieces[i]
		dst = append(dst, p.text...)
		switch p.part {
		case partBefore:
			dst, err = e.appendRow(dst, b, c.Before, "before")
		case partAfter:
			dst, err = e.appendRow(dst, b, c.After, "after")
		case partOp:
			dst = append(dst, '"', byte(c.Op), '"')
		case partNowMillis:
			dst = strconv.AppendInt(dst, now/1e6, 10)
		case partNowMicros:
			dst = strconv.AppendInt(dst, now/1e3, 10)
		case partNowNanos:
			dst = strconv.AppendInt(dst, now, 10)
		case partSourceMillis:
			dst = strconv.AppendInt(dst, c.SourceMicros/1e3, 10)
		case partSourceMicros:
			dst = strconv.AppendInt(dst, c.SourceMicros, 10)
		case partSourceNanos:
			dst = strconv.AppendInt(dst, c.SourceMicros*1e3, 10)
		case partSnapshot:
			dst = append(dst, e.snapshot[c.Snapshot]...)
		case partSourceRow:
			var v change.Value
			if len(source) > 0 {
				v = source[p.row]
			}
			if dst, err = p.node.append(dst, b, v); err != nil {
				err = inField("source", err)
			}
		case partTransaction:
			if dst, err = p.node.append(dst, b, c.Transaction); err != nil {
				err = inField("transaction", err)
			}
		}
		if err != nil {
			return dst, err
		}
	}
	return append(dst, e.tail...), nil
}

var noValues []change.Value

func (e *envelope) appendRow(dst []byte, b *change.Batch, r change.Row, field string) ([]byte, error) {
	if !r.Present() {
		return append(dst, "null"...), nil
	}
	dst, err := appendMembers(dst, e.columns, b, b.Values(r))
	if err != nil {
		return dst, inField(field, err)
	}
	return dst, nil
}
