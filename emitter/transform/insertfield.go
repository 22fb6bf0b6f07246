// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"errors"
	"fmt"
	"strings"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

const suffixDoc = " A ! behind it makes the field required, a ? optional, which it is without either."

var insertFieldKinds = bothSides(config.Plugin{
	Name: "InsertField", Class: "org.apache.kafka.connect.transforms.InsertField", Kind: "transformation", Version: Version,
	Def: config.Def{Keys: []config.Key{
		{Name: "topic.field", Type: config.String, Importance: config.Medium, Doc: "Field for the record's topic." + suffixDoc},
		{Name: "partition.field", Type: config.String, Importance: config.Medium, Doc: "Field for its partition; empty at sources that leave the choice to Kafka." + suffixDoc},
		{Name: "offset.field", Type: config.String, Importance: config.Medium, Doc: "Field for its offset, at sinks only." + suffixDoc},
		{Name: "timestamp.field", Type: config.String, Importance: config.Medium, Doc: "Field for its time; empty at sources, whose records have none." + suffixDoc},
		{Name: "static.field", Type: config.String, Importance: config.Medium, Doc: "Field for static.value." + suffixDoc},
		{Name: "static.value", Type: config.String, Importance: config.Medium, Doc: "Text for static.field."},
		replaceNullsKey,
	}},
}, func(s side, v config.Values) (Transform, error) {
	t := &insertField{side: s, nulls: nullsOf(v), static: v.Get("static.value")}
	for i, name := range insertions {
		if !v.Has(name) {
			continue
		}
		field := v.Get(name)
		in := insertion{what: i, name: strings.TrimSuffix(field, "?"), typ: insertedTypes[i].AsOptional(true)}
		if required, ok := strings.CutSuffix(field, "!"); ok {
			in.name, in.typ = required, insertedTypes[i]
		}
		t.fields = append(t.fields, in)
	}
	switch {
	case len(t.fields) == 0:
		return nil, errors.New("No field insertion configured") //nolint:staticcheck // Kafka's words
	case v.Has("static.field") && !v.Has("static.value"):
		return nil, fmt.Errorf("Invalid value null for configuration static.value: No value specified for static field: %s", v.Get("static.field")) //nolint:staticcheck // Kafka's words
	}
	return t, nil
})

// What can be inserted, in the order of the fields.
const (
	insertTopic = iota
	insertPartition
	insertOffset
	insertTime
	insertStatic
)

var (
	insertions    = [...]string{"topic.field", "partition.field", "offset.field", "timestamp.field", "static.field"}
	insertedTypes = [...]*schema.Type{
		insertTopic:     {Kind: schema.String},
		insertPartition: {Kind: schema.Int32},
		insertOffset:    {Kind: schema.Int64},
		insertTime:      {Kind: schema.Int64, Name: schema.ConnectTimestamp, Version: 1},
		insertStatic:    {Kind: schema.String},
	}
)

// insertion is a field to add.
type insertion struct {
	what int
	name string
	typ  *schema.Type
}

// insertField adds fields that tell of the record.
type insertField struct {
	side   side
	nulls  nulls
	fields []insertion
	static string
	types  cache[*schema.Type]
	object object
}

const insertPurpose = "field insertion"

// Apply adds the fields behind those that are there.
func (t *insertField) Apply(r *Record) (bool, error) {
	typ, v, err := t.side.get(r)
	if err != nil || v.IsNull() {
		return err == nil, err
	}
	b := r.Data
	if typ == nil {
		return true, t.applyMap(r, v)
	}
	if err := requireStruct(typ, v, insertPurpose); err != nil {
		return false, err
	}
	out, ok := t.types.get(typ)
	if !ok {
		out = basics(typ)
		out.Fields = append(out.Fields, typ.Fields...)
		for _, in := range t.fields {
			if err := addField(out, in.name, in.typ); err != nil {
				return false, err
			}
		}
		t.types.put(typ, out)
	}
	to := b.NewRow(len(out.Fields))
	t.nulls.copyFields(b, typ, b.RowOf(v), to)
	for i := range t.fields {
		x, err := t.value(r, t.fields[i].what)
		if err != nil {
			return false, err
		}
		b.Set(to, len(typ.Fields)+i, x)
	}
	t.side.set(r, out, b.Run(change.Struct, to))
	return true, nil
}

// applyMap adds entries, or replaces them. What the record does not have adds none.
func (t *insertField) applyMap(r *Record, v change.Value) error {
	if err := requireMap(v, insertPurpose); err != nil {
		return err
	}
	t.object.reset(r.Data, v)
	for i := range t.fields {
		x, err := t.value(r, t.fields[i].what)
		if err != nil {
			return err
		}
		if !x.IsNull() {
			t.object.put(r.Data, t.fields[i].name, x)
		}
	}
	t.side.set(r, nil, t.object.done(r.Data))
	return nil
}

func (t *insertField) value(r *Record, what int) (change.Value, error) {
	switch what {
	case insertTopic:
		return r.Data.Text(r.Topic), nil
	case insertPartition:
		if r.Partition >= 0 {
			return change.IntValue(int64(r.Partition)), nil
		}
	case insertOffset:
		if !r.Sink {
			return change.Value{}, refuse("Only SinkRecord supported for [%s], found: org.apache.kafka.connect.source.SourceRecord", insertPurpose)
		}
		return change.IntValue(r.Offset), nil
	case insertTime:
		if r.TimeMillis != NoTime {
			return change.IntValue(r.TimeMillis), nil
		}
	case insertStatic:
		return r.Data.Text(t.static), nil
	}
	return change.NullValue(), nil
}
