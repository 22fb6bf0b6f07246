// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestCalendar compares with the standard library, which has the same calendar for all years.
func TestCalendar(t *testing.T) {
	for _, days := range []int64{0, -1, 59, 60, -719468, -719469, -719162, -141432, 2145042905, -2440588, 11016, 146097, -146097} {
		requireCalendar(t, days)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		requireCalendar(t, random.Int64N(2_200_000_000)-4_000_000)
	}
	for days := int64(-800_000); days < 800_000; days += 13 {
		requireCalendar(t, days)
	}
}

func requireCalendar(t *testing.T, days int64) {
	t.Helper()
	c := dateOf(days)
	require.Equal(t, days, daysOf(c), "%v", c)
	want := time.Unix(days*secondsPerDay, 0).UTC()
	got := [3]int{int(c.year), int(c.month), int(c.day)}
	require.Equal(t, [3]int{want.Year(), int(want.Month()), want.Day()}, got, "day %d", days)
}

func TestAppendDate(t *testing.T) {
	for want, c := range map[string]calendar{
		"0000-01-01":    {0, 1, 1},
		"0007-12-31":    {7, 12, 31},
		"9999-12-31":    {9999, 12, 31},
		"+10000-01-01":  {10000, 1, 1},
		"-0001-01-01":   {-1, 1, 1},
		"-4713-11-24":   {-4713, 11, 24},
		"-290308-12-21": {-290308, 12, 21},
	} {
		require.Equal(t, want, string(appendDate(nil, c)))
	}
}

func TestAppendClock(t *testing.T) {
	for _, test := range []struct {
		seconds, micros int64
		digits          int
		want            string
	}{
		{0, 0, asNeeded, "00:00:00"},
		{3723, 500000, asNeeded, "01:02:03.5"},
		{3723, 1, asNeeded, "01:02:03.000001"},
		{86399, 123000, asNeeded, "23:59:59.123"},
		{3723, 500000, 6, "01:02:03.500000"},
		{3723, 500000, 3, "01:02:03.500"},
		{3723, 0, 1, "01:02:03.0"},
		{3723, 500000, 0, "01:02:03"},
	} {
		require.Equal(t, test.want, string(appendClock(nil, test.seconds, test.micros, test.digits)))
	}
}

func TestInstantRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		want := instant{seconds: random.Int64N(9_224_318_016_000) - 210_000_000_000, micros: random.Int64N(microsPerSecond)}
		if dateOf(floorDiv(want.seconds, secondsPerDay)).year <= 0 || dateOf(floorDiv(want.seconds, secondsPerDay)).year > 9999 {
			continue // written with a sign, which the server does not
		}
		text := appendInstant(nil, want, 6)
		text[10] = ' '
		got, ok := parseInstant(text[:len(text)-1], false)
		require.True(t, ok, "%s", text)
		require.Equal(t, want, got, "%s", text)
	}
}

func TestMulAddStopsAtTheEnds(t *testing.T) {
	edges := []int64{0, 1, -1, 999_999, math.MaxInt64 / microsPerSecond, math.MinInt64 / microsPerSecond, math.MaxInt64, math.MinInt64, math.MaxInt64 - 1}
	for _, a := range edges {
		for _, b := range []int64{1, 1000, microsPerSecond} {
			for _, c := range edges {
				sum := new(big.Int).Mul(big.NewInt(a), big.NewInt(b))
				saturated := !sum.IsInt64()
				sum.Add(sum, big.NewInt(c))
				got, exact := mulAdd(a, b, c)
				require.Equal(t, !saturated && sum.IsInt64(), exact, "%d*%d+%d", a, b, c)
				switch {
				case exact:
					require.Equal(t, sum.Int64(), got)
				case saturated:
					require.Equal(t, extremeOf(a), got)
				default:
					require.Equal(t, extremeOf(c), got)
				}
			}
		}
	}
}
