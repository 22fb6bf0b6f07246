// SPDX-License-Identifier: Apache-2.0

package avro

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter/emittertest"
	"freshet/schema"
	"freshet/schema/registry/registrytest"
)

// The program of a table writes what building the envelope and encoding it writes.
func TestEnvelopesAreAsBuilt(t *testing.T) {
	registry := registrytest.New(t)
	for _, ignore := range []string{"false", "true"} {
		f, _ := newFormat(t, map[string]string{"schema.registry.url": registry.URL, "ignore.default.for.nullables": ignore}, false)
		e := emittertest.Persons()
		program, err := f.CompileEnvelope(e)
		require.NoError(t, err)
		built, err := f.CompileFor(e.Topic, e.Type)
		require.NoError(t, err)
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 2000 {
			var b change.Batch
			c := emittertest.RandomChange(r, &b, e)
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
	e := emittertest.Persons()
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
	e := emittertest.Persons()
	program, err := f.CompileEnvelope(e)
	require.NoError(bench, err)
	var b change.Batch
	row := b.NewRow(7)
	for i, v := range []change.Value{
		change.IntValue(1), b.Text("Ada"), b.Text("ada@example.com"), b.BytesOf([]byte{0x30, 0x39}), b.Text("old"), change.NullValue(), change.IntValue(1 << 50),
	} {
		b.Set(row, i, v)
	}
	source := b.NewRow(3)
	b.Set(source, 0, b.Text(`["26523000","26523128"]`))
	b.Set(source, 2, change.IntValue(26523128))
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
