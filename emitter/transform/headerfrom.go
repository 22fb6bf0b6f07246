// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"errors"
	"slices"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

var headerFromKinds = bothSides(config.Plugin{
	Name: "HeaderFrom", Class: "org.apache.kafka.connect.transforms.HeaderFrom", Kind: "transformation", Version: Version,
	Def: config.Def{Keys: []config.Key{
		{
			Name: "fields", Type: config.List, Required: true, Importance: config.High, Check: notEmptyList,
			Doc: "Fields whose values become headers.",
		},
		{
			Name: "headers", Type: config.List, Required: true, Importance: config.High, Check: notEmptyList,
			Doc: "Names of the headers, in the order of fields.",
		},
		{
			Name: "operation", Type: config.String, Required: true, Importance: config.High, Allowed: []string{"move", "copy"},
			Doc: "move takes the fields out, copy leaves them.",
		},
		replaceNullsKey,
	}},
}, func(s side, v config.Values) (Transform, error) {
	t := &headerFrom{side: s, nulls: nullsOf(v), fields: v.List("fields"), names: v.List("headers"), move: v.Get("operation") == "move", purpose: "header " + v.Get("operation")}
	if len(t.fields) != len(t.names) {
		return nil, errors.New("'fields' config must have the same number of elements as 'headers' config.") //nolint:staticcheck,revive // Kafka's words
	}
	return t, nil
})

// headerFrom makes headers of fields.
type headerFrom struct {
	side    side
	nulls   nulls
	fields  []string
	names   []string // of the headers
	move    bool     // the fields are taken out
	purpose string
	types   cache[*headerShape]
	headers []Header // reused
	object  object
}

// headerShape is where the fields are, and what is left where they are moved.
type headerShape struct {
	at   []int
	out  *schema.Type
	keep []int
}

// Apply makes the headers.
func (t *headerFrom) Apply(r *Record) (bool, error) {
	typ, v, err := t.side.get(r)
	if err != nil {
		return false, err
	}
	t.headers = append(t.headers[:0], r.Headers...)
	if typ == nil {
		err = t.applyMap(r, v)
	} else {
		err = t.applyStruct(r, typ, v)
	}
	if err == nil {
		r.Headers = t.headers
	}
	return err == nil, err
}

func (t *headerFrom) applyMap(r *Record, v change.Value) error {
	if err := requireMap(v, t.purpose); err != nil {
		return err
	}
	b := r.Data
	t.object.reset(b, v)
	for i, field := range t.fields {
		t.headers = append(t.headers, Header{Key: t.names[i], Value: object(b.Elems(v)).value(b, field)})
		if t.move {
			t.object.remove(b, field)
		}
	}
	if t.move {
		t.side.set(r, nil, t.object.done(b))
	}
	return nil
}

func (t *headerFrom) applyStruct(r *Record, typ *schema.Type, v change.Value) error {
	if err := requireStruct(typ, v, t.purpose); err != nil {
		return err
	}
	s, ok := t.types.get(typ)
	if !ok {
		var err error
		if s, err = t.shape(typ); err != nil {
			return err
		}
		t.types.put(typ, s)
	}
	b := r.Data
	row := b.RowOf(v)
	for i, at := range s.at {
		field := typ.Fields[at].Type
		t.headers = append(t.headers, Header{Key: t.names[i], Type: field, Value: t.nulls.read(b, field, b.At(row, at))})
	}
	if t.move {
		to := b.NewRow(len(s.keep))
		for i, from := range s.keep {
			b.Set(to, i, t.nulls.read(b, typ.Fields[from].Type, b.At(row, from)))
		}
		t.side.set(r, s.out, b.Run(change.Struct, to))
	}
	return nil
}

func (t *headerFrom) shape(typ *schema.Type) (*headerShape, error) {
	s := &headerShape{out: basics(typ)}
	for _, field := range t.fields {
		i := typ.FieldIndex(field)
		if i < 0 {
			return nil, refuse("Field does not exist: %s", field)
		}
		s.at = append(s.at, i)
	}
	for i, f := range typ.Fields {
		if !slices.Contains(s.at, i) {
			s.out.Fields, s.keep = append(s.out.Fields, f), append(s.keep, i)
		}
	}
	return s, nil
}
