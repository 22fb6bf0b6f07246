// SPDX-License-Identifier: Apache-2.0

package protobuf

import (
	"freshet/change"
	"freshet/emitter/confluent"
	"freshet/schema"
	"freshet/schema/registry"
)

// Side decodes keys, or values. It belongs to one goroutine.
type Side struct {
	confluent.Side[plan]
	reader reader
}

// NewSide makes a Side that shares what a Format with the same settings knows of the registry.
func NewSide(o Options, f *Format) *Side {
	s := &Side{Side: confluent.Side[plan]{
		Client: f.writer.Client, Kind: registry.Protobuf, Failure: "Failed to deserialize data for topic %s to Protobuf: ",
		Path: func(body []byte) (path, rest []byte, err error) {
			_, rest, err = messagePath(body)
			return body[:len(body)-len(rest)], rest, err
		},
		Plan: func(r *registry.Schema, path []byte) (*plan, error) {
			indexes, _, err := messagePath(path)
			if err != nil {
				return nil, err
			}
			return planOf(r, indexes, &o)
		},
	}}
	s.Value = func(b *change.Batch, p *plan, body []byte) (*schema.Type, change.Value, error) {
		s.reader.b, s.reader.lists, s.reader.depth = b, s.reader.lists[:0], 0
		v, err := s.reader.value(p, body)
		return p.typ, v, err
	}
	return s
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
