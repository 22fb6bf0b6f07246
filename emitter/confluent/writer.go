// SPDX-License-Identifier: Apache-2.0

package confluent

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"freshet/emitter"
	"freshet/emitter/topic"
	"freshet/schema/registry"
)

// Schema is a schema as it is registered.
type Schema struct {
	Kind   string // registry.Avro or another
	Text   string
	Record string // the full name of the record that it is; "" for what is none
	Form   string // what it is where it is no record, for messages
	Suffix string // what a head ends in, behind the id
	// Same says whether a registered schema of the same kind has the same fields, so that the same bytes can be read by it.
	Same func(registered registry.Schema) (bool, error)
}

// subject is what a schema is registered under.
func (o *Options) subject(topic string, s *Schema) (string, error) {
	if o.Strategy == recordName || o.Strategy == topicRecordName {
		switch {
		case s.Record == "":
			return "", emitter.Refuse(fmt.Sprintf("the subject name strategy %s needs a record, but the schema is of type %s", o.Strategy, s.Form))
		case o.Strategy == recordName:
			return s.Record, nil
		}
		return topic + "-" + s.Record, nil
	}
	if o.Key {
		return topic + "-key", nil
	}
	return topic + "-value", nil
}

// id is the registry's id of what is written to a topic by schema s.
func (o *Options) id(ctx context.Context, client *registry.Client, topic string, s *Schema) (int, error) {
	subject, err := o.subject(topic, s)
	if err != nil {
		return 0, err
	}
	switch {
	case o.AutoRegister:
		return client.Register(ctx, subject, s.Kind, s.Text)
	case !o.UseLatest:
		return client.Lookup(ctx, subject, s.Kind, s.Text)
	}
	latest, err := client.Latest(ctx, subject)
	if err == nil {
		latest, err = latest.Of(s.Kind)
	}
	if err != nil {
		return 0, err
	}
	same, err := s.Same(latest)
	if err == nil && !same {
		err = emitter.Refuse(fmt.Sprintf("the latest schema of subject %q has other fields than what is written; register the new one, or set auto.register.schemas=true", subject))
	}
	return latest.ID, err
}

// Writer knows the ids of schemas, and keeps one Head for each. It is safe for concurrent use.
type Writer struct {
	Options Options
	Client  *registry.Client
	heads   sync.Map // string → *topic.Head, by their bytes
}

// NewWriter makes a Writer. It asks nothing yet.
func NewWriter(o Options) (*Writer, error) {
	client, err := registry.New(o.Registry)
	if err != nil {
		return nil, err
	}
	return &Writer{Options: o, Client: client}, nil
}

// Magic is the first byte of a message, HeadBytes the length of it and the id.
const (
	Magic     = 0
	HeadBytes = 5
)

// head is the Head of an id.
func (w *Writer) head(id int, suffix string) *topic.Head {
	wire := append(binary.BigEndian.AppendUint32([]byte{Magic}, uint32(id)), suffix...)
	h, _ := w.heads.LoadOrStore(string(wire), &topic.Head{ID: xxhash.Sum64(wire), Bytes: wire})
	return h.(*topic.Head)
}

// Registered is a schema in a topic. It is safe for concurrent use.
type Registered struct {
	writer *Writer
	topic  string
	schema Schema
	known  atomic.Pointer[topic.Head]
}

// Registered makes a Registered. It asks nothing yet.
func (w *Writer) Registered(name string, s Schema) *Registered {
	return &Registered{writer: w, topic: name, schema: s}
}

// Head is the zero byte, the id and what the format has behind it; nil before Ready.
func (r *Registered) Head() *topic.Head { return r.known.Load() }

// Ready makes sure that the id is known.
func (r *Registered) Ready() error {
	if r.known.Load() != nil {
		return nil
	}
	// The pipeline has no context for it; the client bounds how long it may take.
	id, err := r.writer.Options.id(context.Background(), r.writer.Client, r.topic, &r.schema)
	if err == nil {
		r.known.Store(r.writer.head(id, r.schema.Suffix))
	}
	return err
}

// Split takes a message into the id of its schema, what else its head has, and what comes behind.
func Split(data topic.Data) (id uint32, suffix, rest []byte, err error) {
	wire := data.Body
	if data.Head != nil {
		wire, rest = data.Head.Bytes, data.Body
	}
	if len(wire) < HeadBytes && data.Head != nil {
		wire, rest = data.Bytes(), nil
	}
	if len(wire) < HeadBytes || wire[0] != Magic {
		return 0, nil, nil, emitter.Refuse("Unknown magic byte!")
	}
	id, wire = binary.BigEndian.Uint32(wire[1:]), wire[HeadBytes:]
	if rest == nil {
		return id, nil, wire, nil
	}
	return id, wire, rest, nil
}
