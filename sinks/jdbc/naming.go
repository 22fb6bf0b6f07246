// SPDX-License-Identifier: Apache-2.0

package jdbc

import (
	"fmt"
	"strconv"
	"strings"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks/jdbc/dialect"
)

// nameFormat is a parsed collection.name.format.
type nameFormat []namePart

// namePart is a text, the topic, or a field of the source block.
type namePart struct {
	text   string
	topic  bool
	source string
}

func parseNameFormat(format string) nameFormat {
	var parts nameFormat
	for format != "" {
		at := strings.Index(format, "${")
		end := strings.IndexByte(format[max(at, 0):], '}')
		if at < 0 || end < 0 {
			return append(parts, namePart{text: format})
		}
		if at > 0 {
			parts = append(parts, namePart{text: format[:at]})
		}
		name := format[at+2 : at+end]
		field, isSource := strings.CutPrefix(name, "source.")
		switch {
		case name == "topic":
			parts = append(parts, namePart{topic: true})
		case isSource:
			parts = append(parts, namePart{source: field})
		default:
			parts = append(parts, namePart{text: format[at : at+end+1]})
		}
		format = format[at+end+1:]
	}
	return parts
}

// innerDot stands for a dot inside a name that a field of the source block gives, on its way from append to tableName: it
// separates nothing. No database allows the character in a name.
const innerDot = 0

// append appends the collection name of a record. source is its source block, with type t; ok is false where the format
// needs a field that the record does not have.
func (f nameFormat) append(dst []byte, topic string, b *change.Batch, t *schema.Type, source change.Value) (out []byte, ok bool) {
	for _, part := range f {
		switch {
		case part.topic:
			mark := len(dst)
			dst = append(dst, topic...)
			for i := range dst[mark:] {
				if dst[mark+i] == '.' {
					dst[mark+i] = '_'
				}
			}
		case part.source != "":
			if dst, ok = appendSourceField(dst, b, t, source, part.source); !ok {
				return dst, false
			}
		default:
			dst = append(dst, part.text...)
		}
	}
	return dst, true
}

func appendSourceField(dst []byte, b *change.Batch, t *schema.Type, source change.Value, field string) (out []byte, ok bool) {
	if t == nil || source.Kind() != change.Struct {
		return dst, false
	}
	i := t.FieldIndex(field)
	if i < 0 {
		return dst, false
	}
	switch v := b.At(b.RowOf(source), i); v.Kind() {
	case change.Text:
		mark := len(dst)
		dst = append(dst, b.Bytes(v)...)
		for i := range dst[mark:] {
			if dst[mark+i] == '.' {
				dst[mark+i] = innerDot
			}
		}
		return dst, true
	case change.Int:
		return strconv.AppendInt(dst, v.Int(), 10), true
	}
	return dst, false
}

// tableName parses [[catalog.]schema.]table. Names longer than the database stores are refused: it would cut them, and
// two long names could become one table.
func (w *writer) tableName(collection string) (dialect.Name, error) {
	parts := strings.Split(collection, ".")
	if len(parts) > 3 || parts[len(parts)-1] == "" {
		return dialect.Name{}, refuse(fmt.Errorf("collection name %q is not table, schema.table or catalog.schema.table", withDots(collection)), "correct collection.name.format")
	}
	n := dialect.Name{Table: w.storedName(withDots(parts[len(parts)-1]))}
	if len(parts) > 1 {
		n.Schema = w.storedName(withDots(parts[len(parts)-2]))
	}
	if longest := w.opt.dialect.MaxName(); len(n.Table) > longest || len(n.Schema) > longest {
		return dialect.Name{}, refuse(fmt.Errorf("table name %q is longer than %d bytes", n, longest), "give a shorter one by collection.name.format")
	}
	return n, nil
}

// withDots puts dots inside of names back.
func withDots(s string) string { return strings.ReplaceAll(s, string(rune(innerDot)), ".") }

// storedName is the name as the catalogue has it.
func (w *writer) storedName(name string) string {
	if w.opt.quote {
		return name
	}
	return w.opt.dialect.Fold(name)
}
