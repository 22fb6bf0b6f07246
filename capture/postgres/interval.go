// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"bytes"
	"math"
	"strconv"

	"freshet/change"
	"freshet/schema"
)

// daysPerMonth makes a month a twelfth of 365.25 days.
const daysPerMonth = 365.25 / 12

// interval is an interval in the parts that the server keeps apart, each with its own sign.
type interval struct {
	years, months, days int64
	neg                 bool // of the time
	hours, minutes      int64
	seconds, micros     int64
	inf                 infinity // since PostgreSQL 17
}

func intervalForm(u typeUse) form {
	if u.o.Interval == "string" {
		return isoForm(schema.Interval, "P0Y0M0DT0H0M0S", epochTime, u, decodeIntervalText)
	}
	saturated := u.saturated
	return numberForm(schema.Int64, schema.MicroDuration, epochTime, func(_ *change.Batch, text []byte) (change.Value, error) {
		v, ok := parseInterval(text)
		if !ok {
			return change.Value{}, badValue("interval", text, "it is not in IntervalStyle postgres")
		}
		micros, exact := v.totalMicros()
		if !exact {
			saturated.Add(1)
		}
		return change.IntValue(micros), nil
	})
}

func decodeIntervalText(b *change.Batch, text []byte) (change.Value, error) {
	v, ok := parseInterval(text)
	switch {
	case !ok:
		return change.Value{}, badValue("interval", text, "it is not in IntervalStyle postgres")
	case v.inf != 0:
		return change.Value{}, badValue("interval", text, "interval.handling.mode string cannot hold it, numeric can")
	}
	mark := len(b.Arena)
	b.Arena = v.append(b.Arena)
	return b.TextFrom(mark), nil
}

// parseInterval parses IntervalStyle postgres: 1 year 2 mons -3 days +04:05:06.789.
func parseInterval(text []byte) (v interval, ok bool) {
	if v.inf = parseInfinity(text); v.inf != 0 {
		return v, true
	}
	p := parser{rest: text}
	for {
		neg := p.accept('-')
		if !neg {
			p.accept('+')
		}
		n := p.number(1, 18)
		if p.accept(':') {
			v.neg, v.hours = neg, n
			v.clock(&p)
			return v, p.done()
		}
		if neg {
			n = -n
		}
		v.unit(&p, n)
		if len(p.rest) == 0 || p.bad {
			return v, p.done()
		}
		p.expect(' ')
	}
}

// clock eats what follows the hours.
func (v *interval) clock(p *parser) {
	v.minutes = p.number(2, 2)
	p.expect(':')
	v.seconds = p.number(2, 2)
	v.micros = p.fraction()
	p.limit(v.hours, 0, 1e12) // far above what the server can store
}

// unit eats the name of what n counts.
func (v *interval) unit(p *parser, n int64) {
	p.expect(' ')
	name, _, _ := bytes.Cut(p.rest, []byte{' '})
	switch string(bytes.TrimSuffix(name, []byte{'s'})) {
	case "year":
		v.years = n
	case "mon":
		v.months = n
	case "day":
		v.days = n
	default:
		p.bad = true
		return
	}
	p.limit(n, -1e12, 1e12)
	p.rest = p.rest[len(name):]
}

// totalMicros is the reference's sum in double precision, cut to whole microseconds, so that the bits agree: 3 days
// 04:05:06.79 is 273906789999. It stops at the ends of int64 and then is not exact. The conversions keep the compiler from
// fusing operations.
func (v *interval) totalMicros() (micros int64, exact bool) {
	if v.inf != 0 {
		return extremeOf(int64(v.inf)), false
	}
	sign := 1.0
	if v.neg {
		sign = -1
	}
	days := float64(float64(v.years*12+v.months)*daysPerMonth) + float64(v.days)
	hours := float64(days*24) + sign*float64(v.hours)
	minutes := float64(hours*60) + sign*float64(v.minutes)
	seconds := float64(minutes*60) + sign*(float64(v.seconds)+float64(v.micros)/microsPerSecond)
	total := float64(seconds * microsPerSecond)
	if math.Abs(total) >= -math.MinInt64 {
		return extremeOf(int64(math.Copysign(1, total))), false
	}
	return int64(total), true
}

// append writes the interval as a period of ISO 8601 with all its six parts.
func (v *interval) append(dst []byte) []byte {
	sign := int64(1)
	if v.neg {
		sign = -1
	}
	dst = append(dst, 'P')
	for _, part := range [...]struct {
		n    int64
		unit string
	}{{v.years, "Y"}, {v.months, "M"}, {v.days, "DT"}, {sign * v.hours, "H"}, {sign * v.minutes, "M"}} {
		dst = append(strconv.AppendInt(dst, part.n, 10), part.unit...)
	}
	if v.neg && (v.seconds != 0 || v.micros != 0) {
		dst = append(dst, '-')
	}
	dst = appendFraction(strconv.AppendInt(dst, v.seconds, 10), v.micros, asNeeded)
	return append(dst, 'S')
}
