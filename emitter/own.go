// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"fmt"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/emitter/transform"
	"freshet/schema"
)

// Records that are not changes of rows: logical messages, heartbeats, notifications, ends of transactions. They have no
// context headers. They go through the transforms like all others, and are rare enough to be built as values.

var (
	longType = &schema.Type{Kind: schema.Int64}

	heartbeatKey = &schema.Type{
		Kind: schema.Struct, Name: "io.debezium.connector.common.ServerNameKey", Version: 1,
		Fields: []schema.Field{{Name: "serverName", Type: textType}},
	}
	heartbeatValue = &schema.Type{
		Kind: schema.Struct, Name: "io.debezium.connector.common.Heartbeat", Version: 1,
		Fields: []schema.Field{{Name: "ts_ms", Type: longType}},
	}
	noticeKey = &schema.Type{
		Kind: schema.Struct, Name: "io.debezium.connector.common.NotificationKey", Version: 1,
		Fields: []schema.Field{{Name: "id", Type: textType}},
	}
	noticeValue = &schema.Type{
		Kind: schema.Struct, Name: "io.debezium.connector.common.Notification", Version: 1,
		Fields: []schema.Field{
			{Name: "id", Type: textType},
			{Name: "type", Type: textType},
			{Name: "aggregate_type", Type: textType},
			{Name: "additional_data", Type: &schema.Type{Kind: schema.Map, Optional: true, Key: textType, Elem: textType}},
			{Name: "timestamp", Type: longType},
		},
	}
)

// messagePlan is what logical messages of one table version (prefix and content) are made with.
type messagePlan struct {
	table    *schema.Table
	envelope *Envelope
	key      *schema.Type
	value    *schema.Type
	content  *schema.Type
}

func (r *recorder) messagePlan(t *schema.Table) *messagePlan {
	if r.messages != nil && r.messages.table == t {
		return r.messages
	}
	names := r.o.Messages
	content := schema.StructOf(names.Message, false, t.Columns)
	content.Version = 1
	key := schema.StructOf(names.Key, false, t.Key)
	key.Version = 1
	r.messages = &messagePlan{
		table: t, envelope: &Envelope{Table: t, Source: r.o.Source}, key: key, content: content,
		value: &schema.Type{
			Kind: schema.Struct, Name: names.Value, Version: 1,
			Fields: []schema.Field{
				{Name: "op", Type: textType},
				{Name: "ts_ms", Type: optionalLongType},
				{Name: "source", Type: r.source},
				{Name: "transaction", Type: transactionBlock},
				{Name: "message", Type: content},
			},
		},
	}
	return r.messages
}

// addMessage makes the record of a logical message.
func (r *recorder) addMessage(b *change.Batch, c *change.Change, now int64) error {
	p := r.messagePlan(c.Table)
	value := b.NewRow(len(p.value.Fields))
	b.Set(value, 0, b.Text("m"))
	b.Set(value, 1, change.IntValue(now/1e6))
	b.Set(value, 2, p.envelope.source(b, c))
	if r.tx != nil && !c.Transaction.IsNull() {
		// The original counts each message under the text of a Java object, another one for each.
		b.Set(value, 3, r.tx.count(b, c.Transaction, fmt.Sprintf("%s@%x", r.o.Messages.Collection, r.tx.total+1)))
	}
	b.Set(value, 4, b.Run(change.Struct, c.After))
	r.stats.count(change.Message)
	return r.addOwn(&transform.Record{
		Topic: r.o.Topics.Messages(), Partition: topic.AnyPartition, Data: b, KeyType: p.key, Key: b.Run(change.Struct, c.Key),
		ValueType: p.value, Value: b.Run(change.Struct, value),
	})
}

// addPlain makes the record of a source without rows: no key, no envelope, no context headers.
func (r *recorder) addPlain(b *change.Batch, c *change.Change) error {
	t := c.Table.Columns[0].Type
	if len(r.o.Chain) > 0 {
		return r.addOwn(&transform.Record{
			Topic: c.Table.ID.Name, Partition: topic.AnyPartition, Data: b, ValueType: t, Value: b.At(c.After, 0),
		})
	}
	value, err := r.typedData(r.o.Value, b, c.Table.ID.Name, t, b.At(c.After, 0))
	if err != nil {
		return r.tolerated(c, failedAt(change.StageValue, fmt.Errorf("encode value for topic %q: %w", c.Table.ID.Name, err)))
	}
	r.out = append(r.out, topic.Record{Topic: c.Table.ID.Name, Partition: topic.AnyPartition, Value: value})
	return nil
}

// addHeartbeat makes a heartbeat. It goes to partition 0.
func (r *recorder) addHeartbeat(now int64) error {
	b := r.scratch()
	key, value := b.NewRow(1), b.NewRow(1)
	b.Set(key, 0, b.Text(r.o.Source.Name))
	b.Set(value, 0, change.IntValue(now/1e6))
	return r.addOwn(&transform.Record{
		Topic: r.o.Heartbeat.Topic, Data: b, KeyType: heartbeatKey, Key: b.Run(change.Struct, key),
		ValueType: heartbeatValue, Value: b.Run(change.Struct, value),
	})
}

// addNotice makes a record of a notification.
func (r *recorder) addNotice(n *change.Notice) error {
	b := r.scratch()
	key, value := b.NewRow(1), b.NewRow(len(noticeValue.Fields))
	if n.ID == "" {
		n.ID = newUUID()
	}
	id := b.Text(n.ID)
	b.Set(key, 0, id)
	b.Set(value, 0, id)
	b.Set(value, 1, b.Text(n.Type))
	b.Set(value, 2, b.Text(n.Aggregate))
	names := make([]string, len(n.Data))
	texts := make(map[string]string, len(n.Data))
	for i, p := range n.Data {
		names[i], texts[p.Name] = p.Name, p.Value
	}
	data := b.NewRow(2 * len(names))
	for i, name := range schema.JavaCopyOrder(names) {
		b.Set(data, 2*i, b.Text(name))
		b.Set(data, 2*i+1, b.Text(texts[name]))
	}
	b.Set(value, 3, b.Run(change.Map, data))
	b.Set(value, 4, change.IntValue(n.Millis))
	return r.addOwn(&transform.Record{
		Topic: r.o.Notices.Topic, Partition: topic.AnyPartition, Data: b, KeyType: noticeKey, Key: b.Run(change.Struct, key),
		ValueType: noticeValue, Value: b.Run(change.Struct, value),
	})
}

// scratch is an empty batch for values that end in the arena of records at once.
func (r *recorder) scratch() *change.Batch {
	r.own.Reset()
	return &r.own
}

// addOwn runs the transforms over a record, which has no time of its own, and encodes it.
func (r *recorder) addOwn(rec *transform.Record) error {
	rec.Touched, rec.TimeMillis = true, transform.NoTime
	keep, err := r.o.Chain.Apply(rec)
	if err != nil {
		return r.tolerated(nil, failedAt(change.StageTransform, fmt.Errorf("transform record for topic %q: %w", rec.Topic, err)))
	}
	if !keep {
		r.stats.filtered.Add(1) // I5
		return nil
	}
	return r.tolerated(nil, r.addTyped(nil, rec.Data, nil, rec, 0))
}
