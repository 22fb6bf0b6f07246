// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"encoding/hex"
)

// Literals are for sessions with backslash escapes, which Open makes sure of.

// escapes are the bytes that a text literal cannot have as they are, and what follows the backslash.
var escapes = [256]byte{'\'': '\'', '\\': '\\', 0: '0', '\n': 'n', '\r': 'r', 0x1a: 'Z'}

// appendQuoted appends a text as a literal.
func appendQuoted[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '\'')
	from := 0
	for i := range len(s) {
		if e := escapes[s[i]]; e != 0 {
			dst = append(append(dst, s[from:i]...), '\\', e)
			from = i + 1
		}
	}
	return append(append(dst, s[from:]...), '\'')
}

// quoted is appendQuoted for short texts.
func quoted(s string) string { return string(appendQuoted(nil, s)) }

// appendHex appends bytes as a literal.
func appendHex(dst, p []byte) []byte {
	return append(hex.AppendEncode(append(dst, 'x', '\''), p), '\'')
}

// quoteFrom makes a text literal of what was appended since mark, in place, from its end.
func quoteFrom(dst []byte, mark int) []byte {
	extra := 2
	for _, c := range dst[mark:] {
		if escapes[c] != 0 {
			extra++
		}
	}
	from := len(dst) - 1
	for range extra {
		dst = append(dst, 0)
	}
	to := len(dst) - 1
	dst[to] = '\''
	for to--; from >= mark; from-- {
		c := dst[from]
		if e := escapes[c]; e != 0 {
			dst[to], dst[to-1] = e, '\\'
			to -= 2
			continue
		}
		dst[to] = c
		to--
	}
	dst[mark] = '\''
	return dst
}
