// SPDX-License-Identifier: Apache-2.0

package cloudevents

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter/emittertest"
	"freshet/emitter/topic"
	"freshet/schema"
)

var text = &schema.Type{Kind: schema.String}

// envelope is a small change event's.
func envelope() *schema.Type {
	long := &schema.Type{Kind: schema.Int64}
	row := &schema.Type{Kind: schema.Struct, Name: "s.t.Value", Optional: true, Fields: []schema.Field{{Name: "id", Type: &schema.Type{Kind: schema.Int32}}}}
	source := &schema.Type{Kind: schema.Struct, Name: "io.debezium.connector.postgresql.Source", Fields: []schema.Field{
		{Name: "name", Type: text},
		{Name: "ts_ms", Type: long},
		{Name: "snapshot", Type: &schema.Type{Kind: schema.String, Optional: true, Default: "false"}},
		{Name: "sequence", Type: &schema.Type{Kind: schema.String, Optional: true}},
		{Name: "txId", Type: long},
		{Name: "lsn", Type: long},
	}}
	return &schema.Type{Kind: schema.Struct, Name: "s.t.Envelope", Fields: []schema.Field{
		{Name: "before", Type: row}, {Name: "after", Type: row}, {Name: "source", Type: source}, {Name: "op", Type: text},
	}}
}

func created(b *change.Batch) change.Value {
	row := b.NewRow(1)
	b.Set(row, 0, change.IntValue(7))
	source := b.NewRow(6)
	b.Set(source, 0, b.Text("s"))
	b.Set(source, 1, change.IntValue(1_700_000_000_005))
	b.Set(source, 4, change.IntValue(12))
	b.Set(source, 5, change.IntValue(99))
	env := b.NewRow(4)
	b.Set(env, 1, b.Run(change.Struct, row))
	b.Set(env, 2, b.Run(change.Struct, source))
	b.Set(env, 3, b.Text("c"))
	return b.Run(change.Struct, env)
}

func encode(t *testing.T, typ *schema.Type, settings map[string]string, make func(*change.Batch) change.Value) (string, bool) {
	t.Helper()
	o, err := ParseOptions(settings)
	require.NoError(t, err)
	e, err := New(o).Compile(typ)
	require.NoError(t, err)
	require.Nil(t, e.Head())
	var b change.Batch
	out, ok, err := e.Append([]byte("before "), &b, make(&b))
	require.NoError(t, err)
	require.Equal(t, "before ", string(out[:7]))
	return string(out[7:]), ok
}

func TestEvent(t *testing.T) {
	got, ok := encode(t, envelope(), map[string]string{"json.schemas.enable": "false"}, created)
	require.True(t, ok)
	require.Equal(t, `{"id":"name:s;lsn:99;txId:12;sequence:null","source":"/debezium/postgresql/s","specversion":"1.0",`+
		`"type":"io.debezium.connector.postgresql.DataChangeEvent","time":"2023-11-14T22:13:20.005Z","datacontenttype":"application/json",`+
		`"iodebeziumop":"c","iodebeziumname":"s","iodebeziumtsms":"1700000000005","iodebeziumsnapshot":"false","iodebeziumsequence":null,`+
		`"iodebeziumtxId":"12","iodebeziumlsn":"99","data":{"before":null,"after":{"id":7}}}`, got)

	got, _ = encode(t, envelope(), map[string]string{"extension.attributes.enable": "false"}, created)
	require.True(t, json.Valid([]byte(got)), got)
	require.NotContains(t, got, "iodebezium")
	require.Contains(t, got, `"datacontenttype":"application/json","data":{"schema":{"type":"struct"`)
	require.Contains(t, got, `"name":"io.debezium.connector.postgresql.Data"},"payload":{"before":null,"after":{"id":7}}}}`)
}

// TestChangesAreAsBuilt: the program of a table writes what building the envelope and encoding it writes, without garbage.
func TestChangesAreAsBuilt(t *testing.T) {
	for _, settings := range []map[string]string{{}, {"json.schemas.enable": "false"}, {"extension.attributes.enable": "false"}} {
		o, err := ParseOptions(settings)
		require.NoError(t, err)
		f := New(o)
		e := emittertest.Persons()
		program, err := f.CompileEnvelope(e)
		require.NoError(t, err)
		require.Nil(t, program.Head())
		built, err := f.Compile(e.Type)
		require.NoError(t, err)
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 2000 {
			var b change.Batch
			c := emittertest.RandomChange(r, &b, e)
			want, ok, wantErr := built.Append([]byte("x"), &b, e.Build(&b, &c, now))
			got, err := program.AppendValue([]byte("x"), &b, &c, now)
			require.NoError(t, errors.Join(err, wantErr), "change %d", i)
			require.True(t, ok)
			require.Equal(t, string(want), string(got), "change %d", i)
			require.True(t, json.Valid(got[1:]), "change %d: %s", i, got)
			if i == 0 {
				require.Zero(t, testing.AllocsPerRun(100, func() { got, _ = program.AppendValue(got[:0], &b, &c, now) }))
			}
		}
	}
}

const now = 1795256130340512000

// TestOthersAreNull: tombstones and records that are no change events.
func TestOthersAreNull(t *testing.T) {
	_, ok := encode(t, envelope(), nil, func(*change.Batch) change.Value { return change.NullValue() })
	require.False(t, ok)
	_, ok = encode(t, text, nil, func(b *change.Batch) change.Value { return b.Text("heartbeat") })
	require.False(t, ok)
	_, ok = encode(t, nil, nil, func(b *change.Batch) change.Value { return b.Text("x") })
	require.False(t, ok)
}

func TestSettingsAreChecked(t *testing.T) {
	for name, value := range map[string]string{
		"serializer.type": "avro", "data.serializer.type": "xml", "metadata.source": "header", "json.schemas.enable": "maybe",
		"opentelemetry.tracing.attributes.enable": "true",
	} {
		_, err := ParseOptions(map[string]string{name: value})
		require.ErrorContains(t, err, name[len(name)-4:], "%s=%s", name, value)
	}
	_, _, err := Side{}.DecodeData(nil, "", topic.Data{})
	require.ErrorContains(t, err, "JsonConverter")
	unknown := envelope()
	unknown.Fields[2].Type.Name = "io.debezium.connector.other.Source"
	_, err = New(Options{}).Compile(unknown)
	require.ErrorContains(t, err, "CloudEvents of s.t.Envelope")
	other := emittertest.Persons()
	other.Source.Block.Name, other.Type.Fields[2].Type.Name = "x", "x"
	_, err = New(Options{}).CompileEnvelope(other)
	require.ErrorContains(t, err, `CloudEvents of table "public.persons": the source block x has not what an id is made of`)
}
