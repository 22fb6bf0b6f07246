// SPDX-License-Identifier: Apache-2.0

package java

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"freshet/change"
	"freshet/schema"
)

// The types that header texts are found to have.
var (
	headerBool    = &schema.Type{Kind: schema.Boolean}
	headerInt8    = &schema.Type{Kind: schema.Int8}
	headerInt16   = &schema.Type{Kind: schema.Int16}
	headerInt32   = &schema.Type{Kind: schema.Int32}
	headerInt64   = &schema.Type{Kind: schema.Int64}
	headerFloat   = &schema.Type{Kind: schema.Float32}
	headerDouble  = &schema.Type{Kind: schema.Float64}
	headerString  = &schema.Type{Kind: schema.String}
	headerBytes   = &schema.Type{Kind: schema.Bytes}
	headerDay     = &schema.Type{Kind: schema.Int32, Name: schema.ConnectDate, Version: 1}
	headerClock   = &schema.Type{Kind: schema.Int32, Name: schema.ConnectTime, Version: 1}
	headerInstant = &schema.Type{Kind: schema.Int64, Name: schema.ConnectTimestamp, Version: 1}
)

// ParseHeader reads the value of a record header as SimpleHeaderConverter does: it guesses the type from the text, so
// that 5 is an INT8 and "a" a STRING. Values go to b. A nil value, and the text null, is null without a type. A text
// that is not UTF-8 is BYTES. Arrays and maps whose items have no type in common have a nil Elem (and Key).
func ParseHeader(value []byte, b *change.Batch) (*schema.Type, change.Value) {
	switch {
	case value == nil:
		return nil, change.Value{}
	case !utf8.Valid(value):
		return headerBytes, b.BytesOf(value)
	}
	text := string(value)
	switch strings.TrimSpace(text) {
	case "null":
		return nil, change.Value{}
	case "true":
		return headerBool, change.BoolValue(true)
	case "false":
		return headerBool, change.BoolValue(false)
	}
	p := headerParser{b: b, text: text}
	if t, v, ok := p.value(false); ok {
		return t, v
	}
	return headerString, b.Text(text)
}

// headerParser splits a text at the characters , : [ ] { } " that no backslash stands before. Each of them is a token,
// and so is what lies between two.
type headerParser struct {
	b    *change.Batch
	text string
	at   int
}

const headerDelimiters = `,:[]{}"`

// token is the next token, "" at the end.
func (p *headerParser) token() string {
	begin := p.at
	escaped := false
	for ; p.at < len(p.text); p.at++ {
		c := p.text[p.at]
		if strings.IndexByte(headerDelimiters, c) >= 0 && !escaped {
			if p.at == begin {
				p.at++
			}
			break
		}
		escaped = c == '\\' && !escaped
	}
	return p.text[begin:p.at]
}

// accept skips a token and the blanks around it, if it comes next.
func (p *headerParser) accept(token string) bool {
	begin := p.at
	for {
		t := p.token()
		if strings.TrimSpace(t) == token {
			return true
		}
		if t == "" || strings.TrimSpace(t) != "" {
			p.at = begin
			return false
		}
	}
}

// value reads one value. ok is false where there is none; an embedded null has no type.
func (p *headerParser) value(embedded bool) (*schema.Type, change.Value, bool) {
	switch {
	case embedded && p.accept(`"`):
		return p.quoted()
	case embedded && p.accept("null"):
		return nil, change.Value{}, true
	case embedded && p.accept("true"):
		return headerBool, change.BoolValue(true), true
	case embedded && p.accept("false"):
		return headerBool, change.BoolValue(false), true
	case p.accept("["):
		return p.array()
	case p.accept("{"):
		return p.mapping()
	}
	token := p.token()
	trimmed := strings.TrimSpace(token)
	if trimmed == "" {
		return nil, change.Value{}, false
	}
	if isDigit(trimmed[0]) {
		rest := *p // a time has two colons in it
		if t, v, ok := headerTemporal(trimmed + rest.token() + rest.token() + rest.token() + rest.token()); ok {
			p.at = rest.at
			return t, v, true
		}
		if t, v, ok := headerTemporal(trimmed); ok {
			return t, v, true
		}
	}
	return p.number(trimmed)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// quoted reads the rest of a quoted text. Its backslashes stay.
func (p *headerParser) quoted() (*schema.Type, change.Value, bool) {
	begin := p.at
	for {
		switch p.token() {
		case "":
			return nil, change.Value{}, false
		case `"`:
			text := p.text[begin : p.at-1]
			if t, v, ok := headerTemporal(text); ok {
				return t, v, true
			}
			return headerString, p.b.Text(text), true
		}
	}
}

// headerItems are the items of an array, or one side of a map's entries.
type headerItems struct {
	types  []*schema.Type
	values []change.Value
}

func (h *headerItems) add(t *schema.Type, v change.Value) {
	h.types, h.values = append(h.types, t), append(h.values, v)
}

// common is the type that all items can have: nil where there is none. ok is false where a null is among items that
// have one, which Kafka does not take for an array at all.
func (h *headerItems) common() (t *schema.Type, ok bool) {
	nulls := false
	for i, item := range h.types {
		switch {
		case item == nil:
			nulls = true
		case t == nil && (i == 0 || nulls):
			t = item
		default:
			if t = widest(t, item); t == nil {
				return nil, true
			}
		}
	}
	return t, t == nil || !nulls
}

// widest is the narrower of two types that holds the values of both; nil where they have nothing in common.
func widest(x, y *schema.Type) *schema.Type {
	switch {
	case sameType(x, y):
		return x
	case x.Name != "" || y.Name != "" || x.Kind > schema.Float64 || y.Kind > schema.Float64:
		return nil
	case x.Kind < y.Kind:
		return y
	}
	return x
}

// sameType says whether two of the types that texts are found to have are equal.
func sameType(x, y *schema.Type) bool {
	if x == nil || y == nil {
		return x == y
	}
	return x.Kind == y.Kind && x.Name == y.Name && slices.Equal(x.Params, y.Params) && sameType(x.Key, y.Key) && sameType(x.Elem, y.Elem)
}

// align gives whole numbers among floats their form.
func (h *headerItems) align(t *schema.Type) {
	if t == nil || t.Kind != schema.Float32 && t.Kind != schema.Float64 {
		return
	}
	for i, v := range h.values {
		if v.Kind() == change.Int {
			h.values[i] = change.FloatValue(float64(v.Int()))
		}
	}
}

func (p *headerParser) array() (*schema.Type, change.Value, bool) {
	var items headerItems
	for !p.accept("]") {
		if len(items.types) > 0 && !p.accept(",") {
			return nil, change.Value{}, false
		}
		t, v, ok := p.value(true)
		if !ok {
			return nil, change.Value{}, false
		}
		items.add(t, v)
	}
	t, ok := items.common()
	items.align(t)
	row := p.b.NewRow(len(items.values))
	copy(p.b.Values(row), items.values)
	return &schema.Type{Kind: schema.Array, Elem: t}, p.b.Run(change.Array, row), ok
}

func (p *headerParser) mapping() (*schema.Type, change.Value, bool) {
	var keys, values headerItems
	for !p.accept("}") {
		if len(keys.types) > 0 && !p.accept(",") {
			return nil, change.Value{}, false
		}
		t, v, ok := p.value(true)
		if !ok || t == nil || !p.accept(":") {
			return nil, change.Value{}, false
		}
		keys.add(t, v)
		if t, v, ok = p.value(true); !ok {
			return nil, change.Value{}, false
		}
		values.add(t, v)
	}
	keyType, _ := keys.common()
	valueType, ok := values.common()
	keys.align(keyType)
	values.align(valueType)
	row := p.b.NewRow(2 * len(keys.values))
	for i := range keys.values {
		p.b.Set(row, 2*i, keys.values[i])
		p.b.Set(row, 2*i+1, values.values[i])
	}
	return &schema.Type{Kind: schema.Map, Key: keyType, Elem: valueType}, p.b.Run(change.Map, row), ok
}

// number reads a number: whole ones (1.0 and 1e3 among them) as the narrowest integer, others as the narrowest float,
// and whole ones beyond 64 bits that are written without an exponent as Decimal.
func (p *headerParser) number(text string) (*schema.Type, change.Value, bool) {
	if !IsNumber(text) {
		return nil, change.Value{}, false
	}
	d, _ := ParseNumber(nil, []byte(text))
	if len(d.Digits)+d.Exponent > 19 && d.Exponent != 0 {
		return p.float(text, d)
	}
	if unscaled, ok := d.AppendUnscaled(nil, 0); ok {
		if i := BigFromTwos(unscaled); i.IsInt64() {
			return integerType(i.Int64()), change.IntValue(i.Int64()), true
		}
		if d.Exponent == 0 {
			return p.decimal(unscaled, 0)
		}
	}
	return p.float(text, d)
}

// float reads a number as the narrowest float that does not overflow, else as Decimal.
func (p *headerParser) float(text string, d Number) (*schema.Type, change.Value, bool) {
	f, err := strconv.ParseFloat(text, 32)
	if err == nil {
		return headerFloat, change.FloatValue(f), true
	}
	if f, err = strconv.ParseFloat(text, 64); err == nil {
		return headerDouble, change.FloatValue(f), true
	}
	scale := -d.Exponent
	d.Exponent = 0
	unscaled, ok := d.AppendUnscaled(nil, 0)
	if !ok {
		return nil, change.Value{}, false
	}
	return p.decimal(unscaled, scale)
}

func (p *headerParser) decimal(unscaled []byte, scale int) (*schema.Type, change.Value, bool) {
	t := &schema.Type{
		Kind: schema.Bytes, Name: schema.Decimal, Version: 1,
		Params: []schema.Param{{Name: "scale", Value: strconv.Itoa(scale)}},
	}
	return t, p.b.BytesOf(unscaled), true
}

func integerType(i int64) *schema.Type {
	switch {
	case i == int64(int8(i)):
		return headerInt8
	case i == int64(int16(i)):
		return headerInt16
	case i == int64(int32(i)):
		return headerInt32
	}
	return headerInt64
}

// IsNumber says whether BigDecimal would take the text.
func IsNumber(text string) bool {
	digits, point, exponent := false, false, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case isDigit(c):
			digits = true
		case c == '+' || c == '-':
			if i > 0 && text[i-1]|0x20 != 'e' {
				return false
			}
		case c == '.' && !point && !exponent && i > 0:
			point = true
		case c|0x20 == 'e' && digits && !exponent:
			exponent, digits = true, false
		default:
			return false
		}
	}
	return digits
}

// headerTemporal reads yyyy-MM-dd, HH:mm:ss.SSS'Z' and both joined by T, by their lengths, in UTC. As in Java, months
// and days beyond their range carry over.
func headerTemporal(text string) (*schema.Type, change.Value, bool) {
	switch len(text) {
	case 10:
		if ms, ok := headerMillis(text, headerDate); ok {
			return headerDay, change.IntValue(ms / millisPerDay), true
		}
	case 13:
		if ms, ok := headerMillis(text, headerTime); ok {
			return headerClock, change.IntValue(ms), true
		}
	case 24:
		if ms, ok := headerMillis(text, headerDate+"T"+headerTime); ok {
			return headerInstant, change.IntValue(ms), true
		}
	}
	return nil, change.Value{}, false
}

// headerMillis reads a text of the form of layout, digit for digit.
func headerMillis(text, layout string) (int64, bool) {
	var parts [7]int // year, month, day, hour, minute, second, ms
	part := 0
	if layout == headerTime {
		parts[0], parts[1], parts[2] = 1970, 1, 1
		part = 3
	}
	for i := range len(layout) {
		switch {
		case isDigit(layout[i]) != isDigit(text[i]):
			return 0, false
		case isDigit(text[i]):
			parts[part] = parts[part]*10 + int(text[i]-'0')
		case layout[i] != text[i]:
			return 0, false
		default:
			part++
		}
	}
	at := time.Date(parts[0], time.Month(parts[1]), parts[2], parts[3], parts[4], parts[5], parts[6]*1e6, time.UTC)
	return at.UnixMilli(), true
}
