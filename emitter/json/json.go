// SPDX-License-Identifier: Apache-2.0

// Package json is Kafka Connect's JsonConverter in both directions, equal to it byte for byte.
//
// Its main types are Format, which compiles schemas into encoders, and Side, which makes typed values of stored
// ones. Both work from plans: an encoder is a tree of nodes with the member prefixes ({"id":, ,"name":), defaults and
// fallbacks already in their JSON form, and the encoder of an envelope has the constant parts of the source block folded
// into the text between the few values that vary. A decode plan expects the members of a struct in the schema's order,
// as every converter writes them, and looks names up only where they are not. Neither direction allocates per record
// once its buffers have grown.
//
// With schemas the part before the payload, {"schema":…,"payload":, is a topic.Head, interned per Format: the log stores
// it once, and a Side keeps its plan by the Head's pointer. Schemas and plans are immutable. A Format is safe for
// concurrent use; a Side has scratch space and belongs to one goroutine.
package json

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"unsafe"

	"github.com/cespare/xxhash/v2"

	"freshet/change"
	"freshet/config"
	"freshet/emitter"
	"freshet/emitter/topic"
	"freshet/schema"
)

// The values of Options.DecimalFormat.
const (
	Base64  = "BASE64"
	Numeric = "NUMERIC"
)

// Options are the settings of a converter. ParseOptions has the defaults of Kafka.
type Options struct {
	// SchemasEnable wraps every payload into {"schema":…,"payload":…}, and expects that on reading.
	SchemasEnable bool
	// DecimalFormat is Base64 (also for "") or Numeric. Reading accepts both whatever it is.
	DecimalFormat string
	// ReplaceNullWithDefault writes and reads null as the schema's default, where there is one.
	ReplaceNullWithDefault bool
	// Content, if not "", is the text of the schema of what is read, which then is a payload alone.
	Content string
	// JSONSchema has payloads as JsonSchemaConverter has them.
	JSONSchema bool
}

func (o Options) numeric() bool { return o.DecimalFormat == Numeric }

var definition = config.Def{Keys: []config.Key{
	{
		Name: "schemas.enable", Type: config.Boolean, Default: "true", HasDefault: true, Importance: config.High, Group: "Schemas",
		Doc: "Write each key and value with its schema, and expect one when reading.",
	},
	{
		Name: "schemas.cache.size", Type: config.Int, Default: "1000", HasDefault: true, Importance: config.High, Group: "Schemas",
		Doc: "Accepted for compatibility: plans are kept for some thousand schemas whatever it says.",
	},
	{
		Name: "schema.content", Type: config.String, Default: "", HasDefault: true, Importance: config.High, Group: "Schemas",
		Doc:   "The schema to read payloads with, as JsonConverter writes it, where they come without one. With schemas.enable only.",
		Check: checkContent,
	},
	{
		Name: "decimal.format", Type: config.String, Default: Base64, HasDefault: true, Importance: config.Low, Group: "Serialization",
		Doc:         "How decimals are written: BASE64 (unscaled bytes) or NUMERIC (a JSON number). Both are read.",
		Recommended: []string{Base64, Numeric}, Check: checkDecimalFormat,
	},
	{
		Name: "replace.null.with.default", Type: config.Boolean, Default: "true", HasDefault: true, Importance: config.Low, Group: "Serialization",
		Doc: "Write and read null as the default of its schema. Rows of a complete change event keep their nulls when read.",
	},
	{
		Name: "converter.type", Type: config.String, Default: "", HasDefault: true, Importance: config.Low,
		Doc: "Whether keys, values or headers are converted. Given by the worker.",
	},
}}

func checkDecimalFormat(value string, _ config.Values) string {
	if strings.EqualFold(value, Base64) || strings.EqualFold(value, Numeric) {
		return ""
	}
	return "String must be one of (case insensitive): NUMERIC, BASE64"
}

// checkContent parses the schema once, so that a wrong one is refused with the configuration.
func checkContent(value string, _ config.Values) string {
	if strings.TrimSpace(value) == "" {
		return ""
	}
	if _, err := NewSide(Options{}).byContent(value); err != nil {
		return "Failed to parse schema in converter config due to serialization error: " + err.Error()
	}
	return ""
}

// Plugin describes the converter.
func Plugin() config.Plugin {
	return config.Plugin{
		Name: "json", Class: "org.apache.kafka.connect.json.JsonConverter", Kind: "converter", Version: "4.1.1", Def: definition,
	}
}

// ParseOptions reads a converter's properties, given without the prefix key.converter. or value.converter. of theirs.
func ParseOptions(properties map[string]string) (Options, error) {
	v, problems := definition.Parse(properties)
	var errs []error
	for _, p := range config.Errors(problems) {
		errs = append(errs, p)
	}
	if len(errs) > 0 {
		return Options{}, errors.Join(errs...)
	}
	return Options{
		SchemasEnable:          v.Bool("schemas.enable"),
		DecimalFormat:          strings.ToUpper(strings.TrimSpace(v.Get("decimal.format"))),
		ReplaceNullWithDefault: v.Bool("replace.null.with.default"),
		Content:                strings.TrimSpace(v.Get("schema.content")),
	}, nil
}

// Format compiles schemas into encoders. It keeps encoders by *schema.Type in a Cache, and one Head per content for as long as
// it lives itself.
type Format struct {
	options  Options
	encoders emitter.Cache[*schema.Type, *encoder]
	fields   sync.Map // *schema.Type → *node, of fields of envelopes that tables share
	heads    sync.Map // string → *topic.Head
}

// New makes a Format.
func New(o Options) *Format { return &Format{options: o} }

// Compile makes the encoder of a schema; t nil is the one of schemaless values.
func (f *Format) Compile(t *schema.Type) (emitter.Encoder, error) {
	if e, ok := f.encoders.Load(t); ok {
		return e, nil
	}
	n, err := compile(t, f.options)
	if err != nil {
		return nil, err
	}
	e := &encoder{node: n, schemaless: t == nil}
	if e.head, err = f.head(t); err != nil {
		return nil, err
	}
	return f.encoders.Keep(t, e), nil
}

// head is the Head of a schema, nil where schemas are off.
func (f *Format) head(t *schema.Type) (*topic.Head, error) {
	if !f.options.SchemasEnable {
		return nil, nil
	}
	text, err := appendSchema([]byte(`{"schema":`), t, f.options)
	if err != nil {
		return nil, err
	}
	text = append(text, `,"payload":`...)
	if h, ok := f.heads.Load(unsafe.String(unsafe.SliceData(text), len(text))); ok {
		return h.(*topic.Head), nil
	}
	text = bytes.Clone(text) // of very many tables there are very many heads: no byte too much, and none twice
	h, _ := f.heads.LoadOrStore(unsafe.String(unsafe.SliceData(text), len(text)), &topic.Head{ID: xxhash.Sum64(text), Bytes: text})
	return h.(*topic.Head), nil
}

// encoder is the emitter.Encoder of one schema.
type encoder struct {
	node       node
	head       *topic.Head
	schemaless bool
}

// Head is {"schema":…,"payload": or nil.
func (e *encoder) Head() *topic.Head { return e.head }

// Append appends the payload, and the brace that ends the object begun by the head. Only null without a schema is null
// bytes; null with one is written out.
func (e *encoder) Append(dst []byte, b *change.Batch, v change.Value) ([]byte, bool, error) {
	if e.schemaless && v.IsNull() {
		return dst, false, nil
	}
	dst, err := e.node.append(dst, b, v)
	if err != nil {
		return dst, false, err
	}
	if e.head != nil {
		dst = append(dst, '}')
	}
	return dst, true, nil
}
