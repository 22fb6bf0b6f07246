// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks/jdbc/dialect"
	"freshet/sinks/jdbc/render"
)

// Storage classes: the first byte of what an Encode appends, before the 8 little-endian bytes of a number, or the bytes
// of a text or blob.
const (
	asInteger = 'i'
	asReal    = 'r'
	asText    = 't'
	asBlob    = 'b'
)

const (
	// exactInteger is the largest whole number below which a float holds every one.
	exactInteger = 1 << 53
	// floatDigits is how many decimal digits a float always keeps.
	floatDigits = 15
	// longestBits is the greatest length of a bit string; a greater one means that it varies.
	longestBits = 83_886_080
)

// appender appends the text of a value.
type appender func(dst []byte, b *change.Batch, v change.Value) ([]byte, error)

// Encoder chooses the storage class that keeps the values of t in a column of c's affinity.
func (d Dialect) Encoder(t *schema.Type, c *dialect.Column) (dialect.Encode, error) {
	switch t.Name {
	case schema.Decimal:
		return decimalEncoder(c, decimalText(t)), nil
	case schema.VariableScaleDecimal:
		text, err := variableDecimalText(t, c)
		return decimalEncoder(c, text), err
	case schema.Bits:
		return textEncoder(c, bitsText(t))
	}
	if text := d.temporalText(t); text != nil {
		return textEncoder(c, text)
	}
	switch t.Kind {
	case schema.Boolean:
		return boolEncoder(c), nil
	case schema.Int8, schema.Int16, schema.Int32, schema.Int64:
		return integerEncoder(c), nil
	case schema.Float32:
		return floatEncoder(c, 32), nil
	case schema.Float64:
		return floatEncoder(c, 64), nil
	case schema.String:
		return textEncoder(c, plainText)
	case schema.Bytes:
		return appendBlob, nil
	case schema.Array, schema.Map, schema.Struct:
		return textEncoder(c, func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) { return render.JSON(dst, b, t, v) })
	}
	return nil, fmt.Errorf("column %q: no form for schema type %s", c.Name, t.Kind)
}

func appendInteger(dst []byte, n int64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, asInteger), uint64(n))
}

func appendReal(dst []byte, f float64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, asReal), math.Float64bits(f))
}

// appendBlob: SQLite never changes a blob, whatever the column's affinity.
func appendBlob(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	return append(append(dst, asBlob), b.Bytes(v)...), nil
}

func plainText(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	return append(dst, b.Bytes(v)...), nil
}

// boolEncoder writes 1 and 0, and true and false into a column of texts.
func boolEncoder(c *dialect.Column) dialect.Encode {
	return func(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
		if c.Class == textAffinity {
			return strconv.AppendBool(append(dst, asText), v.Bool()), nil
		}
		if v.Bool() {
			return appendInteger(dst, 1), nil
		}
		return appendInteger(dst, 0), nil
	}
}

func integerEncoder(c *dialect.Column) dialect.Encode {
	return func(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
		n := v.Int()
		switch {
		case c.Class == textAffinity:
			return strconv.AppendInt(append(dst, asText), n, 10), nil
		case c.Class == realAffinity && (n > exactInteger || n < -exactInteger):
			return nil, changes(strconv.FormatInt(n, 10), c)
		}
		return appendInteger(dst, n), nil
	}
}

// floatEncoder refuses NaN where it would become NULL.
func floatEncoder(c *dialect.Column, bits int) dialect.Encode {
	return func(dst []byte, _ *change.Batch, v change.Value) ([]byte, error) {
		f := v.Float()
		switch {
		case c.Class == textAffinity, math.IsNaN(f) && c.Class == noAffinity:
			return render.Float(append(dst, asText), f, bits), nil
		case math.IsNaN(f):
			return nil, fmt.Errorf("column %q of type %s cannot hold NaN: SQLite would make NULL of it; a column of type TEXT keeps it", c.Name, c.Type)
		}
		return appendReal(dst, f), nil
	}
}

// textEncoder refuses columns that are for numbers. A NUMERIC column (which DATE, JSON, UUID and many others are to SQLite)
// takes texts that are no numbers, and those that read back the same.
func textEncoder(c *dialect.Column, text appender) (dialect.Encode, error) {
	switch c.Class {
	case integerAffinity, realAffinity:
		return nil, fmt.Errorf("column %q is of type %s, which makes numbers of texts", c.Name, c.Type)
	case numericAffinity:
		return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
			dst = append(dst, asText)
			mark := len(dst)
			dst, err := text(dst, b, v)
			if err != nil {
				return nil, err
			}
			if p := dst[mark:]; looksNumeric(p) && !isInteger(p) {
				return nil, changes(strconv.Quote(shortened(p)), c)
			}
			return dst, nil
		}, nil
	}
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		return text(append(dst, asText), b, v)
	}, nil
}

func changes(value string, c *dialect.Column) error {
	return fmt.Errorf("value %s would change in column %q of type %s; a column of type TEXT keeps it", value, c.Name, c.Type)
}

func shortened(p []byte) string {
	const most = 40
	if len(p) > most {
		return string(p[:most]) + "..."
	}
	return string(p)
}

// isInteger says whether a text is a whole number of 64 bits as SQLite prints it.
func isInteger(p []byte) bool {
	n, err := strconv.ParseInt(string(p), 10, 64)
	return err == nil && strconv.FormatInt(n, 10) == string(p)
}

// looksNumeric says whether SQLite may make a number of a text in a NUMERIC column: digits with sign, point and exponent,
// between blanks, up to a NUL.
func looksNumeric(p []byte) bool {
	s, _, _ := strings.Cut(string(p), "\x00")
	s = strings.Trim(s, " \t\n\v\f\r")
	s = strings.TrimLeft(s, "+-")
	digits := func() (any bool) {
		rest := strings.TrimLeft(s, "0123456789")
		any = len(rest) < len(s)
		s = rest
		return any
	}
	whole := digits()
	fraction := false
	if strings.HasPrefix(s, ".") {
		s = s[1:]
		fraction = digits()
	}
	if !whole && !fraction {
		return false
	}
	if strings.HasPrefix(s, "e") || strings.HasPrefix(s, "E") {
		s = strings.TrimLeft(s[1:], "+-")
		digits()
	}
	return s == ""
}

func decimalText(t *schema.Type) appender {
	scale := render.IntParam(t, "scale")
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		dst, _ = render.Decimal(dst, b.Bytes(v), scale, render.Unlimited)
		return dst, nil
	}
}

func variableDecimalText(t *schema.Type, c *dialect.Column) (appender, error) {
	scale, value := t.FieldIndex("scale"), t.FieldIndex("value")
	if scale < 0 || value < 0 {
		return nil, fmt.Errorf("column %q: schema %s has no fields scale and value", c.Name, t.Name)
	}
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		row := b.RowOf(v)
		dst, _ = render.Decimal(dst, b.Bytes(b.At(row, value)), int(b.At(row, scale).Int()), render.Unlimited)
		return dst, nil
	}, nil
}

// decimalEncoder writes texts with all digits. A column of numbers takes the values that it gives back as they were, but
// for zeros at their ends.
func decimalEncoder(c *dialect.Column, text appender) dialect.Encode {
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		mark := len(dst)
		dst, err := text(append(dst, asText), b, v)
		if err != nil || c.Class == textAffinity || c.Class == noAffinity {
			return dst, err
		}
		s := string(dst[mark+1:])
		if n, ok := wholeNumber(s); ok && (c.Class != realAffinity || n <= exactInteger && n >= -exactInteger) {
			return appendInteger(dst[:mark], n), nil
		}
		f, ok := float(s)
		if !ok || c.Class == integerAffinity {
			return nil, changes(s, c)
		}
		return appendReal(dst[:mark], f), nil
	}
}

// wholeNumber is the value of a decimal without decimals other than zeros.
func wholeNumber(s string) (int64, bool) {
	if strings.Contains(s, ".") {
		s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// float is the nearest float of a decimal that has no more digits than a float keeps.
func float(s string) (float64, bool) {
	digits := strings.ReplaceAll(strings.TrimLeft(s, "-"), ".", "")
	digits = strings.Trim(digits, "0")
	f, err := strconv.ParseFloat(s, 64)
	const smallest = 1e-307 // below are floats with fewer digits
	return f, err == nil && len(digits) <= floatDigits && (f == 0 || math.Abs(f) >= smallest)
}

// bitsText writes little-endian bytes as binary digits, the most significant first. A source does not tell how long a
// varying bit string is, so that one gets its digits without leading zeros.
func bitsText(t *schema.Type) appender {
	length := render.IntParam(t, "length")
	propagated, _ := t.Param(sourceType)
	varying := length <= 0 || length > longestBits || strings.EqualFold(propagated, "VARBIT")
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		p := b.Bytes(v)
		n := 8 * len(p)
		for n > 1 && (varying || n > length) && p[(n-1)/8]>>((n-1)%8)&1 == 0 {
			n--
		}
		for pad := length - n; pad > 0 && !varying; pad-- {
			dst = append(dst, '0')
		}
		for i := n - 1; i >= 0; i-- {
			dst = append(dst, '0'+p[i/8]>>(i%8)&1)
		}
		return dst, nil
	}
}
