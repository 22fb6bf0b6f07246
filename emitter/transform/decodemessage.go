// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"errors"
	"strings"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

var fieldAdjustKey = config.Key{
	Name: "field.name.adjustment.mode", Type: config.String, Default: schema.AdjustNone, HasDefault: true, Importance: config.Low, Unlisted: true,
	Allowed: []string{schema.AdjustNone, schema.AdjustAvro, schema.AdjustAvroUnicode},
	Doc:     "What becomes of characters of names in JSON objects that Avro does not allow.",
}

var decodeMessageKind = kind{
	plugin: config.Plugin{
		Name: "DecodeLogicalDecodingMessageContent", Class: "io.debezium.connector.postgresql.transforms.DecodeLogicalDecodingMessageContent", Kind: "transformation", Version: debeziumVersion,
		Def: config.Def{Keys: []config.Key{
			{
				Name: "fields.null.include", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Medium, Width: config.WidthMedium,
				Display: "Whether to include fields with null values", Doc: "Keep members that are null, as fields of type bytes, instead of leaving them out.",
			},
		}},
	},
	make: func(v config.Values) (Transform, error) {
		return &decodeMessage{json: jsonExpander{nulls: v.Bool("fields.null.include")}}, nil
	},
}

// decodeMessage is DecodeLogicalDecodingMessageContent: it makes of a logical message whose content is a JSON object an
// event like that of a row that was inserted, for EventRouter or others behind it.
type decodeMessage struct {
	json  jsonExpander
	types memo[[2]*schema.Type, *schema.Type]
}

// Apply makes events of messages. Other records pass.
func (t *decodeMessage) Apply(r *Record) (bool, error) {
	if r.ValueType == nil || r.ValueType.Name != "io.debezium.connector.postgresql.MessageValue" {
		return true, nil
	}
	if err := r.Load(); err != nil {
		return false, err
	}
	if err := requireStruct(r.ValueType, r.Value, "Retrieve a record value"); err != nil {
		return false, err
	}
	at, err := fieldOf(r.ValueType, "message")
	if err != nil {
		return false, err
	}
	row := r.Data.RowOf(r.Value)
	typ, after, err := t.content(r.Data, r.ValueType.Fields[at].Type, r.Data.At(row, at))
	if err != nil {
		return false, err
	}
	out, ok := t.types.get([2]*schema.Type{r.ValueType, typ})
	if !ok {
		out = &schema.Type{Kind: schema.Struct, Name: r.ValueType.Name + ".Envelope"}
		for i, f := range r.ValueType.Fields {
			if i != at {
				out.Fields = append(out.Fields, f)
			}
		}
		if err := addField(out, "after", typ); err != nil {
			return false, err
		}
		t.types.put([2]*schema.Type{r.ValueType, typ}, out)
	}
	env, n := r.Data.NewRow(len(out.Fields)), 0
	for i, f := range r.ValueType.Fields {
		if i == at {
			continue
		}
		v := r.Data.At(row, i)
		if f.Name == "op" {
			v = r.Data.Text("c")
		}
		r.Data.Set(env, n, v)
		n++
	}
	r.Data.Set(env, n, after)
	r.SetKey(nil, change.NullValue())
	r.SetValue(out, r.Data.Run(change.Struct, env))
	return true, nil
}

// content is what the JSON text of a message holds.
func (t *decodeMessage) content(b *change.Batch, typ *schema.Type, message change.Value) (*schema.Type, change.Value, error) {
	if err := requireStruct(typ, message, "Retrieve content of a logical decoding message"); err != nil {
		return nil, message, err
	}
	at, err := fieldOf(typ, "content")
	if err != nil {
		return nil, message, err
	}
	if typ.Fields[at].Type.Kind != schema.Bytes {
		return nil, message, &Error{Thrown: debeziumException, Message: "The content of a logical decoding message is non-binary"}
	}
	v := b.At(b.RowOf(message), at)
	if v.IsNull() {
		return nil, v, &Error{Thrown: debeziumException, Message: "The content of a logical decoding message is null"}
	}
	text := strings.ToValidUTF8(string(b.Bytes(v)), "\ufffd")
	if !strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "[") {
		return nil, v, &Error{Thrown: debeziumException, Message: "Unable to parse logical decoding message content JSON string '" + text + "'"}
	}
	expanded, v, err := t.json.expand(b, text, "")
	var refused *Error
	if err != nil && !errors.As(err, &refused) {
		err = &Error{Thrown: debeziumException, Message: "Unable to parse logical decoding message content: " + err.Error()}
	}
	return expanded, v, err
}
