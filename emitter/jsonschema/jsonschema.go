// SPDX-License-Identifier: Apache-2.0

// Package jsonschema is Confluent's JsonSchemaConverter in both directions, with a Confluent-compatible schema registry.
//
// Its main types are Format, which makes encoders, and Side, which makes typed values of messages. A message is a zero byte,
// the id of its schema, and the payload in JSON, which emitter/json writes and reads. What is here is the way from Connect
// schemas to JSON Schema, as Confluent's JsonSchemaData goes it to the byte, and back.
package jsonschema

import (
	"strings"

	"freshet/change"
	"freshet/config"
	"freshet/emitter"
	"freshet/emitter/confluent"
	"freshet/emitter/json"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/schema/registry"
)

// Class is Confluent's.
const Class = "io.confluent.connect.json.JsonSchemaConverter"

// Options are the settings of a converter.
type Options struct {
	confluent.Options
	Data                  json.Options
	Closed                bool // not object.additional.properties
	OptionalIfNotRequired bool // use.optional.for.nonrequired
}

var definition = config.Def{Keys: append(confluent.Keys("the latest version must be the same schema"),
	confluent.Flag("object.additional.properties", "true", "Let objects have members that their schema does not name; false writes additionalProperties."),
	confluent.Flag("use.optional.for.nonrequired", "false", "Read members that a schema does not require as optional fields."),
	config.Key{
		Name: "decimal.format", Type: config.String, Default: json.Base64, HasDefault: true, Importance: config.Low,
		Doc: "How decimals are written: BASE64 (unscaled bytes) or NUMERIC (a JSON number). Both are read.",
		Check: func(value string, _ config.Values) string {
			if strings.EqualFold(value, json.Base64) || strings.EqualFold(value, json.Numeric) {
				return ""
			}
			return "String must be one of (case insensitive): NUMERIC, BASE64"
		},
	},
	confluent.Flag("ignore.default.for.nullables", "false", "Write a null as null where the schema has a default."),
	confluent.Later("generalized.sum.type.support", "false", "unions and enums in their general form"),
	confluent.Later("preserve.additional.properties", "false", "members that the schema does not name"),
	confluent.Later("flatten.singleton.unions", "true", "unions of one type as Structs"),
	confluent.Ignored("ignore.modern.dialects", config.Boolean, "false", "schemas of all dialects are read alike"),
	confluent.Ignored("schemas.cache.size", config.Int, "1000", "all schemas of a connector are kept"),
	confluent.Ignored("json.fail.invalid.schema", config.Boolean, "false", "values are not validated"),
	confluent.Ignored("json.fail.unknown.properties", config.Boolean, "true", "values are not validated"),
)}

// Plugin describes the converter.
func Plugin() config.Plugin {
	return config.Plugin{Name: "jsonschema", Class: Class, Kind: "converter", Version: "8.0.0", Def: definition}
}

// ParseOptions reads a converter's properties, given without the prefix key.converter. or value.converter. of theirs.
func ParseOptions(properties map[string]string, key bool) (Options, error) {
	shared, v, err := confluent.Parse(&definition, properties, key)
	if err != nil {
		return Options{}, err
	}
	return Options{
		Options: shared, Closed: !v.Bool("object.additional.properties"), OptionalIfNotRequired: v.Bool("use.optional.for.nonrequired"),
		Data: json.Options{
			DecimalFormat:          strings.ToUpper(strings.TrimSpace(v.Get("decimal.format"))),
			ReplaceNullWithDefault: !v.Bool("ignore.default.for.nullables"), JSONSchema: true,
		},
	}, nil
}

// Format makes encoders. It keeps one per topic and *schema.Type for as long as it lives itself. It is safe for concurrent use.
type Format struct {
	options  Options
	writer   *confluent.Writer
	data     *json.Format
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
	return &Format{options: o, writer: w, data: json.New(o.Data)}, nil
}

// Compile refuses: the schemas of a message belong to a topic.
func (f *Format) Compile(*schema.Type) (emitter.Encoder, error) {
	return nil, emitter.Refuse("JsonSchemaConverter converts keys and values of records only")
}

// CompileFor makes the encoder of a schema in a topic. One that cannot be expressed is refused with the first value.
func (f *Format) CompileFor(name string, t *schema.Type) (emitter.Encoder, error) {
	return f.compile(name, t), nil
}

func (f *Format) compile(name string, t *schema.Type) *encoder {
	return f.encoders.Of(name, t, func() *encoder {
		e := &encoder{typ: t}
		s, err := f.registered(t)
		if err == nil {
			e.payload, err = f.data.Field(t)
		}
		e.Encoder = f.writer.NewEncoder(name, s, err, "Converting Kafka Connect data to byte[] failed due to serialization error of topic %s: ")
		return e
	})
}

// registered is the schema as it is registered.
func (f *Format) registered(t *schema.Type) (confluent.Schema, error) {
	if t == nil {
		return confluent.Schema{}, emitter.Refuse("JsonSchemaConverter writes no values without a schema")
	}
	text, err := appendSchema(nil, t, &f.options, -1)
	s := confluent.Schema{Kind: registry.JSON, Text: string(text), Record: t.Name, Form: "without a title"}
	s.Same = func(r registry.Schema) (bool, error) { return sameJSON([]byte(r.Text), text) }
	return s, err
}

// CompileEnvelope makes the encoder of a table's changes.
func (f *Format) CompileEnvelope(e *emitter.Envelope) (emitter.EnvelopeEncoder, error) {
	out := &envelope{encoder: f.compile(e.Topic, e.Type)}
	payload, err := f.data.CompileEnvelope(e)
	out.payload = payload
	return out, err
}

// envelope is the encoder of one table's envelopes.
type envelope struct {
	encoder *encoder
	payload emitter.EnvelopeEncoder
}

// Head is the zero byte and the id; nil before the first AppendValue.
func (e *envelope) Head() *topic.Head { return e.encoder.Head() }

// AppendValue appends the payload.
func (e *envelope) AppendValue(dst []byte, b *change.Batch, c *change.Change, now int64) ([]byte, error) {
	err := e.encoder.Ready()
	if err == nil {
		dst, err = e.payload.AppendValue(dst, b, c, now)
	}
	if err != nil {
		return dst, e.encoder.Failed(err)
	}
	return dst, nil
}

// encoder is the emitter.Encoder of one schema in one topic.
type encoder struct {
	confluent.Encoder
	typ     *schema.Type
	payload emitter.FieldEncoder
}

// Append appends the payload. A null that may not be, and has no default, is no message, as one without a schema.
func (e *encoder) Append(dst []byte, b *change.Batch, v change.Value) ([]byte, bool, error) {
	if v.IsNull() && (e.typ == nil || !e.typ.Optional && e.typ.Default == nil) {
		return dst, false, nil
	}
	err := e.Ready()
	if err == nil {
		dst, err = e.payload.AppendField(dst, b, v)
	}
	if err != nil {
		return dst, false, e.Failed(err)
	}
	return dst, true, nil
}
