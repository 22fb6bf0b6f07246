// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"fmt"
	"log/slog"
	"strings"

	"freshet/change"
	"freshet/change/java"
	"freshet/emitter/topic"
	"freshet/schema"
)

// outbox is EventRouter: it makes of each row that is inserted into an outbox table a message of its own, in a topic that
// the row names. Deletes and tombstones are dropped, so that the application may empty the table.
type outbox struct {
	id, key, payload, time, version, routeBy string // columns; "" for none
	placed                                   []placement
	enveloped                                bool // a column is placed in the value
	ignoreMissing                            bool
	onUpdate                                 string // warn, error or fatal
	tombstones                               bool   // of empty payloads
	route                                    *regexRouter
	json                                     *jsonExpander // nil where payloads are not expanded
	plans                                    cache[*outboxPlan]
	types                                    memo[outboxKey, *schema.Type]
	topics                                   memo[string, string]
	updates, texts                           sparse
	log                                      *slog.Logger
}

// placement puts a column elsewhere.
type placement struct{ column, where, alias string }

// The places.
const (
	placeHeader    = "header"
	placeEnvelope  = "envelope"
	placePartition = "partition"
)

// outboxPlan is where the columns are in the events of one table.
type outboxPlan struct {
	envelope
	row                                      *schema.Type
	id, key, payload, time, version, routeBy int // indexes; -1 for none
	placed                                   []int
	perMilli                                 int64 // units of the time column in a millisecond
}

// outboxKey: what the type of a value depends on.
type outboxKey struct {
	row, payload *schema.Type
	routed       string
	version      int64
}

var (
	_ Transform = (*outbox)(nil)
	_ logging   = (*outbox)(nil)
)

func (t *outbox) setLog(l *slog.Logger) { t.log = l }

// Apply makes the message.
func (t *outbox) Apply(r *Record) (bool, error) {
	if r.IsNull() {
		return false, nil
	}
	env, ok, err := r.event()
	if err != nil || !ok {
		return err == nil, err
	}
	plan, ok := t.plans.get(r.ValueType)
	if !ok {
		plan = &outboxPlan{envelope: envelopeOf(r.ValueType)}
	}
	switch plan.operation(r.Data, env) {
	case change.Delete:
		return false, nil
	case change.Update:
		return false, t.updated(r)
	}
	if !ok {
		if err := t.plan(plan, r.ValueType); err != nil {
			return false, err
		}
		t.plans.put(r.ValueType, plan)
	}
	after := r.Data.At(env, plan.after)
	if err := requireStruct(plan.row, after, "Read Outbox Event"); err != nil {
		return false, err
	}
	return true, t.emit(r, plan, env, r.Data.RowOf(after))
}

// updated says what is done about an update of a row: nothing is to be sent for it.
func (t *outbox) updated(r *Record) error {
	if t.onUpdate == "fatal" {
		key := java.AppendText(nil, r.KeyType, r.Data, r.Key)
		return &Error{Thrown: "java.lang.IllegalStateException", Message: fmt.Sprintf("Unexpected update message received %s, fail.", key)}
	}
	level := slog.LevelWarn
	if t.onUpdate == "error" {
		level = slog.LevelError
	}
	t.updates.log(t.log, level, "a row of the outbox was updated: nothing is sent for it; insert a row for each message", "topic", r.Topic)
	return nil
}

// plan finds the columns. What is missing is refused in the order in which the original looks.
func (t *outbox) plan(p *outboxPlan, env *schema.Type) error {
	after, err := fieldOf(env, "after")
	if err != nil {
		return err
	}
	p.row = env.Fields[after].Type
	if p.payload = p.row.FieldIndex(t.payload); p.payload < 0 {
		return &Error{Thrown: connectException, Message: fmt.Sprintf("Unable to find payload field %s in event", t.payload)}
	}
	if err := t.planTime(p); err != nil {
		return err
	}
	for _, c := range []struct {
		at     *int
		column string
		kind   schema.Kind // Invalid for any
	}{{&p.id, t.id, 0}, {&p.version, t.version, schema.Int32}, {&p.routeBy, t.routeBy, schema.String}, {&p.key, t.key, 0}} {
		if *c.at = -1; c.column == "" {
			continue
		}
		if *c.at, err = column(p.row, c.column, c.kind); err != nil {
			return err
		}
	}
	p.placed = make([]int, len(t.placed))
	for i, place := range t.placed {
		if p.placed[i] = p.row.FieldIndex(place.column); p.placed[i] < 0 && t.ignoreMissing {
			continue
		}
		switch {
		case place.where == placeEnvelope && p.placed[i] < 0:
			return &Error{Thrown: connectException, Message: fmt.Sprintf("Unable to find field %s in event", place.column)}
		case place.where == placePartition:
			_, err = column(p.row, place.column, schema.Int32)
		default:
			_, err = column(p.row, place.column, 0)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *outbox) planTime(p *outboxPlan) error {
	if p.time = -1; t.time == "" {
		return nil
	}
	if p.time = p.row.FieldIndex(t.time); p.time < 0 {
		return &Error{Thrown: connectException, Message: fmt.Sprintf("Unable to find timestamp field %s in event", t.time)}
	}
	if _, err := column(p.row, t.time, schema.Int64); err != nil {
		return err
	}
	typ := p.row.Fields[p.time].Type
	switch typ.Name {
	case schema.Timestamp:
		p.perMilli = 1
	case schema.MicroTimestamp:
		p.perMilli = 1e3
	case schema.NanoTimestamp:
		p.perMilli = 1e6
	case "":
		return &Error{Thrown: connectException, Message: fmt.Sprintf("Unsupported field type %s (without logical schema name) for event timestamp", strings.ToUpper(typ.Kind.String()))}
	default:
		return &Error{Thrown: connectException, Message: fmt.Sprintf("Unsupported field type %s for event timestamp", typ.Name)}
	}
	return nil
}

// column finds a column of a kind, if that is not Invalid.
func column(row *schema.Type, name string, kind schema.Kind) (int, error) {
	i, err := fieldOf(row, name)
	if err == nil && kind != schema.Invalid && row.Fields[i].Type.Kind != kind {
		err = refuse("Field '%s' is not of type %s", name, strings.ToUpper(kind.String()))
	}
	return i, err
}

func (p *outboxPlan) value(b *change.Batch, row change.Row, i int) change.Value {
	return orDefault(b, b.At(row, i), p.row.Fields[i].Type)
}

// emit makes the message of a row.
func (t *outbox) emit(r *Record, p *outboxPlan, env, row change.Row) error {
	b := r.Data
	routed := p.value(b, row, p.routeBy)
	if routed.IsNull() {
		return refuse("the column %s that route.by.field names is null: there is no topic for the row", t.routeBy)
	}
	r.TimeMillis = NoTime
	if p.time >= 0 && !p.value(b, row, p.time).IsNull() {
		r.TimeMillis = p.value(b, row, p.time).Int() / p.perMilli
	} else if v := part(b, env, p.millis); v.Kind() == change.Int {
		r.TimeMillis = v.Int()
	}
	typ, payload := p.row.Fields[p.payload].Type, p.value(b, row, p.payload)
	empty := payload.IsNull() || payload.Kind() == change.Text && strings.Trim(b.String(payload), blanks) == ""
	if t.json != nil && !payload.IsNull() {
		typ, payload = t.expand(b, typ, payload)
	}
	value := payload
	if t.enveloped {
		var err error
		if typ, err = t.envelopeType(b, p, row, typ, routed); err != nil {
			return err
		}
		value = t.enclose(b, p, row, typ, payload)
	}
	headers := append(make([]Header, 0, len(r.Headers)+1+len(t.placed)), r.Headers...)
	headers = append(headers, Header{Key: "id", Type: p.row.Fields[p.id].Type, Value: p.value(b, row, p.id)})
	r.Partition = topic.AnyPartition
	for i, place := range t.placed {
		if p.placed[i] < 0 {
			continue
		}
		v := p.value(b, row, p.placed[i])
		switch place.where {
		case placeHeader:
			headers = append(headers, Header{Key: place.alias, Type: p.row.Fields[p.placed[i]].Type, Value: v})
		case placePartition:
			if r.Partition = topic.AnyPartition; !v.IsNull() {
				r.Partition = int32(v.Int())
			}
		}
	}
	r.Headers, r.Topic = headers, t.topic(b.String(routed))
	r.SetKey(p.row.Fields[p.key].Type, p.value(b, row, p.key))
	if empty && t.tombstones {
		typ, value = nil, change.NullValue()
	}
	r.SetValue(typ, value)
	return nil
}

// blanks is what Java's trim takes off.
const blanks = "\x00\x01\x02\x03\x04\x05\x06\a\b\t\n\v\f\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f "

// expand makes a struct of a payload that is a JSON object. Others stay the text that they are.
func (t *outbox) expand(b *change.Batch, typ *schema.Type, payload change.Value) (*schema.Type, change.Value) {
	if payload.Kind() != change.Text {
		t.texts.log(t.log, slog.LevelWarn, "payloads are to be expanded, but they are no texts", "column", t.payload, "type", typ.Kind.String())
		return typ, payload
	}
	text := b.String(payload)
	err := refuse("the text does not begin with {")
	if strings.HasPrefix(text, "{") {
		var expanded *schema.Type
		var v change.Value
		if expanded, v, err = t.json.expand(b, strings.Clone(text), t.payload); err == nil {
			return expanded, v
		}
	}
	t.texts.log(t.log, slog.LevelWarn, "a payload that is no JSON object, or one without a schema, stays a text", "column", t.payload, "cause", err)
	return typ, payload
}

// envelopeType is the struct of payload and placed columns.
func (t *outbox) envelopeType(b *change.Batch, p *outboxPlan, row change.Row, payload *schema.Type, routed change.Value) (*schema.Type, error) {
	key := outboxKey{row: p.row, payload: payload, routed: b.String(routed)}
	if p.version >= 0 {
		key.version = p.value(b, row, p.version).Int() // 0 for null
	}
	if typ, ok := t.types.get(key); ok {
		return typ, nil
	}
	key.routed = strings.Clone(key.routed)
	typ := &schema.Type{Kind: schema.Struct, Name: key.routed, Version: int(key.version), Fields: []schema.Field{{Name: "payload", Type: payload}}}
	if name := p.row.Name; name != "" {
		dot := strings.LastIndexByte(name, '.') + 1
		typ.Name = name[:dot] + key.routed + "." + name[dot:]
	}
	for i, place := range t.placed {
		if place.where != placeEnvelope || p.placed[i] < 0 {
			continue
		}
		if err := addField(typ, place.alias, p.row.Fields[p.placed[i]].Type); err != nil {
			return nil, err
		}
	}
	return t.types.put(key, typ), nil
}

func (t *outbox) enclose(b *change.Batch, p *outboxPlan, row change.Row, typ *schema.Type, payload change.Value) change.Value {
	out, n := b.NewRow(len(typ.Fields)), 1
	b.Set(out, 0, payload)
	for i, place := range t.placed {
		if place.where == placeEnvelope && p.placed[i] >= 0 {
			b.Set(out, n, p.value(b, row, p.placed[i]))
			n++
		}
	}
	return b.Run(change.Struct, out)
}

// topic is where messages of a routing value go.
func (t *outbox) topic(routed string) string {
	if name, ok := t.topics.get(routed); ok {
		return name
	}
	routed = strings.Clone(routed)
	return t.topics.put(routed, t.route.Route(routed))
}
