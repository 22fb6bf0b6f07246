// SPDX-License-Identifier: Apache-2.0

package avro

import (
	stdbinary "encoding/binary"
	"math"

	"freshet/change"
	"freshet/change/java"
	"freshet/emitter"
)

// anything is the schema of values without one: a record in which the member of the value's kind is set.
var anything = newAnything()

// The members of anything, in order.
var anythingMembers = []string{"boolean", "bytes", "double", "float", "int", "long", "string", "array", "map"}

const (
	anyBoolean = iota
	anyBytes
	anyDouble
	anyFloat
	anyInt
	anyLong
	anyString
	anyArray
	anyMap
	anyMembers
)

func newAnything() *avroType {
	out := &avroType{kind: record, name: "Anything", space: namespace}
	entry := &avroType{kind: record, name: mapEntryName, space: namespace, fields: []avroField{{name: "key", typ: out}, {name: "value", typ: out}}}
	for i, name := range anythingMembers {
		var t *avroType
		switch i {
		case anyArray:
			t = &avroType{kind: array, elem: out}
		case anyMap:
			t = &avroType{kind: array, elem: entry}
		default:
			t = &avroType{kind: [...]kind{boolean, binary, double, float, integer, long, text}[i]}
		}
		out.fields = append(out.fields, avroField{
			name: name, typ: &avroType{kind: union, branches: []*avroType{{kind: null}, t}}, def: []byte("null"),
		})
	}
	return out
}

// appendAnything appends a value without a schema.
func appendAnything(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	at := -1
	switch v.Kind() {
	case change.Null:
	case change.Bool:
		at = anyBoolean
	case change.Int:
		at = anyLong
	case change.Float:
		at = anyDouble
	case change.Text:
		at = anyString
	case change.Array:
		at = anyArray
	case change.Map:
		at = anyMap
	default:
		return dst, emitter.Refuse("Unknown Java type for schemaless data: class " + java.Class(nil, v))
	}
	var err error
	for i := range anyMembers {
		if i != at {
			dst = append(dst, 0)
			continue
		}
		dst = append(dst, 2)
		switch i {
		case anyBoolean:
			dst = append(dst, 0)
			if v.Bool() {
				dst[len(dst)-1] = 1
			}
		case anyLong:
			dst = appendLong(dst, v.Int())
		case anyDouble:
			dst = stdbinary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Float()))
		case anyString:
			dst = appendBytes(dst, b.Bytes(v))
		default:
			if dst, err = appendAnythings(dst, b, b.Elems(v), i == anyMap); err != nil {
				return dst, err
			}
		}
	}
	return dst, nil
}

// appendAnythings appends the block of an array, or of the entries of a map.
func appendAnythings(dst []byte, b *change.Batch, values []change.Value, pairs bool) ([]byte, error) {
	n := len(values)
	if pairs {
		n /= 2
	}
	if n == 0 {
		return append(dst, 0), nil
	}
	var err error
	dst = appendLong(dst, int64(n))
	for _, v := range values {
		if dst, err = appendAnything(dst, b, v); err != nil {
			return dst, err
		}
	}
	return append(dst, 0), nil
}
