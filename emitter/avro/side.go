// SPDX-License-Identifier: Apache-2.0

package avro

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
		Client: f.writer.Client, Kind: registry.Avro, Failure: "Failed to deserialize data for topic %s to Avro: ",
		Plan: func(r *registry.Schema, _ []byte) (*plan, error) {
			a, err := parseRegistered(r)
			if err != nil {
				return nil, err
			}
			return toConnect(a, &o, 0)
		},
	}}
	s.Value = s.value
	return s
}

func (s *Side) value(b *change.Batch, p *plan, body []byte) (*schema.Type, change.Value, error) {
	s.reader = reader{b: b, p: body, stack: s.reader.stack[:0]}
	if p.kind == binary { // at the top they have no length
		return p.typ, b.BytesOf(body), nil
	}
	v, err := s.reader.value(p)
	return p.typ, v, err
}
