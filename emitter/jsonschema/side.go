// SPDX-License-Identifier: Apache-2.0

package jsonschema

import (
	"freshet/change"
	"freshet/emitter/confluent"
	"freshet/emitter/json"
	"freshet/schema"
	"freshet/schema/registry"
)

// Side decodes keys, or values. It belongs to one goroutine.
type Side struct {
	confluent.Side[plan]
	reader json.PayloadReader
}

// plan is a schema with what decodes its values.
type plan struct {
	typ     *schema.Type
	payload *json.Payload
}

// NewSide makes a Side that shares what a Format with the same settings knows of the registry.
func NewSide(o Options, f *Format) *Side {
	s := &Side{Side: confluent.Side[plan]{
		Client: f.writer.Client, Kind: registry.JSON,
		Failure: "Converting byte[] to Kafka Connect data failed due to serialization error of topic %s: ",
		Plan: func(r *registry.Schema, _ []byte) (*plan, error) {
			t, err := parseSchema(r, &o)
			if err != nil {
				return nil, err
			}
			return &plan{t, json.NewPayload(t, o.Data)}, nil
		},
	}}
	s.Value = func(b *change.Batch, p *plan, body []byte) (*schema.Type, change.Value, error) {
		v, err := s.reader.Decode(b, p.payload, body)
		return p.typ, v, err
	}
	return s
}
