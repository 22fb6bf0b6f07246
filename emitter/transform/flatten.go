// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

var flattenKinds = bothSides(config.Plugin{
	Name: "Flatten", Class: "org.apache.kafka.connect.transforms.Flatten", Kind: "transformation", Version: Version,
	Def: config.Def{Keys: []config.Key{{
		Name: "delimiter", Type: config.String, Default: ".", HasDefault: true, Importance: config.Medium,
		Doc: "What stands between the names of nested fields in the name of the field that is made of them.",
	}}},
}, func(s side, v config.Values) (Transform, error) {
	return &flatten{side: s, delimiter: v.Get("delimiter")}, nil
})

// flatten makes the fields of nested structs, or maps, fields of the outermost one.
type flatten struct {
	side      side
	delimiter string
	types     cache[*flatShape]
	object    object
}

// flatShape is a flat type, and where its fields come from.
type flatShape struct {
	out    *schema.Type
	leaves []fieldPlace // by field
}

const flattenPurpose = "flattening"

// Apply flattens.
func (t *flatten) Apply(r *Record) (bool, error) {
	typ, v, err := t.side.get(r)
	if err != nil || v.IsNull() {
		return err == nil, err
	}
	b := r.Data
	if typ == nil {
		if err := requireMap(v, flattenPurpose); err != nil {
			return false, err
		}
		t.object = t.object[:0]
		t.collect(b, v, "")
		t.side.set(r, nil, t.object.done(b))
		return true, nil
	}
	if err := requireStruct(typ, v, flattenPurpose); err != nil {
		return false, err
	}
	shape, ok := t.types.get(typ)
	if !ok {
		shape = &flatShape{out: basics(typ)}
		defaults, _ := typ.Default.([]any)
		if err := t.build(shape, typ, "", fieldPlace{}, typ.Optional, defaults); err != nil {
			return false, err
		}
		t.types.put(typ, shape)
	}
	to := b.NewRow(len(shape.leaves))
	for i := range shape.leaves {
		b.Set(to, i, shape.leaves[i].leaf(b, v))
	}
	t.side.set(r, shape.out, b.Run(change.Struct, to))
	return true, nil
}

// leaf is the value of a nested field: null below a null struct, its default for a null of its own.
func (p *fieldPlace) leaf(b *change.Batch, v change.Value) change.Value {
	for _, at := range p.at {
		if v.IsNull() {
			return v
		}
		v = b.At(b.RowOf(v), at)
	}
	return nulls{}.read(b, p.types[len(p.types)-1], v)
}

// build adds the fields of a struct. A field is optional where one of the structs around it is; where it has no default, that
// of a struct around it gives it one.
func (t *flatten) build(s *flatShape, typ *schema.Type, prefix string, place fieldPlace, optional bool, defaults []any) error {
	for i, f := range typ.Fields {
		name := t.name(prefix, f.Name)
		here := fieldPlace{append(place.at[:len(place.at):len(place.at)], i), append(place.types[:len(place.types):len(place.types)], f.Type)}
		def := f.Type.Default
		if def == nil && i < len(defaults) {
			def = defaults[i]
		}
		switch f.Type.Kind {
		case schema.Map:
			return refuse("Flatten transformation does not support MAP for record with schemas (for field %s).", name)
		case schema.Struct:
			below, _ := def.([]any)
			if err := t.build(s, f.Type, name, here, optional || f.Type.Optional, below); err != nil {
				return err
			}
		default:
			leaf := *f.Type
			leaf.Optional, leaf.Default = optional || f.Type.Optional, def
			if err := addField(s.out, name, &leaf); err != nil {
				return err
			}
			s.leaves = append(s.leaves, here)
		}
	}
	return nil
}

func (t *flatten) name(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + t.delimiter + name
}

// collect adds the entries of a map of schemaless data.
func (t *flatten) collect(b *change.Batch, v change.Value, prefix string) {
	row := b.RowOf(v)
	for i := 0; i+1 < row.Len(); i += 2 {
		name := t.name(prefix, b.String(b.At(row, i)))
		if x := b.At(row, i+1); x.Kind() == change.Map {
			t.collect(b, x, name)
		} else {
			t.object.put(b, name, x)
		}
	}
}
