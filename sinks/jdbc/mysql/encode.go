// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks/jdbc/dialect"
	"freshet/sinks/jdbc/render"
)

// Letters of Column.Class. A column without one stands for the column that ColumnType would have made.
const (
	classInt       = 'i'
	classDecimal   = 'd'
	classFloat     = 'f' // single precision
	classDouble    = 'F'
	classText      = 't'
	classBinary    = 'b'
	classDate      = 'D'
	classTime      = 'T'
	classDatetime  = 'S'
	classTimestamp = 'Z'
	classBit       = 'B'
	classEnum      = 'e' // and set
	classVector    = 'v'
	classOther     = '-'
)

// classes are the letters by information_schema's data_type. A Column.Modifier is the scale or the digits of a second.
var classes = map[string]byte{
	"tinyint": classInt, "smallint": classInt, "mediumint": classInt, "int": classInt, "bigint": classInt,
	"decimal": classDecimal, "float": classFloat, "double": classDouble, "bit": classBit,
	"char": classText, "varchar": classText, "tinytext": classText, "text": classText, "mediumtext": classText, "longtext": classText,
	"binary": classBinary, "varbinary": classBinary, "tinyblob": classBinary, "blob": classBinary, "mediumblob": classBinary, "longblob": classBinary,
	"date": classDate, "time": classTime, "datetime": classDatetime, "timestamp": classTimestamp,
	"enum": classEnum, "set": classEnum, "vector": classVector,
}

// Encoder chooses by schema name, then by Connect type. Its functions append whole literals.
func (d *Dialect) Encoder(t *schema.Type, c *dialect.Column) (dialect.Encode, error) {
	switch t.Name {
	case schema.Decimal:
		return decimalEncoder(t, c), nil
	case schema.VariableScaleDecimal:
		return variableDecimalEncoder(t, c)
	case schema.Bits:
		return bitsEncoder(t, c), nil
	case schema.Point, schema.Geometry, schema.Geography:
		return geometryEncoder(t, c)
	case schema.FloatVector, schema.DoubleVector:
		return d.vectorEncoder(t, c), nil
	}
	if encode := d.temporalEncoder(t, c); encode != nil {
		return encode, nil
	}
	switch t.Kind {
	case schema.Boolean:
		return appendBool, nil
	case schema.Int8, schema.Int16, schema.Int32, schema.Int64:
		return intEncoder(c), nil
	case schema.Float32:
		return floatEncoder(c, 32), nil
	case schema.Float64:
		return floatEncoder(c, 64), nil
	case schema.String:
		if t.Name == schema.Enum {
			return enumEncoder(textEncoder(c)), nil
		}
		return textEncoder(c), nil
	case schema.Bytes:
		return appendBytes, nil
	case schema.Array, schema.Map, schema.Struct:
		return jsonEncoder(t), nil
	}
	return nil, fmt.Errorf("column %q: no form for schema type %s", c.Name, t.Kind)
}

func appendBool(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
	if v.Bool() {
		return append(dst, '1'), nil
	}
	return append(dst, '0'), nil
}

func appendInt(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
	return strconv.AppendInt(dst, v.Int(), 10), nil
}

// intEncoder renders bare numbers. A bare number is the index of an enum's value, so those get a text.
func intEncoder(c *dialect.Column) dialect.Encode {
	switch c.Class {
	case classEnum:
		return func(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
			return append(strconv.AppendInt(append(dst, '\''), v.Int(), 10), '\''), nil
		}
	case classFloat, classDouble:
		return func(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
			n := v.Int()
			if f := float64(n); c.Class == classFloat && int64(float32(f)) != n || int64(f) != n {
				return nil, fmt.Errorf("column %q of type %s would round %d", c.Name, c.Type, n)
			}
			return strconv.AppendInt(dst, n, 10), nil
		}
	}
	return appendInt
}

// floatEncoder renders the shortest text that gives the same value. No type of a number has NaN or infinities, and columns
// of whole numbers and of decimals would round what they cannot hold.
func floatEncoder(c *dialect.Column, bits int) dialect.Encode {
	return func(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
		f := v.Float()
		if math.IsNaN(f) || math.IsInf(f, 0) {
			if c.Class != classText {
				return nil, fmt.Errorf("column %q of type %s has no value %s", c.Name, c.Type, render.Float(nil, f, bits))
			}
			return append(render.Float(append(dst, '\''), f, bits), '\''), nil
		}
		if c.Class != classInt && c.Class != classDecimal {
			return strconv.AppendFloat(dst, f, 'g', -1, bits), nil
		}
		mark := len(dst)
		dst = strconv.AppendFloat(dst, f, 'f', -1, bits)
		if decimals(dst[mark:]) > keeps(c) {
			return nil, roundingError(c, dst[mark:])
		}
		return dst, nil
	}
}

// textEncoder quotes. A number written as text, into a column that would round it, is refused; other texts the server judges.
func textEncoder(c *dialect.Column) dialect.Encode {
	if c.Class != classInt && c.Class != classDecimal {
		return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
			return appendQuoted(dst, b.Bytes(v)), nil
		}
	}
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		if p := b.Bytes(v); isPlainNumber(p) && decimals(p) > keeps(c) {
			return nil, roundingError(c, p)
		}
		return appendQuoted(dst, b.Bytes(v)), nil
	}
}

// enumEncoder takes the backslash away that a source puts before a comma inside of an enum's value.
func enumEncoder(text dialect.Encode) dialect.Encode {
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		if p := b.Bytes(v); bytes.Contains(p, escapedComma) {
			return appendQuoted(dst, bytes.ReplaceAll(p, escapedComma, escapedComma[1:])), nil
		}
		return text(dst, b, v)
	}
}

var escapedComma = []byte(`\,`)

func appendBytes(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	return appendHex(dst, b.Bytes(v)), nil
}

// jsonEncoder renders arrays, maps and structs as JSON.
func jsonEncoder(t *schema.Type) dialect.Encode {
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		mark := len(dst)
		dst, err := render.JSON(dst, b, t, v)
		if err != nil {
			return nil, err
		}
		return quoteFrom(dst, mark), nil
	}
}

// bitsEncoder renders little-endian bytes as binary digits, the most significant first, as they are for a column of bytes,
// or as a text of all digits.
func bitsEncoder(t *schema.Type, c *dialect.Column) dialect.Encode {
	length := render.IntParam(t, "length")
	isText := c.Class == classText || c.Class == 0 && (length <= 0 || length > maxBits)
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		p := b.Bytes(v)
		if c.Class == classBinary {
			return appendHex(dst, p), nil
		}
		if !isText {
			dst = append(dst, 'b')
		}
		dst = append(dst, '\'')
		n := 8 * len(p)
		for n > 1 && (n > length || !isText) && p[(n-1)/8]>>((n-1)%8)&1 == 0 {
			n--
		}
		for i := n - 1; i >= 0; i-- {
			dst = append(dst, '0'+p[i/8]>>(i%8)&1)
		}
		return append(dst, '\''), nil
	}
}

// sridFlag in the type of a PostGIS geometry says that an SRID of four bytes follows.
const sridFlag = 0x20000000

// geometryEncoder renders the server's own form: the SRID in four bytes, then WKB, both little-endian. The functions that
// read WKB would swap the axes of geographic systems.
func geometryEncoder(t *schema.Type, c *dialect.Column) (dialect.Encode, error) {
	wkb, srid := t.FieldIndex("wkb"), t.FieldIndex("srid")
	if wkb < 0 {
		return nil, fmt.Errorf("column %q: schema %s has no field wkb", c.Name, t.Name)
	}
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		row := b.RowOf(v)
		bin := b.At(row, wkb)
		if bin.IsNull() {
			return nil, fmt.Errorf("column %q: geometry without wkb", c.Name)
		}
		p := b.Bytes(bin)
		if len(p) < 5 || p[0] != 1 {
			return nil, fmt.Errorf("column %q: the geometry is not little-endian WKB", c.Name)
		}
		own := make([]byte, 0, len(p)+4)
		id := uint32(0)
		if srid >= 0 && !b.At(row, srid).IsNull() {
			id = uint32(b.At(row, srid).Int())
		}
		own = append(binary.LittleEndian.AppendUint32(own, id), 1)
		kind := binary.LittleEndian.Uint32(p[1:])
		rest := p[5:]
		if kind&sridFlag != 0 && len(rest) >= 4 {
			kind &^= sridFlag
			rest = rest[4:]
		}
		own = append(binary.LittleEndian.AppendUint32(own, kind), rest...)
		return appendHex(dst, own), nil
	}, nil
}

// vectorEncoder renders the list of numbers, which a vector column needs a function for.
func (d *Dialect) vectorEncoder(t *schema.Type, c *dialect.Column) dialect.Encode {
	list := jsonEncoder(t)
	return func(dst []byte, b *change.Batch, v change.Value) (out []byte, err error) {
		var call string
		switch {
		case c.Class == classVector && d.mariaDB.Load():
			call = "VEC_FromText("
		case c.Class == classVector:
			call = "STRING_TO_VECTOR("
		default:
			return list(dst, b, v)
		}
		if dst, err = list(append(dst, call...), b, v); err != nil {
			return nil, err
		}
		return append(dst, ')'), nil
	}
}
