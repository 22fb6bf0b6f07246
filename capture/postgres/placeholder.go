// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"crypto/md5"
	"encoding/hex"
	"math"

	"freshet/schema"
)

// placeholderText is the placeholder as a string: each byte that is not UTF-8 shows as U+FFFD.
func placeholderText(o *TypeOptions) string { return string([]rune(string(o.Placeholder))) }

// placeholderInts is the placeholder as a list of numbers, its bytes signed as Java has them.
func placeholderInts(p []byte) []any {
	list := make([]any, len(p))
	for i, c := range p {
		list[i] = int64(int8(c))
	}
	return list
}

// placeholderUUID is the name-based UUID (version 3, without a namespace) of the placeholder.
func placeholderUUID(p []byte) string {
	sum := md5.Sum(p)
	sum[6] = sum[6]&0x0f | 0x30
	sum[8] = sum[8]&0x3f | 0x80
	h := hex.EncodeToString(sum[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// unavailableIn is what a column emits for a value that the server did not send. Where the type has no recorded
// placeholder an optional column emits null. A required one cannot: it emits a value that no database wrote, made of the
// placeholder like those of the other types, because a plausible one such as 0 would overwrite the real value downstream
// unnoticed.
func (f *form) unavailableIn(optional bool, o *TypeOptions) any {
	if f.unavailable != nil || optional {
		return f.unavailable
	}
	if v := standIn(&f.typ, o); v != nil {
		return v
	}
	return f.fallback // types of fixed length; the server always sends them
}

// standIn makes a value of any type of the placeholder; nil for plain numbers and truth values, which have no room for it.
func standIn(t *schema.Type, o *TypeOptions) any {
	switch t.Kind {
	case schema.String:
		return placeholderText(o)
	case schema.Bytes:
		return o.Placeholder
	case schema.Float32, schema.Float64:
		return math.NaN()
	case schema.Array:
		return standInItems(t.Elem, o)
	case schema.Map:
		if key, value := standIn(t.Key, o), standIn(t.Elem, o); key != nil && value != nil {
			return []any{key, value}
		}
		return []any{}
	case schema.Struct:
		fields := make([]any, len(t.Fields))
		for i, m := range t.Fields {
			fields[i] = standIn(m.Type, o)
			switch {
			case m.Type.Optional:
				fields[i] = nil
			case fields[i] == nil:
				fields[i] = int64(0) // scales and dimensions
			}
		}
		return fields
	}
	return nil
}

func standInItems(elem *schema.Type, o *TypeOptions) []any {
	switch elem.Kind {
	case schema.Int8, schema.Int16, schema.Int32, schema.Int64:
		return placeholderInts(o.Placeholder)
	case schema.Float32, schema.Float64:
		list := placeholderInts(o.Placeholder)
		for i, v := range list {
			list[i] = float64(v.(int64))
		}
		return list
	}
	if v := standIn(elem, o); v != nil {
		return []any{v}
	}
	return []any{}
}
