// SPDX-License-Identifier: Apache-2.0

package avro

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"freshet/emitter/confluent"
)

func shorten(text []byte) string { return string(text[:min(len(text), 80)]) }

// maxDepth bounds nested schemas.
const maxDepth = 200

// parser makes Avro schemas of their texts.
type parser struct {
	named map[string]*avroType
	depth int
}

// parseSchema reads the text of an Avro schema. refs are the texts of the schemas that it refers to, in the order in which
// they need each other.
func parseSchema(text []byte, refs ...[]byte) (*avroType, error) {
	p := parser{named: map[string]*avroType{}}
	for _, ref := range refs {
		if _, err := p.parse(ref, ""); err != nil {
			return nil, err
		}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	var whole json.RawMessage
	if err := d.Decode(&whole); err != nil {
		return nil, schemaError("Avro schema: " + err.Error())
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, schemaError("Avro schema: text behind its end")
	}
	return p.parse(whole, "")
}

func (p *parser) parse(text json.RawMessage, space string) (*avroType, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, schemaError("Avro schema: too deep")
	}
	defer func() { p.depth-- }()
	switch text = bytes.TrimSpace(text); text[0] {
	case '"':
		var name string
		if err := json.Unmarshal(text, &name); err != nil {
			return nil, schemaError(err.Error())
		}
		return p.byName(name, space)
	case '[':
		var branches []json.RawMessage
		if err := json.Unmarshal(text, &branches); err != nil {
			return nil, schemaError(err.Error())
		}
		out := &avroType{kind: union}
		for _, b := range branches {
			t, err := p.parse(b, space)
			if err != nil {
				return nil, err
			}
			out.branches = append(out.branches, t)
		}
		return out, nil
	case '{':
		o, err := confluent.ParseObject(text)
		if err != nil {
			return nil, err
		}
		return p.object(o, space)
	}
	return nil, schemaError("No type: " + shorten(text))
}

func (p *parser) byName(name, space string) (*avroType, error) {
	for k, n := range kindNames[:fixed] {
		if n == name {
			return &avroType{kind: kind(k)}, nil
		}
	}
	full := name
	if !strings.Contains(name, ".") && space != "" {
		full = space + "." + name
	}
	if t := p.named[full]; t != nil {
		return t, nil
	}
	if t := p.named[name]; t != nil {
		return t, nil
	}
	return nil, schemaError(fmt.Sprintf("Undefined name: %q", name))
}

// reserved are the members that are no properties, by kind.
var reserved = map[string]bool{"type": true, "name": true, "namespace": true, "doc": true, "fields": true, "symbols": true, "size": true, "items": true, "values": true, "aliases": true, "default": true}

func (p *parser) object(o *confluent.Object, space string) (*avroType, error) {
	name, ok := o.Text("type")
	if !ok {
		if raw := o.Values["type"]; len(raw) > 0 && (raw[0] == '{' || raw[0] == '[') {
			return p.parse(raw, space)
		}
		return nil, schemaError("No type: " + strings.Join(o.Names, ","))
	}
	t := &avroType{kind: null}
	found := false
	for k, n := range kindNames[:union] {
		if n == name {
			t.kind, found = kind(k), true
		}
	}
	if !found {
		return p.byName(name, space)
	}
	if t.named() {
		if err := p.name(t, o, space); err != nil {
			return nil, err
		}
	}
	for _, n := range o.Names {
		if !reserved[n] {
			t.props = append(t.props, prop{n, o.Values[n]})
		}
	}
	return t, p.body(t, o, space)
}

// name reads and registers the name of a type.
func (p *parser) name(t *avroType, o *confluent.Object, space string) error {
	name, _ := o.Text("name")
	t.space = space
	if s, ok := o.Text("namespace"); ok {
		t.space = s
	}
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		t.space, name = name[:i], name[i+1:]
	}
	t.name = name
	if err := checkName(name); err != nil {
		return err
	}
	if p.named[t.full()] != nil {
		return schemaError("Can't redefine: " + t.full())
	}
	p.named[t.full()] = t
	if doc, ok := o.Text("doc"); ok {
		t.doc = &doc
	}
	return nil
}

func (p *parser) body(t *avroType, o *confluent.Object, space string) error {
	var err error
	switch t.kind {
	case fixed:
		if json.Unmarshal(o.Values["size"], &t.size) != nil || t.size < 0 {
			return schemaError("Invalid or no size: " + t.full())
		}
	case enum:
		if json.Unmarshal(o.Values["symbols"], &t.symbols) != nil {
			return schemaError("Enum has no symbols: " + t.full())
		}
		t.enumDefault, _ = o.Text("default")
	case array, mapping:
		below := o.Values[map[kind]string{array: "items", mapping: "values"}[t.kind]]
		if len(below) == 0 {
			return schemaError(kindNames[t.kind] + " has no type of its items")
		}
		t.elem, err = p.parse(below, space)
	case record:
		return p.fields(t, o.Values["fields"])
	}
	return err
}

func (p *parser) fields(t *avroType, text json.RawMessage) error {
	var fields []json.RawMessage
	if json.Unmarshal(text, &fields) != nil {
		return schemaError("Record has no fields: " + t.full())
	}
	for _, raw := range fields {
		o, err := confluent.ParseObject(raw)
		if err != nil {
			return err
		}
		f := avroField{}
		f.name, _ = o.Text("name")
		if err := checkName(f.name); err != nil {
			return err
		}
		if len(o.Values["type"]) == 0 {
			return schemaError("No field type: " + t.full() + "." + f.name)
		}
		if f.typ, err = p.parse(o.Values["type"], t.space); err != nil {
			return err
		}
		if doc, ok := o.Text("doc"); ok {
			f.doc = &doc
		}
		f.def = o.Values["default"]
		t.fields = append(t.fields, f)
	}
	return nil
}
