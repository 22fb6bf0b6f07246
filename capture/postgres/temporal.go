// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"math"
	"math/bits"
	"strconv"
)

// Dates and times are parsed and written by hand: time.Time knows no year above 9999 in text and no hour 24. The calendar
// is the proleptic Gregorian one throughout, with a year 0, which is 1 BC.

const (
	secondsPerDay   = 86400
	microsPerSecond = 1_000_000
)

// infinity says which of a date's or timestamp's special values it is: 0 for none, else the sign.
type infinity int8

// instant is a point in time: seconds since 1970-01-01 UTC, and the microseconds of the second.
type instant struct {
	seconds, micros int64
	inf             infinity
}

// millis rounds down. Every timestamp of the server fits.
func (t instant) millis() int64 { return t.seconds*1000 + t.micros/1000 }

// parser eats a text from the front; a mismatch sets bad and leaves the rest alone.
type parser struct {
	rest []byte
	bad  bool
}

// done says whether everything was understood.
func (p *parser) done() bool { return !p.bad && len(p.rest) == 0 }

func (p *parser) accept(c byte) bool {
	if p.bad || len(p.rest) == 0 || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *parser) expect(c byte) {
	if !p.accept(c) {
		p.bad = true
	}
}

// number eats from least to most digits.
func (p *parser) number(least, most int) int64 {
	n, i := int64(0), 0
	for i < len(p.rest) && i < most && p.rest[i]-'0' < 10 {
		n = n*10 + int64(p.rest[i]-'0')
		i++
	}
	if i < least {
		p.bad = true
	}
	p.rest = p.rest[i:]
	return n
}

// fraction eats an optional fraction of up to six digits, in microseconds.
func (p *parser) fraction() int64 {
	if !p.accept('.') {
		return 0
	}
	before := len(p.rest)
	n := p.number(1, 6)
	for i := before - len(p.rest); i < 6; i++ {
		n *= 10
	}
	return n
}

// limit marks the text as bad where a part is out of range.
func (p *parser) limit(n, least, most int64) {
	if n < least || n > most {
		p.bad = true
	}
}

// clock eats hh:mm:ss with a fraction: the seconds of the day, 86400 for 24:00:00, and microseconds.
func (p *parser) clock() (seconds, micros int64) {
	h := p.number(2, 2)
	p.expect(':')
	m := p.number(2, 2)
	p.expect(':')
	s := p.number(2, 2)
	p.limit(h, 0, 24)
	p.limit(m, 0, 59)
	p.limit(s, 0, 60)
	return h*3600 + m*60 + s, p.fraction()
}

// offset eats a zone offset such as +05:30, in seconds east.
func (p *parser) offset() int64 {
	west := p.accept('-')
	if !west {
		p.expect('+')
	}
	seconds := p.number(2, 2) * 3600
	if p.accept(':') {
		seconds += p.number(2, 2) * 60
		if p.accept(':') {
			seconds += p.number(2, 2)
		}
	}
	if west {
		return -seconds
	}
	return seconds
}

// calendar is a date as it is written; the era may follow later in the text.
type calendar struct{ year, month, day int64 }

func (p *parser) calendar() calendar {
	var c calendar
	c.year = p.number(4, 7)
	p.expect('-')
	c.month = p.number(2, 2)
	p.expect('-')
	c.day = p.number(2, 2)
	p.limit(c.month, 1, 12)
	p.limit(c.day, 1, 31)
	return c
}

// era eats an optional " BC" and returns the days of the date since 1970-01-01.
func (p *parser) era(c calendar) int64 {
	if p.accept(' ') {
		p.expect('B')
		p.expect('C')
		c.year = 1 - c.year
	}
	return daysOf(c)
}

// parseInfinity understands the two special values.
func parseInfinity(text []byte) infinity {
	switch string(text) {
	case "infinity":
		return 1
	case "-infinity":
		return -1
	}
	return 0
}

// parseDate parses a date to days since 1970-01-01.
func parseDate(text []byte) (days int64, inf infinity, ok bool) {
	if inf = parseInfinity(text); inf != 0 {
		return 0, inf, true
	}
	p := parser{rest: text}
	days = p.era(p.calendar())
	return days, 0, p.done()
}

// parseTime parses a time of day.
func parseTime(text []byte) (seconds, micros int64, ok bool) {
	p := parser{rest: text}
	seconds, micros = p.clock()
	return seconds, micros, p.done()
}

// parseZonedTime parses a time with offset to the time of day in UTC.
func parseZonedTime(text []byte) (seconds, micros int64, ok bool) {
	p := parser{rest: text}
	seconds, micros = p.clock()
	seconds -= p.offset()
	return (seconds%secondsPerDay + secondsPerDay) % secondsPerDay, micros, p.done()
}

// parseInstant parses a timestamp, zoned or taken as UTC.
func parseInstant(text []byte, zoned bool) (t instant, ok bool) {
	if t.inf = parseInfinity(text); t.inf != 0 {
		return t, true
	}
	p := parser{rest: text}
	c := p.calendar()
	p.expect(' ')
	t.seconds, t.micros = p.clock()
	if zoned {
		t.seconds -= p.offset()
	}
	t.seconds += p.era(c) * secondsPerDay
	return t, p.done()
}

// daysOf counts the days since 1970-01-01. Years begin in March here, which puts the leap day at their end.
func daysOf(c calendar) int64 {
	y, m := c.year, c.month-3
	if m < 0 {
		y, m = y-1, m+12
	}
	cycle := floorDiv(y, 400)
	ofCycle := y - cycle*400
	ofYear := (153*m+2)/5 + c.day - 1
	return cycle*146097 + ofCycle*365 + ofCycle/4 - ofCycle/100 + ofYear - 719468
}

// dateOf is the inverse of daysOf.
func dateOf(days int64) calendar {
	days += 719468
	cycle := floorDiv(days, 146097)
	ofCycle := days - cycle*146097
	year := (ofCycle - ofCycle/1460 + ofCycle/36524 - ofCycle/146096) / 365
	ofYear := ofCycle - (365*year + year/4 - year/100)
	m := (5*ofYear + 2) / 153
	c := calendar{year: cycle*400 + year, month: m + 3, day: ofYear - (153*m+2)/5 + 1}
	if c.month > 12 {
		c.year, c.month = c.year+1, c.month-12
	}
	return c
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// appendDate writes a date as java.time does: four digits of the year at least, a sign for years before 0 and after 9999.
func appendDate(dst []byte, c calendar) []byte {
	year := c.year
	switch {
	case year < 0:
		dst, year = append(dst, '-'), -year
	case year > 9999:
		dst = append(dst, '+')
	}
	for least := int64(1000); least > 1 && year < least; least /= 10 {
		dst = append(dst, '0')
	}
	dst = strconv.AppendInt(dst, year, 10)
	dst = append(dst, '-', byte('0'+c.month/10), byte('0'+c.month%10))
	return append(dst, '-', byte('0'+c.day/10), byte('0'+c.day%10))
}

// asNeeded lets appendClock write the digits of the fraction up to the last that is not zero.
const asNeeded = -1

// appendClock writes a time of day with a fraction of so many digits.
func appendClock(dst []byte, seconds, micros int64, digits int) []byte {
	for i, part := range [...]int64{seconds / 3600, seconds / 60 % 60, seconds % 60} {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = append(dst, byte('0'+part/10), byte('0'+part%10))
	}
	return appendFraction(dst, micros, digits)
}

func appendFraction(dst []byte, micros int64, digits int) []byte {
	if digits == 0 || digits == asNeeded && micros == 0 {
		return dst
	}
	dst = append(dst, '.')
	for unit, i := int64(100_000), 0; unit > 0 && i != digits; unit, i = unit/10, i+1 {
		if digits == asNeeded && micros == 0 {
			break
		}
		dst = append(dst, byte('0'+micros/unit))
		micros %= unit
	}
	return dst
}

// appendInstant writes a finite timestamp in UTC.
func appendInstant(dst []byte, t instant, digits int) []byte {
	days := floorDiv(t.seconds, secondsPerDay)
	dst = append(appendDate(dst, dateOf(days)), 'T')
	return append(appendClock(dst, t.seconds-days*secondsPerDay, t.micros, digits), 'Z')
}

// mulAdd is a*b + c for b > 0; it stops at the ends of int64 and says whether it is exact.
func mulAdd(a, b, c int64) (int64, bool) {
	hi, lo := bits.Mul64(magnitudeOf(a), uint64(b))
	limit := uint64(math.MaxInt64)
	if a < 0 {
		limit++
	}
	if hi != 0 || lo > limit {
		return extremeOf(a), false
	}
	product := int64(lo)
	if a < 0 {
		product = -product
	}
	sum := product + c
	if c != 0 && (sum > product) != (c > 0) {
		return extremeOf(c), false
	}
	return sum, true
}

func magnitudeOf(a int64) uint64 {
	if a < 0 {
		return -uint64(a)
	}
	return uint64(a)
}

func extremeOf(a int64) int64 {
	if a < 0 {
		return math.MinInt64
	}
	return math.MaxInt64
}
