// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"freshet/connect/rest"
)

// openapi is the description of the REST API.
func openapi() []byte {
	var b bytes.Buffer
	b.WriteString("# Written by make docs from the routes in the code; changes here are overwritten.\n")
	var document any
	text, err := json.Marshal(rest.OpenAPI())
	if err == nil {
		err = json.Unmarshal(text, &document)
	}
	if err != nil {
		panic(err) // the document is made of maps, lists and texts
	}
	writeYAML(&b, document, "")
	return b.Bytes()
}

// bare is a text that YAML takes for a text without quotes.
var bare = regexp.MustCompile(`^[A-Za-z_/][A-Za-z0-9_/{}-]*$`)

// writeYAML writes a JSON value as YAML, members by name.
func writeYAML(b *bytes.Buffer, value any, indent string) {
	switch v := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			b.WriteString(indent + scalar(name) + ":")
			writeNested(b, v[name], indent)
		}
	case []any:
		for _, item := range v {
			b.WriteString(indent + "-")
			writeNested(b, item, indent)
		}
	}
}

// writeNested writes what follows a colon or a dash.
func writeNested(b *bytes.Buffer, value any, indent string) {
	switch v := value.(type) {
	case map[string]any:
		if len(v) == 0 {
			b.WriteString(" {}\n")
			return
		}
	case []any:
		if len(v) == 0 {
			b.WriteString(" []\n")
			return
		}
	default:
		b.WriteString(" " + scalar(v) + "\n")
		return
	}
	b.WriteByte('\n')
	writeYAML(b, value, indent+"  ")
}

// scalar is a text, number or flag. Quoted texts of JSON are texts of YAML.
func scalar(value any) string {
	if s, ok := value.(string); ok && bare.MatchString(s) && !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}, strings.ToLower(s)) {
		return s
	}
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // a text, number or flag
	}
	return string(text)
}
