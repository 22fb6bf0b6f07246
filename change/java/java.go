// SPDX-License-Identifier: Apache-2.0

// Package java tells values as Java's toString does, which converters and sinks of Kafka Connect write: floats, decimals,
// Structs, lists and maps; as Connect's Values does, which headers are written with and guessed from; and the classes that
// Connect's messages name.
package java

import (
	"strconv"
	"time"

	"freshet/change"
	"freshet/schema"
)

// AppendText appends the text of a value, "null" for null. t nil is a value without a schema. Dates are told in UTC.
func AppendText(dst []byte, t *schema.Type, b *change.Batch, v change.Value) []byte {
	switch v.Kind() {
	case change.Bool:
		return strconv.AppendBool(dst, v.Bool())
	case change.Int:
		return appendInt(dst, t, v.Int())
	case change.Float:
		size := 64
		if t != nil && t.Kind == schema.Float32 {
			size = 32
		}
		return AppendFloat(dst, v.Float(), size)
	case change.Date:
		return time.UnixMilli(v.Int()).UTC().AppendFormat(dst, dateLayout)
	case change.Text:
		return append(dst, b.Bytes(v)...)
	case change.Bytes:
		return appendBytes(dst, t, b.Bytes(v))
	case change.Struct:
		return appendStruct(dst, t, b, v)
	case change.Array:
		dst = append(dst, '[')
		for i, e := range b.Elems(v) {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = AppendText(dst, elemOf(t), b, e)
		}
		return append(dst, ']')
	case change.Map:
		return appendMap(dst, t, b, v)
	}
	return append(dst, "null"...)
}

// appendStruct appends Struct{a=1,b=x}, without the fields that are null.
func appendStruct(dst []byte, t *schema.Type, b *change.Batch, v change.Value) []byte {
	dst = append(dst, "Struct{"...)
	first := true
	for i, e := range b.Elems(v) {
		if e.IsNull() || t == nil {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(append(dst, t.Fields[i].Name...), '=')
		dst = AppendText(dst, t.Fields[i].Type, b, e)
	}
	return append(dst, '}')
}

func appendMap(dst []byte, t *schema.Type, b *change.Batch, v change.Value) []byte {
	dst = append(dst, '{')
	elems := b.Elems(v)
	for i := 0; i+1 < len(elems); i += 2 {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		var key *schema.Type
		if t != nil {
			key = t.Key
		}
		dst = append(AppendText(dst, key, b, elems[i]), '=')
		dst = AppendText(dst, elemOf(t), b, elems[i+1])
	}
	return append(dst, '}')
}

func elemOf(t *schema.Type) *schema.Type {
	if t == nil {
		return nil
	}
	return t.Elem
}

// appendBytes appends a decimal, or what Java says of a ByteBuffer: its size alone.
func appendBytes(dst []byte, t *schema.Type, p []byte) []byte {
	if t != nil && t.Name == schema.Decimal {
		if scale, ok := Scale(t); ok {
			return AppendDecimal(dst, p, scale)
		}
	}
	dst = append(dst, "java.nio.HeapByteBuffer[pos=0 lim="...)
	dst = strconv.AppendInt(dst, int64(len(p)), 10)
	dst = append(dst, " cap="...)
	return append(strconv.AppendInt(dst, int64(len(p)), 10), ']')
}

func appendInt(dst []byte, t *schema.Type, i int64) []byte {
	if t != nil {
		switch t.Name {
		case schema.ConnectDate:
			return time.Unix(i*24*60*60, 0).UTC().AppendFormat(dst, dateLayout)
		case schema.ConnectTime, schema.ConnectTimestamp:
			return time.UnixMilli(i).UTC().AppendFormat(dst, dateLayout)
		}
	}
	return strconv.AppendInt(dst, i, 10)
}

// dateLayout is java.util.Date's.
const dateLayout = "Mon Jan 02 15:04:05 UTC 2006"

// Scale is the scale of a Decimal; false where its type has none of a sensible size.
func Scale(t *schema.Type) (int, bool) {
	text, _ := t.Param("scale")
	scale, err := strconv.Atoi(text)
	return scale, err == nil && scale <= MaxExponent && scale >= -MaxExponent
}

// Class is the Java class of a value, as messages name it. Values without a schema are of the widest class.
func Class(t *schema.Type, v change.Value) string {
	switch v.Kind() {
	case change.Bool:
		return "java.lang.Boolean"
	case change.Int:
		return intClass(t)
	case change.Float:
		if t != nil && t.Kind == schema.Float32 {
			return "java.lang.Float"
		}
		return "java.lang.Double"
	case change.Date:
		return "java.util.Date"
	case change.Text:
		return "java.lang.String"
	case change.Bytes:
		if t == nil {
			return "[B"
		}
		if t.Name == schema.Decimal {
			return "java.math.BigDecimal"
		}
		return "java.nio.HeapByteBuffer"
	case change.Struct:
		return "org.apache.kafka.connect.data.Struct"
	case change.Array:
		return "java.util.ArrayList"
	}
	return "java.util.HashMap"
}

func intClass(t *schema.Type) string {
	if t == nil {
		return "java.lang.Long"
	}
	switch t.Name {
	case schema.ConnectDate, schema.ConnectTime, schema.ConnectTimestamp:
		return "java.util.Date"
	}
	switch t.Kind {
	case schema.Int8:
		return "java.lang.Byte"
	case schema.Int16:
		return "java.lang.Short"
	case schema.Int32:
		return "java.lang.Integer"
	}
	return "java.lang.Long"
}
