// SPDX-License-Identifier: Apache-2.0

// Package recorded is what the recorder of testdata/golden makes of records: lines of text without what is volatile, and
// how two lists of them are compared. Tests share it that put the same case through several systems.
package recorded

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"freshet/emitter/topic"
)

// Render returns records as the lines of an events.jsonl, masked: by topic, partition and offset. names replaces what is
// the run's own.
func Render(records []topic.Record, names *strings.Replacer) []string {
	slices.SortStableFunc(records, func(a, b topic.Record) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	lines := make([]string, 0, len(records))
	for _, r := range records {
		var b strings.Builder
		fmt.Fprintf(&b, `{"topic":%s,"key":%s,"value":%s`, asciiJSON(r.Topic), embed(r.Key), embed(r.Value))
		if r.Partition > 0 {
			fmt.Fprintf(&b, `,"partition":%d`, r.Partition)
		}
		if len(r.Headers) > 0 {
			b.WriteString(`,"headers":[`)
			for i, h := range r.Headers {
				if i > 0 {
					b.WriteString(", ")
				}
				value := "null"
				if h.Value != nil {
					value = asciiJSON(maskHeader(h.Key, string(h.Value)))
				}
				fmt.Fprintf(&b, "[%s, %s]", asciiJSON(h.Key), value)
			}
			b.WriteString("]")
		}
		b.WriteString("}")
		lines = append(lines, names.Replace(b.String()))
	}
	return lines
}

// embed puts a key or value into a line as the JSON text it is.
func embed(d topic.Data) string {
	if d.IsNull() {
		return "null"
	}
	text := d.Bytes()
	if string(text) == "null" {
		return `{"$text":"null"}`
	}
	if !json.Valid(text) {
		return `{"$text": ` + asciiJSON(mask(strings.ToValidUTF8(string(text), "\ufffd"))) + `}`
	}
	return mask(string(text))
}

// asciiJSON is the JSON text of a string with nothing but ASCII, as the recorder writes what it quotes itself.
func asciiJSON(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	var out strings.Builder
	for _, r := range strings.TrimSuffix(b.String(), "\n") {
		switch {
		case r < utf8.RuneSelf:
			out.WriteRune(r)
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, hi, lo)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String()
}

// Split splits at newlines only: other separators occur within lines.
func Split(text []byte) []string {
	s := strings.TrimSuffix(string(text), "\n")
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}
