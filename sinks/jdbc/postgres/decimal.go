// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"

	"github.com/jackc/pgx/v5/pgtype"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks/jdbc/dialect"
	"freshet/sinks/jdbc/render"
)

// columnScale is the number of decimals that a column keeps.
func columnScale(c *dialect.Column) int {
	if c.Base != pgtype.NumericOID || c.Modifier < 4 {
		return render.Unlimited
	}
	scale := int(c.Modifier-4) & 0x7ff
	return (scale ^ 0x400) - 0x400 // 11 bits, signed
}

func decimalEncoder(t *schema.Type, c *dialect.Column) dialect.Encode {
	scale, keeps := render.IntParam(t, "scale"), columnScale(c)
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		return appendDecimal(dst, b.Bytes(v), scale, keeps, c)
	}
}

func variableDecimalEncoder(t *schema.Type, c *dialect.Column) (dialect.Encode, error) {
	scale, value := t.FieldIndex("scale"), t.FieldIndex("value")
	if scale < 0 || value < 0 {
		return nil, fmt.Errorf("column %q: schema %s has no fields scale and value", c.Name, t.Name)
	}
	keeps := columnScale(c)
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		row := b.RowOf(v)
		return appendDecimal(dst, b.Bytes(b.At(row, value)), int(b.At(row, scale).Int()), keeps, c)
	}, nil
}

// appendDecimal refuses a value that the column would round: no value changes on the way in.
func appendDecimal(dst, unscaled []byte, scale, keeps int, c *dialect.Column) ([]byte, error) {
	mark := len(dst)
	dst, exact := render.Decimal(dst, unscaled, scale, keeps)
	if !exact {
		return nil, fmt.Errorf("value %s has more decimals than column %q of type %s keeps", dst[mark:], c.Name, c.Type)
	}
	return dst, nil
}
