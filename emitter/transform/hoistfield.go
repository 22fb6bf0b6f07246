// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

var hoistFieldKinds = bothSides(config.Plugin{
	Name: "HoistField", Class: "org.apache.kafka.connect.transforms.HoistField", Kind: "transformation", Version: Version,
	Def: config.Def{Keys: []config.Key{{
		Name: "field", Type: config.String, Required: true, Importance: config.Medium, Check: anyText,
		Doc: "Name of the only field of the struct, or map, that the whole is put into.",
	}}},
}, func(s side, v config.Values) (Transform, error) {
	return &hoistField{side: s, field: v.Get("field")}, nil
})

// hoistField puts the whole into a struct of one field, or into a map where it has no schema.
type hoistField struct {
	side  side
	field string
	types cache[*schema.Type]
}

// Apply puts it in, null too.
func (t *hoistField) Apply(r *Record) (bool, error) {
	typ, v, err := t.side.get(r)
	if err != nil {
		return false, err
	}
	b := r.Data
	if typ == nil {
		row := b.NewRow(2)
		b.Set(row, 0, b.Text(t.field))
		b.Set(row, 1, v)
		t.side.set(r, nil, b.Run(change.Map, row))
		return true, nil
	}
	if v.IsNull() && !typ.Optional {
		return false, refuse("Invalid value: null used for required field: %q, schema type: %s", t.field, upper(typ.Kind))
	}
	out, ok := t.types.get(typ)
	if !ok {
		out = &schema.Type{Kind: schema.Struct, Fields: []schema.Field{{Name: t.field, Type: typ}}}
		t.types.put(typ, out)
	}
	row := b.NewRow(1)
	b.Set(row, 0, v)
	t.side.set(r, out, b.Run(change.Struct, row))
	return true, nil
}
