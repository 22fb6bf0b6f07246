// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// ParseProperties parses a Java .properties file: comments with # and !, keys ended by =, : or white space, continued
// lines, and the escapes \t \n \r \f and \uXXXX. A later value of a key wins. Text is UTF-8; a file that is not is taken
// as Latin-1, as Java reads every file.
func ParseProperties(text []byte) (map[string]string, error) {
	s := string(text)
	if !utf8.ValidString(s) {
		runes := make([]rune, len(text))
		for i, b := range text {
			runes[i] = rune(b)
		}
		s = string(runes)
	}
	out := map[string]string{}
	p := propertyLines{rest: strings.TrimPrefix(s, "\ufeff")}
	for p.next() {
		end, value := splitProperty(p.line)
		k, err := unescape(p.line[:end])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", p.number, err)
		}
		v, err := unescape(p.line[value:])
		if err != nil {
			// The value is left out of the message: it may be a password.
			return nil, fmt.Errorf("line %d, property %q: %w", p.number, k, err)
		}
		out[k] = v
	}
	return out, nil
}

// propertyLines yields logical lines: no comments, no empty ones, continuations joined, blanks in front removed.
type propertyLines struct {
	rest   string
	line   string
	number int // of the first natural line of line, from 1
	read   int // natural lines read
}

func (p *propertyLines) next() bool {
	var joined strings.Builder
	continued := false
	for p.rest != "" {
		if !continued {
			joined.Reset()
		}
		natural := p.natural()
		if !continued {
			if natural == "" || natural[0] == '#' || natural[0] == '!' {
				continue
			}
			p.number = p.read
		}
		slashes := len(natural) - len(strings.TrimRight(natural, `\`))
		continued = slashes%2 == 1
		joined.WriteString(strings.TrimSuffix(natural, `\`[:slashes%2]))
		if !continued && joined.Len() > 0 { // a lone backslash joins nothing
			break
		}
	}
	p.line = joined.String()
	return p.line != ""
}

// natural takes one line of the file, without its end and the blanks in front.
func (p *propertyLines) natural() string {
	p.read++
	i := strings.IndexAny(p.rest, "\r\n")
	line := p.rest
	if i < 0 {
		p.rest = ""
	} else {
		line = p.rest[:i]
		if p.rest[i] == '\r' && i+1 < len(p.rest) && p.rest[i+1] == '\n' {
			i++
		}
		p.rest = p.rest[i+1:]
	}
	return strings.TrimLeft(line, " \t\f")
}

// splitProperty finds where the key ends and where the value begins: behind blanks, at most one = or :, and blanks.
func splitProperty(line string) (keyEnd, valueStart int) {
	for keyEnd < len(line) && !strings.ContainsRune("=: \t\f", rune(line[keyEnd])) {
		if line[keyEnd] == '\\' && keyEnd+1 < len(line) {
			keyEnd++
		}
		keyEnd++
	}
	skip := func(i int) int {
		for i < len(line) && strings.IndexByte(" \t\f", line[i]) >= 0 {
			i++
		}
		return i
	}
	valueStart = skip(keyEnd)
	if valueStart < len(line) && (line[valueStart] == '=' || line[valueStart] == ':') {
		valueStart = skip(valueStart + 1)
	}
	return keyEnd, valueStart
}

// unescape resolves escapes; a backslash before any other character is dropped.
func unescape(s string) (string, error) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, nil
	}
	var out strings.Builder
	var high rune // first half of a surrogate pair
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out.WriteByte(s[i])
			continue
		}
		i++
		if s[i] != 'u' {
			out.WriteByte(unescapedByte(s[i]))
			continue
		}
		r, ok := hexRune(s[i+1:])
		if !ok {
			return "", fmt.Errorf(`malformed \uxxxx encoding: four hexadecimal digits are expected`)
		}
		i += 4
		switch low := utf16.DecodeRune(high, r); {
		case high != 0 && low != utf8.RuneError:
			out.WriteRune(low)
			high = 0
		case utf16.IsSurrogate(r) && r < 0xdc00 && strings.HasPrefix(s[i+1:], `\u`):
			high = r
		default:
			out.WriteRune(r)
			high = 0
		}
	}
	return out.String(), nil
}

func unescapedByte(c byte) byte {
	switch c {
	case 't':
		return '\t'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 'f':
		return '\f'
	}
	return c
}

func hexRune(s string) (rune, bool) {
	if len(s) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range []byte(s[:4]) {
		i := strings.IndexByte("0123456789abcdef", c|0x20)
		if i < 0 || c < '0' {
			return 0, false
		}
		r = r<<4 | rune(i)
	}
	return r, true
}
