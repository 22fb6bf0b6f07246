// SPDX-License-Identifier: Apache-2.0

package avro

import (
	"slices"
	"strconv"
	"strings"
)

// kind is the kind of an Avro schema.
type kind uint8

const (
	null kind = iota
	boolean
	integer
	long
	float
	double
	binary
	text
	fixed
	enum
	array
	mapping
	record
	union
)

var kindNames = [...]string{"null", "boolean", "int", "long", "float", "double", "bytes", "string", "fixed", "enum", "array", "map", "record", "union"}

// avroType is an Avro schema. Named types that stand in several places are one pointer.
type avroType struct {
	kind        kind
	name, space string // of record, enum and fixed
	doc         *string
	fields      []avroField
	symbols     []string
	enumDefault string
	size        int
	elem        *avroType // of array and map
	branches    []*avroType
	props       []prop
}

type avroField struct {
	name string
	typ  *avroType
	doc  *string
	def  []byte // JSON, nil for none
}

// prop is a property beyond those of the kind, with the JSON of its value.
type prop struct {
	name  string
	value []byte
}

func (t *avroType) prop(name string) []byte {
	for _, p := range t.props {
		if p.name == name {
			return p.value
		}
	}
	return nil
}

func (t *avroType) add(name string, value []byte) {
	for i := range t.props {
		if t.props[i].name == name {
			return
		}
	}
	t.props = append(t.props, prop{name, value})
}

func (t *avroType) named() bool { return t.kind == record || t.kind == enum || t.kind == fixed }

func (t *avroType) full() string {
	if t.space == "" {
		return t.name
	}
	return t.space + "." + t.name
}

// schemaText is the text of a schema as Avro's Schema.toString writes it.
func schemaText(t *avroType) []byte {
	w := textWriter{seen: map[string]bool{}}
	return w.append(nil, t, "")
}

// textWriter knows the named types that were written: they are told by name from then on.
type textWriter struct{ seen map[string]bool }

// append appends the text of t inside a type of namespace space.
func (w *textWriter) append(dst []byte, t *avroType, space string) []byte {
	switch {
	case t.kind == union:
		dst = append(dst, '[')
		for i, b := range t.branches {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = w.append(dst, b, space)
		}
		return append(dst, ']')
	case t.named():
		return w.appendNamed(dst, t, space)
	case t.kind < fixed && len(t.props) == 0:
		return appendString(dst, kindNames[t.kind])
	}
	dst = append(dst, `{"type":"`...)
	dst = append(append(dst, kindNames[t.kind]...), '"')
	switch t.kind {
	case array:
		dst = w.append(append(dst, `,"items":`...), t.elem, space)
	case mapping:
		dst = w.append(append(dst, `,"values":`...), t.elem, space)
	}
	return append(appendProps(dst, t.props), '}')
}

func (w *textWriter) appendNamed(dst []byte, t *avroType, space string) []byte {
	if full := t.full(); w.seen[full] {
		if t.space == space && !isPrimitive(t.name) {
			return appendString(dst, t.name)
		}
		return appendString(dst, full)
	}
	w.seen[t.full()] = true
	dst = append(dst, `{"type":"`...)
	dst = append(append(dst, kindNames[t.kind]...), `","name":`...)
	dst = appendString(dst, t.name)
	if t.space != space {
		dst = appendString(append(dst, `,"namespace":`...), t.space)
	}
	if t.doc != nil {
		dst = appendString(append(dst, `,"doc":`...), *t.doc)
	}
	switch t.kind {
	case fixed:
		dst = strconv.AppendInt(append(dst, `,"size":`...), int64(t.size), 10)
	case enum:
		dst = append(dst, `,"symbols":[`...)
		for i, s := range t.symbols {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, s)
		}
		dst = append(dst, ']')
		if t.enumDefault != "" {
			dst = appendString(append(dst, `,"default":`...), t.enumDefault)
		}
	case record:
		dst = append(dst, `,"fields":[`...)
		for i := range t.fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = w.appendField(dst, &t.fields[i], t.space)
		}
		dst = append(dst, ']')
	}
	return append(appendProps(dst, t.props), '}')
}

func (w *textWriter) appendField(dst []byte, f *avroField, space string) []byte {
	dst = appendString(append(dst, `{"name":`...), f.name)
	dst = w.append(append(dst, `,"type":`...), f.typ, space)
	if f.doc != nil {
		dst = appendString(append(dst, `,"doc":`...), *f.doc)
	}
	if f.def != nil {
		dst = append(append(dst, `,"default":`...), f.def...)
	}
	return append(dst, '}')
}

func isPrimitive(name string) bool {
	return slices.Contains(kindNames[:fixed], name)
}

func appendProps(dst []byte, props []prop) []byte {
	for _, p := range props {
		dst = appendString(append(dst, ','), p.name)
		dst = append(append(dst, ':'), p.value...)
	}
	return dst
}

const hexDigits = "0123456789ABCDEF"

// appendString appends a JSON string in which nothing is escaped but what must be.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= 0x20:
			dst = append(dst, c)
		default:
			if at := strings.IndexByte("\b\f\n\r\t", c); at >= 0 {
				dst = append(dst, '\\', "bfnrt"[at])
			} else {
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
		}
	}
	return append(dst, '"')
}

// checkName refuses what Avro does not take for a name: letters of any script, digits and underscores, no digit in front.
func checkName(name string) error {
	if name == "" {
		return schemaError("Empty name")
	}
	for i, r := range name {
		switch {
		case isLetter(r) || r == '_', i > 0 && isDigit(r):
		case i == 0:
			return schemaError("Illegal initial character: " + name)
		default:
			return schemaError("Illegal character in: " + name)
		}
	}
	return nil
}
