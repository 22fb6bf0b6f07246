// SPDX-License-Identifier: Apache-2.0

package avro

import (
	"bytes"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"freshet/change/java"
	"freshet/emitter"
	"freshet/schema"
)

// Names that Confluent's converter gives.
const (
	namespace     = "io.confluent.connect.avro"
	defaultName   = "ConnectDefault"
	mapEntryName  = "MapEntry"
	unionName     = namespace + ".Union"
	enumParam     = namespace + ".Enum"
	recordDoc     = namespace + ".record.doc"
	fieldDoc      = namespace + ".field.doc."
	enumDoc       = namespace + ".enum.doc."
	enumDefault   = namespace + ".enum.default."
	defaultFlag   = namespace + ".field.default"
	fixedSize     = "connect.fixed.size"
	precisionName = "connect.decimal.precision"
)

// defaultPrecision is that of decimals whose schema tells none.
const defaultPrecision = 64

func schemaError(message string) error { return &emitter.DataError{Message: message} }

func isLetter(r rune) bool { return unicode.IsLetter(r) }

func isDigit(r rune) bool { return unicode.IsDigit(r) || unicode.IsNumber(r) && r > 127 }

// builder makes the Avro schema of a Connect schema, as Confluent's AvroData does.
type builder struct {
	o       *Options
	named   map[string]*avroType
	sources map[string]*schema.Type // what named was made of
	unnamed int
}

// build is the Avro schema of a Connect schema.
func build(t *schema.Type, o *Options) (*avroType, error) {
	if t == nil {
		return anything, nil
	}
	b := builder{o: o, named: map[string]*avroType{}, sources: map[string]*schema.Type{}}
	return b.of(t)
}

// of is the schema with its optionality.
func (b *builder) of(t *schema.Type) (*avroType, error) {
	base, err := b.base(t)
	if err != nil || base.kind == union || !t.Optional {
		return base, err
	}
	if t.Default != nil && t.Kind != schema.Struct {
		return &avroType{kind: union, branches: []*avroType{base, {kind: null}}}, nil
	}
	return &avroType{kind: union, branches: []*avroType{{kind: null}, base}}, nil
}

var primitives = map[schema.Kind]kind{
	schema.Int8: integer, schema.Int16: integer, schema.Int32: integer, schema.Int64: long, schema.Float32: float,
	schema.Float64: double, schema.Boolean: boolean, schema.String: text,
}

func (b *builder) base(t *schema.Type) (*avroType, error) {
	var out *avroType
	var err error
	switch t.Kind {
	case schema.String:
		out = &avroType{kind: text}
		if name, ok := t.Param(enumParam); ok && b.o.Enhanced {
			return b.enum(t, name)
		}
	case schema.Bytes:
		if out, err = b.bytes(t); err != nil || out.kind == fixed && b.named[out.full()] != nil {
			return b.repeated(out), err
		}
	case schema.Array:
		out = &avroType{kind: array}
		out.elem, err = b.of(t.Elem)
	case schema.Map:
		out, err = b.mapping(t)
	case schema.Struct:
		return b.structure(t)
	default:
		k, ok := primitives[t.Kind]
		if !ok {
			return nil, schemaError("Unknown schema type: " + t.Kind.String())
		}
		out = &avroType{kind: k}
	}
	if err != nil {
		return nil, err
	}
	return out, b.annotate(out, t)
}

// repeated is the type that already has the name of t.
func (b *builder) repeated(t *avroType) *avroType {
	if t != nil && t.named() && b.named[t.full()] != nil {
		return b.named[t.full()]
	}
	return t
}

// bytes is bytes or fixed, with the scale of a decimal.
func (b *builder) bytes(t *schema.Type) (*avroType, error) {
	out := &avroType{kind: binary}
	if size, ok := t.Param(fixedSize); ok && t.Name != "" {
		n, err := strconv.Atoi(size)
		if err != nil {
			return nil, schemaError(fmt.Sprintf("For input string: %q", size))
		}
		out.kind, out.size = fixed, n
		if out.space, out.name, err = b.split(t.Name); err != nil {
			return nil, err
		}
	}
	if t.Name != schema.Decimal {
		return out, nil
	}
	scale, precision, err := decimalOf(t)
	if err != nil {
		return nil, err
	}
	out.add("scale", strconv.AppendInt(nil, int64(scale), 10))
	out.add("precision", strconv.AppendInt(nil, int64(precision), 10))
	return out, nil
}

// decimalOf is scale and precision of a Decimal.
func decimalOf(t *schema.Type) (scale, precision int, err error) {
	text, ok := t.Param("scale")
	if !ok {
		return 0, 0, schemaError("Invalid Decimal schema: scale parameter not found.")
	}
	if scale, err = strconv.Atoi(text); err != nil {
		return 0, 0, schemaError(fmt.Sprintf("For input string: %q", text))
	}
	precision = defaultPrecision
	if text, ok = t.Param(precisionName); ok {
		if precision, err = strconv.Atoi(text); err != nil {
			return 0, 0, schemaError(fmt.Sprintf("For input string: %q", text))
		}
		if precision <= 0 {
			return 0, 0, schemaError(fmt.Sprintf("Invalid decimal precision: %d (must be positive)", precision))
		}
	}
	return scale, precision, nil
}

func (b *builder) enum(t *schema.Type, full string) (*avroType, error) {
	out := &avroType{kind: enum}
	var err error
	if out.space, out.name, err = b.split(full); err != nil {
		return nil, err
	}
	if known := b.named[out.full()]; known != nil {
		return known, nil
	}
	out.symbols = symbolsOf(t)
	if doc, ok := t.Param(enumDoc + out.name); ok {
		out.doc = &doc
	}
	out.enumDefault, _ = t.Param(enumDefault + out.name)
	b.named[out.full()] = out
	return out, b.annotate(out, t)
}

// mapping is a map where keys are texts, else an array of entries.
func (b *builder) mapping(t *schema.Type) (*avroType, error) {
	var err error
	if b.textKeys(t) {
		out := &avroType{kind: mapping}
		out.elem, err = b.of(t.Elem)
		return out, err
	}
	entry := &avroType{kind: record, name: mapEntryName, space: namespace}
	if t.Name != "" {
		if entry.space, entry.name, err = b.split(t.Name); err != nil {
			return nil, err
		}
		entry.add("connect.internal.type", appendString(nil, mapEntryName))
	}
	for _, f := range [...]schema.Field{{Name: "key", Type: t.Key}, {Name: "value", Type: t.Elem}} {
		field, err := b.field(f.Name, f.Type)
		if err != nil {
			return nil, err
		}
		entry.fields = append(entry.fields, field)
	}
	if known := b.named[entry.full()]; known != nil {
		if !bytes.Equal(schemaText(known), schemaText(entry)) {
			return nil, schemaError("Can't redefine: " + entry.full())
		}
		entry = known
	}
	b.named[entry.full()] = entry
	return &avroType{kind: array, elem: entry}, nil
}

// textKeys says whether a map is a map in Avro.
func (b *builder) textKeys(t *schema.Type) bool {
	return t.Key.Kind == schema.String && (!t.Key.Optional || b.o.OptionalMapKeys)
}

func (b *builder) structure(t *schema.Type) (*avroType, error) {
	if t.Name == unionName {
		return b.union(t)
	}
	out := &avroType{kind: record}
	var err error
	if t.Name == "" {
		if b.unnamed++; b.unnamed > 1 {
			out.name = defaultName + strconv.Itoa(b.unnamed)
		} else {
			out.name = defaultName
		}
		out.space = namespace
	} else if out.space, out.name, err = b.split(t.Name); err != nil {
		return nil, err
	}
	if known := b.named[out.full()]; known != nil {
		if !sameFields(b.sources[out.full()], t) {
			return nil, schemaError("Can't redefine: " + out.full())
		}
		return known, nil
	}
	b.named[out.full()], b.sources[out.full()] = out, t
	if doc, ok := t.Param(recordDoc); ok {
		out.doc = &doc
	}
	for _, f := range t.Fields {
		field, err := b.field(f.Name, f.Type)
		if err != nil {
			return nil, emitter.InField(f.Name, err)
		}
		if doc, ok := t.Param(fieldDoc + f.Name); ok {
			field.doc = &doc
		}
		out.fields = append(out.fields, field)
	}
	return out, b.annotate(out, t)
}

// sameFields says whether two structs of one name have the same fields: what else they differ in is not written.
func sameFields(x, y *schema.Type) bool {
	if x == y {
		return true
	}
	if x == nil || y == nil || x.Kind != y.Kind || x.Optional != y.Optional && x.Kind != schema.Struct || len(x.Fields) != len(y.Fields) {
		return false
	}
	for i := range x.Fields {
		fx, fy := x.Fields[i], y.Fields[i]
		if fx.Name != fy.Name || fx.Type.Optional != fy.Type.Optional || fx.Type.Name != fy.Type.Name || !sameFields(fx.Type, fy.Type) {
			return false
		}
	}
	return (x.Elem == nil) == (y.Elem == nil) && (x.Elem == nil || sameFields(x.Elem, y.Elem))
}

// union is a struct that stands for a union: of its fields at most one is set.
func (b *builder) union(t *schema.Type) (*avroType, error) {
	out := &avroType{kind: union}
	if t.Optional {
		out.branches = append(out.branches, &avroType{kind: null})
	}
	for _, f := range t.Fields {
		branch, err := b.base(f.Type)
		if err != nil {
			return nil, emitter.InField(f.Name, err)
		}
		out.branches = append(out.branches, branch)
	}
	return out, nil
}

func (b *builder) field(name string, t *schema.Type) (avroField, error) {
	f := avroField{name: b.scrub(name)}
	if err := checkName(f.name); err != nil {
		return f, err
	}
	var err error
	if f.typ, err = b.of(t); err != nil {
		return f, err
	}
	switch {
	case t.Default != nil && t.Kind == schema.Map && !b.textKeys(t): // Avro does not take it
	case t.Default != nil:
		f.def, err = b.literal(t, t.Default)
	case t.Optional:
		f.def = []byte("null")
	}
	return f, err
}

// annotate adds the properties that keep what Avro has no place for.
func (b *builder) annotate(out *avroType, t *schema.Type) error {
	if out.kind == fixed {
		b.named[out.full()] = out
	}
	if b.o.MetaData {
		if t.Doc != "" {
			out.add("connect.doc", appendString(nil, t.Doc))
		}
		if t.Version != 0 {
			out.add("connect.version", strconv.AppendInt(nil, int64(t.Version), 10))
		}
		params, own := withoutFlag(t.Params)
		if len(params) > 0 {
			out.add("connect.parameters", appendParams(nil, params))
		}
		if t.Default != nil && own {
			def, err := b.literal(t, t.Default)
			if err != nil {
				return err
			}
			out.add("connect.default", def)
		}
		if t.Name != "" {
			out.add("connect.name", appendString(nil, t.Name))
		}
		switch t.Kind {
		case schema.Int8:
			out.add("connect.type", []byte(`"int8"`))
		case schema.Int16:
			out.add("connect.type", []byte(`"int16"`))
		}
	}
	if logical := logicalTypes[t.Name]; logical != "" {
		out.add("logicalType", appendString(nil, logical))
	}
	for _, p := range t.Params {
		if strings.HasPrefix(p.Name, "avro") {
			out.add(p.Name, appendString(nil, p.Value))
		}
	}
	return nil
}

var logicalTypes = map[string]string{
	schema.Decimal: "decimal", schema.ConnectDate: "date", schema.ConnectTime: "time-millis", schema.ConnectTimestamp: "timestamp-millis",
}

// withoutFlag takes out the parameter that says that the default is that of the Avro field alone.
func withoutFlag(params []schema.Param) (left []schema.Param, own bool) {
	for i, p := range params {
		if p.Name == defaultFlag {
			return append(slices.Clone(params[:i]), params[i+1:]...), false
		}
	}
	return params, true
}

func appendParams(dst []byte, params []schema.Param) []byte {
	dst = append(dst, '{')
	for i, p := range params {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(append(appendString(dst, p.Name), ':'), p.Value)
	}
	return append(dst, '}')
}

// split divides a name at its last dot, and scrubs what comes after.
func (b *builder) split(full string) (space, name string, err error) {
	name = full
	if i := strings.LastIndexByte(full, '.'); i >= 0 {
		space, name = full[:i], full[i+1:]
	}
	name = b.scrub(name)
	return space, name, checkName(name)
}

// scrub makes a valid name, where that is asked for.
func (b *builder) scrub(name string) string {
	if !b.o.ScrubNames {
		return name
	}
	if name == "" {
		return "x"
	}
	escaped := url.QueryEscape(name)
	out := make([]byte, 0, len(escaped)+1)
	for i := range len(escaped) {
		c := escaped[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '_', c >= '0' && c <= '9':
		default:
			c = '_'
		}
		out = append(out, c)
	}
	if c := out[0]; c >= '0' && c <= '9' || c == '_' && name[0] != '_' && name[0] != ' ' {
		out = append([]byte{'x'}, out...)
	}
	return string(out)
}

// literal is the JSON of a default.
func (b *builder) literal(t *schema.Type, lit any) ([]byte, error) {
	switch x := lit.(type) {
	case nil:
		return []byte("null"), nil
	case bool:
		return strconv.AppendBool(nil, x), nil
	case int64:
		return strconv.AppendInt(nil, x, 10), nil
	case float64:
		size := 64
		if t.Kind == schema.Float32 {
			size = 32
		}
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return append(java.AppendFloat([]byte{'"'}, x, size), '"'), nil
		}
		return java.AppendFloat(nil, x, size), nil
	case string:
		return appendString(nil, x), nil
	case []byte:
		latin := make([]rune, len(x))
		for i, c := range x {
			latin[i] = rune(c)
		}
		return appendString(nil, string(latin)), nil
	case []any:
		return b.composite(t, x)
	}
	return nil, schemaError(fmt.Sprintf("default of a kind that has no JSON: %T", lit))
}

func (b *builder) composite(t *schema.Type, items []any) ([]byte, error) {
	open, end := byte('['), byte(']')
	textKeys := t.Kind == schema.Map && b.textKeys(t)
	if t.Kind == schema.Struct || textKeys {
		open, end = '{', '}'
	}
	out := []byte{open}
	step := 1
	if t.Kind == schema.Map {
		step = 2
	}
	for i := 0; i+step <= len(items); i += step {
		if i > 0 {
			out = append(out, ',')
		}
		var part []byte
		var err error
		switch t.Kind {
		case schema.Struct:
			out = append(appendString(out, b.scrub(t.Fields[i].Name)), ':')
			part, err = b.literal(t.Fields[i].Type, items[i])
		case schema.Array:
			part, err = b.literal(t.Elem, items[i])
		default:
			part, err = b.entry(t, items[i], items[i+1], textKeys)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, part...)
	}
	return append(out, end), nil
}

func (b *builder) entry(t *schema.Type, key, value any, textKey bool) ([]byte, error) {
	k, err := b.literal(t.Key, key)
	if err != nil {
		return nil, err
	}
	v, err := b.literal(t.Elem, value)
	if textKey {
		return append(append(k, ':'), v...), err
	}
	return append(append(append([]byte{'['}, append(k, ',')...), v...), ']'), err
}
