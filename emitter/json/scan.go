// SPDX-License-Identifier: Apache-2.0

package json

import (
	"fmt"
	"unicode/utf8"
	"unsafe"
)

// scanner reads JSON as Kafka's deserializer does: leading zeros and a byte order mark are fine, and what follows the
// first value is not looked at. It owns nothing: p is the caller's.
type scanner struct {
	p     []byte
	i     int
	depth int
}

// maxDepth is how deep values may be nested, as in Jackson.
const maxDepth = 1000

const brokenText = "Converting byte[] to Kafka Connect data failed due to serialization error: "

// broken is the error for text that is not JSON.
func (s *scanner) broken(what string) error {
	return &DataError{Message: brokenText, Err: fmt.Errorf("%s at byte %d of %d", what, s.i, len(s.p))}
}

// unexpected is the error for the next character.
func (s *scanner) unexpected() error {
	if s.i >= len(s.p) {
		return s.broken("unexpected end")
	}
	return s.broken(fmt.Sprintf("unexpected character %q", s.p[s.i]))
}

// start makes p the text to read.
func (s *scanner) start(p []byte) {
	s.p, s.i, s.depth = p, 0, 0
	if len(p) >= 3 && p[0] == 0xEF && p[1] == 0xBB && p[2] == 0xBF {
		s.i = 3
	}
}

// peek skips blanks and returns the character that follows, 0 at the end.
func (s *scanner) peek() byte {
	for s.i < len(s.p) {
		switch c := s.p[s.i]; c {
		case ' ', '\n', '\r', '\t':
			s.i++
		default:
			return c
		}
	}
	return 0
}

// consume skips blanks and c, or refuses another character.
func (s *scanner) consume(c byte) error {
	if s.peek() != c {
		return s.unexpected()
	}
	s.i++
	return nil
}

// enter and leave count the nesting around the brackets of objects and arrays.
func (s *scanner) enter() error {
	if s.depth++; s.depth > maxDepth {
		return s.broken("values nested too deep")
	}
	s.i++
	return nil
}

func (s *scanner) leave() {
	s.depth--
	s.i++
}

// next says whether another item follows in an object or array that ends with end, and skips the comma before it.
// first is true before the first one.
func (s *scanner) next(end byte, first bool) (bool, error) {
	switch c := s.peek(); {
	case c == end:
		s.leave()
		return false, nil
	case first:
		return true, nil
	case c == ',':
		s.i++
		return true, nil
	}
	return false, s.unexpected()
}

// word skips a literal.
func (s *scanner) word(w string) error {
	if len(s.p)-s.i < len(w) || string(s.p[s.i:s.i+len(w)]) != w {
		return s.unexpected()
	}
	s.i += len(w)
	return s.tokenEnd()
}

// tokenEnd refuses a letter or digit stuck to a literal or number.
func (s *scanner) tokenEnd() error {
	if s.i == len(s.p) {
		return nil
	}
	switch s.p[s.i] {
	case ',', '}', ']', ' ', '\n', '\r', '\t':
		return nil
	case ':', '"', '[', '{':
		return nil // refused, where it matters, by whoever expects something else
	}
	return s.unexpected()
}

// text skips a string and returns what is between its quotes. plain says that it holds no escapes.
func (s *scanner) text() (p []byte, plainText bool, err error) {
	if s.peek() != '"' {
		return nil, false, s.unexpected()
	}
	s.i++
	begin := s.i
	plainText = true
	for {
		s.i += plain(s.p[s.i:])
		if s.i >= len(s.p) {
			return nil, false, s.unexpected()
		}
		switch c := s.p[s.i]; {
		case c == '"':
			s.i++
			return s.p[begin : s.i-1], plainText, nil
		case c == '\\':
			plainText = false
			if s.i += 2; s.i > len(s.p) {
				return nil, false, s.unexpected()
			}
		case c < 0x20:
			return nil, false, s.unexpected()
		default:
			if err := s.runes(); err != nil {
				return nil, false, err
			}
		}
	}
}

// runes skips characters beyond ASCII.
func (s *scanner) runes() error {
	for s.i < len(s.p) && s.p[s.i] >= utf8.RuneSelf {
		r, size := utf8.DecodeRune(s.p[s.i:])
		if r == utf8.RuneError && size == 1 {
			if _, ok := surrogate(s.p[s.i:]); !ok {
				return s.broken("malformed UTF-8")
			}
			size = 3
		}
		s.i += size
	}
	return nil
}

// unescape appends the text of p, which came from text.
func (s *scanner) unescape(dst, p []byte) ([]byte, error) {
	for {
		n := indexEscape(p)
		dst = append(dst, p[:n]...)
		if n == len(p) {
			return dst, nil
		}
		p = p[n+1:] // never empty: text has seen the character after the backslash
		c := p[0]
		p = p[1:]
		switch c {
		case '"', '\\', '/':
			dst = append(dst, c)
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			var ok bool
			if dst, p, ok = unescapeUnit(dst, p); !ok {
				return dst, s.broken("malformed escape before")
			}
		default:
			return dst, s.broken(fmt.Sprintf("unknown escape %q before", c))
		}
	}
}

func indexEscape(p []byte) int {
	for i, c := range p {
		if c == '\\' {
			return i
		}
	}
	return len(p)
}

// unescapeUnit appends the character of the four digits at the beginning of p, or of two such escapes.
func unescapeUnit(dst, p []byte) (out, rest []byte, ok bool) {
	u, ok := unit(p)
	if !ok {
		return dst, p, false
	}
	p = p[4:]
	if u < 0xD800 || u > 0xDFFF {
		return utf8.AppendRune(dst, rune(u)), p, true
	}
	if u < 0xDC00 && len(p) >= 6 && p[0] == '\\' && p[1] == 'u' {
		if low, ok := unit(p[2:]); ok && low >= 0xDC00 && low <= 0xDFFF {
			r := rune(u-0xD800)<<10 + rune(low-0xDC00) + 0x10000
			return utf8.AppendRune(dst, r), p[6:], true
		}
	}
	return appendSurrogate(dst, u), p, true
}

func unit(p []byte) (u uint16, ok bool) {
	if len(p) < 4 {
		return 0, false
	}
	for _, c := range p[:4] {
		u <<= 4
		switch {
		case c >= '0' && c <= '9':
			u |= uint16(c - '0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			u |= uint16(c | 0x20 - 'a' + 10)
		default:
			return 0, false
		}
	}
	return u, true
}

// number skips a number. i is its integer, modulo 2^64, where integral says that it has neither fraction nor exponent.
func (s *scanner) number() (text []byte, i int64, integral bool, err error) {
	begin := s.i
	negative := s.i < len(s.p) && s.p[s.i] == '-'
	if negative {
		s.i++
	}
	var u uint64
	digits := s.i
	for s.i < len(s.p) && s.p[s.i]-'0' <= 9 {
		u = u*10 + uint64(s.p[s.i]-'0')
		s.i++
	}
	if s.i == digits {
		return nil, 0, false, s.unexpected()
	}
	if negative {
		u = -u
	}
	integral = true
	if s.i < len(s.p) && s.p[s.i] == '.' {
		integral = false
		s.i++
		if err := s.digits(); err != nil {
			return nil, 0, false, err
		}
	}
	if s.i < len(s.p) && s.p[s.i]|0x20 == 'e' {
		integral = false
		s.i++
		if s.i < len(s.p) && (s.p[s.i] == '-' || s.p[s.i] == '+') {
			s.i++
		}
		if err := s.digits(); err != nil {
			return nil, 0, false, err
		}
	}
	return s.p[begin:s.i], int64(u), integral, s.tokenEnd()
}

// digits skips at least one digit.
func (s *scanner) digits() error {
	begin := s.i
	for s.i < len(s.p) && s.p[s.i]-'0' <= 9 {
		s.i++
	}
	if s.i == begin {
		return s.unexpected()
	}
	return nil
}

// skip reads a value of any kind and returns its text.
func (s *scanner) skip() ([]byte, error) {
	c := s.peek()
	begin := s.i
	var err error
	switch c {
	case '{':
		err = s.skipObject()
	case '[':
		err = s.skipArray()
	case '"':
		_, _, err = s.text()
	case 't':
		err = s.word("true")
	case 'f':
		err = s.word("false")
	case 'n':
		err = s.word("null")
	default:
		_, _, _, err = s.number()
	}
	return s.p[begin:s.i], err
}

func (s *scanner) skipObject() error {
	if err := s.enter(); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := s.next('}', first)
		if err != nil || !more {
			return err
		}
		if _, _, err = s.text(); err != nil {
			return err
		}
		if err = s.consume(':'); err != nil {
			return err
		}
		if _, err = s.skip(); err != nil {
			return err
		}
	}
}

func (s *scanner) skipArray() error {
	if err := s.enter(); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := s.next(']', first)
		if err != nil || !more {
			return err
		}
		if _, err = s.skip(); err != nil {
			return err
		}
	}
}

// nodeKind is Jackson's name of the kind of value that begins with c.
func nodeKind(c byte) string {
	switch c {
	case '{':
		return "OBJECT"
	case '[':
		return "ARRAY"
	case '"':
		return "STRING"
	case 't', 'f':
		return "BOOLEAN"
	case 'n':
		return "NULL"
	}
	return "NUMBER"
}

// asString is p without a copy, for calls that do not keep it.
func asString(p []byte) string { return unsafe.String(unsafe.SliceData(p), len(p)) }
