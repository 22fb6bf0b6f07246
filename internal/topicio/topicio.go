// SPDX-License-Identifier: Apache-2.0

// Package topicio shows records of topics as lines of JSON and makes records of such lines: what `freshet topics` prints
// and reads, from a log in this process or through a worker's REST API.
//
// A line is {"topic","partition","offset","timestamp","key","value","headers":[[name,text],…]}. Keys and values that are
// JSON stand in it exactly as they are, member order and number forms included; a text that is not JSON is
// {"$text":"…"}, and bytes that are no text {"$base64":"…"}. What AppendLine writes ParseLine reads back, except that a
// null and the JSON text null look the same.
package topicio

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"freshet/emitter/topic"
)

// AppendLine appends the line of a record, with its line feed.
func AppendLine(dst []byte, r *topic.Record) []byte {
	dst = append(dst, `{"topic":`...)
	dst = appendText(dst, []byte(r.Topic))
	dst = append(dst, `,"partition":`...)
	dst = strconv.AppendInt(dst, int64(r.Partition), 10)
	dst = append(dst, `,"offset":`...)
	dst = strconv.AppendInt(dst, r.Offset, 10)
	dst = append(dst, `,"timestamp":`...)
	dst = strconv.AppendInt(dst, r.TimeMillis, 10)
	dst = append(dst, `,"key":`...)
	dst = appendData(dst, r.Key)
	dst = append(dst, `,"value":`...)
	dst = appendData(dst, r.Value)
	dst = append(dst, `,"headers":[`...)
	for i, h := range r.Headers {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '[')
		dst = appendText(dst, []byte(h.Key))
		dst = append(dst, ',')
		dst = appendHeader(dst, h.Value)
		dst = append(dst, ']')
	}
	return append(dst, "]}\n"...)
}

// appendData appends a key or value: in place where it is JSON, else wrapped.
func appendData(dst []byte, d topic.Data) []byte {
	if d.IsNull() {
		return append(dst, "null"...)
	}
	mark := len(dst)
	dst = d.AppendTo(dst)
	data := dst[mark:]
	if json.Valid(data) && utf8.Valid(data) && !isWrapped(data) {
		// Outside strings a line break is blank space; inside it cannot stand. So one line stays one line.
		for i, c := range data {
			if c == '\n' || c == '\r' {
				data[i] = ' '
			}
		}
		return dst
	}
	data = bytes.Clone(data)
	if utf8.Valid(data) {
		return append(appendText(append(dst[:mark], `{"$text":`...), data), '}')
	}
	dst = append(dst[:mark], `{"$base64":"`...)
	return append(base64.StdEncoding.AppendEncode(dst, data), `"}`...)
}

// isWrapped says whether JSON data looks like the wrapper itself; then it is wrapped once more.
func isWrapped(data []byte) bool {
	if !bytes.Contains(data, []byte(`"$text"`)) && !bytes.Contains(data, []byte(`"$base64"`)) {
		return false
	}
	_, _, wrapped, _ := unwrap(data)
	return wrapped
}

// appendHeader appends the value of a header: null, its text, or its bytes where they are no text.
func appendHeader(dst, value []byte) []byte {
	switch {
	case value == nil:
		return append(dst, "null"...)
	case utf8.Valid(value):
		return appendText(dst, value)
	}
	dst = append(dst, `{"$base64":"`...)
	return append(base64.StdEncoding.AppendEncode(dst, value), `"}`...)
}

const hexDigits = "0123456789abcdef"

// appendText appends a JSON string in which every character stands for itself unless JSON forbids it.
func appendText(dst, text []byte) []byte {
	dst = append(dst, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

// line is a line as it is read. Offset is accepted and has no meaning: the log gives it.
type line struct {
	Topic     *string             `json:"topic"`
	Partition *int32              `json:"partition"`
	Offset    *int64              `json:"offset"`
	Timestamp *int64              `json:"timestamp"`
	Key       json.RawMessage     `json:"key"`
	Value     json.RawMessage     `json:"value"`
	Headers   [][]json.RawMessage `json:"headers"`
}

// ParseLine makes a record of a line. Every member may be missing; unknown ones are refused. The record has no topic, and
// the partition of the line or topic.AnyPartition.
func ParseLine(text []byte) (topic.Record, error) {
	var l line
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return topic.Record{}, fmt.Errorf("not a record: %w", err)
	}
	if d.More() {
		return topic.Record{}, errors.New("not a record: more text after the object")
	}
	r := topic.Record{Partition: topic.AnyPartition}
	if l.Partition != nil {
		if r.Partition = *l.Partition; r.Partition < 0 {
			return topic.Record{}, fmt.Errorf("partition %d is negative", r.Partition)
		}
	}
	if l.Timestamp != nil {
		r.TimeMillis = *l.Timestamp
	}
	var err error
	if r.Key, err = parseData(l.Key); err != nil {
		return topic.Record{}, fmt.Errorf("key: %w", err)
	}
	if r.Value, err = parseData(l.Value); err != nil {
		return topic.Record{}, fmt.Errorf("value: %w", err)
	}
	for _, pair := range l.Headers {
		h, err := parseHeader(pair)
		if err != nil {
			return topic.Record{}, fmt.Errorf("headers: %w", err)
		}
		r.Headers = append(r.Headers, h)
	}
	return r, nil
}

func parseData(text json.RawMessage) (topic.Data, error) {
	if len(text) == 0 || string(text) == "null" {
		return topic.Data{}, nil
	}
	body, isNull, wrapped, err := unwrap(text)
	switch {
	case err != nil || isNull:
		return topic.Data{}, err
	case wrapped:
		return topic.Data{Body: body}, nil
	}
	return topic.Data{Body: bytes.Clone(text)}, nil
}

// unwrap returns the bytes inside {"$text":…} or {"$base64":…}; wrapped says whether text is one of them.
func unwrap(text []byte) (body []byte, isNull, wrapped bool, err error) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 || text[0] != '{' || !bytes.Contains(text, []byte(`"$`)) {
		return nil, false, false, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil || len(members) != 1 {
		return nil, false, false, nil //nolint:nilerr // whatever it is, it is no wrapper
	}
	if raw, ok := members["$text"]; ok {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return nil, false, true, fmt.Errorf("$text is not a text: %w", err)
		}
		return []byte(s), false, true, nil
	}
	if raw, ok := members["$base64"]; ok {
		body = []byte{}
		if err := json.Unmarshal(raw, &body); err != nil {
			return nil, false, true, fmt.Errorf("$base64 is not base64: %w", err)
		}
		return body, body == nil, true, nil
	}
	return nil, false, false, nil
}

func parseHeader(pair []json.RawMessage) (topic.Header, error) {
	var h topic.Header
	if len(pair) != 2 {
		return h, errors.New("a header is [name,text]")
	}
	if err := json.Unmarshal(pair[0], &h.Key); err != nil {
		return h, fmt.Errorf("name: %w", err)
	}
	if string(pair[1]) == "null" {
		return h, nil
	}
	body, _, wrapped, err := unwrap(pair[1])
	if err != nil {
		return h, fmt.Errorf("value of %q: %w", h.Key, err)
	}
	if wrapped {
		h.Value = body
		return h, nil
	}
	var s string
	if err := json.Unmarshal(pair[1], &s); err != nil {
		return h, fmt.Errorf("value of %q is not a text: %w", h.Key, err)
	}
	h.Value = []byte(s)
	return h, nil
}
