// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"encoding/hex"
)

// Literals are for sessions with backslash escapes, which Open makes sure of.

// appendQuoted appends a text as a literal.
func appendQuoted[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '\'')
	from := 0
	for i := range len(s) {
		var escaped byte
		switch s[i] {
		case '\'':
			escaped = '\''
		case '\\':
			escaped = '\\'
		case 0:
			escaped = '0'
		case '\n':
			escaped = 'n'
		case '\r':
			escaped = 'r'
		case 0x1a:
			escaped = 'Z'
		default:
			continue
		}
		dst = append(append(dst, s[from:i]...), '\\', escaped)
		from = i + 1
	}
	return append(append(dst, s[from:]...), '\'')
}

// quoted is appendQuoted for short texts.
func quoted(s string) string { return string(appendQuoted(nil, s)) }

// appendHex appends bytes as a literal.
func appendHex(dst, p []byte) []byte {
	return append(hex.AppendEncode(append(dst, 'x', '\''), p), '\'')
}

// quoteFrom makes a text literal of what was appended since mark, which has nothing to escape.
func quoteFrom(dst []byte, mark int) []byte {
	dst = append(dst, 0, '\'')
	copy(dst[mark+1:], dst[mark:len(dst)-2])
	dst[mark] = '\''
	return dst
}
