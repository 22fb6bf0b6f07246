// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks/jdbc/render"
)

const nanosPerDay = 1000 * render.MicrosPerDay

// temporalText is nil for types that are not temporal, and for those whose value stands as it is. Dates and clocks are as
// ISO 8601 has them with a blank between the two, which SQLite's date functions read: the year before 1 is 0000, the one
// before that -0001. Texts of one type sort by time from 0000 to 9999.
func (d Dialect) temporalText(t *schema.Type) appender {
	switch t.Name {
	case schema.Date, schema.ConnectDate:
		return appendDate
	case schema.Time, schema.ConnectTime:
		return clock(1_000_000)
	case schema.MicroTime:
		return clock(1000)
	case schema.NanoTime:
		return clock(1)
	case schema.Timestamp, schema.ConnectTimestamp:
		return timestamp(1000)
	case schema.MicroTimestamp:
		return timestamp(1)
	case schema.NanoTimestamp:
		return appendTimestampOfNanos
	case schema.ZonedTimestamp:
		return d.zoned()
	}
	return nil
}

func appendDate(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
	switch v.Int() {
	case render.InfinityDay:
		return append(dst, "infinity"...), nil
	case render.MinusInfinityDay:
		return append(dst, "-infinity"...), nil
	}
	return appendDay(dst, v.Int()), nil
}

// appendDay appends the date of days since 1970-01-01.
func appendDay(dst []byte, days int64) []byte {
	mark := len(dst)
	dst, bc := render.Day(dst, days)
	if !bc {
		return dst
	}
	end := len(dst) - len("-01-02")
	year, err := strconv.Atoi(string(dst[mark:end])) // years before Christ, from 1 on
	if err != nil {
		return dst
	}
	monthDay := string(dst[end:])
	dst = dst[:mark]
	if year > 1 {
		dst = append(dst, '-')
	}
	return append(render.Padded(dst, int64(year-1), 4), monthDay...)
}

// clock writes a time of day that is counted in units of so many nanoseconds. Times beyond a day, which MySQL has, stay.
func clock(unit int64) appender {
	return func(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
		n := v.Int()
		if n > math.MaxInt64/unit || n < math.MinInt64/unit {
			return nil, fmt.Errorf("a time of %d is out of range", n)
		}
		return appendClock(dst, n*unit), nil
	}
}

// appendClock appends [-]HH:MM:SS with as many decimals as are needed: none, six or nine.
func appendClock(dst []byte, nanos int64) []byte {
	if nanos < 0 && nanos > -1000 { // the sign would be lost with the whole microseconds
		dst = append(dst, '-')
		nanos = -nanos
	}
	micros, rest := nanos/1000, nanos%1000
	dst = render.Clock(dst, micros)
	if rest == 0 {
		return dst
	}
	if micros%1_000_000 == 0 {
		dst = append(dst, ".000000"...)
	}
	return render.Padded(dst, max(rest, -rest), 3)
}

// timestamp writes ms (unit 1000) or µs since the epoch.
func timestamp(unit int64) appender {
	return func(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
		n := v.Int()
		switch {
		case n >= render.InfinityLong:
			return append(dst, "infinity"...), nil
		case n <= render.MinusInfinityLong:
			return append(dst, "-infinity"...), nil
		case n > math.MaxInt64/unit || n < math.MinInt64/unit:
			return nil, fmt.Errorf("timestamp of %d ms is out of range", n)
		}
		micros := n * unit
		day, rest := micros/render.MicrosPerDay, micros%render.MicrosPerDay
		if rest < 0 {
			day, rest = day-1, rest+render.MicrosPerDay
		}
		return appendTimestamp(dst, day, 1000*rest), nil
	}
}

func appendTimestampOfNanos(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
	day, rest := v.Int()/nanosPerDay, v.Int()%nanosPerDay
	if rest < 0 {
		day, rest = day-1, rest+nanosPerDay
	}
	return appendTimestamp(dst, day, rest), nil
}

func appendTimestamp(dst []byte, day, nanos int64) []byte {
	return appendClock(append(appendDay(dst, day), ' '), nanos)
}

// zoned writes the instant in the dialect's zone, with the offset, as YYYY-MM-DD HH:MM:SS[.ffffff]+HH:MM. What is no instant
// of the years 0 to 9999 (infinity) stays as it is.
func (d Dialect) zoned() appender {
	zone, err := time.LoadLocation(d.TimeZone)
	if err != nil {
		zone = time.UTC
	}
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		at, err := time.Parse(time.RFC3339Nano, b.String(v))
		if err != nil {
			return append(dst, b.Bytes(v)...), nil //nolint:nilerr // not an instant
		}
		at = at.In(zone)
		switch nanos := at.Nanosecond(); {
		case nanos == 0:
			return at.AppendFormat(dst, "2006-01-02 15:04:05-07:00"), nil
		case nanos%1000 == 0:
			return at.AppendFormat(dst, "2006-01-02 15:04:05.000000-07:00"), nil
		}
		return at.AppendFormat(dst, "2006-01-02 15:04:05.000000000-07:00"), nil
	}
}
