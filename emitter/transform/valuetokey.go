// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

var valueToKeyKind = kind{
	plugin: config.Plugin{
		Name: "ValueToKey", Class: "org.apache.kafka.connect.transforms.ValueToKey", Kind: "transformation", Version: Version,
		Def: config.Def{Keys: []config.Key{
			{
				Name: "fields", Type: config.List, Required: true, Importance: config.High, Check: notEmptyList,
				Doc: "Fields of the value that make the key, in this order.",
			},
			replaceNullsKey,
		}},
	},
	make: func(v config.Values) (Transform, error) {
		return &valueToKey{nulls: nullsOf(v), fields: v.List("fields")}, nil
	},
}

// valueToKey makes the key of fields of the value.
type valueToKey struct {
	nulls  nulls
	fields []string
	types  cache[*keyShape]
	object object
}

// keyShape is the type of the key, and where its fields are in the value.
type keyShape struct {
	out *schema.Type
	at  []int
}

const keyPurpose = "copying fields from value to key"

// Apply makes the key.
func (t *valueToKey) Apply(r *Record) (bool, error) {
	if err := r.Load(); err != nil {
		return false, err
	}
	b, typ := r.Data, r.ValueType
	if typ == nil {
		if err := requireMap(r.Value, keyPurpose); err != nil {
			return false, err
		}
		t.object = t.object[:0]
		for _, name := range t.fields {
			t.object.put(b, name, object(b.Elems(r.Value)).value(b, name))
		}
		r.SetKey(nil, t.object.done(b))
		return true, nil
	}
	if err := requireStruct(typ, r.Value, keyPurpose); err != nil {
		return false, err
	}
	s, ok := t.types.get(typ)
	if !ok {
		s = &keyShape{out: &schema.Type{Kind: schema.Struct}}
		for _, name := range t.fields {
			i := typ.FieldIndex(name)
			if i < 0 {
				return false, refuse("Field does not exist: %s", name)
			}
			if err := addField(s.out, name, typ.Fields[i].Type); err != nil {
				return false, err
			}
			s.at = append(s.at, i)
		}
		t.types.put(typ, s)
	}
	from, to := b.RowOf(r.Value), b.NewRow(len(s.at))
	for i, at := range s.at {
		b.Set(to, i, t.nulls.read(b, typ.Fields[at].Type, b.At(from, at)))
	}
	r.SetKey(s.out, b.Run(change.Struct, to))
	return true, nil
}
