// SPDX-License-Identifier: Apache-2.0

package avro

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/change"
	"freshet/emitter"
	"freshet/schema"
	"freshet/schema/registry/registrytest"
)

// personsEnvelope is the envelope of a table with columns of all sorts of nulls, as the emitter makes it.
func personsEnvelope() *emitter.Envelope {
	text, long := &schema.Type{Kind: schema.String}, &schema.Type{Kind: schema.Int64}
	optionalText, optionalLong := text.AsOptional(true), long.AsOptional(true)
	decimal := &schema.Type{Kind: schema.Bytes, Name: schema.Decimal, Version: 1, Params: []schema.Param{{Name: "scale", Value: "2"}}}
	table := &schema.Table{ID: schema.ID{Catalog: "db", Schema: "public", Name: "persons"}, Columns: []schema.Column{
		{Name: "id", Type: &schema.Type{Kind: schema.Int32, Default: int64(0)}},
		{Name: "name", Type: text, Fallback: ""},
		{Name: "email", Type: optionalText, Unavailable: "__debezium_unavailable_value"},
		{Name: "price", Type: decimal.AsOptional(true)},
		{Name: "state", Type: &schema.Type{Kind: schema.String, Optional: true, Default: "new"}},
		{Name: "tags", Type: &schema.Type{Kind: schema.Array, Optional: true, Elem: optionalText}},
		{Name: "at", Type: long, Fallback: int64(7), Unavailable: int64(8)},
	}}
	table.Key = table.Columns[:1]
	snapshot := &schema.Type{Kind: schema.String, Optional: true, Name: schema.Enum, Version: 1, Default: "false"}
	block := capture.SourceBlock{Name: "io.debezium.connector.postgresql.Source", Version: 1, Fields: []capture.SourceField{
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
		{Name: "lsn", Type: optionalLong},
	}}
	plan := emitter.SourcePlan{Block: block, Version: "3.6.1.Final", Connector: "postgresql", Name: "srv"}
	row := schema.StructOf("srv.public.persons.Value", true, table.Columns)
	transaction := &schema.Type{Kind: schema.Struct, Name: "event.block", Version: 1, Optional: true, Fields: []schema.Field{
		{Name: "id", Type: text}, {Name: "total_order", Type: long}, {Name: "data_collection_order", Type: long},
	}}
	return &emitter.Envelope{
		Table: table, Source: plan, Topic: "srv.public.persons",
		Type: &schema.Type{Kind: schema.Struct, Name: "srv.public.persons.Envelope", Version: 2, Fields: []schema.Field{
			{Name: "before", Type: row},
			{Name: "after", Type: row},
			{Name: "source", Type: plan.Type()},
			{Name: "transaction", Type: transaction},
			{Name: "op", Type: text},
			{Name: "ts_ms", Type: optionalLong},
			{Name: "ts_us", Type: optionalLong},
			{Name: "ts_ns", Type: optionalLong},
		}},
	}
}

// randomChange is a change with values, nulls and values that were not sent where the columns have room for them.
func randomChange(r *rand.Rand, b *change.Batch, e *emitter.Envelope) change.Change {
	row := func() change.Row {
		out := b.NewRow(len(e.Table.Columns))
		tags := b.NewRow(2)
		b.Set(tags, 0, b.Text("x"))
		for i, v := range []change.Value{
			change.IntValue(r.Int64N(100)), b.Text("Ada"), b.Text("a@b"), b.BytesOf([]byte{0x30, 0x39}), b.Text("old"),
			b.Run(change.Array, tags), change.IntValue(-r.Int64N(1 << 60)),
		} {
			switch r.IntN(4) {
			case 0:
				v = change.NullValue()
			case 1:
				v = change.UnavailableValue()
				if c := &e.Table.Columns[i]; c.Unavailable == nil && !c.Type.Optional && c.Type.Default == nil && c.Fallback == nil {
					v = change.NullValue()
				}
			}
			b.Set(out, i, v)
		}
		return out
	}
	c := change.Change{Table: e.Table, Op: change.Op("cudr"[r.IntN(4)]), SourceMicros: r.Int64N(1<<51) - 1<<40, Snapshot: change.Snapshot(r.IntN(7))}
	if r.IntN(3) > 0 {
		c.Before = row()
	}
	if r.IntN(3) > 0 {
		c.After = row()
	}
	if r.IntN(5) > 0 {
		c.Source = b.NewRow(2)
		if r.IntN(2) == 0 {
			b.Set(c.Source, 0, b.Text(`["1","2"]`))
			b.Set(c.Source, 1, change.IntValue(r.Int64()))
		}
	}
	if r.IntN(2) == 0 {
		tx := b.NewRow(3)
		b.Set(tx, 0, b.Text("771:1"))
		b.Set(tx, 1, change.IntValue(1))
		b.Set(tx, 2, change.IntValue(2))
		c.Transaction = b.Run(change.Struct, tx)
	}
	return c
}

// The program of a table writes what building the envelope and encoding it writes.
func TestEnvelopesAreAsBuilt(t *testing.T) {
	registry := registrytest.New(t)
	for _, ignore := range []string{"false", "true"} {
		f, _ := newFormat(t, map[string]string{"schema.registry.url": registry.URL, "ignore.default.for.nullables": ignore}, false)
		e := personsEnvelope()
		program, err := f.CompileEnvelope(e)
		require.NoError(t, err)
		built, err := f.CompileFor(e.Topic, e.Type)
		require.NoError(t, err)
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 2000 {
			var b change.Batch
			c := randomChange(r, &b, e)
			const now = 1795256130340512000
			want, _, wantErr := built.Append([]byte("x"), &b, e.Build(&b, &c, now))
			got, err := program.AppendValue([]byte("x"), &b, &c, now)
			require.Equal(t, wantErr == nil, err == nil, "change %d: %v, built: %v", i, err, wantErr)
			if err == nil {
				require.Equal(t, want, got, "change %d", i)
			}
		}
		require.Same(t, built.Head(), program.Head())
	}
}

// What Avro cannot express is refused with the first value, not when it is compiled.
func TestEnvelopeThatCannotBeWritten(t *testing.T) {
	registry := registrytest.New(t)
	f, _ := newFormat(t, map[string]string{"schema.registry.url": registry.URL}, false)
	e := personsEnvelope()
	e.Table.Columns[1].Name = "with space"
	e.Type.Fields[0].Type = schema.StructOf("srv.public.persons.Value", true, e.Table.Columns)
	program, err := f.CompileEnvelope(e)
	require.NoError(t, err)
	var b change.Batch
	_, err = program.AppendValue(nil, &b, &change.Change{Table: e.Table, Op: change.Create}, 0)
	require.ErrorContains(t, err, "Failed to serialize Avro data from topic srv.public.persons : envelope of table \"public.persons\": Illegal character in: with space")
	require.Empty(t, registry.Asked())
}

func BenchmarkEnvelope(bench *testing.B) {
	registry := registrytest.New(bench)
	f, _ := newFormat(bench, map[string]string{"schema.registry.url": registry.URL}, false)
	e := personsEnvelope()
	program, err := f.CompileEnvelope(e)
	require.NoError(bench, err)
	var b change.Batch
	row := b.NewRow(7)
	for i, v := range []change.Value{
		change.IntValue(1), b.Text("Ada"), b.Text("ada@example.com"), b.BytesOf([]byte{0x30, 0x39}), b.Text("old"), change.NullValue(), change.IntValue(1 << 50),
	} {
		b.Set(row, i, v)
	}
	source := b.NewRow(2)
	b.Set(source, 0, b.Text(`["26523000","26523128"]`))
	b.Set(source, 1, change.IntValue(26523128))
	c := change.Change{Table: e.Table, Op: change.Update, Before: row, After: row, Source: source, SourceMicros: 1795256130124001}
	var dst []byte
	bench.ReportAllocs()
	for bench.Loop() {
		if dst, err = program.AppendValue(dst[:0], &b, &c, 1795256130340512000); err != nil {
			bench.Fatal(err)
		}
	}
	bench.SetBytes(int64(len(dst)))
}
