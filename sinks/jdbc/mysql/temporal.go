// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"bytes"
	"fmt"
	"math"
	"time"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks/jdbc/dialect"
	"freshet/sinks/jdbc/render"
)

// What the words infinity and -infinity of a zoned timestamp become: the ends of the type timestamp.
const (
	lastTimestamp  = "'2038-01-19 03:14:07'"
	firstTimestamp = "'1970-01-01 00:00:01'"
)

// temporalEncoder is nil for types that are not temporal, and for those whose text or number stands as it is. Its values
// are quoted; what is outside of the range of a column the server refuses.
func (d *Dialect) temporalEncoder(t *schema.Type, c *dialect.Column) dialect.Encode {
	switch t.Name {
	case schema.Date, schema.ConnectDate:
		return quotes(func(dst []byte, days int64) ([]byte, error) { return appendDay(dst, days), nil })
	case schema.Time, schema.ConnectTime:
		return quotes(func(dst []byte, ms int64) ([]byte, error) { return render.Clock(dst, ms*1000), nil })
	case schema.MicroTime:
		return quotes(func(dst []byte, micros int64) ([]byte, error) { return render.Clock(dst, micros), nil })
	case schema.NanoTime:
		return quotes(func(dst []byte, nanos int64) ([]byte, error) {
			return render.Clock(dst, render.RoundDiv(nanos, 1000)), nil
		})
	case schema.Timestamp, schema.ConnectTimestamp:
		return quotes(func(dst []byte, ms int64) ([]byte, error) {
			if ms > math.MaxInt64/1000 || ms < math.MinInt64/1000 {
				return nil, fmt.Errorf("column %q: timestamp of %d ms is out of range", c.Name, ms)
			}
			return d.appendTimestamp(dst, ms*1000), nil
		})
	case schema.MicroTimestamp:
		return quotes(func(dst []byte, micros int64) ([]byte, error) { return d.appendTimestamp(dst, micros), nil })
	case schema.NanoTimestamp:
		return quotes(func(dst []byte, nanos int64) ([]byte, error) {
			return d.appendTimestamp(dst, render.RoundDiv(nanos, 1000)), nil
		})
	case schema.ZonedTimestamp:
		return d.zonedEncoder(c)
	case schema.ZonedTime:
		if c.Class == classTime {
			return d.zonedTimeEncoder(c)
		}
	}
	return nil
}

// quotes makes an encoder of a function that renders a number as a text without anything to escape.
func quotes(f func(dst []byte, n int64) ([]byte, error)) dialect.Encode {
	return func(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
		dst, err := f(append(dst, '\''), v.Int())
		return append(dst, '\''), err
	}
}

// zonedEncoder renders an instant: in UTC, the session's zone, for a timestamp, and as the wall clock of the configured
// zone for a column without zone.
func (d *Dialect) zonedEncoder(c *dialect.Column) dialect.Encode {
	zone := time.UTC
	switch c.Class {
	case classDate, classTime, classDatetime:
		zone = d.location()
	case classText, classBinary:
		return nil // as it is
	}
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		s := b.Bytes(v)
		switch {
		case string(s) == "infinity":
			return append(dst, lastTimestamp...), nil
		case string(s) == "-infinity":
			return append(dst, firstTimestamp...), nil
		}
		at, ok := parseZoned(s)
		if !ok { // a year beyond four digits: the server judges
			return appendQuoted(dst, s), nil
		}
		micros := at.UnixMicro()
		if zone != time.UTC {
			_, offset := at.In(zone).Zone()
			micros += int64(offset) * 1_000_000
		}
		return append(d.appendTimestamp(append(dst, '\''), micros), '\''), nil
	}
}

// parseZoned reads an instant as sources write it; digits beyond the microseconds round.
func parseZoned(s []byte) (at time.Time, ok bool) {
	err := at.UnmarshalText(s) // RFC 3339 without an allocation
	return at.Round(time.Microsecond), err == nil
}

// zonedTimeEncoder renders a time of day with an offset as the clock of the configured zone, without summer time.
func (d *Dialect) zonedTimeEncoder(c *dialect.Column) dialect.Encode {
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		at, err := time.Parse("2006-01-02T15:04:05Z07:00", "1970-01-01T"+b.String(v))
		if err != nil {
			return nil, fmt.Errorf("column %q: %q is no time of day with an offset", c.Name, b.Bytes(v))
		}
		_, offset := time.Unix(0, 0).In(d.location()).Zone()
		micros := at.UnixMicro() + int64(offset)*1_000_000
		micros = (micros%render.MicrosPerDay + render.MicrosPerDay) % render.MicrosPerDay
		return append(render.Clock(append(dst, '\''), micros), '\''), nil
	}
}

func (d *Dialect) location() *time.Location {
	zone, err := time.LoadLocation(d.zone)
	if err != nil {
		return time.UTC
	}
	return zone
}

// appendTimestamp appends µs since the epoch as YYYY-MM-DD HH:MM:SS[.f], with as many digits as the drivers of the original
// write, which the server repeats where it refuses a value: without zeros at the end to MySQL.
func (d *Dialect) appendTimestamp(dst []byte, micros int64) []byte {
	day := micros / render.MicrosPerDay
	rest := micros % render.MicrosPerDay
	if rest < 0 {
		rest += render.MicrosPerDay
		day--
	}
	dst = render.Clock(append(appendDay(dst, day), ' '), rest)
	if rest%1_000_000 != 0 && !d.mariaDB.Load() {
		dst = bytes.TrimRight(dst, "0")
	}
	return dst
}

// appendDay appends a date as ISO 8601 has it, with a sign where the year is not of four digits: then the server refuses it.
func appendDay(dst []byte, days int64) []byte {
	mark := len(dst)
	dst = append(dst, '+')
	dst, bc := render.Day(dst, days)
	year := bytes.IndexByte(dst[mark:], '-') - 1
	if bc {
		return appendYearBeforeChrist(dst, mark, year)
	}
	if year > 4 {
		return dst
	}
	return append(dst[:mark], dst[mark+1:]...)
}

// appendYearBeforeChrist turns the year, of so many digits behind a sign at mark, from 1 BC into 0000, and 2 BC into -0001.
func appendYearBeforeChrist(dst []byte, mark, digits int) []byte {
	tail := string(dst[mark+1+digits:])
	year := int64(0)
	for _, c := range dst[mark+1 : mark+1+digits] {
		year = 10*year + int64(c-'0')
	}
	dst = dst[:mark]
	if year > 1 {
		dst = append(dst, '-')
	}
	return append(render.Padded(dst, year-1, 4), tail...)
}
