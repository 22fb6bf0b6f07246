// SPDX-License-Identifier: Apache-2.0

// Package transform holds the single message transforms and the predicates of Kafka Connect and Debezium, one file each.
//
// A Transform changes a Record or drops it; a Predicate before it says whether it is asked at all. Records are lazy: the
// value becomes a typed one only when a transform asks for it, and transforms that depend on the topic alone (Router) are
// not even given records: a pipeline asks them once per topic. The typed form lives in the change.Batch of the record, like
// everything on the data path; transforms add values to it and never change those that are there. What they find out of a
// schema they keep (cache), so that a record costs no memory but that of the batch.
package transform

import (
	"math"

	"freshet/change"
	"freshet/schema"
)

// NoTime is the time of a record without one.
const NoTime = math.MinInt64

// Record is a record on its way through a chain.
type Record struct {
	Topic string
	// Partition is negative where the log is to choose one.
	Partition int32
	// Sink says that the record was read from a topic, at Offset; else a source made it.
	Sink   bool
	Offset int64
	// TimeMillis is the record's time, ms since the epoch, or NoTime: most sources give none.
	TimeMillis int64
	// Headers may be shared with other records: a transform sets it to another slice, and leaves the headers alone.
	Headers []Header
	// Data holds the values below.
	Data *change.Batch
	// KeyType and ValueType are nil where there is no schema. Value is only to be read after Load.
	KeyType   *schema.Type
	Key       change.Value
	ValueType *schema.Type
	Value     change.Value
	// Lazy, if not nil, makes the value, which is not null. Load calls it once.
	Lazy func(r *Record) error
	// Touched says that a transform changed the value or its type, so that the stored form is void.
	Touched bool
}

// Header is a record header. With a Type it is a typed value, and Raw, if not nil, how that is stored. Without one it is a
// value of schemaless data, or, where that is null, as stored: Raw, where nil is null.
type Header struct {
	Key   string
	Type  *schema.Type
	Value change.Value
	Raw   []byte
}

// Stored says whether Raw is the header's value.
func (h *Header) Stored() bool { return h.Type == nil && h.Value.IsNull() }

// Load makes the value readable.
func (r *Record) Load() error {
	if r.Lazy == nil {
		return nil
	}
	f := r.Lazy
	r.Lazy = nil
	return f(r)
}

// SetKey replaces the key.
func (r *Record) SetKey(t *schema.Type, v change.Value) { r.KeyType, r.Key = t, v }

// SetValue replaces the value.
func (r *Record) SetValue(t *schema.Type, v change.Value) {
	r.ValueType, r.Value, r.Touched, r.Lazy = t, v, true, nil
}

// Rename gives the value a type that differs from its own in names alone. It needs no Load.
func (r *Record) Rename(t *schema.Type) {
	if r.ValueType = t; r.Lazy == nil {
		r.Touched = true
	}
}

// IsNull says whether the value is null, with or without a schema. It needs no Load.
func (r *Record) IsNull() bool { return r.Lazy == nil && r.Value.IsNull() }

// Transform changes records. It is used by one goroutine at a time. Between two records it keeps only caches.
type Transform interface {
	// Apply changes r, or returns false to drop it. A record that can never be transformed gives an *Error.
	Apply(r *Record) (keep bool, err error)
}

// Router is a Transform that only gives the topic another name, by the name alone.
type Router interface {
	Transform
	Route(topic string) string
}

// Chain is a number of transforms in order. The zero Chain changes nothing.
type Chain []Transform

// Apply runs the chain until a transform drops the record.
func (c Chain) Apply(r *Record) (bool, error) {
	for _, t := range c {
		if keep, err := t.Apply(r); !keep || err != nil {
			return false, err
		}
	}
	return true, nil
}

// OnlyRoutes says whether every transform is a Router, so that Route does all there is to do.
func (c Chain) OnlyRoutes() bool {
	for _, t := range c {
		if _, ok := t.(Router); !ok {
			return false
		}
	}
	return true
}

// Route runs the routers of the chain.
func (c Chain) Route(topic string) string {
	for _, t := range c {
		topic = t.(Router).Route(topic)
	}
	return topic
}
