// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"bytes"
	"fmt"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks/jdbc/dialect"
	"freshet/sinks/jdbc/render"
)

// keeps is the number of decimals that a column keeps.
func keeps(c *dialect.Column) int {
	switch c.Class {
	case classInt, classBit:
		return 0
	case classDecimal:
		return int(c.Modifier)
	}
	return render.Unlimited
}

func decimalEncoder(t *schema.Type, c *dialect.Column) dialect.Encode {
	scale := render.IntParam(t, "scale")
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		return appendDecimal(dst, b.Bytes(v), scale, c)
	}
}

func variableDecimalEncoder(t *schema.Type, c *dialect.Column) (dialect.Encode, error) {
	scale, value := t.FieldIndex("scale"), t.FieldIndex("value")
	if scale < 0 || value < 0 {
		return nil, fmt.Errorf("column %q: schema %s has no fields scale and value", c.Name, t.Name)
	}
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		row := b.RowOf(v)
		return appendDecimal(dst, b.Bytes(b.At(row, value)), int(b.At(row, scale).Int()), c)
	}, nil
}

// appendDecimal appends a bare number. One of more digits than a decimal of the server has would be taken for a double: a
// text is judged by the column instead. A value that the column would round is refused: no value changes on the way in.
func appendDecimal(dst, unscaled []byte, scale int, c *dialect.Column) ([]byte, error) {
	mark := len(dst)
	dst, exact := render.Decimal(dst, unscaled, scale, keeps(c))
	if !exact {
		return nil, roundingError(c, dst[mark:])
	}
	if len(dst)-mark > maxPrecision || decimals(dst[mark:]) > maxScale || c.Class == classEnum {
		return quoteFrom(dst, mark), nil
	}
	return dst, nil
}

func roundingError(c *dialect.Column, value []byte) error {
	return fmt.Errorf("value %s has more decimals than column %q of type %s keeps", value, c.Name, c.Type)
}

// decimals is the number of digits behind the point, without zeros at the end.
func decimals(number []byte) int {
	_, fraction, _ := bytes.Cut(number, []byte{'.'})
	return len(bytes.TrimRight(fraction, "0"))
}

// isPlainNumber says whether a text is digits with at most one point, perhaps signed.
func isPlainNumber(p []byte) bool {
	p = bytes.TrimSpace(p)
	if len(p) > 0 && (p[0] == '-' || p[0] == '+') {
		p = p[1:]
	}
	points := 0
	for _, c := range p {
		if c == '.' {
			points++
		} else if c < '0' || c > '9' {
			return false
		}
	}
	return len(p) > points && points <= 1
}
