// SPDX-License-Identifier: Apache-2.0

package confluent

import (
	"context"
	"fmt"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/schema/registry"
	"freshet/sinks"
)

// Side decodes messages of one kind by plans of P, which it keeps by the id of their schema and what else tells them apart. It
// belongs to one goroutine.
type Side[P any] struct {
	Client  *registry.Client
	Kind    string // registry.Avro or another
	Failure string // what went wrong, with %s for the topic
	// Path takes what tells messages of one schema apart from the beginning of a message; nil where there is no such thing.
	Path func(body []byte) (path, rest []byte, err error)
	// Plan makes the plan of a schema.
	Plan func(s *registry.Schema, path []byte) (*P, error)
	// Value decodes a message.
	Value func(b *change.Batch, p *P, body []byte) (*schema.Type, change.Value, error)

	plans map[planKey]*P
}

type planKey struct {
	id   uint32
	path string
}

var _ sinks.Side = (*Side[int])(nil)

// DecodeData decodes a message.
func (s *Side[P]) DecodeData(b *change.Batch, name string, data topic.Data) (*schema.Type, change.Value, error) {
	if data.IsNull() {
		return nil, change.Value{}, nil
	}
	t, v, err := s.decode(b, data)
	if err != nil {
		return nil, change.Value{}, fmt.Errorf("%s%w", fmt.Sprintf(s.Failure, name), err)
	}
	return t, v, nil
}

func (s *Side[P]) decode(b *change.Batch, data topic.Data) (*schema.Type, change.Value, error) {
	id, path, body, err := Split(data)
	if err == nil && s.Path != nil && len(path) == 0 {
		path, body, err = s.Path(body)
	}
	if err != nil {
		return nil, change.Value{}, err
	}
	p := s.plans[planKey{id, string(path)}]
	if p == nil {
		if p, err = s.plan(id, path); err != nil {
			return nil, change.Value{}, err
		}
	}
	return s.Value(b, p, body)
}

// plan makes a plan, with the schema from the registry.
func (s *Side[P]) plan(id uint32, path []byte) (*P, error) {
	found, err := s.Client.Schema(context.Background(), int(int32(id))) // the client bounds how long it may take
	if err == nil {
		found, err = found.Of(s.Kind)
	}
	if err != nil {
		return nil, err
	}
	p, err := s.Plan(&found, path)
	if err != nil {
		return nil, fmt.Errorf("schema %d: %w", id, err)
	}
	if s.plans == nil {
		s.plans = map[planKey]*P{}
	}
	s.plans[planKey{id, string(path)}] = p
	return p, nil
}
