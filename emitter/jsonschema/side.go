// SPDX-License-Identifier: Apache-2.0

package jsonschema

import (
	"context"
	"fmt"

	"freshet/change"
	"freshet/emitter/confluent"
	"freshet/emitter/json"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/schema/registry"
	"freshet/sinks"
)

// Side decodes keys, or values. It belongs to one goroutine.
type Side struct {
	options Options
	client  *registry.Client
	plans   map[uint32]*plan
	reader  json.PayloadReader
}

// plan is a schema with what decodes its values.
type plan struct {
	typ     *schema.Type
	payload *json.Payload
}

var _ sinks.Side = (*Side)(nil)

// NewSide makes a Side that shares what a Format with the same settings knows of the registry.
func NewSide(o Options, f *Format) *Side {
	return &Side{options: o, client: f.writer.Client, plans: map[uint32]*plan{}}
}

// DecodeData decodes a message.
func (s *Side) DecodeData(b *change.Batch, name string, data topic.Data) (*schema.Type, change.Value, error) {
	if data.IsNull() {
		return nil, change.Value{}, nil
	}
	t, v, err := s.decode(b, data)
	if err != nil {
		return nil, change.Value{}, fmt.Errorf("Converting byte[] to Kafka Connect data failed due to serialization error of topic %s: %w", name, err) //nolint:staticcheck // the reference's words
	}
	return t, v, nil
}

func (s *Side) decode(b *change.Batch, data topic.Data) (*schema.Type, change.Value, error) {
	id, _, body, err := confluent.Split(data)
	if err != nil {
		return nil, change.Value{}, err
	}
	p, err := s.plan(id)
	if err != nil {
		return nil, change.Value{}, err
	}
	v, err := s.reader.Decode(b, p.payload, body)
	return p.typ, v, err
}

// plan is the plan of an id, from the registry where it is new.
func (s *Side) plan(id uint32) (*plan, error) {
	if p := s.plans[id]; p != nil {
		return p, nil
	}
	found, err := s.client.Schema(context.Background(), int(int32(id))) // the client bounds how long it may take
	if err == nil {
		found, err = found.Of(registry.JSON)
	}
	if err != nil {
		return nil, err
	}
	t, err := parseSchema(&found, &s.options)
	if err != nil {
		return nil, fmt.Errorf("schema %d: %w", id, err)
	}
	p := &plan{t, json.NewPayload(t, s.options.Data)}
	s.plans[id] = p
	return p, nil
}
