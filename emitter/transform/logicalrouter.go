// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

var logicalRouterKind = kind{
	plugin: config.Plugin{
		Name: "ByLogicalTableRouter", Class: "io.debezium.transforms.ByLogicalTableRouter", Kind: "transformation", Version: debeziumVersion,
		Def: config.Def{Keys: []config.Key{
			{Name: "topic.regex", Type: config.String, Required: true, Importance: config.Low, Width: config.WidthLong, Display: "Topic regex", Doc: "Regular expression that the whole name of a topic must match to be renamed.", Check: needed(isRegex)},
			{Name: "topic.replacement", Type: config.String, Required: true, Importance: config.Low, Width: config.WidthLong, Display: "Topic replacement", Doc: "The new name; $1 and ${name} are groups.", Check: needed(isReplacement("topic.regex"))},
			{Name: "key.enforce.uniqueness", Type: config.Boolean, Default: "true", HasDefault: true, Importance: config.Low, Width: config.WidthShort, Display: "Add source topic name into key", Doc: "Add a field to keys that tells the tables of one topic apart."},
			{Name: "key.field.regex", Type: config.String, Importance: config.Low, Width: config.WidthLong, Display: "Key field regex", Doc: "Regular expression that makes the value of that field of the former name of the topic, together with key.field.replacement. Where it does not match, and without it, the value is that name.", Check: isRegex},
			{Name: "key.field.name", Type: config.String, Default: "__dbz__physicalTableIdentifier", HasDefault: true, Importance: config.Low, Width: config.WidthLong, Display: "Key field name", Doc: "Name of that field."},
			{
				Name: "key.field.replacement", Type: config.String, Importance: config.Low, Width: config.WidthLong, Display: "Key field replacement",
				Doc: "What key.field.regex makes of the name; $1 and ${name} are groups.", CheckAbsent: true,
				Check: func(s string, all config.Values) string {
					switch regex := strings.TrimSpace(all.Get("key.field.regex")); {
					case regex != "" && s == "":
						return "key.field.replacement must be non-empty if key.field.regex is set."
					case regex == "":
						return ""
					}
					return isReplacement("key.field.regex")(s, all)
				},
			},
			{Name: "schema.name.adjustment.mode", Type: config.String, Default: schema.AdjustNone, HasDefault: true, Importance: config.Low, Width: config.WidthMedium, Display: "Schema Name Adjustment", Doc: "What becomes of characters of schema names that Avro does not allow.", Allowed: []string{schema.AdjustNone, schema.AdjustAvro, schema.AdjustAvroUnicode}},
			{Name: "logical.table.cache.size", Type: config.Int, Default: "16", HasDefault: true, Importance: config.Low, Width: config.WidthLong, Display: "Logical table cache size", Doc: "Size of the original's caches.", Ignored: "caches hold all live tables"},
		}},
	},
	make: newLogicalRouter,
}

// isRegex refuses what is no regular expression.
func isRegex(s string, _ config.Values) string {
	if _, err := regexp.Compile(s); err != nil {
		return "A valid regular expressions is expected, but " + err.Error()
	}
	return ""
}

// needed refuses an empty text, too.
func needed(check func(string, config.Values) string) func(string, config.Values) string {
	return func(s string, all config.Values) string {
		if s == "" {
			return "A value is required"
		}
		return check(s, all)
	}
}

// isReplacement refuses replacements that name groups which the regular expression of another property does not have.
func isReplacement(regex string) func(string, config.Values) string {
	return func(s string, all config.Values) string {
		re, err := regexp.Compile(all.Get(regex))
		if err != nil {
			return "" // said of the other property
		}
		template, reason := goTemplate(s, re.NumSubexp())
		for _, group := range namedGroup.FindAllStringSubmatch(template, -1) {
			if _, err := strconv.Atoi(group[1]); err != nil && re.SubexpIndex(group[1]) < 0 {
				return "No group with name {" + group[1] + "}"
			}
		}
		return reason
	}
}

// namedGroup is a group in a template of package regexp.
var namedGroup = regexp.MustCompile(`\$\{(\w+)\}`)

func newLogicalRouter(v config.Values) (Transform, error) {
	t := &logicalRouter{adjust: v.Get("schema.name.adjustment.mode")}
	var err error
	if t.topics, err = newRegexRouter(v.Get("topic.regex"), v.Get("topic.replacement")); err != nil {
		return nil, err
	}
	if v.Bool("key.enforce.uniqueness") {
		t.field = v.Get("key.field.name")
	}
	if regex := strings.TrimSpace(v.Get("key.field.regex")); regex != "" {
		if t.ids, err = newRegexRouter(regex, v.Get("key.field.replacement")); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// logicalRouter is ByLogicalTableRouter: it sends several tables to one topic. Their schemas get the names that a table of
// that topic would have, and keys a field that tells the tables apart.
type logicalRouter struct {
	topics, ids *regexRouter // ids is nil where the former topic tells tables apart
	field       string       // of keys; "" for none
	adjust      string       // schema.name.adjustment.mode
	routes      memo[string, *logicalRoute]
}

// logicalRoute is what becomes of the records of one topic.
type logicalRoute struct {
	topic     string // "" for nothing
	id        string
	keys      cache[*schema.Type]
	envelopes cache[*schema.Type]
}

// Apply renames topic and schemas, and adds the field to the key.
func (t *logicalRouter) Apply(r *Record) (bool, error) {
	route, ok := t.routes.get(r.Topic)
	if !ok {
		route = t.routes.put(strings.Clone(r.Topic), t.route(r.Topic))
	}
	if route.topic == "" {
		return true, nil
	}
	if r.Key.IsNull() {
		r.KeyType = nil
	} else if err := t.key(r, route); err != nil {
		return false, err
	}
	if isEnvelope(r.ValueType) && !r.IsNull() {
		typ, ok := route.envelopes.get(r.ValueType)
		if !ok {
			typ = t.envelope(r.ValueType, route)
			route.envelopes.put(r.ValueType, typ)
		}
		r.Rename(typ)
	}
	r.Topic = route.topic
	return true, nil
}

func (t *logicalRouter) route(topic string) *logicalRoute {
	if !t.topics.whole.MatchString(topic) {
		return &logicalRoute{}
	}
	route := &logicalRoute{topic: t.topics.Route(topic), id: strings.Clone(topic)}
	if t.ids != nil {
		route.id = t.ids.Route(route.id)
	}
	return route
}

func (t *logicalRouter) key(r *Record, route *logicalRoute) error {
	if err := requireStruct(r.KeyType, r.Key, "Updating schema"); err != nil {
		return err
	}
	typ, ok := route.keys.get(r.KeyType)
	if !ok {
		typ = basics(r.KeyType)
		typ.Name, typ.Optional, typ.Fields = t.name(route, "Key"), r.KeyType.Optional, slices.Clone(r.KeyType.Fields)
		if t.field != "" {
			if err := addField(typ, t.field, stringType); err != nil {
				return err
			}
		}
		route.keys.put(r.KeyType, typ)
	}
	key := r.Key
	if t.field != "" {
		fields := r.Data.RowOf(key)
		longer := copyRow(r.Data, fields, fields.Len()+1)
		r.Data.Set(longer, fields.Len(), r.Data.Text(route.id))
		key = r.Data.Run(change.Struct, longer)
	}
	r.SetKey(typ, key)
	return nil
}

// envelope renames the type of an envelope and that of its rows.
func (t *logicalRouter) envelope(env *schema.Type, route *logicalRoute) *schema.Type {
	out := *env
	out.Name, out.Fields, out.Default = t.name(route, "Envelope"), slices.Clone(env.Fields), nil
	e := envelopeOf(env)
	for _, i := range []int{e.before, e.after} {
		if i < 0 {
			continue
		}
		if i == e.after && e.before >= 0 && env.Fields[i].Type == env.Fields[e.before].Type {
			out.Fields[i].Type = out.Fields[e.before].Type
			continue
		}
		row := *env.Fields[i].Type
		row.Name = t.name(route, "Value")
		out.Fields[i].Type = &row
	}
	return &out
}

func (t *logicalRouter) name(route *logicalRoute, suffix string) string {
	return schema.AdjustName(t.adjust, route.topic+"."+suffix, true)
}
