// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/emitter/transform"
	"freshet/schema"
)

// tablePlan is what is compiled once for a table version.
type tablePlan struct {
	collection string // what transaction metadata counts its events under
	keyField   string // value of the key field that tells tables of one topic apart; "" where there is no such field
	topic      string // before and
	routed     string // after the routers of the chain
	keyType    *schema.Type
	key        Encoder
	envelope   *Envelope
	value      EnvelopeEncoder
	variants   map[variant]EnvelopeEncoder // of value, that transforms ask for
}

// variant is another type of an envelope, which differs in names alone, or another topic.
type variant struct {
	typ   *schema.Type
	topic string
}

// maxVariants bounds them: topics may come from data.
const maxVariants = 256

// encoder is the encoder of events whose envelope is of a type that transforms may have renamed, for a topic.
func (r *recorder) encoder(p *tablePlan, t *schema.Type, name string) (EnvelopeEncoder, error) {
	if !r.bound {
		name = p.routed
	}
	if t == p.envelope.Type && name == p.routed {
		return p.value, nil
	}
	v := variant{t, name}
	if e, ok := p.variants[v]; ok {
		return e, nil
	}
	envelope := *p.envelope
	envelope.Type, envelope.Topic = t, name
	e, err := r.format.CompileEnvelope(&envelope)
	if err != nil {
		return nil, err
	}
	if p.variants == nil || len(p.variants) >= maxVariants {
		p.variants = map[variant]EnvelopeEncoder{}
	}
	v.topic = strings.Clone(name)
	p.variants[v] = e
	return e, nil
}

// recorder makes records of changes. It belongs to the encoding goroutine.
type recorder struct {
	o       *Options
	format  RowFormat // of values
	source  *schema.Type
	context []topic.Header     // context headers, shared by all records,
	texts   []string           // and their values
	typed   []transform.Header // the same for transforms, with values
	inBatch *change.Batch      // that these are in; nil at the start of a batch
	lazy    bool               // transforms look inside records
	bound   bool               // values are encoded for one topic
	plans   map[*schema.Table]*tablePlan
	latest  map[schema.ID]*schema.Table
	last    *schema.Table
	plan    *tablePlan
	stats   *Stats
	arena   []byte
	out     []topic.Record

	tx       *transactions // nil without transaction metadata
	messages *messagePlan
	own      change.Batch // holds the values of records that are of no batch
}

func newRecorder(o *Options, stats *Stats) (*recorder, error) {
	_, bound := o.Value.(TopicFormat)
	r := &recorder{
		bound: bound,
		o:     o, format: rowFormat(o.Value), source: o.Source.Type(), lazy: !o.Chain.OnlyRoutes(), stats: stats,
		plans: map[*schema.Table]*tablePlan{}, latest: map[schema.ID]*schema.Table{},
	}
	if o.TransactionTopic != "" {
		var err error
		if r.tx, err = newTransactions(o.TransactionTopic, o.From); err != nil {
			return nil, err
		}
	}
	if o.ContextHeaders {
		for _, h := range [][2]string{
			{"connectorLogicalName", o.Source.Name}, {"taskId", strconv.Itoa(o.Task)}, {"connectorName", o.Source.Connector}, {"runId", o.RunID},
		} {
			key := "__debezium.context." + h[0]
			value, err := o.headerText(h[1])
			if err != nil {
				return nil, fmt.Errorf("encode header %q: %w", key, err)
			}
			r.context = append(r.context, topic.Header{Key: key, Value: value})
			r.typed = append(r.typed, transform.Header{Key: key, Type: textType, Raw: value})
			r.texts = append(r.texts, h[1])
		}
	}
	return r, nil
}

// headerText is the wire form of a header that is a text, the same for all records.
func (o *Options) headerText(text string) ([]byte, error) {
	if o.Header == nil {
		return []byte(text), nil
	}
	var b change.Batch
	b.Arena = append(b.Arena, text...)
	return o.Header.AppendHeader(nil, &schema.Type{Kind: schema.String}, &b, b.TextFrom(0))
}

// planFor returns the plan of a table version, compiled at its first change. The plan of an older version goes.
func (r *recorder) planFor(t *schema.Table) (*tablePlan, error) {
	if t == r.last {
		return r.plan, nil
	}
	p := r.plans[t]
	if p == nil {
		var err error
		if p, err = r.compile(t); err != nil {
			return nil, fmt.Errorf("compile table %q: %w", t.ID, err)
		}
		if old := r.latest[t.ID]; old != nil {
			delete(r.plans, old)
		}
		r.plans[t], r.latest[t.ID] = p, t
	}
	r.last, r.plan = t, p
	return p, nil
}

func (r *recorder) compile(t *schema.Table) (*tablePlan, error) {
	names := r.o.Topics
	p := &tablePlan{topic: names.Data(t.ID), collection: t.ID.String()}
	p.routed = p.topic
	if !r.lazy {
		p.routed = r.o.Chain.Route(p.topic)
	}
	if t.Key != nil || names.KeyField != "" {
		p.keyType = schema.StructOf(names.Schema(p.topic, "Key"), false, t.Key)
		if names.KeyField != "" {
			p.keyType.Fields = append(p.keyType.Fields, schema.Field{Name: names.KeyField, Type: textType})
			p.keyField = names.key(t.ID)
		}
		var err error
		if p.key, err = compileFor(r.o.Key, p.routed, p.keyType); err != nil {
			return nil, err
		}
	}
	p.envelope = &Envelope{
		Table: t, Source: r.o.Source, Topic: p.routed,
		Type: envelopeType(names.Schema(p.topic, "Envelope"), names.Schema(p.topic, "Value"), t, r.source),
	}
	var err error
	p.value, err = r.format.CompileEnvelope(p.envelope)
	return p, err
}

// add makes the records of one change.
func (r *recorder) add(b *change.Batch, c *change.Change, now int64) error {
	switch c.Op {
	case change.TxBegin, change.TxEnd:
		return r.addBoundary(b, c)
	case change.Message:
		return r.addMessage(b, c, now)
	case change.Plain:
		return r.addPlain(b, c)
	}
	if r.skipped(b, c) {
		r.stats.filtered.Add(1)
		return nil
	}
	p, err := r.planFor(c.Table)
	if err != nil {
		return err
	}
	if c.Op == change.Update && c.OldKey.Present() && c.Key.Present() && !b.Equal(c.OldKey, c.Key) {
		return r.addKeyChange(p, b, c, now)
	}
	return r.addEvent(p, b, c, nil, now)
}

// skipped says whether configuration leaves the change out.
func (r *recorder) skipped(b *change.Batch, c *change.Change) bool {
	if c.Snapshot != change.NoSnapshot {
		return false
	}
	if r.o.Skip[c.Op] && !(c.Op == change.Update && c.OldKey.Present() && !b.Equal(c.OldKey, c.Key)) {
		return true
	}
	if r.o.SkipUnchanged && c.Op == change.Update && c.Before.Present() && b.Equal(c.Before, c.After) {
		r.stats.unchanged.Add(1)
		return true
	}
	return false
}

// addKeyChange makes delete, tombstone and create of an update of the key, each with the other key in a header.
func (r *recorder) addKeyChange(p *tablePlan, b *change.Batch, c *change.Change, now int64) error {
	d, n := *c, *c
	d.Op, d.Key, d.After, d.OldKey = change.Delete, c.OldKey, change.Row{}, change.Row{}
	n.Op, n.Before, n.OldKey = change.Create, change.Row{}, change.Row{}
	if !r.o.Skip[change.Delete] {
		h := transform.Header{Key: "__debezium.newkey", Type: p.keyType, Value: r.key(p, b, c.Key)}
		if err := r.addEvent(p, b, &d, &h, now); err != nil {
			return err
		}
	}
	if r.o.Skip[change.Create] {
		return nil
	}
	h := transform.Header{Key: "__debezium.oldkey", Type: p.keyType, Value: r.key(p, b, c.OldKey)}
	return r.addEvent(p, b, &n, &h, now)
}

// key makes the key struct of a row.
func (r *recorder) key(p *tablePlan, b *change.Batch, key change.Row) change.Value {
	columns := p.envelope.Table.Key
	if p.key == nil || len(columns) > 0 && !key.Present() {
		return change.NullValue()
	}
	for i := range columns {
		if v := b.At(key, i); v.IsNull() || v.Kind() == change.Unavailable {
			b.Set(key, i, settled(b, v, &columns[i]))
		}
	}
	if p.keyField != "" {
		longer := b.NewRow(len(columns) + 1)
		for i := range columns {
			b.Set(longer, i, b.At(key, i))
		}
		b.Set(longer, len(columns), b.Text(p.keyField))
		key = longer
	}
	return b.Run(change.Struct, key)
}

// keyed says whether the record of a change has a key.
func (p *tablePlan) keyed(c *change.Change) bool {
	return p.key != nil && (c.Key.Present() || p.keyField != "" && len(p.envelope.Table.Key) == 0 && c.Op != change.Truncate)
}

// addEvent makes the record of one event, and its tombstone.
func (r *recorder) addEvent(p *tablePlan, b *change.Batch, c *change.Change, first *transform.Header, now int64) error {
	tombstone := c.Op == change.Delete && r.o.Tombstones
	if r.tx != nil && !c.Transaction.IsNull() {
		c.Transaction = r.tx.count(b, c.Transaction, p.collection)
	}
	if r.lazy {
		return r.addTransformed(p, b, c, first, tombstone, now)
	}
	rec := topic.Record{Topic: p.routed, Partition: topic.AnyPartition}
	err := r.startRecord(&rec, p, b, c, first)
	if err != nil {
		return r.tolerated(c, err)
	}
	mark := len(r.arena)
	out, err := p.value.AppendValue(r.arena, b, c, now)
	if err == nil {
		r.arena = out
		rec.Value = topic.Data{Head: p.value.Head(), Body: r.arena[mark:len(r.arena):len(r.arena)]}
		r.out = append(r.out, rec)
		r.stats.count(c.Op)
	} else if err = r.tolerated(c, failedAt(change.StageValue, fmt.Errorf("encode row of table %q: %w", c.Table.ID, err))); err != nil {
		return err
	}
	if tombstone {
		rec.Value = topic.Data{}
		r.out = append(r.out, rec)
	}
	return nil
}

// startRecord fills in headers and key of an event.
func (r *recorder) startRecord(rec *topic.Record, p *tablePlan, b *change.Batch, c *change.Change, first *transform.Header) (err error) {
	if rec.Headers, err = r.headers(b, first); err != nil {
		return failedAt(change.StageHeader, err)
	}
	if p.keyed(c) {
		if rec.Key, err = r.encode(p.key, b, r.key(p, b, c.Key)); err != nil {
			return failedAt(change.StageKey, fmt.Errorf("encode key of table %q: %w", c.Table.ID, err))
		}
	}
	return nil
}

// failedAt tells the stage of an error.
func failedAt(stage change.Stage, err error) error {
	if err == nil {
		return nil
	}
	return &change.StageError{Stage: stage, Err: err}
}

// tolerated gives the error of a record, of which nothing is in r.out, to the connector's error policy: nil leaves the record
// out. The error of a converter that may pass by itself is no record's.
func (r *recorder) tolerated(c *change.Change, err error) error {
	var at *change.StageError
	if err == nil || r.o.Tolerate == nil || passing(err) && !(errors.As(err, &at) && at.Stage == change.StageTransform) {
		return err
	}
	subject := "the connector itself"
	if c != nil {
		subject = "table " + c.Subject() + ", operation " + string(rune(c.Op))
	}
	if err := r.o.Tolerate(subject, err); err != nil {
		return err
	}
	r.stats.failed.Add(1) // I5
	return nil
}

// encode appends a value to the arena. Earlier spans stay good when the arena moves.
func (r *recorder) encode(e Encoder, b *change.Batch, v change.Value) (topic.Data, error) {
	mark := len(r.arena)
	out, ok, err := e.Append(r.arena, b, v)
	if err != nil || !ok {
		return topic.Data{}, err
	}
	if out == nil {
		out = []byte{} // no bytes are not null
	}
	r.arena = out
	return topic.Data{Head: e.Head(), Body: out[mark:len(out):len(out)]}, nil
}

// headers are the context headers, after first where there is one.
func (r *recorder) headers(b *change.Batch, first *transform.Header) ([]topic.Header, error) {
	if first == nil {
		return r.context, nil
	}
	h, err := r.header(b, first)
	if err != nil {
		return nil, err
	}
	return append([]topic.Header{h}, r.context...), nil
}

func (r *recorder) header(b *change.Batch, h *transform.Header) (topic.Header, error) {
	if h.Stored() || h.Raw != nil {
		return topic.Header{Key: h.Key, Value: h.Raw}, nil
	}
	value, err := r.o.Header.AppendHeader(nil, h.Type, b, h.Value)
	if err != nil {
		return topic.Header{}, fmt.Errorf("encode header %q: %w", h.Key, err)
	}
	return topic.Header{Key: h.Key, Value: value}, nil
}

// addTransformed runs the chain over the event and over its tombstone. The tombstone begins with the headers that the
// event ended with: in the original both share one object.
func (r *recorder) addTransformed(p *tablePlan, b *change.Batch, c *change.Change, first *transform.Header, tombstone bool, now int64) error {
	rec := transform.Record{Topic: p.topic, Partition: topic.AnyPartition, TimeMillis: transform.NoTime, Data: b, Headers: r.contextIn(b)}
	if first != nil {
		rec.Headers = append([]transform.Header{*first}, rec.Headers...)
	}
	if p.keyed(c) {
		rec.KeyType = p.keyType
		rec.Key = r.key(p, b, c.Key)
	}
	rec.ValueType = p.envelope.Type
	rec.Lazy = func(rec *transform.Record) error {
		rec.Value = p.envelope.Build(b, c, now)
		return nil
	}
	dead := rec
	keep, err := r.o.Chain.Apply(&rec)
	switch {
	case err != nil:
		err = failedAt(change.StageTransform, fmt.Errorf("transform event of table %q: %w", c.Table.ID, err))
	case keep:
		err = r.addTyped(p, b, c, &rec, now)
		dead.Headers = rec.Headers
	default:
		r.stats.filtered.Add(1)
	}
	if err = r.tolerated(c, err); err != nil || !tombstone {
		return err
	}
	dead.ValueType, dead.Value, dead.Lazy = nil, change.NullValue(), nil
	if keep, err = r.o.Chain.Apply(&dead); err != nil {
		err = failedAt(change.StageTransform, fmt.Errorf("transform tombstone of table %q: %w", c.Table.ID, err))
	} else if keep {
		dead.Touched = true
		err = r.addTyped(p, b, nil, &dead, now)
	}
	return r.tolerated(c, err)
}

// contextIn are the context headers for transforms, with values in a batch.
func (r *recorder) contextIn(b *change.Batch) []transform.Header {
	if r.inBatch != b {
		for i := range r.typed {
			r.typed[i].Value = b.Text(r.texts[i])
		}
		r.inBatch = b
	}
	return r.typed
}

// addTyped encodes a record that went through transforms: by the plan of its table where they left it alone.
func (r *recorder) addTyped(p *tablePlan, b *change.Batch, c *change.Change, rec *transform.Record, now int64) error {
	out := topic.Record{Topic: rec.Topic, Partition: rec.Partition}
	if rec.TimeMillis != transform.NoTime {
		out.TimeMillis = rec.TimeMillis
	}
	for i := range rec.Headers {
		h, err := r.header(b, &rec.Headers[i])
		if err != nil {
			return failedAt(change.StageHeader, err)
		}
		out.Headers = append(out.Headers, h)
	}
	var err error
	if out.Key, err = r.typedData(r.o.Key, b, rec.Topic, rec.KeyType, rec.Key); err != nil {
		return failedAt(change.StageKey, fmt.Errorf("encode key for topic %q: %w", rec.Topic, err))
	}
	if rec.Touched {
		out.Value, err = r.typedData(r.o.Value, b, rec.Topic, rec.ValueType, rec.Value)
	} else {
		out.Value, err = r.eventData(p, b, c, rec, now)
	}
	if err != nil {
		return failedAt(change.StageValue, fmt.Errorf("encode value for topic %q: %w", rec.Topic, err))
	}
	r.out = append(r.out, out)
	if c != nil {
		r.stats.count(c.Op)
	}
	return nil
}

// eventData encodes an event that transforms left alone, but for names.
func (r *recorder) eventData(p *tablePlan, b *change.Batch, c *change.Change, rec *transform.Record, now int64) (topic.Data, error) {
	e, err := r.encoder(p, rec.ValueType, rec.Topic)
	if err != nil {
		return topic.Data{}, err
	}
	mark := len(r.arena)
	out, err := e.AppendValue(r.arena, b, c, now)
	if err != nil {
		return topic.Data{}, err
	}
	r.arena = out
	return topic.Data{Head: e.Head(), Body: r.arena[mark:len(r.arena):len(r.arena)]}, nil
}

func (r *recorder) typedData(f Format, b *change.Batch, name string, t *schema.Type, v change.Value) (topic.Data, error) {
	if t == nil && v.IsNull() {
		return topic.Data{}, nil
	}
	e, err := compileFor(f, name, t)
	if err != nil {
		return topic.Data{}, err
	}
	return r.encode(e, b, v)
}
