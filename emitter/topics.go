// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"fmt"
	"strings"

	"freshet/config"
	"freshet/emitter/transform"
	"freshet/schema"
)

// TopicNames names topics and schemas as Debezium's naming strategies do. The zero value of what is not Prefix is that of
// SchemaTopicNamingStrategy.
type TopicNames struct {
	Prefix       string
	Delimiter    string // "" means "."
	SchemaAdjust string // schema.name.adjustment.mode: none, avro, avro_unicode

	Transaction     string // last part of the topic of transactions; "" means transaction
	HeartbeatPrefix string // first part of the topic of heartbeats; "" means __debezium-heartbeat
	HeartbeatName   string // the whole of it; "" is none

	ByCatalog bool                // the Default strategies: catalog and table, the catalog only where it identifies tables
	Unicode   bool                // the Unicode strategies: what is not allowed becomes _u and its code
	Route     func(string) string // the Regex strategies: topic.regex and topic.replacement; nil for the others
	// KeyField is the key field that tells tables apart that share a topic, "" for none. KeyRoute, if not nil, makes its
	// value of the table's own topic.
	KeyField string
	KeyRoute func(string) string
}

// maxTopicLength is Kafka's limit for topic names.
const maxTopicLength = 249

// parseTopicNames reads the strategy and its properties.
func parseTopicNames(v config.Values) (TopicNames, error) {
	n := TopicNames{
		Prefix: v.Get("topic.prefix"), Delimiter: v.Get("topic.delimiter"), SchemaAdjust: v.Get("schema.name.adjustment.mode"),
		Transaction: v.Get("topic.transaction"), HeartbeatPrefix: v.Get("topic.heartbeat.prefix"), HeartbeatName: v.Get("topic.heartbeat.name"),
	}
	strategy := v.Get("topic.naming.strategy")
	strategy = strategy[strings.LastIndexByte(strategy, '.')+1:]
	n.ByCatalog = strings.HasPrefix(strategy, "Default")
	n.Unicode = strings.Contains(strategy, "Unicode")
	if !strings.Contains(strategy, "Regex") {
		return n, nil
	}
	var err error
	if n.Route, err = rewriter(v, "topic.regex", "topic.replacement"); err != nil {
		return n, err
	}
	if n.Route == nil {
		return n, fmt.Errorf("The 'topic.regex' value is invalid: A value is required") //nolint:staticcheck // the reference's words
	}
	if v.Bool("topic.key.enforce.uniqueness") {
		n.KeyField = v.Get("topic.key.field.name")
		n.KeyRoute, err = rewriter(v, "topic.key.field.regex", "topic.key.field.replacement")
	}
	return n, err
}

// rewriter is the function of two properties, nil where the first is not set.
func rewriter(v config.Values, regex, replacement string) (func(string) string, error) {
	expr, by := strings.TrimSpace(v.Get(regex)), v.Get(replacement)
	if expr == "" {
		return nil, nil
	}
	if strings.TrimSpace(by) == "" {
		return nil, fmt.Errorf("The '%s' value is invalid: %s must be non-empty if %s is set.", replacement, replacement, regex) //nolint:staticcheck,revive // the reference's words
	}
	f, err := transform.Rewriter(expr, by)
	if err != nil {
		return nil, fmt.Errorf("read %s and %s: %w", regex, replacement, err)
	}
	return f, nil
}

// own is the topic that a table has by its name alone.
func (n TopicNames) own(id schema.ID) string {
	space := id.Schema
	if n.ByCatalog && id.Schema != "" { // tables are identified by schema and name there
		space = ""
	} else if space == "" {
		space = id.Catalog
	}
	return n.join(n.Prefix, space, id.Name)
}

// join puts the delimiter between parts; empty ones are left out, but for the first.
func (n TopicNames) join(parts ...string) string {
	d := n.Delimiter
	if d == "" {
		d = "."
	}
	var out []string
	for i, p := range parts {
		if p != "" || i == 0 {
			out = append(out, p)
		}
	}
	return strings.Join(out, d)
}

// Data is the topic of a table: prefix, schema (or catalog) and table.
func (n TopicNames) Data(id schema.ID) string {
	name := n.sanitize(n.own(id))
	if n.Route != nil {
		if routed := n.Route(name); routed != "" {
			return routed
		}
	}
	return name
}

// key is the value of KeyField.
func (n TopicNames) key(id schema.ID) string {
	own := n.own(id)
	if n.KeyRoute != nil {
		return n.KeyRoute(own)
	}
	return own
}

// Transactions is the topic of transaction metadata.
func (n TopicNames) Transactions() string {
	last := n.Transaction
	if last == "" {
		last = "transaction"
	}
	return n.sanitize(n.join(n.Prefix, last))
}

// Messages is the topic of logical messages. It has a dot, whatever the delimiter.
func (n TopicNames) Messages() string { return n.Prefix + ".message" }

// Heartbeats is the topic of heartbeats.
func (n TopicNames) Heartbeats() string {
	if n.HeartbeatName != "" {
		return n.HeartbeatName
	}
	first := n.HeartbeatPrefix
	if first == "" {
		first = "__debezium-heartbeat"
	}
	return n.join(first, n.Prefix)
}

// sanitize replaces what Kafka does not allow in topic names, for each UTF-16 unit: by an underscore, or by its code, the
// underscore too then.
func (n TopicNames) sanitize(s string) string {
	var out strings.Builder
	for _, r := range s {
		switch {
		case r == '.' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z', r == '_' && !n.Unicode:
			out.WriteRune(r)
		case n.Unicode:
			out.WriteString(schema.AdjustName(schema.AdjustAvroUnicode, string(r), false))
		case r > 0xffff:
			out.WriteString("__")
		default:
			out.WriteByte('_')
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
