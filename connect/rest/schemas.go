// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"
)

// schemas are the JSON schemas of Go types, so that the description is that of what is really sent.
type schemas struct {
	named map[string]any // of structs, by name
	types map[string]reflect.Type
}

func newSchemas() *schemas {
	return &schemas{named: map[string]any{}, types: map[string]reflect.Type{}}
}

// of is the schema of a value's type.
func (s *schemas) of(example any) map[string]any { return s.ofType(reflect.TypeOf(example)) }

// ofBody is the schema of a request's body: members that are left out have their zero values.
func (s *schemas) ofBody(example any) map[string]any {
	schema := s.of(example)
	if name, ok := schema["$ref"].(string); ok {
		delete(s.named[strings.TrimPrefix(name, "#/components/schemas/")].(map[string]any), "required")
	}
	return schema
}

var (
	timeType = reflect.TypeFor[time.Time]()
	rawType  = reflect.TypeFor[json.RawMessage]()
)

func (s *schemas) ofType(t reflect.Type) map[string]any {
	switch t {
	case timeType:
		return map[string]any{"type": "string", "format": "date-time"}
	case rawType:
		return map[string]any{} // any JSON
	}
	switch t.Kind() {
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Pointer:
		return map[string]any{"anyOf": []any{s.ofType(t.Elem()), map[string]any{"type": "null"}}}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": s.ofType(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": s.ofType(t.Elem())}
	case reflect.Struct:
		return s.reference(t)
	case reflect.Interface:
		return map[string]any{}
	}
	return map[string]any{"type": "integer"}
}

// reference is a reference to the schema of a struct, which is made where it is new.
func (s *schemas) reference(t reflect.Type) map[string]any {
	name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	if other, taken := s.types[name]; taken && other != t {
		pkg := t.PkgPath()[strings.LastIndexByte(t.PkgPath(), '/')+1:]
		name = strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	if _, known := s.types[name]; !known {
		s.types[name] = t
		object := map[string]any{"type": "object"}
		s.named[name] = object
		members, required := map[string]any{}, []any{}
		s.members(t, members, &required)
		object["properties"] = members
		if len(required) > 0 {
			object["required"] = required
		}
	}
	return map[string]any{"$ref": "#/components/schemas/" + name}
}

// members adds the members of a struct, those of embedded ones among them.
func (s *schemas) members(t reflect.Type, members map[string]any, required *[]any) {
	for f := range t.Fields() {
		tag, tagged := f.Tag.Lookup("json")
		name, options, _ := strings.Cut(tag, ",")
		if f.Anonymous && !tagged {
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			s.members(inner, members, required)
			continue
		}
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		members[name] = s.ofType(f.Type)
		if !strings.HasPrefix(options, "omit") && f.Type.Kind() != reflect.Pointer {
			*required = append(*required, name)
		}
	}
}
