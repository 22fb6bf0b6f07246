// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"slices"
	"strconv"
	"strings"

	"freshet/change"
	"freshet/schema"
)

// jsonExpander makes typed values of JSON texts, with a schema that it infers from the text: Debezium's JsonSchemaData.
//
// Unlike the original it loses nothing: objects of one array may differ at any depth, members whose names are adjusted
// keep their values, and a whole number beyond 64 bits is refused and not made a schema that its value does not have.
type jsonExpander struct {
	nulls       bool   // nulls are fields of type bytes (optional_bytes), not left out
	emptyArrays bool   // empty arrays are arrays of texts (optional_string), not left out
	adjust      string // field.name.adjustment.mode
	types       memo[string, *schema.Type]
	shape       []byte
}

// The types of JSON values. Those of nulls and of empty arrays give way to any other of the same place.
var (
	jsonText     = &schema.Type{Kind: schema.String, Optional: true}
	jsonBool     = &schema.Type{Kind: schema.Boolean, Optional: true}
	jsonInt      = &schema.Type{Kind: schema.Int32, Optional: true}
	jsonLong     = &schema.Type{Kind: schema.Int64, Optional: true}
	jsonDouble   = &schema.Type{Kind: schema.Float64, Optional: true}
	jsonNull     = &schema.Type{Kind: schema.Bytes, Optional: true}
	jsonNoItems  = &schema.Type{Kind: schema.Array, Optional: true, Elem: jsonText}
	numberSchema = map[nodeKind]string{intNode: "Schema{INT32}", longNode: "Schema{INT64}", bigNode: "Schema{FLOAT64}", doubleNode: "Schema{FLOAT64}"}
)

// expand makes a struct of a text that is a JSON object. name is that of its schema; "" for none. The same shape has the
// same type, by pointer.
func (x *jsonExpander) expand(b *change.Batch, text, name string) (*schema.Type, change.Value, error) {
	n, err := parseNode(text)
	if err != nil {
		return nil, change.NullValue(), err
	}
	if n.kind != objectNode {
		return nil, change.NullValue(), refuse("the JSON text is no object, but %s", n.kind.typeName())
	}
	t, err := x.infer(name, n)
	if err != nil {
		return nil, change.NullValue(), err
	}
	x.shape = appendShape(x.shape[:0], t)
	if known, ok := x.types.get(string(x.shape)); ok {
		t = known
	} else {
		x.types.put(string(x.shape), t)
	}
	v, err := x.value(b, t, n)
	return t, v, err
}

// infer is the type of a value, nil for one that is left out. name is that of the struct it may be.
func (x *jsonExpander) infer(name string, n *node) (*schema.Type, error) {
	switch n.kind {
	case textNode:
		return jsonText, nil
	case boolNode:
		return jsonBool, nil
	case intNode:
		return jsonInt, nil
	case longNode:
		return jsonLong, nil
	case bigNode, doubleNode:
		return jsonDouble, nil
	case arrayNode:
		return x.inferArray(name, n)
	case objectNode:
		return x.inferObject(name, n)
	}
	if x.nulls {
		return jsonNull, nil
	}
	return nil, nil //nolint:nilnil // no type
}

func (x *jsonExpander) inferObject(name string, n *node) (*schema.Type, error) {
	t := &schema.Type{Kind: schema.Struct, Optional: true, Name: name}
	for i, member := range n.names {
		member = schema.AdjustName(x.adjust, member, false)
		key := member
		if strings.TrimSpace(name) != "" {
			key = name + "." + member
		}
		ft, err := x.infer(key, &n.items[i])
		if err != nil {
			return nil, err
		}
		if ft == nil || t.FieldIndex(member) >= 0 {
			continue
		}
		if member == "" {
			return nil, &Error{Thrown: builderException, Message: "fieldName cannot be null."}
		}
		t.Fields = append(t.Fields, schema.Field{Name: member, Type: ft})
	}
	return t, nil
}

func (x *jsonExpander) inferArray(name string, n *node) (*schema.Type, error) {
	if len(n.items) == 0 {
		if x.emptyArrays {
			return jsonNoItems, nil
		}
		return nil, nil //nolint:nilnil // no type
	}
	first, err := homogenous(n)
	if err != nil {
		return nil, err
	}
	if first.kind != objectNode {
		name = ""
	}
	var elem *schema.Type
	differ, nulls := false, false
	for i := range n.items {
		if n.items[i].kind == nullNode {
			nulls = true
			continue
		}
		t, err := x.infer(name, &n.items[i])
		switch {
		case err != nil:
			return nil, err
		case elem == nil:
			elem = t
		case t != nil && !sameShape(elem, t):
			differ, elem = true, merge(elem, t)
		}
	}
	if first.kind == nullNode && x.nulls {
		elem = jsonNull
	}
	if elem == nil {
		return nil, &Error{Thrown: connectException, Message: "Array '' has unrecognized member schema."}
	}
	if differ && first.kind == objectNode {
		elem = elem.AsOptional(nulls) // merged schemas are required in the original, but for nulls that cannot be
	}
	return &schema.Type{Kind: schema.Array, Optional: true, Elem: elem}, nil
}

// homogenous is the first element of an array that is not null, if all that are not are of its kind.
func homogenous(n *node) (*node, error) {
	first := &n.items[0]
	for i := range n.items {
		e := &n.items[i]
		switch {
		case e.kind == nullNode:
		case first.kind == nullNode:
			first = e
		case e.kind.typeName() != first.kind.typeName():
			return nil, &Error{Thrown: connectException, Message: "Field is not a homogenous array (" + first.asText() + " x " + e.kind.typeName() + ")."}
		case numberSchema[e.kind] != numberSchema[first.kind]:
			return nil, &Error{Thrown: connectException, Message: "Field is not a homogenous array (" + first.asText() + " x " + e.asText() +
				"), different number types (" + numberSchema[first.kind] + " x " + numberSchema[e.kind] + ")"}
		}
	}
	return first, nil
}

// merge is a type for values of both types, of which left came first. Where there is none it is left: then values of right
// are refused.
func merge(left, right *schema.Type) *schema.Type {
	switch {
	case left == jsonNull, left == jsonNoItems && right.Kind == schema.Array:
		return right
	case right == jsonNull || right == jsonNoItems || left.Kind != right.Kind:
		return left
	case left.Kind == schema.Array:
		return &schema.Type{Kind: schema.Array, Optional: true, Elem: merge(left.Elem, right.Elem)}
	case left.Kind != schema.Struct:
		return left
	}
	out := *left
	out.Fields = slices.Clone(left.Fields)
	for _, f := range right.Fields {
		if i := out.FieldIndex(f.Name); i >= 0 {
			out.Fields[i].Type = merge(out.Fields[i].Type, f.Type)
		} else {
			out.Fields = append(out.Fields, f)
		}
	}
	return &out
}

func sameShape(x, y *schema.Type) bool {
	return x == y || string(appendShape(nil, x)) == string(appendShape(nil, y))
}

// appendShape appends a text that types which infer makes have in common if they are equal.
func appendShape(dst []byte, t *schema.Type) []byte {
	dst = append(dst, byte('a'+t.Kind))
	if !t.Optional {
		dst = append(dst, '!')
	}
	switch t.Kind {
	case schema.Array:
		return appendShape(dst, t.Elem)
	case schema.Struct:
		dst = append(strconv.AppendQuote(dst, t.Name), '{')
		for _, f := range t.Fields {
			dst = appendShape(strconv.AppendQuote(dst, f.Name), f.Type)
		}
		return append(dst, '}')
	}
	return dst
}

// value makes the value of a node, whose type t is, perhaps merged with that of others.
func (x *jsonExpander) value(b *change.Batch, t *schema.Type, n *node) (change.Value, error) {
	switch {
	case n.kind == nullNode:
		return change.NullValue(), nil
	case n.kind == textNode && t.Kind == schema.String:
		return b.Text(n.text), nil
	case n.kind == boolNode && t.Kind == schema.Boolean:
		return change.BoolValue(n.whole != 0), nil
	case n.kind == intNode && t.Kind == schema.Int32, n.kind == longNode && t.Kind == schema.Int64:
		return change.IntValue(n.whole), nil
	case n.kind == doubleNode && t.Kind == schema.Float64:
		return change.FloatValue(n.real), nil
	case n.kind == arrayNode && t.Kind == schema.Array:
		row := b.NewRow(len(n.items))
		for i := range n.items {
			v, err := x.value(b, t.Elem, &n.items[i])
			if err != nil {
				return v, err
			}
			b.Set(row, i, v)
		}
		return b.Run(change.Array, row), nil
	case n.kind == objectNode && t.Kind == schema.Struct:
		return x.object(b, t, n)
	}
	return change.NullValue(), refuse("the JSON value %.100q is not of type %s, which another of its place has", n.asText(), strings.ToUpper(t.Kind.String()))
}

func (x *jsonExpander) object(b *change.Batch, t *schema.Type, n *node) (change.Value, error) {
	row := b.NewRow(len(t.Fields))
	for i := len(n.names) - 1; i >= 0; i-- { // of members with one adjusted name the first stays
		at := t.FieldIndex(schema.AdjustName(x.adjust, n.names[i], false))
		if at < 0 {
			continue // left out
		}
		v, err := x.value(b, t.Fields[at].Type, &n.items[i])
		if err != nil {
			return v, err
		}
		b.Set(row, at, v)
	}
	return b.Run(change.Struct, row), nil
}
