// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks/jdbc/dialect"
	"freshet/sinks/jdbc/render"
)

// Letters of Column.Class: pg_type.typtype of the base type, or 'h' for hstore, which has no fixed number.
const (
	classEnum   = 'e'
	classHstore = 'h'
)

// Encoder chooses by schema name, then by Connect type. A Column without a type number stands for the column that
// ColumnType would have made.
func (d Dialect) Encoder(t *schema.Type, c *dialect.Column) (dialect.Encode, error) {
	switch t.Name {
	case schema.Decimal:
		return decimalEncoder(t, c), nil
	case schema.VariableScaleDecimal:
		return variableDecimalEncoder(t, c)
	case schema.Bits:
		return bitsEncoder(t, c), nil
	case schema.Point, schema.Geometry, schema.Geography:
		return geometryEncoder(t, c)
	case schema.DoubleVector, schema.FloatVector:
		return vectorEncoder(t)
	case schema.SparseDoubleVector:
		return sparseVectorEncoder(t)
	case schema.JSON:
		if c.Class == classHstore || c.Base == 0 && d.semanticType(t) == "hstore" {
			return appendHstoreOfJSON, nil
		}
		return appendText, nil
	}
	if encode := d.temporalEncoder(t, c); encode != nil {
		return encode, nil
	}
	return d.kindEncoder(t, c)
}

func (d Dialect) kindEncoder(t *schema.Type, c *dialect.Column) (dialect.Encode, error) {
	switch t.Kind {
	case schema.Boolean:
		return boolEncoder(c), nil
	case schema.Int8, schema.Int16, schema.Int32, schema.Int64:
		return appendInt, nil
	case schema.Float32:
		return appendFloat32, nil
	case schema.Float64:
		return appendFloat64, nil
	case schema.String:
		if t.Name == "" && refusesText(c.Base) {
			return nil, typeMismatch(c, "character varying")
		}
		return appendText, nil
	case schema.Bytes:
		return appendBytes, nil
	case schema.Array:
		if isJSON(c) {
			return jsonEncoder(t), nil
		}
		return d.arrayEncoder(t, c)
	case schema.Map:
		if isJSON(c) {
			return jsonEncoder(t), nil
		}
		return d.mapEncoder(t)
	case schema.Struct:
		return jsonEncoder(t), nil
	}
	return nil, fmt.Errorf("column %q: no form for schema type %s", c.Name, t.Kind)
}

// typeMismatch is the refusal of a server that finds no assignment cast, in its words.
func typeMismatch(c *dialect.Column, expression string) error {
	name, _, _ := strings.Cut(c.Type, "(")
	return fmt.Errorf("column %q is of type %s but expression is of type %s", c.Name, strings.TrimSpace(name), expression)
}

// refusesText says whether a plain text cannot be assigned to a type. Types of texts, and those that a text is cast to
// by the column's type (uuid, json, enums, network addresses, ranges), take it.
func refusesText(oid uint32) bool {
	switch oid {
	case pgtype.BoolOID, pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID, pgtype.Float4OID, pgtype.Float8OID,
		pgtype.NumericOID, pgtype.DateOID, pgtype.TimeOID, pgtype.TimetzOID, pgtype.TimestampOID, pgtype.TimestamptzOID,
		pgtype.IntervalOID, pgtype.ByteaOID, pgtype.BitOID, pgtype.VarbitOID:
		return true
	}
	return false
}

func isJSON(c *dialect.Column) bool { return c.Base == pgtype.JSONOID || c.Base == pgtype.JSONBOID }

func boolEncoder(c *dialect.Column) dialect.Encode {
	yes, no := "true", "false"
	switch c.Base {
	case pgtype.BoolOID, 0:
		yes, no = "t", "f"
	case pgtype.BitOID, pgtype.VarbitOID:
		yes, no = "1", "0"
	}
	return func(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
		if v.Bool() {
			return append(dst, yes...), nil
		}
		return append(dst, no...), nil
	}
}

func appendInt(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
	return strconv.AppendInt(dst, v.Int(), 10), nil
}

func appendFloat32(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
	return render.Float(dst, v.Float(), 32), nil
}

func appendFloat64(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
	return render.Float(dst, v.Float(), 64), nil
}

func appendText(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	return append(dst, b.Bytes(v)...), nil
}

func appendBytes(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	return hex.AppendEncode(append(dst, '\\', 'x'), b.Bytes(v)), nil
}

// bitsEncoder renders little-endian bytes as binary digits, the most significant first. A source does not tell how long
// a varying bit string is, so that one gets its digits without leading zeros.
func bitsEncoder(t *schema.Type, c *dialect.Column) dialect.Encode {
	if c.Base == pgtype.ByteaOID {
		return appendBytes
	}
	length := render.IntParam(t, "length")
	varying := c.Base == pgtype.VarbitOID || length > maxSizedText
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		p := b.Bytes(v)
		n := 8 * len(p)
		for n > 1 && (varying || n > length && length > 0) && p[(n-1)/8]>>((n-1)%8)&1 == 0 {
			n--
		}
		for pad := length - n; pad > 0 && !varying; pad-- {
			dst = append(dst, '0')
		}
		for i := n - 1; i >= 0; i-- {
			dst = append(dst, '0'+p[i/8]>>(i%8)&1)
		}
		return dst, nil
	}
}

// geometryEncoder renders a point column's own form, or hexadecimal WKB with its SRID for PostGIS.
func geometryEncoder(t *schema.Type, c *dialect.Column) (dialect.Encode, error) {
	x, y := t.FieldIndex("x"), t.FieldIndex("y")
	if t.Name == schema.Point && x >= 0 && y >= 0 && (c.Base == pgtype.PointOID || c.Base == 0) {
		return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
			row := b.RowOf(v)
			dst = render.Float(append(dst, '('), b.At(row, x).Float(), 64)
			dst = render.Float(append(dst, ','), b.At(row, y).Float(), 64)
			return append(dst, ')'), nil
		}, nil
	}
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
		if srid >= 0 && !b.At(row, srid).IsNull() {
			dst = strconv.AppendInt(append(dst, "SRID="...), b.At(row, srid).Int(), 10)
			dst = append(dst, ';')
		}
		return hex.AppendEncode(dst, b.Bytes(bin)), nil
	}, nil
}
