// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"strconv"
	"time"

	"freshet/change"
	"freshet/emitter"
	"freshet/emitter/json"
	"freshet/schema"
)

// jsonHeaders writes header values as JsonConverter does.
type jsonHeaders struct{ format *json.Format }

var _ emitter.HeaderFormat = (*jsonHeaders)(nil)

// AppendHeader appends head and body.
func (h *jsonHeaders) AppendHeader(dst []byte, t *schema.Type, b *change.Batch, v change.Value) ([]byte, error) {
	e, err := h.format.Compile(t)
	if err != nil {
		return nil, err
	}
	if head := e.Head(); head != nil {
		dst = append(dst, head.Bytes...)
	}
	dst, _, err = e.Append(dst, b, v)
	return dst, err
}

// simpleHeaders writes header values as SimpleHeaderConverter does: the text form of org.apache.kafka.connect.data.Values.
type simpleHeaders struct {
	numbers *json.Format // floats have the same text in JSON
}

var _ emitter.HeaderFormat = (*simpleHeaders)(nil)

// AppendHeader appends the text. A null value has none.
func (h *simpleHeaders) AppendHeader(dst []byte, t *schema.Type, b *change.Batch, v change.Value) ([]byte, error) {
	if v.IsNull() {
		return nil, nil
	}
	return h.append(dst, t, b, v, false)
}

// append appends the text of v; strings inside containers are quoted.
func (h *simpleHeaders) append(dst []byte, t *schema.Type, b *change.Batch, v change.Value, inside bool) ([]byte, error) {
	if t != nil {
		if text, ok := logicalText(t, b, v); ok {
			return append(dst, text...), nil
		}
	}
	switch v.Kind() {
	case change.Null, change.Unavailable:
		return append(dst, "null"...), nil
	case change.Bool:
		return strconv.AppendBool(dst, v.Bool()), nil
	case change.Int:
		return strconv.AppendInt(dst, v.Int(), 10), nil
	case change.Float:
		return h.float(dst, t, b, v)
	case change.Bytes:
		if !inside {
			return base64.StdEncoding.AppendEncode(dst, b.Bytes(v)), nil
		}
		dst = append(base64.StdEncoding.AppendEncode(append(dst, '"'), b.Bytes(v)), '"')
		return dst, nil
	case change.Text:
		if !inside {
			return append(dst, b.Bytes(v)...), nil
		}
		return appendQuoted(dst, b.Bytes(v)), nil
	case change.Array:
		return h.list(dst, t, b, v)
	case change.Map:
		return h.object(dst, t, b, v)
	case change.Struct:
		return h.structure(dst, t, b, v)
	}
	return nil, fmt.Errorf("header value of kind %d has no text", v.Kind())
}

func (h *simpleHeaders) float(dst []byte, t *schema.Type, b *change.Batch, v change.Value) ([]byte, error) {
	if t == nil {
		t = &schema.Type{Kind: schema.Float64}
	}
	e, err := h.numbers.Compile(t)
	if err != nil {
		return nil, err
	}
	dst, _, err = e.Append(dst, b, v)
	return dst, err
}

func (h *simpleHeaders) list(dst []byte, t *schema.Type, b *change.Batch, v change.Value) ([]byte, error) {
	var err error
	dst = append(dst, '[')
	for i, e := range b.Elems(v) {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = h.append(dst, elemOf(t), b, e, true); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), nil
}

func (h *simpleHeaders) object(dst []byte, t *schema.Type, b *change.Batch, v change.Value) ([]byte, error) {
	var err error
	dst = append(dst, '{')
	elems := b.Elems(v)
	for i := 0; i+1 < len(elems); i += 2 {
		if i > 0 {
			dst = append(dst, ',')
		}
		var key *schema.Type
		if t != nil {
			key = t.Key
		}
		if dst, err = h.append(dst, key, b, elems[i], true); err != nil {
			return nil, err
		}
		dst = append(dst, ':')
		if dst, err = h.append(dst, elemOf(t), b, elems[i+1], true); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

func (h *simpleHeaders) structure(dst []byte, t *schema.Type, b *change.Batch, v change.Value) ([]byte, error) {
	if t == nil {
		return nil, fmt.Errorf("header value is a struct without a schema")
	}
	var err error
	dst = append(dst, '{')
	for i, e := range b.Elems(v) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, []byte(t.Fields[i].Name)), ':')
		if dst, err = h.append(dst, t.Fields[i].Type, b, e, true); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

func elemOf(t *schema.Type) *schema.Type {
	if t == nil {
		return nil
	}
	return t.Elem
}

// appendQuoted quotes as Values does: only quotes and backslashes are escaped.
func appendQuoted(dst, text []byte) []byte {
	dst = append(dst, '"')
	for _, c := range text {
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

// logicalText is the text of Connect's own logical types. Dates are told in UTC, whatever the zone of the process.
func logicalText(t *schema.Type, b *change.Batch, v change.Value) (string, bool) {
	switch {
	case t.Name == schema.Decimal && v.Kind() == change.Bytes:
		scale, _ := t.Param("scale")
		n, _ := strconv.Atoi(scale)
		return decimalText(b.Bytes(v), n), true
	case v.Kind() != change.Int:
		return "", false
	case t.Name == schema.ConnectDate:
		return dateText(v.Int() * 24 * time.Hour.Milliseconds()), true
	case t.Name == schema.ConnectTime, t.Name == schema.ConnectTimestamp:
		return dateText(v.Int()), true
	}
	return "", false
}

// dateText chooses the form by the instant, as Values does: a time within the first day, a date at midnight, else both.
func dateText(millis int64) string {
	at := time.UnixMilli(millis).UTC()
	const day = 24 * 60 * 60 * 1000
	switch {
	case millis >= 0 && millis < day:
		return at.Format("15:04:05.000Z")
	case millis%day == 0:
		return at.Format("2006-01-02")
	}
	return at.Format("2006-01-02T15:04:05.000Z")
}

// decimalText is BigDecimal.toString for the scales that databases have: plain digits.
func decimalText(unscaled []byte, scale int) string {
	n := new(big.Int).SetBytes(unscaled)
	if len(unscaled) > 0 && unscaled[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(unscaled))))
	}
	sign := ""
	if n.Sign() < 0 {
		sign = "-"
		n.Neg(n)
	}
	digits := n.String()
	if scale <= 0 {
		if n.Sign() != 0 {
			for range -scale {
				digits += "0"
			}
		}
		return sign + digits
	}
	for len(digits) <= scale {
		digits = "0" + digits
	}
	return sign + digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
}
