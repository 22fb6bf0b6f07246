// SPDX-License-Identifier: Apache-2.0

package protobuf

import (
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"freshet/emitter"
	"freshet/schema"
)

// plan decodes the values of one field, or of a message at the top. It is immutable.
type plan struct {
	kind   kind
	typ    *schema.Type
	proto  string // the type of a scalar, for numbers that are narrower
	scale  int    // of the schema of a decimal
	texts  map[int64]string
	fields map[protowire.Number]*slot // of a message
	slots  []*slot                    // in the order of the Struct's fields, without those of oneofs
	lists  int                        // repeated fields of a message
	elem   *plan                      // of arrays; the value of a wrapper
}

// slot is a field of a message.
type slot struct {
	plan  *plan
	place int // in the Struct
	inner int // in the Struct of a oneof; -1 for others
	width int // of the Struct of a oneof
	list  int // of a repeated field; -1 for others
	// unset is what stands for a field that is not there: null, the default, or an empty Struct.
	unset    unset
	fallback any
}

type unset uint8

const (
	unsetNull unset = iota
	unsetDefault
	unsetStruct
)

// reading makes Connect schemas and plans of descriptors, as Confluent's ProtobufData does.
type reading struct {
	o      *Options
	inside map[protoreflect.FullName]bool
	fields int
}

// maxFields bounds what one schema may come to: messages may be used very often.
const maxFields = 100_000

// toConnect is the plan of a message at the top.
func toConnect(m protoreflect.MessageDescriptor, o *Options) (*plan, error) {
	r := reading{o: o, inside: map[protoreflect.FullName]bool{}}
	if o.UnwrapRoot {
		if p := r.wrapper(m); p != nil {
			return p, nil
		}
	}
	return r.message(m)
}

// wrapper is the plan of a message such as google.protobuf.Int32Value; nil for others.
func (r *reading) wrapper(m protoreflect.MessageDescriptor) *plan {
	name, ok := strings.CutPrefix(string(m.FullName()), "google.protobuf.")
	i := slices.IndexFunc(wrappers, func(w struct{ name, typ string }) bool { return w.name == name })
	if !ok || i < 0 {
		return nil
	}
	value := &plan{kind: scalars[wrappers[i].typ], proto: wrappers[i].typ, typ: &schema.Type{Kind: kindOf(wrappers[i].typ)}}
	return &plan{kind: kindWrapper, typ: value.typ, elem: value}
}

// kindOf is the Connect type of a scalar.
func kindOf(typ string) schema.Kind {
	switch typ {
	case "int32", "sint32", "sfixed32":
		return schema.Int32
	case "float":
		return schema.Float32
	case "double":
		return schema.Float64
	case "bool":
		return schema.Boolean
	case "string":
		return schema.String
	case "bytes":
		return schema.Bytes
	}
	return schema.Int64
}

func (r *reading) name(d protoreflect.Descriptor) string {
	if r.o.FullNames {
		return string(d.FullName())
	}
	return string(d.Name())
}

func (r *reading) message(m protoreflect.MessageDescriptor) (*plan, error) {
	if r.inside[m.FullName()] {
		return nil, emitter.Refuse("the message " + string(m.FullName()) + " holds itself, which is not supported")
	}
	r.inside[m.FullName()] = true
	defer delete(r.inside, m.FullName())
	p := &plan{
		kind: kindMessage, typ: &schema.Type{Kind: schema.Struct, Name: r.name(m), Fields: []schema.Field{}}, fields: map[protowire.Number]*slot{},
	}
	for i := range m.Oneofs().Len() {
		if o := m.Oneofs().Get(i); !o.IsSynthetic() {
			if err := r.oneof(p, o); err != nil {
				return nil, err
			}
		}
	}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if o := f.ContainingOneof(); o != nil && !o.IsSynthetic() {
			continue
		}
		s, err := r.slot(f)
		if err != nil {
			return nil, err
		}
		if s.place = len(p.typ.Fields); s.list == 0 {
			s.list, p.lists = p.lists, p.lists+1
		}
		p.fields[f.Number()] = s
		p.slots = append(p.slots, s)
		p.typ.Fields = append(p.typ.Fields, schema.Field{Name: string(f.Name()), Type: s.plan.typ})
	}
	return p, nil
}

// oneof adds a Struct of which one member is set.
func (r *reading) oneof(p *plan, o protoreflect.OneofDescriptor) error {
	t := &schema.Type{Kind: schema.Struct, Name: unionPrefix + "." + r.name(o), Optional: true}
	name := string(o.Name())
	if r.o.IndexInUnions {
		name += "_" + strconv.Itoa(o.Index())
	}
	width := o.Fields().Len()
	for i := range width {
		f := o.Fields().Get(i)
		s, err := r.slot(f)
		if err != nil {
			return err
		}
		s.place, s.inner, s.width, s.list = len(p.typ.Fields), i, width, -1
		p.fields[f.Number()] = s
		t.Fields = append(t.Fields, schema.Field{Name: string(f.Name()), Type: s.plan.typ})
	}
	p.typ.Fields = append(p.typ.Fields, schema.Field{Name: name, Type: t})
	return nil
}

// slot makes the slot of a field; its list is 0 for a repeated one, -1 for others.
func (r *reading) slot(f protoreflect.FieldDescriptor) (*slot, error) {
	if r.fields++; r.fields > maxFields {
		return nil, emitter.Refuse("Protobuf schema: too large")
	}
	p, err := r.value(f)
	if err != nil {
		return nil, emitter.InField(string(f.Name()), err)
	}
	s := &slot{plan: p, inner: -1, list: -1}
	optional := f.HasOptionalKeyword() && (f.ParentFile().Syntax() != protoreflect.Proto2 || r.o.OptionalProto2)
	switch {
	case f.IsMap(), r.mapEntries(f):
		s.list = 0
	case f.IsList():
		s.list = 0
		elem := *p
		elem.typ = p.typ.AsOptional(true)
		p = &plan{kind: kindArray, typ: &schema.Type{Kind: schema.Array, Elem: elem.typ, Optional: true}, elem: &elem}
	case f.Message() != nil:
		if r.o.StructsForNulls && p.kind == kindMessage {
			s.unset = unsetStruct
		}
	case !optional:
		s.unset = unsetDefault
		if f.HasDefault() && f.Kind() != protoreflect.EnumKind {
			s.fallback = f.Default().Interface()
		}
	}
	t := *p.typ
	switch {
	case !r.o.OptionalFields && !r.o.WrapNullables, r.o.OptionalFields && f.HasOptionalKeyword():
		t.Optional = true
	}
	t.Params = append(slices.Clone(t.Params), schema.Param{Name: tagParam, Value: strconv.Itoa(int(f.Number()))})
	c := *p
	c.typ = &t
	s.plan = &c
	return s, nil
}

// mapEntries says whether a field is a map by its message, as the original writes them.
func (r *reading) mapEntries(f protoreflect.FieldDescriptor) bool {
	m := f.Message()
	return m != nil && f.IsList() && strings.HasSuffix(string(m.Name()), "Entry") && m.Fields().Len() == 2 &&
		m.Fields().Get(0).Name() == "key" && m.Fields().Get(1).Name() == "value" &&
		m.Fields().Get(0).Cardinality() != protoreflect.Repeated && m.Fields().Get(1).Cardinality() != protoreflect.Repeated
}

// value is the plan of one value of a field.
func (r *reading) value(f protoreflect.FieldDescriptor) (*plan, error) {
	if f.IsMap() || r.mapEntries(f) {
		return r.entries(f)
	}
	switch f.Kind() {
	case protoreflect.EnumKind:
		return r.enum(f.Enum()), nil
	case protoreflect.MessageKind:
		return r.ofMessage(f)
	case protoreflect.GroupKind:
		return nil, emitter.Refuse("groups are not supported")
	}
	typ := f.Kind().String()
	p := &plan{kind: scalars[typ], proto: typ, typ: &schema.Type{Kind: kindOf(typ)}}
	switch p.typ.Kind {
	case schema.Int32, schema.Int64:
		switch own := fieldMeta(f)[connectType]; {
		case p.typ.Kind == schema.Int32 && own == "int8":
			p.typ.Kind = schema.Int8
		case p.typ.Kind == schema.Int32 && own == "int16":
			p.typ.Kind = schema.Int16
		case typ != "int32" && typ != "int64":
			p.typ.Params = []schema.Param{{Name: typeParam, Value: typ}}
		}
	}
	return p, nil
}

func (r *reading) entries(f protoreflect.FieldDescriptor) (*plan, error) {
	m := f.Message()
	key, err := r.slot(m.Fields().Get(0))
	if err != nil {
		return nil, err
	}
	value, err := r.slot(m.Fields().Get(1))
	if err != nil {
		return nil, err
	}
	if key.list >= 0 || value.list >= 0 {
		return nil, emitter.Refuse("a map of repeated values is not supported")
	}
	key.place, value.place = 0, 1
	entry := &plan{
		kind: kindMessage, typ: &schema.Type{Kind: schema.Struct}, slots: []*slot{key, value},
		fields: map[protowire.Number]*slot{1: key, 2: value},
	}
	return &plan{kind: kindMap, elem: entry, typ: &schema.Type{
		Kind: schema.Map, Key: key.plan.typ, Elem: value.plan.typ, Name: underscored(strings.TrimSuffix(r.name(m), "Entry")), Optional: true,
	}}, nil
}

// underscored is ConnectDefault2 as connect_default2.
func underscored(s string) string {
	var out strings.Builder
	for i, c := range s {
		if c >= 'A' && c <= 'Z' {
			if i > 0 {
				out.WriteByte('_')
			}
			c += 'a' - 'A'
		}
		out.WriteRune(c)
	}
	return out.String()
}

func (r *reading) enum(e protoreflect.EnumDescriptor) *plan {
	p := &plan{kind: kindEnum, typ: &schema.Type{Kind: schema.String, Name: r.name(e), Optional: true}}
	if r.o.IntEnums {
		p.typ.Kind = schema.Int32
	} else {
		p.texts = map[int64]string{}
	}
	p.typ.Params = []schema.Param{{Name: enumParam, Value: string(e.Name())}}
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		p.typ.Params = append(p.typ.Params, schema.Param{Name: enumParam + "." + string(v.Name()), Value: strconv.Itoa(int(v.Number()))})
		if _, again := p.texts[int64(v.Number())]; p.texts != nil && !again {
			p.texts[int64(v.Number())] = string(v.Name())
		}
	}
	return p
}

// ofMessage is the plan of a field that is a message.
func (r *reading) ofMessage(f protoreflect.FieldDescriptor) (*plan, error) {
	for name, l := range logical {
		if l.typ != string(f.Message().FullName()) {
			continue
		}
		p := &plan{kind: l.kind, typ: &schema.Type{Kind: schema.Int32, Name: name, Version: 1, Optional: true}}
		switch l.kind {
		case kindTimestamp:
			p.typ.Kind = schema.Int64
		case kindDecimal:
			meta := fieldMeta(f)
			p.typ.Kind = schema.Bytes
			if n, err := strconv.Atoi(meta["scale"]); err == nil && n >= -100_000 && n <= 100_000 {
				p.scale = n
			}
			p.typ.Params = []schema.Param{{Name: "scale", Value: strconv.Itoa(p.scale)}}
			if n, err := strconv.Atoi(meta["precision"]); err == nil {
				p.typ.Params = append(p.typ.Params, schema.Param{Name: precisionParam, Value: strconv.Itoa(n)})
			}
		}
		return p, nil
	}
	if r.o.WrapNullables {
		if p := r.wrapper(f.Message()); p != nil {
			p.typ.Optional = true
			return p, nil
		}
	}
	p, err := r.message(f.Message())
	if err == nil {
		p.typ.Optional = true
	}
	return p, err
}
