// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"strings"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

var changedStateKind = kind{
	plugin: config.Plugin{
		Name: "ExtractChangedRecordState", Class: "io.debezium.transforms.ExtractChangedRecordState", Kind: "transformation", Version: debeziumVersion,
		Def: config.Def{Keys: []config.Key{
			{Name: "header.changed.name", Type: config.String, Importance: config.Low, Width: config.WidthLong, Display: "Header change name.", Doc: "Header to list the names of changed fields in; none without it."},
			{Name: "header.unchanged.name", Type: config.String, Importance: config.Low, Width: config.WidthLong, Display: "Header unchanged name.", Doc: "Header to list the names of the other fields in; none without it."},
		}},
	},
	make: func(v config.Values) (Transform, error) {
		t := &changedState{}
		t.changed.name, t.unchanged.name = v.Get("header.changed.name"), v.Get("header.unchanged.name")
		for _, h := range []*namesHeader{&t.changed, &t.unchanged} {
			h.typ = &schema.Type{Kind: schema.Array, Optional: true, Name: h.name, Elem: stringType.AsOptional(true)}
		}
		return t, nil
	},
}

// changedState is ExtractChangedRecordState: headers that say which fields of a row an event changed. Events without both
// rows have empty ones. Unlike the original of 3.6.1 it compares bytes by content.
type changedState struct{ changed, unchanged namesHeader }

// namesHeader is a header that lists names.
type namesHeader struct {
	name  string
	typ   *schema.Type
	names []string // of the record at hand
}

// Apply adds the headers to events.
func (t *changedState) Apply(r *Record) (bool, error) {
	env, ok, err := r.event()
	if err != nil || !ok {
		return err == nil, err
	}
	t.changed.names, t.unchanged.names = t.changed.names[:0], t.unchanged.names[:0]
	e := envelopeOf(r.ValueType)
	before, after := part(r.Data, env, e.before), part(r.Data, env, e.after)
	if before.Kind() == change.Struct && after.Kind() == change.Struct {
		t.compare(r.Data, r.ValueType.Fields[e.before].Type, r.ValueType.Fields[e.after].Type, r.Data.RowOf(before), r.Data.RowOf(after))
	}
	t.changed.add(r)
	t.unchanged.add(r)
	return true, nil
}

func (t *changedState) compare(b *change.Batch, from, to *schema.Type, before, after change.Row) {
	for i, f := range to.Fields {
		j := i
		if j >= len(from.Fields) || from.Fields[j].Name != f.Name {
			j = from.FieldIndex(f.Name)
		}
		if j >= 0 && b.EqualValues(b.At(before, j), b.At(after, i)) {
			t.unchanged.names = append(t.unchanged.names, f.Name)
		} else {
			t.changed.names = append(t.changed.names, f.Name)
		}
	}
	if from == to {
		return
	}
	for _, f := range from.Fields {
		if to.FieldIndex(f.Name) < 0 {
			t.changed.names = append(t.changed.names, f.Name)
		}
	}
}

// add adds the header, where it has a name.
func (h *namesHeader) add(r *Record) {
	if strings.TrimSpace(h.name) == "" {
		return
	}
	list := r.Data.NewRow(len(h.names))
	for i, name := range h.names {
		r.Data.Set(list, i, r.Data.Text(name))
	}
	r.Headers = append(r.Headers[:len(r.Headers):len(r.Headers)], Header{Key: h.name, Type: h.typ, Value: r.Data.Run(change.Array, list)})
}
