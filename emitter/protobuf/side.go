// SPDX-License-Identifier: Apache-2.0

package protobuf

import (
	"context"
	"fmt"

	"freshet/change"
	"freshet/emitter/confluent"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/schema/registry"
	"freshet/sinks"
)

// Side decodes keys, or values. It belongs to one goroutine.
type Side struct {
	options Options
	client  *registry.Client
	plans   map[messageID]*plan
	reader  reader
}

// messageID is what plans are kept by: the path of a message in a schema, as it stands in messages.
type messageID struct {
	id   uint32
	path string
}

var _ sinks.Side = (*Side)(nil)

// NewSide makes a Side that shares what a Format with the same settings knows of the registry.
func NewSide(o Options, f *Format) *Side {
	return &Side{options: o, client: f.writer.Client, plans: map[messageID]*plan{}}
}

// DecodeData decodes a message.
func (s *Side) DecodeData(b *change.Batch, name string, data topic.Data) (*schema.Type, change.Value, error) {
	if data.IsNull() {
		return nil, change.Value{}, nil
	}
	t, v, err := s.decode(b, data)
	if err != nil {
		return nil, change.Value{}, fmt.Errorf("Failed to deserialize data for topic %s to Protobuf: %w", name, err) //nolint:staticcheck // the reference's words
	}
	return t, v, nil
}

func (s *Side) decode(b *change.Batch, data topic.Data) (*schema.Type, change.Value, error) {
	id, path, body, err := confluent.Split(data)
	if err != nil {
		return nil, change.Value{}, err
	}
	if len(path) == 0 {
		rest := []byte(nil)
		if _, rest, err = messagePath(body); err != nil {
			return nil, change.Value{}, err
		}
		path, body = body[:len(body)-len(rest)], rest
	}
	p := s.plans[messageID{id, string(path)}]
	if p == nil {
		if p, err = s.plan(id, path); err != nil {
			return nil, change.Value{}, err
		}
	}
	s.reader.b, s.reader.lists, s.reader.depth = b, s.reader.lists[:0], 0
	v, err := s.reader.value(p, body)
	return p.typ, v, err
}

// plan makes the plan of a message of a schema, from the registry where it is new.
func (s *Side) plan(id uint32, path []byte) (*plan, error) {
	found, err := s.client.Schema(context.Background(), int(int32(id))) // the client bounds how long it may take
	if err == nil {
		found, err = found.Of(registry.Protobuf)
	}
	if err != nil {
		return nil, err
	}
	indexes, _, err := messagePath(path)
	if err != nil {
		return nil, err
	}
	p, err := planOf(&found, indexes, &s.options)
	if err != nil {
		return nil, fmt.Errorf("schema %d: %w", id, err)
	}
	s.plans[messageID{id, string(path)}] = p
	return p, nil
}

// planOf is the plan of a message of a schema.
func planOf(r *registry.Schema, indexes []int, o *Options) (*plan, error) {
	file, err := compile(r)
	if err != nil {
		return nil, err
	}
	m, err := messageAt(file, indexes)
	if err != nil {
		return nil, err
	}
	return toConnect(m, o)
}
