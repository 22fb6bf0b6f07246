// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/base64"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"unsafe"

	"freshet/change"
	"freshet/schema"
)

// unbounded is the length of a varbit without one.
const unbounded = "2147483647"

func boolForm(typeUse) form {
	return form{typ: schema.Type{Kind: schema.Boolean}, decode: decodeBool, fallback: false, zero: "f", defaulted: true}
}

func decodeBool(_ *change.Batch, text []byte) (change.Value, error) {
	switch string(text) {
	case "t", "true":
		return change.BoolValue(true), nil
	case "f", "false":
		return change.BoolValue(false), nil
	}
	return change.Value{}, badValue("boolean", text, "it is neither t nor f")
}

func intForm(kind schema.Kind, bits uint) builder {
	name := kind.String()
	least, greatest := int64(math.MinInt64)>>(64-bits), int64(math.MaxInt64)>>(64-bits)
	return func(typeUse) form {
		decode := func(_ *change.Batch, text []byte) (change.Value, error) {
			i, ok := parseInt(text)
			if !ok || i < least || i > greatest {
				return change.Value{}, badValue(name, text, "it is not an integer of this size")
			}
			return change.IntValue(i), nil
		}
		return form{typ: schema.Type{Kind: kind}, decode: decode, fallback: int64(0), zero: "0", defaulted: true}
	}
}

// oidForm is an int64 without defaults; oids are unsigned.
func oidForm(u typeUse) form {
	f := intForm(schema.Int64, 64)(u)
	f.defaulted = false
	return f
}

// parseInt is strconv.ParseInt in base 10 on bytes, without an error to allocate.
func parseInt(text []byte) (int64, bool) {
	neg := len(text) > 0 && text[0] == '-'
	if neg || len(text) > 0 && text[0] == '+' {
		text = text[1:]
	}
	if len(text) == 0 || len(text) > 19 {
		return 0, false
	}
	var n uint64 // 19 digits fit
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	switch {
	case neg && n <= 1<<63:
		return -int64(n), true // of 1<<63 too: it wraps onto itself
	case neg || n > math.MaxInt64:
		return 0, false
	}
	return int64(n), true
}

func floatForm(kind schema.Kind, bits int) builder {
	name := kind.String()
	return func(typeUse) form {
		decode := func(_ *change.Batch, text []byte) (change.Value, error) {
			v, ok := parseFloat(text, bits)
			if !ok {
				return change.Value{}, badValue(name, text, "it is not a number")
			}
			return change.FloatValue(v), nil
		}
		return form{typ: schema.Type{Kind: kind}, decode: decode, fallback: 0.0, zero: "0", defaulted: true}
	}
}

// parseFloat understands NaN, Infinity and -Infinity as the server writes them.
func parseFloat(text []byte, bits int) (float64, bool) {
	// The string does not outlive the call: only errors keep a copy of it.
	v, err := strconv.ParseFloat(unsafe.String(unsafe.SliceData(text), len(text)), bits)
	return v, err == nil
}

// bitsForm is boolean for one bit; else little-endian bytes, as many as the highest set bit needs.
func bitsForm(u typeUse) form {
	if u.typmod == 1 {
		decode := func(_ *change.Batch, text []byte) (change.Value, error) {
			if !isBits(text) {
				return change.Value{}, badValue("bit", text, "it is not a bit string")
			}
			return change.BoolValue(len(text) == 1 && text[0] == '1'), nil
		}
		return form{typ: schema.Type{Kind: schema.Boolean}, decode: decode, fallback: false, zero: "0", defaulted: true}
	}
	length := unbounded
	if u.typmod > 0 {
		length = strconv.Itoa(int(u.typmod))
	}
	typ := schema.Type{Kind: schema.Bytes, Name: schema.Bits, Version: 1, Params: []schema.Param{{Name: "length", Value: length}}}
	return form{typ: typ, decode: decodeBits, fallback: []byte{}, zero: "0", defaulted: true}
}

func isBits(text []byte) bool {
	for _, c := range text {
		if c != '0' && c != '1' {
			return false
		}
	}
	return true
}

func decodeBits(b *change.Batch, text []byte) (change.Value, error) {
	if !isBits(text) {
		return change.Value{}, badValue("bit", text, "it is not a bit string")
	}
	for len(text) > 0 && text[0] == '0' {
		text = text[1:]
	}
	mark := len(b.Arena)
	for end := len(text); end > 0; end -= 8 {
		var octet byte
		for _, c := range text[max(end-8, 0):end] {
			octet = octet<<1 | (c - '0')
		}
		b.Arena = append(b.Arena, octet)
	}
	return b.BytesFrom(mark), nil
}

func enumForm(u typeUse) form {
	f := textForm(schema.Enum)(u)
	f.typ.Params = []schema.Param{{Name: "allowed", Value: strings.Join(u.labels, ",")}}
	f.defaulted = true
	return f
}

// byteaForm is bytes, or their text by binary.handling.mode.
func byteaForm(u typeUse) form {
	mode := u.o.Binary
	return binaryForm(u.o, func(b *change.Batch, text []byte) (change.Value, error) {
		if len(text) < 2 || text[0] != '\\' || text[1] != 'x' {
			return change.Value{}, badValue("bytea", text, "it is not in hex form; the session needs bytea_output=hex")
		}
		mark := len(b.Arena)
		var err error
		if b.Arena, err = hex.AppendDecode(b.Arena, text[2:]); err != nil {
			return change.Value{}, badValue("bytea", text, "it is not in hex form")
		}
		return binaryFrom(b, mark, mode), nil
	})
}

// unknownForm is the text of a type that consumers do not know, as bytes or by binary.handling.mode.
func unknownForm(u typeUse) form {
	mode := u.o.Binary
	spell := func(dst, text []byte) []byte { return append(dst, text...) }
	if u.schema == "pg_catalog" && geometricTypes[u.name] {
		spell = appendGeometric
	}
	return binaryForm(u.o, func(b *change.Batch, text []byte) (change.Value, error) {
		mark := len(b.Arena)
		b.Arena = spell(b.Arena, text)
		return binaryFrom(b, mark, mode), nil
	})
}

// binaryForm is the schema of binary values. The base64 forms have no recorded placeholder.
func binaryForm(o *TypeOptions, decode decodeFunc) form {
	switch o.Binary {
	case "hex":
		return form{typ: schema.Type{Kind: schema.String}, decode: decode, fallback: "", unavailable: placeholderText(o)}
	case "base64", "base64-url-safe":
		return form{typ: schema.Type{Kind: schema.String}, decode: decode, fallback: ""}
	}
	return form{typ: schema.Type{Kind: schema.Bytes}, decode: decode, fallback: []byte{}, unavailable: o.Placeholder}
}

// binaryFrom makes a value of the bytes in the arena from mark on, which their encoding replaces.
func binaryFrom(b *change.Batch, mark int, mode string) change.Value {
	raw := len(b.Arena)
	switch mode {
	case "hex":
		b.Arena = hex.AppendEncode(b.Arena, b.Arena[mark:])
	case "base64":
		b.Arena = base64.StdEncoding.AppendEncode(b.Arena, b.Arena[mark:])
	case "base64-url-safe":
		b.Arena = base64.URLEncoding.AppendEncode(b.Arena, b.Arena[mark:])
	default:
		return b.BytesFrom(mark)
	}
	n := copy(b.Arena[mark:], b.Arena[raw:])
	b.Arena = b.Arena[:mark+n]
	return b.TextFrom(mark)
}
