// SPDX-License-Identifier: Apache-2.0

// Package topic is the small log interface that embedded and Kafka mode share: records in topics, written in units with
// the source position they bring, read by members of consumer groups.
//
// Its main type is Log. A Log owns the bytes of a Unit from Append until it calls the unit's done function; the bytes of
// polled records belong to the Cursor until its next Poll. I1 and I3 are promises of every Log: a mark is durable only
// with the records before it, and durability is a prefix of the order of Append.
package topic

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Head is the part that millions of records share, such as {"schema":{...},"payload": of JSON or the magic byte and
// schema id of Avro. Heads are interned: one pointer for one content within a format or a Log. Immutable.
type Head struct {
	ID    uint64 // xxhash64 of Bytes
	Bytes []byte
}

// Data is a key or a value. Its wire form is Head.Bytes followed by Body. The zero Data is null; a Data with a non-nil,
// empty Body and no Head is zero bytes long.
type Data struct {
	Head *Head
	Body []byte
}

// IsNull says whether there is no data, as in a tombstone.
func (d Data) IsNull() bool { return d.Head == nil && d.Body == nil }

// Len is the length of the wire form.
func (d Data) Len() int {
	if d.Head == nil {
		return len(d.Body)
	}
	return len(d.Head.Bytes) + len(d.Body)
}

// AppendTo appends the wire form.
func (d Data) AppendTo(dst []byte) []byte {
	if d.Head != nil {
		dst = append(dst, d.Head.Bytes...)
	}
	return append(dst, d.Body...)
}

// Bytes is the wire form, nil for null.
func (d Data) Bytes() []byte {
	if d.Head == nil {
		return d.Body
	}
	return d.AppendTo(make([]byte, 0, d.Len()))
}

// Header is a record header. A nil Value is null.
type Header struct {
	Key   string
	Value []byte
}

// AnyPartition lets the Log choose the partition: by hash of the key, by turns for null keys.
const AnyPartition = -1

// Record is a record of a topic.
type Record struct {
	Topic      string
	Partition  int32 // AnyPartition when appended without a choice
	Offset     int64 // given by the Log
	TimeMillis int64 // ms since the epoch; 0 when appended: the Log's clock
	Key, Value Data
	Headers    []Header
}

// Mark is a source partition and its position. An empty Key is no mark.
type Mark struct{ Key, Value string }

// Unit is what becomes durable at once: records and the position they bring.
type Unit struct {
	Records []Record
	Mark    Mark
	// Free, if not nil, is called at most once, before done, by a log that needs the unit's bytes no more though the unit is
	// not durable yet. It must not block. Of a unit that fails it may not be called.
	Free func()
}

// Spec describes a topic to be created. Zero values mean the Log's defaults.
type Spec struct {
	Name           string
	Partitions     int32
	Replication    int16         // copies in a cluster; no meaning elsewhere
	RetentionTime  time.Duration // records older may go; < 0 keeps for ever
	RetentionBytes int64         // per partition; < 0 keeps all
}

// Partition names a partition of a topic.
type Partition struct {
	Topic     string
	Partition int32
}

// Range is the part of a partition that can be read: Start is the first offset kept, End the next to be written.
type Range struct{ Start, End int64 }

// Info describes an existing topic.
type Info struct {
	Name       string
	Partitions []Range // by partition number
}

// Log stores topics. It is safe for concurrent use.
type Log interface {
	// Create makes the topics that do not exist yet; existing ones stay as they are. Append creates missing topics with
	// the Log's defaults.
	Create(ctx context.Context, specs ...Spec) error
	// Append queues a unit and blocks while the log is over its byte budget. done is called once per unit, in Append
	// order, never from inside Append; after an error every later unit fails too (I3) until the Log is reopened. The
	// unit's bytes are the log's until Free or done. With ctx ended before the unit is queued, done is called with its error.
	Append(ctx context.Context, u Unit, done func(error))
	// LoadMark returns the last durable value of a mark, "" if there is none.
	LoadMark(ctx context.Context, key string) (string, error)
	// List describes all topics, by name.
	List(ctx context.Context) ([]Info, error)
	// Subscribe opens a cursor.
	Subscribe(ctx context.Context, s Subscription) (Cursor, error)
	Close(ctx context.Context) error
}

// Identified is a Log that tells which log it is, for targets that store offsets: those of one log mean nothing in
// another, though its topics and groups may have the same names.
type Identified interface {
	Identity() string
}

// Deleter is a Log that can delete topics and marks, durably.
type Deleter interface {
	// DeleteTopic deletes a topic with its records and the offsets that groups have in it; one that does not exist is an
	// error. A topic of the same name that is made later begins at offset 0.
	DeleteTopic(ctx context.Context, name string) error
	// DeleteMark forgets a mark; one that does not exist is fine.
	DeleteMark(ctx context.Context, key string) error
}

// hiddenPrefix begins the names of topics that belong to the engine.
const hiddenPrefix = "__freshet-"

// Hidden says whether a topic belongs to the engine: patterns and lists pass over it.
func Hidden(name string) bool { return strings.HasPrefix(name, hiddenPrefix) }

// Subscription says what a cursor reads.
type Subscription struct {
	// Group is the consumer group whose committed offsets the cursor continues and commits. "" is no group: nothing is
	// committed, and reading begins at the start (or the end, with FromEnd).
	Group string
	// Topics are the topics by name; they may be created later.
	Topics []string
	// Pattern, if not nil, selects further topics by name, also later created ones.
	Pattern func(topic string) bool
	// FromEnd begins at the end where the group has no committed offset (auto.offset.reset=latest).
	FromEnd bool
}

// Cursor is one member of a consumer group. Its methods are called by one goroutine.
type Cursor interface {
	// Poll blocks until there is a record or ctx ends, and returns at most max records, in offset order within each
	// partition. They are valid until the next Poll. Partitions never move away between Poll and the next Commit; others
	// may come only after it.
	Poll(ctx context.Context, max int) ([]Record, error)
	// Seek makes the next Poll read the partition from offset.
	Seek(p Partition, offset int64)
	// Committed returns the group's committed offset, or -1.
	Committed(ctx context.Context, p Partition) (int64, error)
	// Commit makes the positions after all polled records the group's, durably.
	Commit(ctx context.Context) error
	Close(ctx context.Context) error
}

// ErrClosed is returned by a Log or Cursor after Close.
var ErrClosed = errors.New("log is closed")
