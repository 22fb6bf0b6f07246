// SPDX-License-Identifier: Apache-2.0

package json

import (
	"encoding/base64"
	"strconv"

	"freshet/change"
	"freshet/change/java"
	"freshet/schema"
)

// node encodes the values of one type. It is immutable.
type node struct {
	code    code
	numeric bool // a Decimal as a number
	omit    bool // a null member of a struct is left out
	scale   int  // of a numeric Decimal
	// null and unavailable are what stands for these values; nil refuses them.
	null, unavailable []byte
	typ               *schema.Type
	key, elem         *node
	members           []member
}

// member is a field of a struct. prefix is `{"name":` for the first, `,"name":` for the others.
type member struct {
	prefix []byte
	name   string
	node   node
}

const (
	requiredNull    = "Conversion error: null value for field that is required and has no default value"
	unavailableText = "Conversion error: the value was not sent by the database, and the schema has no placeholder for it"
)

var nullText = []byte("null")

// compile makes the node of a type and of all below it.
func compile(t *schema.Type, o Options) (node, error) {
	n := node{code: codeIn(t, o), typ: t}
	if t == nil {
		n.null = nullText
		return n, nil
	}
	var err error
	switch n.code {
	case codeFree:
		return n, refuse("Unknown schema type: " + t.Kind.String())
	case codeDecimal:
		if n.numeric = o.numeric(); n.numeric {
			n.scale, err = decimalScale(t)
		}
	case codeArray:
		n.elem, err = compileBelow(t.Elem, o)
	case codeObject, codePairs, codeEntries:
		if n.key, err = compileBelow(t.Key, o); err == nil {
			n.elem, err = compileBelow(t.Elem, o)
		}
	case codeStruct, codeUnion:
		n.members, err = compileMembers(t, o)
	}
	if err != nil {
		return n, err
	}
	switch {
	case t.Default != nil && o.ReplaceNullWithDefault:
		n.null, err = n.literal(t.Default)
	case t.Optional:
		n.null = nullText
	default:
		n.omit = o.JSONSchema
	}
	return n, err
}

func compileBelow(t *schema.Type, o Options) (*node, error) {
	n, err := compile(t, o)
	return &n, err
}

func compileMembers(t *schema.Type, o Options) ([]member, error) {
	members := make([]member, len(t.Fields))
	for i, f := range t.Fields {
		n, err := compile(f.Type, o)
		if err != nil {
			return nil, inField(f.Name, err)
		}
		members[i] = member{memberPrefix(i, f.Name), f.Name, n}
	}
	return members, nil
}

func memberPrefix(i int, name string) []byte {
	prefix := []byte{','}
	if i == 0 {
		prefix[0] = '{'
	}
	return append(AppendString(prefix, []byte(name)), ':')
}

// literal is the JSON of a default, fallback or placeholder.
func (n *node) literal(lit any) ([]byte, error) {
	var b change.Batch
	return n.append(nil, &b, b.AppendLiteral(lit, n.typ))
}

// append appends the JSON of a value of b.
func (n *node) append(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	switch v.Kind() {
	case change.Null:
		if n.null == nil {
			return dst, refuse(requiredNull)
		}
		return append(dst, n.null...), nil
	case change.Unavailable:
		if n.unavailable == nil {
			return dst, refuse(unavailableText)
		}
		return append(dst, n.unavailable...), nil
	}
	if n.code == codeFree {
		return appendFree(dst, b, v)
	}
	if v.Kind() != valueKinds[n.code] {
		return dst, n.mismatch(v)
	}
	switch n.code {
	case codeInt8, codeInt16, codeInt32, codeInt64, codeDate, codeTimestamp:
		return strconv.AppendInt(dst, v.Int(), 10), nil
	case codeText:
		return AppendString(dst, b.Bytes(v)), nil
	case codeFloat32:
		return appendFloat(dst, v.Float(), 32), nil
	case codeFloat64:
		return appendFloat(dst, v.Float(), 64), nil
	case codeBool:
		return strconv.AppendBool(dst, v.Bool()), nil
	case codeBytes:
		return appendBase64(dst, b.Bytes(v)), nil
	case codeDecimal:
		if n.numeric {
			return java.AppendDecimal(dst, b.Bytes(v), n.scale), nil
		}
		return appendBase64(dst, b.Bytes(v)), nil
	case codeTime:
		if ms := v.Int(); ms < 0 || ms > millisPerDay {
			return dst, refuse("Kafka Connect Time type should not have any date fields set to non-zero values.")
		}
		return strconv.AppendInt(dst, v.Int(), 10), nil
	}
	return n.appendRun(dst, b, b.Elems(v))
}

const millisPerDay = 24 * 60 * 60 * 1000

// appendRun appends a struct, array or map.
func (n *node) appendRun(dst []byte, b *change.Batch, values []change.Value) ([]byte, error) {
	switch n.code {
	case codeStruct:
		return appendMembers(dst, n.members, b, values)
	case codeArray:
		return n.appendArray(dst, b, values)
	case codeObject:
		return n.appendObject(dst, b, values)
	case codeEntries:
		return n.appendEntries(dst, b, values)
	case codeUnion:
		return n.appendUnion(dst, b, values)
	}
	return n.appendPairs(dst, b, values)
}

// appendMembers appends an object of all members.
func appendMembers(dst []byte, members []member, b *change.Batch, values []change.Value) ([]byte, error) {
	if len(values) != len(members) {
		return dst, refuse("Mismatching schema: " + strconv.Itoa(len(values)) + " values for " + strconv.Itoa(len(members)) + " fields")
	}
	if len(members) == 0 {
		return append(dst, '{', '}'), nil
	}
	var err error
	begin := len(dst)
	for i := range members {
		m := &members[i]
		if m.node.omit && values[i].IsNull() {
			continue
		}
		dst = append(dst, m.prefix...)
		if dst, err = m.node.append(dst, b, values[i]); err != nil {
			return dst, inField(m.name, err)
		}
	}
	if len(dst) == begin {
		dst = append(dst, '{')
	}
	dst[begin] = '{' // also where the first was left out
	return append(dst, '}'), nil
}

func (n *node) appendArray(dst []byte, b *change.Batch, values []change.Value) ([]byte, error) {
	dst = append(dst, '[')
	var err error
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = n.elem.append(dst, b, v); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

func (n *node) appendObject(dst []byte, b *change.Batch, values []change.Value) ([]byte, error) {
	dst = append(dst, '{')
	var err error
	for i := 0; i+1 < len(values); i += 2 {
		if i > 0 {
			dst = append(dst, ',')
		}
		switch values[i].Kind() {
		case change.Text:
			dst = AppendString(dst, b.Bytes(values[i]))
		case change.Null: // Java's text of null
			dst = append(dst, `"null"`...)
		default:
			return dst, n.key.mismatch(values[i])
		}
		dst = append(dst, ':')
		if dst, err = n.elem.append(dst, b, values[i+1]); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

func (n *node) appendPairs(dst []byte, b *change.Batch, values []change.Value) ([]byte, error) {
	dst = append(dst, '[')
	var err error
	for i := 0; i+1 < len(values); i += 2 {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = n.key.append(append(dst, '['), b, values[i]); err != nil {
			return dst, err
		}
		if dst, err = n.elem.append(append(dst, ','), b, values[i+1]); err != nil {
			return dst, err
		}
		dst = append(dst, ']')
	}
	return append(dst, ']'), nil
}

// mismatch is the error for a value of a wrong kind.
func (n *node) mismatch(v change.Value) error {
	class := "class " + javaNames[v.Kind()]
	switch n.code {
	case codeDecimal:
		return refuse("Invalid type for Decimal, expected BigDecimal but was " + class)
	case codeDate:
		return refuse("Invalid type for Date, expected Date but was " + class)
	case codeTime:
		return refuse("Invalid type for Time, expected Date but was " + class)
	case codeTimestamp:
		return refuse("Invalid type for Timestamp, expected Date but was " + class)
	}
	return refuse("Invalid type for " + upper(n.typ.Kind) + ": " + class)
}

// freeValue encodes a value without a schema, freeRun what holds such values.
var (
	freeValue = node{null: nullText}
	freeRun   = node{key: &freeValue, elem: &freeValue}
)

// appendFree appends a value without a schema, by its kind alone.
func appendFree(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	switch v.Kind() {
	case change.Bool:
		return strconv.AppendBool(dst, v.Bool()), nil
	case change.Int:
		return strconv.AppendInt(dst, v.Int(), 10), nil
	case change.Float:
		return appendFloat(dst, v.Float(), 64), nil
	case change.Text:
		return AppendString(dst, b.Bytes(v)), nil
	case change.Bytes:
		return appendBase64(dst, b.Bytes(v)), nil
	case change.Array:
		return freeRun.appendArray(dst, b, b.Elems(v))
	case change.Map:
		values := b.Elems(v)
		for i := 0; i < len(values); i += 2 {
			if values[i].Kind() != change.Text {
				return freeRun.appendPairs(dst, b, values)
			}
		}
		return freeRun.appendObject(dst, b, values)
	case change.Date:
		return dst, refuse("Java class class " + java.Class(nil, v) + " does not have corresponding schema type.")
	}
	return dst, refuse("Mismatching schema.")
}

// appendBase64 appends a JSON string of the padded standard alphabet.
func appendBase64(dst, p []byte) []byte {
	dst = base64.StdEncoding.AppendEncode(append(dst, '"'), p)
	return append(dst, '"')
}
