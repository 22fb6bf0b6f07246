// SPDX-License-Identifier: Apache-2.0

package avro

import (
	stdbinary "encoding/binary"
	"math"
	"strings"

	"freshet/change"
	"freshet/change/java"
	"freshet/emitter"
	"freshet/schema"
)

// node encodes the values of one Connect schema into Avro's binary form. It is immutable.
type node struct {
	kind kind
	want change.Kind
	typ  *schema.Type // nil without a schema
	// optional says that there is a branch for null. value and null are the indexes of the branches as they are written;
	// hasIndex, that the value has one.
	optional, hasIndex bool
	value, null        byte
	// def is the whole encoding of the schema's default, which null becomes in a field of a struct; nil for none.
	def       []byte
	size      int
	symbols   map[string]int
	key, elem *node
	members   []member
}

type member struct {
	name string
	node *node
}

const requiredNull = "Found null value for non-optional schema"

// compiler makes nodes. Structs may not be recursive: Connect schemas of tables never are.
type compiler struct{ o *Options }

// compile makes the node of t, whose Avro schema is a.
func (c *compiler) compile(t *schema.Type, a *avroType) (*node, error) {
	if t == nil {
		return &node{kind: union}, nil
	}
	n := &node{typ: t}
	if a.kind == union && t.Name != unionName {
		n.optional, n.hasIndex = true, true
		if a.branches[0].kind == null {
			n.value, a = 2, a.branches[1]
		} else {
			n.null, a = 2, a.branches[0]
		}
	}
	n.kind = a.kind
	var err error
	switch a.kind {
	case union:
		return n, c.union(n, t, a)
	case fixed:
		n.size = a.size
	case enum:
		n.symbols = map[string]int{}
		for i, s := range a.symbols {
			n.symbols[s] = i
		}
	case mapping:
		n.elem, err = c.compile(t.Elem, a.elem)
	case array:
		if t.Kind == schema.Map {
			if n.key, err = c.compile(t.Key, a.elem.fields[0].typ); err == nil {
				n.elem, err = c.compile(t.Elem, a.elem.fields[1].typ)
			}
		} else {
			n.elem, err = c.compile(t.Elem, a.elem)
		}
	case record:
		err = c.record(n, t, a)
	}
	if err != nil {
		return nil, err
	}
	n.want = change.KindOf(t)
	if t.Default != nil && !c.o.IgnoreDefaults {
		var b change.Batch
		if n.def, err = n.append(nil, &b, b.AppendLiteral(t.Default, t)); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (c *compiler) record(n *node, t *schema.Type, a *avroType) error {
	n.members = make([]member, len(t.Fields))
	for i, f := range t.Fields {
		below, err := c.compile(f.Type, a.fields[i].typ)
		if err != nil {
			return emitter.InField(f.Name, err)
		}
		n.members[i] = member{f.Name, below}
	}
	return nil
}

// union compiles a struct that stands for a union: each field is a branch.
func (c *compiler) union(n *node, t *schema.Type, a *avroType) error {
	first := 0
	if a.branches[0].kind == null {
		first, n.optional = 1, true
	}
	n.want = change.Struct
	n.members = make([]member, len(t.Fields))
	for i, f := range t.Fields {
		below, err := c.compile(f.Type.AsOptional(false), a.branches[first+i])
		if err != nil {
			return emitter.InField(f.Name, err)
		}
		below.hasIndex, below.value = true, byte(2*(first+i))
		n.members[i] = member{f.Name, below}
	}
	return nil
}

func appendLong(dst []byte, i int64) []byte { return stdbinary.AppendVarint(dst, i) }

func appendBytes(dst, p []byte) []byte { return append(appendLong(dst, int64(len(p))), p...) }

// append appends a value.
func (n *node) append(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	if n.typ == nil {
		return appendAnything(dst, b, v)
	}
	switch v.Kind() {
	case change.Null:
		if !n.optional {
			return dst, emitter.Refuse(requiredNull)
		}
		return append(dst, n.null), nil
	case change.Unavailable:
		return dst, emitter.Refuse("the value was not sent by the database, and the schema has no placeholder for it")
	}
	return n.present(dst, b, v)
}

// present appends a value that is there.
func (n *node) present(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	if v.Kind() != n.want {
		return dst, n.mismatch(v)
	}
	if n.hasIndex {
		dst = append(dst, n.value)
	}
	return n.plain(dst, b, v)
}

// plain appends a value that is of the right kind.
func (n *node) plain(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	switch n.kind {
	case boolean:
		if v.Bool() {
			return append(dst, 1), nil
		}
		return append(dst, 0), nil
	case integer, long:
		if n.typ.Name == schema.ConnectTime && (v.Int() < 0 || v.Int() > 24*60*60*1000) {
			return dst, emitter.Refuse("Kafka Connect Time type should not have any date fields set to non-zero values.")
		}
		return appendLong(dst, v.Int()), nil
	case float:
		f := v.Float()
		if f != f {
			return append(dst, 0, 0, 0xc0, 0x7f), nil // Java's only NaN
		}
		return stdbinary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(f))), nil
	case double:
		f := v.Float()
		if f != f {
			return stdbinary.LittleEndian.AppendUint64(dst, 0x7ff8000000000000), nil
		}
		return stdbinary.LittleEndian.AppendUint64(dst, math.Float64bits(f)), nil
	case binary, text:
		return appendBytes(dst, b.Bytes(v)), nil
	case fixed:
		if p := b.Bytes(v); len(p) == n.size {
			return append(dst, p...), nil
		}
		return dst, emitter.Refuse("a fixed has another size than its value")
	case enum:
		i, ok := n.symbols[b.String(v)]
		if !ok {
			symbols := symbolsOf(n.typ)
			return dst, emitter.Refuse("enum value '" + strings.Clone(b.String(v)) + "' is not in the enum symbol set: [" + strings.Join(symbols, ", ") + "]")
		}
		return appendLong(dst, int64(i)), nil
	}
	return n.run(dst, b, b.Elems(v))
}

// run appends a struct, array or map.
func (n *node) run(dst []byte, b *change.Batch, values []change.Value) ([]byte, error) {
	switch {
	case n.kind == record:
		return n.fields(dst, b, values)
	case n.kind == union:
		return n.branch(dst, b, values)
	case n.want == change.Map:
		return n.entries(dst, b, values)
	}
	if len(values) == 0 {
		return append(dst, 0), nil
	}
	var err error
	dst = appendLong(dst, int64(len(values)))
	for _, v := range values {
		if dst, err = n.elem.append(dst, b, v); err != nil {
			return dst, err
		}
	}
	return append(dst, 0), nil
}

func (n *node) fields(dst []byte, b *change.Batch, values []change.Value) ([]byte, error) {
	if len(values) != len(n.members) {
		return dst, emitter.Refuse("Mismatching struct schema")
	}
	var err error
	for i := range n.members {
		m := &n.members[i]
		if values[i].IsNull() && m.node.def != nil {
			dst = append(dst, m.node.def...)
			continue
		}
		if dst, err = m.node.append(dst, b, values[i]); err != nil {
			return dst, emitter.InField(m.name, err)
		}
	}
	return dst, nil
}

// branch appends the field of a union struct that is set.
func (n *node) branch(dst []byte, b *change.Batch, values []change.Value) ([]byte, error) {
	for i := range n.members {
		if i < len(values) && !values[i].IsNull() {
			return n.members[i].node.append(dst, b, values[i])
		}
	}
	if n.optional {
		return append(dst, 0), nil
	}
	return dst, emitter.Refuse(requiredNull)
}

// symbolsOf are the symbols of a text that is an enum.
func symbolsOf(t *schema.Type) []string {
	var symbols []string
	for _, p := range t.Params {
		if symbol, ok := strings.CutPrefix(p.Name, enumParam+"."); ok {
			symbols = append(symbols, symbol)
		}
	}
	return symbols
}

func (n *node) entries(dst []byte, b *change.Batch, values []change.Value) ([]byte, error) {
	if len(values) == 0 {
		return append(dst, 0), nil
	}
	var err error
	dst = appendLong(dst, int64(len(values)/2))
	for i := 0; i+1 < len(values); i += 2 {
		switch {
		case n.kind == array:
			dst, err = n.key.append(dst, b, values[i])
		case values[i].Kind() == change.Text:
			dst = appendBytes(dst, b.Bytes(values[i]))
		default:
			err = emitter.Refuse("Invalid type for STRING: class " + java.Class(n.typ.Key, values[i]))
		}
		if err != nil {
			return dst, err
		}
		if dst, err = n.elem.append(dst, b, values[i+1]); err != nil {
			return dst, err
		}
	}
	return append(dst, 0), nil
}

// mismatch is the error for a value of a wrong kind.
func (n *node) mismatch(v change.Value) error {
	class := "class " + java.Class(nil, v)
	switch n.typ.Name {
	case schema.Decimal:
		return emitter.Refuse("Invalid type for Decimal, expected BigDecimal but was " + class)
	case schema.ConnectDate:
		return emitter.Refuse("Invalid type for Date, expected Date but was " + class)
	case schema.ConnectTime:
		return emitter.Refuse("Invalid type for Time, expected Date but was " + class)
	case schema.ConnectTimestamp:
		return emitter.Refuse("Invalid type for Timestamp, expected Date but was " + class)
	}
	name := strings.ToUpper(n.typ.Kind.String())
	switch n.typ.Kind {
	case schema.Float32:
		name = "FLOAT32"
	case schema.Float64:
		name = "FLOAT64"
	}
	return emitter.Refuse("Invalid type for " + name + ": " + class)
}
