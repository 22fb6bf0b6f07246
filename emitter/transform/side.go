// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"slices"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

// side is the part of a record that a transform works on: the classes Name$Key and Name$Value are one transform on two
// sides.
type side uint8

const (
	valueSide side = iota
	keySide
)

// get is the type and the value.
func (s side) get(r *Record) (*schema.Type, change.Value, error) {
	if s == keySide {
		return r.KeyType, r.Key, nil
	}
	err := r.Load()
	return r.ValueType, r.Value, err
}

// set replaces type and value.
func (s side) set(r *Record, t *schema.Type, v change.Value) {
	if s == keySide {
		r.SetKey(t, v)
	} else {
		r.SetValue(t, v)
	}
}

// bothSides makes the two kinds of a transform whose class has the variants $Key and $Value.
func bothSides(p config.Plugin, make func(s side, v config.Values) (Transform, error)) []kind {
	kinds := []kind{{plugin: p}, {plugin: p}}
	for i, s := range []side{keySide, valueSide} {
		suffix := [...]string{keySide: "$Key", valueSide: "$Value"}[s]
		kinds[i].plugin.Name, kinds[i].plugin.Class = p.Name+suffix, p.Class+suffix
		kinds[i].plugin.Aliases = nil
		kinds[i].make = func(v config.Values) (Transform, error) { return make(s, v) }
	}
	return kinds
}

// cache keeps what a transform found out of a schema, by pointer: types are immutable, and the same pointer as long as a
// table has one version. The zero cache is empty. It forgets everything rather than grow beyond cacheSize.
type cache[V any] struct {
	known map[*schema.Type]V
	last  *schema.Type // most records are of the schema of the one before
	value V
}

// cacheSize is far more than there are live versions of tables.
const cacheSize = 4096

func (c *cache[V]) get(t *schema.Type) (V, bool) {
	if t == c.last && t != nil {
		return c.value, true
	}
	v, ok := c.known[t]
	if ok {
		c.last, c.value = t, v
	}
	return v, ok
}

func (c *cache[V]) put(t *schema.Type, v V) {
	if c.known == nil || len(c.known) >= cacheSize {
		c.known = map[*schema.Type]V{}
	}
	c.known[t] = v
	c.last, c.value = t, v
}

// basics is a struct type with name, version, doc and parameters of t, without its fields, optional flag and default: what
// Kafka's transforms begin a changed schema with.
func basics(t *schema.Type) *schema.Type {
	return &schema.Type{Kind: schema.Struct, Name: t.Name, Version: t.Version, Doc: t.Doc, Params: t.Params, Fields: []schema.Field{}}
}

// addField appends a field, unless there is one of its name.
func addField(t *schema.Type, name string, field *schema.Type) error {
	if t.FieldIndex(name) >= 0 {
		return &Error{Thrown: builderException, Message: "Cannot create field because of field name duplication " + name}
	}
	t.Fields = append(t.Fields, schema.Field{Name: name, Type: field})
	return nil
}

// nulls says what a null in a field with a default is read as (replace.null.with.default).
type nulls struct{ keep bool }

const replaceNulls = "replace.null.with.default"

func nullsOf(v config.Values) nulls { return nulls{keep: !v.Bool(replaceNulls)} }

// replaceNullsKey declares it.
var replaceNullsKey = config.Key{
	Name: replaceNulls, Type: config.Boolean, Default: "true", HasDefault: true, Importance: config.Medium,
	Doc: "Whether a null in a field whose schema has a default is read as that default.",
}

// read is a field's value.
func (n nulls) read(b *change.Batch, t *schema.Type, v change.Value) change.Value {
	if v.IsNull() && t.Default != nil && !n.keep {
		return b.AppendLiteral(t.Default, t)
	}
	return v
}

// copyFields copies a row's fields to the fields of the same place of another, longer or as long.
func (n nulls) copyFields(b *change.Batch, t *schema.Type, from, to change.Row) {
	for i := range t.Fields {
		b.Set(to, i, n.read(b, t.Fields[i].Type, b.At(from, i)))
	}
}

// object is a map of schemaless data that is being made of another: keys and values in turn. It is scratch space.
type object []change.Value

// reset begins with the entries of a map.
func (o *object) reset(b *change.Batch, v change.Value) {
	*o = append((*o)[:0], b.Elems(v)...)
}

// find is the index of an entry's value, -1 where there is none. Keys that are no texts are never found.
func (o object) find(b *change.Batch, name string) int {
	for i := 0; i+1 < len(o); i += 2 {
		if o[i].Kind() == change.Text && b.String(o[i]) == name {
			return i + 1
		}
	}
	return -1
}

// value is an entry's value, null where there is none.
func (o object) value(b *change.Batch, name string) change.Value {
	if i := o.find(b, name); i >= 0 {
		return o[i]
	}
	return change.NullValue()
}

// put sets an entry.
func (o *object) put(b *change.Batch, name string, v change.Value) {
	if i := o.find(b, name); i >= 0 {
		(*o)[i] = v
		return
	}
	*o = append(*o, b.Text(name), v)
}

// remove takes an entry out.
func (o *object) remove(b *change.Batch, name string) {
	if i := o.find(b, name); i >= 0 {
		*o = slices.Delete(*o, i-1, i+1)
	}
}

// done is the map.
func (o object) done(b *change.Batch) change.Value {
	row := b.NewRow(len(o))
	copy(b.Values(row), o)
	return b.Run(change.Map, row)
}
