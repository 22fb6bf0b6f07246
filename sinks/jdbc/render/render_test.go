// SPDX-License-Identifier: Apache-2.0

package render_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/sinks/jdbc/render"
)

// Days and clocks are compared with package time over five thousand years.
func TestTemporalText(t *testing.T) {
	for day := int64(-1000000); day < 1500000; day += 173 {
		at := time.Unix(day*86400, 0).UTC()
		text, bc := render.Day(nil, day)
		year := at.Year()
		if bc {
			year = 1 - year
		}
		require.Equal(t, at.Year() <= 0, bc)
		require.Equal(t, at.Format("-01-02"), string(text[len(text)-6:]))
		require.Equal(t, string(render.Padded(nil, int64(year), 4)), string(text[:len(text)-6]))
	}
	require.Equal(t, "-2562047788:00:54.775808", string(render.Clock(nil, -9223372036854775808)))
	for _, c := range []struct{ n, div, want int64 }{{-1, 1000, 0}, {-501, 1000, -1}, {-500, 1000, 0}, {499, 1000, 0}, {500, 1000, 1}, {7, 1, 7}} {
		require.Equal(t, c.want, render.RoundDiv(c.n, c.div), "%d/%d", c.n, c.div)
	}
}

func TestDecimals(t *testing.T) {
	for _, c := range []struct {
		unscaled     []byte
		scale, keeps int
		want         string
		exact        bool
	}{
		{nil, 0, 0, "0", true},
		{[]byte{0x30, 0x39}, 2, 2, "123.45", true},
		{[]byte{0x30, 0x39}, 2, 1, "123.45", false},
		{[]byte{0x30, 0x34}, 2, 1, "123.40", true},
		{[]byte{0xff}, 3, render.Unlimited, "-0.001", true},
		{[]byte{0x05}, -2, 0, "500", true},
		{[]byte{0x00}, -2, 0, "0", true},
		{[]byte{0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 1, 1, "236118324143482260684.7", true},
		{[]byte{0x80, 0, 0, 0, 0, 0, 0, 0, 0}, 0, 0, "-2361183241434822606848", true},
	} {
		got, exact := render.Decimal([]byte("x"), c.unscaled, c.scale, c.keeps)
		require.Equal(t, "x"+c.want, string(got))
		require.Equal(t, c.exact, exact, c.want)
	}
}
