// SPDX-License-Identifier: Apache-2.0

// Package change is the vocabulary of the data path: what happened to rows, in batches.
//
// A Batch owns two slabs: values (16 bytes each, without pointers) and an arena of bytes. A Row is a run of values, a
// text is a span of the arena, and a struct, array or map is again a run of values. Filling a batch allocates nothing
// once its slabs have grown. A Batch is owned by whoever holds it and is not safe for concurrent writing; everything
// in it is valid until Reset. The same Batch serves readers, transforms and sinks.
package change

import (
	"strings"

	"freshet/schema"
)

// Position says where to resume: the canonical JSON of the Kafka Connect source offset. It is opaque and comparable
// with ==, readable in a log and over REST. Only the reader that made it may look inside. "" means from the beginning.
type Position string

// With is the position with further members, the text of JSON members such as "a":1. Readers ignore members that they do
// not know, so whoever stands around a reader keeps its own state there.
func (p Position) With(members []byte) Position {
	if len(members) == 0 {
		return p
	}
	body := strings.TrimSuffix(string(p), "}")
	switch body {
	case "":
		body = "{"
	case "{":
	default:
		body += ","
	}
	return Position(body + string(members) + "}")
}

// Op is what happened to a row.
type Op byte

// The operations, as the envelope's op field has them.
const (
	Create   Op = 'c'
	Update   Op = 'u'
	Delete   Op = 'd'
	Read     Op = 'r' // a row of a snapshot
	Truncate Op = 't'
	Message  Op = 'm'
	// Plain is a record of a source that has no rows: the name of its table is the topic, its row holds the value alone.
	Plain Op = 'p'
	// TxBegin and TxEnd bound a transaction. They come only where transaction metadata is asked for; they have no table and
	// are not events themselves.
	TxBegin Op = 'B'
	TxEnd   Op = 'E'
)

// Snapshot says which row of a snapshot a change is, as the source block's snapshot field has it.
type Snapshot uint8

// The markers. Streamed changes have NoSnapshot.
const (
	NoSnapshot Snapshot = iota
	SnapshotFirst
	SnapshotFirstInCollection
	SnapshotInner
	SnapshotLastInCollection
	SnapshotLast
	SnapshotIncremental
)

var snapshotNames = [...]string{"false", "first", "first_in_data_collection", "true", "last_in_data_collection", "last", "incremental"}

// String is the marker as the source block has it.
func (s Snapshot) String() string { return snapshotNames[s] }

// Row is a run of values in a Batch. The zero Row is absent; a present row without values has n 0 and off > 0.
type Row struct{ off, n uint32 }

// Present says whether there is a row.
func (r Row) Present() bool { return r.off != 0 }

// Len is the number of values.
func (r Row) Len() int { return int(r.n) }

// Change is one change of one row, or a logical message, or an end of a transaction.
type Change struct {
	Table    *schema.Table // nil where there is none: messages and ends of transactions
	Op       Op
	Snapshot Snapshot
	// Key follows Table.Key: the new row's key for c, u and r, the old row's for d; absent for keyless tables.
	Key Row
	// OldKey is the key before an update, present only where the database told the old row. Where it differs from Key the
	// emitter makes delete, tombstone and create of the update.
	OldKey Row
	// Before and After follow Table.Columns.
	Before, After Row
	// Source holds the database's own fields of the source block, in the order of capture.SourceBlock's FromRow fields.
	Source Row
	// SourceMicros is the time of the change at the source, µs since the epoch (the commit's, or the snapshot's).
	SourceMicros int64
	// Transaction is the id of the change within its transaction, a Text such as 771:26523128, where transaction metadata
	// is asked for; else Null, as for rows of snapshots. The emitter makes it the envelope's transaction block, a Struct.
	Transaction Value
}

// Subject names what was changed, for messages.
func (c *Change) Subject() string {
	if c.Table == nil {
		return "transaction"
	}
	return c.Table.ID.String()
}

// Notice is a notification, as Debezium's notification channels carry it.
type Notice struct {
	ID        string         // "" for a random UUID
	Aggregate string         // such as Initial Snapshot
	Type      string         // such as STARTED
	Data      []schema.Param // the additional data
	Millis    int64          // when it happened, ms since the epoch
	// Before is the index of the change that it comes before; the number of changes where it comes behind all of them.
	Before int
}

// Batch is a number of changes in source order, and where to resume after them.
type Batch struct {
	Changes []Change
	Notices []Notice // in the order of Before
	Seq     uint64   // given by the pipeline; the only order the engine relies on
	End     Position // resume here once all above is durable; may move with no changes. "" where there are notices alone
	// SnapshotEnd says that a snapshot ends with this batch.
	SnapshotEnd bool
	// Arena holds the bytes of texts. Append to it and take the span with TextFrom or BytesFrom.
	Arena  []byte
	values []Value
}

// keepBytes is the largest arena that a batch keeps.
const keepBytes = 16 << 20

// Reset empties the batch and keeps its memory, unless that has grown beyond keepBytes.
func (b *Batch) Reset() {
	clear(b.Changes)
	b.Changes, b.Notices, b.values, b.Arena = b.Changes[:0], nil, b.values[:0], b.Arena[:0]
	b.DropLarge()
	if cap(b.values) > keepBytes/16 {
		b.values = nil
	}
	b.End, b.Seq, b.SnapshotEnd = "", 0, false
}

// DropLarge gives the arena back where it is a large one, and says so: its texts are gone, the rest of the batch stays. For
// when a batch's records are made and the batch waits for them to be durable.
func (b *Batch) DropLarge() bool {
	if cap(b.Arena) <= keepBytes {
		return false
	}
	b.Arena = nil
	return true
}

// Size is the number of bytes of what the batch holds, for byte budgets.
func (b *Batch) Size() int { return len(b.Arena) + 16*len(b.values) + 96*len(b.Changes) }

// NewRow reserves a row of n values, all Null.
func (b *Batch) NewRow(n int) Row {
	if len(b.values) == 0 {
		b.values = append(b.values, Value{}) // offset 0 means absent
	}
	r := Row{uint32(len(b.values)), uint32(n)}
	for range n {
		b.values = append(b.values, Value{})
	}
	return r
}

// Values are the values of a row; the slice is valid until the next NewRow, which may move the slab.
func (b *Batch) Values(r Row) []Value { return b.values[r.off : r.off+r.n : r.off+r.n] }

// At is one value of a row.
func (b *Batch) At(r Row, i int) Value { return b.values[r.off+uint32(i)] }

// Set sets one value of a row.
func (b *Batch) Set(r Row, i int, v Value) { b.values[r.off+uint32(i)] = v }

// Equal compares two rows by content.
func (b *Batch) Equal(x, y Row) bool {
	if x.n != y.n || x.Present() != y.Present() {
		return false
	}
	for i := range x.n {
		if !b.EqualValues(b.values[x.off+i], b.values[y.off+i]) {
			return false
		}
	}
	return true
}
