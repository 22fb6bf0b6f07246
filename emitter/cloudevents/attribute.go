// SPDX-License-Identifier: Apache-2.0

package cloudevents

import (
	"strconv"
	"time"

	"freshet/change"
	"freshet/change/java"
	"freshet/emitter"
	"freshet/emitter/json"
	"freshet/schema"
)

// attribute writes an extension attribute. The specification knows booleans, integers of 32 bits, and text.
type attribute struct {
	plain bool   // a boolean or an integer as itself
	null  []byte // the default where there is one
}

func newAttribute(from *schema.Type) *attribute {
	a := &attribute{null: []byte("null")}
	switch from.Kind {
	case schema.Boolean, schema.Int8, schema.Int16, schema.Int32:
		a.plain = true
	}
	if from.Default != nil {
		var b change.Batch
		if null, err := a.AppendField(nil, &b, b.AppendLiteral(from.Default, from)); err == nil {
			a.null = null
		}
	}
	return a
}

// AppendField appends the value of an attribute.
func (a *attribute) AppendField(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	switch {
	case v.IsNull():
		return append(dst, a.null...), nil
	case v.Kind() == change.Text:
		return json.AppendString(dst, b.Bytes(v)), nil
	case a.plain:
		return inText{}.AppendField(dst, b, v)
	}
	dst, err := inText{}.AppendField(append(dst, '"'), b, v)
	return append(dst, '"'), err
}

// inText writes a value inside a text that is open; a null is the word.
type inText struct{}

func (inText) AppendField(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	switch v.Kind() {
	case change.Null:
		return append(dst, "null"...), nil
	case change.Int:
		return strconv.AppendInt(dst, v.Int(), 10), nil
	case change.Bool:
		return strconv.AppendBool(dst, v.Bool()), nil
	case change.Float:
		return strconv.AppendFloat(dst, v.Float(), 'g', -1, 64), nil
	case change.Text:
		begin := len(dst)
		dst = json.AppendString(dst, b.Bytes(v))
		return append(dst[:begin], dst[begin+1:len(dst)-1]...), nil // without the quotes
	}
	return dst, emitter.Refuse("no attribute of a CloudEvent: class " + java.Class(nil, v))
}

// timestamp writes ms since the epoch as RFC 3339 has them.
type timestamp struct{}

func (timestamp) AppendField(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
	return time.UnixMilli(v.Int()).UTC().AppendFormat(dst, `"2006-01-02T15:04:05.000Z"`), nil
}
