// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// offsetsOf are the offsets with which clocks of a zone show a time, in the order of the instants, found by looking at
// every quarter of an hour around; without any the offset before the gap.
func offsetsOf(z *zone, local int64) (offsets []int64, before int64) {
	for instant := local - 26*3600; instant <= local+26*3600; instant += 900 {
		if o := z.at(instant); local-o <= instant+900 && !slices.Contains(offsets, o) && z.at(local-o) == o {
			offsets = append(offsets, o)
		}
		if o := z.at(instant); instant+o <= local {
			before = o
		}
	}
	return offsets, before
}

func TestOffsetsAtLocalTimes(t *testing.T) {
	zones := []string{"Europe/Oslo", "America/New_York", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kolkata", "Pacific/Apia", "Africa/Casablanca", "UTC"}
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, name := range zones {
		z, err := loadZone(name)
		require.NoError(t, err)
		times := []int64{0, 1e9}
		for range 300 { // from 1950 to 2080
			times = append(times, -631152000+rng.Int64N(4102444800))
		}
		at := time.Unix(0, 0).In(z.location)
		for range 60 { // and around changes of the offset
			_, end := at.ZoneBounds()
			if end.IsZero() {
				break
			}
			for _, d := range []int64{-7200, -3601, -3600, -1800, -1, 0, 1, 1799, 1800, 3599, 3600, 7200} {
				times = append(times, end.Unix()+z.at(end.Unix()-1)+d, end.Unix()+z.at(end.Unix())+d)
			}
			at = end
		}
		for _, local := range times {
			offsets, before := offsetsOf(z, local)
			want := before
			if len(offsets) > 0 {
				want = slices.MaxFunc(offsets, func(x, y int64) int { return int(x - y) }) // the earliest instant
			}
			require.Equal(t, want, z.atLocal(local), "%s at %s, seed %d", name, time.Unix(local, 0).UTC(), seed)
		}
	}
}

func TestZones(t *testing.T) {
	for _, name := range []string{"", "Local", "+2", "+19:00", "-18:01", "+02:60", "Nowhere/City", "../etc/passwd", "UTC+1"} {
		_, err := loadZone(name)
		require.ErrorContains(t, err, "Invalid timezone format", name)
	}
	for name, want := range map[string]int64{"+00:00": 0, "-00:30": -1800, "+01:00:30": 3630, "+18:00": 64800, "Etc/GMT+5": -18000} {
		z, err := loadZone(name)
		require.NoError(t, err)
		require.Equal(t, want, z.at(0), name)
		require.Equal(t, want, z.atLocal(0), name)
	}
}

// FuzzClock reads arbitrary texts; what is read and written is read as the same.
func FuzzClock(f *testing.F) {
	for _, s := range []string{
		"2026-06-01T10:00:00Z", "2026-06-01T10:00Z", "+12026-06-01T10:00:00.1-11:30:15", "-0044-03-15t10:00:00z", "0000-02-29T00:00:00+00",
		"2026-02-29T00:00:00Z", "9999-12-31T23:59:59.999999999+18:00", "+9999999999-12-31T23:59:59Z", "infinity",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseOffsetDateTime(s)
		if err != nil {
			return
		}
		text := string(c.append(nil))
		again, err := parseOffsetDateTime(text)
		require.NoError(t, err, text)
		require.Equal(t, c, again, text)
		moved := c
		moved.move(7200)
		require.Equal(t, c.seconds-c.offset, moved.seconds-moved.offset)
	})
}
