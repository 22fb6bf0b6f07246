// SPDX-License-Identifier: Apache-2.0

package java

import (
	"bytes"
	"errors"
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"strings"
)

// smallest normal numbers; below them Java wants two digits where one would do (4.9E-324).
const (
	minNormal32 = 0x1p-126
	minNormal64 = 0x1p-1022
)

// AppendFloat appends a number as Java's Double.toString does (Float.toString for size 32), with the shortest digits that
// give the same number: 1.0, 0.001, 1.0E-4, 1.0E7, NaN, -Infinity.
func AppendFloat(dst []byte, f float64, size int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	if abs := math.Abs(f); f == 0 || abs >= 1e-3 && abs < 1e7 {
		mark := len(dst)
		dst = strconv.AppendFloat(dst, f, 'f', -1, size)
		if bytes.IndexByte(dst[mark:], '.') < 0 {
			dst = append(dst, '.', '0')
		}
		return dst
	}
	var buf [32]byte
	text := strconv.AppendFloat(buf[:0], f, 'e', -1, size)
	e := bytes.IndexByte(text, 'e')
	if bytes.IndexByte(text[:e], '.') < 0 && (math.Abs(f) < minNormal64 || size == 32 && math.Abs(f) < minNormal32) {
		text = strconv.AppendFloat(buf[:0], f, 'e', 1, size)
		e = bytes.IndexByte(text, 'e')
	}
	dst = append(dst, text[:e]...)
	if bytes.IndexByte(text[:e], '.') < 0 {
		dst = append(dst, '.', '0')
	}
	dst = append(dst, 'E')
	exp := text[e+1:]
	if exp[0] == '-' {
		dst = append(dst, '-')
	}
	for exp = exp[1:]; len(exp) > 1 && exp[0] == '0'; {
		exp = exp[1:]
	}
	return append(dst, exp...)
}

// ParseFloat reads a number as Double.parseDouble does (Float.parseFloat for size 32), in decimal: blanks around it, a letter
// for its type behind it, NaN and Infinity are taken. What is too large is infinite.
func ParseFloat(s string, size int) (float64, bool) {
	s = strings.Trim(s, "\x00\x01\x02\x03\x04\x05\x06\x07\b\t\n\v\f\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f ")
	unsigned := strings.TrimPrefix(strings.TrimPrefix(s, "+"), "-")
	if len(s)-len(unsigned) > 1 {
		return 0, false
	}
	switch unsigned {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		if s[0] == '-' {
			return math.Inf(-1), true
		}
		return math.Inf(1), true
	}
	number := strings.TrimRight(s, "fFdD")
	if len(s)-len(number) > 1 || !IsNumber("0"+strings.TrimLeft(number, "+-")) || !strings.ContainsAny(number, "0123456789") {
		return 0, false
	}
	f, err := strconv.ParseFloat(number, size)
	return f, err == nil || errors.Is(err, strconv.ErrRange)
}

// decimalLimbs is how many 64-bit words of an unscaled value are turned into digits on the stack: 308 digits. Longer
// ones go through math/big.
const decimalLimbs = 16

// AppendDecimal appends a decimal as BigDecimal.toString does. unscaled is big-endian two's complement.
func AppendDecimal(dst, unscaled []byte, scale int) []byte {
	var buf [decimalLimbs*20 + 1]byte
	digits, negative := unscaledDigits(&buf, unscaled)
	if negative {
		dst = append(dst, '-')
	}
	exponent := len(digits) - 1 - scale // of the first digit
	switch {
	case scale == 0:
		return append(dst, digits...)
	case scale > 0 && exponent >= -6:
		whole := len(digits) - scale
		if whole > 0 {
			dst = append(append(dst, digits[:whole]...), '.')
			return append(dst, digits[whole:]...)
		}
		dst = append(dst, '0', '.')
		for range -whole {
			dst = append(dst, '0')
		}
		return append(dst, digits...)
	}
	dst = append(dst, digits[0])
	if len(digits) > 1 {
		dst = append(append(dst, '.'), digits[1:]...)
	}
	if exponent != 0 {
		dst = append(dst, 'E')
		if exponent > 0 {
			dst = append(dst, '+')
		}
		dst = strconv.AppendInt(dst, int64(exponent), 10)
	}
	return dst
}

// unscaledDigits are the decimal digits of the magnitude, in buf unless it is too small.
func unscaledDigits(buf *[decimalLimbs*20 + 1]byte, unscaled []byte) (digits []byte, negative bool) {
	negative = len(unscaled) > 0 && unscaled[0]&0x80 != 0
	if len(unscaled) > decimalLimbs*8 {
		return BigFromTwos(unscaled).Append(nil, 10)[btoi(negative):], negative
	}
	var limbs [decimalLimbs]uint64 // little-endian
	for i, c := range unscaled {
		if negative {
			c = ^c
		}
		at := len(unscaled) - 1 - i
		limbs[at/8] |= uint64(c) << (at % 8 * 8)
	}
	if negative {
		addOne(&limbs)
	}
	const chunk, chunkDigits = 1e19, 19
	used := decimalLimbs
	i := len(buf)
	for {
		for used > 0 && limbs[used-1] == 0 {
			used--
		}
		if used <= 1 {
			var first [20]byte
			text := strconv.AppendUint(first[:0], limbs[0], 10)
			i -= copy(buf[i-len(text):i], text)
			return buf[i:], negative
		}
		var rest uint64
		for k := used - 1; k >= 0; k-- {
			limbs[k], rest = bits.Div64(rest, limbs[k], chunk)
		}
		for range chunkDigits {
			i--
			buf[i] = '0' + byte(rest%10)
			rest /= 10
		}
	}
}

func addOne(limbs *[decimalLimbs]uint64) {
	for i := range limbs {
		if limbs[i]++; limbs[i] != 0 {
			return
		}
	}
}

func btoi(t bool) int {
	if t {
		return 1
	}
	return 0
}

// BigFromTwos is the number of a big-endian two's complement.
func BigFromTwos(p []byte) *big.Int {
	x := new(big.Int).SetBytes(p)
	if len(p) > 0 && p[0]&0x80 != 0 {
		x.Sub(x, new(big.Int).Lsh(big.NewInt(1), uint(8*len(p))))
	}
	return x
}

// AppendTwos appends the shortest big-endian two's complement of x.
func AppendTwos(dst []byte, x int64) []byte {
	n := 8
	for n > 1 && (x>>(8*n-9) == 0 || x>>(8*n-9) == -1) {
		n--
	}
	for i := n - 1; i >= 0; i-- {
		dst = append(dst, byte(x>>(8*i)))
	}
	return dst
}

// AppendBigTwos is the same for numbers of any size.
func AppendBigTwos(dst []byte, x *big.Int) []byte {
	if x.IsInt64() {
		return AppendTwos(dst, x.Int64())
	}
	n := x.BitLen()/8 + 1
	if x.Sign() < 0 {
		y := new(big.Int).Add(x, big.NewInt(1)) // -128 needs one byte, though its magnitude has eight bits
		n = y.BitLen()/8 + 1
		x = new(big.Int).Add(x, new(big.Int).Lsh(big.NewInt(1), uint(8*n)))
	}
	mark := len(dst)
	dst = append(dst, make([]byte, n)...)
	x.FillBytes(dst[mark:])
	return dst
}
