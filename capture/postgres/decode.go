// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"freshet/change"
	"freshet/schema"
)

// decoder makes changes of pgoutput messages and keeps the position. One goroutine owns it. For a row it allocates
// nothing once the batch's slabs have grown.
type decoder struct {
	o         *options
	log       *slog.Logger
	types     *Registry
	lookup    lookup
	refresh   func(ctx context.Context) error // reads the registry's types again
	relations map[uint32]*streamed
	// snapshotted are the tables as the snapshot has emitted them, those that no message has described since.
	snapshotted map[schema.ID]*schema.Table
	committed   func(xid uint32) // told of every transaction that ends; nil for nobody

	pos position // behind the last message
	tx  transaction
	// taken is the part of a transaction that was handed over before the restart, see position. Zero when there is none.
	taken  takenPart
	source sourceCache
	// messages is the table of logical messages; nil before the first.
	messages *schema.Table

	// rereads are rows of the batch that are to be completed before they are handed out.
	rereads []reread

	// failures counts values that could not be converted and became null.
	failures int64
}

// transaction is the one whose messages are coming in.
type transaction struct {
	open bool
	beginMessage
	origin    string
	originLSN lsn
	// at and rows count the row messages that share one LSN.
	at   lsn
	rows int
}

// takenPart is the part of transaction xid before and at an LSN.
type takenPart struct {
	xid  uint32
	at   lsn
	rows int
}

// sourceCache is the source row of the change before, for rows that share their LSN.
type sourceCache struct {
	row   change.Row
	batch *change.Batch
	seq   int // length of batch.Changes when made: a reset batch has fewer
	lsn   lsn
	xid   uint32
}

// newDecoder continues at a position.
func newDecoder(o *options, log *slog.Logger, types *Registry, from position) *decoder {
	d := &decoder{o: o, log: log, types: types, relations: map[uint32]*streamed{}, pos: from}
	if from.inTransaction() {
		d.taken = takenPart{uint32(from.TxID), from.Proc, max(from.Events, 1)}
	}
	if from.Proc == 0 {
		// The stream begins: nothing was committed in it yet. What a snapshot said is no part of its positions.
		d.pos = position{LSN: from.start(), Proc: from.start(), Commit: from.Commit, Xmin: from.Xmin, System: from.System, Timeline: from.Timeline}
	}
	return d
}

// message takes one pgoutput message with the LSN of its header and appends its changes to b. After an error the decoder
// is of no more use; position and changes are those before the message, so that it comes again (I4).
func (d *decoder) message(ctx context.Context, b *change.Batch, at lsn, data []byte) error {
	pos, changes := d.pos, len(b.Changes)
	c := &cursor{p: data}
	kind := c.byte()
	var err error
	switch kind {
	case msgBegin:
		if m := parseBegin(c); c.err == nil {
			d.begin(b, m, at)
		}
	case msgCommit:
		if m := parseCommit(c); c.err == nil {
			d.commit(b, m)
		}
	case msgOrigin:
		m := parseOrigin(c)
		d.tx.origin, d.tx.originLSN = m.Name, m.LSN
	case msgRelation:
		if m := parseRelation(c); c.err == nil {
			err = d.relation(ctx, m)
		}
	case msgInsert, msgUpdate, msgDelete:
		err = d.row(b, kind, at, c)
	case msgTruncate:
		if oids := parseTruncate(c); c.err == nil {
			err = d.truncate(b, at, oids)
		}
	case msgMessage:
		if m := parseMessage(c); c.err == nil {
			d.logical(b, at, m)
		}
	case msgType:
		return nil
	default:
		err = malformed("it was not asked for")
	}
	if err == nil && c.err != nil {
		err = malformedError{c.err}
	}
	if err != nil {
		d.pos, b.Changes = pos, b.Changes[:changes]
		return d.failed(kind, at, err)
	}
	return nil
}

// malformedError is a message that is not as the protocol has it. Reading it again does not help.
type malformedError struct{ error }

func malformed(format string, args ...any) error { return malformedError{fmt.Errorf(format, args...)} }

// failed names the place of a message that could not be taken.
func (d *decoder) failed(kind byte, at lsn, err error) error {
	subject := fmt.Sprintf("message %q at %s in transaction %d", kind, at, d.tx.XID)
	if errors.As(err, new(malformedError)) {
		return permanentf("decode", subject, "report this with the server's version: the message is not as the protocol has it", "%w", err)
	}
	return wrapError("decode", subject, err)
}

// begin opens a transaction. A transaction that was taken in part is the first to come again; where another one comes,
// the server has already been told of its end.
func (d *decoder) begin(b *change.Batch, m beginMessage, at lsn) {
	if d.tx.open && d.pos.inTransaction() { // its first part came from a spool whose connection broke
		d.taken = takenPart{uint32(d.pos.TxID), d.pos.Proc, max(d.pos.Events, 1)}
	}
	d.tx = transaction{open: true, beginMessage: m}
	if d.taken.xid != m.XID {
		d.taken = takenPart{}
	}
	d.boundary(b, change.TxBegin, at)
}

// boundary tells of an end of the transaction, for transaction metadata.
func (d *decoder) boundary(b *change.Batch, op change.Op, at lsn) {
	if d.o.TxMetadata {
		b.Changes = append(b.Changes, change.Change{Op: op, SourceMicros: d.tx.Micros, Transaction: d.transactionID(b, at)})
	}
}

// transactionID is the id that transaction metadata gives a record: the transaction and the place of the record.
func (d *decoder) transactionID(b *change.Batch, at lsn) change.Value {
	m := len(b.Arena)
	b.Arena = append(strconv.AppendUint(b.Arena, uint64(d.tx.XID), 10), ':')
	b.Arena = strconv.AppendUint(b.Arena, uint64(at), 10)
	return b.TextFrom(m)
}

// commit closes the transaction and moves the position behind it.
func (d *decoder) commit(b *change.Batch, m commitMessage) {
	message := d.pos.Message
	if message < m.End {
		message = 0 // the server does not send it again
	}
	d.pos = position{
		LSN: m.End, Proc: m.End, Commit: m.End, Type: typeCommit,
		TxID: int64(d.tx.XID), Micros: m.Micros, Xmin: d.pos.Xmin, Message: message,
		System: d.pos.System, Timeline: d.pos.Timeline,
	}
	d.boundary(b, change.TxEnd, m.End)
	d.taken = takenPart{}
	d.tx.open = false
	if d.committed != nil {
		d.committed(d.tx.XID)
	}
}

// advance moves the position over a row message, and says whether the message was taken before the restart (I4).
func (d *decoder) advance(at lsn, kind string) (again bool) {
	if d.tx.at != at {
		d.tx.at, d.tx.rows = at, 0
	}
	d.tx.rows++
	if t := d.taken; t.rows > 0 && (at < t.at || at == t.at && d.tx.rows <= t.rows) {
		return true
	}
	p := &d.pos
	start := p.start()
	p.LSN, p.Proc, p.Type, p.Events, p.Floor = at, at, kind, d.tx.rows, 0
	if p.start() < start {
		p.Floor = start
	}
	p.TxID, p.Micros = int64(d.tx.XID), d.tx.Micros
	return false
}

// row takes an INSERT, UPDATE or DELETE.
func (d *decoder) row(b *change.Batch, kind byte, at lsn, c *cursor) error {
	oid := c.uint32()
	s := d.relations[oid]
	if s == nil {
		return malformed("row of relation %d, which was not described", oid)
	}
	if d.advance(at, rowType(kind)) || s.relation == nil {
		c.p = nil
		return nil
	}
	ch := change.Change{Table: s.relation.table, Op: operation(kind), SourceMicros: d.tx.Micros}
	tag := c.byte()
	before := *c
	var old rowSlots
	oldTag := tag
	if tag == tupleKey || tag == tupleOld {
		old = s.relation.newSlots(b)
		empty, err := d.tuple(b, s, c, old, rowSlots{}, tag)
		if err != nil || empty {
			return err
		}
		if kind == msgUpdate {
			tag = c.byte()
		}
	} else {
		before.p = nil
	}
	if kind == msgDelete {
		if tag != tupleKey && tag != tupleOld {
			return malformed("tuple with tag %q", tag)
		}
		ch.Before, ch.Key = old.values, old.key
		d.emit(b, ch, at)
		return nil
	}
	if tag != tupleNew {
		return malformed("tuple with tag %q", tag)
	}
	slots, tuple := s.relation.newSlots(b), *c
	empty, err := d.tuple(b, s, c, slots, old, oldTag)
	if err != nil || empty && kind == msgUpdate {
		return err
	}
	ch.Before, ch.OldKey, ch.After, ch.Key = old.values, old.key, slots.values, slots.key
	d.emit(b, ch, at)
	if s.reselect != nil {
		d.reselect(b, s, slots.values, tuple, before)
	}
	return nil
}

func operation(kind byte) change.Op {
	switch kind {
	case msgInsert:
		return change.Create
	case msgUpdate:
		return change.Update
	}
	return change.Delete
}

func rowType(kind byte) string {
	switch kind {
	case msgInsert:
		return typeInsert
	case msgUpdate:
		return typeUpdate
	}
	return typeDelete
}

// tuple decodes the columns of one tuple into slots. Values that an update did not touch and did not send come from old,
// the old row of the same message, where that has them. empty is true for a tuple without columns.
func (d *decoder) tuple(b *change.Batch, s *streamed, c *cursor, slots, old rowSlots, oldTag byte) (empty bool, err error) {
	n := int(c.uint16())
	columns := s.relation.columns
	if c.err == nil && n != len(columns) {
		return false, malformed("row of %q has %d columns, its relation %d", s.id, n, len(columns))
	}
	for i := range columns {
		kind, text := c.column()
		if c.err != nil {
			return false, malformedError{c.err}
		}
		col := &columns[i]
		if kind == columnNull || !col.wanted() {
			continue // slots are null
		}
		if kind == columnUnchanged {
			col.put(b, slots, unchanged(b, col, old, oldTag))
			continue
		}
		v, err := col.codec.Decode(b, text)
		if err != nil {
			if err = d.convertFailed(s, i, err); err != nil {
				return false, err
			}
			v = change.NullValue()
		}
		col.put(b, slots, v)
	}
	return n == 0, nil
}

// unchanged is the value of a column that the server did not send: the old row's where all of that is known, or the
// identity's where it has the column.
func unchanged(b *change.Batch, col *relationColumn, old rowSlots, oldTag byte) change.Value {
	v := change.NullValue()
	switch {
	case oldTag != tupleOld && oldTag != tupleKey:
		return change.UnavailableValue()
	case col.value >= 0:
		v = b.At(old.values, col.value)
	case col.key >= 0:
		v = b.At(old.key, col.key)
	}
	if v.IsNull() && oldTag == tupleKey {
		return change.UnavailableValue()
	}
	return v
}

// convertFailed follows event.converting.failure.handling.mode for a value that cannot be converted. nil means that the
// value becomes null.
func (d *decoder) convertFailed(s *streamed, column int, err error) error {
	d.failures++
	name := s.id.String() + "." + s.relation.columns[column].name
	typ := s.relation.columns[column].typeName
	switch d.o.ConvertFailure {
	case "fail":
		return permanentf("convert", strconv.Quote(name), "mend the row, exclude the column, or set event.converting.failure.handling.mode=warn",
			"Failed to properly convert data value for '%s' of type %s: %w", name, typ, err)
	case "skip":
		return nil
	}
	if !s.warned[column] {
		s.warned[column] = true
		d.log.Warn("value cannot be converted and becomes null; said once per column, counted always",
			"column", name, "type", typ, "transaction", d.tx.XID, "error", err)
	}
	return nil
}

// truncate takes a TRUNCATE: one change for each captured table of it.
func (d *decoder) truncate(b *change.Batch, at lsn, oids []uint32) error {
	if d.advance(at, typeTruncate) {
		return nil
	}
	for _, oid := range oids {
		s := d.relations[oid]
		if s == nil {
			return malformed("truncated relation %d was not described", oid)
		}
		if s.relation != nil {
			d.emit(b, change.Change{Table: s.relation.table, Op: change.Truncate, SourceMicros: d.tx.Micros}, at)
		}
	}
	return nil
}

// emit appends a change with its source row.
func (d *decoder) emit(b *change.Batch, ch change.Change, at lsn) {
	c := &d.source
	if c.batch != b || c.lsn != at || c.xid != d.tx.XID || c.seq != len(b.Changes) {
		c.row = d.sourceRow(b, at)
	}
	ch.Source = c.row
	if d.o.TxMetadata {
		ch.Transaction = d.transactionID(b, at)
	}
	b.Changes = append(b.Changes, ch)
	*c = sourceCache{row: ch.Source, batch: b, seq: len(b.Changes), lsn: at, xid: d.tx.XID}
}

// sourceRow is the row of the source block's own fields, in the order of sourceBlock.
func (d *decoder) sourceRow(b *change.Batch, at lsn) change.Row {
	r := b.NewRow(sourceFields)
	b.Set(r, sourceSequence, sequenceText(b, d.pos.Commit, at))
	b.Set(r, sourceTxID, change.IntValue(int64(d.tx.XID)))
	b.Set(r, sourceLSN, change.IntValue(int64(at)))
	if d.pos.Xmin != 0 {
		b.Set(r, sourceXmin, change.IntValue(d.pos.Xmin))
	}
	if d.tx.origin != "" {
		b.Set(r, sourceOrigin, b.Text(d.tx.origin))
		b.Set(r, sourceOriginLSN, change.IntValue(int64(d.tx.originLSN)))
	}
	return r
}

// sequenceText is the source block's sequence: the last commit that was seen, or null, and the change.
func sequenceText(b *change.Batch, commit, at lsn) change.Value {
	m := len(b.Arena)
	b.Arena = append(b.Arena, '[')
	if commit == 0 {
		b.Arena = append(b.Arena, "null"...)
	} else {
		b.Arena = append(strconv.AppendUint(append(b.Arena, '"'), uint64(commit), 10), '"')
	}
	b.Arena = append(strconv.AppendUint(append(b.Arena, `,"`...), uint64(at), 10), '"', ']')
	return b.TextFrom(m)
}
