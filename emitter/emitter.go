// SPDX-License-Identifier: Apache-2.0

// Package emitter carries changes to topics: a Pipeline takes batches from a capture.Reader, makes Debezium records of
// them and appends them to a topic.Log, in order.
//
// For each change it decides the topic (Router), splits key changes into delete, tombstone and create, adds tombstones
// and context headers, runs transforms, and encodes key and value with plans compiled once per schema (Format). Batches
// come from a ring; an empty ring is the only back-pressure. The reader is told a position only after the log said that
// the unit which brought it is durable (I2).
package emitter

import (
	"freshet/capture"
	"freshet/change"
	"freshet/emitter/topic"
	"freshet/schema"
)

// Format compiles schemas into encoders: the emitter's side of a converter. Implementations cache by pointer and are
// safe for concurrent use.
type Format interface {
	// Compile makes the encoder of one schema. nil is the encoder of schemaless values.
	Compile(t *schema.Type) (Encoder, error)
}

// TopicFormat is a Format whose encoders are of one topic: their schemas are registered there. An error of theirs that may
// pass by itself has a method Temporary() bool that returns true; it is of no event, and ends the attempt.
type TopicFormat interface {
	Format
	CompileFor(topic string, t *schema.Type) (Encoder, error)
}

// compileFor compiles a schema for records of a topic.
func compileFor(f Format, topic string, t *schema.Type) (Encoder, error) {
	if tf, ok := f.(TopicFormat); ok {
		return tf.CompileFor(topic, t)
	}
	return f.Compile(t)
}

// Encoder appends encoded values of one schema. It is immutable, safe for concurrent use and allocates nothing.
type Encoder interface {
	// Head is the part of the wire form before what Append writes; nil for none. It is valid once Append has returned.
	Head() *topic.Head
	// Append appends the rest of the wire form. v belongs to b. ok is false where the wire form is null bytes.
	Append(dst []byte, b *change.Batch, v change.Value) (out []byte, ok bool, err error)
}

// RowFormat is a Format that can encode a Change of a table without building its envelope as a Value first.
type RowFormat interface {
	Format
	CompileEnvelope(e *Envelope) (EnvelopeEncoder, error)
}

// EnvelopeEncoder appends the envelope of changes of one table to one topic.
type EnvelopeEncoder interface {
	Head() *topic.Head
	// AppendValue appends the wire form without its head. now is the time of the event, ns since the epoch.
	AppendValue(dst []byte, b *change.Batch, c *change.Change, now int64) ([]byte, error)
}

// Envelope is everything an EnvelopeEncoder is compiled from.
type Envelope struct {
	Table  *schema.Table
	Type   *schema.Type // the whole envelope, fields in order
	Source SourcePlan
	Topic  string // of the records
}

// SourcePlan says how the source block of a table is filled.
type SourcePlan struct {
	Block                    capture.SourceBlock
	Version, Connector, Name string
}
