// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"freshet/change"
	"freshet/schema"
)

// dropFields leaves out of rows the fields that a header of each record lists (drop.fields.header.name).
type dropFields struct {
	header       string
	fromKey      bool
	optionalOnly bool // keeps required fields, so that old and new schema stay compatible
	types        map[dropKey]*dropped
}

type dropKey struct {
	in   *schema.Type
	list string
}

// dropped is a struct type without some fields, and which are kept.
type dropped struct {
	out  *schema.Type
	keep []int
}

func (d *dropFields) apply(r *Record) error {
	if d.header == "" {
		return nil
	}
	i := slices.IndexFunc(r.Headers, func(h Header) bool { return h.Key == d.header })
	if i < 0 {
		return nil
	}
	names, err := headerList(r.Data, &r.Headers[i])
	if err != nil {
		return refuse("drop.fields.header.name: header %q: %v", d.header, err)
	}
	if len(names) == 0 {
		return nil
	}
	r.ValueType, r.Value = d.without(r.Data, r.ValueType, r.Value, names)
	if d.fromKey && r.KeyType != nil && r.KeyType.Kind == schema.Struct {
		r.KeyType, r.Key = d.without(r.Data, r.KeyType, r.Key, names)
	}
	return nil
}

// headerList reads a list of names: a typed array, or a JSON array as a header converter stores it.
func headerList(b *change.Batch, h *Header) ([]string, error) {
	var names []string
	switch {
	case h.Type == nil:
		if err := json.Unmarshal(h.Raw, &names); err != nil {
			return nil, fmt.Errorf("want a list of field names: %w", err)
		}
	case h.Value.Kind() == change.Array:
		for _, v := range b.Elems(h.Value) {
			if v.Kind() != change.Text {
				return nil, fmt.Errorf("want a list of field names, found a list of %s", h.Type.Elem.Kind)
			}
			names = append(names, b.String(v))
		}
	case !h.Value.IsNull():
		return nil, fmt.Errorf("want a list of field names, found %s", h.Type.Kind)
	}
	return names, nil
}

func (d *dropFields) without(b *change.Batch, t *schema.Type, v change.Value, names []string) (*schema.Type, change.Value) {
	key := dropKey{t, strings.Join(names, "\x00")}
	s := d.types[key]
	if s == nil {
		out := *t
		out.Fields = nil
		s = &dropped{out: &out}
		for i, f := range t.Fields {
			if !slices.Contains(names, f.Name) || d.optionalOnly && !f.Type.Optional {
				out.Fields, s.keep = append(out.Fields, f), append(s.keep, i)
			}
		}
		if len(d.types) >= 1024 { // the lists come from data: forget rather than grow
			clear(d.types)
		}
		key.list = strings.Clone(key.list)
		d.types[key] = s
	}
	if v.IsNull() {
		return s.out, v
	}
	row, out := b.RowOf(v), b.NewRow(len(s.keep))
	for i, from := range s.keep {
		b.Set(out, i, b.At(row, from))
	}
	return s.out, b.Run(change.Struct, out)
}
