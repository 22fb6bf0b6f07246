// SPDX-License-Identifier: Apache-2.0

// Package protobuf is Confluent's ProtobufConverter in both directions, with a Confluent-compatible schema registry.
//
// Its main types are Format, which compiles Connect schemas into encoders, and Side, which makes typed values of messages. A
// message is a zero byte, the id of its schema, the path of the message's type in the schema, and Protobuf's binary form. An
// encoder is a tree of nodes and allocates nothing for a value; schemas of others are compiled by protocompile into
// descriptors, and these into plans of the decoder, which is our own as well.
package protobuf

import (
	"freshet/change"
	"freshet/config"
	"freshet/emitter"
	"freshet/emitter/confluent"
	"freshet/schema"
	"freshet/schema/registry"
)

// Class is Confluent's.
const Class = "io.confluent.connect.protobuf.ProtobufConverter"

// Options are the settings of a converter.
type Options struct {
	confluent.Options
	FullNames       bool // enhanced.protobuf.schema.support: names with their packages, when read
	ScrubNames      bool // scrub.invalid.names
	IntEnums        bool // int.for.enums
	OptionalFields  bool // optional.for.nullables
	OptionalProto2  bool // optional.for.proto2
	WrapNullables   bool // wrapper.for.nullables
	UnwrapRoot      bool // wrapper.for.raw.primitives
	IndexInUnions   bool // generate.index.for.unions
	StructsForNulls bool // generate.struct.for.nulls
}

var definition = config.Def{Keys: append(confluent.Keys("the latest version must have the same fields"),
	confluent.Flag("enhanced.protobuf.schema.support", "false", "Read names of messages and enums with their package."),
	confluent.Flag("scrub.invalid.names", "false", "Replace what Protobuf does not allow in names."),
	confluent.Flag("int.for.enums", "false", "Read enums as numbers."),
	confluent.Flag("optional.for.nullables", "false", "Write what may be null as optional fields, so that null is told from 0."),
	confluent.Flag("optional.for.proto2", "true", "Read optional fields of proto2 that are not set as null instead of their default."),
	confluent.Flag("wrapper.for.nullables", "false", "Write what may be null in messages such as google.protobuf.Int32Value, so that null is told from 0."),
	confluent.Flag("wrapper.for.raw.primitives", "true", "Read a message such as google.protobuf.Int32Value as the value in it."),
	confluent.Flag("generate.index.for.unions", "true", "Read oneofs into fields whose names end in an index."),
	confluent.Flag("generate.struct.for.nulls", "false", "Read messages that are not set as Structs of nulls and defaults."),
	confluent.Later("flatten.unions", "false", "fields of oneofs among those of their message"),
	confluent.Later("generalized.sum.type.support", "false", "unions and enums in their general form"),
	confluent.Ignored("skip.known.types", config.Boolean, "true", "imports that every registry knows are not registered"),
	confluent.Ignored("schemas.cache.size", config.Int, "1000", "all schemas of a connector are kept"),
)}

// Plugin describes the converter.
func Plugin() config.Plugin {
	return config.Plugin{Name: "protobuf", Class: Class, Kind: "converter", Version: "8.0.0", Def: definition}
}

// ParseOptions reads a converter's properties, given without the prefix key.converter. or value.converter. of theirs.
func ParseOptions(properties map[string]string, key bool) (Options, error) {
	shared, v, err := confluent.Parse(&definition, properties, key)
	if err != nil {
		return Options{}, err
	}
	return Options{
		Options: shared, FullNames: v.Bool("enhanced.protobuf.schema.support"), ScrubNames: v.Bool("scrub.invalid.names"),
		IntEnums: v.Bool("int.for.enums"), OptionalFields: v.Bool("optional.for.nullables"), OptionalProto2: v.Bool("optional.for.proto2"),
		WrapNullables: v.Bool("wrapper.for.nullables"), UnwrapRoot: v.Bool("wrapper.for.raw.primitives"),
		IndexInUnions: v.Bool("generate.index.for.unions"), StructsForNulls: v.Bool("generate.struct.for.nulls"),
	}, nil
}

// Format makes encoders. It keeps one per topic and *schema.Type for as long as it lives itself. It is safe for concurrent use.
type Format struct {
	options  Options
	writer   *confluent.Writer
	encoders confluent.Encoders[encoder]
}

var (
	_ emitter.TopicFormat = (*Format)(nil)
	_ emitter.RowFormat   = (*Format)(nil)
)

// New makes a Format.
func New(o Options) (*Format, error) {
	w, err := confluent.NewWriter(o.Options)
	if err != nil {
		return nil, err
	}
	return &Format{options: o, writer: w}, nil
}

// Compile refuses: the schemas of a message belong to a topic.
func (f *Format) Compile(*schema.Type) (emitter.Encoder, error) {
	return nil, emitter.Refuse("ProtobufConverter converts keys and values of records only")
}

// CompileFor makes the encoder of a schema in a topic. One that Protobuf cannot express is refused with the first value.
func (f *Format) CompileFor(name string, t *schema.Type) (emitter.Encoder, error) {
	return f.compile(name, t), nil
}

func (f *Format) compile(name string, t *schema.Type) *encoder {
	return f.encoders.Of(name, t, func() *encoder {
		e := &encoder{}
		var s confluent.Schema
		built, err := build(t, &f.options)
		if err == nil {
			e.node = built.node
			text := built.text()
			s = confluent.Schema{
				Kind: registry.Protobuf, Text: text, Record: built.fullName(), Suffix: built.path,
				Same: func(r registry.Schema) (bool, error) { return sameFields(&r, text, built.path) },
			}
		}
		e.Encoder = f.writer.NewEncoder(name, s, err, "Failed to serialize Protobuf data from topic %s : ")
		return e
	})
}

// encoder is the emitter.Encoder of one schema in one topic.
type encoder struct {
	confluent.Encoder
	node *node
}

// Append appends the binary form. Null has none, whatever the schema.
func (e *encoder) Append(dst []byte, b *change.Batch, v change.Value) ([]byte, bool, error) {
	if v.IsNull() {
		return dst, false, nil
	}
	err := e.Ready()
	if err == nil {
		dst, err = e.node.content(dst, b, v)
	}
	if err != nil {
		return dst, false, e.Failed(err)
	}
	return dst, true, nil
}

// CompileEnvelope makes the encoder of a table's changes, equal to building the envelope and encoding that.
func (f *Format) CompileEnvelope(e *emitter.Envelope) (emitter.EnvelopeEncoder, error) {
	to := f.compile(e.Topic, e.Type)
	l := emitter.NewLayout(e)
	err := to.Err
	if err == nil {
		err = l.Envelope(e, &envelopeFields{of: e, node: to.node})
	}
	return &confluent.Envelope{Encoder: &to.Encoder, Layout: l.Layout(), Err: err}, nil
}

// envelopeFields makes the encoders of an envelope's fields.
type envelopeFields struct {
	of   *emitter.Envelope
	node *node
	rows []*node // of the members of before and after
}

func (f *envelopeFields) Field(outer, inner int) ([]byte, emitter.FieldEncoder, error) {
	n := f.node.field(outer)
	if inner >= 0 {
		n = n.field(inner)
	}
	return nil, n, nil
}

// Row is a copy of the node with what its columns say of nulls.
func (f *envelopeFields) Row(outer int) ([]byte, emitter.FieldEncoder, error) {
	row := *f.node.field(outer)
	if f.rows == nil {
		f.rows = make([]*node, len(row.members))
		for i, m := range row.members {
			column := *m
			c := &f.of.Table.Columns[m.place]
			if err := column.stands(c); err != nil {
				return nil, nil, emitter.InField(c.Name, err)
			}
			f.rows[i] = &column
		}
	}
	row.members = f.rows
	return nil, &row, nil
}

func (f *envelopeFields) Source(l *emitter.LayoutBuilder, outer int, fill func() error) error {
	l.Constant(f.node.field(outer).tag...)
	l.Constant(0)
	return l.Frame(closeLength, fill)
}
