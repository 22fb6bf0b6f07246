// SPDX-License-Identifier: Apache-2.0

package json

import (
	stdjson "encoding/json"
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change/java"
)

func TestAppendString(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", `""`},
		{"plain", "abc", `"abc"`},
		{"escape after eight bytes", "12345678\"", `"12345678\""`},
		{"escapes in turn", "\"\\\b\f\n\r\t", `"\"\\\b\f\n\r\t"`},
		{"controls", "\x00\x0b\x1f", `"\u0000\u000B\u001F"`},
		{"raw", "/<>&\x7f\u2028\uFEFFé中", "\"/<>&\x7f\u2028\uFEFFé中\""},
		{"beyond the basic plane", "a😀b", `"a\uD83D\uDE00b"`},
		{"last code point", "\U0010FFFF", `"\uDBFF\uDFFF"`},
		{"lone surrogates", "a\xED\xA0\xBDb\xED\xB8\x80", `"a\uD83Db\uDE00"`},
		{"lone continuation", "a\x80b", "\"a\uFFFDb\""},
		{"two of three bytes", "a\xE4\xB8b", "\"a\uFFFDb\""},
		{"three of four bytes", "\xF0\x9F\x98", "\"\uFFFD\""},
		{"overlong", "\xC0\xAF", "\"\uFFFD\uFFFD\""},
		{"overlong of three", "\xE0\x80\xAF", "\"\uFFFD\uFFFD\uFFFD\""},
		{"above U+10FFFF", "\xF4\x90\x80\x80", "\"\uFFFD\uFFFD\uFFFD\uFFFD\""},
		{"never valid", "\xFF\xFE", "\"\uFFFD\uFFFD\""},
		{"broken before ASCII", "\xE4a", "\"\uFFFDa\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, string(AppendString(nil, []byte(c.in))))
			for pad := range 17 { // every place in a word of eight bytes
				p := strings.Repeat("x", pad)
				require.Equal(t, `"`+p+c.want[1:len(c.want)-1]+p+`"`, string(AppendString(nil, []byte(p+c.in+p))))
			}
		})
	}
}

func TestPlain(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			p := []byte("abcdefghijklmnopqrstuvw")
			p[at] = byte(c)
			want := at
			if c >= 0x20 && c < 0x80 && c != '"' && c != '\\' {
				want = len(p)
			}
			require.Equal(t, want, plain(p), "byte %#x at %d", c, at)
		}
	}
}

func TestAppendFloat(t *testing.T) {
	for _, c := range []struct {
		f    float64
		bits int
		want string
	}{
		{0, 64, "0.0"},
		{math.Copysign(0, -1), 64, "-0.0"},
		{1, 64, "1.0"},
		{-100, 64, "-100.0"},
		{0.001, 64, "0.001"},
		{0.00099, 64, "9.9E-4"},
		{9999999, 64, "9999999.0"},
		{1e7, 64, "1.0E7"},
		{-1.5e10, 64, "-1.5E10"},
		{123456789, 64, "1.23456789E8"},
		{math.SmallestNonzeroFloat64, 64, "4.9E-324"},
		{math.MaxFloat64, 64, "1.7976931348623157E308"},
		{math.NaN(), 64, `"NaN"`},
		{math.Inf(1), 64, `"Infinity"`},
		{math.Inf(-1), 64, `"-Infinity"`},
		{float64(float32(0.1)), 32, "0.1"},
		{float64(float32(16777216)), 32, "1.6777216E7"},
		{math.SmallestNonzeroFloat32, 32, "1.4E-45"},
		{float64(float32(1e10)), 32, "1.0E10"},
	} {
		require.Equal(t, c.want, string(appendFloat(nil, c.f, c.bits)))
	}
}

func TestFloatTextsGiveTheSameNumber(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		f := math.Float64frombits(r.Uint64())
		if math.IsNaN(f) || math.IsInf(f, 0) {
			continue
		}
		got, err := strconv.ParseFloat(string(appendFloat(nil, f, 64)), 64)
		require.NoError(t, err)
		require.Equal(t, f, got)
		if g := math.Float32frombits(r.Uint32()); g == g && !math.IsInf(float64(g), 0) {
			text := string(appendFloat(nil, float64(g), 32))
			got, err := strconv.ParseFloat(text, 32)
			require.NoError(t, err)
			require.Equal(t, g, float32(got))
			require.True(t, stdjson.Valid([]byte(text)), text)
		}
	}
}

func TestAppendDecimal(t *testing.T) {
	for _, c := range []struct {
		unscaled string
		scale    int
		want     string
	}{
		{"0", 0, "0"},
		{"0", 2, "0.00"},
		{"0", 8, "0E-8"},
		{"0", -3, "0E+3"},
		{"12345", 2, "123.45"},
		{"-5", 2, "-0.05"},
		{"1", 6, "0.000001"},
		{"1", 7, "1E-7"},
		{"123", 10, "1.23E-8"},
		{"12", -3, "1.2E+4"},
		{"-9223372036854775808", 0, "-9223372036854775808"},
		{"18446744073709551616", 3, "18446744073709551.616"},
		{"-340282366920938463463374607431768211456", 0, "-340282366920938463463374607431768211456"},
	} {
		x, _ := new(big.Int).SetString(c.unscaled, 10)
		require.Equal(t, c.want, string(java.AppendDecimal(nil, java.AppendBigTwos(nil, x), c.scale)))
	}
}

func TestDecimalsOfAnyLength(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for bits := range uint(1100) { // beyond the 1024 that are done on the stack
		x := new(big.Int).Lsh(big.NewInt(1), bits)
		for _, y := range []*big.Int{x, new(big.Int).Neg(x), new(big.Int).Sub(x, big.NewInt(1)), randomBits(r, bits)} {
			p := java.AppendBigTwos(nil, y)
			require.Equal(t, y, java.BigFromTwos(p))
			require.Equal(t, y.String(), string(java.AppendDecimal(nil, p, 0)))
			if len(p) > 1 { // the shortest form
				require.False(t, p[0] == 0 && p[1]&0x80 == 0 || p[0] == 0xFF && p[1]&0x80 != 0, "%x", p)
			}
			got, ok := mustNumber(y.String()).AppendUnscaled(nil, 0)
			require.True(t, ok)
			require.Equal(t, p, got)
		}
	}
}

func mustNumber(text string) java.Number {
	d, _ := java.ParseNumber(nil, []byte(text))
	return d
}

func TestAppendUnscaled(t *testing.T) {
	for _, c := range []struct {
		text  string
		scale int
		want  string // of the unscaled value; "" refuses
	}{
		{"1.25", 2, "125"},
		{"1.250", 2, "125"},
		{"-1.2", 2, "-120"},
		{"12", 2, "1200"},
		{"1.5e3", 0, "1500"},
		{"1.555", 2, ""},
		{"120", -1, "12"},
		{"121", -1, ""},
		{"0.000", 1, "0"},
		{"-0", 1, "0"},
		{"00012.5", 1, "125"},
		{"1e10000", 0, "1" + strings.Repeat("0", 10_000)},
		{"1e10001", 0, ""},
		{"1e10001", -1, "1" + strings.Repeat("0", 10_000)},
		{"1e-99999999999999999999", 2, ""},
		{"0e99999999999999999999", 2, "0"},
		{"123456789012345678901234567890.5", 1, "1234567890123456789012345678905"},
	} {
		got, ok := mustNumber(c.text).AppendUnscaled(nil, c.scale)
		require.Equal(t, c.want != "", ok, c.text)
		if ok {
			require.Equal(t, c.want, java.BigFromTwos(got).String(), c.text)
		}
	}
}

func TestTruncate(t *testing.T) {
	for text, want := range map[string]int64{
		"1.9": 1, "-1.9": -1, "0.5": 0, "1e3": 1000, "1.25e1": 12, "9223372036854775808.0": math.MinInt64, "1e400": 0, "1e-400": 0,
		"1e19": -8446744073709551616, "5e0": 5,
	} {
		d := mustNumber(text)
		require.Equal(t, want, d.Truncate(), text)
	}
}

func randomBits(r *rand.Rand, n uint) *big.Int {
	p := make([]byte, n/8+1)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return new(big.Int).SetBytes(p)
}
