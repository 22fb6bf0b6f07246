// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"fmt"
	"strings"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

var extractFieldKinds = bothSides(config.Plugin{
	Name: "ExtractField", Class: "org.apache.kafka.connect.transforms.ExtractField", Kind: "transformation", Version: Version,
	Def: config.Def{Keys: []config.Key{
		{
			Name: "field", Type: config.String, Required: true, Importance: config.Medium, Check: anyText,
			Doc: "Field that takes the place of the whole.",
		},
		{
			Name: "field.syntax.version", Type: config.String, Default: "V1", HasDefault: true, Importance: config.High,
			Doc: "V1: field is a name. V2: it is a path of names with dots between them; a name with dots in it stands in backticks.",
			Check: func(s string, _ config.Values) string {
				if !strings.EqualFold(s, "V1") && !strings.EqualFold(s, "V2") {
					return "String must be one of (case insensitive): V1, V2"
				}
				return ""
			},
		},
		replaceNullsKey,
	}},
}, func(s side, v config.Values) (Transform, error) {
	t := &extractField{side: s, nulls: nullsOf(v), field: v.Get("field"), path: []string{v.Get("field")}}
	var err error
	if strings.EqualFold(v.Get("field.syntax.version"), "V2") {
		t.path, err = fieldPath(t.field)
	}
	return t, err
})

// extractField puts a field in the place of the whole.
type extractField struct {
	side  side
	nulls nulls
	field string // as configured
	path  []string
	types cache[*fieldPlace]
}

// fieldPlace is where a field is: the index in each struct on the way, and the type of each struct on the way and of the
// field.
type fieldPlace struct {
	at    []int
	types []*schema.Type
}

const extractPurpose = "field extraction"

// Apply finds the field.
func (t *extractField) Apply(r *Record) (bool, error) {
	typ, v, err := t.side.get(r)
	if err != nil {
		return false, err
	}
	b := r.Data
	if typ == nil {
		if v, err = t.inMap(b, v); err == nil {
			t.side.set(r, nil, v)
		}
		return true, err
	}
	if !v.IsNull() {
		if err := requireStruct(typ, v, extractPurpose); err != nil {
			return false, err
		}
	}
	place, ok := t.types.get(typ)
	if !ok {
		if place = placeOf(typ, t.path); place == nil {
			return false, &Error{Thrown: illegalArgument, Message: "Unknown field: " + t.field}
		}
		t.types.put(typ, place)
	}
	for i, at := range place.at {
		if v.IsNull() {
			break
		}
		v = t.nulls.read(b, place.types[i], b.At(b.RowOf(v), at))
	}
	t.side.set(r, place.types[len(place.types)-1], v)
	return true, nil
}

// placeOf finds a path in a struct; nil where it is not there.
func placeOf(typ *schema.Type, path []string) *fieldPlace {
	p := &fieldPlace{}
	for _, name := range path {
		i := typ.FieldIndex(name)
		if i < 0 {
			return nil
		}
		typ = typ.Fields[i].Type
		p.at, p.types = append(p.at, i), append(p.types, typ)
	}
	return p
}

func (t *extractField) inMap(b *change.Batch, v change.Value) (change.Value, error) {
	purpose := extractPurpose
	for _, name := range t.path {
		if v.IsNull() {
			return v, nil
		}
		if err := requireMap(v, purpose); err != nil {
			return v, err
		}
		v = object(b.Elems(v)).value(b, name)
		purpose = "nested field access"
	}
	return v, nil
}

// fieldPath splits a path of version 2 at its dots. A name that begins with a backtick goes on to the next backtick that a
// dot or the end follows; a backslash before such a backtick makes it part of the name.
func fieldPath(path string) ([]string, error) {
	var steps []string
	rest := path
	for {
		if !strings.HasPrefix(rest, "`") {
			name, after, more := strings.Cut(rest, ".")
			steps = append(steps, name)
			if !more {
				return steps, nil
			}
			rest = after
			continue
		}
		name, after, ok := backticked(rest[1:])
		if !ok {
			at := len(path) - len(rest)
			return nil, fmt.Errorf("Incomplete backtick pair in path: [%s], consider adding a backslash before backtick at position %d to escape it", path, at) //nolint:staticcheck // Kafka's words
		}
		steps = append(steps, name)
		if after == "" {
			return steps, nil
		}
		rest = after[1:]
	}
}

// backticked reads up to the closing backtick; after begins with a dot or is empty.
func backticked(s string) (name, after string, ok bool) {
	var out strings.Builder
	start := 0
	for i := 0; i < len(s); i++ {
		if s[i] != '`' || i+1 < len(s) && s[i+1] != '.' {
			continue
		}
		if i > 0 && s[i-1] == '\\' {
			if i+1 == len(s) {
				return "", "", false
			}
			out.WriteString(s[start:i-1] + "`")
			start = i + 1
			continue
		}
		out.WriteString(s[start:i])
		return out.String(), s[i+1:], true
	}
	return "", "", false
}
