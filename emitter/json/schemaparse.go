// SPDX-License-Identifier: Apache-2.0

package json

import (
	"freshet/change"
	"freshet/schema"
)

// schemaText are the members of a schema's JSON, each as its own text; nil where it is missing. What the converter does
// not know is ignored, and of repeated members the last counts.
type schemaText struct {
	kind, items, keys, values, fields, optional, name, version, doc, parameters, def, field []byte
}

// member is the place of a member, nil for unknown ones.
func (t *schemaText) member(name string) *[]byte {
	switch name {
	case "type":
		return &t.kind
	case "items":
		return &t.items
	case "keys":
		return &t.keys
	case "values":
		return &t.values
	case "fields":
		return &t.fields
	case "optional":
		return &t.optional
	case "name":
		return &t.name
	case "version":
		return &t.version
	case "doc":
		return &t.doc
	case "parameters":
		return &t.parameters
	case "default":
		return &t.def
	case "field":
		return &t.field
	}
	return nil
}

// eachMember calls f with the name and the text of each member of an object.
func eachMember(object []byte, f func(name string, value []byte) error) error {
	var s scanner
	s.start(object)
	if err := s.enter(); err != nil {
		return err
	}
	for first := true; ; first = false {
		more, err := s.next('}', first)
		if err != nil || !more {
			return err
		}
		name, _, err := s.text()
		if err != nil {
			return err
		}
		if name, err = s.unescape(nil, name); err != nil {
			return err
		}
		if err = s.consume(':'); err != nil {
			return err
		}
		value, err := s.skip()
		if err != nil {
			return err
		}
		if err = f(string(name), value); err != nil {
			return err
		}
	}
}

// textOf is the text of a JSON string, false for other values.
func textOf(value []byte) (string, bool) {
	var s scanner
	s.start(value)
	p, _, err := s.text()
	if err != nil {
		return "", false
	}
	p, err = s.unescape(nil, p)
	return string(p), err == nil
}

func isNull(value []byte) bool { return value == nil || string(value) == "null" }

// parseSchema makes the type of a schema's JSON, which a scanner has passed. null is none.
func parseSchema(text []byte, o Options) (*schema.Type, error) {
	if isNull(text) {
		return nil, nil
	}
	t, _, err := parseType(text, o)
	return t, err
}

func parseType(text []byte, o Options) (*schema.Type, schemaText, error) {
	var m schemaText
	if len(text) > 0 && text[0] == '{' {
		err := eachMember(text, func(name string, value []byte) error {
			if at := m.member(name); at != nil {
				*at = value
			}
			return nil
		})
		if err != nil {
			return nil, m, err
		}
	}
	kind, ok := textOf(m.kind)
	if !ok {
		return nil, m, refuse("Schema must contain 'type' field")
	}
	t := &schema.Type{Kind: schema.KindOf(kind)}
	if t.Kind == schema.Invalid {
		return nil, m, refuse("Unknown schema type: " + kind)
	}
	if err := parseParts(t, &m, o); err != nil {
		return nil, m, err
	}
	t.Optional = string(m.optional) == "true"
	t.Name, _ = textOf(m.name)
	t.Doc, _ = textOf(m.doc)
	t.Version = parseVersion(m.version)
	if err := parseParameters(t, m.parameters); err != nil {
		return nil, m, err
	}
	return t, m, parseDefault(t, m.def, o)
}

// parseParts reads what a container is made of.
func parseParts(t *schema.Type, m *schemaText, o Options) (err error) {
	switch t.Kind {
	case schema.Array:
		if isNull(m.items) {
			return refuse("Array schema did not specify the element type")
		}
		t.Elem, err = parseSchema(m.items, o)
	case schema.Map:
		if isNull(m.keys) {
			return refuse("Map schema did not specify the key type")
		}
		if isNull(m.values) {
			return refuse("Map schema did not specify the value type")
		}
		if t.Key, err = parseSchema(m.keys, o); err == nil {
			t.Elem, err = parseSchema(m.values, o)
		}
	case schema.Struct:
		err = parseFields(t, m.fields, o)
	}
	return err
}

func parseFields(t *schema.Type, array []byte, o Options) error {
	if len(array) == 0 || array[0] != '[' {
		return refuse(`Struct schema's "fields" argument is not an array.`)
	}
	var s scanner
	s.start(array)
	if err := s.enter(); err != nil {
		return err
	}
	t.Fields = []schema.Field{}
	for first := true; ; first = false {
		more, err := s.next(']', first)
		if err != nil || !more {
			return err
		}
		text, err := s.skip()
		if err != nil {
			return err
		}
		if text[0] != '{' {
			return refuse("Struct schema's field name not specified properly")
		}
		field, m, err := parseType(text, o)
		name, ok := textOf(m.field)
		if !ok {
			return refuse("Struct schema's field name not specified properly")
		}
		if err != nil {
			return inField(name, err)
		}
		if t.FieldIndex(name) >= 0 {
			return refuse("Cannot create field because of field name duplication " + name)
		}
		t.Fields = append(t.Fields, schema.Field{Name: name, Type: field})
	}
}

// parseVersion is the version where it is a whole number, else none.
func parseVersion(text []byte) int {
	var s scanner
	s.start(text)
	if _, i, integral, err := s.number(); err == nil && integral {
		return int(int32(i))
	}
	return 0
}

func parseParameters(t *schema.Type, object []byte) error {
	if len(object) == 0 || object[0] != '{' {
		return nil
	}
	return eachMember(object, func(name string, value []byte) error {
		text, ok := textOf(value)
		if !ok {
			return refuse("Schema parameters must have string values.")
		}
		for i := range t.Params {
			if t.Params[i].Name == name {
				t.Params[i].Value = text
				return nil
			}
		}
		t.Params = append(t.Params, schema.Param{Name: name, Value: text})
		return nil
	})
}

// parseDefault reads the default, which is a payload of the type.
func parseDefault(t *schema.Type, text []byte, o Options) error {
	if text == nil {
		return nil
	}
	var b change.Batch
	r := reader{b: &b}
	r.start(text)
	v, err := r.value(compilePlan(t, o, false))
	if err != nil {
		return err
	}
	t.Default = b.Literal(v)
	return nil
}
