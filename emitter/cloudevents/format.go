// SPDX-License-Identifier: Apache-2.0

package cloudevents

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
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
	attributes *json.Format
	encoders   sync.Map // *schema.Type → emitter.Encoder
}

// New makes a Format.
func New(o Options) *Format {
	return &Format{extensions: o.Extensions, data: json.New(o.Data), attributes: json.New(json.Options{})}
}

// Compile makes the encoder of a schema: of envelopes, or the one that writes null.
func (f *Format) Compile(t *schema.Type) (emitter.Encoder, error) {
	if e, ok := f.encoders.Load(t); ok {
		return e.(emitter.Encoder), nil
	}
	var e emitter.Encoder = nothing{}
	if source := envelopeSource(t); source != nil {
		var err error
		if e, err = f.event(t, source); err != nil {
			return nil, fmt.Errorf("CloudEvents of %s: %w", t.Name, err)
		}
	}
	kept, _ := f.encoders.LoadOrStore(t, e)
	return kept.(emitter.Encoder), nil
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

// extension is an attribute beyond those of the specification: a field of the envelope, or of a struct in it.
type extension struct {
	outer, inner int // places; inner is -1 for a field of the envelope itself
	from         *schema.Type
	kind         schema.Kind // of the attribute
}

// event is the encoder of one envelope. Its attributes are encoded as a struct; data, with a head of its own, follows them.
type event struct {
	source, op, before, after int // places in the envelope
	name, millis              int // places in the source block
	ids                       []int
	idNames                   []string
	kind                      string // "postgresql"
	extensions                []extension
	attributes, data          emitter.Encoder
}

var (
	text = &schema.Type{Kind: schema.String}
	// required are the attributes of the specification, in Debezium's order.
	required = []string{"id", "source", "specversion", "type", "time", "datacontenttype"}
)

func (f *Format) event(t, source *schema.Type) (emitter.Encoder, error) {
	kind := strings.TrimSuffix(strings.TrimPrefix(source.Name, "io.debezium.connector."), ".Source")
	e := &event{
		source: field(t, "source"), op: field(t, "op"), before: field(t, "before"), after: field(t, "after"),
		name: field(source, "name"), millis: field(source, "ts_ms"), kind: kind, idNames: idFields[kind],
	}
	for _, name := range e.idNames {
		e.ids = append(e.ids, field(source, name))
	}
	if len(e.ids) == 0 || e.name < 0 || e.millis < 0 || slices.Contains(e.ids, -1) {
		return nil, fmt.Errorf("the source block %s has not what an id is made of", source.Name)
	}
	attributes := &schema.Type{Kind: schema.Struct, Name: "CloudEvents.Envelope"}
	for _, name := range required {
		attributes.Fields = append(attributes.Fields, schema.Field{Name: name, Type: text})
	}
	if f.extensions {
		f.extend(e, attributes, t, source)
	}
	var err error
	if e.attributes, err = f.attributes.Compile(attributes); err != nil {
		return nil, err
	}
	e.data, err = f.data.Compile(&schema.Type{
		Kind: schema.Struct, Name: "io.debezium.connector." + kind + ".Data", Fields: []schema.Field{t.Fields[e.before], t.Fields[e.after]},
	})
	return e, err
}

// extend adds the extension attributes.
func (f *Format) extend(e *event, attributes, t, source *schema.Type) {
	add := func(name string, x extension) {
		x.kind = attributeKind(x.from.Kind)
		typ := &schema.Type{Kind: x.kind, Optional: true}
		attributes.Fields = append(attributes.Fields, schema.Field{Name: name, Type: typ})
		e.extensions = append(e.extensions, x)
	}
	add("iodebeziumop", extension{outer: e.op, inner: -1, from: t.Fields[e.op].Type})
	for i, s := range source.Fields {
		add("iodebezium"+lettersAndDigits(s.Name), extension{outer: e.source, inner: i, from: s.Type})
	}
	at := field(t, "transaction")
	if at < 0 || t.Fields[at].Type.Kind != schema.Struct {
		return
	}
	for i, s := range t.Fields[at].Type.Fields {
		add("iodebeziumtx"+lettersAndDigits(s.Name), extension{outer: at, inner: i, from: s.Type})
	}
}

// attributeKind is how an attribute is typed: the specification knows booleans, integers of 32 bits, and text.
func attributeKind(k schema.Kind) schema.Kind {
	switch k {
	case schema.Boolean:
		return schema.Boolean
	case schema.Int8, schema.Int16, schema.Int32:
		return schema.Int32
	}
	return schema.String
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

// Head is nil: attributes come before the schema of data.
func (e *event) Head() *topic.Head { return nil }

// Append appends the event of an envelope.
func (e *event) Append(dst []byte, b *change.Batch, v change.Value) ([]byte, bool, error) {
	if v.IsNull() {
		return dst, false, nil
	}
	begin := len(dst)
	dst, _, err := e.attributes.Append(dst, b, e.attributesOf(b, b.RowOf(v)))
	if err != nil {
		return dst[:begin], false, err
	}
	dst = append(dst[:len(dst)-1], `,"data":`...) // without the brace that ended the attributes
	if head := e.data.Head(); head != nil {
		dst = append(dst, head.Bytes...)
	}
	data := b.NewRow(2)
	b.Set(data, 0, b.At(b.RowOf(v), e.before))
	b.Set(data, 1, b.At(b.RowOf(v), e.after))
	if dst, _, err = e.data.Append(dst, b, b.Run(change.Struct, data)); err != nil {
		return dst[:begin], false, err
	}
	return append(dst, '}'), true, nil
}

// attributesOf makes the struct of the attributes of an envelope.
func (e *event) attributesOf(b *change.Batch, envelope change.Row) change.Value {
	source := b.RowOf(b.At(envelope, e.source))
	out := b.NewRow(len(required) + len(e.extensions))
	b.Set(out, 0, e.id(b, source))
	b.Set(out, 1, b.Text("/debezium/"+e.kind+"/"+b.String(b.At(source, e.name))))
	b.Set(out, 2, b.Text("1.0"))
	b.Set(out, 3, b.Text("io.debezium.connector."+e.kind+".DataChangeEvent"))
	b.Set(out, 4, b.Text(time.UnixMilli(b.At(source, e.millis).Int()).UTC().Format("2006-01-02T15:04:05.000Z")))
	b.Set(out, 5, b.Text("application/json"))
	for i, x := range e.extensions {
		v := b.At(envelope, x.outer)
		if x.inner >= 0 && !v.IsNull() {
			v = b.At(b.RowOf(v), x.inner)
		}
		if v.IsNull() && x.from.Default != nil {
			v = b.AppendLiteral(x.from.Default, x.from)
		}
		if x.kind == schema.String {
			v = asText(b, v)
		}
		b.Set(out, len(required)+i, v)
	}
	return b.Run(change.Struct, out)
}

// id is name:value pairs of the source block; a null is the word.
func (e *event) id(b *change.Batch, source change.Row) change.Value {
	var s strings.Builder
	for i, at := range e.ids {
		if i > 0 {
			s.WriteByte(';')
		}
		s.WriteString(e.idNames[i] + ":")
		if v := asText(b, b.At(source, at)); v.IsNull() {
			s.WriteString("null")
		} else {
			s.WriteString(b.String(v))
		}
	}
	return b.Text(s.String())
}

// asText is a value as text; null stays null.
func asText(b *change.Batch, v change.Value) change.Value {
	switch v.Kind() {
	case change.Int:
		return b.Text(strconv.FormatInt(v.Int(), 10))
	case change.Bool:
		return b.Text(strconv.FormatBool(v.Bool()))
	case change.Float:
		return b.Text(strconv.FormatFloat(v.Float(), 'g', -1, 64))
	}
	return v
}
