// SPDX-License-Identifier: Apache-2.0

package avro

import (
	"context"
	stdbinary "encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"freshet/change"
	"freshet/emitter"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/schema/registry"
)

// Format compiles schemas into encoders. It keeps one encoder per topic and *schema.Type and one Head per id for as long as
// it lives itself. It is safe for concurrent use.
type Format struct {
	options  Options
	client   *registry.Client
	encoders sync.Map // place → *encoder
	heads    sync.Map // int → *topic.Head
}

// place is what an encoder is kept by.
type place struct {
	topic string
	typ   *schema.Type
}

var _ emitter.TopicFormat = (*Format)(nil)

// New makes a Format.
func New(o Options) (*Format, error) {
	client, err := registry.New(o.Registry)
	if err != nil {
		return nil, err
	}
	return &Format{options: o, client: client}, nil
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
	e := &encoder{format: f, topic: name}
	e.avro, e.err = build(t, &f.options)
	if e.err == nil {
		e.node, e.err = (&compiler{&f.options}).compile(t, e.avro)
	}
	kept, _ := f.encoders.LoadOrStore(at, e)
	return kept.(*encoder), nil
}

// head is the Head of an id.
func (f *Format) head(id int) *topic.Head {
	if h, ok := f.heads.Load(id); ok {
		return h.(*topic.Head)
	}
	wire := stdbinary.BigEndian.AppendUint32([]byte{magic}, uint32(id))
	h, _ := f.heads.LoadOrStore(id, &topic.Head{ID: xxhash.Sum64(wire), Bytes: wire})
	return h.(*topic.Head)
}

// magic is the first byte of a message, headBytes the length of what comes before the value.
const (
	magic     = 0
	headBytes = 5
)

// encoder is the emitter.Encoder of one schema in one topic.
type encoder struct {
	format *Format
	topic  string
	avro   *avroType
	node   *node
	err    error // of the schema
	known  atomic.Pointer[topic.Head]
}

// Head is the zero byte and the id; nil before the first Append.
func (e *encoder) Head() *topic.Head { return e.known.Load() }

// Append appends the binary form. Null has none where the schema allows it, whatever the schema.
func (e *encoder) Append(dst []byte, b *change.Batch, v change.Value) ([]byte, bool, error) {
	if e.err != nil {
		return dst, false, e.failed(e.err)
	}
	if v.IsNull() && (e.node.typ == nil || e.node.optional) {
		return dst, false, nil
	}
	if err := e.ready(); err != nil {
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

// ready makes sure that the id is known.
func (e *encoder) ready() error {
	if e.known.Load() != nil {
		return nil
	}
	// The pipeline has no context for it; the client bounds how long it may take.
	id, err := e.format.options.id(context.Background(), e.format.client, e.topic, e.avro)
	if err == nil {
		e.known.Store(e.format.head(id))
	}
	return err
}

// failed words an error as the original.
func (e *encoder) failed(err error) error {
	return fmt.Errorf("Failed to serialize Avro data from topic %s : %w", e.topic, err) //nolint:staticcheck // the reference's words
}
