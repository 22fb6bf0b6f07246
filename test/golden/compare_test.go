// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"freshet/emitter/topic"
)

// renderEvents returns records as the lines of an events.jsonl, masked: by topic, partition and offset.
func renderEvents(records []topic.Record, names *strings.Replacer) []string {
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
	if string(text) == "null" || !json.Valid(text) {
		return `{"$text":` + asciiJSON(mask(strings.ToValidUTF8(string(text), "\ufffd"))) + `}`
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

// number finds the numbers that may be floats: those with a point or an exponent.
var number = regexp.MustCompile(`-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?`)

// sameButFloats says whether two lines differ only in how equal floats are written: a shorter exact form is fine.
func sameButFloats(got, want string) bool {
	norm := func(s string) string {
		return number.ReplaceAllStringFunc(s, func(n string) string {
			if !strings.ContainsAny(n, ".eE") {
				return n
			}
			f, err := strconv.ParseFloat(n, 64)
			if err != nil {
				return n
			}
			return strconv.FormatFloat(f, 'g', -1, 64)
		})
	}
	return norm(got) == norm(want)
}

// difference is what a comparison of lines found.
type difference struct {
	text   string   // for a person; "" is none
	floats []string // lines equal but for the form of floats
}

// compareLines compares line by line. The first few differences are shown around the place where they begin.
func compareLines(got, want []string) difference {
	var d difference
	var b strings.Builder
	shown := 0
	for i := range max(len(got), len(want)) {
		g, w := lineAt(got, i), lineAt(want, i)
		if g == w {
			continue
		}
		if g != "" && w != "" && sameButFloats(g, w) {
			d.floats = append(d.floats, g)
			continue
		}
		if shown++; shown <= 3 {
			at := commonPrefix(g, w)
			fmt.Fprintf(&b, "line %d, byte %d:\n  got  %s\n  want %s\n", i+1, at, around(g, at), around(w, at))
		}
	}
	if shown > 0 {
		d.text = fmt.Sprintf("%d lines, want %d; %d differ\n%s", len(got), len(want), shown, b.String())
	}
	return d
}

func lineAt(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// around shows a line near a byte, with the topic in front.
func around(s string, at int) string {
	if s == "" {
		return "(no line)"
	}
	head, _, _ := strings.Cut(s, ",")
	from, to := max(0, at-120), min(len(s), at+200)
	if from < len(head) {
		head = ""
	} else {
		head += " ... "
	}
	return head + s[from:to]
}

// readLines splits at newlines only: other separators occur within lines.
func readLines(text []byte) []string {
	s := strings.TrimSuffix(string(text), "\n")
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

// offsetMembers are the members that a position of PostgreSQL may have, with the types of their values. Which of them are
// there depends on what was read last: an idle server's position has the fewest.
var offsetMembers = map[string]string{
	"lsn": "number", "lsn_proc": "number", "lsn_commit": "number", "txId": "number", "ts_usec": "number",
	"messageType": "string", "snapshot": "string", "snapshot_completed": "bool", "last_snapshot_record": "bool",
	"incremental_snapshot_primary_key": "string", "incremental_snapshot_maximum_key": "string", "incremental_snapshot_collections": "string",
	"incremental_snapshot_correlation_id": "string", "freshet_snapshots": "object",
	"transaction_id": "string", "lsn_message": "number", "system_id": "number", "timeline": "number",
}

// offsetsFile is what GET /connectors/{name}/offsets answers.
type offsetsFile struct {
	Offsets []struct {
		Partition map[string]string `json:"partition"`
		Offset    map[string]any    `json:"offset"`
	} `json:"offsets"`
}

func parseOffsets(text []byte) (offsetsFile, error) {
	var f offsetsFile
	err := json.Unmarshal(text, &f)
	return f, err
}

// typeName is the JSON type of a decoded value.
func typeName(v any) string {
	switch v.(type) {
	case float64:
		return "number"
	case string:
		return "string"
	case bool:
		return "bool"
	default:
		return fmt.Sprintf("%T", v)
	}
}
