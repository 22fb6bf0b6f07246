// SPDX-License-Identifier: Apache-2.0

package java

import (
	"math/big"
	"strconv"
)

// MaxExponent bounds scales and exponents of decimals. Larger ones are taken for twice as large.
const MaxExponent = 100_000

// Number is the text of a decimal number taken apart: digits × 10^exponent. The digits alias the text, or scratch space where the text
// has a fraction.
type Number struct {
	Negative bool
	Digits   []byte // without leading zeros; empty for zero
	Exponent int    // within ±2·MaxExponent
}

// ParseNumber takes a number apart, using and returning scratch. The text is one that IsNumber takes.
func ParseNumber(scratch, text []byte) (Number, []byte) {
	var d Number
	if text[0] == '-' || text[0] == '+' {
		d.Negative = text[0] == '-'
		text = text[1:]
	}
	end := len(text)
	for i, c := range text {
		if c|0x20 == 'e' {
			exponent, err := strconv.Atoi(string(text[i+1:]))
			if err != nil || exponent > MaxExponent || exponent < -MaxExponent {
				exponent = 2 * MaxExponent
				if text[i+1] == '-' {
					exponent = -exponent
				}
			}
			d.Exponent, end = exponent, i
			break
		}
	}
	d.Digits = text[:end]
	for i, c := range d.Digits {
		if c == '.' {
			d.Exponent -= end - i - 1
			scratch = append(append(scratch[:0], text[:i]...), text[i+1:end]...)
			d.Digits = scratch
			break
		}
	}
	for len(d.Digits) > 0 && d.Digits[0] == '0' {
		d.Digits = d.Digits[1:]
	}
	return d, scratch
}

// Truncate is the integer part of the number, modulo 2^64.
func (d *Number) Truncate() int64 {
	var u uint64
	whole := len(d.Digits) + d.Exponent // digits before the point
	for i := range min(whole, len(d.Digits)) {
		u = u*10 + uint64(d.Digits[i]-'0')
	}
	for range min(whole-len(d.Digits), 64) { // 10^64 is a multiple of 2^64
		u *= 10
	}
	if d.Negative {
		u = -u
	}
	return int64(u)
}

// AppendUnscaled appends the bytes of d × 10^scale, if that is an integer of a sensible size.
func (d Number) AppendUnscaled(dst []byte, scale int) ([]byte, bool) {
	if len(d.Digits) == 0 {
		return append(dst, 0), true
	}
	zeros := d.Exponent + scale
	for zeros < 0 && d.Digits[len(d.Digits)-1] == '0' {
		d.Digits = d.Digits[:len(d.Digits)-1]
		zeros++
	}
	const maxZeros = 10_000 // so that a few bytes do not ask for many
	if zeros < 0 || zeros > maxZeros {
		return dst, false
	}
	if len(d.Digits)+zeros <= 18 {
		var u int64
		for _, c := range d.Digits {
			u = u*10 + int64(c-'0')
		}
		for range zeros {
			u *= 10
		}
		if d.Negative {
			u = -u
		}
		return AppendTwos(dst, u), true
	}
	x, ok := new(big.Int).SetString(string(d.Digits), 10)
	if !ok {
		return dst, false
	}
	x.Mul(x, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(zeros)), nil))
	if d.Negative {
		x.Neg(x)
	}
	return AppendBigTwos(dst, x), true
}
