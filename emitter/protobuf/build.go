// SPDX-License-Identifier: Apache-2.0

package protobuf

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"freshet/change"
	"freshet/emitter"
	"freshet/schema"
)

// The parameters that Protobuf's own properties have in Connect schemas, and names.
const (
	namespace   = "io.confluent.connect.protobuf"
	enumParam   = namespace + ".Enum"
	unionPrefix = namespace + ".Union"
	tagParam    = namespace + ".Tag"
	typeParam   = namespace + ".Type"

	precisionParam = "connect.decimal.precision"
	connectType    = "connect.type"
)

// builder makes the file and the encoder of a Connect schema, as Confluent's ProtobufData makes them.
type builder struct {
	o       *Options
	root    *root
	unnamed int
}

// build makes the root of a schema.
func build(t *schema.Type, o *Options) (*root, error) {
	b := builder{o: o, root: &root{path: "\x00"}}
	if t == nil {
		return nil, emitter.Refuse("ProtobufConverter writes no values without a schema")
	}
	if t.Kind != schema.Struct || isUnion(t) {
		return b.primitive(t)
	}
	space, name := "", b.nameOr(t.Name)
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		space, name = name[:i], name[i+1:]
	}
	name = b.scrub(name)
	for _, part := range append(strings.Split(space, "."), name) {
		if err := checkName(part); err != nil && (space != "" || part != "") {
			return nil, err
		}
	}
	b.root.space = space
	b.root.node = &node{kind: kindMessage, want: change.Struct, typ: t}
	var err error
	b.root.message, err = b.message(name, t, b.root.node)
	return b.root, err
}

func isUnion(t *schema.Type) bool {
	return t.Kind == schema.Struct && strings.HasPrefix(t.Name, unionPrefix)
}

func (b *builder) nameOr(name string) string {
	if name != "" {
		return name
	}
	b.unnamed++
	return "ConnectDefault" + strconv.Itoa(b.unnamed)
}

// simpleName is the last part of a name.
func (b *builder) simpleName(name string) string {
	name = b.nameOr(name)
	return b.scrub(name[strings.LastIndexByte(name, '.')+1:])
}

// checkName refuses what is no identifier.
func checkName(name string) error {
	for i, c := range name {
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return emitter.Refuse(fmt.Sprintf("Protobuf does not allow the name %q: set scrub.invalid.names=true, or adjust names in the connector", name))
		}
	}
	if name == "" {
		return emitter.Refuse("Protobuf does not allow an empty name")
	}
	return nil
}

// scrub replaces what Protobuf does not allow, as the original does.
func (b *builder) scrub(name string) string {
	if !b.o.ScrubNames || name == "" || name[0] != '_' && checkName(name) == nil {
		return name
	}
	name = url.QueryEscape(name)
	if name[0] == '_' || name[0] >= '0' && name[0] <= '9' {
		name = "x" + name
	}
	return strings.Map(func(c rune) rune {
		if checkName("a"+string(c)) != nil {
			return '_'
		}
		return c
	}, name)
}

// wrappers are the messages of google/protobuf/wrappers.proto, in order.
var wrappers = []struct{ name, typ string }{
	{"DoubleValue", "double"},
	{"FloatValue", "float"},
	{"Int64Value", "int64"},
	{"UInt64Value", "uint64"},
	{"Int32Value", "int32"},
	{"UInt32Value", "uint32"},
	{"BoolValue", "bool"},
	{"StringValue", "string"},
	{"BytesValue", "bytes"},
}

// primitive is the root of a value that is no Struct: a wrapper.
func (b *builder) primitive(t *schema.Type) (*root, error) {
	typ := scalarType(t)
	if t.Kind == schema.Array || t.Kind == schema.Map || t.Kind == schema.Struct {
		return nil, emitter.Refuse("Unsupported root schema of type " + strings.ToUpper(t.Kind.String()))
	}
	b.root.space = "google.protobuf"
	var text strings.Builder
	text.WriteString("syntax = \"proto3\";\npackage google.protobuf;\n\n")
	for i, w := range wrappers {
		text.WriteString("message " + w.name + " {\n  " + w.typ + " value = 1;\n}\n")
		if w.typ == typ {
			b.root.space += "." + w.name
			b.root.path = string(protowire.AppendVarint(protowire.AppendVarint(nil, 2), protowire.EncodeZigZag(int64(i))))
		}
	}
	b.root.fixed = text.String()
	b.root.node = wrapped(1, typ, t)
	return b.root, nil
}

// scalarType is the type of a scalar that says nothing else.
func scalarType(t *schema.Type) string {
	switch t.Kind {
	case schema.Int64:
		return "int64"
	case schema.Float32:
		return "float"
	case schema.Float64:
		return "double"
	case schema.Boolean:
		return "bool"
	case schema.String:
		return "string"
	case schema.Bytes:
		return "bytes"
	}
	return "int32"
}

// message makes a message of a Struct, and the members of its node in the order of their tags.
func (b *builder) message(name string, t *schema.Type, n *node) (*message, error) {
	m := &message{name: name}
	used := map[int]bool{}
	eachTag(t, func(tag int) { used[tag] = true })
	next := 0
	number := func(t *schema.Type) int {
		if tag, ok := tagOf(t); ok {
			return tag
		}
		for next++; used[next]; next++ {
		}
		return next
	}
	for i, f := range t.Fields {
		var err error
		if isUnion(f.Type) {
			err = b.union(m, f, i, n, number)
		} else {
			var out field
			var below *node
			if out, below, err = b.field(m, f, number(f.Type)); err == nil {
				m.fields = append(m.fields, out)
				below.place, below.name = i, f.Name
				n.members = append(n.members, below)
			}
		}
		if err != nil {
			return nil, emitter.InField(f.Name, err)
		}
	}
	slices.SortStableFunc(n.members, func(x, y *node) int { return x.number - y.number })
	return m, nil
}

// eachTag calls f with the tags that fields ask for.
func eachTag(t *schema.Type, f func(int)) {
	for _, below := range t.Fields {
		if isUnion(below.Type) {
			eachTag(below.Type, f)
		} else if tag, ok := tagOf(below.Type); ok {
			f(tag)
		}
	}
}

func tagOf(t *schema.Type) (int, bool) {
	text, ok := t.Param(tagParam)
	tag, err := strconv.Atoi(text)
	return tag, ok && err == nil && tag > 0 && tag < 1<<29
}

// union makes a oneof of a Struct that stands for one. Its members are members of the message.
func (b *builder) union(m *message, f schema.Field, place int, n *node, number func(*schema.Type) int) error {
	name := strings.TrimPrefix(strings.TrimPrefix(f.Type.Name, unionPrefix), ".")
	o := oneof{name: b.simpleName(name)}
	for i, inner := range f.Type.Fields {
		out, below, err := b.field(m, inner, number(inner.Type))
		if err != nil {
			return emitter.InField(inner.Name, err)
		}
		out.label = ""
		o.fields = append(o.fields, out)
		below.place, below.inner, below.union, below.presence, below.name = place, i, true, true, f.Name
		n.members = append(n.members, below)
	}
	m.oneofs = append(m.oneofs, o)
	return nil
}

// field makes a field of a message, and its node.
func (b *builder) field(m *message, f schema.Field, tag int) (field, *node, error) {
	out := field{name: b.scrub(f.Name), tag: tag}
	if err := checkName(out.name); err != nil {
		return out, nil, err
	}
	t := f.Type
	n := &node{number: tag, typ: t}
	var err error
	switch t.Kind {
	case schema.Array:
		if t.Elem.Kind == schema.Array || t.Elem.Kind == schema.Map {
			return out, nil, emitter.Refuse("Array cannot be nested")
		}
		out.label, n.kind, n.want = "repeated", kindArray, change.KindOf(t)
		n.elem = &node{number: tag, typ: t.Elem, presence: true}
		if err = b.typed(m, &out, t.Elem, n.elem); err == nil {
			n.tag = n.elem.tag
			if n.packed = n.elem.kind.packable(); n.packed {
				n.tag = protowire.AppendTag(nil, protowire.Number(tag), protowire.BytesType)
			}
		}
	case schema.Map:
		out.label = "repeated"
		err = b.entries(m, &out, t, n)
	default:
		if b.o.OptionalFields && t.Optional {
			out.label, n.presence = "optional", true
		}
		err = b.typed(m, &out, t, n)
	}
	if err == nil {
		err = n.defaults()
	}
	return out, n, err
}

// entries makes the message of a map's entries.
func (b *builder) entries(m *message, out *field, t *schema.Type, n *node) error {
	out.typ = camel(b.simpleName(t.Name)) + "Entry"
	entry := &message{name: out.typ}
	n.kind, n.want = kindMap, change.Map
	n.tag = protowire.AppendTag(nil, protowire.Number(n.number), protowire.BytesType)
	for i, side := range []schema.Field{{Name: "key", Type: t.Key}, {Name: "value", Type: t.Elem}} {
		if side.Type.Kind == schema.Map {
			return emitter.Refuse("Map cannot be nested")
		}
		f, below, err := b.field(entry, side, i+1)
		if err != nil {
			return emitter.InField(side.Name, err)
		}
		f.params = nil
		entry.fields = append(entry.fields, f)
		n.members = append(n.members, below)
	}
	return m.add(entry)
}

// camel is connect_default2 as ConnectDefault2.
func camel(s string) string {
	if !strings.Contains(s, "_") {
		return s
	}
	var out strings.Builder
	for part := range strings.SplitSeq(s, "_") {
		if part != "" {
			out.WriteString(strings.ToUpper(part[:1]) + strings.ToLower(part[1:]))
		}
	}
	return out.String()
}

// add adds a nested message. One of a name is written for all that have it, so they must be alike.
func (m *message) add(nested *message) error {
	if m.name == nested.name {
		return emitter.Refuse(fmt.Sprintf("a message %q in a message of the same name cannot be written", m.name))
	}
	for _, known := range m.nested {
		if known.name != nested.name {
			continue
		}
		var ours, theirs strings.Builder
		known.write(&ours, "")
		nested.write(&theirs, "")
		if ours.String() != theirs.String() {
			return emitter.Refuse(fmt.Sprintf("two messages %q in %q that differ cannot be written", nested.name, m.name))
		}
		return nil
	}
	m.nested = append(m.nested, nested)
	return nil
}

// logical are the Connect types that are messages of their own.
var logical = map[string]struct {
	typ, file string
	kind      kind
}{
	schema.Decimal:          {"confluent.type.Decimal", "confluent/type/decimal.proto", kindDecimal},
	schema.ConnectDate:      {"google.type.Date", "google/type/date.proto", kindDate},
	schema.ConnectTime:      {"google.type.TimeOfDay", "google/type/timeofday.proto", kindTime},
	schema.ConnectTimestamp: {"google.protobuf.Timestamp", "google/protobuf/timestamp.proto", kindTimestamp},
}

const metaFile = "confluent/meta.proto"

// typed fills the type of a field that is no array or map.
func (b *builder) typed(m *message, out *field, t *schema.Type, n *node) error {
	n.want = change.KindOf(t)
	defer func() {
		if len(out.params) > 0 {
			b.root.use(metaFile)
		}
	}()
	if l, ok := logical[t.Name]; ok {
		out.typ = l.typ
		b.root.use(l.file)
		n.kind, n.tag = l.kind, protowire.AppendTag(nil, protowire.Number(n.number), protowire.BytesType)
		if l.kind == kindDecimal {
			var err error
			if n.scale, err = decimalScale(t); err != nil {
				return err
			}
			out.params = decimalParams(t)
		}
		return nil
	}
	if t.Kind == schema.Struct {
		return b.nested(m, out, t, n)
	}
	if name, ok := t.Param(enumParam); ok && (t.Kind == schema.String || t.Kind == schema.Int32) {
		return b.enum(m, out, t, n, name)
	}
	out.typ = scalarType(t)
	if own, ok := t.Param(typeParam); ok && (t.Kind == schema.Int32 || t.Kind == schema.Int64) && scalars[own] != kindNone {
		out.typ = own
	}
	if t.Kind == schema.Int8 || t.Kind == schema.Int16 {
		out.params = []schema.Param{{Name: connectType, Value: t.Kind.String()}}
	}
	if b.o.WrapNullables && t.Optional {
		name, typ := wrapperOf(out.typ)
		n.kind, n.elem = kindWrapper, wrapped(n.number, typ, t).elem
		n.tag = protowire.AppendTag(nil, protowire.Number(n.number), protowire.BytesType)
		out.typ = "google.protobuf." + name
		b.root.use("google/protobuf/wrappers.proto")
		return nil
	}
	n.scalar(out.typ)
	return nil
}

// wrapperOf is the wrapper of a scalar type, and the type in it.
func wrapperOf(typ string) (name, inside string) {
	switch typ {
	case "fixed32":
		typ = "uint32"
	case "fixed64":
		typ = "uint64"
	case "sint32", "sfixed32":
		typ = "int32"
	case "sint64", "sfixed64":
		typ = "int64"
	}
	for _, w := range wrappers {
		if w.typ == typ {
			return w.name, typ
		}
	}
	return "BytesValue", "bytes"
}

func decimalParams(t *schema.Type) []schema.Param {
	values := map[string]string{}
	var names []string
	for param, name := range map[string]string{precisionParam: "precision", "scale": "scale"} {
		if v, ok := t.Param(param); ok {
			values[name] = v
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out []schema.Param
	for _, name := range schema.JavaOrder(names) {
		out = append(out, schema.Param{Name: name, Value: values[name]})
	}
	return out
}

func decimalScale(t *schema.Type) (int, error) {
	text, _ := t.Param("scale")
	scale, err := strconv.Atoi(text)
	if err != nil || scale > 100_000 || scale < -100_000 {
		return 0, emitter.Refuse("Invalid scale parameter found in Decimal schema: " + text)
	}
	return scale, nil
}

// nested makes the message of a Struct that is a field.
func (b *builder) nested(m *message, out *field, t *schema.Type, n *node) error {
	out.typ = b.simpleName(t.Name)
	if out.typ == out.name {
		out.typ += "Message"
	}
	if err := checkName(out.typ); err != nil {
		return err
	}
	n.kind, n.tag = kindMessage, protowire.AppendTag(nil, protowire.Number(n.number), protowire.BytesType)
	below, err := b.message(out.typ, t, n)
	if err != nil {
		return err
	}
	return m.add(below)
}

// enum makes the enum of a text, or a number, that is one.
func (b *builder) enum(m *message, out *field, t *schema.Type, n *node, name string) error {
	out.typ = b.scrub(name[strings.LastIndexByte(name, '.')+1:])
	if err := checkName(out.typ); err != nil {
		return err
	}
	e := enumType{name: out.typ}
	n.symbols = map[string]int64{}
	for _, p := range t.Params {
		symbol, ok := strings.CutPrefix(p.Name, enumParam+".")
		if !ok {
			continue
		}
		i, err := strconv.ParseInt(p.Value, 10, 32)
		if err != nil {
			return emitter.Refuse("a symbol of enum " + name + " has no number")
		}
		e.symbols, n.symbols[symbol] = append(e.symbols, schema.Param{Name: symbol, Value: p.Value}), i
	}
	n.scalar("int32")
	n.kind = kindEnum
	if !slices.ContainsFunc(m.enums, func(known enumType) bool { return known.name == e.name }) {
		m.enums = append(m.enums, e)
	}
	return nil
}
