// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"freshet/change"
	"freshet/change/java"
	"freshet/schema"
)

// Values of records as expressions see them. Structs are read field by field: a field that its schema does not have is an
// error, as in the original, so that a misspelt name does not silently drop or misroute; of a struct that is null every
// field is null.

// celValue is a value with a schema, or of schemaless data.
func celValue(b *change.Batch, t *schema.Type, v change.Value) ref.Val {
	switch v.Kind() {
	case change.Bool:
		return types.Bool(v.Bool())
	case change.Int:
		return types.Int(v.Int())
	case change.Date:
		return types.Timestamp{Time: time.UnixMilli(v.Int()).UTC()}
	case change.Float:
		return types.Double(v.Float())
	case change.Text:
		return types.String(b.String(v))
	case change.Bytes:
		if t != nil && t.Name == schema.Decimal {
			return celDecimal(t, b.Bytes(v))
		}
		return types.Bytes(b.Bytes(v))
	case change.Struct:
		return structValue{b: b, t: t, v: v}
	case change.Array:
		elems := make([]ref.Val, len(b.Elems(v)))
		for i, e := range b.Elems(v) {
			elems[i] = celValue(b, elemOf(t), e)
		}
		return types.NewRefValList(types.DefaultTypeAdapter, elems)
	case change.Map:
		var key *schema.Type
		if t != nil {
			key = t.Key
		}
		entries := b.Elems(v)
		m := make(map[ref.Val]ref.Val, len(entries)/2)
		for i := 0; i+1 < len(entries); i += 2 {
			m[celValue(b, key, entries[i])] = celValue(b, elemOf(t), entries[i+1])
		}
		return types.NewRefValMap(types.DefaultTypeAdapter, m)
	}
	return noValue{}
}

func elemOf(t *schema.Type) *schema.Type {
	if t == nil {
		return nil
	}
	return t.Elem
}

// celDecimal is the nearest double: the language has no exact decimals.
func celDecimal(t *schema.Type, p []byte) ref.Val {
	n := unscaled(p)
	scale, _ := java.Scale(t)
	var f *big.Rat
	if scale < 0 {
		f = new(big.Rat).SetInt(n.Mul(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(-scale)), nil)))
	} else {
		f = new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
	}
	d, _ := f.Float64()
	return types.Double(d)
}

// Types of values that are read field by field.
var (
	structCelType  = types.NewObjectType("struct", traits.IndexerType, traits.FieldTesterType)
	schemaCelType  = types.NewObjectType("schema", traits.IndexerType, traits.FieldTesterType)
	headersCelType = types.NewObjectType("headers", traits.IndexerType, traits.FieldTesterType, traits.ContainerType)
	headerCelType  = types.NewObjectType("header", traits.IndexerType, traits.FieldTesterType)
)

// opaque is what those values do not do: become something else.
type opaque struct{}

// ConvertToNative is refused.
func (opaque) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a struct cannot be converted to %v", t)
}

// ConvertToType is refused.
func (opaque) ConvertToType(t ref.Type) ref.Val {
	return types.NewErr("a struct cannot be converted to %s", t.TypeName())
}

// noValue is the null of records: its fields are null.
type noValue struct{ opaque }

var (
	_ traits.Indexer     = noValue{}
	_ traits.FieldTester = noValue{}
)

// Equal is true for nulls.
func (noValue) Equal(other ref.Val) ref.Val { return types.Bool(other.Type() == types.NullType) }

// Type is that of null.
func (noValue) Type() ref.Type { return types.NullType }

// Value is nil.
func (noValue) Value() any { return nil }

// Get is null.
func (n noValue) Get(ref.Val) ref.Val { return n }

// IsSet is false.
func (noValue) IsSet(ref.Val) ref.Val { return types.False }

// String is null.
func (noValue) String() string { return "null" }

// structValue is a Struct.
type structValue struct {
	b *change.Batch
	t *schema.Type
	v change.Value
	opaque
}

// Equal compares by content.
func (s structValue) Equal(other ref.Val) ref.Val {
	o, ok := other.(structValue)
	return types.Bool(ok && o.b == s.b && s.b.EqualValues(s.v, o.v))
}

// Type is struct.
func (structValue) Type() ref.Type { return structCelType }

// Value is the value.
func (s structValue) Value() any { return s.v }

// Get is a field.
func (s structValue) Get(name ref.Val) ref.Val {
	i := s.field(name)
	if i < 0 {
		return types.NewErr("%v is not a valid field name", name.Value())
	}
	f := s.t.Fields[i].Type
	return celValue(s.b, f, orDefault(s.b, s.b.At(s.b.RowOf(s.v), i), f))
}

// IsSet says whether there is such a field, and whether it is not null.
func (s structValue) IsSet(name ref.Val) ref.Val {
	i := s.field(name)
	return types.Bool(i >= 0 && !s.b.At(s.b.RowOf(s.v), i).IsNull())
}

func (s structValue) field(name ref.Val) int {
	text, ok := name.(types.String)
	if !ok || s.t == nil {
		return -1
	}
	return s.t.FieldIndex(string(text))
}

// String is the struct as Java tells it.
func (s structValue) String() string { return string(java.AppendText(nil, s.t, s.b, s.v)) }

// schemaValue is a schema: name, version, type, optional, doc, parameters, fields, and the schemas of keys and elements.
type schemaValue struct {
	t *schema.Type
	opaque
}

func celSchema(t *schema.Type) ref.Val {
	if t == nil {
		return noValue{}
	}
	return schemaValue{t: t}
}

// Equal compares by identity: equal schemas of one record are one.
func (s schemaValue) Equal(other ref.Val) ref.Val {
	o, ok := other.(schemaValue)
	return types.Bool(ok && o.t == s.t)
}

// Type is schema.
func (schemaValue) Type() ref.Type { return schemaCelType }

// Value is the schema.
func (s schemaValue) Value() any { return s.t }

// Get is a property.
func (s schemaValue) Get(name ref.Val) ref.Val {
	text := func(s string) ref.Val {
		if s == "" {
			return noValue{}
		}
		return types.String(s)
	}
	switch name.Value() {
	case "name":
		return text(s.t.Name)
	case "version":
		if s.t.Version == 0 {
			return noValue{}
		}
		return types.Int(s.t.Version)
	case "type":
		return types.String(strings.ToUpper(s.t.Kind.String()))
	case "optional":
		return types.Bool(s.t.Optional)
	case "doc":
		return text(s.t.Doc)
	case "parameters":
		m := make(map[ref.Val]ref.Val, len(s.t.Params))
		for _, p := range s.t.Params {
			m[types.String(p.Name)] = types.String(p.Value)
		}
		return types.NewRefValMap(types.DefaultTypeAdapter, m)
	case "fields":
		m := make(map[ref.Val]ref.Val, len(s.t.Fields))
		for _, f := range s.t.Fields {
			m[types.String(f.Name)] = celSchema(f.Type)
		}
		return types.NewRefValMap(types.DefaultTypeAdapter, m)
	case "keySchema":
		return celSchema(s.t.Key)
	case "valueSchema":
		return celSchema(s.t.Elem)
	}
	return types.NewErr("a schema has no %v; it has name, version, type, optional, doc, parameters, fields, keySchema and valueSchema", name.Value())
}

// IsSet says whether the property is there, and not null.
func (s schemaValue) IsSet(name ref.Val) ref.Val {
	v := s.Get(name)
	return types.Bool(!types.IsError(v) && v.Type() != types.NullType)
}

// headersValue are a record's headers, by name. A header that there is not is null.
type headersValue struct {
	r *Record
	opaque
}

func (h headersValue) find(name ref.Val) *Header {
	text, _ := name.Value().(string)
	for i := len(h.r.Headers) - 1; i >= 0; i-- { // the last of a name counts
		if h.r.Headers[i].Key == text {
			return &h.r.Headers[i]
		}
	}
	return nil
}

// Equal is of no use.
func (h headersValue) Equal(ref.Val) ref.Val { return types.False }

// Type is headers.
func (headersValue) Type() ref.Type { return headersCelType }

// Value is none.
func (headersValue) Value() any { return nil }

// Get is a header.
func (h headersValue) Get(name ref.Val) ref.Val {
	header := h.find(name)
	if header == nil {
		return noValue{}
	}
	v := headerValue{b: h.r.Data}
	v.t, v.v = header.typed(h.r.Data)
	return v
}

// Contains says whether there is a header of a name.
func (h headersValue) Contains(name ref.Val) ref.Val { return types.Bool(h.find(name) != nil) }

// IsSet is the same.
func (h headersValue) IsSet(name ref.Val) ref.Val { return h.Contains(name) }

// headerValue is a header: its value and schema.
type headerValue struct {
	b *change.Batch
	t *schema.Type
	v change.Value
	opaque
}

// Equal is of no use.
func (headerValue) Equal(ref.Val) ref.Val { return types.False }

// Type is header.
func (headerValue) Type() ref.Type { return headerCelType }

// Value is none.
func (headerValue) Value() any { return nil }

// Get is value or schema.
func (h headerValue) Get(name ref.Val) ref.Val {
	switch name.Value() {
	case "value":
		return celValue(h.b, h.t, h.v)
	case "schema":
		return celSchema(h.t)
	}
	return types.NewErr("a header has no %v; it has value and schema", name.Value())
}

// IsSet says whether it is not null.
func (h headerValue) IsSet(name ref.Val) ref.Val {
	v := h.Get(name)
	return types.Bool(!types.IsError(v) && v.Type() != types.NullType)
}
