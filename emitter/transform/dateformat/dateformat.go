// SPDX-License-Identifier: Apache-2.0

// Package dateformat writes and reads dates as java.text.SimpleDateFormat does, in UTC and with the names of the locale
// en_US: patterns such as yyyy-MM-dd'T'HH:mm:ss.SSSXXX.
//
// Its main type is Format. It is immutable and safe for concurrent use. Reading is lenient, as Java's is by default: values
// out of range carry over (month 13 is January of the next year), and text behind the date is ignored. As in Java's calendar
// days before 1582-10-15 are of the Julian calendar.
package dateformat

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// letters are those that mean a field.
const letters = "GyMdkHmsSEDFwWahKzZYuXL"

// Format is a compiled pattern.
type Format struct {
	pattern string
	fields  []field
	// century is the year from which on two digits mean a year (yy): 80 years before the format was made; begin is that
	// moment, ms since the epoch.
	century int64
	begin   int64
}

// field is a letter with the number of its repetitions, or a literal text where letter is 0.
type field struct {
	letter  byte
	width   int
	literal string
}

// Compile reads a pattern. Its errors have the words of Java.
func Compile(pattern string) (*Format, error) { return compile(pattern, time.Now()) }

func compile(pattern string, now time.Time) (*Format, error) {
	begin := now.UTC().AddDate(-80, 0, 0)
	f := &Format{pattern: pattern, century: int64(begin.Year()), begin: begin.UnixMilli()}
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			f.fields = append(f.fields, field{literal: literal.String()})
			literal.Reset()
		}
	}
	quoted := false
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case c == '\'' && i+1 < len(pattern) && pattern[i+1] == '\'':
			literal.WriteByte(c)
			i++
		case c == '\'':
			quoted = !quoted
		case quoted || c|0x20 < 'a' || c|0x20 > 'z':
			literal.WriteByte(c)
		case strings.IndexByte(letters, c) < 0:
			return nil, fmt.Errorf("Illegal pattern character '%c'", c) //nolint:staticcheck // Java's words
		default:
			flush()
			n := 1
			for i+n < len(pattern) && pattern[i+n] == c {
				n++
			}
			if c == 'X' && n > 3 {
				return nil, fmt.Errorf("invalid ISO 8601 format: length=%d", n)
			}
			f.fields = append(f.fields, field{letter: c, width: n})
			i += n - 1
		}
	}
	if quoted {
		return nil, errors.New("Unterminated quote") //nolint:staticcheck // Java's words
	}
	flush()
	return f, nil
}

// String is the pattern.
func (f *Format) String() string { return f.pattern }

var (
	monthNames = [...]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
	dayNames   = [...]string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}
	halves     = [...]string{"AM", "PM"}
	eras       = [...]string{"BC", "AD"}
)

// Append appends a time, ms since the epoch.
func (f *Format) Append(dst []byte, ms int64) []byte {
	m := momentOf(ms)
	for i := range f.fields {
		x := &f.fields[i]
		if x.letter == 0 {
			dst = append(dst, x.literal...)
			continue
		}
		dst = m.append(dst, x)
	}
	return dst
}

func (m *moment) append(dst []byte, x *field) []byte {
	switch x.letter {
	case 'G':
		return append(dst, eras[m.era()]...)
	case 'y':
		return appendYear(dst, m.yearOfEra(), x.width)
	case 'Y':
		year, _ := m.week()
		return appendYear(dst, year, x.width)
	case 'M', 'L':
		return appendName(dst, monthNames[m.month-1], m.month, x.width)
	case 'E':
		return appendName(dst, dayNames[m.weekday], m.weekday, max(x.width, 3))
	case 'a':
		return append(dst, halves[m.hour/12]...)
	case 'z':
		if x.width > 3 {
			return append(dst, "Coordinated Universal Time"...)
		}
		return append(dst, "UTC"...)
	case 'Z':
		return append(dst, "+0000"...)
	case 'X':
		return append(dst, 'Z')
	}
	return appendNumber(dst, m.number(x.letter), x.width)
}

// number is the value of a field that is always a number.
func (m *moment) number(letter byte) int64 {
	switch letter {
	case 'd':
		return m.day
	case 'k':
		return (m.hour+23)%24 + 1
	case 'H':
		return m.hour
	case 'K':
		return m.hour % 12
	case 'h':
		return (m.hour+11)%12 + 1
	case 'm':
		return m.minute
	case 's':
		return m.second
	case 'S':
		return m.millis
	case 'D':
		return m.dayOfYear()
	case 'F':
		return (m.day-1)/7 + 1
	case 'w':
		_, week := m.week()
		return week
	case 'W':
		return (m.day-1+mod(m.weekday-(m.day-1), 7))/7 + 1
	}
	return mod(m.weekday-1, 7) + 1 // u: Monday is 1
}

func appendYear(dst []byte, year int64, width int) []byte {
	if width == 2 {
		return appendNumber(dst, year%100, 2)
	}
	return appendNumber(dst, year, width)
}

// appendName appends a name, its first three letters, or its number.
func appendName(dst []byte, name string, n int64, width int) []byte {
	switch {
	case width > 3:
		return append(dst, name...)
	case width == 3:
		return append(dst, name[:3]...)
	}
	return appendNumber(dst, n, width)
}

// appendNumber appends a number with zeros before it. Years of weeks before Christ are negative.
func appendNumber(dst []byte, n int64, width int) []byte {
	if n < 0 {
		dst, n = append(dst, '-'), -n
	}
	var buf [20]byte
	i := len(buf)
	for ; n > 0 || i == len(buf); n /= 10 {
		i--
		buf[i] = byte('0' + n%10)
	}
	for k := len(buf) - i; k < width; k++ {
		dst = append(dst, '0')
	}
	return append(dst, buf[i:]...)
}
