// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"fmt"
	"slices"
	"strings"

	"freshet/change"
	"freshet/change/java"
	"freshet/config"
	"freshet/schema"
)

var headerToValueKind = kind{
	plugin: config.Plugin{
		Name: "HeaderToValue", Class: "io.debezium.transforms.HeaderToValue", Kind: "transformation", Version: debeziumVersion,
		Def: config.Def{Keys: []config.Key{
			{Name: "headers", Type: config.List, Required: true, Importance: config.High, Display: "Header names list", Doc: "Headers to copy or move.", Check: plainNames},
			{
				Name: "fields", Type: config.List, Required: true, Importance: config.High, Display: "Field names list",
				Doc: "Fields to put them into, in the same order, as paths with dots. Structs that are not there are made.",
				Check: func(s string, all config.Values) string {
					if reason := plainNames(s, all); reason != "" {
						return reason
					}
					if len(config.SplitList(s)) != len(all.List("headers")) {
						return "'fields' config must have the same number of elements as 'headers' config."
					}
					return ""
				},
			},
			{Name: "operation", Type: config.String, Required: true, Importance: config.High, Display: "Operation: mover or copy", Doc: "Whether headers stay (copy) or go (move).", Allowed: []string{"move", "copy"}},
		}},
	},
	make: func(v config.Values) (Transform, error) {
		t := &headerToValue{headers: v.List("headers"), move: v.Get("operation") == "move"}
		for _, f := range v.List("fields") {
			t.fields = append(t.fields, strings.Split(f, "."))
		}
		return t, nil
	},
}

// plainNames refuses a list with an empty element, or one with a blank in it.
func plainNames(list string, _ config.Values) string {
	if reason := noEmptyElements(list); reason != "" {
		return reason
	}
	if slices.ContainsFunc(config.SplitList(list), func(s string) bool { return strings.Contains(s, " ") }) {
		return "Element(s) containing space not permitted"
	}
	return ""
}

// headerToValue is HeaderToValue: it puts headers into fields of the value. Unlike that of the original, a path may be of
// any length, a struct that a field is put into stays optional, and a null beside it stays null.
type headerToValue struct {
	headers []string
	fields  [][]string // the paths, for each header
	move    bool
	plans   cache[[]*headerPlan] // by type of the value, for each combination of headers
	types   []*schema.Type       // of the record at hand: of the header that goes to each field, nil for none
	values  []change.Value
	order   []int // of these headers in the record
}

// headerPlan is what becomes of values of one type with some headers.
type headerPlan struct {
	types []*schema.Type
	order []int
	out   *schema.Type
	root  *graft
}

// graft is what is added to one struct.
type graft struct {
	fields   int      // of the new struct
	leaves   [][2]int // field and header
	branches []branch
}

type branch struct {
	field int
	fresh bool // the struct is made
	graft *graft
}

// Apply puts the headers that a record has into its value. Tombstones keep theirs.
func (t *headerToValue) Apply(r *Record) (bool, error) {
	if r.IsNull() {
		return true, nil
	}
	if err := r.Load(); err != nil {
		return false, err
	}
	if err := requireStruct(r.ValueType, r.Value, "Header field insertion"); err != nil {
		return false, err
	}
	if err := t.collect(r); err != nil || len(t.order) == 0 {
		return err == nil, err
	}
	plan, err := t.plan(r.ValueType)
	if err != nil {
		return false, err
	}
	v, err := t.put(r.Data, plan.out, r.Data.RowOf(r.Value), plan.root)
	if err != nil {
		return false, err
	}
	r.SetValue(plan.out, v)
	if t.move {
		kept := make([]Header, 0, len(r.Headers))
		for _, h := range r.Headers {
			if !slices.Contains(t.headers, h.Key) {
				kept = append(kept, h)
			}
		}
		r.Headers = kept
	}
	return true, nil
}

// collect finds the headers of a record. Of several of one name the last one counts.
func (t *headerToValue) collect(r *Record) error {
	t.types, t.values, t.order = slices.Grow(t.types[:0], len(t.headers))[:len(t.headers)], slices.Grow(t.values[:0], len(t.headers))[:len(t.headers)], t.order[:0]
	clear(t.types)
	for i := range r.Headers {
		at := slices.Index(t.headers, r.Headers[i].Key)
		if at < 0 {
			continue
		}
		typ, v := r.Headers[i].typed(r.Data)
		if typ == nil {
			return &Error{Thrown: builderException, Message: fmt.Sprintf("fieldSchema for field %s cannot be null.", strings.Join(t.fields[at], "."))}
		}
		if t.types[at] == nil {
			t.order = append(t.order, at)
		}
		t.types[at], t.values[at] = typ, v
	}
	return nil
}

func (t *headerToValue) plan(typ *schema.Type) (*headerPlan, error) {
	known, _ := t.plans.get(typ)
	for _, p := range known {
		if slices.Equal(p.types, t.types) && slices.Equal(p.order, t.order) {
			return p, nil
		}
	}
	p := &headerPlan{types: slices.Clone(t.types), order: slices.Clone(t.order)}
	var err error
	if p.out, p.root, err = t.build(typ, p.order, 0); err != nil {
		return nil, err
	}
	if len(known) >= 64 { // types of headers that come from data
		known = nil
	}
	t.plans.put(typ, append(slices.Clip(known), p))
	return p, nil
}

// build adds the fields of some headers, whose paths agree in their first names, to the struct there.
func (t *headerToValue) build(typ *schema.Type, headers []int, depth int) (*schema.Type, *graft, error) {
	out := *typ
	out.Fields = slices.Clone(typ.Fields)
	g := &graft{}
	for _, h := range headers { // structs that are made stand behind the fields
		path := t.fields[h]
		if depth < len(path)-1 {
			continue
		}
		at := out.FieldIndex(path[depth])
		if at < 0 {
			at = len(out.Fields)
			out.Fields = append(out.Fields, schema.Field{Name: path[depth], Type: t.types[h]})
		}
		g.leaves = append(g.leaves, [2]int{at, h})
	}
	done := map[string]bool{}
	for _, h := range headers {
		path := t.fields[h]
		name := path[depth]
		if depth == len(path)-1 || done[name] {
			continue
		}
		done[name] = true
		at := out.FieldIndex(name)
		var below []int // all that go into this struct
		for _, other := range headers {
			if p := t.fields[other]; len(p) > depth+1 && p[depth] == name {
				below = append(below, other)
			}
		}
		inner, fresh := &schema.Type{Kind: schema.Struct, Optional: true}, true
		if at >= 0 {
			if inner, fresh = out.Fields[at].Type, false; inner.Kind != schema.Struct {
				return nil, nil, &Error{Thrown: debeziumException, Message: fmt.Sprintf("Field '%s' is a primitive type, not a struct. Cannot add nested field '%s'.", name, strings.Join(path, "."))}
			}
		}
		inner, graft, err := t.build(inner, below, depth+1)
		if err != nil {
			return nil, nil, err
		}
		if at < 0 {
			at = len(out.Fields)
			out.Fields = append(out.Fields, schema.Field{Name: name})
		}
		out.Fields[at].Type = inner
		g.branches = append(g.branches, branch{at, fresh, graft})
	}
	g.fields = len(out.Fields)
	return &out, g, nil
}

// put makes the new struct of an old one, which is absent for one that is made.
func (t *headerToValue) put(b *change.Batch, typ *schema.Type, old change.Row, g *graft) (change.Value, error) {
	row := copyRow(b, old, g.fields)
	for _, leaf := range g.leaves {
		f, v := typ.Fields[leaf[0]], t.values[leaf[1]]
		if err := accepts(&f, t.types[leaf[1]], v); err != nil {
			return v, err
		}
		b.Set(row, leaf[0], v)
	}
	for _, child := range g.branches {
		inner := change.Row{}
		if !child.fresh {
			v := b.At(old, child.field)
			if v.Kind() != change.Struct {
				continue // nothing can be put into null
			}
			inner = b.RowOf(v)
		}
		v, err := t.put(b, typ.Fields[child.field].Type, inner, child.graft)
		if err != nil {
			return v, err
		}
		b.Set(row, child.field, v)
	}
	return b.Run(change.Struct, row), nil
}

// accepts refuses a value of a type that a field does not have.
func accepts(f *schema.Field, t *schema.Type, v change.Value) error {
	switch {
	case v.IsNull() && f.Type.Optional, !v.IsNull() && t.Kind == f.Type.Kind && t.Name == f.Type.Name:
		return nil
	case v.IsNull():
		return refuse("Invalid value: null used for required field: %q, schema type: %s", f.Name, strings.ToUpper(f.Type.Kind.String()))
	}
	name := ""
	if f.Type.Name != "" {
		name = fmt.Sprintf(" %q", f.Type.Name)
	}
	return refuse("Invalid Java object for schema%s with type %s: class %s for field: %q", name, strings.ToUpper(f.Type.Kind.String()), found(t, v), f.Name)
}

// typed is a header with its type: of one that is stored, as SimpleHeaderConverter guesses it.
func (h *Header) typed(b *change.Batch) (*schema.Type, change.Value) {
	if h.Stored() {
		return java.ParseHeader(h.Raw, b)
	}
	return h.Type, h.Value
}
