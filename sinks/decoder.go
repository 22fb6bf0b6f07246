// SPDX-License-Identifier: Apache-2.0

package sinks

import (
	"fmt"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/schema"
)

// Side decodes keys, or values: the sink's side of one converter. It may have scratch space: it belongs to one goroutine.
type Side interface {
	// DecodeData appends the value of data, which was read from a topic, to b. The type is nil without a schema, and the
	// same pointer for the same schema.
	DecodeData(b *change.Batch, topic string, data topic.Data) (*schema.Type, change.Value, error)
}

// NewDecoder makes a Decoder of a key converter and a value converter.
func NewDecoder(key, value Side) Decoder { return &decoder{key, value} }

type decoder struct{ key, value Side }

// Decode decodes key and value.
func (d *decoder) Decode(b *Batch, r *topic.Record) (Record, error) {
	out := Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, TimeMillis: r.TimeMillis, Headers: r.Headers,
	}
	var err error
	if out.KeyType, out.Key, err = d.key.DecodeData(&b.Data, r.Topic, r.Key); err != nil {
		return out, fmt.Errorf("convert key: %w", err)
	}
	if out.ValueType, out.Value, err = d.value.DecodeData(&b.Data, r.Topic, r.Value); err != nil {
		return out, fmt.Errorf("convert value: %w", err)
	}
	return out, nil
}
