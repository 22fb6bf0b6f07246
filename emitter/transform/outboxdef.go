// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"fmt"
	"slices"
	"strings"

	"freshet/config"
	"freshet/schema"
)

var outboxKind = kind{
	plugin: config.Plugin{
		Name: "EventRouter", Class: "io.debezium.transforms.outbox.EventRouter", Kind: "transformation", Version: debeziumVersion,
		Def: config.Def{Keys: []config.Key{
			{Name: "table.field.event.id", Type: config.String, Default: "id", HasDefault: true, Importance: config.Low, Group: "Table", Width: config.WidthMedium, Display: "Event ID Field", Doc: "Column that becomes the header id."},
			{Name: "table.field.event.key", Type: config.String, Default: "aggregateid", HasDefault: true, Importance: config.Low, Group: "Table", Width: config.WidthMedium, Display: "Event Key Field", Doc: "Column that becomes the record's key."},
			{Name: "table.field.event.type", Type: config.String, Default: "type", HasDefault: true, Importance: config.Low, Group: "Table", Width: config.WidthMedium, Display: "Event Type Field", Doc: "Column with the type of the event. It is only used where it is placed.", Ignored: "the original reads it nowhere: place the column with table.fields.additional.placement"},
			{Name: "table.field.event.payload", Type: config.String, Default: "payload", HasDefault: true, Importance: config.Low, Group: "Table", Width: config.WidthMedium, Display: "Event Payload Field", Doc: "Column that becomes the record's value."},
			{Name: "table.field.event.timestamp", Type: config.String, Importance: config.Medium, Group: "Table", Width: config.WidthMedium, Display: "Event Timestamp Field", Doc: "Column that becomes the record's time, of type Timestamp, MicroTimestamp or NanoTimestamp; without it, and where it is null, that is when the event was made."},
			{
				Name: "table.fields.additional.placement", Type: config.List, Importance: config.High, Group: "Table", Width: config.WidthMedium, Display: "Settings for each additional column in the outbox table",
				Doc:   "Further columns, each as column:place or column:place:alias; the places are header, envelope (the value is then a struct of payload and these) and partition.",
				Check: func(s string, _ config.Values) string { _, reason := parsePlacements(s); return reason },
			},
			{Name: "table.field.additional.missing", Type: config.String, Default: "error", HasDefault: true, Importance: config.Medium, Group: "Table", Width: config.WidthMedium, Display: "Behavior when an additional field is missing in the change data", Doc: "What to do about a placed column that the table does not have: fail, or leave it out.", Allowed: []string{"ignore", "error"}},
			{Name: "table.field.event.schema.version", Type: config.String, Importance: config.Low, Group: "Table", Width: config.WidthMedium, Display: "Event Schema Version Field", Doc: "Column, of type INT32, that becomes the version of the schema of values that are structs."},
			{Name: "table.op.invalid.behavior", Type: config.String, Default: "warn", HasDefault: true, Importance: config.Medium, Group: "Table", Width: config.WidthMedium, Display: "Behavior when capturing an unexpected outbox event", Doc: "What to do about updates: leave them out with a warning or an error in the log, or fail. Of many the 1st, 2nd, 4th, 8th and so on are logged.", Allowed: []string{"warn", "error", "fatal"}},
			{Name: "table.expand.json.payload", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Medium, Group: "Table", Width: config.WidthMedium, Display: "Expand Payload escaped string as real JSON", Doc: "Make payloads that are JSON objects structs, with a schema inferred from them. Others stay texts, with a warning."},
			{Name: "table.json.payload.null.behavior", Type: config.String, Default: "ignore", HasDefault: true, Importance: config.Medium, Group: "Table", Width: config.WidthMedium, Display: "Behavior when json payload including null value", Doc: "Whether nulls of expanded payloads are left out or fields of type bytes.", Allowed: []string{"ignore", "optional_bytes"}},
			{Name: "table.json.payload.empty.array.behavior", Type: config.String, Default: "ignore", HasDefault: true, Importance: config.Medium, Group: "Table", Width: config.WidthMedium, Display: "Behavior when json payload including empty array value", Doc: "Whether empty arrays of expanded payloads are left out or arrays of texts.", Allowed: []string{"ignore", "optional_string"}},
			{Name: "route.by.field", Type: config.String, Default: "aggregatetype", HasDefault: true, Importance: config.High, Group: "Router", Width: config.WidthMedium, Display: "Field to route events by", Doc: "Column, a text, that decides on the topic."},
			{Name: "route.topic.regex", Type: config.String, Default: "(?<routedByValue>.*)", HasDefault: true, Importance: config.Low, Group: "Router", Width: config.WidthMedium, Display: "The name of the routed topic", Doc: "Regular expression that the whole value of that column must match. Where it does not, the value itself is the topic.", Check: isRegex},
			{
				Name: "route.topic.replacement", Type: config.String, Default: "outbox.event.${routedByValue}", HasDefault: true, Importance: config.High, Group: "Router", Width: config.WidthMedium, Display: "The name of the routed topic",
				Doc: "The topic; $1 and ${name} are groups of route.topic.regex.", Check: isReplacement("route.topic.regex"),
			},
			{Name: "route.tombstone.on.empty.payload", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.High, Group: "Router", Width: config.WidthMedium, Display: "Empty payloads cause a tombstone message", Doc: "Make tombstones of rows whose payload is null or blank."},
			{Name: "tracing.span.context.field", Type: config.String, Default: "tracingspancontext", HasDefault: true, Importance: config.Low, Group: "Tracing", Width: config.WidthMedium, Display: "Serialized tracing span context field", Doc: "Column with the context of a tracing span.", Ignored: "spans are not traced"},
			{Name: "tracing.operation.name", Type: config.String, Default: "debezium-read", HasDefault: true, Importance: config.Low, Group: "Tracing", Width: config.WidthMedium, Display: "Tracing operation name", Doc: "Name of the span.", Ignored: "spans are not traced"},
			{Name: "tracing.with.context.field.only", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Low, Group: "Tracing", Width: config.WidthMedium, Display: "Trace only events with context field present", Doc: "Trace rows with a context alone.", Ignored: "spans are not traced"},
			fieldAdjustKey,
		}},
	},
	make: newOutbox,
}

// parsePlacements reads table.fields.additional.placement.
func parsePlacements(s string) (out []placement, reason string) {
	list := config.SplitList(s)
	if len(list) == 0 {
		list = []string{""} // given, and empty
	}
	for _, item := range list {
		parts := strings.Split(item, ":")
		if len(parts) != 2 && len(parts) != 3 {
			return nil, fmt.Sprintf("A comma-separated list of valid String pairs or trios is expected but got: [%s]", strings.Join(list, ", "))
		}
		for i := range parts {
			parts[i] = strings.TrimSpace(parts[i])
		}
		p := placement{parts[0], strings.ToLower(parts[1]), parts[0]}
		if !slices.Contains([]string{placeHeader, placeEnvelope, placePartition}, p.where) {
			return nil, fmt.Sprintf("Value must be one of header, envelope, partition, and not %s", parts[1])
		}
		if len(parts) == 3 {
			p.alias = parts[2]
		}
		out = append(out, p)
	}
	return out, ""
}

func newOutbox(v config.Values) (Transform, error) {
	t := &outbox{
		id: v.Get("table.field.event.id"), key: v.Get("table.field.event.key"), payload: v.Get("table.field.event.payload"),
		time: v.Get("table.field.event.timestamp"), version: v.Get("table.field.event.schema.version"), routeBy: v.Get("route.by.field"),
		ignoreMissing: v.Get("table.field.additional.missing") == "ignore", onUpdate: v.Get("table.op.invalid.behavior"),
		tombstones: v.Bool("route.tombstone.on.empty.payload"), log: discard,
	}
	t.placed, _ = parsePlacements(v.Get("table.fields.additional.placement"))
	t.enveloped = slices.ContainsFunc(t.placed, func(p placement) bool { return p.where == placeEnvelope })
	if v.Bool("table.expand.json.payload") {
		t.json = &jsonExpander{
			nulls: v.Get("table.json.payload.null.behavior") == "optional_bytes", emptyArrays: v.Get("table.json.payload.empty.array.behavior") == "optional_string",
			adjust: v.Get(fieldAdjustKey.Name),
		}
		if t.json.adjust == schema.AdjustNone {
			t.json.adjust = ""
		}
	}
	var err error
	t.route, err = newRegexRouter(v.Get("route.topic.regex"), v.Get("route.topic.replacement"))
	return t, err
}
