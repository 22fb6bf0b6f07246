// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"freshet/change"
	"freshet/change/java"
	"freshet/config"
	"freshet/schema"
)

var insertHeaderKind = kind{
	plugin: config.Plugin{
		Name: "InsertHeader", Class: "org.apache.kafka.connect.transforms.InsertHeader", Kind: "transformation", Version: Version,
		Def: config.Def{Keys: []config.Key{
			{
				Name: "header", Type: config.String, Required: true, Importance: config.High, Check: anyText,
				Doc: "Name of the header to add. Headers of that name stay.",
			},
			{
				Name: "value.literal", Type: config.String, Required: true, Importance: config.High, Check: anyText,
				Doc: "Its value. The type is guessed from the text, as that of a header that is read: 5 is an INT8, 2020-01-01 a Date.",
			},
		}},
	},
	make: func(v config.Values) (Transform, error) {
		var b change.Batch
		typ, value := java.ParseHeader([]byte(v.Get("value.literal")), &b)
		return &insertHeader{name: v.Get("header"), typ: typ, literal: b.Literal(value)}, nil
	},
}

// anyText takes the empty text, too.
func anyText(string, config.Values) string { return "" }

// insertHeader adds a header with the same value to every record.
type insertHeader struct {
	name    string
	typ     *schema.Type // nil for null
	literal any
	headers []Header // reused
}

// Apply looks at headers only.
func (t *insertHeader) Apply(r *Record) (bool, error) {
	var v change.Value
	if t.typ != nil {
		v = r.Data.AppendLiteral(t.literal, t.typ)
	}
	t.headers = append(append(t.headers[:0], r.Headers...), Header{Key: t.name, Type: t.typ, Value: v})
	r.Headers = t.headers
	return true, nil
}
