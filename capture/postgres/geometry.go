// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"strings"

	"freshet/change"
	"freshet/schema"
)

// emptyGeometry is the WKB of an empty geometry collection.
var emptyGeometry = []byte{1, 7, 0, 0, 0, 0, 0, 0, 0}

// pointWKB begins the little-endian WKB of a point.
var pointWKB = []byte{1, 1, 0, 0, 0}

// ewkbSRID flags, in the type of a geometry, that its SRID follows.
const ewkbSRID = 0x20000000

// geometricTypes are the geometric types without a form of their own. Included as unknown types they are spelt with Java's
// doubles.
var geometricTypes = map[string]bool{"line": true, "lseg": true, "box": true, "path": true, "polygon": true, "circle": true}

var (
	wkbField         = schema.Field{Name: "wkb", Type: &schema.Type{Kind: schema.Bytes}}
	optionalWKBField = schema.Field{Name: "wkb", Type: &schema.Type{Kind: schema.Bytes, Optional: true}}
	sridField        = schema.Field{Name: "srid", Type: &schema.Type{Kind: schema.Int32, Optional: true}}
)

func pointForm(typeUse) form {
	return form{
		typ: schema.Type{
			Kind: schema.Struct, Name: schema.Point, Version: 1, Doc: "Geometry (POINT)",
			Fields: []schema.Field{
				{Name: "x", Type: &schema.Type{Kind: schema.Float64}},
				{Name: "y", Type: &schema.Type{Kind: schema.Float64}},
				optionalWKBField, sridField,
			},
		},
		decode: decodePoint, fallback: []any{0.0, 0.0, appendPointWKB(nil, 0, 0), nil},
	}
}

func appendPointWKB(dst []byte, x, y float64) []byte {
	dst = append(dst, pointWKB...)
	dst = binary.LittleEndian.AppendUint64(dst, javaBits(x))
	return binary.LittleEndian.AppendUint64(dst, javaBits(y))
}

// javaBits are the bits of a float as Java writes them: its NaN is not Go's.
func javaBits(f float64) uint64 {
	if math.IsNaN(f) {
		return 0x7ff8 << 48
	}
	return math.Float64bits(f)
}

func decodePoint(b *change.Batch, text []byte) (change.Value, error) {
	list, ok := openList(text, '(', ')')
	x := list.float(64, &ok)
	y := list.float(64, &ok)
	if !ok || !list.done() {
		return change.Value{}, badValue("point", text, "it is not a point")
	}
	mark := len(b.Arena)
	b.Arena = appendPointWKB(b.Arena, x, y)
	row := b.NewRow(4) // srid stays null
	b.Set(row, 0, change.FloatValue(x))
	b.Set(row, 1, change.FloatValue(y))
	b.Set(row, 2, b.BytesFrom(mark))
	return b.Run(change.Struct, row), nil
}

// geometryForm is PostGIS geometry. Its schema is optional in NOT NULL columns, too.
func geometryForm(typeUse) form {
	extensions := &schema.Type{Kind: schema.Map, Optional: true, Key: &schema.Type{Kind: schema.String}, Elem: &schema.Type{Kind: schema.String}}
	return form{
		typ: schema.Type{
			Kind: schema.Struct, Name: schema.Geometry, Version: 2, Doc: "Geometry",
			Fields: []schema.Field{wkbField, sridField, {Name: "extensions", Type: extensions}},
		},
		decode: geometryDecoder(3), fallback: []any{emptyGeometry, nil, nil}, nullable: true,
	}
}

func geographyForm(typeUse) form {
	return form{
		typ: schema.Type{
			Kind: schema.Struct, Name: schema.Geography, Version: 1, Doc: "Geography",
			Fields: []schema.Field{wkbField, sridField},
		},
		decode: geometryDecoder(2), fallback: []any{emptyGeometry, nil},
	}
}

// geometryDecoder keeps the EWKB as it is, in the first of so many fields, and reads the SRID, if there is one, into the
// second.
func geometryDecoder(fields int) decodeFunc {
	return func(b *change.Batch, text []byte) (change.Value, error) {
		mark := len(b.Arena)
		var err error
		if b.Arena, err = hex.AppendDecode(b.Arena, text); err != nil {
			return change.Value{}, badValue("geometry", text, "it is not EWKB in hex form")
		}
		wkb := b.Arena[mark:]
		if len(wkb) < 5 {
			return change.Value{}, badValue("geometry", text, "it is shorter than the head of an EWKB")
		}
		var order binary.ByteOrder = binary.LittleEndian
		if wkb[0] == 0 {
			order = binary.BigEndian
		}
		row := b.NewRow(fields)
		b.Set(row, 0, b.BytesFrom(mark))
		if order.Uint32(wkb[1:])&ewkbSRID != 0 && len(wkb) >= 9 {
			b.Set(row, 1, change.IntValue(int64(int32(order.Uint32(wkb[5:])))))
		}
		return b.Run(change.Struct, row), nil
	}
}

// vectorForm is pgvector's vector and halfvec: a list of floats.
func vectorForm(name string, kind schema.Kind, bits int) builder {
	return func(typeUse) form {
		decode := func(b *change.Batch, text []byte) (change.Value, error) {
			list, ok := openList(text, '[', ']')
			row := b.NewRow(list.count())
			for i := range row.Len() {
				b.Set(row, i, change.FloatValue(list.float(bits, &ok)))
			}
			if !ok {
				return change.Value{}, badValue("vector", text, "it is not a vector")
			}
			return b.Run(change.Array, row), nil
		}
		typ := schema.Type{Kind: schema.Array, Name: name, Version: 1, Elem: &schema.Type{Kind: kind}}
		return form{typ: typ, decode: decode, fallback: []any{}}
	}
}

// sparseVectorForm is pgvector's sparsevec.
func sparseVectorForm(typeUse) form {
	vector := &schema.Type{Kind: schema.Map, Key: &schema.Type{Kind: schema.Int16}, Elem: &schema.Type{Kind: schema.Float64}}
	return form{
		typ: schema.Type{
			Kind: schema.Struct, Name: schema.SparseDoubleVector, Version: 1, Doc: "Sparse double vector",
			Fields: []schema.Field{{Name: "dimensions", Type: &schema.Type{Kind: schema.Int16}}, {Name: "vector", Type: vector}},
		},
		decode: decodeSparseVector, fallback: []any{int64(0), []any{}},
	}
}

// decodeSparseVector decodes {index:value,...}/dimensions.
func decodeSparseVector(b *change.Batch, text []byte) (change.Value, error) {
	end := len(text)
	for end > 0 && text[end-1] != '/' {
		end--
	}
	dimensions, ok := parseInt(text[end:])
	list, opened := openList(text[:max(end-1, 0)], '{', '}')
	ok = ok && opened && dimensions >= 0 && dimensions <= math.MaxInt16
	entries := b.NewRow(2 * list.count())
	for i := 0; i < entries.Len(); i += 2 {
		index, value := list.entry(&ok)
		ok = ok && index <= math.MaxInt16
		b.Set(entries, i, change.IntValue(index))
		b.Set(entries, i+1, change.FloatValue(value))
	}
	if !ok {
		return change.Value{}, badValue("sparsevec", text, "it is not a sparse vector of at most 32767 dimensions")
	}
	row := b.NewRow(2)
	b.Set(row, 0, change.IntValue(dimensions))
	b.Set(row, 1, b.Run(change.Map, entries))
	return b.Run(change.Struct, row), nil
}

// list is a comma-separated list.
type list struct{ rest []byte }

func openList(text []byte, opening, closing byte) (list, bool) {
	if len(text) < 2 || text[0] != opening || text[len(text)-1] != closing {
		return list{}, false
	}
	return list{text[1 : len(text)-1]}, true
}

func (l *list) done() bool { return len(l.rest) == 0 }

func (l *list) count() int {
	if l.done() {
		return 0
	}
	n := 1
	for _, c := range l.rest {
		if c == ',' {
			n++
		}
	}
	return n
}

// item eats the next item and the comma after it.
func (l *list) item() []byte {
	for i, c := range l.rest {
		if c == ',' {
			text := l.rest[:i]
			l.rest = l.rest[i+1:]
			return text
		}
	}
	text := l.rest
	l.rest = nil
	return text
}

// float eats a number; ok becomes false where there is none.
func (l *list) float(bits int, ok *bool) float64 {
	v, parsed := parseFloat(l.item(), bits)
	*ok = *ok && parsed
	return v
}

// entry eats index:value.
func (l *list) entry(ok *bool) (int64, float64) {
	text := l.item()
	for i, c := range text {
		if c == ':' {
			index, isInt := parseInt(text[:i])
			value, isFloat := parseFloat(text[i+1:], 64)
			*ok = *ok && isInt && isFloat
			return index, value
		}
	}
	*ok = false
	return 0, 0
}

// appendGeometric rewrites the numbers of a geometric value as Java writes doubles.
func appendGeometric(dst, text []byte) []byte {
	for len(text) > 0 {
		if strings.IndexByte("()[]{}<>,", text[0]) >= 0 {
			dst, text = append(dst, text[0]), text[1:]
			continue
		}
		n := 1
		for n < len(text) && strings.IndexByte("()[]{}<>,", text[n]) < 0 {
			n++
		}
		if v, ok := parseFloat(text[:n], 64); ok {
			dst = appendJavaDouble(dst, v)
		} else {
			dst = append(dst, text[:n]...)
		}
		text = text[n:]
	}
	return dst
}

// appendJavaDouble writes a double as Java does: at least one digit after the point, an exponent outside of 0.001 to 10^7.
func appendJavaDouble(dst []byte, v float64) []byte {
	size := math.Abs(v)
	switch {
	case math.IsInf(v, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(v, -1):
		return append(dst, "-Infinity"...)
	case math.IsNaN(v):
		return append(dst, "NaN"...)
	case size == 0 || size >= 1e-3 && size < 1e7:
		start := len(dst)
		dst = strconv.AppendFloat(dst, v, 'f', -1, 64)
		if !strings.Contains(string(dst[start:]), ".") {
			dst = append(dst, ".0"...)
		}
		return dst
	}
	digits := strconv.FormatFloat(v, 'e', -1, 64)
	mantissa, exponent, _ := strings.Cut(digits, "e")
	dst = append(dst, mantissa...)
	if !strings.Contains(mantissa, ".") {
		dst = append(dst, ".0"...)
	}
	exponent = strings.TrimPrefix(exponent, "+")
	sign := strings.HasPrefix(exponent, "-")
	dst = append(dst, 'E')
	if sign {
		dst = append(dst, '-')
	}
	return append(dst, strings.TrimLeft(strings.TrimPrefix(exponent, "-"), "0")...)
}
