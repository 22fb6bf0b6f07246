// SPDX-License-Identifier: Apache-2.0

package json_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/change"
	"freshet/emitter"
	"freshet/emitter/json"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/sinks"
)

// ordersTable is the table of the benchmarks.
func ordersTable() *schema.Table {
	column := func(name string, kind schema.Kind, semantic string, optional bool) schema.Column {
		t := &schema.Type{Kind: kind, Name: semantic, Optional: optional}
		if semantic != "" {
			t.Version = 1
		}
		return schema.Column{Name: name, Type: t}
	}
	amount := column("amount", schema.Bytes, schema.Decimal, false)
	amount.Type.Params = []schema.Param{{Name: "scale", Value: "2"}, {Name: "connect.decimal.precision", Value: "12"}}
	t := &schema.Table{ID: schema.ID{Catalog: "bench", Schema: "bench", Name: "orders"}, Columns: []schema.Column{
		column("id", schema.Int64, "", false),
		column("customer_id", schema.Int32, "", false),
		column("status", schema.String, "", false),
		amount,
		column("currency", schema.String, "", false),
		column("created_at", schema.String, schema.ZonedTimestamp, false),
		column("updated_at", schema.Int64, schema.MicroTimestamp, false),
		column("note", schema.String, "", true),
		column("active", schema.Boolean, "", false),
		column("payload", schema.String, schema.JSON, true),
	}}
	t.Key = t.Columns[:1]
	return t
}

// postgresBlock is the source block of PostgreSQL.
func postgresBlock() capture.SourceBlock {
	text, optionalText := &schema.Type{Kind: schema.String}, &schema.Type{Kind: schema.String, Optional: true}
	long, optionalLong := &schema.Type{Kind: schema.Int64}, &schema.Type{Kind: schema.Int64, Optional: true}
	snapshot := &schema.Type{
		Kind: schema.String, Optional: true, Name: schema.Enum, Version: 1, Default: "false",
		Params: []schema.Param{{Name: "allowed", Value: "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"}},
	}
	return capture.SourceBlock{Name: "io.debezium.connector.postgresql.Source", Version: 1, Fields: []capture.SourceField{
		{Name: "version", Type: text, From: capture.FromVersion},
		{Name: "connector", Type: text, From: capture.FromConnector},
		{Name: "name", Type: text, From: capture.FromName},
		{Name: "ts_ms", Type: long, From: capture.FromMillis},
		{Name: "snapshot", Type: snapshot, From: capture.FromSnapshot},
		{Name: "db", Type: text, From: capture.FromCatalog},
		{Name: "sequence", Type: optionalText},
		{Name: "ts_us", Type: optionalLong, From: capture.FromMicros},
		{Name: "ts_ns", Type: optionalLong, From: capture.FromNanos},
		{Name: "schema", Type: text, From: capture.FromSchema},
		{Name: "table", Type: text, From: capture.FromTable},
		{Name: "txId", Type: optionalLong},
		{Name: "lsn", Type: optionalLong},
		{Name: "xmin", Type: optionalLong},
		{Name: "origin", Type: optionalText},
		{Name: "origin_lsn", Type: optionalLong},
	}}
}

// envelopeOf is the envelope of a table as the emitter builds it.
func envelopeOf(table *schema.Table, name string) *emitter.Envelope {
	block := postgresBlock()
	row := schema.StructOf(name+".Value", true, table.Columns)
	source := &schema.Type{Kind: schema.Struct, Name: block.Name, Version: block.Version}
	for _, f := range block.Fields {
		source.Fields = append(source.Fields, schema.Field{Name: f.Name, Type: f.Type})
	}
	text, long := &schema.Type{Kind: schema.String}, &schema.Type{Kind: schema.Int64}
	transaction := &schema.Type{Kind: schema.Struct, Name: "event.block", Version: 1, Optional: true, Fields: []schema.Field{
		{Name: "id", Type: text}, {Name: "total_order", Type: long}, {Name: "data_collection_order", Type: long},
	}}
	optionalLong := &schema.Type{Kind: schema.Int64, Optional: true}
	return &emitter.Envelope{
		Table: table,
		Type: &schema.Type{Kind: schema.Struct, Name: name + ".Envelope", Version: 2, Fields: []schema.Field{
			{Name: "before", Type: row},
			{Name: "after", Type: row},
			{Name: "source", Type: source},
			{Name: "transaction", Type: transaction},
			{Name: "op", Type: text},
			{Name: "ts_ms", Type: optionalLong},
			{Name: "ts_us", Type: optionalLong},
			{Name: "ts_ns", Type: optionalLong},
		}},
		Source: emitter.SourcePlan{Block: block, Version: "3.6.1.Final", Connector: "postgresql", Name: "dbserver1"},
	}
}

func ordersRow(b *change.Batch, id int64) change.Row {
	r := b.NewRow(10)
	values := [...]change.Value{
		change.IntValue(id), change.IntValue(4711), b.Text("NEW"), b.BytesOf([]byte{0x30, 0x39}), b.Text("EUR"),
		b.Text("2026-01-01T00:16:40.000000Z"), change.IntValue(1767226600000000),
		b.Text("note for row number 1000 with some padding text"), change.BoolValue(true),
		b.Text(`{"qty": 6, "sku": "A-1000", "tags": ["x", "y"]}`),
	}
	for i, v := range values {
		b.Set(r, i, v)
	}
	return r
}

func sourceRow(b *change.Batch) change.Row {
	r := b.NewRow(6)
	b.Set(r, 0, b.Text(`["26523000","26523128"]`))
	b.Set(r, 1, change.IntValue(771))
	b.Set(r, 2, change.IntValue(26523128))
	return r
}

const (
	sourceMicros = 1795256130124001
	now          = 1795256130340512000
)

func orderChange(b *change.Batch, op change.Op) change.Change {
	t := ordersTable()
	c := change.Change{Table: t, Op: op, SourceMicros: sourceMicros, Source: sourceRow(b), After: ordersRow(b, 1000)}
	if op == change.Update {
		c.Before = ordersRow(b, 1000)
	}
	return c
}

// mustEnvelope compiles the envelopes of the orders.
func mustEnvelope(t testing.TB, o json.Options) emitter.EnvelopeEncoder {
	t.Helper()
	e, err := json.New(o).CompileEnvelope(envelopeOf(ordersTable(), "dbserver1.bench.orders"))
	require.NoError(t, err)
	return e
}

func BenchmarkEnvelope(bench *testing.B) {
	for _, op := range []change.Op{change.Create, change.Update} {
		for _, schemas := range []bool{true, false} {
			name := map[change.Op]string{change.Create: "create", change.Update: "update"}[op] + map[bool]string{true: "/schemas", false: "/plain"}[schemas]
			bench.Run(name, func(bench *testing.B) {
				var b change.Batch
				c := orderChange(&b, op)
				e := mustEnvelope(bench, json.Options{SchemasEnable: schemas, ReplaceNullWithDefault: true})
				var dst []byte
				var err error
				bench.ReportAllocs()
				for bench.Loop() {
					if dst, err = e.AppendValue(dst[:0], &b, &c, now); err != nil {
						bench.Fatal(err)
					}
				}
				bench.SetBytes(int64(len(dst)))
			})
		}
	}
}

// updateRecord is an update as the local log hands it out, or as Kafka does.
func updateRecord(t testing.TB, o json.Options, headed bool) *topic.Record {
	t.Helper()
	var b change.Batch
	c := orderChange(&b, change.Update)
	e := mustEnvelope(t, o)
	body, err := e.AppendValue(nil, &b, &c, now)
	require.NoError(t, err)
	value := topic.Data{Head: e.Head(), Body: body}
	if !headed {
		value = topic.Data{Body: value.Bytes()}
	}
	return &topic.Record{Topic: "dbserver1.bench.orders", Value: value}
}

func BenchmarkDecode(bench *testing.B) {
	o := json.Options{SchemasEnable: true, ReplaceNullWithDefault: true}
	cases := map[string]struct {
		record  *topic.Record
		options json.Options
	}{
		"head":       {updateRecord(bench, o, true), o},
		"wire":       {updateRecord(bench, o, false), o},
		"schemaless": {updateRecord(bench, json.Options{}, true), json.Options{}},
	}
	for name, c := range cases {
		bench.Run(name, func(bench *testing.B) {
			d := json.NewDecoder(c.options, c.options)
			var b sinks.Batch
			bench.ReportAllocs()
			for bench.Loop() {
				b.Data.Reset()
				if _, err := d.Decode(&b, c.record); err != nil {
					bench.Fatal(err)
				}
			}
			bench.SetBytes(int64(c.record.Value.Len()))
		})
	}
}
