// SPDX-License-Identifier: Apache-2.0

package plain

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"freshet/change"
	"freshet/change/java"
	"freshet/emitter"
	"freshet/schema"
)

// raw is ByteArrayConverter.
type raw struct{}

var optionalBytes = &schema.Type{Kind: schema.Bytes, Optional: true}

func (raw) schema() *schema.Type { return optionalBytes }

func (raw) check(t *schema.Type) error { return checkKind("ByteArrayConverter", schema.Bytes, t) }

func (raw) append(dst []byte, t *schema.Type, b *change.Batch, v change.Value) ([]byte, error) {
	if v.Kind() != change.Bytes || t != nil && t.Name == schema.Decimal {
		return dst, incompatible("ByteArrayConverter", t, v)
	}
	return append(dst, b.Bytes(v)...), nil
}

func (raw) read(b *change.Batch, wire []byte) (change.Value, error) { return b.BytesOf(wire), nil }

// truth is BooleanConverter.
type truth struct{}

var optionalBoolean = &schema.Type{Kind: schema.Boolean, Optional: true}

func (truth) schema() *schema.Type { return optionalBoolean }

func (truth) check(t *schema.Type) error { return checkKind("BooleanConverter", schema.Boolean, t) }

func (truth) append(dst []byte, t *schema.Type, _ *change.Batch, v change.Value) ([]byte, error) {
	switch {
	case v.Kind() != change.Bool:
		return dst, incompatible("BooleanConverter", t, v)
	case v.Bool():
		return append(dst, 1), nil
	}
	return append(dst, 0), nil
}

func (truth) read(_ *change.Batch, wire []byte) (change.Value, error) {
	const failed = "Failed to deserialize boolean: "
	switch {
	case len(wire) != 1:
		return change.Value{}, &emitter.DataError{Message: failed, Err: fmt.Errorf("Size of data received by BooleanDeserializer is not 1")} //nolint:staticcheck // the reference's words
	case wire[0] > 1:
		return change.Value{}, &emitter.DataError{Message: failed, Err: fmt.Errorf("Unexpected byte received by BooleanDeserializer: %d", int8(wire[0]))} //nolint:staticcheck // the reference's words
	}
	return change.BoolValue(wire[0] == 1), nil
}

// number is a converter of numbers of one class, big-endian.
type number struct {
	class string // Short
	word  string // short, in messages
	size  int
	typ   schema.Type
}

func (n *number) schema() *schema.Type { return &n.typ }

// check takes any schema: the class of the value decides.
func (n *number) check(*schema.Type) error { return nil }

func (n *number) append(dst []byte, t *schema.Type, _ *change.Batch, v change.Value) ([]byte, error) {
	if class := java.Class(t, v); class != "java.lang."+n.class {
		wanted := "java.lang." + n.class
		if v.Kind() != change.Int && v.Kind() != change.Float || class == "java.util.Date" {
			wanted = "java.lang.Number"
		}
		return dst, &emitter.DataError{
			Message: "Failed to serialize to " + n.word + " (was class " + class + "): ",
			Err:     fmt.Errorf("class %s cannot be cast to class %s", class, wanted),
		}
	}
	switch n.typ.Kind {
	case schema.Float32:
		return binary.BigEndian.AppendUint32(dst, bits32(v.Float())), nil
	case schema.Float64:
		return binary.BigEndian.AppendUint64(dst, bits64(v.Float())), nil
	case schema.Int16:
		return binary.BigEndian.AppendUint16(dst, uint16(v.Int())), nil
	case schema.Int32:
		return binary.BigEndian.AppendUint32(dst, uint32(v.Int())), nil
	}
	return binary.BigEndian.AppendUint64(dst, uint64(v.Int())), nil
}

func (n *number) read(_ *change.Batch, wire []byte) (change.Value, error) {
	if len(wire) != n.size {
		of := n.class
		if n.typ.Kind == schema.Float64 || n.typ.Kind == schema.Float32 {
			of = "" // the original names none
		}
		return change.Value{}, &emitter.DataError{
			Message: "Failed to deserialize " + n.word + ": ",
			Err:     fmt.Errorf("Size of data received by %sDeserializer is not %d", of, n.size), //nolint:staticcheck // the reference's words
		}
	}
	switch n.typ.Kind {
	case schema.Float32:
		return change.FloatValue(float64(math.Float32frombits(binary.BigEndian.Uint32(wire)))), nil
	case schema.Float64:
		return change.FloatValue(math.Float64frombits(binary.BigEndian.Uint64(wire))), nil
	case schema.Int16:
		return change.IntValue(int64(int16(binary.BigEndian.Uint16(wire)))), nil
	case schema.Int32:
		return change.IntValue(int64(int32(binary.BigEndian.Uint32(wire)))), nil
	}
	return change.IntValue(int64(binary.BigEndian.Uint64(wire))), nil
}

// bits32 and bits64 have one form of NaN, Java's.
func bits32(f float64) uint32 {
	if math.IsNaN(f) {
		return 0x7fc00000
	}
	return math.Float32bits(float32(f))
}

func bits64(f float64) uint64 {
	if math.IsNaN(f) {
		return 0x7ff8000000000000
	}
	return math.Float64bits(f)
}

// checkKind refuses a schema of another kind.
func checkKind(converter string, want schema.Kind, t *schema.Type) error {
	if t == nil || t.Kind == want {
		return nil
	}
	return emitter.Refuse("Invalid schema type for " + converter + ": " + kindName(t.Kind))
}

func incompatible(converter string, t *schema.Type, v change.Value) error {
	return emitter.Refuse(converter + " is not compatible with objects of type class " + java.Class(t, v))
}

// kindName is the kind as Connect's messages have it.
func kindName(k schema.Kind) string {
	switch k {
	case schema.Float32, schema.Float64:
		return "FLOAT" + strconv.Itoa(32<<(k-schema.Float32))
	}
	return strings.ToUpper(k.String())
}
