// SPDX-License-Identifier: Apache-2.0

package protobuf

import (
	"math"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"freshet/change"
	"freshet/change/java"
	"freshet/emitter"
	"freshet/schema"
)

// kind is how a value is written and read.
type kind uint8

const (
	kindNone kind = iota
	kindVarint
	kindUint32 // a varint without the sign of 32 bits
	kindZigzag32
	kindZigzag64
	kindFixed32
	kindFixed64
	kindFloat
	kindDouble
	kindBool
	kindEnum
	kindString // those from here on have a length
	kindBytes
	kindMessage
	kindMap
	kindArray
	kindDecimal
	kindDate
	kindTime
	kindTimestamp
	kindWrapper
)

// scalars are the kinds of Protobuf's scalar types.
var scalars = map[string]kind{
	"int32": kindVarint, "int64": kindVarint, "uint64": kindVarint, "uint32": kindUint32, "sint32": kindZigzag32, "sint64": kindZigzag64,
	"fixed32": kindFixed32, "sfixed32": kindFixed32, "fixed64": kindFixed64, "sfixed64": kindFixed64, "float": kindFloat, "double": kindDouble,
	"bool": kindBool, "string": kindString, "bytes": kindBytes,
}

func (k kind) packable() bool { return k < kindString }

func (k kind) wire() protowire.Type {
	switch k {
	case kindFixed32, kindFloat:
		return protowire.Fixed32Type
	case kindFixed64, kindDouble:
		return protowire.Fixed64Type
	}
	if k.packable() {
		return protowire.VarintType
	}
	return protowire.BytesType
}

// node encodes the values of one field. It is immutable.
type node struct {
	kind   kind
	want   change.Kind
	number int
	name   string
	tag    []byte // number and wire type
	typ    *schema.Type
	// presence says that a value is written even if it is the default of its type; packed, that the items of an array are one run.
	presence, packed bool
	// place is the field of the Struct; in a union, inner the field of the Struct there.
	place, inner int
	union        bool
	scale        int // of a decimal
	symbols      map[string]int64
	elem         *node
	members      []*node // by number
	// null and unavailable are what stands for these values.
	null, unavailable []byte
	refuse            bool // there is nothing for an unavailable value
}

// field is the member for a field of the Struct.
func (n *node) field(place int) *node {
	for _, m := range n.members {
		if m.place == place && !m.union {
			return m
		}
	}
	return nil
}

func (n *node) scalar(typ string) {
	n.kind = scalars[typ]
	n.want = change.KindOf(n.typ)
	n.tag = protowire.AppendTag(nil, protowire.Number(n.number), n.kind.wire())
}

// wrapped is the content of a wrapper: a message with a value.
func wrapped(number int, typ string, t *schema.Type) *node {
	value := &node{number: 1, typ: t}
	value.scalar(typ)
	return &node{kind: kindWrapper, number: number, typ: t, want: value.want, elem: value}
}

// defaults sets what a null is written as: the schema's default, else nothing.
func (n *node) defaults() error {
	if n.refuse = true; n.typ.Default == nil {
		return nil
	}
	var err error
	n.null, err = n.literal(n.typ.Default)
	return err
}

func (n *node) literal(lit any) ([]byte, error) {
	var b change.Batch
	out, err := n.AppendField([]byte{}, &b, b.AppendLiteral(lit, n.typ))
	return out, err
}

// stands sets what a column says of its nulls.
func (n *node) stands(c *schema.Column) error {
	var err error
	if !c.Type.Optional && c.Type.Default == nil && c.Fallback != nil {
		if n.null, err = n.literal(c.Fallback); err != nil {
			return err
		}
	}
	n.refuse, n.unavailable = false, n.null
	if c.Unavailable != nil {
		n.unavailable, err = n.literal(c.Unavailable)
	}
	return err
}

// AppendField appends a field with its tag; nothing for what is the default of its type.
func (n *node) AppendField(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	switch v.Kind() {
	case change.Null:
		return append(dst, n.null...), nil
	case change.Unavailable:
		if n.refuse {
			return dst, emitter.Refuse("the value was not sent by the database, and the schema has no placeholder for it")
		}
		return append(dst, n.unavailable...), nil
	}
	if v.Kind() != n.want && n.kind != kindEnum {
		return dst, n.mismatch(v)
	}
	switch {
	case n.kind.packable():
		bits, err := n.bits(b, v)
		if err != nil || bits == 0 && !n.presence {
			return dst, err
		}
		return n.kind.append(append(dst, n.tag...), bits), nil
	case n.kind == kindArray:
		return n.items(dst, b, b.Elems(v))
	case n.kind == kindMap:
		return n.entries(dst, b, b.Elems(v))
	case n.kind <= kindBytes && !n.presence && len(b.Bytes(v)) == 0:
		return dst, nil
	}
	dst = append(append(dst, n.tag...), 0)
	start := len(dst)
	dst, err := n.content(dst, b, v)
	return closeLength(dst, start), err
}

// closeLength puts the length of dst[start:] into the byte before it, and moves the content where that has not room enough.
func closeLength(dst []byte, start int) []byte {
	n := len(dst) - start
	if n < 0x80 {
		dst[start-1] = byte(n)
		return dst
	}
	more := protowire.SizeVarint(uint64(n)) - 1
	var room [10]byte
	dst = append(dst, room[:more]...)
	copy(dst[start+more:], dst[start:start+n])
	protowire.AppendVarint(dst[:start-1], uint64(n))
	return dst
}

// bits is a scalar as it is written; 0 is the default of its type.
func (n *node) bits(b *change.Batch, v change.Value) (uint64, error) {
	switch n.kind {
	case kindFloat:
		if f := v.Float(); f != f {
			return 0x7fc00000, nil
		}
		return uint64(math.Float32bits(float32(v.Float()))), nil
	case kindDouble:
		if f := v.Float(); f != f {
			return 0x7ff8000000000000, nil
		}
		return math.Float64bits(v.Float()), nil
	case kindBool:
		if v.Bool() {
			return 1, nil
		}
		return 0, nil
	case kindEnum:
		if v.Kind() == change.Int {
			return uint64(v.Int()), nil
		}
		if v.Kind() != change.Text {
			return 0, n.mismatch(v)
		}
		i, ok := n.symbols[b.String(v)]
		if !ok {
			return 0, emitter.Refuse("enum value '" + string(b.Bytes(v)) + "' is no symbol of the enum")
		}
		return uint64(i), nil
	case kindZigzag32, kindZigzag64:
		return protowire.EncodeZigZag(v.Int()), nil
	case kindUint32, kindFixed32:
		return uint64(uint32(v.Int())), nil
	}
	return uint64(v.Int()), nil
}

func (k kind) append(dst []byte, bits uint64) []byte {
	switch k.wire() {
	case protowire.Fixed32Type:
		return protowire.AppendFixed32(dst, uint32(bits))
	case protowire.Fixed64Type:
		return protowire.AppendFixed64(dst, bits)
	}
	return protowire.AppendVarint(dst, bits)
}

// content appends what has a length, without it.
func (n *node) content(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	switch v.Kind() {
	case n.want:
	default:
		return dst, n.mismatch(v)
	}
	switch n.kind {
	case kindString:
		if p := b.Bytes(v); !utf8.Valid(p) {
			return appendValid(dst, p), nil
		}
		return append(dst, b.Bytes(v)...), nil
	case kindBytes:
		return append(dst, b.Bytes(v)...), nil
	case kindWrapper:
		return n.elem.AppendField(dst, b, v)
	case kindDecimal:
		return n.decimal(dst, b.Bytes(v)), nil
	case kindDate:
		y, m, d := time.Unix(v.Int()*86400, 0).UTC().Date()
		return appendInts(dst, int64(y), int64(m), int64(d)), nil
	case kindTime:
		ms := v.Int()
		if ms < 0 || ms > millisPerDay {
			return dst, emitter.Refuse("Time values must use number of millis greater than 0 and less than 86400000")
		}
		return appendInts(dst, ms/3600000, ms/60000%60, ms/1000%60, ms%1000*1e6), nil
	case kindTimestamp:
		ms := v.Int()
		s := ms / 1000
		if ms%1000 < 0 {
			s--
		}
		return appendInts(dst, s, (ms-s*1000)*1e6), nil
	}
	return n.structure(dst, b, b.Elems(v))
}

const millisPerDay = 24 * 60 * 60 * 1000

// appendValid appends a text with U+FFFD for what is no UTF-8, which Protobuf does not allow.
func appendValid(dst, p []byte) []byte {
	for len(p) > 0 {
		r, n := utf8.DecodeRune(p)
		dst, p = utf8.AppendRune(dst, r), p[n:]
	}
	return dst
}

// appendInts appends the fields 1, 2, … of a message of numbers.
func appendInts(dst []byte, values ...int64) []byte {
	for i, v := range values {
		if v != 0 {
			dst = protowire.AppendVarint(protowire.AppendTag(dst, protowire.Number(i+1), protowire.VarintType), uint64(v))
		}
	}
	return dst
}

// decimal appends value, precision and scale.
func (n *node) decimal(dst, unscaled []byte) []byte {
	if len(unscaled) > 0 {
		dst = protowire.AppendBytes(protowire.AppendTag(dst, 1, protowire.BytesType), unscaled)
	}
	dst = protowire.AppendVarint(protowire.AppendTag(dst, 2, protowire.VarintType), uint64(digits(unscaled)))
	if n.scale != 0 {
		dst = protowire.AppendVarint(protowire.AppendTag(dst, 3, protowire.VarintType), uint64(int64(n.scale)))
	}
	return dst
}

// digits is the number of decimal digits of a two's complement; 1 for 0.
func digits(p []byte) int {
	if len(p) > 8 {
		x := java.BigFromTwos(p)
		return len(x.Abs(x).Text(10))
	}
	var i int64
	if len(p) > 0 {
		i = int64(int8(p[0]))
		for _, c := range p[1:] {
			i = i<<8 | int64(c)
		}
	}
	u := uint64(i)
	if i < 0 {
		u = -u
	}
	n := 1
	for ; u >= 10; u /= 10 {
		n++
	}
	return n
}

// structure appends the fields of a Struct.
func (n *node) structure(dst []byte, b *change.Batch, values []change.Value) ([]byte, error) {
	if len(values) != len(n.typ.Fields) {
		return dst, emitter.Refuse("Mismatching struct schema")
	}
	var err error
	for _, m := range n.members {
		v := values[m.place]
		if m.union {
			if v.IsNull() {
				continue
			}
			if v = b.At(b.RowOf(v), m.inner); v.IsNull() {
				continue
			}
		}
		if dst, err = m.AppendField(dst, b, v); err != nil {
			return dst, emitter.InField(m.name, err)
		}
	}
	return dst, nil
}

const nullItem = "Protobuf has no null in arrays and maps"

// items appends an array.
func (n *node) items(dst []byte, b *change.Batch, values []change.Value) ([]byte, error) {
	if len(values) == 0 {
		return dst, nil
	}
	var err error
	if n.packed {
		dst = append(append(dst, n.tag...), 0)
		start := len(dst)
		for _, v := range values {
			if v.Kind() != n.elem.want && n.elem.kind != kindEnum {
				return dst, n.elem.mismatch(v)
			}
			bits, err := n.elem.bits(b, v)
			if err != nil {
				return dst, err
			}
			dst = n.elem.kind.append(dst, bits)
		}
		return closeLength(dst, start), nil
	}
	for _, v := range values {
		if v.IsNull() {
			return dst, emitter.Refuse(nullItem)
		}
		if dst, err = n.elem.AppendField(dst, b, v); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// entries appends a map. A null value is a member that is not set.
func (n *node) entries(dst []byte, b *change.Batch, values []change.Value) ([]byte, error) {
	var err error
	for i := 0; i+1 < len(values); i += 2 {
		dst = append(append(dst, n.tag...), 0)
		start := len(dst)
		for j, m := range n.members {
			if dst, err = m.AppendField(dst, b, values[i+j]); err != nil {
				return dst, err
			}
		}
		dst = closeLength(dst, start)
	}
	return dst, nil
}

// mismatch is the error for a value of a wrong kind.
func (n *node) mismatch(v change.Value) error {
	if v.IsNull() {
		return emitter.Refuse(nullItem)
	}
	return emitter.Refuse("Invalid type for " + n.typ.Kind.String() + ": class " + java.Class(nil, v))
}
