// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/emitter/transform"
	"freshet/schema"
)

// transactions counts the events of the transaction at hand, for the transaction blocks of events and for END records.
// Its state goes into the mark of every unit, with the members that Debezium's offsets have for it: after a restart in
// mid-transaction counting goes on, and BEGIN is not repeated.
type transactions struct {
	topic  string
	id     string // of the transaction, without the place in the log: 771 of 771:26523128
	total  int64
	tables map[string]int64 // events by collection
	order  []string         // collections in the order of their first events
}

// The members of a mark.
const (
	memberTransaction = "transaction_id"
	memberTableOrder  = "transaction_data_collection_order_"
)

// newTransactions goes on with what the mark of the last durable unit says.
func newTransactions(topic, mark string) (*transactions, error) {
	t := &transactions{topic: topic, tables: map[string]int64{}}
	if mark == "" {
		return t, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(mark), &members); err != nil {
		return nil, fmt.Errorf("read the stored position %q: %w", mark, err)
	}
	for name, text := range members {
		collection, isTable := strings.CutPrefix(name, memberTableOrder)
		var err error
		switch {
		case name == memberTransaction && string(text) != "null":
			err = json.Unmarshal(text, &t.id)
		case isTable:
			var n int64
			err = json.Unmarshal(text, &n)
			t.tables[collection] = n
			t.order = append(t.order, collection)
			t.total += n
		}
		if err != nil {
			return nil, fmt.Errorf("read %q of the stored position: %w", name, err)
		}
	}
	return t, nil
}

// begin starts to count, and returns false for the transaction that was being counted: it comes again after a restart.
func (t *transactions) begin(id []byte) bool {
	if i := bytes.IndexByte(id, ':'); i >= 0 {
		id = id[:i]
	}
	if string(id) == t.id {
		return false
	}
	t.id, t.total, t.order = string(id), 0, t.order[:0]
	clear(t.tables)
	return true
}

// count counts an event of a collection, and makes the transaction block of it.
func (t *transactions) count(b *change.Batch, id change.Value, collection string) change.Value {
	t.total++
	n := t.tables[collection] + 1
	if n == 1 {
		t.order = append(t.order, collection)
	}
	t.tables[collection] = n
	r := b.NewRow(3)
	b.Set(r, 0, id)
	b.Set(r, 1, change.IntValue(t.total))
	b.Set(r, 2, change.IntValue(n))
	return b.Run(change.Struct, r)
}

// mark adds the state to a position.
func (t *transactions) mark(position change.Position) string {
	if position == "" || t.id == "" {
		return string(position)
	}
	members := append([]byte(`"`+memberTransaction+`":`), quoted(t.id)...)
	for _, c := range t.order {
		members = append(append(members, ','), quoted(memberTableOrder+c)...)
		members = fmt.Appendf(members, ":%d", t.tables[c])
	}
	return string(position.With(members))
}

// mark is what goes into the unit of a batch that ends at a position.
func (r *recorder) mark(end change.Position) string {
	if r.tx == nil {
		return string(end)
	}
	return r.tx.mark(end)
}

// quoted is the JSON text of a name.
func quoted(s string) []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

var (
	transactionKey = &schema.Type{
		Kind: schema.Struct, Name: "io.debezium.connector.common.TransactionMetadataKey", Version: 1,
		Fields: []schema.Field{{Name: "id", Type: textType}},
	}
	collectionCount = &schema.Type{
		Kind: schema.Struct, Optional: true, Name: "event.collection", Version: 1,
		Fields: []schema.Field{{Name: "data_collection", Type: textType}, {Name: "event_count", Type: longType}},
	}
	transactionValue = &schema.Type{
		Kind: schema.Struct, Name: "io.debezium.connector.common.TransactionMetadataValue", Version: 1,
		Fields: []schema.Field{
			{Name: "status", Type: textType},
			{Name: "id", Type: textType},
			{Name: "event_count", Type: optionalLongType},
			{Name: "data_collections", Type: &schema.Type{Kind: schema.Array, Optional: true, Elem: collectionCount}},
			{Name: "ts_ms", Type: longType},
		},
	}
)

// addBoundary makes the record of a transaction's begin or end.
func (r *recorder) addBoundary(b *change.Batch, c *change.Change) error {
	if r.tx == nil || c.Op == change.TxBegin && !r.tx.begin(b.Bytes(c.Transaction)) {
		return nil
	}
	key := b.NewRow(1)
	b.Set(key, 0, c.Transaction)
	value := b.NewRow(len(transactionValue.Fields))
	b.Set(value, 1, c.Transaction)
	b.Set(value, 4, change.IntValue(floorDiv(c.SourceMicros, 1000)))
	if c.Op == change.TxBegin {
		b.Set(value, 0, b.Text("BEGIN"))
	} else {
		b.Set(value, 0, b.Text("END"))
		b.Set(value, 2, change.IntValue(r.tx.total))
		b.Set(value, 3, r.tx.collections(b))
	}
	return r.addOwn(&transform.Record{
		Topic: r.tx.topic, Partition: topic.AnyPartition, Data: b, KeyType: transactionKey, Key: b.Run(change.Struct, key),
		ValueType: transactionValue, Value: b.Run(change.Struct, value),
	})
}

// collections are the counts of an END record.
func (t *transactions) collections(b *change.Batch) change.Value {
	list := b.NewRow(len(t.order))
	for i, name := range schema.JavaOrder(append([]string(nil), t.order...)) {
		item := b.NewRow(2)
		b.Set(item, 0, b.Text(name))
		b.Set(item, 1, change.IntValue(t.tables[name]))
		b.Set(list, i, b.Run(change.Struct, item))
	}
	return b.Run(change.Array, list)
}
