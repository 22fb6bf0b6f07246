// SPDX-License-Identifier: Apache-2.0

package json

import (
	"strconv"

	"freshet/change"
	"freshet/change/java"
	"freshet/schema"
)

// code says how values of a type are written and read: by Connect's logical types first, then by kind.
type code uint8

const (
	codeFree code = iota // without a schema
	codeInt8
	codeInt16
	codeInt32
	codeInt64
	codeFloat32
	codeFloat64
	codeBool
	codeText
	codeBytes
	codeDecimal
	codeDate
	codeTime
	codeTimestamp
	codeArray
	codeObject // a map with text keys
	codePairs  // a map with other keys
	codeStruct
	codeEntries // a map with other keys, in JSON Schema
	codeUnion   // a struct that stands for its one member, in JSON Schema
)

var codeOfKind = [...]code{
	schema.Int8: codeInt8, schema.Int16: codeInt16, schema.Int32: codeInt32, schema.Int64: codeInt64,
	schema.Float32: codeFloat32, schema.Float64: codeFloat64, schema.Boolean: codeBool, schema.String: codeText,
	schema.Bytes: codeBytes, schema.Array: codeArray, schema.Struct: codeStruct,
}

func codeOf(t *schema.Type) code {
	if t == nil {
		return codeFree
	}
	switch t.Name {
	case schema.Decimal:
		return codeDecimal
	case schema.ConnectDate:
		return codeDate
	case schema.ConnectTime:
		return codeTime
	case schema.ConnectTimestamp:
		return codeTimestamp
	}
	if t.Kind == schema.Map {
		if t.Key != nil && t.Key.Kind == schema.String {
			return codeObject
		}
		return codePairs
	}
	return codeOfKind[t.Kind]
}

// codeIn is codeOf in the dialect of the options.
func codeIn(t *schema.Type, o Options) code {
	c := codeOf(t)
	switch {
	case !o.JSONSchema || t == nil:
	case c == codeStruct && t.Name == OneOf:
		return codeUnion
	case c == codePairs || c == codeObject && t.Key.Optional:
		return codeEntries
	}
	return c
}

// valueKinds are the kinds of change.Value that a code takes.
var valueKinds = [...]change.Kind{
	codeInt8: change.Int, codeInt16: change.Int, codeInt32: change.Int, codeInt64: change.Int,
	codeFloat32: change.Float, codeFloat64: change.Float, codeBool: change.Bool, codeText: change.Text,
	codeBytes: change.Bytes, codeDecimal: change.Bytes, codeDate: change.Int, codeTime: change.Int,
	codeTimestamp: change.Int, codeArray: change.Array, codeObject: change.Map, codePairs: change.Map,
	codeStruct: change.Struct, codeEntries: change.Map, codeUnion: change.Struct,
}

// javaNames are the words for a wrong value.
var javaNames = [...]string{
	change.Bool: "java.lang.Boolean", change.Int: "java.lang.Long", change.Float: "java.lang.Double",
	change.Text: "java.lang.String", change.Bytes: "[B", change.Struct: "org.apache.kafka.connect.data.Struct",
	change.Array: "java.util.ArrayList", change.Map: "java.util.HashMap",
}

// upper is the kind as Connect's messages have it.
func upper(k schema.Kind) string {
	return [...]string{
		"INVALID", "INT8", "INT16", "INT32", "INT64", "FLOAT32", "FLOAT64", "BOOLEAN", "STRING", "BYTES",
		"ARRAY", "MAP", "STRUCT",
	}[k]
}

// decimalScale is the scale of a Decimal.
func decimalScale(t *schema.Type) (int, error) {
	text, ok := t.Param("scale")
	if !ok {
		return 0, refuse("Invalid Decimal schema: scale parameter not found.")
	}
	scale, err := strconv.Atoi(text)
	if err != nil || scale > java.MaxExponent || scale < -java.MaxExponent {
		return 0, refuse("Invalid scale parameter found in Decimal schema: " + text)
	}
	return scale, nil
}
