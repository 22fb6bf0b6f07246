// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"freshet/change"
	"freshet/change/java"
	"freshet/config"
	"freshet/schema"
)

var castKinds = bothSides(config.Plugin{
	Name: "Cast", Class: "org.apache.kafka.connect.transforms.Cast", Kind: "transformation", Version: Version,
	Def: config.Def{Keys: []config.Key{
		{
			Name: "spec", Type: config.List, Required: true, Importance: config.High, Sentence: true,
			Doc: "Fields and the types to cast them to, as field1:type,field2:type; or one type for the whole. Types are int8, int16, int32, " +
				"int64, float32, float64, boolean and string. Bytes can be cast to string only, in base64.",
			Check: func(s string, _ config.Values) string {
				_, _, reason := parseCasts(config.SplitList(s))
				return reason
			},
		},
		replaceNullsKey,
	}},
}, func(s side, v config.Values) (Transform, error) {
	fields, whole, _ := parseCasts(v.List("spec"))
	return &cast{side: s, nulls: nullsOf(v), fields: fields, whole: whole}, nil
})

// castKinds of types, in the words of Kafka.
const (
	castTargets = "[INT8, INT16, INT32, INT64, FLOAT32, FLOAT64, BOOLEAN, STRING]"
	castSources = "[INT8, INT16, INT32, INT64, FLOAT32, FLOAT64, BOOLEAN, STRING, BYTES]"
)

// castField is a field and what it is to become.
type castField struct {
	name string
	to   schema.Kind
}

// parseCasts reads a list of casts: of fields, or one of the whole. reason is Kafka's sentence for what is wrong.
func parseCasts(list []string) (fields []castField, whole schema.Kind, reason string) {
	if len(list) == 0 {
		return nil, 0, "Must specify at least one field to cast."
	}
	for _, item := range list {
		parts := javaSplit(item)
		if len(parts) > 2 || len(parts) == 0 {
			return nil, 0, fmt.Sprintf("Invalid value [%s] for configuration renames: Invalid rename mapping: %s", strings.Join(list, ", "), item)
		}
		name := strings.TrimSpace(parts[len(parts)-1])
		to := kindNamed(name)
		switch {
		case to == schema.Invalid:
			return nil, 0, fmt.Sprintf("Invalid value java.lang.IllegalArgumentException: No enum constant org.apache.kafka.connect.data.Schema.Type.%s "+
				"for configuration Invalid type found in casting spec: %s", strings.ToUpper(name), name)
		case to > schema.String:
			return nil, 0, fmt.Sprintf("Cast transformation does not support casting to %s; supported types are %s", upper(to), castTargets)
		case len(parts) == 1:
			whole = to
		default:
			fields = append(fields, castField{strings.TrimSpace(parts[0]), to})
		}
	}
	if whole != 0 && len(list) > 1 {
		return nil, 0, "Cast transformations that specify a type to cast the entire value to may only specify a single cast in their spec"
	}
	return fields, whole, ""
}

// javaSplit splits at colons as String.split does: without empty parts at the end.
func javaSplit(s string) []string {
	parts := strings.Split(s, ":")
	for len(parts) > 0 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	return parts
}

var kindNames = [...]string{"", "INT8", "INT16", "INT32", "INT64", "FLOAT32", "FLOAT64", "BOOLEAN", "STRING", "BYTES", "ARRAY", "MAP", "STRUCT"}

// upper is the name of a type in Connect's messages.
func upper(k schema.Kind) string { return kindNames[k] }

// kindNamed is the inverse, in any case.
func kindNamed(name string) schema.Kind {
	for k, n := range kindNames[1:] {
		if strings.EqualFold(n, name) {
			return schema.Kind(k + 1)
		}
	}
	return schema.Invalid
}

// cast gives fields, or the whole, another type.
type cast struct {
	side   side
	nulls  nulls
	fields []castField
	whole  schema.Kind // 0 where fields are cast
	types  cache[*castShape]
	object object
}

// castShape is a type with its casts done, and the casts by field; Invalid is none.
type castShape struct {
	out *schema.Type
	to  []schema.Kind
}

const castPurpose = "cast types"

// Apply casts.
func (t *cast) Apply(r *Record) (bool, error) {
	typ, v, err := t.side.get(r)
	if err != nil || v.IsNull() {
		return err == nil, err
	}
	b := r.Data
	if typ == nil && t.whole == 0 {
		return true, t.applyMap(r, v)
	}
	if typ == nil {
		if v, err = castValue(b, nil, v, t.whole); err == nil {
			t.side.set(r, nil, v)
		}
		return true, err
	}
	shape, ok := t.types.get(typ)
	if !ok {
		if shape, err = t.shape(typ); err != nil {
			return false, err
		}
		t.types.put(typ, shape)
	}
	if t.whole != 0 {
		if v, err = castValue(b, typ, v, t.whole); err == nil {
			t.side.set(r, shape.out, v)
		}
		return true, err
	}
	if err = requireStruct(typ, v, castPurpose); err != nil {
		return false, err
	}
	from, to := b.RowOf(v), b.NewRow(len(typ.Fields))
	for i := range typ.Fields {
		field := typ.Fields[i].Type
		x := t.nulls.read(b, field, b.At(from, i))
		if shape.to[i] != schema.Invalid {
			if x, err = castValue(b, field, x, shape.to[i]); err != nil {
				return false, err
			}
		}
		b.Set(to, i, x)
	}
	t.side.set(r, shape.out, b.Run(change.Struct, to))
	return true, nil
}

func (t *cast) applyMap(r *Record, v change.Value) error {
	if err := requireMap(v, castPurpose); err != nil {
		return err
	}
	b := r.Data
	t.object.reset(b, v)
	for _, f := range t.fields {
		x, err := castValue(b, nil, t.object.value(b, f.name), f.to)
		if err != nil {
			return err
		}
		t.object.put(b, f.name, x)
	}
	t.side.set(r, nil, t.object.done(b))
	return nil
}

// shape makes the type. It keeps optional flag and default of the top; a cast field keeps those, too, and nothing else.
func (t *cast) shape(typ *schema.Type) (*castShape, error) {
	s := &castShape{}
	var err error
	if t.whole != 0 {
		out := *typ
		out.Kind, out.Fields, out.Elem, out.Key = t.whole, nil, nil, nil
		out.Default, err = castLiteral(typ, typ.Default, t.whole)
		s.out = &out
		return s, err
	}
	out := basics(typ)
	out.Optional = typ.Optional
	s.out, s.to = out, make([]schema.Kind, len(typ.Fields))
	defaults, _ := typ.Default.([]any)
	if defaults = slices.Clone(defaults); defaults != nil {
		out.Default = defaults
	}
	for i, f := range typ.Fields {
		for _, c := range t.fields {
			if c.name == f.Name {
				s.to[i] = c.to
			}
		}
		if s.to[i] != schema.Invalid {
			field := &schema.Type{Kind: s.to[i], Optional: f.Type.Optional}
			if field.Default, err = castLiteral(f.Type, f.Type.Default, s.to[i]); err != nil {
				return nil, err
			}
			if defaults != nil {
				if defaults[i], err = castLiteral(f.Type, defaults[i], s.to[i]); err != nil {
					return nil, err
				}
			}
			f.Type = field
		}
		out.Fields = append(out.Fields, f)
	}
	return s, nil
}

// castLiteral casts a default of a type, nil for none.
func castLiteral(t *schema.Type, lit any, to schema.Kind) (any, error) {
	if lit == nil {
		return nil, nil
	}
	var b change.Batch
	v, err := castValue(&b, t, b.AppendLiteral(lit, t), to)
	return b.Literal(v), err
}

// castValue gives a value another type as Java does. t is nil for schemaless data.
func castValue(b *change.Batch, t *schema.Type, v change.Value, to schema.Kind) (change.Value, error) {
	if v.IsNull() {
		return v, nil
	}
	switch v.Kind() {
	case change.Struct, change.Array, change.Map:
		return v, refuse("Cast transformation does not support casting from %s; supported types are %s",
			[...]string{change.Struct: "STRUCT", change.Array: "ARRAY", change.Map: "MAP"}[v.Kind()], castSources)
	case change.Date:
		return v, refuse("Cast transformation was passed a value of type class java.util.Date which is not supported by Connect's data API")
	}
	decimal := v.Kind() == change.Bytes && t != nil && t.Name == schema.Decimal
	switch {
	case to == schema.String:
		return castToText(b, t, v), nil
	case v.Kind() == change.Bytes && !decimal:
		return v, refuse("Unexpected type in Cast transformation: class %s", java.Class(t, v))
	case decimal:
		return castDecimal(b.Bytes(v), t, to), nil
	case v.Kind() == change.Text:
		out, ok := castText(b.String(v), to)
		if !ok {
			return v, refuse("Value (%s) was out of range for requested data type", b.String(v))
		}
		return out, nil
	case v.Kind() == change.Float:
		return castFloat(v.Float(), to), nil
	case v.Kind() == change.Bool:
		if to == schema.Boolean {
			return v, nil
		}
		return castInt(int64(btoi(v.Bool())), to), nil
	}
	return castInt(v.Int(), to), nil
}

func btoi(t bool) int {
	if t {
		return 1
	}
	return 0
}

func castToText(b *change.Batch, t *schema.Type, v change.Value) change.Value {
	if v.Kind() == change.Text {
		return v
	}
	mark := len(b.Arena)
	if v.Kind() == change.Bytes && (t == nil || t.Name != schema.Decimal) {
		b.Arena = base64.StdEncoding.AppendEncode(b.Arena, b.Bytes(v))
	} else {
		b.Arena, _ = java.AppendHeader(b.Arena, t, b, v)
	}
	return b.TextFrom(mark)
}

// castInt narrows as Java does: higher bits are cut off.
func castInt(i int64, to schema.Kind) change.Value {
	switch to {
	case schema.Int8:
		return change.IntValue(int64(int8(i)))
	case schema.Int16:
		return change.IntValue(int64(int16(i)))
	case schema.Int32:
		return change.IntValue(int64(int32(i)))
	case schema.Float32:
		return change.FloatValue(float64(float32(i)))
	case schema.Float64:
		return change.FloatValue(float64(i))
	case schema.Boolean:
		return change.BoolValue(i != 0)
	}
	return change.IntValue(i)
}

// castFloat narrows as Java does: floats become the nearest int or long, of which the narrower types have the lower bits.
func castFloat(f float64, to schema.Kind) change.Value {
	switch to {
	case schema.Float32:
		return change.FloatValue(float64(float32(f)))
	case schema.Float64:
		return change.FloatValue(f)
	case schema.Int64, schema.Boolean:
		return castInt(saturated(f, math.MinInt64, math.MaxInt64), to)
	}
	return castInt(saturated(f, math.MinInt32, math.MaxInt32), to)
}

// saturated is the integer part of f within bounds; 0 for NaN.
func saturated(f float64, least, most int64) int64 {
	switch {
	case f != f:
		return 0
	case f <= float64(least):
		return least
	case f >= float64(most):
		return most
	}
	return int64(f)
}

// castText reads a number, or true.
func castText(s string, to schema.Kind) (change.Value, bool) {
	bits := 64
	switch to {
	case schema.Boolean:
		return change.BoolValue(strings.EqualFold(s, "true")), true
	case schema.Float32, schema.Float64:
		if to == schema.Float32 {
			bits = 32
		}
		f, ok := java.ParseFloat(s, bits)
		return change.FloatValue(f), ok
	case schema.Int8:
		bits = 8
	case schema.Int16:
		bits = 16
	case schema.Int32:
		bits = 32
	}
	i, err := strconv.ParseInt(s, 10, bits)
	return change.IntValue(i), err == nil
}

// castDecimal cuts off the fraction of a decimal and then its higher bits, or makes it a float.
func castDecimal(unscaled []byte, t *schema.Type, to schema.Kind) change.Value {
	scale, _ := java.Scale(t)
	switch to {
	case schema.Float32, schema.Float64:
		bits := 64
		if to == schema.Float32 {
			bits = 32
		}
		f, _ := java.ParseFloat(string(java.AppendDecimal(nil, unscaled, scale)), bits)
		return change.FloatValue(f)
	}
	x := java.BigFromTwos(unscaled)
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(scale, -scale))), nil)
	if scale > 0 {
		x.Quo(x, power)
	} else {
		x.Mul(x, power)
	}
	low := int64(new(big.Int).And(x, new(big.Int).SetUint64(math.MaxUint64)).Uint64()) // of the two's complement
	return castInt(low, to)
}
