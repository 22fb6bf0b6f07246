// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

var timezoneKind = kind{
	plugin: config.Plugin{
		Name: "TimezoneConverter", Class: "io.debezium.transforms.TimezoneConverter", Kind: "transformation", Version: debeziumVersion,
		Def: config.Def{Keys: []config.Key{
			{
				Name: "converted.timezone", Type: config.String, Required: true, Importance: config.High, Width: config.WidthMedium, Display: "Converted Timezone",
				Doc: "Zone to convert to: a name such as America/Los_Angeles, or an offset such as +08:00.",
				Check: func(s string, _ config.Values) string {
					if _, err := loadZone(s); err != nil {
						return err.Error()
					}
					return ""
				},
			},
			{
				Name: "include.list", Type: config.List, Importance: config.High, Width: config.WidthMedium, Display: "Include List",
				Doc:   "What to convert, and nothing else: source:TABLE, source:TABLE:FIELD, topic:TOPIC, topic:TOPIC:FIELD, or NAME:FIELD for a topic or table of that name. Only the first rule may begin with source: or topic:, which the later ones then share. A FIELD may say its block: before.X, after.X, source.ts_ms.",
				Check: timezoneRules("include"),
			},
			{
				Name: "exclude.list", Type: config.List, Importance: config.High, Width: config.WidthMedium, Display: "Exclude List",
				Doc: "What to leave alone, written as for include.list.",
				Check: func(s string, all config.Values) string {
					if s != "" && strings.TrimSpace(all.Get("include.list")) != "" {
						return "Both include and exclude lists are specified. Please specify only one."
					}
					return timezoneRules("exclude")(s, all)
				},
			},
		}},
	},
	make: func(v config.Values) (Transform, error) {
		z, err := loadZone(strings.TrimSpace(v.Get("converted.timezone")))
		if err != nil {
			return nil, err
		}
		t := &timezone{zone: z, now: time.Now}
		if list := v.List("include.list"); len(list) > 0 {
			t.included, t.listed = true, parseTimezoneRules(list)
		} else if list := v.List("exclude.list"); len(list) > 0 {
			t.excluded, t.listed = true, parseTimezoneRules(list)
		}
		return t, nil
	},
}

// rulesPattern is what the original holds the text of the whole list against. It lets a second source: or topic: through
// nowhere.
var rulesPattern = regexp.MustCompile(`\A\[(source|topic|[".\w\s_-]+):([".\w\s_-]+(?::[".\w\s_-]+)?(?:,|]$))+\z`)

func timezoneRules(name string) func(string, config.Values) string {
	return func(s string, _ config.Values) string {
		list := config.SplitList(s)
		if len(list) > 0 && !rulesPattern.MatchString("["+strings.Join(list, ", ")+"]") {
			return "Invalid " + name + ` list format. Please specify a list of rules in the format of "source:<tablename>:<fieldnames>", "topic:<topicname>:<fieldnames>", "<matchname>:<fieldnames>"`
		}
		return ""
	}
}

var errZone = errors.New("Invalid timezone format. Please specify either a geographic timezone (e.g. America/Los_Angeles) or a UTC offset in the format of +/-hh:mm, (e.g. +08:00).") //nolint:staticcheck,revive // the original's words

// timezoneLists are the fields of tables and topics that rules name; no field is all of them.
type timezoneLists struct{ topics, tables, either map[string][]string }

func parseTimezoneRules(list []string) timezoneLists {
	l := timezoneLists{map[string][]string{}, map[string][]string{}, map[string][]string{}}
	kind := ""
	for _, rule := range list {
		parts := strings.Split(rule, ":")
		if len(parts) > 1 && (strings.EqualFold(parts[0], "source") || strings.EqualFold(parts[0], "topic")) {
			kind, parts = parts[0], parts[1:]
		}
		in := l.either
		switch kind { // a prefix in other letters is none, and yet is no name
		case "topic":
			in = l.topics
		case "source":
			in = l.tables
		}
		in[parts[0]] = append(in[parts[0]], parts[1:]...)
	}
	return l
}

func (l *timezoneLists) find(topic, table string) ([]string, bool) {
	if f, ok := l.topics[topic]; ok {
		return f, true
	}
	if f, ok := l.tables[table]; ok {
		return f, true
	}
	if f, ok := l.either[topic]; ok {
		return f, true
	}
	f, ok := l.either[table]
	return f, ok
}

// timezone is TimezoneConverter: times of rows as they are in another zone. Times with an offset stay the same instant;
// those without, which the source wrote as if in UTC, become the instant at which the zone's clocks showed them.
//
// A null stays null; the original of 3.6.1 reads it as the default of its column, and converts that.
type timezone struct {
	zone               *zone
	now                func() time.Time
	included, excluded bool // there is a list of this kind
	listed             timezoneLists
	plans              memo[timezoneKey, *timezonePlan]
}

type timezoneKey struct {
	envelope     *schema.Type
	topic, table string
}

// timezonePlan is what is converted in the events of one table.
type timezonePlan struct {
	envelope
	beforeFields, afterFields, sourceFields []zonedField
}

// zonedField is a field to convert.
type zonedField struct {
	at  int
	how func(t *timezone, b *change.Batch, v change.Value) (change.Value, error)
}

// Apply converts the times of events.
func (t *timezone) Apply(r *Record) (bool, error) {
	env, ok, err := r.event()
	if err != nil || !ok {
		return err == nil, err
	}
	e := envelopeOf(r.ValueType)
	key := timezoneKey{envelope: r.ValueType}
	if t.included || t.excluded {
		key.topic = r.Topic
		key.table = e.table(r.ValueType, r.Data, env)
	}
	plan, ok := t.plans.get(key)
	if !ok {
		key.topic, key.table = strings.Clone(key.topic), strings.Clone(key.table)
		plan = t.plans.put(key, t.plan(e, key))
	}
	out := change.Row{}
	for _, block := range []struct {
		at     int
		fields []zonedField
	}{{plan.before, plan.beforeFields}, {plan.after, plan.afterFields}, {plan.source, plan.sourceFields}} {
		if len(block.fields) == 0 || r.Data.At(env, block.at).Kind() != change.Struct {
			continue
		}
		v, err := t.convert(r.Data, r.Data.At(env, block.at), block.fields)
		if err != nil {
			return false, err
		}
		if !out.Present() {
			out = copyRow(r.Data, env, env.Len())
		}
		r.Data.Set(out, block.at, v)
	}
	if out.Present() {
		r.SetValue(r.ValueType, r.Data.Run(change.Struct, out))
	}
	return true, nil
}

func (t *timezone) convert(b *change.Batch, v change.Value, fields []zonedField) (change.Value, error) {
	row := b.RowOf(v)
	out := copyRow(b, row, row.Len())
	for _, f := range fields {
		old := b.At(row, f.at)
		if old.IsNull() {
			continue
		}
		now, err := f.how(t, b, old)
		if err != nil {
			return v, err
		}
		b.Set(out, f.at, now)
	}
	return b.Run(change.Struct, out), nil
}

// plan finds out what is converted in events of one table.
func (t *timezone) plan(e envelope, key timezoneKey) *timezonePlan {
	p := &timezonePlan{envelope: e}
	names, listed := t.listed.find(key.topic, key.table)
	switch {
	case t.included && !listed, t.excluded && listed && len(names) == 0:
		return p
	case len(names) == 0:
		all := func(string) bool { return true }
		p.beforeFields, p.afterFields = zonedFields(key.envelope, e.before, all), zonedFields(key.envelope, e.after, all)
		return p
	}
	var before, after, source []string
	for _, name := range names {
		block, field, _ := strings.Cut(name, ".")
		switch block {
		case "source":
			source = append(source, field)
		case "before":
			before = append(before, field)
		case "after":
			after = append(after, field)
		default:
			before, after = append(before, name), append(after, name)
		}
	}
	in := func(list []string) func(string) bool {
		return func(name string) bool { return slices.Contains(list, name) == t.included }
	}
	p.beforeFields, p.afterFields = zonedFields(key.envelope, e.before, in(before)), zonedFields(key.envelope, e.after, in(after))
	if len(source) > 0 { // excluding one time of the source converts the others, in the original too
		p.sourceFields = sourceTimes(key.envelope, e.source, in(source))
	}
	return p
}

// zonedFields are the fields of a block of an envelope that hold times with a date, or with an offset.
func zonedFields(env *schema.Type, block int, wanted func(name string) bool) []zonedField {
	if block < 0 {
		return nil
	}
	var out []zonedField
	for i, f := range env.Fields[block].Type.Fields {
		if how := zonedTypes[f.Type.Name]; how != nil && wanted(f.Name) {
			out = append(out, zonedField{i, how})
		}
	}
	return out
}

var zonedTypes = map[string]func(*timezone, *change.Batch, change.Value) (change.Value, error){
	schema.ZonedTimestamp: (*timezone).zonedTimestamp,
	schema.ZonedTime:      (*timezone).zonedTime,

	schema.Timestamp:        localTime(1e3),
	schema.ConnectTimestamp: localTime(1e3),
	schema.MicroTimestamp:   localTime(1e6),
	schema.NanoTimestamp:    localTime(1e9),
}

// sourceTimes are the times of the source block, which are in UTC and become what clocks of the zone showed.
func sourceTimes(env *schema.Type, block int, wanted func(name string) bool) []zonedField {
	if block < 0 {
		return nil
	}
	var out []zonedField
	for i, f := range env.Fields[block].Type.Fields {
		if unit := (map[string]int64{"ts_ms": 1e3, "ts_us": 1e6, "ts_ns": 1e9})[f.Name]; unit != 0 && wanted(f.Name) {
			out = append(out, zonedField{i, func(t *timezone, _ *change.Batch, v change.Value) (change.Value, error) {
				return change.IntValue(v.Int() + unit*t.zone.at(floorDiv(v.Int(), unit))), nil
			}})
		}
	}
	return out
}

// localTime converts a count of units of a second since the epoch that was made of a clock's time as if it were UTC.
func localTime(unit int64) func(*timezone, *change.Batch, change.Value) (change.Value, error) {
	return func(t *timezone, _ *change.Batch, v change.Value) (change.Value, error) {
		if infinite[v.Int()] {
			return v, nil
		}
		return change.IntValue(v.Int() - unit*t.zone.atLocal(floorDiv(v.Int(), unit))), nil
	}
}

// infinite are the numbers that Debezium has for infinite timestamps, in milli-, micro- and nanoseconds. They are infinite in
// every zone.
var infinite = map[int64]bool{
	9223372036825200: true, -9223372036832400: true,
	9223372036825200000: true, -9223372036832400000: true,
	math.MaxInt64: true, math.MinInt64: true,
}

func (t *timezone) zonedTimestamp(b *change.Batch, v change.Value) (change.Value, error) {
	if text := b.String(v); text == "infinity" || text == "-infinity" {
		return v, nil
	}
	at, err := parseOffsetDateTime(b.String(v))
	if err != nil {
		return v, err
	}
	// The offset is that of the value's own clock time, as if it were the zone's.
	at.move(t.zone.atLocal(at.seconds))
	m := len(b.Arena)
	b.Arena = at.append(b.Arena)
	return b.TextFrom(m), nil
}

func (t *timezone) zonedTime(b *change.Batch, v change.Value) (change.Value, error) {
	at, err := parseOffsetTime(b.String(v))
	if err != nil {
		return v, err
	}
	at.move(t.zone.at(t.now().Unix()))
	m := len(b.Arena)
	b.Arena = at.appendTime(b.Arena)
	return b.TextFrom(m), nil
}

func floorDiv(a, n int64) int64 {
	q := a / n
	if a%n < 0 {
		q--
	}
	return q
}
