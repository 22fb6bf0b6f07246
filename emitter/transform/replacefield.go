// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"fmt"
	"slices"
	"strings"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

var replaceFieldKinds = bothSides(config.Plugin{
	Name: "ReplaceField", Class: "org.apache.kafka.connect.transforms.ReplaceField", Kind: "transformation", Version: Version,
	Def: config.Def{Keys: []config.Key{
		{
			Name: "exclude", Type: config.List, HasDefault: true, Importance: config.Medium, Aliases: []string{"blacklist"},
			Doc: "Fields to leave out, whatever include says.",
		},
		{
			Name: "include", Type: config.List, HasDefault: true, Importance: config.Medium, Aliases: []string{"whitelist"},
			Doc: "The only fields to keep; all where the list is empty.",
		},
		{
			Name: "renames", Type: config.List, HasDefault: true, Importance: config.Medium,
			Doc: "New names of fields that are kept, as old:new. The other lists have the old names.",
			Check: func(s string, _ config.Values) string {
				_, reason := parseRenames(config.SplitList(s))
				return reason
			},
		},
		replaceNullsKey,
	}},
}, func(s side, v config.Values) (Transform, error) {
	renames, _ := parseRenames(v.List("renames"))
	return &replaceField{side: s, nulls: nullsOf(v), exclude: v.List("exclude"), include: v.List("include"), renames: renames}, nil
})

// parseRenames reads old:new.
func parseRenames(list []string) (renames map[string]string, reason string) {
	renames = map[string]string{}
	for _, item := range list {
		parts := javaSplit(item)
		if len(parts) != 2 {
			return nil, fmt.Sprintf("Invalid rename mapping: %s", item)
		}
		renames[parts[0]] = parts[1]
	}
	return renames, ""
}

// replaceField leaves fields out and renames others.
type replaceField struct {
	side             side
	nulls            nulls
	exclude, include []string
	renames          map[string]string
	types            cache[*replaceShape]
	object           object
}

// replaceShape is a type, and where its fields come from.
type replaceShape struct {
	out  *schema.Type
	from []int
}

const replacePurpose = "field replacement"

// Apply makes the struct, or map, anew.
func (t *replaceField) Apply(r *Record) (bool, error) {
	typ, v, err := t.side.get(r)
	if err != nil || v.IsNull() {
		return err == nil, err
	}
	b := r.Data
	if typ == nil {
		return true, t.applyMap(r, v)
	}
	if err := requireStruct(typ, v, replacePurpose); err != nil {
		return false, err
	}
	s, ok := t.types.get(typ)
	if !ok {
		if s, err = t.shape(typ); err != nil {
			return false, err
		}
		t.types.put(typ, s)
	}
	from, to := b.RowOf(v), b.NewRow(len(s.from))
	for i, at := range s.from {
		b.Set(to, i, t.nulls.read(b, typ.Fields[at].Type, b.At(from, at)))
	}
	t.side.set(r, s.out, b.Run(change.Struct, to))
	return true, nil
}

func (t *replaceField) applyMap(r *Record, v change.Value) error {
	if err := requireMap(v, replacePurpose); err != nil {
		return err
	}
	b := r.Data
	row := b.RowOf(v)
	t.object = t.object[:0]
	for i := 0; i+1 < row.Len(); i += 2 {
		if name := b.String(b.At(row, i)); t.keeps(name) {
			t.object.put(b, t.renamed(name), b.At(row, i+1))
		}
	}
	t.side.set(r, nil, t.object.done(b))
	return nil
}

func (t *replaceField) shape(typ *schema.Type) (*replaceShape, error) {
	s := &replaceShape{out: basics(typ)}
	for i, f := range typ.Fields {
		if !t.keeps(f.Name) {
			continue
		}
		if err := addField(s.out, t.renamed(f.Name), f.Type); err != nil {
			return nil, err
		}
		s.from = append(s.from, i)
	}
	return s, nil
}

func (t *replaceField) keeps(name string) bool {
	return !slices.Contains(t.exclude, name) && (len(t.include) == 0 || slices.Contains(t.include, name))
}

func (t *replaceField) renamed(name string) string {
	if to, ok := t.renames[name]; ok {
		return to
	}
	return strings.Clone(name) // of the arena
}
