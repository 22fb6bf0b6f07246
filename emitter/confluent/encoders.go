// SPDX-License-Identifier: Apache-2.0

package confluent

import (
	"fmt"

	"freshet/change"
	"freshet/emitter"
	"freshet/emitter/topic"
	"freshet/schema"
)

// Encoder is what the encoders of all formats share: a schema in a topic, which may be one that cannot be written.
type Encoder struct {
	Topic      string
	Err        error // of the schema
	registered *Registered
	failure    string
}

// NewEncoder makes an Encoder of a schema, or of the error that there is in place of one. failure words what went wrong later,
// with %s for the topic.
func (w *Writer) NewEncoder(name string, s Schema, err error, failure string) Encoder {
	e := Encoder{Topic: name, Err: err, failure: failure}
	if err == nil {
		e.registered = w.Registered(name, s)
	}
	return e
}

// Head is the beginning of a message; nil before Ready.
func (e *Encoder) Head() *topic.Head {
	if e.registered == nil {
		return nil
	}
	return e.registered.Head()
}

// Ready makes sure that the id is known, and tells the error of a schema that has none.
func (e *Encoder) Ready() error {
	if e.Err != nil {
		return e.Err
	}
	return e.registered.Ready()
}

// Failed words an error as the original.
func (e *Encoder) Failed(err error) error {
	return fmt.Errorf("%s%w", fmt.Sprintf(e.failure, e.Topic), err)
}

// Envelope is the encoder of one table's envelopes by a layout. Err, where there is one, is told with the first value: transforms may
// have made another schema by then.
type Envelope struct {
	*Encoder
	Layout *emitter.Layout
	Err    error
}

var _ emitter.EnvelopeEncoder = (*Envelope)(nil)

// AppendValue appends the form of a change's envelope.
func (e *Envelope) AppendValue(dst []byte, b *change.Batch, c *change.Change, now int64) ([]byte, error) {
	err := e.Err
	if err == nil {
		err = e.Ready()
	}
	if err == nil {
		dst, err = e.Layout.Append(dst, b, c, now)
	}
	if err != nil {
		return dst, e.Failed(err)
	}
	return dst, nil
}

// Encoders keeps encoders by topic and *schema.Type, as many as a Cache does. It is safe for concurrent use.
type Encoders[E any] struct{ kept emitter.Cache[place, *E] }

// place is what an encoder is kept by.
type place struct {
	topic string
	typ   *schema.Type
}

// Of is the encoder of a schema in a topic, made where it is new.
func (e *Encoders[E]) Of(name string, t *schema.Type, build func() *E) *E {
	at := place{name, t}
	if kept, ok := e.kept.Load(at); ok {
		return kept
	}
	return e.kept.Keep(at, build())
}
