// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"slices"
	"strings"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

// What becomes of deletes and tombstones (delete.tombstone.handling.mode).
const (
	deleteDrop                 = "drop"
	deleteTombstone            = "tombstone"
	deleteRewrite              = "rewrite"
	deleteRewriteWithTombstone = "rewrite-with-tombstone"
	deleteToTombstone          = "delete-to-tombstone"
)

var unwrapKind = kind{
	plugin: config.Plugin{
		Name: "ExtractNewRecordState", Class: "io.debezium.transforms.ExtractNewRecordState", Kind: "transformation", Version: "3.6.1.Final",
		Def: config.Def{Keys: []config.Key{
			{
				Name: "delete.tombstone.handling.mode", Type: config.String, Default: deleteTombstone, HasDefault: true, Importance: config.Medium,
				Allowed: []string{deleteDrop, deleteTombstone, deleteRewrite, deleteRewriteWithTombstone, deleteToTombstone},
				Doc:     "What becomes of a delete event and of the tombstone after it.",
			},
			{Name: "add.fields", Type: config.List, Importance: config.Low, Doc: "Metadata to copy into the value: op, ts_ms, a field of source, block.field, each with :alias if wanted."},
			{Name: "add.fields.prefix", Type: config.String, Default: "__", HasDefault: true, Importance: config.Low, Doc: "Put before the names of added fields."},
			{Name: "add.headers", Type: config.List, Importance: config.Low, Doc: "Metadata to copy into headers, written as for add.fields."},
			{Name: "add.headers.prefix", Type: config.String, Default: "__", HasDefault: true, Importance: config.Low, Doc: "Put before the names of added headers."},
			{Name: "route.by.field", Type: config.String, Importance: config.Low, Doc: "Text column whose value becomes the topic."},
			{Name: "drop.fields.header.name", Type: config.String, Importance: config.Low, Doc: "Header that lists fields to leave out."},
			{Name: "drop.fields.from.key", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Low, Doc: "Leave them out of the key, too."},
			{Name: "drop.fields.keep.schema.compatible", Type: config.Boolean, Default: "true", HasDefault: true, Importance: config.Low, Doc: "Leave out optional fields only."},
			{Name: "replace.null.with.default", Type: config.Boolean, Default: "true", HasDefault: true, Importance: config.Low, Doc: "Write a field's default for a null."},
		}},
	},
	make: func(v config.Values) (Transform, error) {
		t := &unwrap{
			mode: v.Get("delete.tombstone.handling.mode"), routeBy: v.Get("route.by.field"),
			nullsToDefaults: v.Bool("replace.null.with.default"), headerPrefix: v.Get("add.headers.prefix"),
			fields: references(v.List("add.fields"), v.Get("add.fields.prefix")),
			drop: dropFields{
				header: v.Get("drop.fields.header.name"), fromKey: v.Bool("drop.fields.from.key"),
				optionalOnly: v.Bool("drop.fields.keep.schema.compatible"), types: map[dropKey]*dropped{},
			},
		}
		t.headers = references(v.List("add.headers"), t.headerPrefix)
		return t, nil
	},
}

// unwrap is ExtractNewRecordState: it makes a row of an envelope.
type unwrap struct {
	mode            string
	fields, headers []reference
	headerPrefix    string
	routeBy         string
	nullsToDefaults bool
	shapes          memo[shapeKey, *unwrapShape]
	drop            dropFields
}

// reference names a piece of metadata and what it is to be called. Block is "" for a field of the envelope itself.
type reference struct{ block, field, name string }

func references(list []string, prefix string) []reference {
	var out []reference
	for _, s := range list {
		ref, alias, hasAlias := strings.Cut(s, ":")
		r := reference{block: "source", field: ref, name: prefix + strings.ReplaceAll(ref, ".", "_")}
		if block, field, ok := strings.Cut(ref, "."); ok {
			r.block, r.field = block, field
		} else if slices.Contains([]string{"op", "ts_ms", "ts_us", "ts_ns", "updateDescription"}, ref) {
			r.block = ""
		} else if slices.Contains([]string{"id", "total_order", "data_collection_order"}, ref) {
			r.block = "transaction"
		}
		if hasAlias {
			r.name = prefix + alias
		}
		out = append(out, r)
	}
	return out
}

// shapeKey: what is added may differ for the rows of before and after.
type shapeKey struct {
	envelope *schema.Type
	before   bool
}

// unwrapShape is what is known of the envelopes of one schema.
type unwrapShape struct {
	row     int // index of the row in the envelope
	out     *schema.Type
	deleted bool // the row gets __deleted after its own fields
	fields  []place
	headers []place
}

// place is where a reference is found. block is -1 for the envelope itself.
type place struct {
	block, field int
	name         string
	typ          *schema.Type // optional, without default
}

// Apply turns an envelope into a row. Other records pass unchanged.
func (t *unwrap) Apply(r *Record) (bool, error) {
	env, ok, err := r.event()
	switch {
	case err != nil:
		return false, err
	case !ok && r.ValueType == nil && r.Value.IsNull():
		return t.tombstone(r), nil
	case !ok:
		return true, nil
	}
	e := envelopeOf(r.ValueType)
	op := e.operation(r.Data, env)
	if op == change.Truncate {
		return false, nil
	}
	if op == change.Delete && t.mode == deleteDrop {
		return false, nil
	}
	shape := t.shape(r.ValueType, op == change.Delete)
	if shape == nil {
		return true, nil
	}
	if err := t.route(r, shape, env); err != nil {
		return false, err
	}
	t.addHeaders(r, shape, env)
	if op == change.Delete {
		switch t.mode {
		case deleteTombstone:
			r.SetValue(r.ValueType.Fields[shape.row].Type, change.NullValue())
			return true, nil
		case deleteToTombstone:
			r.SetValue(nil, change.NullValue())
			return true, nil
		}
	}
	t.flatten(r, shape, env, op == change.Delete)
	return true, t.drop.apply(r)
}

// tombstone says whether a tombstone passes, and gives it the op header as the original does.
func (t *unwrap) tombstone(r *Record) bool {
	if t.mode != deleteRewriteWithTombstone {
		return false
	}
	for _, h := range t.headers {
		if h.block == "" && h.field == "op" {
			r.Headers = append(r.Headers[:len(r.Headers):len(r.Headers)], Header{Key: h.name, Type: stringType, Value: r.Data.Text("d")})
		}
	}
	return true
}

var stringType = &schema.Type{Kind: schema.String}

func (t *unwrap) shape(env *schema.Type, before bool) *unwrapShape {
	key := shapeKey{env, before}
	if s, ok := t.shapes.get(key); ok {
		return s
	}
	e := envelopeOf(env)
	s := &unwrapShape{row: e.after}
	if before {
		s.row = e.before
	}
	if s.row >= 0 {
		row := env.Fields[s.row].Type
		out := *row
		out.Optional, out.Fields = false, slices.Clone(row.Fields)
		if s.deleted = t.mode == deleteRewrite || t.mode == deleteRewriteWithTombstone; s.deleted {
			out.Fields = append(out.Fields, schema.Field{Name: "__deleted", Type: stringType.AsOptional(true)})
		}
		s.fields, s.headers = places(env, t.fields), places(env, t.headers)
		for _, p := range s.fields {
			out.Fields = append(out.Fields, schema.Field{Name: p.name, Type: p.typ})
		}
		s.out = &out
	} else {
		s = nil
	}
	return t.shapes.put(key, s)
}

func places(env *schema.Type, refs []reference) []place {
	var out []place
	for _, ref := range refs {
		p, in := place{block: -1, name: ref.name}, env
		if ref.block != "" {
			if p.block = env.FieldIndex(ref.block); p.block < 0 {
				continue
			}
			in = env.Fields[p.block].Type
		}
		if p.field = in.FieldIndex(ref.field); p.field < 0 {
			continue
		}
		typ := *in.Fields[p.field].Type
		typ.Optional, typ.Default = true, nil
		p.typ = &typ
		out = append(out, p)
	}
	return out
}

func (p place) value(b *change.Batch, env change.Row) change.Value {
	if p.block < 0 {
		return b.At(env, p.field)
	}
	block := b.At(env, p.block)
	if block.IsNull() {
		return change.NullValue()
	}
	return b.At(b.RowOf(block), p.field)
}

func (t *unwrap) route(r *Record, s *unwrapShape, env change.Row) error {
	if t.routeBy == "" {
		return nil
	}
	row := r.ValueType.Fields[s.row].Type
	i := row.FieldIndex(t.routeBy)
	if i < 0 || row.Fields[i].Type.Kind != schema.String {
		return refuse("route.by.field: %q has no text field %q", row.Name, t.routeBy)
	}
	v := r.Data.At(env, s.row)
	if v.IsNull() {
		return nil
	}
	if f := r.Data.At(r.Data.RowOf(v), i); f.Kind() == change.Text {
		if topic := strings.TrimSpace(r.Data.String(f)); topic != "" {
			r.Topic = strings.Clone(r.Data.String(f))
		}
	}
	return nil
}

func (t *unwrap) addHeaders(r *Record, s *unwrapShape, env change.Row) {
	if len(s.headers) == 0 {
		return
	}
	headers := slices.Clip(r.Headers)
	for _, p := range s.headers {
		headers = append(headers, Header{Key: p.name, Type: p.typ, Value: p.value(r.Data, env)})
	}
	r.Headers = headers
}

// flatten makes the row the value, with the added fields.
func (t *unwrap) flatten(r *Record, s *unwrapShape, env change.Row, deleted bool) {
	v := r.Data.At(env, s.row)
	if v.IsNull() {
		r.SetValue(s.out.AsOptional(true), v)
		return
	}
	n := len(r.ValueType.Fields[s.row].Type.Fields)
	out := r.Data.NewRow(len(s.out.Fields))
	row := r.Data.RowOf(v)
	for i := range n {
		f := r.Data.At(row, i)
		if t.nullsToDefaults {
			f = orDefault(r.Data, f, s.out.Fields[i].Type)
		}
		r.Data.Set(out, i, f)
	}
	if s.deleted {
		text := "false"
		if deleted {
			text = "true"
		}
		r.Data.Set(out, n, r.Data.Text(text))
		n++
	}
	for i, p := range s.fields {
		r.Data.Set(out, n+i, p.value(r.Data, env))
	}
	r.SetValue(s.out, r.Data.Run(change.Struct, out))
}
