// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"freshet/change"
	"freshet/schema"
)

// numericHeaderBytes is what a numeric's type modifier is offset by (VARHDRSZ).
const numericHeaderBytes = 4

// variableScaleDecimal is the struct of numerics without a declared scale.
var variableScaleDecimal = schema.Type{
	Kind: schema.Struct, Name: schema.VariableScaleDecimal, Version: 1, Doc: "Variable scaled decimal",
	Fields: []schema.Field{{Name: "scale", Type: &schema.Type{Kind: schema.Int32}}, {Name: "value", Type: &schema.Type{Kind: schema.Bytes}}},
}

// numericForm is the form of numeric by decimal.handling.mode. A negative scale is read as eleven unsigned bits, as
// consumers know it: numeric(4,-2) has scale 2046.
func numericForm(u typeUse) form {
	precision, scale := -1, -1
	if u.typmod >= numericHeaderBytes {
		m := u.typmod - numericHeaderBytes
		precision, scale = int(m>>16), int(m&0x7ff)
	}
	f := decimalForm(u, scale)
	if u.o.Decimal == "precise" && scale >= 0 {
		f.typ.Params = append(f.typ.Params, schema.Param{Name: "connect.decimal.precision", Value: strconv.Itoa(precision)})
	}
	return f
}

// decimalForm is the form of exact numbers; scale is -1 where the type declares none.
func decimalForm(u typeUse, scale int) form {
	switch {
	case u.o.Decimal == "double":
		return form{typ: schema.Type{Kind: schema.Float64}, decode: doubleDecoder(u.saturated), fallback: 0.0, zero: "0", defaulted: true}
	case u.o.Decimal == "string":
		decode := func(b *change.Batch, text []byte) (change.Value, error) { return decodePlain(b, text, scale) }
		return form{typ: schema.Type{Kind: schema.String}, decode: decode, fallback: zeroText(scale), unavailable: placeholderText(u.o), zero: "0", defaulted: true}
	case scale < 0:
		return form{typ: variableScaleDecimal, decode: decodeVariableScale, fallback: []any{int64(0), []byte{0}}}
	}
	typ := schema.Type{Kind: schema.Bytes, Name: schema.Decimal, Version: 1, Params: []schema.Param{{Name: "scale", Value: strconv.Itoa(scale)}}}
	decode := func(b *change.Batch, text []byte) (change.Value, error) {
		d, err := exactDecimal(text)
		if err != nil {
			return change.Value{}, err
		}
		mark := len(b.Arena)
		b.Arena = d.appendUnscaled(b.Arena, scale)
		return b.BytesFrom(mark), nil
	}
	return form{typ: typ, decode: decode, fallback: []byte{0}, zero: "0", defaulted: true}
}

// zeroText is zero in plain notation.
func zeroText(scale int) string {
	if scale <= 0 {
		return "0"
	}
	return "0." + strings.Repeat("0", scale)
}

// doubleDecoder counts the numbers that are too great for a double, which become infinite.
func doubleDecoder(saturated *atomic.Int64) decodeFunc {
	return func(_ *change.Batch, text []byte) (change.Value, error) {
		v, ok := parseFloat(text, 64)
		switch {
		case math.IsInf(v, 0) && text[len(text)-1] != 'y': // not Infinity itself
			saturated.Add(1)
		case !ok:
			return change.Value{}, badValue("numeric", text, "it is not a number")
		}
		return change.FloatValue(v), nil
	}
}

// decodePlain is decimal.handling.mode=string: plain notation with as many digits as the scale says.
func decodePlain(b *change.Batch, text []byte, scale int) (change.Value, error) {
	switch string(text) {
	case "NaN":
		return b.Text("NAN"), nil
	case "Infinity":
		return b.Text("POSITIVE_INFINITY"), nil
	case "-Infinity":
		return b.Text("NEGATIVE_INFINITY"), nil
	}
	d, ok := parseDecimal(text)
	switch {
	case !ok:
		return change.Value{}, badValue("numeric", text, "it is not a number")
	case scale < 0 || len(d.frac) == scale:
		return b.TextOf(text), nil
	case len(d.frac) > scale: // literals of defaults; the server has rounded all else
		r, ok := new(big.Rat).SetString(string(text))
		if !ok {
			return change.Value{}, badValue("numeric", text, "it is not a number")
		}
		return b.Text(r.FloatString(scale)), nil
	}
	mark := len(b.Arena)
	b.Arena = append(b.Arena, bytes.TrimSuffix(text, []byte{'.'})...)
	if len(d.frac) == 0 {
		b.Arena = append(b.Arena, '.')
	}
	b.Arena = appendZeros(b.Arena, scale-len(d.frac))
	return b.TextFrom(mark), nil
}

func appendZeros(dst []byte, n int) []byte {
	for range n {
		dst = append(dst, '0')
	}
	return dst
}

// decodeVariableScale keeps the value's own scale without trailing zeros. Unlike BigDecimal's it is never negative: 1000 is
// 1000 at scale 0.
func decodeVariableScale(b *change.Batch, text []byte) (change.Value, error) {
	d, err := exactDecimal(text)
	if err != nil {
		return change.Value{}, err
	}
	d.frac = bytes.TrimRight(d.frac, "0")
	mark := len(b.Arena)
	b.Arena = d.appendUnscaled(b.Arena, len(d.frac))
	row := b.NewRow(2)
	b.Set(row, 0, change.IntValue(int64(len(d.frac))))
	b.Set(row, 1, b.BytesFrom(mark))
	return b.Run(change.Struct, row), nil
}

// decimal is a number in digits; its slices are of the text it was parsed from.
type decimal struct {
	neg         bool
	whole, frac []byte
}

// parseDecimal parses plain notation, the only one that the server writes.
func parseDecimal(text []byte) (d decimal, ok bool) {
	if len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		d.neg = text[0] == '-'
		text = text[1:]
	}
	d.whole = text
	if before, after, ok0 := bytes.Cut(text, []byte{'.'}); ok0 {
		d.whole, d.frac = before, after
	}
	return d, len(d.whole)+len(d.frac) > 0 && isDigits(d.whole) && isDigits(d.frac)
}

func isDigits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// exactDecimal is parseDecimal for the modes that have no place for NaN and the infinities.
func exactDecimal(text []byte) (decimal, error) {
	d, ok := parseDecimal(text)
	if ok {
		return d, nil
	}
	switch string(text) {
	case "NaN", "Infinity", "-Infinity":
		return d, badValue("numeric", text, "decimal.handling.mode precise cannot hold it, double and string can")
	}
	return d, badValue("numeric", text, "it is not a number")
}

// maxSmallDigits is how many decimal digits surely fit the four words of a magnitude.
const maxSmallDigits = 76

// appendUnscaled appends the unscaled value at a scale, rounded half up, as java.math.BigInteger has it: big-endian two's
// complement in as few bytes as possible. Numbers of up to maxSmallDigits digits need no memory.
func (d decimal) appendUnscaled(dst []byte, scale int) []byte {
	frac, up := d.frac, false
	if len(frac) > scale {
		frac, up = frac[:scale], frac[scale] >= '5'
	}
	zeros := scale - len(frac)
	start := len(dst)
	dst = append(dst, 0) // room for the sign
	if len(d.whole)+len(frac)+zeros > maxSmallDigits {
		dst = append(dst, bigMagnitude(d.whole, frac, zeros, up)...)
		return finishInteger(dst, start, d.neg)
	}
	m := magnitude{power: 1}
	m.digits(d.whole)
	m.digits(frac)
	for range zeros {
		m.digit(0)
	}
	m.flush()
	if up {
		m.chunk = 1
		m.flush()
	}
	for i := m.used - 1; i >= 0; i-- {
		dst = binary.BigEndian.AppendUint64(dst, m.words[i])
	}
	return finishInteger(dst, start, d.neg)
}

// bigMagnitude is the slow way, for long numbers only.
func bigMagnitude(whole, frac []byte, zeros int, up bool) []byte {
	digits := make([]byte, 0, len(whole)+len(frac)+zeros)
	digits = appendZeros(append(append(digits, whole...), frac...), zeros)
	var n big.Int
	n.SetString(string(digits), 10) // digits only: cannot go wrong
	if up {
		n.Add(&n, big.NewInt(1))
	}
	return n.Bytes()
}

// finishInteger turns the magnitude in dst[start:], which begins with a zero byte, into two's complement.
func finishInteger(dst []byte, start int, neg bool) []byte {
	p := dst[start:]
	if neg {
		carry := true
		for i := len(p) - 1; i >= 0; i-- {
			p[i] = ^p[i]
			if carry {
				p[i]++
				carry = p[i] == 0
			}
		}
	}
	for len(p) > 1 && (p[0] == 0 && p[1] < 0x80 || p[0] == 0xff && p[1] >= 0x80) {
		p = p[1:]
	}
	return dst[:start+copy(dst[start:], p)]
}

// magnitude collects decimal digits into a binary number of up to 256 bits, nineteen digits at a time.
type magnitude struct {
	words [4]uint64 // least first
	used  int
	chunk uint64 // digits not yet in words
	power uint64 // 10 to their number
}

func (m *magnitude) digits(text []byte) {
	for _, c := range text {
		m.digit(c - '0')
	}
}

func (m *magnitude) digit(d byte) {
	m.chunk = m.chunk*10 + uint64(d)
	m.power *= 10
	if m.power == 1e19 {
		m.flush()
	}
}

// flush makes words = words*power + chunk.
func (m *magnitude) flush() {
	carry := m.chunk
	for i := range m.used {
		hi, lo := bits.Mul64(m.words[i], m.power)
		sum, c := bits.Add64(lo, carry, 0)
		m.words[i], carry = sum, hi+c
	}
	if carry > 0 {
		m.words[m.used] = carry
		m.used++
	}
	m.chunk, m.power = 0, 1
}

// moneyForm is money: a number of money.fraction.digits decimals, or the text with the digits it has.
func moneyForm(u typeUse) form {
	f := decimalForm(u, u.o.MoneyDigits)
	f.defaulted = false
	asText, number := u.o.Decimal == "string", f.decode
	f.decode = func(b *change.Batch, text []byte) (change.Value, error) {
		mark := len(b.Arena)
		var ok bool
		b.Arena, ok = appendMoney(b.Arena, text)
		plain := b.Arena[mark:]
		if _, isNumber := parseDecimal(plain); !ok || !isNumber {
			return change.Value{}, badValue("money", text, "lc_monetary of the session must write it as $1,234.56")
		}
		if asText {
			return b.TextFrom(mark), nil
		}
		return number(b, plain)
	}
	return f
}

// appendMoney appends money as a plain number: a minus sign or parentheses mean negative, one currency sign and the
// commas go. It is false where a comma separates no thousands: in a locale that has decimal commas the number would be
// another one.
func appendMoney(dst, text []byte) ([]byte, bool) {
	neg := false
	if n := len(text); n > 1 && text[0] == '(' && text[n-1] == ')' {
		neg, text = true, text[1:n-1]
	}
	if len(text) > 0 && text[0] == '-' {
		neg, text = true, text[1:]
	}
	if neg {
		dst = append(dst, '-')
	}
	if len(text) > 0 && text[0] != '.' && (text[0] < '0' || text[0] > '9') {
		_, n := utf8.DecodeRune(text)
		text = text[n:]
	}
	whole, _, _ := bytes.Cut(text, []byte{'.'})
	if comma := bytes.LastIndexByte(text, ','); comma >= 0 && comma+4 != len(whole) {
		return dst, false
	}
	for _, c := range text {
		if c != ',' {
			dst = append(dst, c)
		}
	}
	return dst, true
}
