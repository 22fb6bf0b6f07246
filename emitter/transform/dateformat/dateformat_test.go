// SPDX-License-Identifier: Apache-2.0

package dateformat

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// century is the moment that the recording's two-digit years are counted from: 80 years before it.
var century = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// recorded calls f with the lines of what OpenJDK 17 did in the locale en_US and in UTC: what, pattern, input, outcome. The
// outcome of a text that is no date is -.
func recorded(t testing.TB, f func(what, pattern, in, out string)) {
	t.Helper()
	text, err := os.ReadFile("testdata/java17.tsv")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		c := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		require.Len(t, c, 4, line)
		f(c[0], c[1], c[2], c[3])
	}
}

// unlikeJava are two cases of calendars that nobody uses today.
var unlikeJava = map[string]string{
	"-12219292800000":        "the days of the month in which Java's calendar left out ten",
	"BC 5 2023 46 2 3 2 318": "an era before Christ with a year of weeks after",
}

func TestAsJava(t *testing.T) {
	done := map[string]int{}
	recorded(t, func(what, pattern, in, out string) {
		done[what]++
		if strings.HasPrefix(pattern, "G ") && unlikeJava[in] != "" {
			return
		}
		f, err := compile(pattern, century)
		if what == "compile" {
			if out == "" {
				require.NoError(t, err, pattern)
			} else {
				require.EqualError(t, err, out, pattern)
			}
			return
		}
		require.NoError(t, err)
		require.Equal(t, pattern, f.String())
		if what == "format" {
			ms, err := strconv.ParseInt(in, 10, 64)
			require.NoError(t, err)
			if got := string(f.Append(nil, ms)); got != out {
				t.Errorf("%s of %s is %q, Java's is %q", pattern, in, got, out)
			}
			return
		}
		got := "-"
		if ms, ok := f.Parse(in); ok {
			got = strconv.FormatInt(ms, 10)
		}
		if got != out {
			t.Errorf("%s reads %q as %s, Java as %s", pattern, in, got, out)
		}
	})
	require.Len(t, done, 3)
}

// What a format wrote it reads back, where it has all that a time is made of.
func TestRoundTrip(t *testing.T) {
	for _, pattern := range []string{"yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "yyyyMMddHHmmssSSS", "S ss:mm h a, d MMMM yyyy G zzzz", "YYYY-ww-EEE HH:mm:ss.SSS", "yyyyDDD kk mm ss SSS"} {
		f, err := Compile(pattern)
		require.NoError(t, err)
		for ms := int64(-62135596800000); ms < 253402300800000; ms += 86_399_999_983 * 7 {
			text := string(f.Append(nil, ms))
			got, ok := f.Parse(text)
			require.True(t, ok, text)
			require.Equal(t, ms, got, "%s: %s", pattern, text)
		}
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	f, err := Compile("EEE, d MMM yyyy HH:mm:ss.SSS Z")
	require.NoError(t, err)
	dst := make([]byte, 0, 64)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		dst = f.Append(dst[:0], 1700000000123)
		if _, ok := f.Parse("Tue, 14 Nov 2023 22:13:20.123 +0000"); !ok {
			panic("not read")
		}
	}))
}

// FuzzFormat compiles arbitrary patterns: nothing but an error comes of bad ones, and what is read is written again.
func FuzzFormat(f *testing.F) {
	f.Add("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2023-11-14T22:13:20.123Z", int64(1700000000123))
	recorded(f, func(what, pattern, in, _ string) {
		if what == "parse" {
			f.Add(pattern, in, int64(len(in)))
		}
	})
	f.Fuzz(func(t *testing.T, pattern, text string, ms int64) {
		x, err := compile(pattern, century)
		if err != nil {
			return
		}
		x.Append(nil, ms)
		if at, ok := x.Parse(text); ok {
			x.Append(nil, at)
		}
	})
}
