// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"bytes"
	"slices"

	"freshet/change"
	"freshet/schema"
)

// How arrays of a known type are handled. Those of other known types are left out even where unknown types are included,
// as the reference leaves them out.
var (
	arrayElements = map[string]bool{
		"int2": true, "int4": true, "int8": true, "oid": true, "float4": true, "float8": true, "bool": true, "bit": true,
		"char": true, "varchar": true, "text": true, "bpchar": true, "citext": true, "numeric": true,
		"date": true, "time": true, "timetz": true, "timestamp": true, "timestamptz": true,
		"uuid": true, "json": true, "jsonb": true, "bytea": true, "hstore": true, "ltree": true,
		"inet": true, "cidr": true, "macaddr": true, "macaddr8": true,
		"int4range": true, "int8range": true, "numrange": true, "tsrange": true, "tstzrange": true, "daterange": true,
		"geometry": true, "geography": true,
	}
	omittedElements = map[string]bool{
		"money": true, "name": true, "interval": true, "varbit": true, "xml": true, "point": true, "refcursor": true,
	}
)

// arrayForm is the form of T[]. The type modifier is the element's.
func (r *Registry) arrayForm(u typeUse) (form, bool) {
	elem := u
	elem.resolved, elem.inArray = r.resolve(u.elem, u.typmod), true
	item, known := knownForm(elem)
	if elem.domain { // arrays of domains are unknown even over a known type
		known = false
	}
	switch {
	case known && (elem.kind == enumType || arrayElements[elem.name]):
	case elem.schema == "pg_catalog" && omittedElements[elem.name] && !elem.domain, !u.o.IncludeUnknown:
		return form{}, false
	default:
		known = false
		item = unknownForm(elem)
	}
	// Consumers know the items of enum and unknown arrays as required.
	item.typ.Optional = known && elem.kind != enumType
	f := form{
		typ:      schema.Type{Kind: schema.Array, Elem: &item.typ},
		fallback: []any{}, decode: arrayDecoder(item, elem.delim),
	}
	if known {
		f.unavailable = unavailableArray(elem.name, &item, u.o)
	}
	return f, true
}

// unavailableArray is the recorded placeholder of an array; nil where there is none.
func unavailableArray(elem string, item *form, o *TypeOptions) any {
	switch elem {
	case "text", "varchar", "bpchar", "json", "jsonb":
		return []any{placeholderText(o)}
	case "bytea":
		if item.typ.Kind == schema.Bytes {
			return []any{o.Placeholder}
		}
	case "int4", "int8":
		return placeholderInts(o.Placeholder)
	case "date":
		if item.typ.Kind == schema.Int32 {
			return placeholderInts(o.Placeholder)
		}
	case "uuid":
		return []any{placeholderUUID(o.Placeholder)}
	}
	return nil
}

// arrayDecoder decodes an array of one dimension. Bounds are ignored; each inner array of one of more dimensions becomes
// one null.
func arrayDecoder(item form, delim byte) decodeFunc {
	return func(b *change.Batch, text []byte) (change.Value, error) {
		items, ok := openArray(text, delim)
		n := 0
		for count := items; ok && !count.done(); n++ {
			_, _, ok = count.next()
		}
		if !ok {
			return change.Value{}, badValue("array", text, "it is not an array")
		}
		row := b.NewRow(n)
		for i := range n {
			raw, kind, _ := items.next()
			if kind == nullItem {
				if !item.typ.Optional {
					return change.Value{}, badValue("array", text, "a null item has no place in an array of required items")
				}
				continue
			}
			if kind == escapedItem {
				raw = unescape(b, raw)
			}
			v, err := item.decode(b, raw)
			if err != nil {
				return change.Value{}, err
			}
			b.Set(row, i, v)
		}
		return b.Run(change.Array, row), nil
	}
}

// unescape copies a text into the arena without its backslashes. What is appended to the arena later does not touch it,
// also where the arena moves.
func unescape(b *change.Batch, raw []byte) []byte {
	b.Arena = slices.Grow(b.Arena, len(raw))
	mark := len(b.Arena)
	b.Arena = appendUnescaped(b.Arena, raw)
	return b.Arena[mark:len(b.Arena):len(b.Arena)]
}

func appendUnescaped(dst, raw []byte) []byte {
	for i := 0; i < len(raw); i++ {
		if raw[i] == '\\' && i+1 < len(raw) {
			i++
		}
		dst = append(dst, raw[i])
	}
	return dst
}

// itemKind says how an item of an array is to be read.
type itemKind uint8

const (
	plainItem itemKind = iota
	escapedItem
	nullItem // an inner array, too
)

// arrayItems walks through the items of an array's text.
type arrayItems struct {
	text  []byte // between the braces
	delim byte
	begun bool
}

// openArray takes the bounds and the braces off.
func openArray(text []byte, delim byte) (arrayItems, bool) {
	if len(text) > 0 && text[0] == '[' {
		_, rest, ok := bytes.Cut(text, []byte{'='})
		if !ok {
			return arrayItems{}, false
		}
		text = rest
	}
	if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
		return arrayItems{}, false
	}
	return arrayItems{text: text[1 : len(text)-1], delim: delim}, true
}

func (a *arrayItems) done() bool { return len(a.text) == 0 }

// next is the next item without its quotes; false where the text is malformed.
func (a *arrayItems) next() (raw []byte, kind itemKind, ok bool) {
	if a.begun {
		if a.text[0] != a.delim || len(a.text) == 1 {
			return nil, plainItem, false
		}
		a.text = a.text[1:]
	}
	a.begun = true
	switch a.text[0] {
	case '"':
		return a.quoted()
	case '{':
		return a.nested()
	}
	n := bytes.IndexByte(a.text, a.delim)
	if n < 0 {
		n = len(a.text)
	}
	raw, a.text = a.text[:n], a.text[n:]
	if bytes.EqualFold(raw, []byte("NULL")) {
		return nil, nullItem, true
	}
	return raw, plainItem, len(raw) > 0
}

func (a *arrayItems) quoted() (raw []byte, kind itemKind, ok bool) {
	n, escaped := quotedLength(a.text)
	if n == 0 {
		return nil, plainItem, false
	}
	raw, a.text = a.text[1:n-1], a.text[n:]
	if escaped {
		kind = escapedItem
	}
	return raw, kind, true
}

// nested skips an inner array.
func (a *arrayItems) nested() (raw []byte, kind itemKind, ok bool) {
	depth := 0
	for i := 0; i < len(a.text); i++ {
		switch a.text[i] {
		case '"':
			n, _ := quotedLength(a.text[i:])
			if n == 0 {
				return nil, nullItem, false
			}
			i += n - 1
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				a.text = a.text[i+1:]
				return nil, nullItem, true
			}
		}
	}
	return nil, nullItem, false
}

// quotedLength is the length of the quoted text that text begins with, quotes included, and whether it has backslashes; 0
// where the closing quote is missing.
func quotedLength(text []byte) (n int, escaped bool) {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			return i + 1, escaped
		}
	}
	return 0, escaped
}
