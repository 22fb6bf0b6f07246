// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"slices"
	"unicode/utf8"

	"freshet/change"
	"freshet/schema"
)

// hstoreForm is a map, or its JSON text, by hstore.handling.mode.
func hstoreForm(u typeUse) form {
	p := placeholderText(u.o)
	if u.o.Hstore == "map" {
		typ := schema.Type{Kind: schema.Map, Key: &schema.Type{Kind: schema.String}, Elem: &schema.Type{Kind: schema.String, Optional: true}}
		return form{typ: typ, decode: decodeHstoreMap, fallback: []any{}, unavailable: []any{p, p}}
	}
	quoted := string(appendJSONString(nil, []byte(p), false))
	return form{
		typ:    schema.Type{Kind: schema.String, Name: schema.JSON, Version: 1},
		decode: decodeHstoreJSON, fallback: "{}", unavailable: "{" + quoted + ":" + quoted + "}",
	}
}

// hstorePair is one entry: parts of the text between quotes, with its backslashes.
type hstorePair struct {
	key, value []byte
	null       bool
	order      uint64 // bucket in a Java HashMap, then place in the text
}

// stackPairs is how many entries need no memory.
const stackPairs = 32

func decodeHstoreMap(b *change.Batch, text []byte) (change.Value, error) {
	var room [stackPairs]hstorePair
	pairs, ok := parseHstore(room[:0], text)
	if !ok {
		return change.Value{}, badValue("hstore", text, "it is not an hstore")
	}
	row := b.NewRow(2 * len(pairs))
	for i, p := range pairs {
		b.Set(row, 2*i, unescapedText(b, p.key))
		if !p.null {
			b.Set(row, 2*i+1, unescapedText(b, p.value))
		}
	}
	return b.Run(change.Map, row), nil
}

func unescapedText(b *change.Batch, raw []byte) change.Value {
	mark := len(b.Arena)
	b.Arena = appendUnescaped(b.Arena, raw)
	return b.TextFrom(mark)
}

func decodeHstoreJSON(b *change.Batch, text []byte) (change.Value, error) {
	var room [stackPairs]hstorePair
	pairs, ok := parseHstore(room[:0], text)
	if !ok {
		return change.Value{}, badValue("hstore", text, "it is not an hstore")
	}
	mark := len(b.Arena)
	dst := append(b.Arena, '{')
	for i, p := range pairs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendJSONString(dst, p.key, true), ':')
		if p.null {
			dst = append(dst, "null"...)
		} else {
			dst = appendJSONString(dst, p.value, true)
		}
	}
	b.Arena = append(dst, '}')
	return b.TextFrom(mark), nil
}

// appendJSONString writes a JSON string; an escaped text loses its backslashes first.
func appendJSONString(dst, text []byte, escaped bool) []byte {
	const hex = "0123456789ABCDEF"
	dst = append(dst, '"')
	for i := 0; i < len(text); i++ {
		if escaped && text[i] == '\\' && i+1 < len(text) {
			i++
		}
		switch c := text[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= 0x20:
			dst = append(dst, c)
		case c == '\b':
			dst = append(dst, '\\', 'b')
		case c == '\f':
			dst = append(dst, '\\', 'f')
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(dst, '"')
}

// parseHstore parses "key"=>"value", "key"=>NULL into pairs and puts them in the order of a Java HashMap, which is the
// order that consumers know.
func parseHstore(pairs []hstorePair, text []byte) ([]hstorePair, bool) {
	p := parser{rest: text}
	for len(p.rest) > 0 {
		if len(pairs) > 0 {
			p.expect(',')
			p.expect(' ')
		}
		key := p.quoted()
		p.expect('=')
		p.expect('>')
		pair := hstorePair{key: key}
		if len(p.rest) >= 4 && string(p.rest[:4]) == "NULL" {
			pair.null = true
			p.rest = p.rest[4:]
		} else {
			pair.value = p.quoted()
		}
		if p.bad {
			return nil, false
		}
		pairs = append(pairs, pair)
	}
	mask := hashMapSize(len(pairs)) - 1
	for i := range pairs {
		h := javaHash(pairs[i].key)
		pairs[i].order = uint64((h^h>>16)&mask)<<32 | uint64(i)
	}
	slices.SortFunc(pairs, func(x, y hstorePair) int {
		if x.order < y.order {
			return -1
		}
		return 1
	})
	return pairs, true
}

// quoted eats a text in double quotes and returns what is between them.
func (p *parser) quoted() []byte {
	if p.bad || len(p.rest) == 0 || p.rest[0] != '"' {
		p.bad = true
		return nil
	}
	n, _ := quotedLength(p.rest)
	if n == 0 {
		p.bad = true
		return nil
	}
	text := p.rest[1 : n-1]
	p.rest = p.rest[n:]
	return text
}

// hashMapSize is the number of buckets of a Java HashMap that n entries were put into one by one.
func hashMapSize(n int) uint32 {
	size := uint32(16)
	for uint64(n) > uint64(size)*3/4 {
		size *= 2
	}
	return size
}

// javaHash is String.hashCode of an escaped text: over its UTF-16 units.
func javaHash(escaped []byte) uint32 {
	var h uint32
	for i := 0; i < len(escaped); {
		if escaped[i] == '\\' && i+1 < len(escaped) {
			i++
		}
		r, n := utf8.DecodeRune(escaped[i:])
		i += n
		if r >= 0x10000 {
			h = h*31 + uint32(0xd800+(r-0x10000)>>10)
			r = 0xdc00 + (r-0x10000)&0x3ff
		}
		h = h*31 + uint32(r)
	}
	return h
}
