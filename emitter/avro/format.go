// SPDX-License-Identifier: Apache-2.0

package avro

import (
	"fmt"
	"sync"

	"freshet/change"
	"freshet/emitter"
	"freshet/emitter/confluent"
	"freshet/emitter/topic"
	"freshet/schema"
)

// Format compiles schemas into encoders. It keeps one encoder per topic and *schema.Type for as long as it lives
// itself. It is safe for concurrent use.
type Format struct {
	options  Options
	writer   *confluent.Writer
	encoders sync.Map // place → *encoder
}

// place is what an encoder is kept by.
type place struct {
	topic string
	typ   *schema.Type
}

var _ emitter.TopicFormat = (*Format)(nil)

// New makes a Format.
func New(o Options) (*Format, error) {
	w, err := confluent.NewWriter(o.Options)
	if err != nil {
		return nil, err
	}
	return &Format{options: o, writer: w}, nil
}

// Compile refuses: the schemas of an Avro message belong to a topic.
func (f *Format) Compile(*schema.Type) (emitter.Encoder, error) {
	return nil, emitter.Refuse("AvroConverter converts keys and values of records only")
}

// CompileFor makes the encoder of a schema in a topic. One that Avro cannot express is refused with the first value.
func (f *Format) CompileFor(name string, t *schema.Type) (emitter.Encoder, error) {
	at := place{name, t}
	if e, ok := f.encoders.Load(at); ok {
		return e.(*encoder), nil
	}
	e := &encoder{topic: name}
	e.avro, e.err = build(t, &f.options)
	if e.err == nil {
		e.Registered = f.writer.Registered(name, registered(e.avro))
		e.node, e.err = (&compiler{&f.options}).compile(t, e.avro)
	}
	kept, _ := f.encoders.LoadOrStore(at, e)
	return kept.(*encoder), nil
}

// encoder is the emitter.Encoder of one schema in one topic.
type encoder struct {
	*confluent.Registered // nil where there is an err
	topic                 string
	avro                  *avroType
	node                  *node
	err                   error // of the schema
}

// Head is the zero byte and the id; nil before the first Append.
func (e *encoder) Head() *topic.Head {
	if e.Registered == nil {
		return nil
	}
	return e.Registered.Head()
}

// Append appends the binary form. Null has none where the schema allows it, whatever the schema.
func (e *encoder) Append(dst []byte, b *change.Batch, v change.Value) ([]byte, bool, error) {
	if e.err != nil {
		return dst, false, e.failed(e.err)
	}
	if v.IsNull() && (e.node.typ == nil || e.node.optional) {
		return dst, false, nil
	}
	if err := e.Ready(); err != nil {
		return dst, false, e.failed(err)
	}
	if e.avro.kind == binary && v.Kind() == change.Bytes { // at the top they are written without their length
		return append(dst, b.Bytes(v)...), true, nil
	}
	dst, err := e.node.append(dst, b, v)
	if err != nil {
		return dst, false, e.failed(err)
	}
	return dst, true, nil
}

// failed words an error as the original.
func (e *encoder) failed(err error) error {
	return fmt.Errorf("Failed to serialize Avro data from topic %s : %w", e.topic, err) //nolint:staticcheck // the reference's words
}
