// SPDX-License-Identifier: Apache-2.0

package plain

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"

	"freshet/change"
	"freshet/change/java"
	"freshet/config"
	"freshet/schema"
)

var encodingKey = config.Key{
	Name: "converter.encoding", Type: config.String, Default: "UTF-8", HasDefault: true, Importance: config.High, Group: "Encoding",
	Doc: "The character set of the texts, by its IANA name.",
}

// text is StringConverter.
type text struct {
	encoding encoding.Encoding // nil is UTF-8
}

var optionalString = &schema.Type{Kind: schema.String, Optional: true}

// javaCharsets are the names that Java has for character sets, besides IANA's.
var javaCharsets = map[string]string{
	"utf8": "utf-8", "latin1": "iso-8859-1", "iso8859_1": "iso-8859-1", "ascii": "us-ascii", "cp1252": "windows-1252",
	"cp1251": "windows-1251", "cp1250": "windows-1250", "sjis": "shift_jis", "unicodebig": "utf-16",
}

func newText(name string) (codec, error) {
	name = strings.TrimSpace(name)
	known := strings.ToLower(name)
	if iana, ok := javaCharsets[known]; ok {
		known = iana
	}
	switch known {
	case "utf-8":
		return text{}, nil
	case "utf-16": // written with a mark; read by the mark, else big-endian
		return text{unicode.UTF16(unicode.BigEndian, unicode.UseBOM)}, nil
	}
	e, err := ianaindex.IANA.Encoding(known)
	if err != nil || e == nil {
		return nil, fmt.Errorf("Unsupported encoding %s", name) //nolint:staticcheck // the reference's words
	}
	return text{e}, nil
}

func (text) schema() *schema.Type { return optionalString }

func (text) check(*schema.Type) error { return nil }

func (c text) append(dst []byte, t *schema.Type, b *change.Batch, v change.Value) ([]byte, error) {
	if c.encoding == nil {
		return java.AppendText(dst, t, b, v), nil
	}
	return append(dst, c.encode(java.AppendText(nil, t, b, v))...), nil
}

// encode puts a question mark for what the character set does not have, as Java does.
func (c text) encode(utf []byte) []byte {
	if len(utf) == 0 {
		return nil
	}
	out, err := c.encoding.NewEncoder().Bytes(utf)
	if err == nil {
		return out
	}
	out = out[:0]
	for _, r := range string(utf) {
		one, err := c.encoding.NewEncoder().Bytes(utf8.AppendRune(nil, r))
		if err != nil {
			one = []byte{'?'}
		}
		out = append(out, one...)
	}
	return out
}

func (c text) read(b *change.Batch, wire []byte) (change.Value, error) {
	e := c.encoding
	if e == nil {
		if utf8.Valid(wire) {
			return b.TextOf(wire), nil
		}
		e = unicode.UTF8
	}
	utf, err := e.NewDecoder().Bytes(wire)
	return b.TextOf(utf), err
}
