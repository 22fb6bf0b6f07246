// SPDX-License-Identifier: Apache-2.0

package avro

import (
	"freshet/change"
	"freshet/emitter"
	"freshet/emitter/confluent"
	"freshet/schema"
)

// Format compiles schemas into encoders. It keeps one encoder per topic and *schema.Type for as long as it lives
// itself. It is safe for concurrent use.
type Format struct {
	options  Options
	writer   *confluent.Writer
	encoders confluent.Encoders[encoder]
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
	return f.compile(name, t), nil
}

func (f *Format) compile(name string, t *schema.Type) *encoder {
	return f.encoders.Of(name, t, func() *encoder {
		a, err := build(t, &f.options)
		e := &encoder{avro: a}
		var s confluent.Schema
		if err == nil {
			s = registered(a)
			e.node, err = (&compiler{&f.options}).compile(t, a)
		}
		e.Encoder = f.writer.NewEncoder(name, s, err, "Failed to serialize Avro data from topic %s : ")
		return e
	})
}

// encoder is the emitter.Encoder of one schema in one topic.
type encoder struct {
	confluent.Encoder
	avro *avroType
	node *node
}

// Append appends the binary form. Null has none where the schema allows it, whatever the schema.
func (e *encoder) Append(dst []byte, b *change.Batch, v change.Value) ([]byte, bool, error) {
	if e.Err != nil {
		return dst, false, e.Failed(e.Err)
	}
	if v.IsNull() && (e.node.typ == nil || e.node.optional) {
		return dst, false, nil
	}
	if err := e.Ready(); err != nil {
		return dst, false, e.Failed(err)
	}
	if e.avro.kind == binary && v.Kind() == change.Bytes { // at the top they are written without their length
		return append(dst, b.Bytes(v)...), true, nil
	}
	dst, err := e.node.append(dst, b, v)
	if err != nil {
		return dst, false, e.Failed(err)
	}
	return dst, true, nil
}
