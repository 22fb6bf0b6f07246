// SPDX-License-Identifier: Apache-2.0

package avro

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"freshet/emitter"
	"freshet/emitter/confluent"
	"freshet/schema"
)

// plan decodes the values of one Avro schema. It is immutable.
type plan struct {
	kind kind
	typ  *schema.Type // nil for a value without a schema
	// branches are the plans of a union's branches; a nil one is null. inStruct says that the union is a Struct with a field
	// for each branch, else it is a value that may be null.
	branches  []*plan
	inStruct  bool
	places    []int // of the branches in the Struct
	key, elem *plan
	fields    []*plan
	size      int
	bits      int // of an int that is narrower, 0 for none
	texts     [][]byte
}

// reading makes the Connect schemas of Avro schemas, as Confluent's AvroData does.
type reading struct {
	o      *Options
	inside map[*avroType]bool // records whose fields are being read
	// version is the registry's, which the schema at the top gets that tells none; 0 for none.
	version int
}

// toConnect is the Connect schema of an Avro schema, and the plan of its values.
func toConnect(a *avroType, o *Options, version int) (*plan, error) {
	r := reading{o: o, inside: map[*avroType]bool{}, version: version}
	return r.of(a, false, nil)
}

// of reads a schema. fieldDefault is the default of the field that has it, nil for none.
func (r *reading) of(a *avroType, optional bool, fieldDefault []byte) (*plan, error) {
	if a.kind == record && a.full() == anything.full() {
		return &plan{kind: record}, nil
	}
	if a.kind == union {
		if p, err := r.flat(a); p != nil || err != nil {
			return p, err
		}
	}
	version := r.version
	r.version = 0
	t := &schema.Type{Optional: optional}
	p := &plan{kind: a.kind, typ: t}
	if err := r.body(p, a); err != nil {
		return nil, err
	}
	if err := r.annotations(t, a); err != nil {
		return nil, err
	}
	if a.prop("connect.version") == nil && t.Version == 0 {
		t.Version = version
	}
	if err := r.defaultOf(t, a, fieldDefault); err != nil {
		return nil, err
	}
	return p, r.nameOf(t, a)
}

// flat is the plan of a union of one type and null, or of one type; nil for others.
func (r *reading) flat(a *avroType) (*plan, error) {
	var only *avroType
	n, nulls := 0, 0
	for _, b := range a.branches {
		if b.kind == null {
			nulls++
			continue
		}
		only = b
		n++
	}
	if n != 1 || nulls > 1 {
		return nil, nil
	}
	inner, err := r.of(only, nulls == 1, nil)
	if err != nil {
		return nil, err
	}
	p := &plan{kind: union, typ: inner.typ}
	for _, b := range a.branches {
		if b.kind == null {
			p.branches = append(p.branches, nil)
		} else {
			p.branches = append(p.branches, inner)
		}
	}
	return p, nil
}

var connectKinds = map[kind]schema.Kind{
	boolean: schema.Boolean, integer: schema.Int32, long: schema.Int64, float: schema.Float32, double: schema.Float64,
	binary: schema.Bytes, fixed: schema.Bytes, text: schema.String, enum: schema.String, array: schema.Array, mapping: schema.Map,
	record: schema.Struct, union: schema.Struct,
}

// body fills kind and members of the schema.
func (r *reading) body(p *plan, a *avroType) error {
	t := p.typ
	t.Kind = connectKinds[a.kind]
	logical := textProp(a, "logicalType")
	var err error
	switch a.kind {
	case null:
		return schemaError("Standalone null schemas are not supported by this converter")
	case binary, fixed:
		p.size = a.size
		return decimalBody(t, a, logical)
	case integer:
		return integerBody(p, a, logical)
	case long:
		if logical == "timestamp-millis" {
			t.Name, t.Version = schema.ConnectTimestamp, 1
		}
	case enum:
		if a.doc != nil {
			setParam(t, enumDoc+a.name, *a.doc)
		}
		if a.enumDefault != "" {
			setParam(t, enumDefault+a.name, a.enumDefault)
		}
		setParam(t, enumParam, a.full())
		for _, s := range a.symbols {
			setParam(t, enumParam+"."+s, s)
			p.texts = append(p.texts, []byte(s))
		}
	case array:
		return r.array(p, a)
	case mapping:
		t.Key = &schema.Type{Kind: schema.String}
		if p.elem, err = r.of(a.elem, false, nil); err == nil {
			t.Elem = p.elem.typ
		}
	case record:
		return r.record(p, a)
	case union:
		return r.union(p, a)
	}
	return err
}

func decimalBody(t *schema.Type, a *avroType, logical string) error {
	if strings.EqualFold(logical, "decimal") {
		scale := 0
		if raw := a.prop("scale"); raw != nil {
			f, err := strconv.ParseFloat(string(raw), 64)
			if err != nil {
				return schemaError("scale must be a number")
			}
			scale = int(f)
		}
		t.Name, t.Version = schema.Decimal, 1
		setParam(t, "scale", strconv.Itoa(scale))
		if raw := a.prop("precision"); raw != nil {
			n, err := strconv.Atoi(string(raw))
			if err != nil {
				return schemaError("precision property must be a JSON Integer. https://avro.apache.org/docs/1.9.1/spec.html#Decimal")
			}
			if n != defaultPrecision {
				setParam(t, precisionName, strconv.Itoa(n))
			}
		}
	}
	if a.kind == fixed {
		setParam(t, fixedSize, strconv.Itoa(a.size))
	}
	return nil
}

func integerBody(p *plan, a *avroType, logical string) error {
	t := p.typ
	connectType := textProp(a, "connect.type")
	switch {
	case logical == "date":
		t.Name, t.Version = schema.ConnectDate, 1
	case logical == "time-millis":
		t.Name, t.Version = schema.ConnectTime, 1
	case logical != "" || connectType == "":
	case connectType == "int8":
		t.Kind, p.bits = schema.Int8, 8
	case connectType == "int16":
		t.Kind, p.bits = schema.Int16, 16
	default:
		return schemaError("Connect type annotation for Avro int field is null")
	}
	return nil
}

// array is an array, or a map whose keys are not texts.
func (r *reading) array(p *plan, a *avroType) error {
	var err error
	if e := a.elem; e.kind == record && (e.full() == namespace+"."+mapEntryName || textProp(e, "connect.internal.type") == mapEntryName) {
		if len(e.fields) != 2 || e.fields[0].name != "key" || e.fields[1].name != "value" {
			return schemaError("Found map encoded as array of key-value pairs, but array elements do not match the expected format.")
		}
		p.typ.Kind, p.kind = schema.Map, array
		if p.key, err = r.of(e.fields[0].typ, false, nil); err != nil {
			return err
		}
		if p.elem, err = r.of(e.fields[1].typ, false, nil); err != nil {
			return err
		}
		p.typ.Key, p.typ.Elem = p.key.typ, p.elem.typ
		return nil
	}
	if p.elem, err = r.of(a.elem, false, nil); err == nil {
		p.typ.Elem = p.elem.typ
	}
	return err
}

func (r *reading) record(p *plan, a *avroType) error {
	if r.inside[a] {
		return schemaError("the record " + a.full() + " holds itself, which is not supported")
	}
	r.inside[a] = true
	defer delete(r.inside, a)
	p.typ.Fields = []schema.Field{}
	if a.doc != nil && r.o.MetaData {
		setParam(p.typ, recordDoc, *a.doc)
	}
	for _, f := range a.fields {
		if f.doc != nil && r.o.MetaData {
			setParam(p.typ, fieldDoc+f.name, *f.doc)
		}
		below, err := r.of(f.typ, false, f.def)
		if err != nil {
			return emitter.InField(f.name, err)
		}
		p.fields = append(p.fields, below)
		p.typ.Fields = append(p.typ.Fields, schema.Field{Name: f.name, Type: below.typ})
	}
	return nil
}

// union is a Struct with an optional field for each branch.
func (r *reading) union(p *plan, a *avroType) error {
	p.inStruct = true
	p.typ.Name = unionName
	p.typ.Fields = []schema.Field{}
	for _, b := range a.branches {
		if b.kind == null {
			p.typ.Optional = true
			p.branches, p.places = append(p.branches, nil), append(p.places, -1)
			continue
		}
		name := kindNames[b.kind]
		if b.named() {
			name = b.name
			if r.o.Enhanced {
				name = b.full()
			}
		}
		if p.typ.FieldIndex(name) >= 0 {
			return schemaError("Multiple union schemas map to the Connect union field name")
		}
		below, err := r.of(b, true, nil)
		if err != nil {
			return err
		}
		p.branches, p.places = append(p.branches, below), append(p.places, len(p.typ.Fields))
		p.typ.Fields = append(p.typ.Fields, schema.Field{Name: name, Type: below.typ})
	}
	return nil
}

// annotations reads the properties that Connect schemas leave behind.
func (r *reading) annotations(t *schema.Type, a *avroType) error {
	if r.o.MetaData {
		t.Doc = textProp(a, "connect.doc")
	}
	if raw := a.prop("connect.version"); raw != nil {
		f, err := strconv.ParseFloat(string(raw), 64)
		if err != nil {
			return schemaError("Invalid Connect version found: " + strings.Trim(string(raw), `"`))
		}
		if n := int(f); n >= 0 {
			if t.Version != 0 && t.Version != n {
				return schemaError(fmt.Sprintf("Mismatched versions: version already added to SchemaBuilder (%d) differs from version in source schema (%d)", t.Version, n))
			}
			t.Version = n
		}
	}
	if raw := a.prop("connect.parameters"); raw != nil && r.o.MetaData {
		o, err := confluent.ParseObject(raw)
		if err != nil {
			return schemaError("Expected JSON object for schema parameters but found: " + string(raw))
		}
		for _, name := range o.Names {
			v, ok := o.Text(name)
			if !ok {
				return schemaError("Expected schema parameter values to be strings but found: " + string(o.Values[name]))
			}
			setParam(t, name, v)
		}
	}
	for _, p := range a.props {
		if strings.HasPrefix(p.name, "avro") {
			var s string
			if json.Unmarshal(p.value, &s) != nil {
				s = string(p.value)
			}
			setParam(t, p.name, s)
		}
	}
	return nil
}

func (r *reading) nameOf(t *schema.Type, a *avroType) error {
	name := ""
	if raw := a.prop("connect.name"); raw != nil {
		if json.Unmarshal(raw, &name) != nil {
			return schemaError("Invalid schema name: " + string(raw))
		}
	} else if a.named() && a.kind != union {
		name = a.full()
	}
	if name == "" || strings.HasPrefix(name, namespace+"."+defaultName) {
		return nil
	}
	if t.Name != "" && t.Name != name {
		return schemaError(fmt.Sprintf("Mismatched names: name already added to SchemaBuilder (%s) differs from name in source schema (%s)", t.Name, name))
	}
	t.Name = name
	return nil
}

func setParam(t *schema.Type, name, value string) {
	for i := range t.Params {
		if t.Params[i].Name == name {
			t.Params[i].Value = value
			return
		}
	}
	t.Params = append(t.Params, schema.Param{Name: name, Value: value})
}

func textProp(a *avroType, name string) string {
	var s string
	if raw := a.prop(name); raw != nil {
		_ = json.Unmarshal(raw, &s) // what is no text is as none
	}
	return s
}
