// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestUnscaledAgreesWithBigInt checks numbers around every border of the fast path: words, digits, signs and rounding.
func TestUnscaledAgreesWithBigInt(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for digits := 1; digits <= 160; digits++ {
		for range 20 {
			text := randomDigits(random, digits)
			if dot := random.IntN(digits + 1); dot < digits {
				text = text[:dot] + "." + text[dot:]
			}
			if random.IntN(2) == 0 {
				text = "-" + text
			}
			requireUnscaled(t, text, random.IntN(digits+3))
		}
	}
	for _, bits := range []uint{7, 8, 15, 16, 63, 64, 127, 128, 192, 252, 255, 256} {
		power := new(big.Int).Lsh(big.NewInt(1), bits)
		for _, d := range []int64{-1, 0, 1} {
			n := new(big.Int).Add(power, big.NewInt(d))
			requireUnscaled(t, n.String(), 0)
			requireUnscaled(t, "-"+n.String(), 0)
		}
	}
	requireUnscaled(t, strings.Repeat("9", maxSmallDigits)+".5", 0)
	requireUnscaled(t, strings.Repeat("9", maxSmallDigits+1)+".5", 0)
}

func randomDigits(random *rand.Rand, n int) string {
	text := make([]byte, n)
	nines := random.IntN(3) == 0
	for i := range text {
		text[i] = byte('0' + random.IntN(10))
		if nines {
			text[i] = '9'
		}
	}
	return string(text)
}

func requireUnscaled(t *testing.T, text string, scale int) {
	t.Helper()
	d, ok := parseDecimal([]byte(text))
	require.True(t, ok, text)
	prefix := []byte("kept")
	got := d.appendUnscaled(prefix, scale)
	require.Equal(t, "kept", string(got[:4]))
	got = got[4:]

	rat, ok := new(big.Rat).SetString(strings.Replace(text, "-.", "-0.", 1))
	require.True(t, ok, text)
	want, ok := new(big.Int).SetString(strings.Replace(rat.FloatString(scale), ".", "", 1), 10)
	require.True(t, ok, text)
	require.Equal(t, want.String(), fromTwosComplement(got).String(), "%s at scale %d", text, scale)
	if len(got) > 1 { // BigInteger.toByteArray has no byte too many
		require.False(t, got[0] == 0 && got[1] < 0x80 || got[0] == 0xff && got[1] >= 0x80, "%x", got)
	}
}

func fromTwosComplement(p []byte) *big.Int {
	n := new(big.Int).SetBytes(p)
	if p[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(p))))
	}
	return n
}

func TestMoneyText(t *testing.T) {
	for text, want := range map[string]string{
		"$1,234,567.89": "1234567.89", "-$1.00": "-1.00", "($1.00)": "-1.00", "€2.50": "2.50", "3": "3", "₹12,34,567.89": "1234567.89",
		"": "", "$": "", "(": "",
	} {
		got, ok := appendMoney(nil, []byte(text))
		require.True(t, ok, text)
		require.Equal(t, want, string(got), text)
	}
	for _, text := range []string{"€12,34", "€1.234,56", "1,2345", "$1,23.4"} {
		_, ok := appendMoney(nil, []byte(text))
		require.False(t, ok, text)
	}
}

func TestNegativeScale(t *testing.T) {
	// The reference reads numeric(4,-2) as scale 2046, and consumers rely on the number being right at that scale.
	c := mustCodec(t, ColumnInfo{TypeOID: 1700, Typmod: numericTypmod(4, -2)}, defaultOptions())
	scale, _ := c.Type.Param("scale")
	require.Equal(t, "2046", scale)
	requireUnscaled(t, "123500", 2046)
}
