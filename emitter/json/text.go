// SPDX-License-Identifier: Apache-2.0

package json

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Texts are UTF-8, with one liberty: a surrogate without its partner, which Java's strings can hold and JSON can spell
// (\uD83D), is kept as the three bytes that its code point would have. It leaves as it came; a target that wants UTF-8
// refuses it instead of storing something else.

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plain is the length of the run at the beginning of p that is ASCII and neither a quote, a backslash nor a control
// character. It looks at eight bytes at a time: the lowest byte whose high bit is set in stop is the first that ends the
// run (borrows only disturb bytes above it).
func plain(p []byte) int {
	i := 0
	for ; i+8 <= len(p); i += 8 {
		x := binary.LittleEndian.Uint64(p[i:])
		stop := (x | (x - ones*0x20) | ((x ^ ones*'"') - ones) | ((x ^ ones*'\\') - ones)) & highs
		if stop != 0 {
			return i + bits.TrailingZeros64(stop)/8
		}
	}
	for ; i < len(p); i++ {
		if c := p[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
	}
	return i
}

const upperHex = "0123456789ABCDEF"

// shortEscapes are the letters of the two-character escapes; 0 where there is none.
var shortEscapes = [256]byte{'"': '"', '\\': '\\', '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't'}

// AppendString appends a JSON string as Jackson writes it: only what must be escaped is, with upper-case digits, and
// characters above U+FFFF as two escapes. Malformed UTF-8 becomes U+FFFD, one for each sequence that Java's decoder
// would take for one.
func AppendString(dst, p []byte) []byte {
	dst = append(dst, '"')
	for {
		n := plain(p)
		if n == len(p) {
			dst = append(dst, p...)
			return append(dst, '"')
		}
		for n < len(p) && p[n] >= utf8.RuneSelf { // characters that stay as they are
			_, size := utf8.DecodeRune(p[n:])
			if size != 2 && size != 3 {
				break
			}
			n += size
			n += plain(p[n:])
		}
		dst = append(dst, p[:n]...)
		if p = p[n:]; len(p) == 0 {
			return append(dst, '"')
		}
		n = 1
		if c := p[0]; c >= utf8.RuneSelf {
			dst, n = appendOddRune(dst, p)
		} else if short := shortEscapes[c]; short != 0 {
			dst = append(dst, '\\', short)
		} else {
			dst = append(dst, '\\', 'u', '0', '0', upperHex[c>>4], upperHex[c&15])
		}
		p = p[n:]
	}
}

// appendOddRune appends what begins with a byte above 0x7F and is no character of the basic plane.
func appendOddRune(dst, p []byte) ([]byte, int) {
	if r, size := utf8.DecodeRune(p); size == 4 {
		r -= 0x10000
		dst = appendUnit(dst, 0xD800+uint16(r>>10))
		return appendUnit(dst, 0xDC00+uint16(r&0x3FF)), 4
	}
	if u, ok := surrogate(p); ok {
		return appendUnit(dst, u), 3
	}
	return append(dst, "\uFFFD"...), malformed(p)
}

func appendUnit(dst []byte, u uint16) []byte {
	return append(dst, '\\', 'u', upperHex[u>>12], upperHex[u>>8&15], upperHex[u>>4&15], upperHex[u&15])
}

// surrogate recognises the three bytes of a surrogate.
func surrogate(p []byte) (uint16, bool) {
	if len(p) < 3 || p[0] != 0xED || p[1]&0xE0 != 0xA0 || p[2]&0xC0 != 0x80 {
		return 0, false
	}
	return 0xD000 | uint16(p[1]&0x3F)<<6 | uint16(p[2]&0x3F), true
}

// appendSurrogate is its inverse.
func appendSurrogate(dst []byte, u uint16) []byte {
	return append(dst, 0xED, 0x80|byte(u>>6&0x3F), 0x80|byte(u&0x3F))
}

// malformed is the length of the malformed sequence at the beginning of p: the longest prefix of a well-formed one, at
// least one byte.
func malformed(p []byte) int {
	n := 1
	for n < len(p) && n < 4 && wellFormedPrefix(p[:n+1]) {
		n++
	}
	return n
}

// wellFormedPrefix says whether p, of two or three bytes, could begin a character.
func wellFormedPrefix(p []byte) bool {
	low, high := byte(0x80), byte(0xBF)
	switch c := p[0]; {
	case c == 0xE0:
		low = 0xA0
	case c == 0xED:
		high = 0x9F
	case c == 0xF0:
		low = 0x90
	case c == 0xF4:
		high = 0x8F
	case c < 0xE0 || c > 0xF4:
		return false
	}
	if p[1] < low || p[1] > high {
		return false
	}
	return len(p) == 2 || p[0] >= 0xF0 && p[2]&0xC0 == 0x80 && len(p) == 3
}
