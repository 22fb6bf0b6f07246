// SPDX-License-Identifier: Apache-2.0

// Package sinks is the contract of a sink, and the loop that feeds one.
//
// A target folder registers a Connector, which opens Writers. Task polls a topic.Cursor, decodes records into a Batch
// (in the same arena form that sources fill), runs transforms, hands the batch to the Writer and commits the offsets
// once the target has it. Applying a batch twice leaves the same target as once (I8).
package sinks

import (
	"context"
	"fmt"
	"log/slog"

	"freshet/change"
	"freshet/config"
	"freshet/emitter/topic"
	"freshet/schema"
)

// Connector is what a target folder registers.
type Connector interface {
	Describe() config.Plugin
	// Check asks the target what stands in the way of writing with v.
	Check(ctx context.Context, v config.Values) []config.Problem
	Open(ctx context.Context, env Env, v config.Values) (Writer, error)
}

// Env is what a Writer gets from the engine.
type Env struct {
	Connector string
	Group     string // consumer group, connect-NAME
	Task      int
	// Origin is the identity of the log that offsets belong to (topic.Identified), "" where there is only one.
	Origin string
	Log    *slog.Logger
}

// Record is a decoded record. Its values are in the batch's Data.
type Record struct {
	// Source is where the record was read: the coordinates of its offset. Transforms may change Topic, never Source.
	Source     topic.Partition
	Topic      string
	Partition  int32
	Offset     int64
	TimeMillis int64
	// KeyType and ValueType are nil where there is no schema: a null, or schemaless data (then the value's kinds alone tell
	// what it is). They are the same pointer for the same schema.
	KeyType   *schema.Type
	Key       change.Value
	ValueType *schema.Type
	Value     change.Value
	Headers   []topic.Header

	raw int32 // index of the record as it was read in Batch.raws, from 1 on; 0 where it is not kept
}

// IsTombstone says whether the record has neither value nor value schema.
func (r *Record) IsTombstone() bool { return r.ValueType == nil && r.Value.IsNull() }

// Batch is what a Writer applies at once.
type Batch struct {
	Records []Record
	Data    change.Batch
	// Next are the offsets to go on at once the batch is applied, including records that transforms dropped.
	Next    map[topic.Partition]int64
	headers []topic.Header // of Records
	raws    []topic.Record // of Records, as they were read; only where records are isolated
}

// keep keeps a record as it was read, and returns its number.
func (b *Batch) keep(r *topic.Record) int32 {
	c := *r
	c.Key.Body, c.Value.Body = b.ownBytes(r.Key.Body), b.ownBytes(r.Value.Body)
	c.Headers = b.own(r.Headers)
	b.raws = append(b.raws, c)
	return int32(len(b.raws))
}

func (b *Batch) ownBytes(p []byte) []byte {
	if len(p) == 0 {
		return p[:0:0]
	}
	return b.Data.Bytes(b.Data.BytesOf(p))
}

// rawOf is a record of Records as it was read.
func (b *Batch) rawOf(i int) *topic.Record { return &b.raws[b.Records[i].raw-1] }

// own copies headers, which belong to the cursor until its next poll, into the batch.
func (b *Batch) own(headers []topic.Header) []topic.Header {
	if len(headers) == 0 {
		return nil
	}
	mark := len(b.headers)
	for _, h := range headers {
		if h.Value != nil {
			h.Value = b.Data.Bytes(b.Data.BytesOf(h.Value))
		}
		b.headers = append(b.headers, topic.Header{Key: b.Data.String(b.Data.Text(h.Key)), Value: h.Value})
	}
	return b.headers[mark:len(b.headers):len(b.headers)]
}

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() {
	clear(b.Records)
	b.Records = b.Records[:0]
	clear(b.headers)
	b.headers = b.headers[:0]
	clear(b.raws)
	b.raws = b.raws[:0]
	b.Data.Reset()
	clear(b.Next)
}

// Writer applies a batch in order and idempotently; nil means the target has committed. A *RowError names the first
// record that can never be applied, and how many records before it are: a target with transactions rolls back those that
// shared one with it. One that writes in several transactions at the same time may have applied records of other keys beyond
// those, and applies them again without harm. Other errors may be tried again unless they have a method Retriable() bool that returns false.
type Writer interface {
	Write(ctx context.Context, b *Batch) error
	Close(ctx context.Context) error
}

// Positioner is a Writer that keeps the consumed offsets in the target, in the transaction of the rows.
type Positioner interface {
	// Positions returns the offsets to go on at; nothing for a partition without any.
	Positions(ctx context.Context) (map[topic.Partition]int64, error)
}

// Limiter is a Writer that knows how many records it takes well at once.
type Limiter interface {
	// MaxRecords is the most records of a batch.
	MaxRecords() int
}

// Decoder makes a typed record of a stored one: key and value converters. Values are appended to b.Data. It caches what
// it knows of a Head.
type Decoder interface {
	Decode(b *Batch, r *topic.Record) (Record, error)
}

// RowError is a record that the target can never take as it is.
type RowError struct {
	Index     int // in Batch.Records
	Applied   int // records before this index are applied, from it on none is (but see Writer); at most Index
	Topic     string
	Partition int32
	Offset    int64
	Key       string // the key as text, shortened
	Err       error
	Hint      string // the next step
}

// Error names the record and the cause.
func (e *RowError) Error() string {
	s := fmt.Sprintf("record %s-%d@%d (key %s): %v", e.Topic, e.Partition, e.Offset, e.Key, e.Err)
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

// Unwrap is the cause.
func (e *RowError) Unwrap() error { return e.Err }

// Retriable is false: the same record fails again.
func (e *RowError) Retriable() bool { return false }
