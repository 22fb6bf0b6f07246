// SPDX-License-Identifier: Apache-2.0

package jdbc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks"
)

// kafkaKey is the key of primary.key.mode=kafka.
var kafkaKey = &schema.Type{Kind: schema.Struct, Fields: []schema.Field{
	{Name: "__connect_topic", Type: &schema.Type{Kind: schema.String}},
	{Name: "__connect_partition", Type: &schema.Type{Kind: schema.Int32}},
	{Name: "__connect_offset", Type: &schema.Type{Kind: schema.Int64}},
}}

// keyOf returns the key of a record as a struct: its type (one pointer for one schema) and its values. In the modes none
// and record_value there is none.
func (w *writer) keyOf(b *change.Batch, r *sinks.Record) (*schema.Type, change.Value, error) {
	switch w.opt.keyMode {
	case keyKafka:
		row := b.NewRow(3)
		b.Set(row, 0, b.Text(r.Topic))
		b.Set(row, 1, change.IntValue(int64(r.Partition)))
		b.Set(row, 2, change.IntValue(r.Offset))
		return kafkaKey, b.Run(change.Struct, row), nil
	case keyRecord:
		return w.recordKey(b, r)
	case keyHeader:
		return w.headerKey(b, r)
	}
	return nil, change.Value{}, nil
}

func (w *writer) recordKey(b *change.Batch, r *sinks.Record) (*schema.Type, change.Value, error) {
	switch {
	case r.KeyType == nil:
		return nil, change.Value{}, refuse(errors.New("Configured primary key mode 'record_key' cannot have null schema"),
			"the record needs a key with a schema: check key.converter and its schemas.enable, or choose another primary.key.mode")
	case r.Key.IsNull():
		return nil, change.Value{}, refuse(errors.New("the record key is null"), "choose a primary.key.mode that needs no record key")
	case r.KeyType.Kind == schema.Struct:
		return r.KeyType, r.Key, nil
	}
	// H3: a primitive key is the one field that primary.key.fields names.
	t := w.wrapped[r.KeyType]
	if t == nil {
		if len(w.opt.keyFields) != 1 {
			return nil, change.Value{}, refuse(fmt.Errorf("the record key is a single %s without a name", r.KeyType.Kind), "name its column in primary.key.fields")
		}
		t = &schema.Type{Kind: schema.Struct, Fields: []schema.Field{{Name: w.opt.keyFields[0], Type: r.KeyType}}}
		w.wrapped[r.KeyType] = t
	}
	row := b.NewRow(1)
	b.Set(row, 0, r.Key)
	return t, b.Run(change.Struct, row), nil
}

// headerKey makes every header a key field. Its type is guessed from the text, as Kafka's SimpleHeaderConverter does.
func (w *writer) headerKey(b *change.Batch, r *sinks.Record) (*schema.Type, change.Value, error) {
	if len(r.Headers) == 0 {
		return nil, change.Value{}, refuse(errors.New("Configured primary key mode 'record_header' cannot have empty message headers"), "choose another primary.key.mode")
	}
	row := b.NewRow(len(r.Headers))
	var signature strings.Builder
	kinds := make([]schema.Kind, len(r.Headers))
	for i, h := range r.Headers {
		kind, v := schema.String, change.Value{}
		if h.Value != nil {
			kind, v = w.headerValue(b, string(h.Value))
		}
		b.Set(row, i, v)
		kinds[i] = kind
		fmt.Fprintf(&signature, "%q%d,", h.Key, kind)
	}
	t := w.headerKeys[signature.String()]
	if t == nil {
		t = &schema.Type{Kind: schema.Struct}
		for i, h := range r.Headers {
			t.Fields = append(t.Fields, schema.Field{Name: h.Key, Type: &schema.Type{Kind: kinds[i]}})
		}
		w.headerKeys[signature.String()] = t
	}
	return t, b.Run(change.Struct, row), nil
}

// headerValue is the smallest integer type that holds a number, a double, a truth value, or the text.
func (w *writer) headerValue(b *change.Batch, s string) (schema.Kind, change.Value) {
	if w.opt.textHeaders {
		return schema.String, b.Text(s)
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		kind := schema.Int8
		for bits := 8; bits < 64 && n>>(bits-1) != 0 && n>>(bits-1) != -1; bits *= 2 {
			kind++
		}
		return kind, change.IntValue(n)
	}
	switch s {
	case "true", "false":
		return schema.Boolean, change.BoolValue(s == "true")
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && strings.ContainsAny(s, ".eE") {
		return schema.Float64, change.FloatValue(f)
	}
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		if text, err := strconv.Unquote(s); err == nil {
			return schema.String, b.Text(text)
		}
	}
	return schema.String, b.Text(s)
}
