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

// NewDecoder makes a Decoder of a key converter and a value converter. header, if not nil, is a converter that may refuse a
// header; what it makes of the others is not used.
func NewDecoder(key, value, header Side) Decoder { return &decoder{key, value, header} }

type decoder struct{ key, value, header Side }

// Decode decodes key and value.
func (d *decoder) Decode(b *Batch, r *topic.Record) (Record, error) {
	out := Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, TimeMillis: r.TimeMillis, Headers: r.Headers,
	}
	var err error
	if out.KeyType, out.Key, err = d.key.DecodeData(&b.Data, r.Topic, r.Key); err != nil {
		return out, &change.StageError{Stage: change.StageKey, Err: fmt.Errorf("convert key: %w", err)}
	}
	if out.ValueType, out.Value, err = d.value.DecodeData(&b.Data, r.Topic, r.Value); err != nil {
		return out, &change.StageError{Stage: change.StageValue, Err: fmt.Errorf("convert value: %w", err)}
	}
	if d.header == nil {
		return out, nil
	}
	for _, h := range r.Headers {
		if _, _, err = d.header.DecodeData(&b.Data, r.Topic, topic.Data{Body: h.Value}); err != nil {
			return out, &change.StageError{Stage: change.StageHeader, Err: fmt.Errorf("convert header %q: %w", h.Key, err)}
		}
	}
	return out, nil
}
