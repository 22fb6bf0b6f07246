// SPDX-License-Identifier: Apache-2.0

package jsonschema

import (
	stdjson "encoding/json"
	"reflect"
	"strconv"
	"strings"

	"freshet/emitter"
	"freshet/emitter/json"
	"freshet/schema"
)

// The members and names that Connect schemas leave in a JSON Schema.
const (
	connectType       = "connect.type"
	connectVersion    = "connect.version"
	connectParameters = "connect.parameters"
	connectIndex      = "connect.index"

	namespace = "io.confluent.connect.json"
	enumParam = namespace + ".Enum"
)

// appendSchema appends the JSON Schema of a type. index is the place of the field that has it; -1 for none. Maps are in the order
// of Java's HashMap, as the original has them: the text is what a registry compares.
func appendSchema(dst []byte, t *schema.Type, o *Options, index int) ([]byte, error) {
	if t == nil {
		return dst, emitter.Refuse("JsonSchemaConverter writes no values without a schema")
	}
	union := t.Kind == schema.Struct && t.Name == json.OneOf
	if !t.Optional && !union {
		return appendPlain(dst, t, o, index)
	}
	dst = append(dst, '{')
	if index >= 0 {
		dst = append(strconv.AppendInt(append(dst, `"`+connectIndex+`":`...), int64(index), 10), ',')
	}
	dst = append(dst, `"oneOf":[`...)
	if t.Optional {
		dst = append(dst, `{"type":"null"}`...)
	}
	var err error
	if union {
		for i, f := range t.Fields {
			if dst[len(dst)-1] != '[' {
				dst = append(dst, ',')
			}
			if dst, err = appendPlain(dst, f.Type, o, i); err != nil {
				return dst, emitter.InField(f.Name, err)
			}
		}
	} else if dst, err = appendPlain(append(dst, ','), t, o, -1); err != nil {
		return dst, err
	}
	return append(dst, ']', '}'), nil
}

// kindTexts are the type and connect.type of a kind.
var kindTexts = [...][2]string{
	schema.Int8: {"integer", "int8"}, schema.Int16: {"integer", "int16"}, schema.Int32: {"integer", "int32"}, schema.Int64: {"integer", "int64"},
	schema.Float32: {"number", "float32"}, schema.Float64: {"number", "float64"}, schema.Boolean: {"boolean", ""}, schema.String: {"string", ""},
	schema.Bytes: {"string", "bytes"}, schema.Array: {"array", ""}, schema.Map: {"object", "map"}, schema.Struct: {"object", ""},
}

// appendPlain appends the schema as if t were not optional.
func appendPlain(dst []byte, t *schema.Type, o *Options, index int) ([]byte, error) {
	kind, typ := kindTexts[t.Kind][0], kindTexts[t.Kind][1]
	_, enum := t.Param(enumParam)
	enum = enum && t.Kind == schema.String
	entries := t.Kind == schema.Map && (t.Key == nil || t.Key.Kind != schema.String || t.Key.Optional)
	switch {
	case t.Kind == schema.Bytes && t.Name == schema.Decimal:
		kind = "number"
	case entries:
		kind = "array"
	}
	dst = append(dst, '{')
	if !enum {
		dst = append(dst, `"type":"`+kind+`",`...)
	}
	if t.Name != "" {
		dst = appendMember(dst, "title", t.Name)
	}
	if t.Doc != "" {
		dst = appendMember(dst, "description", t.Doc)
	}
	if t.Default != nil {
		var err error
		if dst, err = json.AppendLiteral(append(dst, `"default":`...), t, o.Data, t.Default); err != nil {
			return dst, err
		}
		dst = append(dst, ',')
	}
	dst = appendProps(dst, t, typ, index)
	dst, err := appendParts(dst, t, o, enum, entries)
	if dst[len(dst)-1] == ',' {
		dst = dst[:len(dst)-1]
	}
	return append(dst, '}'), err
}

func appendMember(dst []byte, name, text string) []byte {
	dst = append(json.AppendString(dst, []byte(name)), ':')
	return append(json.AppendString(dst, []byte(text)), ',')
}

// appendProps appends the members that only Connect knows.
func appendProps(dst []byte, t *schema.Type, typ string, index int) []byte {
	var names []string
	if typ != "" {
		names = append(names, connectType)
	}
	if t.Version != 0 {
		names = append(names, connectVersion)
	}
	params := map[string]string{}
	var keys []string
	for _, p := range t.Params {
		if !strings.HasPrefix(p.Name, namespace) {
			params[p.Name] = p.Value
			keys = append(keys, p.Name)
		}
	}
	if len(keys) > 0 {
		names = append(names, connectParameters)
	}
	if index >= 0 {
		names = append(names, connectIndex)
	}
	for _, name := range schema.JavaCopyOrder(names) {
		switch name {
		case connectType:
			dst = appendMember(dst, connectType, typ)
			continue
		case connectVersion:
			dst = strconv.AppendInt(append(dst, `"`+connectVersion+`":`...), int64(t.Version), 10)
		case connectIndex:
			dst = strconv.AppendInt(append(dst, `"`+connectIndex+`":`...), int64(index), 10)
		case connectParameters:
			dst = append(dst, `"`+connectParameters+`":{`...)
			for _, key := range schema.JavaOrder(keys) {
				dst = appendMember(dst, key, params[key])
			}
			dst[len(dst)-1] = '}'
		}
		dst = append(dst, ',')
	}
	return dst
}

// appendParts appends what a type is made of.
func appendParts(dst []byte, t *schema.Type, o *Options, enum, entries bool) ([]byte, error) {
	var err error
	switch {
	case enum:
		dst = append(dst, `"enum":[`...)
		for _, p := range t.Params {
			if symbol, ok := strings.CutPrefix(p.Name, enumParam+"."); ok {
				dst = append(json.AppendString(dst, []byte(symbol)), ',')
			}
		}
		if dst[len(dst)-1] == ',' {
			dst = dst[:len(dst)-1]
		}
		return append(dst, ']'), nil
	case t.Kind == schema.Array:
		return appendSchema(append(dst, `"items":`...), t.Elem, o, -1)
	case entries:
		if dst, err = appendSchema(append(dst, `"items":{"type":"object","properties":{"key":`...), t.Key, o, 0); err != nil {
			return dst, err
		}
		dst, err = appendSchema(append(dst, `,"value":`...), t.Elem, o, 1)
		return append(dst, "}}"...), err
	case t.Kind == schema.Map:
		return appendSchema(append(dst, `"additionalProperties":`...), t.Elem, o, -1)
	case t.Kind == schema.Struct:
		return appendProperties(dst, t, o)
	}
	return dst, nil
}

func appendProperties(dst []byte, t *schema.Type, o *Options) ([]byte, error) {
	places := make(map[string]int, len(t.Fields))
	names := make([]string, len(t.Fields))
	for i, f := range t.Fields {
		names[i], places[f.Name] = f.Name, i
	}
	if len(names) > 0 {
		dst = append(dst, `"properties":{`...)
		for i, name := range schema.JavaOrder(names) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(json.AppendString(dst, []byte(name)), ':')
			var err error
			if dst, err = appendSchema(dst, t.Fields[places[name]].Type, o, places[name]); err != nil {
				return dst, emitter.InField(name, err)
			}
		}
		dst = append(dst, '}')
	}
	if o.Closed {
		if dst[len(dst)-1] == '}' {
			dst = append(dst, ',')
		}
		dst = append(dst, `"additionalProperties":false`...)
	}
	return dst, nil
}

// sameJSON compares two texts as values.
func sameJSON(x, y []byte) (bool, error) {
	var a, b any
	if err := stdjson.Unmarshal(x, &a); err != nil {
		return false, err
	}
	if err := stdjson.Unmarshal(y, &b); err != nil {
		return false, err
	}
	return reflect.DeepEqual(a, b), nil
}
