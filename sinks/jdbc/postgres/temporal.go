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
)

// What Debezium emits for infinite timestamps (ms or µs) and dates (days, already wrapped to 32 bits there).
const (
	infinityLong      = 9223372036825200000
	minusInfinityLong = -9223372036832400000
	infinityDay       = -2147472692
	minusInfinityDay  = -2147472691
)

const microsPerDay = 86_400_000_000

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
	case infinityDay:
		return append(dst, "infinity"...), nil
	case minusInfinityDay:
		return append(dst, "-infinity"...), nil
	}
	dst, bc := appendDay(dst, v.Int())
	return appendEra(dst, bc), nil
}

// timeEncoder renders value·mul/div µs of a day, rounded half up. 24:00:00 is a time of PostgreSQL; what lies outside of
// a day fits an interval column only.
func timeEncoder(c *dialect.Column, mul, div int64) dialect.Encode {
	interval := c.Base == pgtype.IntervalOID
	return func(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
		micros := roundDiv(v.Int(), div) * mul
		if interval {
			return appendClock(dst, micros), nil
		}
		if micros < 0 || micros > microsPerDay {
			return nil, fmt.Errorf("column %q: Invalid value for NanoOfDay (valid values 0 - 86399999999999): %d", c.Name, micros*1000)
		}
		return appendClock(dst, micros), nil
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
		return appendClock(dst, roundDiv(v.Int(), div)), nil
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
	return appendTimestamp(dst, roundDiv(v.Int(), 1000)), nil
}

// appendInfinity is nil for a finite value.
func appendInfinity(dst []byte, v int64) []byte {
	switch {
	case v >= infinityLong:
		return append(dst, "infinity"...)
	case v <= minusInfinityLong:
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
	dst = append(appendPadded(dst, int64(1-year), 4), s[end:]...)
	return append(dst, " BC"...), nil
}

// appendTimestamp appends µs since the epoch as YYYY-MM-DD HH:MM:SS[.ffffff][ BC].
func appendTimestamp(dst []byte, micros int64) []byte {
	day := micros / microsPerDay
	rest := micros % microsPerDay
	if rest < 0 {
		rest += microsPerDay
		day--
	}
	dst, bc := appendDay(dst, day)
	return appendEra(appendClock(append(dst, ' '), rest), bc)
}

func appendEra(dst []byte, bc bool) []byte {
	if bc {
		return append(dst, " BC"...)
	}
	return dst
}

// appendDay appends the proleptic Gregorian date of days since 1970-01-01; bc says that the year counts backwards. The
// arithmetic is in eras of 400 years, with the year beginning in March.
func appendDay(dst []byte, days int64) (out []byte, bc bool) {
	z := days + 719468
	era := z / 146097
	if z < 0 {
		era = (z - 146096) / 146097
	}
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day := doy - (153*mp+2)/5 + 1
	month := mp + 3
	if month > 12 {
		month -= 12
	}
	year := yoe + era*400
	if month <= 2 {
		year++
	}
	if year <= 0 {
		year, bc = 1-year, true
	}
	dst = append(appendPadded(dst, year, 4), '-')
	dst = append(appendPadded(dst, month, 2), '-')
	return appendPadded(dst, day, 2), bc
}

// appendClock appends [-]HH:MM:SS[.ffffff]; hours are as many as there are.
func appendClock(dst []byte, micros int64) []byte {
	u := uint64(micros)
	if micros < 0 {
		dst = append(dst, '-')
		u = -u
	}
	seconds, fraction := u/1_000_000, u%1_000_000
	dst = append(appendPadded(dst, int64(seconds/3600), 2), ':')
	dst = append(appendPadded(dst, int64(seconds/60%60), 2), ':')
	dst = appendPadded(dst, int64(seconds%60), 2)
	if fraction == 0 {
		return dst
	}
	return appendPadded(append(dst, '.'), int64(fraction), 6)
}

// appendPadded appends a number that is not negative with at least width digits.
func appendPadded(dst []byte, n int64, width int) []byte {
	var buf [20]byte
	i := len(buf)
	for n > 0 || width > 0 {
		i--
		buf[i] = byte('0' + n%10)
		n /= 10
		width--
	}
	return append(dst, buf[i:]...)
}

// roundDiv divides by a positive number, rounding half up.
func roundDiv(n, div int64) int64 {
	if div == 1 {
		return n
	}
	q, r := n/div, n%div
	if r < 0 {
		q, r = q-1, r+div
	}
	if 2*r >= div {
		q++
	}
	return q
}
