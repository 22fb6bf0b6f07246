// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks/jdbc/dialect"
	"freshet/sinks/jdbc/render"
)

// temporalEncoder is nil for types that are not temporal, and for those whose text stands as it is.
func (d Dialect) temporalEncoder(t *schema.Type, c *dialect.Column) dialect.Encode {
	switch t.Name {
	case schema.Date, schema.ConnectDate:
		return appendDate
	case schema.Time, schema.ConnectTime:
		return timeEncoder(c, 1000, 1)
	case schema.MicroTime:
		return timeEncoder(c, 1, 1)
	case schema.NanoTime:
		return timeEncoder(c, 1, 1000)
	case schema.Timestamp, schema.ConnectTimestamp:
		return appendTimestampOfMillis
	case schema.MicroTimestamp:
		return appendTimestampOfMicros
	case schema.NanoTimestamp:
		return appendTimestampOfNanos
	case schema.MicroDuration:
		return durationEncoder(t, c, 1)
	case nanoDuration:
		return durationEncoder(t, c, 1000)
	case schema.ZonedTimestamp:
		return d.zonedEncoder(c)
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
	dst, bc := render.Day(dst, v.Int())
	return appendEra(dst, bc), nil
}

// timeEncoder renders value·mul/div µs of a day, rounded half up. 24:00:00 is a time of PostgreSQL; what lies outside of
// a day fits an interval column only.
func timeEncoder(c *dialect.Column, mul, div int64) dialect.Encode {
	interval := c.Base == pgtype.IntervalOID
	return func(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
		micros := render.RoundDiv(v.Int(), div) * mul
		if interval {
			return render.Clock(dst, micros), nil
		}
		if micros < 0 || micros > render.MicrosPerDay {
			return nil, fmt.Errorf("column %q: Invalid value for NanoOfDay (valid values 0 - 86399999999999): %d", c.Name, micros*1000)
		}
		return render.Clock(dst, micros), nil
	}
}

// durationEncoder renders an interval of hours, or the number itself for a column of numbers.
func durationEncoder(t *schema.Type, c *dialect.Column, div int64) dialect.Encode {
	if t.Kind != schema.Int64 {
		return appendText
	}
	if c.Base != 0 && c.Base != pgtype.IntervalOID && c.Base != pgtype.TextOID && c.Base != pgtype.VarcharOID {
		return appendInt
	}
	return func(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
		return render.Clock(dst, render.RoundDiv(v.Int(), div)), nil
	}
}

func appendTimestampOfMillis(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	ms := v.Int()
	if out := appendInfinity(dst, ms); out != nil {
		return out, nil
	}
	if ms > math.MaxInt64/1000 || ms < math.MinInt64/1000 {
		return nil, fmt.Errorf("timestamp of %d ms is out of range", ms)
	}
	return appendTimestamp(dst, ms*1000), nil
}

func appendTimestampOfMicros(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	if out := appendInfinity(dst, v.Int()); out != nil {
		return out, nil
	}
	return appendTimestamp(dst, v.Int()), nil
}

func appendTimestampOfNanos(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
	return appendTimestamp(dst, render.RoundDiv(v.Int(), 1000)), nil
}

// appendInfinity is nil for a finite value.
func appendInfinity(dst []byte, v int64) []byte {
	switch {
	case v >= render.InfinityLong:
		return append(dst, "infinity"...)
	case v <= render.MinusInfinityLong:
		return append(dst, "-infinity"...)
	}
	return nil
}

// zonedEncoder passes ISO texts on, with years as PostgreSQL writes them. A column without zone gets the wall clock of
// the configured zone, because the server would drop the offset unseen.
func (d Dialect) zonedEncoder(c *dialect.Column) dialect.Encode {
	if c.Base != pgtype.TimestampOID && c.Base != pgtype.DateOID && c.Base != pgtype.TimeOID {
		return appendZoned
	}
	zone, err := time.LoadLocation(d.TimeZone)
	if err != nil {
		zone = time.UTC
	}
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		at, err := time.Parse(time.RFC3339Nano, b.String(v))
		if err != nil { // infinity, or a year beyond four digits: the server judges
			return appendZoned(dst, b, v)
		}
		_, offset := at.In(zone).Zone()
		return appendTimestamp(dst, at.UnixMicro()+int64(offset)*1_000_000), nil
	}
}

func appendZoned(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	s := b.Bytes(v)
	if len(s) < 5 || s[4] == '-' && s[0] != '-' && string(s[:4]) != "0000" {
		return append(dst, s...), nil
	}
	// ISO 8601 years: +12345 is plain 12345, 0000 is 1 BC, -0043 is 44 BC.
	end := 1
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	year, err := strconv.Atoi(string(s[:end]))
	if err != nil || end >= len(s) || s[end] != '-' {
		return append(dst, s...), nil //nolint:nilerr // not a year: infinity
	}
	if year > 0 {
		return append(strconv.AppendInt(dst, int64(year), 10), s[end:]...), nil
	}
	dst = append(render.Padded(dst, int64(1-year), 4), s[end:]...)
	return append(dst, " BC"...), nil
}

// appendTimestamp appends µs since the epoch as YYYY-MM-DD HH:MM:SS[.ffffff][ BC].
func appendTimestamp(dst []byte, micros int64) []byte {
	day := micros / render.MicrosPerDay
	rest := micros % render.MicrosPerDay
	if rest < 0 {
		rest += render.MicrosPerDay
		day--
	}
	dst, bc := render.Day(dst, day)
	return appendEra(render.Clock(append(dst, ' '), rest), bc)
}

func appendEra(dst []byte, bc bool) []byte {
	if bc {
		return append(dst, " BC"...)
	}
	return dst
}
