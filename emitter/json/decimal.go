// SPDX-License-Identifier: Apache-2.0

package json

import (
	"math/big"
	"strconv"

	"freshet/change"
	"freshet/change/java"
)

// number is a JSON number taken apart: digits × 10^exponent. The digits alias the text, or scratch space where the text
// has a fraction.
type number struct {
	negative bool
	digits   []byte // without leading zeros; empty for zero
	exponent int    // within ±2·maxExponent
}

// parseDecimal takes a number apart, using and returning scratch. The text has passed the scanner.
func parseDecimal(scratch, text []byte) (number, []byte) {
	var d number
	if text[0] == '-' || text[0] == '+' {
		d.negative = text[0] == '-'
		text = text[1:]
	}
	end := len(text)
	for i, c := range text {
		if c|0x20 == 'e' {
			exponent, err := strconv.Atoi(asString(text[i+1:]))
			if err != nil || exponent > maxExponent || exponent < -maxExponent {
				exponent = 2 * maxExponent
				if text[i+1] == '-' {
					exponent = -exponent
				}
			}
			d.exponent, end = exponent, i
			break
		}
	}
	d.digits = text[:end]
	for i, c := range d.digits {
		if c == '.' {
			d.exponent -= end - i - 1
			scratch = append(append(scratch[:0], text[:i]...), text[i+1:end]...)
			d.digits = scratch
			break
		}
	}
	for len(d.digits) > 0 && d.digits[0] == '0' {
		d.digits = d.digits[1:]
	}
	return d, scratch
}

// decimal reads a Decimal: its bytes as base64, or a number, which is brought to the scale of the schema. A number with
// more digits than the scale has is refused: cutting them off would change it.
func (r *reader) decimal(pl *plan, c byte) (change.Value, error) {
	if c == '"' {
		v, err := r.base64("Invalid bytes for Decimal field")
		if err == nil && len(r.b.Bytes(v)) == 0 {
			err = refuse("Invalid bytes for Decimal field")
		}
		return v, err
	}
	if c != '-' && c-'0' > 9 {
		return change.Value{}, r.wrongKind("Invalid type for Decimal, underlying representation should be numeric or bytes but was ", c)
	}
	text, _, _, err := r.number()
	if err == nil {
		err = pl.scaleErr
	}
	if err != nil {
		return change.Value{}, err
	}
	d, scratch := parseDecimal(r.scratch, text)
	r.scratch = scratch
	mark := len(r.b.Arena)
	out, ok := appendUnscaled(r.b.Arena, d, pl.scale)
	if !ok {
		return change.Value{}, refuse("Invalid number for Decimal field of scale " + strconv.Itoa(pl.scale) + ": " + string(text[:min(len(text), 64)]))
	}
	r.b.Arena = out
	return r.b.BytesFrom(mark), nil
}

// appendUnscaled appends the bytes of d × 10^scale, if that is an integer of a sensible size.
func appendUnscaled(dst []byte, d number, scale int) ([]byte, bool) {
	if len(d.digits) == 0 {
		return append(dst, 0), true
	}
	zeros := d.exponent + scale
	for zeros < 0 && d.digits[len(d.digits)-1] == '0' {
		d.digits = d.digits[:len(d.digits)-1]
		zeros++
	}
	const maxZeros = 10_000 // so that a few bytes do not ask for many
	if zeros < 0 || zeros > maxZeros {
		return dst, false
	}
	if len(d.digits)+zeros <= 18 {
		var u int64
		for _, c := range d.digits {
			u = u*10 + int64(c-'0')
		}
		for range zeros {
			u *= 10
		}
		if d.negative {
			u = -u
		}
		return java.AppendTwos(dst, u), true
	}
	x, ok := new(big.Int).SetString(string(d.digits), 10)
	if !ok {
		return dst, false
	}
	x.Mul(x, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(zeros)), nil))
	if d.negative {
		x.Neg(x)
	}
	return java.AppendBigTwos(dst, x), true
}
