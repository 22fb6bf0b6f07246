// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"freshet/change"
	"freshet/schema"
)

// render is a value of a type as the JSON converter's payload has it, decoded again: for comparison with recorded events.
func render(b *change.Batch, v change.Value, t *schema.Type) any {
	switch v.Kind() {
	case change.Null:
		return literal(t.Default, t)
	case change.Bool:
		return v.Bool()
	case change.Int:
		return float64Exact(v.Int())
	case change.Float:
		return renderFloat(v.Float(), t)
	case change.Text:
		return b.String(v)
	case change.Bytes:
		return base64.StdEncoding.EncodeToString(b.Bytes(v))
	case change.Array:
		list := []any{}
		for _, e := range b.Elems(v) {
			list = append(list, render(b, e, t.Elem))
		}
		return list
	case change.Struct:
		object := map[string]any{}
		for i, e := range b.Elems(v) {
			object[t.Fields[i].Name] = render(b, e, t.Fields[i].Type)
		}
		return object
	case change.Map:
		return renderMap(b, v, t)
	}
	return fmt.Sprintf("value of kind %d", v.Kind())
}

func renderMap(b *change.Batch, v change.Value, t *schema.Type) any {
	elems := b.Elems(v)
	if t.Key.Kind == schema.String {
		object := map[string]any{}
		for i := 0; i < len(elems); i += 2 {
			object[b.String(elems[i])] = render(b, elems[i+1], t.Elem)
		}
		return object
	}
	pairs := []any{}
	for i := 0; i < len(elems); i += 2 {
		pairs = append(pairs, []any{render(b, elems[i], t.Key), render(b, elems[i+1], t.Elem)})
	}
	return pairs
}

// float64Exact keeps integers exact: they are compared as json.Number.
func float64Exact(i int64) any { return json.Number(fmt.Sprint(i)) }

func renderFloat(f float64, t *schema.Type) any {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	bits := 64
	if t.Kind == schema.Float32 {
		bits = 32
	}
	format := byte('e')
	if math.Abs(f) < 1e15 {
		format = 'g'
	}
	return json.Number(strconv.FormatFloat(f, format, -1, bits))
}

// literal renders a default, a fallback or a placeholder.
func literal(lit any, t *schema.Type) any {
	if lit == nil {
		return nil
	}
	var b change.Batch
	return render(&b, b.AppendLiteral(lit, t), t)
}

// renderText renders a value of a type as JSON.
func renderText(b *change.Batch, v change.Value, t *schema.Type) string {
	return jsonText(render(b, v, t))
}

func jsonText(v any) string {
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// renderSchema is a type as the JSON converter's schema has it, decoded again.
func renderSchema(t *schema.Type) map[string]any {
	s := map[string]any{"type": t.Kind.String(), "optional": t.Optional}
	switch t.Kind {
	case schema.Array:
		s["items"] = renderSchema(t.Elem)
	case schema.Map:
		s["keys"], s["values"] = renderSchema(t.Key), renderSchema(t.Elem)
	case schema.Struct:
		fields := []any{}
		for _, f := range t.Fields {
			m := renderSchema(f.Type)
			m["field"] = f.Name
			fields = append(fields, m)
		}
		s["fields"] = fields
	}
	if t.Name != "" {
		s["name"] = t.Name
	}
	if t.Version != 0 {
		s["version"] = json.Number(fmt.Sprint(t.Version))
	}
	if t.Doc != "" {
		s["doc"] = t.Doc
	}
	if len(t.Params) > 0 {
		params := map[string]any{}
		for _, p := range t.Params {
			params[p.Name] = p.Value
		}
		s["parameters"] = params
	}
	if t.Default != nil {
		s["default"] = literal(t.Default, t)
	}
	return s
}
