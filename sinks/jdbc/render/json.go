// SPDX-License-Identifier: Apache-2.0

package render

import (
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"

	"freshet/change"
	"freshet/schema"
)

// JSON appends a value of type t as JSON text. Numbers keep all their digits; bytes are base64, and a float that is no
// number is its name as a text.
func JSON(dst []byte, b *change.Batch, t *schema.Type, v change.Value) (out []byte, err error) {
	switch v.Kind() {
	case change.Null, change.Unavailable:
		return append(dst, "null"...), nil
	case change.Bool:
		return strconv.AppendBool(dst, v.Bool()), nil
	case change.Int:
		return strconv.AppendInt(dst, v.Int(), 10), nil
	case change.Float:
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			return append(Float(append(dst, '"'), f, 64), '"'), nil
		}
		return Float(dst, v.Float(), 64), nil
	case change.Text:
		return JSONText(dst, b.Bytes(v)), nil
	case change.Bytes:
		if t.Name == schema.Decimal {
			dst, _ = Decimal(dst, b.Bytes(v), IntParam(t, "scale"), Unlimited)
			return dst, nil
		}
		return append(base64.StdEncoding.AppendEncode(append(dst, '"'), b.Bytes(v)), '"'), nil
	case change.Array:
		return appendJSONArray(dst, b, t, b.RowOf(v))
	}
	return appendJSONObject(dst, b, t, v)
}

func appendJSONArray(dst []byte, b *change.Batch, t *schema.Type, row change.Row) (out []byte, err error) {
	dst = append(dst, '[')
	for i := range row.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = JSON(dst, b, t.Elem, b.At(row, i)); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}

func appendJSONObject(dst []byte, b *change.Batch, t *schema.Type, v change.Value) (out []byte, err error) {
	row := b.RowOf(v)
	dst = append(dst, '{')
	if t.Kind == schema.Struct {
		for i := range t.Fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(JSONText(dst, []byte(t.Fields[i].Name)), ':')
			if dst, err = JSON(dst, b, t.Fields[i].Type, b.At(row, i)); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	}
	for i := 0; i < row.Len(); i += 2 {
		if i > 0 {
			dst = append(dst, ',')
		}
		if key := b.At(row, i); key.Kind() == change.Text {
			dst = JSONText(dst, b.Bytes(key))
		} else {
			dst = append(dst, '"')
			if dst, err = JSON(dst, b, t.Key, key); err != nil {
				return nil, err
			}
			dst = append(dst, '"')
		}
		dst = append(dst, ':')
		if dst, err = JSON(dst, b, t.Elem, b.At(row, i+1)); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// JSONText appends a text quoted as JSON. Bytes that are no UTF-8 become U+FFFD.
func JSONText(dst, s []byte) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
		s = s[n:]
	}
	return append(dst, '"')
}

// Float appends a float of so many bits in the shortest form that gives the same value; NaN, Infinity or -Infinity.
func Float(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, bits)
}
