// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"errors"
	"regexp"
	"strconv"
	"time"
	_ "time/tzdata" // where the system has no zones
)

// zone is a time zone: a fixed offset, or the rules of a place.
type zone struct {
	fixed    int64
	location *time.Location // nil for a fixed offset
}

var offsetPattern = regexp.MustCompile(`\A[+-]\d{2}:\d{2}(:\d{2})?\z`)

// loadZone reads a name of the zone database, or an offset such as +08:00. Offsets go from -18:00 to +18:00.
func loadZone(s string) (*zone, error) {
	if offsetPattern.MatchString(s) {
		offset, rest, ok := parseOffset(s)
		if !ok || rest != "" {
			return nil, errZone
		}
		return &zone{fixed: offset}, nil
	}
	if s == "" || s == "Local" {
		return nil, errZone
	}
	l, err := time.LoadLocation(s)
	if err != nil {
		return nil, errZone
	}
	return &zone{location: l}, nil
}

// at is the offset at an instant, both in seconds.
func (z *zone) at(instant int64) int64 {
	if z.location == nil {
		return z.fixed
	}
	_, offset := time.Unix(instant, 0).In(z.location).Zone()
	return int64(offset)
}

// atLocal is the offset when clocks show a time, given in seconds as if it were UTC. A time that they show twice has the
// first of its offsets, one that they leave out the offset before.
func (z *zone) atLocal(local int64) int64 {
	if z.location == nil {
		return z.fixed
	}
	// Around the time there is at most one change of the offset.
	offset := z.at(local - z.at(local))
	start, end := time.Unix(local-offset, 0).In(z.location).ZoneBounds()
	for _, bound := range []time.Time{start, end} {
		if bound.IsZero() {
			continue
		}
		before, after := z.at(bound.Unix()-1), z.at(bound.Unix())
		switch {
		case local >= bound.Unix()+max(before, after):
			offset = after
		case local >= bound.Unix()+min(before, after): // left out, or shown twice
			return before
		case bound.Equal(start):
			return before
		}
	}
	return offset
}

// clock is a time of day, or of a date, with an offset.
type clock struct {
	seconds int64 // of the clock, as if it were UTC
	nanos   int
	offset  int64
}

// move changes the offset, not the instant.
func (c *clock) move(offset int64) {
	c.seconds += offset - c.offset
	c.offset = offset
}

var errTime = errors.New("could not be parsed")

// parseOffsetDateTime reads a text as Java's ISO_OFFSET_DATE_TIME does: years of more than four digits have a sign, years
// before Christ a minus; seconds, and their fraction of up to nine digits, may be left out.
func parseOffsetDateTime(s string) (clock, error) {
	refused := refuseTime(s)
	sign, rest := int64(1), s
	signed := rest != "" && (rest[0] == '+' || rest[0] == '-')
	if signed {
		if rest[0] == '-' {
			sign = -1
		}
		rest = rest[1:]
	}
	n := 0
	for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
		n++
	}
	if n < 4 || n > 10 || n > 4 && !signed || n == 4 && signed && sign > 0 {
		return clock{}, refused
	}
	year, _ := strconv.ParseInt(rest[:n], 10, 64) // at most ten digits
	rest = rest[n:]
	if len(rest) < 7 || rest[0] != '-' || rest[3] != '-' || rest[6] != 'T' && rest[6] != 't' {
		return clock{}, refused
	}
	month, ok1 := twoDigits(rest[1:])
	day, ok2 := twoDigits(rest[4:])
	date := time.Date(int(sign*year), time.Month(month), int(day), 0, 0, 0, 0, time.UTC)
	if !ok1 || !ok2 || int64(date.Month()) != month || int64(date.Day()) != day {
		return clock{}, refused
	}
	c, err := parseOffsetTime(rest[7:])
	if err != nil {
		return clock{}, refused
	}
	c.seconds += date.Unix()
	return c, nil
}

func refuseTime(s string) error {
	return &Error{Thrown: "java.time.format.DateTimeParseException", Message: "Text '" + s + "' " + errTime.Error()}
}

// parseOffsetTime reads a text as Java's ISO_OFFSET_TIME does.
func parseOffsetTime(s string) (clock, error) {
	refused := refuseTime(s)
	var c clock
	hour, ok := twoDigits(s)
	if !ok || hour > 23 || len(s) < 5 || s[2] != ':' {
		return c, refused
	}
	minute, ok := twoDigits(s[3:])
	if !ok || minute > 59 {
		return c, refused
	}
	c.seconds = hour*3600 + minute*60
	rest := s[5:]
	if len(rest) > 0 && rest[0] == ':' {
		second, ok := twoDigits(rest[1:])
		if !ok || second > 59 {
			return c, refused
		}
		c.seconds += second
		rest = rest[3:]
		if len(rest) > 0 && rest[0] == '.' {
			n := 1
			for unit := int(1e8); n < len(rest) && n < 10 && rest[n] >= '0' && rest[n] <= '9'; n++ {
				c.nanos += int(rest[n]-'0') * unit
				unit /= 10
			}
			rest = rest[n:]
		}
	}
	if c.offset, rest, ok = parseOffset(rest); !ok || rest != "" {
		return c, refused
	}
	return c, nil
}

// parseOffset reads Z, or hours, minutes and seconds behind a sign, and returns what is behind it.
func parseOffset(s string) (offset int64, rest string, ok bool) {
	if s != "" && (s[0] == 'Z' || s[0] == 'z') {
		return 0, s[1:], true
	}
	if s == "" || s[0] != '+' && s[0] != '-' {
		return 0, s, false
	}
	rest = s[1:]
	for _, unit := range []int64{3600, 60, 1} {
		part := rest
		if unit < 3600 && part != "" && part[0] == ':' {
			part = part[1:]
		}
		n, ok := twoDigits(part)
		if !ok {
			if unit == 3600 {
				return 0, s, false
			}
			break
		}
		if unit < 3600 && n > 59 {
			return 0, s, false
		}
		offset += n * unit
		rest = part[2:]
	}
	if offset > 18*3600 {
		return 0, s, false
	}
	if s[0] == '-' {
		offset = -offset
	}
	return offset, rest, true
}

func twoDigits(s string) (int64, bool) {
	if len(s) < 2 || s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9' {
		return 0, false
	}
	return int64(s[0]-'0')*10 + int64(s[1]-'0'), true
}

// append appends date, time and offset in Java's ISO form.
func (c *clock) append(dst []byte) []byte {
	t := time.Unix(c.seconds, 0).UTC()
	switch year := t.Year(); {
	case year < 0:
		dst = append(dst, '-')
		dst = appendPadded(dst, -year, 4)
	case year > 9999:
		dst = strconv.AppendInt(append(dst, '+'), int64(year), 10)
	default:
		dst = appendPadded(dst, year, 4)
	}
	dst = appendPadded(append(dst, '-'), int(t.Month()), 2)
	dst = appendPadded(append(dst, '-'), t.Day(), 2)
	return c.appendTime(append(dst, 'T'))
}

// appendTime appends the time of day and the offset.
func (c *clock) appendTime(dst []byte) []byte {
	t := time.Unix(c.seconds, 0).UTC()
	dst = appendPadded(dst, t.Hour(), 2)
	dst = appendPadded(append(dst, ':'), t.Minute(), 2)
	dst = appendPadded(append(dst, ':'), t.Second(), 2)
	if c.nanos > 0 {
		dst = appendPadded(append(dst, '.'), c.nanos, 9)
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
	}
	offset := int(c.offset)
	switch {
	case offset == 0:
		return append(dst, 'Z')
	case offset < 0:
		dst, offset = append(dst, '-'), -offset
	default:
		dst = append(dst, '+')
	}
	dst = appendPadded(dst, offset/3600, 2)
	dst = appendPadded(append(dst, ':'), offset/60%60, 2)
	if offset%60 != 0 {
		dst = appendPadded(append(dst, ':'), offset%60, 2)
	}
	return dst
}

func appendPadded(dst []byte, n, digits int) []byte {
	for pad := 1; digits > 1; digits-- {
		if pad *= 10; n < pad {
			dst = append(dst, '0')
		}
	}
	return strconv.AppendInt(dst, int64(n), 10)
}
