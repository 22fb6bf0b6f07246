// SPDX-License-Identifier: Apache-2.0

// Package schema says what rows look like: tables, columns, and the Kafka Connect schema of every value.
//
// The main type is Type, a Connect schema. Tables are made of Columns, each with the Type of its values. All types of
// this package are immutable once published: they are shared by pointer between readers, encoders and sinks, and
// compiled plans are cached by pointer. A changed table is a new *Table.
package schema

import "strings"

// Kind is the Connect type of a value.
type Kind uint8

// The Connect types.
const (
	Invalid Kind = iota
	Int8
	Int16
	Int32
	Int64
	Float32
	Float64
	Boolean
	String
	Bytes
	Array
	Map
	Struct
)

var kindNames = [...]string{"invalid", "int8", "int16", "int32", "int64", "float", "double", "boolean", "string", "bytes", "array", "map", "struct"}

// String is the name that Kafka's JsonConverter writes for the type ("float" and "double" for the floats).
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "invalid"
}

// KindOf is the inverse of Kind.String; Invalid for unknown names.
func KindOf(name string) Kind {
	for k, n := range kindNames[1:] {
		if n == name {
			return Kind(k + 1)
		}
	}
	return Invalid
}

// Type is a Kafka Connect schema.
type Type struct {
	Kind     Kind
	Optional bool
	Name     string // semantic type, such as Decimal; "" for none
	Version  int    // 0 for none
	Doc      string
	Params   []Param // in the order they were added
	// Default is the value used where none is given: nil for none, else bool, int64 (all integer kinds), float64 (both
	// floats), string, []byte, or []any of these.
	Default any
	Elem    *Type   // items of an Array, values of a Map
	Key     *Type   // keys of a Map
	Fields  []Field // of a Struct
}

// Param is a schema parameter. Values are always text.
type Param struct{ Name, Value string }

// Field is a member of a Struct.
type Field struct {
	Name string
	Type *Type
}

// Param returns a parameter's value and whether it is there.
func (t *Type) Param(name string) (string, bool) {
	for _, p := range t.Params {
		if p.Name == name {
			return p.Value, true
		}
	}
	return "", false
}

// FieldIndex returns the index of a field of a Struct, or -1.
func (t *Type) FieldIndex(name string) int {
	for i := range t.Fields {
		if t.Fields[i].Name == name {
			return i
		}
	}
	return -1
}

// AsOptional returns t with the given optionality: t itself where it has it already.
func (t *Type) AsOptional(optional bool) *Type {
	if t.Optional == optional {
		return t
	}
	c := *t
	c.Optional = optional
	return &c
}

// ID names a table. Catalog is the database, Schema is empty where the database has none.
type ID struct{ Catalog, Schema, Name string }

// String is schema.name (or catalog.name where there is no schema), the form that filters are matched against.
func (id ID) String() string {
	switch {
	case id.Schema != "":
		return id.Schema + "." + id.Name
	case id.Catalog != "":
		return id.Catalog + "." + id.Name
	}
	return id.Name
}

// Quoted is the identifier in double quotes with the quotes in it doubled, as standard SQL wants it.
func (id ID) Quoted() string {
	if id.Schema == "" {
		return QuoteName(id.Name)
	}
	return QuoteName(id.Schema) + "." + QuoteName(id.Name)
}

// QuoteName quotes one identifier for standard SQL.
func QuoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Table is one immutable version of a captured table.
type Table struct {
	ID ID
	// Key is what the record key holds, in order; nil for a table without a key, and empty but not nil for one whose key
	// has no column that can be shown. Rows of Change.Key follow it. Its
	// types differ from those in Columns where column rules (masks, propagated types) apply to values only.
	Key []Column
	// Columns is what before and after hold, in order. Rows of Change.Before and Change.After follow it.
	Columns []Column
}

// Column is a column as it is emitted.
type Column struct {
	Name string // after name adjustment
	Type *Type
	// Fallback stands for null in a required column without default (half-known rows under REPLICA IDENTITY DEFAULT). Same Go types as
	// Type.Default; []any for arrays, structs (their fields in order) and maps (keys and values in turn).
	Fallback any
	// Unavailable is what is emitted for a value the database did not send (unchanged TOAST); nil emits null.
	Unavailable any
}

// StructOf is the Connect struct of columns.
func StructOf(name string, optional bool, columns []Column) *Type {
	t := &Type{Kind: Struct, Name: name, Optional: optional, Fields: make([]Field, len(columns))}
	for i, c := range columns {
		t.Fields[i] = Field{Name: c.Name, Type: c.Type}
	}
	return t
}
