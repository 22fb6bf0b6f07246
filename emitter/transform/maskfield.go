// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"slices"

	"freshet/change"
	"freshet/change/java"
	"freshet/config"
	"freshet/schema"
)

var maskFieldKinds = bothSides(config.Plugin{
	Name: "MaskField", Class: "org.apache.kafka.connect.transforms.MaskField", Kind: "transformation", Version: Version,
	Def: config.Def{Keys: []config.Key{
		{
			Name: "fields", Type: config.List, Required: true, Importance: config.High, Check: notEmptyList,
			Doc: "Fields whose values are replaced by the empty value of their type.",
		},
		{
			Name: "replacement", Type: config.String, Importance: config.Low, Check: notEmpty,
			Doc: "What replaces them instead; for numbers and texts.",
		},
		replaceNullsKey,
	}},
}, func(s side, v config.Values) (Transform, error) {
	t := &maskField{side: s, nulls: nullsOf(v), fields: v.List("fields"), custom: v.Has("replacement"), replacement: v.Get("replacement")}
	if t.custom && java.IsNumber(t.replacement) {
		t.number, _ = java.ParseNumber(nil, []byte(t.replacement))
		t.isNumber = true
	}
	return t, nil
})

// maskField replaces values.
type maskField struct {
	side        side
	nulls       nulls
	fields      []string
	custom      bool // there is a replacement:
	replacement string
	isNumber    bool
	number      java.Number // the replacement, where isNumber
	types       cache[[]int]
	object      object
}

const maskPurpose = "mask fields"

// Apply masks. As in Kafka Connect there must be something: a tombstone is refused.
func (t *maskField) Apply(r *Record) (bool, error) {
	typ, v, err := t.side.get(r)
	if err != nil {
		return false, err
	}
	b := r.Data
	if typ == nil {
		return true, t.applyMap(r, v)
	}
	if err := requireStruct(typ, v, maskPurpose); err != nil {
		return false, err
	}
	masked, ok := t.types.get(typ)
	if !ok {
		for i := range typ.Fields {
			if slices.Contains(t.fields, typ.Fields[i].Name) {
				masked = append(masked, i)
			}
		}
		t.types.put(typ, masked)
	}
	from, to := b.RowOf(v), b.NewRow(len(typ.Fields))
	t.nulls.copyFields(b, typ, from, to)
	for _, i := range masked {
		x, err := t.mask(b, typ.Fields[i].Type, b.At(to, i))
		if err != nil {
			return false, err
		}
		b.Set(to, i, x)
	}
	t.side.set(r, typ, b.Run(change.Struct, to))
	return true, nil
}

func (t *maskField) applyMap(r *Record, v change.Value) error {
	if err := requireMap(v, maskPurpose); err != nil {
		return err
	}
	b := r.Data
	t.object.reset(b, v)
	for _, name := range t.fields {
		x, err := t.mask(b, nil, t.object.value(b, name))
		if err != nil {
			return err
		}
		t.object.put(b, name, x)
	}
	t.side.set(r, nil, t.object.done(b))
	return nil
}

// mask is what a value is replaced by; null stays null.
func (t *maskField) mask(b *change.Batch, typ *schema.Type, v change.Value) (change.Value, error) {
	if v.IsNull() {
		return v, nil
	}
	if t.custom {
		return t.replaced(b, typ, v)
	}
	switch v.Kind() {
	case change.Bool:
		return change.BoolValue(false), nil
	case change.Int:
		return change.IntValue(0), nil
	case change.Float:
		return change.FloatValue(0), nil
	case change.Date:
		return change.DateValue(0), nil
	case change.Text:
		return b.Text(""), nil
	case change.Array, change.Map:
		return b.Run(v.Kind(), b.NewRow(0)), nil
	case change.Bytes:
		if typ != nil && typ.Name == schema.Decimal {
			return b.BytesOf([]byte{0}), nil
		}
	}
	return v, refuse("Cannot mask value of type: class %s", java.Class(typ, v))
}

func (t *maskField) replaced(b *change.Batch, typ *schema.Type, v change.Value) (change.Value, error) {
	class := java.Class(typ, v)
	decimal := class == "java.math.BigDecimal"
	if v.Kind() == change.Text {
		return b.Text(t.replacement), nil
	}
	if class == "java.util.Date" || !decimal && v.Kind() != change.Int && v.Kind() != change.Float {
		return v, refuse("Cannot mask value of type class %s with custom replacement.", class)
	}
	if !t.isNumber {
		return v, refuse("Unable to convert %s (class java.lang.String) to a number", t.replacement)
	}
	switch {
	case decimal:
		scale, _ := java.Scale(typ)
		mark := len(b.Arena)
		out, ok := t.number.AppendUnscaled(b.Arena, scale)
		if !ok {
			return v, refuse("BigDecimal has mismatching scale value for given Decimal schema")
		}
		b.Arena = out
		return b.BytesFrom(mark), nil
	case v.Kind() == change.Float && class == "java.lang.Float":
		f, _ := java.ParseFloat(t.replacement, 32)
		return change.FloatValue(f), nil
	case v.Kind() == change.Float:
		f, _ := java.ParseFloat(t.replacement, 64)
		return change.FloatValue(f), nil
	}
	to := schema.Int64
	if typ != nil {
		to = typ.Kind
	}
	number := t.number
	return castInt(number.Truncate(), to), nil
}
