// SPDX-License-Identifier: Apache-2.0

// Package plain holds the converters of Kafka Connect that write values without a schema: StringConverter,
// ByteArrayConverter, BooleanConverter, and those of numbers.
//
// A Converter is the emitter's Format and the sink's Side at once. It is immutable and safe for concurrent use.
package plain

import (
	"errors"

	"freshet/change"
	"freshet/config"
	"freshet/emitter"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/sinks"
)

// codec is how one converter writes and reads.
type codec interface {
	// check refuses a schema, nil for none.
	check(t *schema.Type) error
	// append appends a value that is not null.
	append(dst []byte, t *schema.Type, b *change.Batch, v change.Value) ([]byte, error)
	// read appends the value of wire, which is not null, to b.
	read(b *change.Batch, wire []byte) (change.Value, error)
	// schema is that of values that are read.
	schema() *schema.Type
}

// Converter is one of the converters of this package, set up.
type Converter struct {
	codec    codec
	encoders emitter.Cache[*schema.Type, *encoder]
}

var (
	_ emitter.Format = (*Converter)(nil)
	_ sinks.Side     = (*Converter)(nil)
)

// kind is a converter that can be configured.
type kind struct {
	plugin config.Plugin
	make   func(v config.Values) (codec, error)
}

var typeKey = config.Key{
	Name: "converter.type", Type: config.String, Default: "", HasDefault: true, Importance: config.Low,
	Doc: "Whether keys, values or headers are converted. Given by the worker.",
}

func numberKind(name string, n number) kind {
	return kind{
		config.Plugin{
			Name: name, Class: "org.apache.kafka.connect.converters." + n.class + "Converter", Kind: "converter", Version: version,
			Def: config.Def{Keys: []config.Key{typeKey}},
		},
		func(config.Values) (codec, error) { return &n, nil },
	}
}

// version is that of Kafka Connect.
const version = "4.1.1"

// kinds is the list of converters.
var kinds = []kind{
	{
		config.Plugin{
			Name: "string", Class: "org.apache.kafka.connect.storage.StringConverter", Kind: "converter", Version: version,
			Def: config.Def{Keys: []config.Key{encodingKey, typeKey}},
		},
		func(v config.Values) (codec, error) { return newText(v.Get("converter.encoding")) },
	},
	{
		config.Plugin{
			Name: "bytearray", Class: "org.apache.kafka.connect.converters.ByteArrayConverter", Kind: "converter", Version: version,
			Def: config.Def{Keys: []config.Key{typeKey}},
		},
		func(config.Values) (codec, error) { return raw{}, nil },
	},
	{
		config.Plugin{
			Name: "boolean", Class: "org.apache.kafka.connect.converters.BooleanConverter", Kind: "converter", Version: version,
			Def: config.Def{Keys: []config.Key{typeKey}},
		},
		func(config.Values) (codec, error) { return truth{}, nil },
	},
	numberKind("double", number{class: "Double", word: "double", size: 8, typ: schema.Type{Kind: schema.Float64, Optional: true}}),
	numberKind("float", number{class: "Float", word: "float", size: 4, typ: schema.Type{Kind: schema.Float32, Optional: true}}),
	numberKind("integer", number{class: "Integer", word: "integer", size: 4, typ: schema.Type{Kind: schema.Int32, Optional: true}}),
	numberKind("long", number{class: "Long", word: "long", size: 8, typ: schema.Type{Kind: schema.Int64, Optional: true}}),
	numberKind("short", number{class: "Short", word: "short", size: 2, typ: schema.Type{Kind: schema.Int16, Optional: true}}),
}

// Plugins describes the converters.
func Plugins() []config.Plugin {
	out := make([]config.Plugin, len(kinds))
	for i := range kinds {
		out[i] = kinds[i].plugin
	}
	return out
}

// New makes the converter that class names, of properties given without the prefix key.converter. or value.converter. of
// theirs.
func New(class string, properties map[string]string) (*Converter, error) {
	for i := range kinds {
		if !kinds[i].plugin.Matches(class) {
			continue
		}
		v, problems := kinds[i].plugin.Def.Parse(properties)
		var errs []error
		for _, p := range config.Errors(problems) {
			errs = append(errs, p)
		}
		if len(errs) > 0 {
			return nil, errors.Join(errs...)
		}
		c, err := kinds[i].make(v)
		if err != nil {
			return nil, err
		}
		return &Converter{codec: c}, nil
	}
	return nil, errors.New("no such converter: " + class)
}

// encoder is the emitter.Encoder of one schema.
type encoder struct {
	codec codec
	typ   *schema.Type
	err   error // of the schema
}

// Compile makes the encoder of a schema. One that the converter refuses is refused with the first value.
func (c *Converter) Compile(t *schema.Type) (emitter.Encoder, error) {
	if e, ok := c.encoders.Load(t); ok {
		return e, nil
	}
	return c.encoders.Keep(t, &encoder{c.codec, t, c.codec.check(t)}), nil
}

// Head is nil.
func (e *encoder) Head() *topic.Head { return nil }

// Append appends the bytes of a value. Null has none.
func (e *encoder) Append(dst []byte, b *change.Batch, v change.Value) ([]byte, bool, error) {
	if e.err != nil || v.IsNull() {
		return dst, false, e.err
	}
	dst, err := e.codec.append(dst, e.typ, b, v)
	return dst, err == nil, err
}

// DecodeData reads a key or value.
func (c *Converter) DecodeData(b *change.Batch, _ string, data topic.Data) (*schema.Type, change.Value, error) {
	t := c.codec.schema()
	if data.IsNull() {
		return t, change.NullValue(), nil
	}
	v, err := c.codec.read(b, data.Bytes())
	return t, v, err
}
