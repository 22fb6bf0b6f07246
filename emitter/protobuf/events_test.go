// SPDX-License-Identifier: Apache-2.0

package protobuf

import (
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter/emittertest"
	"freshet/emitter/json"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/schema/registry"
	"freshet/schema/registry/registrytest"
	"freshet/test/notation"
)

// Recorded events of Debezium go through the converter and come back as they were, but for what Protobuf cannot tell: names, and
// null arrays and maps from empty ones.
func TestGoldenEvents(t *testing.T) {
	r := registrytest.New(t)
	f, side := newFormat(t, r.URL, "optional.for.nullables", "true", "scrub.invalid.names", "true")
	reader, n, refused := json.NewSide(json.Options{SchemasEnable: true}), 0, 0
	notation.Events(t, func(file string, wire []byte) {
		var b change.Batch
		typ, v, err := reader.DecodeData(&b, "t", topic.Data{Body: wire})
		require.NoError(t, err)
		e, err := f.CompileFor("t", typ)
		require.NoError(t, err)
		body, ok, err := e.Append([]byte{}, &b, v)
		if err == nil && !ok {
			return // null
		}
		if err != nil {
			require.Regexp(t, "no null in arrays|does not allow the name|cannot be nested", err.Error(), file)
			refused++
			return
		}
		_, got, err := side.DecodeData(&b, "t", topic.Data{Head: e.Head(), Body: body})
		require.NoError(t, err, file)
		require.Equal(t, notation.Render(&b, told(&b, typ, v)), notation.Render(&b, got), file)
		n++
	})
	require.Greater(t, n, 100)
	require.Less(t, refused, n/3)
}

// told is what Protobuf tells of a value: defaults in place of nulls, and empty arrays and maps.
func told(b *change.Batch, t *schema.Type, v change.Value) change.Value {
	if v.IsNull() && t.Default != nil {
		v = b.AppendLiteral(t.Default, t)
	}
	if v.IsNull() && (t.Kind == schema.Array || t.Kind == schema.Map) {
		return b.Run(map[schema.Kind]change.Kind{schema.Array: change.Array, schema.Map: change.Map}[t.Kind], b.NewRow(0))
	}
	if v.IsNull() {
		return v
	}
	below := func(i int) *schema.Type {
		switch {
		case t.Kind == schema.Struct:
			return t.Fields[i].Type
		case t.Kind == schema.Map && i%2 == 0:
			return t.Key
		}
		return t.Elem
	}
	switch v.Kind() {
	case change.Struct, change.Array, change.Map:
		values := append([]change.Value{}, b.Elems(v)...)
		for i := range values {
			values[i] = told(b, below(i), values[i])
		}
		return notation.Run(b, v.Kind(), values)
	}
	return v
}

// FuzzRead reads arbitrary messages by a schema with fields of all kinds: none may panic, or make more of a message than it is.
func FuzzRead(f *testing.F) {
	const file = `syntax = "proto3"; import "confluent/type/decimal.proto"; import "google/type/date.proto"; import "google/protobuf/timestamp.proto";
message M { message D { repeated D2 d = 1; map<int32, string> m = 2; } message D2 { bytes b = 1; }
 repeated D ds = 1; confluent.type.Decimal dec = 2; google.type.Date date = 3; google.protobuf.Timestamp ts = 4; oneof o { string s = 5; D d = 6; } repeated fixed32 p = 7; enum E { A = 0; } E e = 8; }`
	p, err := planOf(&registry.Schema{Text: file}, []int{0}, &Options{})
	require.NoError(f, err)
	for _, seed := range []string{"", "0a040a020a00", "12060a0201021802", "1a0608e80f10011801", "22020801", "2a0161", "3a0401000000", "4005", "0a0412020801"} {
		wire, err := hex.DecodeString(seed)
		require.NoError(f, err)
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		var b change.Batch
		r := reader{b: &b}
		if _, err := r.value(p, wire); err == nil && b.Size() > 1<<16+300*len(wire) {
			t.Fatalf("%d bytes have become %d", len(wire), b.Size())
		}
	})
}

func BenchmarkEnvelope(bench *testing.B) {
	r := registrytest.New(bench)
	f, _ := newFormat(bench, r.URL)
	e := emittertest.Persons()
	program, err := f.CompileEnvelope(e)
	require.NoError(bench, err)
	var b change.Batch
	c := emittertest.RandomChange(rand.New(rand.NewPCG(5, 2)), &b, e)
	var dst []byte
	bench.ReportAllocs()
	for bench.Loop() {
		if dst, err = program.AppendValue(dst[:0], &b, &c, 1795256130340512000); err != nil {
			bench.Fatal(err)
		}
	}
	bench.SetBytes(int64(len(dst)))
}
