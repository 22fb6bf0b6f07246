// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"math/big"
	"strconv"

	"github.com/jackc/pgx/v5/pgtype"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks/jdbc/dialect"
)

// unlimitedScale is the scale of a column that rounds nothing.
const unlimitedScale = 1 << 20

// columnScale is the number of decimals that a column keeps.
func columnScale(c *dialect.Column) int {
	if c.Base != pgtype.NumericOID || c.Modifier < 4 {
		return unlimitedScale
	}
	scale := int(c.Modifier-4) & 0x7ff
	return (scale ^ 0x400) - 0x400 // 11 bits, signed
}

func decimalEncoder(t *schema.Type, c *dialect.Column) dialect.Encode {
	scale, keeps := intParam(t, "scale"), columnScale(c)
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

// appendDecimal appends unscaled·10^-scale, where unscaled is big-endian two's complement. A value that the column would
// round is refused: no value changes on the way in.
func appendDecimal(dst, unscaled []byte, scale, keeps int, c *dialect.Column) ([]byte, error) {
	mark := len(dst)
	if len(unscaled) <= 8 {
		dst = strconv.AppendInt(dst, smallUnscaled(unscaled), 10)
	} else {
		dst = bigUnscaled(unscaled).Append(dst, 10)
	}
	digits := mark
	if dst[mark] == '-' {
		digits++
	}
	if scale > keeps && !zeroTail(dst[digits:], scale-keeps) {
		return nil, fmt.Errorf("value %s has more decimals than column %q of type %s keeps", placePoint(dst[mark:], digits-mark, scale), c.Name, c.Type)
	}
	return append(dst[:mark], placePoint(dst[mark:], digits-mark, scale)...), nil
}

// zeroTail says whether the last n digits are zero, counting those before the first as zero.
func zeroTail(digits []byte, n int) bool {
	if n > len(digits) {
		n = len(digits)
	}
	for _, d := range digits[len(digits)-n:] {
		if d != '0' {
			return false
		}
	}
	return true
}

// placePoint puts the decimal point into an integer's text, whose digits begin at first, in place where it fits.
func placePoint(s []byte, first, scale int) []byte {
	switch {
	case scale == 0:
		return s
	case scale < 0:
		if len(s) == first+1 && s[first] == '0' {
			return s
		}
		for range -scale {
			s = append(s, '0')
		}
		return s
	}
	for missing := scale + 1 - (len(s) - first); missing > 0; missing-- {
		s = append(s, 0)
		copy(s[first+1:], s[first:])
		s[first] = '0'
	}
	at := len(s) - scale
	s = append(s, 0)
	copy(s[at+1:], s[at:])
	s[at] = '.'
	return s
}

func smallUnscaled(p []byte) int64 {
	if len(p) == 0 {
		return 0
	}
	n := int64(int8(p[0]))
	for _, c := range p[1:] {
		n = n<<8 | int64(c)
	}
	return n
}

func bigUnscaled(p []byte) *big.Int {
	n := new(big.Int).SetBytes(p)
	if p[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(p))))
	}
	return n
}
