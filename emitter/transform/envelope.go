// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"strings"

	"freshet/change"
	"freshet/schema"
)

// debeziumVersion is the version of Debezium whose transforms these are.
const debeziumVersion = "3.6.1.Final"

// debeziumException is what Debezium's transforms refuse records with.
const debeziumException = "io.debezium.DebeziumException"

// isEnvelope says whether values of a type are events of rows. Debezium tells them by the name alone.
func isEnvelope(t *schema.Type) bool {
	return t != nil && t.Kind == schema.Struct && strings.HasSuffix(t.Name, "Envelope")
}

// event loads the record and is its envelope; ok is false where its value is none.
func (r *Record) event() (env change.Row, ok bool, err error) {
	if err := r.Load(); err != nil {
		return change.Row{}, false, err
	}
	if !isEnvelope(r.ValueType) || r.Value.IsNull() {
		return change.Row{}, false, nil
	}
	return r.Data.RowOf(r.Value), true, nil
}

// envelope says where the parts of the envelopes of one schema are: indexes of its fields, -1 for what it does not have.
type envelope struct{ before, after, source, op, millis int }

func envelopeOf(t *schema.Type) envelope {
	return envelope{
		before: t.FieldIndex("before"), after: t.FieldIndex("after"), source: t.FieldIndex("source"),
		op: t.FieldIndex("op"), millis: t.FieldIndex("ts_ms"),
	}
}

// operation is what an event says happened; 0 where it says nothing.
func (e *envelope) operation(b *change.Batch, env change.Row) change.Op {
	v := part(b, env, e.op)
	if v.Kind() != change.Text || len(b.Bytes(v)) == 0 {
		return 0
	}
	return change.Op(b.Bytes(v)[0])
}

// table is the name in the source block, "" where there is none. It is valid until the batch is reset.
func (e *envelope) table(t *schema.Type, b *change.Batch, env change.Row) string {
	source := part(b, env, e.source)
	if source.Kind() != change.Struct {
		return ""
	}
	v := part(b, b.RowOf(source), t.Fields[e.source].Type.FieldIndex("table"))
	if v.Kind() != change.Text {
		return ""
	}
	return b.String(v)
}

// part is a value of a row, Null where i is -1.
func part(b *change.Batch, r change.Row, i int) change.Value {
	if i < 0 {
		return change.NullValue()
	}
	return b.At(r, i)
}

// orDefault is v, or the default of its type for a null.
func orDefault(b *change.Batch, v change.Value, t *schema.Type) change.Value {
	if v.IsNull() && t.Default != nil {
		return b.AppendLiteral(t.Default, t)
	}
	return v
}

// copyRow copies a row into one of n values; those behind are Null.
func copyRow(b *change.Batch, from change.Row, n int) change.Row {
	out := b.NewRow(n)
	for i := range min(from.Len(), n) {
		b.Set(out, i, b.At(from, i))
	}
	return out
}

// fieldOf finds a field of a struct, and refuses its absence in the words of Struct.get.
func fieldOf(t *schema.Type, name string) (int, error) {
	i := t.FieldIndex(name)
	if i < 0 {
		return i, refuse("%s is not a valid field name", name)
	}
	return i, nil
}

// memo remembers what was made of keys that come from data (cache does so for schemas). It forgets all rather than grow
// beyond cacheSize.
type memo[K comparable, V any] struct{ m map[K]V }

func (c *memo[K, V]) get(k K) (V, bool) {
	v, ok := c.m[k]
	return v, ok
}

// put remembers v and returns it.
func (c *memo[K, V]) put(k K, v V) V {
	if c.m == nil || len(c.m) >= cacheSize {
		c.m = map[K]V{}
	}
	c.m[k] = v
	return v
}

// debeziumKinds are Debezium's transforms.
var debeziumKinds = []kind{
	changedStateKind, decodeMessageKind, headerToValueKind, logicalRouterKind, outboxKind, partitionRoutingKind, scriptFilterKind, scriptRouterKind, sourceSchemaKind, timezoneKind,
}
