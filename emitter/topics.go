// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"strings"
	"unicode/utf16"

	"freshet/schema"
)

// TopicNames names topics and schemas as Debezium's SchemaTopicNamingStrategy does.
type TopicNames struct {
	Prefix       string
	Delimiter    string // "" means "."
	SchemaAdjust string // schema.name.adjustment.mode: none, avro, avro_unicode
}

// maxTopicLength is Kafka's limit for topic names.
const maxTopicLength = 249

// Data is the topic of a table: prefix, schema (or catalog) and table.
func (n TopicNames) Data(id schema.ID) string {
	d := n.delimiter()
	space := id.Schema
	if space == "" {
		space = id.Catalog
	}
	return sanitizeTopic(n.Prefix + d + space + d + id.Name)
}

func (n TopicNames) delimiter() string {
	if n.Delimiter == "" {
		return "."
	}
	return n.Delimiter
}

// join is a topic that belongs to no table.
func (n TopicNames) join(name string) string { return sanitizeTopic(n.Prefix + n.delimiter() + name) }

// Messages is the topic of logical messages: its delimiter is always a dot.
func (n TopicNames) Messages() string { return sanitizeTopic(n.Prefix + ".message") }

// sanitizeTopic replaces what Kafka does not allow in topic names by underscores, one for each UTF-16 unit.
func sanitizeTopic(s string) string {
	var out strings.Builder
	for _, r := range s {
		switch {
		case r == '.' || r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z':
			out.WriteRune(r)
		default:
			out.WriteString("__"[:max(1, utf16.RuneLen(r))])
		}
	}
	switch t := out.String(); {
	case t == ".":
		return "_"
	case t == "..":
		return "__"
	case len(t) > maxTopicLength:
		return t[:maxTopicLength]
	default:
		return t
	}
}

// Schema is the name of the Key, Value or Envelope schema of a topic.
func (n TopicNames) Schema(topic, kind string) string {
	return schema.AdjustName(n.SchemaAdjust, topic+"."+kind, true)
}
