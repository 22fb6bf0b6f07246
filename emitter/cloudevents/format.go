// SPDX-License-Identifier: Apache-2.0

package cloudevents

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"freshet/change"
	"freshet/emitter"
	"freshet/emitter/json"
	"freshet/emitter/topic"
	"freshet/schema"
)

// Format is the emitter.Format. It is safe for concurrent use.
type Format struct {
	extensions bool
	data       *json.Format
	encoders   emitter.Cache[*schema.Type, emitter.Encoder]
}

var _ emitter.RowFormat = (*Format)(nil)

// New makes a Format.
func New(o Options) *Format {
	return &Format{extensions: o.Extensions, data: json.New(o.Data)}
}

// Compile makes the encoder of a schema: of envelopes, or the one that writes null.
func (f *Format) Compile(t *schema.Type) (emitter.Encoder, error) {
	if e, ok := f.encoders.Load(t); ok {
		return e, nil
	}
	var e emitter.Encoder = nothing{}
	if envelopeSource(t) != nil {
		var err error
		if e, err = f.event(t, nil); err != nil {
			return nil, fmt.Errorf("CloudEvents of %s: %w", t.Name, err)
		}
	}
	return f.encoders.Keep(t, e), nil
}

// CompileEnvelope makes the encoder of a table's changes: it writes what building the envelope and encoding it writes.
func (f *Format) CompileEnvelope(e *emitter.Envelope) (emitter.EnvelopeEncoder, error) {
	if envelopeSource(e.Type) == nil {
		return nil, fmt.Errorf("CloudEvents of table %q: no envelope of change events", e.Table.ID)
	}
	ev, err := f.event(e.Type, e.Table.Columns)
	if err == nil {
		var l *emitter.Layout
		if l, err = ev.layout(e); err == nil {
			return (*events)(l), nil
		}
	}
	return nil, fmt.Errorf("CloudEvents of table %q: %w", e.Table.ID, err)
}

// events is the encoder of one table's changes.
type events emitter.Layout

// Head is nil: attributes come before the schema of data.
func (*events) Head() *topic.Head { return nil }

// AppendValue appends the event of c.
func (e *events) AppendValue(dst []byte, b *change.Batch, c *change.Change, now int64) ([]byte, error) {
	return (*emitter.Layout)(e).Append(dst, b, c, now)
}

// envelopeSource is the type of the source block of a change event's envelope, nil for any other schema.
func envelopeSource(t *schema.Type) *schema.Type {
	if t == nil || t.Kind != schema.Struct || !strings.HasSuffix(t.Name, ".Envelope") || field(t, "before") < 0 || field(t, "after") < 0 || field(t, "op") < 0 {
		return nil
	}
	if i := field(t, "source"); i >= 0 {
		return t.Fields[i].Type
	}
	return nil
}

// field is the place of a field, -1 for none.
func field(t *schema.Type, name string) int {
	return slices.IndexFunc(t.Fields, func(f schema.Field) bool { return f.Name == name })
}

// nothing writes null.
type nothing struct{}

func (nothing) Head() *topic.Head { return nil }

func (nothing) Append(dst []byte, _ *change.Batch, _ change.Value) ([]byte, bool, error) {
	return dst, false, nil
}

// idFields are the fields of the source block that the id of an event is made of, by connector.
var idFields = map[string][]string{
	"postgresql": {"name", "lsn", "txId", "sequence"},
	"mysql":      {"name", "file", "pos"},
	"mariadb":    {"name", "file", "pos"},
}

// event is the encoder of one envelope: fields of it, and the text before and behind them.
type event struct {
	slots []slot
	tail  []byte
}

// slot is constant text and a field of the envelope, or of a struct in it.
type slot struct {
	text         []byte
	outer, inner int // places; inner is -1 for a field of the envelope itself
	encoder      emitter.FieldEncoder
}

// eventCompiler gathers constant text until a field ends it.
type eventCompiler struct {
	slots []slot
	text  []byte
}

func (c *eventCompiler) add(text string) { c.text = append(c.text, text...) }

func (c *eventCompiler) field(outer, inner int, e emitter.FieldEncoder) {
	c.slots = append(c.slots, slot{c.text, outer, inner, e})
	c.text = nil
}

// event compiles an envelope. columns are those of the table where values are rows of it; nil where the envelope is built.
func (f *Format) event(t *schema.Type, columns []schema.Column) (*event, error) {
	at, source := field(t, "source"), envelopeSource(t)
	kind := strings.TrimSuffix(strings.TrimPrefix(source.Name, "io.debezium.connector."), ".Source")
	name, millis := field(source, "name"), field(source, "ts_ms")
	var c eventCompiler
	for i, id := range idFields[kind] {
		c.add(map[bool]string{true: `{"id":"`, false: ";"}[i == 0] + id + ":")
		place := field(source, id)
		if place < 0 || name < 0 || millis < 0 {
			return nil, fmt.Errorf("the source block %s has not what an id is made of", source.Name)
		}
		c.field(at, place, inText{})
	}
	if c.slots == nil {
		return nil, fmt.Errorf("the source block %s has not what an id is made of", source.Name)
	}
	c.add(`","source":"/debezium/` + kind + "/")
	c.field(at, name, inText{})
	c.add(`","specversion":"1.0","type":"io.debezium.connector.` + kind + `.DataChangeEvent","time":`)
	c.field(at, millis, timestamp{})
	c.add(`,"datacontenttype":"application/json"`)
	if f.extensions {
		c.extend(t, source)
	}
	return c.finish(f.data, t, columns, kind)
}

// finish adds the data: before and after, with a schema of their own.
func (c *eventCompiler) finish(data *json.Format, t *schema.Type, columns []schema.Column, kind string) (*event, error) {
	before, after := field(t, "before"), field(t, "after")
	head, err := data.Head(&schema.Type{
		Kind: schema.Struct, Name: "io.debezium.connector." + kind + ".Data", Fields: []schema.Field{t.Fields[before], t.Fields[after]},
	})
	if err != nil {
		return nil, err
	}
	c.add(`,"data":`)
	if head != nil {
		c.text = append(c.text, head.Bytes...)
	}
	for i, outer := range []int{before, after} {
		row := t.Fields[outer].Type
		var enc emitter.FieldEncoder
		if columns != nil {
			enc, err = data.Row(row, columns)
		} else {
			enc, err = data.Field(row)
		}
		if err != nil {
			return nil, emitter.InField(t.Fields[outer].Name, err)
		}
		c.add([]string{`{"before":`, `,"after":`}[i])
		c.field(outer, -1, enc)
	}
	if head != nil {
		c.add("}")
	}
	c.add("}}")
	return &event{c.slots, c.text}, nil
}

// extend adds the extension attributes.
func (c *eventCompiler) extend(t, source *schema.Type) {
	add := func(name string, outer, inner int, from *schema.Type) {
		c.add(`,"iodebezium` + name + `":`)
		c.field(outer, inner, newAttribute(from))
	}
	op := field(t, "op")
	add("op", op, -1, t.Fields[op].Type)
	for i, s := range source.Fields {
		add(lettersAndDigits(s.Name), field(t, "source"), i, s.Type)
	}
	at := field(t, "transaction")
	if at < 0 || t.Fields[at].Type.Kind != schema.Struct {
		return
	}
	for i, s := range t.Fields[at].Type.Fields {
		add("tx"+lettersAndDigits(s.Name), at, i, s.Type)
	}
}

// lettersAndDigits is what names of attributes may have.
func lettersAndDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, s)
}

// layout is the event as a program over changes.
func (e *event) layout(of *emitter.Envelope) (*emitter.Layout, error) {
	l := emitter.NewLayout(of)
	for i := range e.slots {
		s := &e.slots[i]
		l.Constant(s.text...)
		from, err := of.Origin(s.outer, s.inner)
		if err == nil {
			err = l.Value(from, s.encoder)
		}
		if err != nil {
			return nil, err
		}
	}
	l.Constant(e.tail...)
	return l.Layout(), nil
}

// Head is nil: attributes come before the schema of data.
func (e *event) Head() *topic.Head { return nil }

// Append appends the event of an envelope.
func (e *event) Append(dst []byte, b *change.Batch, v change.Value) ([]byte, bool, error) {
	if v.IsNull() {
		return dst, false, nil
	}
	begin := len(dst)
	envelope := b.RowOf(v)
	for i := range e.slots {
		s := &e.slots[i]
		dst = append(dst, s.text...)
		v := b.At(envelope, s.outer)
		if s.inner >= 0 && !v.IsNull() {
			v = b.At(b.RowOf(v), s.inner)
		}
		var err error
		if dst, err = s.encoder.AppendField(dst, b, v); err != nil {
			return dst[:begin], false, err
		}
	}
	return append(dst, e.tail...), true, nil
}
