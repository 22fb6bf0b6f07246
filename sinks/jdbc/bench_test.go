// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/internal/testdb"
	"freshet/schema"
	"freshet/sinks"
)

func optional(k schema.Kind, name string, params ...schema.Param) *schema.Type {
	return &schema.Type{Kind: k, Name: name, Optional: true, Params: params}
}

// ordersRow is the benchmark's table, as a PostgreSQL source describes it.
var ordersRow = &schema.Type{Kind: schema.Struct, Name: "b.bench.orders.Value", Optional: true, Fields: []schema.Field{
	{Name: "id", Type: &schema.Type{Kind: schema.Int64}},
	{Name: "customer_id", Type: &schema.Type{Kind: schema.Int32}},
	{Name: "status", Type: &schema.Type{Kind: schema.String}},
	{Name: "amount", Type: &schema.Type{
		Kind: schema.Bytes, Name: schema.Decimal,
		Params: []schema.Param{{Name: "scale", Value: "2"}, {Name: "connect.decimal.precision", Value: "12"}},
	}},
	{Name: "currency", Type: &schema.Type{Kind: schema.String}},
	{Name: "created_at", Type: &schema.Type{Kind: schema.String, Name: schema.ZonedTimestamp}},
	{Name: "updated_at", Type: &schema.Type{Kind: schema.Int64, Name: schema.MicroTimestamp}},
	{Name: "note", Type: optional(schema.String, "")},
	{Name: "active", Type: &schema.Type{Kind: schema.Boolean}},
	{Name: "payload", Type: optional(schema.String, schema.JSON)},
}}

var ordersKey = &schema.Type{Kind: schema.Struct, Fields: []schema.Field{{Name: "id", Type: &schema.Type{Kind: schema.Int64}}}}

var ordersEnvelope = &schema.Type{Kind: schema.Struct, Name: "b.bench.orders.Envelope", Fields: []schema.Field{
	{Name: "before", Type: ordersRow}, {Name: "after", Type: ordersRow}, {Name: "op", Type: &schema.Type{Kind: schema.String}},
}}

const ordersDDL = `create table orders(id bigint primary key, customer_id int not null, status text not null, amount numeric(12,2) not null,
  currency char(3) not null, created_at timestamptz not null, updated_at timestamp not null, note varchar(200), active boolean not null, payload jsonb)`

// addOrder appends a change of an order. A deleted one has its key only.
func addOrder(b *sinks.Batch, op change.Op, id, version int64) {
	d := &b.Data
	key := d.NewRow(1)
	d.Set(key, 0, change.IntValue(id))
	value := d.NewRow(3)
	if op != change.Delete {
		g := (id + version) % 1000
		cents := g * 125
		row := d.NewRow(10)
		created := fmt.Appendf(nil, "2026-01-01T%02d:%02d:%02dZ", g/3600, g/60%60, g%60)
		for i, v := range []change.Value{
			change.IntValue(id), change.IntValue(g % 5000), d.Text("NEW"), d.BytesOf([]byte{byte(cents >> 16), byte(cents >> 8), byte(cents)}),
			d.Text("EUR"), d.TextOf(created), change.IntValue(1767225600000000 + g*1000000),
			d.TextOf(fmt.Appendf(nil, "note for row number %d with some padding text", g)), change.BoolValue(g%2 == 0),
			d.TextOf(fmt.Appendf(nil, `{"qty": %d, "sku": "A-%d", "tags": ["x", "y"]}`, g%7, g)),
		} {
			d.Set(row, i, v)
		}
		d.Set(value, 1, d.Run(change.Struct, row))
	}
	d.Set(value, 2, d.Text(string(op)))
	p := topic.Partition{Topic: "b.bench.orders"}
	at := b.Next[p]
	b.Records = append(b.Records, sinks.Record{
		Source: p, Topic: p.Topic, Offset: at, KeyType: ordersKey, Key: d.Run(change.Struct, key),
		ValueType: ordersEnvelope, Value: d.Run(change.Struct, value),
	})
	b.Next[p] = at + 1
}

func newBatch() *sinks.Batch { return &sinks.Batch{Next: map[topic.Partition]int64{}} }

// openWriter opens a writer into the server's test database. Pairs are properties beyond upsert by record key.
func openWriter(t testing.TB, s *testdb.Server, pairs ...string) sinks.Writer {
	t.Helper()
	raw := map[string]string{
		"connection.url": s.DSN(), "insert.mode": "upsert", "primary.key.mode": "record_key", "delete.enabled": "true",
		"collection.name.format": "orders",
	}
	for i := 0; i < len(pairs); i += 2 {
		raw[pairs[i]] = pairs[i+1]
	}
	w := open(t, raw, nil)
	t.Cleanup(func() { require.NoError(t, w.Close(context.WithoutCancel(t.Context()))) })
	return w
}

// BenchmarkWriteCreates is workload W4's first half without the topic: create events into an empty table.
func BenchmarkWriteCreates(b *testing.B) {
	for _, mode := range []struct {
		name  string
		pairs []string
	}{{"upsert", nil}, {"upsert with offsets", []string{"offsets.table.name", "freshet_offsets"}}} {
		b.Run(mode.name, func(b *testing.B) {
			benchmarkWrite(b, mode.pairs, fillCreates)
		})
	}
	b.Run("SQLite", func(b *testing.B) { benchmarkSQLite(b, fillCreates) })
}

// BenchmarkWriteMixed is its second half: updates, creates and deletes over 200,000 keys.
func BenchmarkWriteMixed(b *testing.B) {
	b.Run("PostgreSQL", func(b *testing.B) { benchmarkWrite(b, nil, fillMixed) })
	b.Run("SQLite", func(b *testing.B) { benchmarkSQLite(b, fillMixed) })
}

func benchmarkSQLite(b *testing.B, fill func(batch *sinks.Batch, next *int64)) {
	w := open(b, newSQLite(b, "").upsert("collection.name.format", "orders"), nil)
	benchmarkWriter(b, w, fill)
	require.NoError(b, w.Close(b.Context()))
}

func fillCreates(batch *sinks.Batch, next *int64) {
	for range 10_000 {
		addOrder(batch, change.Create, *next, 0)
		*next++
	}
}

func fillMixed(batch *sinks.Batch, next *int64) {
	for range 10_000 {
		*next = *next*6364136223846793005 + 1442695040888963407
		r := uint64(*next) >> 33
		op := change.Update
		if r%10 >= 9 {
			op = change.Delete
		} else if r%10 >= 5 {
			op = change.Create
		}
		addOrder(batch, op, int64(r/10%200_000), int64(r%97))
	}
}

func benchmarkWrite(b *testing.B, pairs []string, fill func(batch *sinks.Batch, next *int64)) {
	s := testdb.Postgres(b)
	s.Exec(b, ordersDDL)
	benchmarkWriter(b, openWriter(b, s, pairs...), fill)
}

func benchmarkWriter(b *testing.B, w sinks.Writer, fill func(batch *sinks.Batch, next *int64)) {
	batch := newBatch()
	var next int64
	rows := 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		batch.Reset()
		fill(batch, &next)
		b.StartTimer()
		if err := w.Write(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		rows += len(batch.Records)
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}
