// SPDX-License-Identifier: Apache-2.0

package avro

import (
	"encoding/json"
	"math"
	"strconv"

	"freshet/emitter/confluent"
	"freshet/schema"
)

// defaultOf is the default of the field, else the one that the schema brings.
func (r *reading) defaultOf(t *schema.Type, a *avroType, fieldDefault []byte) error {
	own := a.prop("connect.default")
	def := fieldDefault
	if def == nil {
		def = own
	} else if own == nil && r.o.MetaData {
		setParam(t, defaultFlag, "true")
	}
	if def == nil || string(def) == "null" || t.Kind == schema.Map && a.kind == array { // that one Avro does not take
		return nil
	}
	var err error
	t.Default, err = r.literal(t, a, def)
	return err
}

// literal reads a default.
func (r *reading) literal(t *schema.Type, a *avroType, raw []byte) (any, error) {
	bad := func() (any, error) { return nil, schemaError("Invalid default value: " + shorten(raw)) }
	switch a.kind {
	case boolean:
		return string(raw) == "true", nil
	case integer, long:
		f, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			return int64(0), nil //nolint:nilerr // what is no number is 0, as in the original
		}
		return f, nil
	case float:
		return float64(float32(floatLiteral(raw))), nil
	case double:
		return floatLiteral(raw), nil
	case text, enum, binary, fixed:
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return bad()
		}
		if a.kind == text || a.kind == enum {
			return s, nil
		}
		p := []byte{}
		for _, c := range s {
			p = append(p, byte(c))
		}
		return p, nil
	case union:
		for _, b := range a.branches {
			switch {
			case b.kind == null:
			case t.Name == unionName: // the default is of the first branch
				out := make([]any, len(t.Fields))
				var err error
				out[0], err = r.literal(t.Fields[0].Type, b, raw)
				return out, err
			default:
				return r.literal(t, b, raw)
			}
		}
	case record:
		return r.recordLiteral(t, a, raw)
	case array, mapping:
		return r.listLiteral(t, a, raw)
	}
	return bad()
}

func floatLiteral(raw []byte) float64 {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		switch s {
		case "NaN":
			return math.NaN()
		case "Infinity":
			return math.Inf(1)
		case "-Infinity":
			return math.Inf(-1)
		}
		return 0
	}
	f, _ := strconv.ParseFloat(string(raw), 64)
	return f
}

func (r *reading) recordLiteral(t *schema.Type, a *avroType, raw []byte) (any, error) {
	o, err := confluent.ParseObject(raw)
	if err != nil {
		return nil, err
	}
	out := make([]any, len(a.fields))
	for i, f := range a.fields {
		v, ok := o.Values[f.name]
		if !ok || string(v) == "null" {
			continue
		}
		if out[i], err = r.literal(t.Fields[i].Type, f.typ, v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (r *reading) listLiteral(t *schema.Type, a *avroType, raw []byte) (any, error) {
	out := []any{}
	if a.kind == mapping {
		o, err := confluent.ParseObject(raw)
		if err != nil {
			return nil, err
		}
		for _, name := range o.Names {
			v, err := r.literal(t.Elem, a.elem, o.Values[name])
			if err != nil {
				return nil, err
			}
			out = append(out, name, v)
		}
		return out, nil
	}
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		return nil, schemaError("Invalid default value: " + shorten(raw))
	}
	for _, item := range items {
		if t.Kind != schema.Map {
			v, err := r.literal(t.Elem, a.elem, item)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
			continue
		}
		pair, err := r.pairLiteral(t, a, item)
		if err != nil {
			return nil, err
		}
		out = append(out, pair...)
	}
	return out, nil
}

func (r *reading) pairLiteral(t *schema.Type, a *avroType, item json.RawMessage) ([]any, error) {
	var pair []json.RawMessage
	if json.Unmarshal(item, &pair) != nil || len(pair) != 2 {
		return nil, schemaError("Invalid default value: " + shorten(item))
	}
	k, err := r.literal(t.Key, a.elem.fields[0].typ, pair[0])
	if err != nil {
		return nil, err
	}
	v, err := r.literal(t.Elem, a.elem.fields[1].typ, pair[1])
	return []any{k, v}, err
}
