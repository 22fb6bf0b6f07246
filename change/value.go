// SPDX-License-Identifier: Apache-2.0

package change

import (
	"bytes"
	"math"
	"slices"
	"unsafe"

	"freshet/schema"
)

// Kind says what a Value holds.
type Kind uint8

// The kinds. Structs, arrays and maps are runs of values: a struct's in the order of its type's fields, a map's as key,
// value, key, value.
const (
	Null Kind = iota
	// Unavailable is a value that the database did not send (unchanged TOAST).
	Unavailable
	Bool
	Int // every integer kind of Connect
	Float
	Text // UTF-8
	Bytes
	Struct
	Array
	Map
	// Date is a java.util.Date of schemaless data, in ms since the epoch. With a schema dates are Ints.
	Date
)

// Value is 16 bytes without a pointer: a number in place, a span of the arena, or a run of values of its Batch.
type Value struct {
	kind Kind
	bits uint64
}

// KindOf is the kind of the values of a type.
func KindOf(t *schema.Type) Kind {
	switch t.Kind {
	case schema.Float32, schema.Float64:
		return Float
	case schema.Boolean:
		return Bool
	case schema.String:
		return Text
	case schema.Bytes:
		return Bytes
	case schema.Array:
		return Array
	case schema.Map:
		return Map
	case schema.Struct:
		return Struct
	}
	return Int
}

// NullValue is NULL. It and the next ones need no memory of a batch.
func NullValue() Value { return Value{} }

// UnavailableValue stands for a value that the database did not tell.
func UnavailableValue() Value { return Value{kind: Unavailable} }

// IntValue holds a whole number.
func IntValue(i int64) Value { return Value{Int, uint64(i)} }

// DateValue holds a point in time of schemaless data, in ms since the epoch.
func DateValue(ms int64) Value { return Value{Date, uint64(ms)} }

// FloatValue holds a float32 or a float64 (the type says which).
func FloatValue(f float64) Value { return Value{Float, math.Float64bits(f)} }

// BoolValue holds a truth value.
func BoolValue(t bool) Value {
	if t {
		return Value{Bool, 1}
	}
	return Value{Bool, 0}
}

// Kind says what the value holds.
func (v Value) Kind() Kind { return v.kind }

// IsNull says whether the value is null. An unavailable value is not.
func (v Value) IsNull() bool { return v.kind == Null }

// Int is the number of an Int, or the ms of a Date.
func (v Value) Int() int64 { return int64(v.bits) }

// Float is the number of a Float.
func (v Value) Float() float64 { return math.Float64frombits(v.bits) }

// Bool is the truth value of a Bool.
func (v Value) Bool() bool { return v.bits != 0 }

func (v Value) span() (off, n uint32) { return uint32(v.bits >> 32), uint32(v.bits) }

func spanValue(k Kind, off, n int) Value { return Value{k, uint64(off)<<32 | uint64(n)} }

// TextFrom is the text that was appended to Arena since it was mark bytes long.
func (b *Batch) TextFrom(mark int) Value { return spanValue(Text, mark, len(b.Arena)-mark) }

// BytesFrom is the same for bytes.
func (b *Batch) BytesFrom(mark int) Value { return spanValue(Bytes, mark, len(b.Arena)-mark) }

// Text copies a text into the arena.
func (b *Batch) Text(s string) Value {
	m := len(b.Arena)
	b.Arena = append(b.Arena, s...)
	return b.TextFrom(m)
}

// TextOf copies the bytes of a text into the arena.
func (b *Batch) TextOf(p []byte) Value {
	m := len(b.Arena)
	b.copy(p)
	return b.TextFrom(m)
}

// copy appends to the arena, behind a large value with room for the small ones of its row: growing for those would copy it.
func (b *Batch) copy(p []byte) {
	if len(p) > keepBytes/16 && cap(b.Arena)-len(b.Arena) < len(p) {
		b.Arena = slices.Grow(b.Arena, len(p)+len(p)/16)
	}
	b.Arena = append(b.Arena, p...)
}

// BytesOf copies bytes into the arena.
func (b *Batch) BytesOf(p []byte) Value {
	m := len(b.Arena)
	b.copy(p)
	return b.BytesFrom(m)
}

// Bytes are the bytes of a Text or Bytes value; valid until Reset, not to be changed.
func (b *Batch) Bytes(v Value) []byte {
	off, n := v.span()
	return b.Arena[off : off+n : off+n]
}

// String is the text of a Text value without a copy; valid until Reset.
func (b *Batch) String(v Value) string {
	p := b.Bytes(v)
	return unsafe.String(unsafe.SliceData(p), len(p))
}

// Run makes a Struct, Array or Map value of a row made with NewRow.
func (b *Batch) Run(k Kind, r Row) Value { return spanValue(k, int(r.off), int(r.n)) }

// RowOf is the row behind a Struct, Array or Map value.
func (b *Batch) RowOf(v Value) Row {
	off, n := v.span()
	return Row{off, n}
}

// Elems are the values of a Struct, Array or Map; valid until the next NewRow.
func (b *Batch) Elems(v Value) []Value { return b.Values(b.RowOf(v)) }

// EqualValues compares two values of this batch by content.
func (b *Batch) EqualValues(x, y Value) bool {
	if x.kind != y.kind {
		return false
	}
	switch x.kind {
	case Text, Bytes:
		return bytes.Equal(b.Bytes(x), b.Bytes(y))
	case Struct, Array, Map:
		return b.Equal(b.RowOf(x), b.RowOf(y))
	}
	return x.bits == y.bits
}

// AppendLiteral makes a value of type t of a schema default, fallback or placeholder (see schema.Type.Default for the Go
// types). A []any holds a struct's fields, an array's items, or a map's keys and values in turn. nil is Null.
func (b *Batch) AppendLiteral(lit any, t *schema.Type) Value {
	switch x := lit.(type) {
	case bool:
		return BoolValue(x)
	case int64:
		return IntValue(x)
	case float64:
		return FloatValue(x)
	case string:
		return b.Text(x)
	case []byte:
		return b.BytesOf(x)
	case []any:
		r := b.NewRow(len(x))
		for i, e := range x {
			b.Set(r, i, b.AppendLiteral(e, memberType(t, i)))
		}
		switch t.Kind {
		case schema.Struct:
			return b.Run(Struct, r)
		case schema.Map:
			return b.Run(Map, r)
		}
		return b.Run(Array, r)
	}
	return NullValue()
}

func memberType(t *schema.Type, i int) *schema.Type {
	switch {
	case t.Kind == schema.Struct:
		return t.Fields[i].Type
	case t.Kind == schema.Map && i%2 == 0:
		return t.Key
	}
	return t.Elem
}

// Literal is the inverse of AppendLiteral. Its texts are copies.
func (b *Batch) Literal(v Value) any {
	switch v.Kind() {
	case Bool:
		return v.Bool()
	case Int, Date:
		return v.Int()
	case Float:
		return v.Float()
	case Text:
		return string(b.Bytes(v))
	case Bytes:
		return append([]byte{}, b.Bytes(v)...)
	case Struct, Array, Map:
		run := b.Elems(v)
		out := make([]any, len(run))
		for i, e := range run {
			out[i] = b.Literal(e)
		}
		return out
	}
	return nil
}
