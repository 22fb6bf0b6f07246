// SPDX-License-Identifier: Apache-2.0

package java

import (
	"encoding/base64"
	"strconv"
	"time"

	"freshet/change"
	"freshet/schema"
)

// AppendHeader appends the value of a record header as SimpleHeaderConverter writes it: texts as they are, numbers and
// truth values in Java's form, bytes in base64, structs, maps and arrays as compact JSON. ok is false for null, whose
// header has no bytes. t nil is a value without a schema. Dates and times are told in UTC.
func AppendHeader(dst []byte, t *schema.Type, b *change.Batch, v change.Value) (out []byte, ok bool) {
	if v.IsNull() {
		if t == nil || t.Default == nil {
			return dst, false
		}
		v = b.AppendLiteral(t.Default, t)
	}
	return appendHeader(dst, t, b, v, false), true
}

// appendHeader appends a value; embedded ones have their texts in quotes.
func appendHeader(dst []byte, t *schema.Type, b *change.Batch, v change.Value, embedded bool) []byte {
	switch v.Kind() {
	case change.Bool:
		return strconv.AppendBool(dst, v.Bool())
	case change.Int:
		return appendHeaderInt(dst, t, v.Int())
	case change.Float:
		if t != nil && t.Kind == schema.Float32 {
			return AppendFloat(dst, v.Float(), 32)
		}
		return AppendFloat(dst, v.Float(), 64)
	case change.Date:
		return AppendDate(dst, v.Int())
	case change.Text:
		if embedded {
			return appendHeaderText(dst, b.Bytes(v))
		}
		return append(dst, b.Bytes(v)...)
	case change.Bytes:
		if t != nil && t.Name == schema.Decimal {
			if scale, ok := Scale(t); ok {
				return AppendDecimal(dst, b.Bytes(v), scale)
			}
		}
		if embedded {
			return append(base64.StdEncoding.AppendEncode(append(dst, '"'), b.Bytes(v)), '"')
		}
		return base64.StdEncoding.AppendEncode(dst, b.Bytes(v))
	case change.Struct, change.Array, change.Map:
		return appendHeaderRun(dst, t, b, v)
	}
	return append(dst, "null"...) // inside of a container
}

func appendHeaderRun(dst []byte, t *schema.Type, b *change.Batch, v change.Value) []byte {
	open, end := byte('{'), byte('}')
	if v.Kind() == change.Array {
		open, end = '[', ']'
	}
	dst = append(dst, open)
	separator := byte(0)
	for i, e := range b.Elems(v) {
		if separator != 0 {
			dst = append(dst, separator)
		}
		separator = ','
		var below *schema.Type
		switch {
		case v.Kind() == change.Struct && t != nil:
			f := &t.Fields[i]
			dst = append(appendHeaderText(dst, []byte(f.Name)), ':')
			below = f.Type
			if e.IsNull() && below.Default != nil {
				e = b.AppendLiteral(below.Default, below)
			}
		case v.Kind() == change.Map && i%2 == 0:
			separator = ':'
			if t != nil {
				below = t.Key
			}
		case t != nil:
			below = t.Elem
		}
		dst = appendHeader(dst, below, b, e, true)
	}
	return append(dst, end)
}

// appendHeaderText appends a quoted text, in which only quotes and backslashes are escaped.
func appendHeaderText(dst, p []byte) []byte {
	dst = append(dst, '"')
	for _, c := range p {
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

const (
	millisPerDay = 24 * 60 * 60 * 1000

	headerDate = "2006-01-02"
	headerTime = "15:04:05.000Z"
)

// appendHeaderInt appends a number, or what Connect's dates and times are: the value decides on the form, not the type.
func appendHeaderInt(dst []byte, t *schema.Type, i int64) []byte {
	if t == nil {
		return strconv.AppendInt(dst, i, 10)
	}
	switch t.Name {
	case schema.ConnectDate:
		i *= millisPerDay
	case schema.ConnectTime, schema.ConnectTimestamp:
	default:
		return strconv.AppendInt(dst, i, 10)
	}
	return AppendDate(dst, i)
}

// AppendDate appends a java.util.Date, given in ms since the epoch, in the form that Connect's Values gives it: as a time
// on the first day and before, as a date where it is whole days, else as both. In UTC.
func AppendDate(dst []byte, i int64) []byte {
	at := time.UnixMilli(i).UTC()
	switch {
	case i < millisPerDay:
		return at.AppendFormat(dst, headerTime)
	case i%millisPerDay == 0:
		return at.AppendFormat(dst, headerDate)
	}
	return at.AppendFormat(dst, headerDate+"T"+headerTime)
}
