// SPDX-License-Identifier: Apache-2.0

package render

import (
	"math/big"
	"strconv"
)

// Unlimited is the scale of a column that rounds nothing.
const Unlimited = 1 << 20

// Decimal appends unscaled·10^-scale, where unscaled is big-endian two's complement. exact says that a column which keeps
// so many decimals does not round the value.
func Decimal(dst, unscaled []byte, scale, keeps int) (out []byte, exact bool) {
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
	exact = scale <= keeps || zeroTail(dst[digits:], scale-keeps)
	return append(dst[:mark], placePoint(dst[mark:], digits-mark, scale)...), exact
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
