// SPDX-License-Identifier: Apache-2.0

package jsonschema

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"freshet/emitter"
	"freshet/emitter/confluent"
	"freshet/emitter/json"
	"freshet/schema"
	"freshet/schema/registry"
)

// maxDepth bounds nested schemas, maxText how many bytes are looked at: references may repeat a part very often.
const (
	maxDepth = 200
	maxText  = 64 << 20
)

// parser makes Connect schemas of JSON Schemas, as Confluent's JsonSchemaData does.
type parser struct {
	o      *Options
	docs   map[string]stdjson.RawMessage // by the name that references have for them; "" is the schema itself
	inside map[string]bool               // references that are being followed
	depth  int
	text   int // bytes looked at
}

// parseSchema is the Connect schema of a registered one.
func parseSchema(r *registry.Schema, o *Options) (*schema.Type, error) {
	p := parser{o: o, docs: map[string]stdjson.RawMessage{}, inside: map[string]bool{}}
	for _, ref := range append(slices.Clone(r.References), registry.Reference{Text: r.Text}) {
		var doc stdjson.RawMessage
		if err := stdjson.Unmarshal([]byte(ref.Text), &doc); err != nil {
			return nil, emitter.Refuse("JSON Schema: " + err.Error())
		}
		p.docs[ref.Name] = doc
	}
	return p.parse(part{doc: "", text: p.docs[""]}, false)
}

// part is a schema in a document.
type part struct {
	doc  string
	text stdjson.RawMessage
}

func (p *parser) parse(in part, optional bool) (*schema.Type, error) {
	p.depth++
	defer func() { p.depth-- }()
	if err := p.look(in.text); err != nil {
		return nil, err
	}
	if text := bytes.TrimSpace(in.text); len(text) == 0 || text[0] != '{' {
		return nil, emitter.Refuse("Unsupported schema type: " + string(text[:min(len(text), 80)]))
	}
	o, err := confluent.ParseObject(in.text)
	if err != nil {
		return nil, err
	}
	if ref, ok := o.Text("$ref"); ok {
		return p.reference(in.doc, ref, optional)
	}
	if all, ok := o.Values["allOf"]; ok {
		return p.all(in.doc, o, all, optional)
	}
	t := &schema.Type{}
	done, err := p.body(t, in.doc, o, optional)
	if done != nil || err != nil {
		return done, err
	}
	t.Optional = t.Optional || optional
	return t, p.annotate(t, o)
}

// look counts what is looked at.
func (p *parser) look(text []byte) error {
	if p.text += len(text) + 1<<10; p.depth > maxDepth || p.text > maxText {
		return emitter.Refuse("JSON Schema: too deep or too large")
	}
	return nil
}

// reference follows a $ref.
func (p *parser) reference(doc, ref string, optional bool) (*schema.Type, error) {
	name, pointer, _ := strings.Cut(ref, "#")
	if name == "" {
		name = doc
	}
	text, ok := p.docs[name]
	if !ok {
		return nil, emitter.Refuse(fmt.Sprintf("JSON Schema: reference %q is not registered with the schema", ref))
	}
	full := name + "#" + pointer
	if p.inside[full] {
		return nil, emitter.Refuse(fmt.Sprintf("JSON Schema: %q holds itself, which is not supported", ref))
	}
	p.inside[full] = true
	defer delete(p.inside, full)
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if step == "" {
			continue
		}
		if plain, err := url.PathUnescape(step); err == nil {
			step = plain
		}
		if err := p.look(text); err != nil {
			return nil, err
		}
		o, err := confluent.ParseObject(text)
		if err != nil {
			return nil, err
		}
		if text, ok = o.Values[strings.NewReplacer("~1", "/", "~0", "~").Replace(step)]; !ok {
			return nil, emitter.Refuse(fmt.Sprintf("JSON Schema: nothing at reference %q", ref))
		}
	}
	return p.parse(part{name, text}, optional)
}

// body fills kind and parts of t. done is the whole type where it is another one: what may be null, of a union with null.
func (p *parser) body(t *schema.Type, doc string, o *confluent.Object, optional bool) (done *schema.Type, err error) {
	for _, name := range []string{"oneOf", "anyOf"} {
		if raw, ok := o.Values[name]; ok {
			var branches []stdjson.RawMessage
			if stdjson.Unmarshal(raw, &branches) != nil {
				return nil, emitter.Refuse("JSON Schema: " + name + " is no array")
			}
			return p.union(t, doc, branches, optional)
		}
	}
	var kinds []string
	if raw, ok := o.Values["type"]; ok && stdjson.Unmarshal(raw, &kinds) == nil {
		return p.kinds(t, doc, o, kinds, optional)
	}
	kind, _ := o.Text("type")
	if raw, ok := o.Values["enum"]; ok && (kind == "" || kind == "string") {
		return nil, enum(t, raw)
	}
	if kind == "" {
		kind = impliedKind(o)
	}
	return nil, p.kind(t, doc, o, kind)
}

// impliedKind is the type that members are of which only one type has.
func impliedKind(o *confluent.Object) string {
	for _, k := range [...][2]string{
		{"properties", "object"},
		{"additionalProperties", "object"},
		{"required", "object"},
		{"patternProperties", "object"},
		{"items", "array"},
		{"minLength", "string"},
		{"maxLength", "string"},
		{"pattern", "string"},
		{"format", "string"},
		{"minimum", "number"},
		{"maximum", "number"},
		{"multipleOf", "number"},
	} {
		if _, ok := o.Values[k[0]]; ok {
			return k[1]
		}
	}
	return ""
}

// kinds is a schema of several types: a union of it with each of them.
func (p *parser) kinds(t *schema.Type, doc string, o *confluent.Object, kinds []string, optional bool) (*schema.Type, error) {
	if len(kinds) == 1 {
		return nil, p.kind(t, doc, o, kinds[0])
	}
	if len(kinds) > 7 {
		return nil, emitter.Refuse("JSON Schema: more types than there are")
	}
	var branches []stdjson.RawMessage
	for _, k := range kinds {
		branch := []byte(`{"type":` + strconv.Quote(k))
		for _, name := range o.Names {
			if k != "null" && name != "type" && name != connectIndex {
				branch = append(append(append(append(branch, ','), strconv.Quote(name)...), ':'), o.Values[name]...)
			}
		}
		branches = append(branches, append(branch, '}'))
	}
	return p.union(t, doc, branches, optional)
}

// union is a type that may be null, or a Struct with a field for each branch.
func (p *parser) union(t *schema.Type, doc string, branches []stdjson.RawMessage, optional bool) (*schema.Type, error) {
	var others []stdjson.RawMessage
	for _, b := range branches {
		if !isNull(b) {
			others = append(others, b)
		}
	}
	if len(others) == 1 && len(branches) == 2 {
		return p.parse(part{doc, others[0]}, true)
	}
	t.Kind, t.Name, t.Fields = schema.Struct, json.OneOf, []schema.Field{}
	t.Optional = optional || len(others) < len(branches)
	for i, b := range others {
		below, err := p.parse(part{doc, b}, true)
		if err != nil {
			return nil, err
		}
		t.Fields = append(t.Fields, schema.Field{Name: json.OneOf + ".field." + strconv.Itoa(i), Type: below})
	}
	return nil, nil
}

func isNull(text stdjson.RawMessage) bool {
	o, err := confluent.ParseObject(text)
	if err != nil {
		return false
	}
	kind, _ := o.Text("type")
	return kind == "null"
}

// enum is a text with its symbols in parameters.
func enum(t *schema.Type, raw stdjson.RawMessage) error {
	var symbols []stdjson.RawMessage
	if stdjson.Unmarshal(raw, &symbols) != nil {
		return emitter.Refuse("JSON Schema: enum is no array")
	}
	t.Kind = schema.String
	t.Params = append(t.Params, schema.Param{Name: enumParam})
	for _, raw := range symbols {
		symbol := string(raw)
		if symbol == "null" {
			symbol = "<NULL>"
		}
		var text string
		if raw[0] == '"' && stdjson.Unmarshal(raw, &text) == nil {
			symbol = text
		}
		t.Params = append(t.Params, schema.Param{Name: enumParam + "." + symbol, Value: symbol})
	}
	return nil
}

func (p *parser) kind(t *schema.Type, doc string, o *confluent.Object, kind string) error {
	connect, _ := o.Text(connectType)
	switch kind {
	case "boolean":
		t.Kind = schema.Boolean
	case "string":
		if t.Kind = schema.String; connect == "bytes" {
			t.Kind = schema.Bytes
		}
	case "integer", "number":
		return number(t, kind, connect)
	case "array":
		return p.array(t, doc, o, connect)
	case "object":
		return p.object(t, doc, o, connect)
	default:
		return emitter.Refuse("Unsupported schema type: " + strconv.Quote(kind))
	}
	return nil
}

func number(t *schema.Type, kind, connect string) error {
	switch {
	case connect == "bytes":
		t.Kind = schema.Bytes
	case connect != "":
		for k, texts := range kindTexts {
			if texts[1] == connect && (texts[0] == "integer" || texts[0] == "number") {
				t.Kind = schema.Kind(k)
				return nil
			}
		}
		return emitter.Refuse("Unsupported type " + connect)
	case kind == "integer":
		t.Kind = schema.Int64
	default:
		t.Kind = schema.Float64
	}
	return nil
}

func (p *parser) array(t *schema.Type, doc string, o *confluent.Object, connect string) error {
	items, ok := o.Values["items"]
	if !ok {
		return emitter.Refuse("Array schema did not specify the items type")
	}
	var err error
	if connect == "map" {
		entry, fail := confluent.ParseObject(items)
		if fail != nil {
			return fail
		}
		if raw, ok := entry.Values["properties"]; ok {
			properties, fail := confluent.ParseObject(raw)
			if fail != nil {
				return fail
			}
			t.Kind = schema.Map
			if t.Key, err = p.parse(part{doc, properties.Values["key"]}, false); err == nil {
				t.Elem, err = p.parse(part{doc, properties.Values["value"]}, false)
			}
			return err
		}
	}
	t.Kind = schema.Array
	t.Elem, err = p.parse(part{doc, items}, false)
	return err
}

func (p *parser) object(t *schema.Type, doc string, o *confluent.Object, connect string) error {
	var err error
	if connect == "map" {
		t.Kind, t.Key = schema.Map, &schema.Type{Kind: schema.String}
		t.Elem, err = p.parse(part{doc, o.Values["additionalProperties"]}, false)
		return err
	}
	t.Kind, t.Fields = schema.Struct, []schema.Field{}
	return p.fields(t, doc, o)
}

// fields adds the properties of an object, in the order of connect.index. Those without one are in the order of Java's
// HashMap, as in the original.
func (p *parser) fields(t *schema.Type, doc string, o *confluent.Object) error {
	raw, ok := o.Values["properties"]
	if !ok {
		return nil
	}
	properties, err := confluent.ParseObject(raw)
	if err != nil {
		return err
	}
	var required []string
	if raw, ok := o.Values["required"]; ok {
		_ = stdjson.Unmarshal(raw, &required) // what is no list requires nothing
	}
	names := schema.JavaOrder(slices.Clone(properties.Names))
	index := make(map[string]int, len(names))
	for i, name := range names {
		index[name] = i
		if property, err := confluent.ParseObject(properties.Values[name]); err == nil {
			if n, err := strconv.Atoi(string(property.Values[connectIndex])); err == nil {
				index[name] = n
			}
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return index[a] - index[b] })
	for _, name := range names {
		if t.FieldIndex(name) >= 0 {
			continue
		}
		below, err := p.parse(part{doc, properties.Values[name]}, p.o.OptionalIfNotRequired && !slices.Contains(required, name))
		if err != nil {
			return emitter.InField(name, err)
		}
		t.Fields = append(t.Fields, schema.Field{Name: name, Type: below})
	}
	return nil
}

// all is a schema that all of several schemas hold for: an object with the properties of all, else the one that says most.
func (p *parser) all(doc string, o *confluent.Object, raw stdjson.RawMessage, optional bool) (*schema.Type, error) {
	var branches []stdjson.RawMessage
	if stdjson.Unmarshal(raw, &branches) != nil || len(branches) == 0 {
		return nil, emitter.Refuse("JSON Schema: allOf is no array")
	}
	t := &schema.Type{Kind: schema.Struct, Optional: optional}
	if _, ok := o.Values["properties"]; ok {
		if err := p.fields(t, doc, o); err != nil {
			return nil, err
		}
	}
	var plain *schema.Type
	for _, b := range branches {
		below, err := p.parse(part{doc, b}, optional)
		if err != nil {
			if len(branches) == 1 {
				return nil, err
			}
			continue // a branch may say nothing of the type
		}
		if below.Kind != schema.Struct || below.Name == json.OneOf {
			if plain == nil || below.Name == json.OneOf || len(below.Params) > len(plain.Params) {
				plain = below
			}
			continue
		}
		if len(branches) == 1 && len(t.Fields) == 0 {
			plain = below
			continue
		}
		for _, f := range below.Fields {
			if t.FieldIndex(f.Name) < 0 {
				t.Fields = append(t.Fields, f)
			}
		}
	}
	switch {
	case len(t.Fields) > 0:
		return t, nil
	case plain != nil:
		return plain, nil
	}
	return nil, emitter.Refuse("JSON Schema: unsupported criterion allOf")
}

// annotate reads name, version, doc, parameters and default.
func (p *parser) annotate(t *schema.Type, o *confluent.Object) error {
	if title, ok := o.Text("title"); ok && t.Name == "" {
		t.Name = title
	}
	if n, err := strconv.Atoi(string(o.Values[connectVersion])); err == nil {
		t.Version = n
	}
	t.Doc, _ = o.Text("description")
	if raw, ok := o.Values[connectParameters]; ok {
		params, err := confluent.ParseObject(raw)
		if err != nil {
			return err
		}
		for _, name := range params.Names {
			value, ok := params.Text(name)
			if !ok {
				return emitter.Refuse("JSON Schema: connect.parameters must be texts")
			}
			t.Params = append(t.Params, schema.Param{Name: name, Value: value})
		}
	}
	raw, ok := o.Values["default"]
	if !ok || string(raw) == "null" {
		return nil
	}
	var err error
	var compact bytes.Buffer
	if err = stdjson.Compact(&compact, raw); err == nil {
		t.Default, err = json.ParseLiteral(t, p.o.Data, compact.Bytes())
	}
	return err
}
