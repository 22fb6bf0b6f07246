// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/internal/testdb"
	"freshet/schema"
	"freshet/sinks"
	"freshet/sinks/jdbc"
)

// randomType is a type of fields and a source of its values, which every database can keep.
type randomType struct {
	typ   *schema.Type
	value func(r *rand.Rand) any
}

func randomText(r *rand.Rand) any {
	const letters = "aéx🎉'\"\\%_0123456789.e+-\n" // no two of them are one to a server that ignores case or blanks at the end
	runes := []rune(letters)
	var out strings.Builder
	for range r.IntN(12) {
		out.WriteRune(runes[r.IntN(len(runes))])
	}
	return out.String()
}

func randomBytes(r *rand.Rand) any {
	p := make([]byte, r.IntN(20))
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

func randomInt(bits int) func(r *rand.Rand) any {
	return func(r *rand.Rand) any { return int64(r.Uint64()) >> (64 - bits) >> r.IntN(bits) }
}

var randomTypes = []randomType{
	{kind(schema.Int16), randomInt(16)},
	{kind(schema.Int64), randomInt(64)},
	{kind(schema.Boolean), func(r *rand.Rand) any { return r.IntN(2) == 0 }},
	{kind(schema.Float32), func(r *rand.Rand) any { return float64(float32(r.NormFloat64())) }},
	{kind(schema.Float64), func(r *rand.Rand) any { return math.Ldexp(r.Float64(), r.IntN(2000)-1000) }},
	{kind(schema.String), randomText},
	{kind(schema.Bytes), randomBytes},
	{named(schema.Bytes, schema.Decimal, "scale", "5", "connect.decimal.precision", "30"), func(r *rand.Rand) any {
		return binary.BigEndian.AppendUint64([]byte{byte(r.Uint32())}, r.Uint64())[:1+r.IntN(9)]
	}},
	{named(schema.Bytes, schema.Decimal, "scale", "0", "connect.decimal.precision", "9"), func(r *rand.Rand) any { return []byte{byte(r.Uint32()), 1, 2} }},
	{named(schema.Int32, schema.Date), randomInt(16)},
	{named(schema.Int64, schema.MicroTimestamp), randomInt(52)},
	{named(schema.Int64, schema.MicroTime), func(r *rand.Rand) any { return r.Int64N(86_400_000_000) }},
	{named(schema.String, schema.JSON), func(r *rand.Rand) any { return []string{"1.10", `{"a":1}`, "null", `"x"`}[r.IntN(4)] }},
}

// randomFeed is a feed of random columns with a random key.
func randomFeed(r *rand.Rand) (*feed, []randomType) {
	var types []randomType
	var fields []schema.Field
	nkeys := 1 + r.IntN(2)
	for i := range nkeys {
		key := randomTypes[[]int{1, 5, 6}[r.IntN(3)]]
		key.typ = key.typ.AsOptional(false)
		types, fields = append(types, key), append(fields, schema.Field{Name: fmt.Sprint("k", i), Type: key.typ})
	}
	for i := range 1 + r.IntN(12) {
		c := randomTypes[r.IntN(len(randomTypes))]
		types, fields = append(types, c), append(fields, schema.Field{Name: fmt.Sprint("c", i), Type: c.typ})
	}
	return newFeed("random", nkeys, fields...), types
}

// randomEvent is a change of one of few rows.
type randomEvent struct {
	op     change.Op
	values []any
}

// randomEvents: rows are upserted and deleted again and again.
func randomEvents(r *rand.Rand, f *feed, types []randomType, n int) []randomEvent {
	keys := make([][]any, 12)
	for i := range keys {
		for _, c := range types[:len(f.key.Fields)] {
			keys[i] = append(keys[i], c.value(r))
		}
	}
	events := make([]randomEvent, n)
	for i := range events {
		e := randomEvent{change.Update, slices.Clone(keys[r.IntN(len(keys))])}
		if r.IntN(5) == 0 {
			e.op = change.Delete
		}
		for _, c := range types[len(f.key.Fields):] {
			v := c.value(r)
			if r.IntN(6) == 0 {
				v = nil
			}
			e.values = append(e.values, v)
		}
		events[i] = e
	}
	return events
}

// randomTarget is an empty database.
type randomTarget struct {
	properties map[string]string // of an upsert that makes its tables
	// rows are those of a query for columns of the table random, as text.
	rows func(columns []string) [][]string
}

var randomTargets = map[string]func(t *testing.T) randomTarget{
	"PostgreSQL": func(t *testing.T) randomTarget {
		s := testdb.Postgres(t)
		return randomTarget{upsert(s, "schema.evolution", "basic"), func(columns []string) [][]string {
			return s.Rows(t, "select "+strings.Join(columns, "::text,")+"::text from random")
		}}
	},
	"MySQL":   func(t *testing.T) randomTarget { return randomMySQL(t, testdb.MySQL(t)) },
	"MariaDB": func(t *testing.T) randomTarget { return randomMySQL(t, testdb.MariaDB(t)) },
	"SQLite": func(t *testing.T) randomTarget {
		f := newSQLite(t, "")
		return randomTarget{f.upsert(), func(columns []string) [][]string {
			return f.rows(t, "SELECT quote("+strings.Join(columns, "),quote(")+") FROM random")
		}}
	},
}

func randomMySQL(t *testing.T, s *testdb.MySQLServer) randomTarget {
	return randomTarget{mysqlProperties(s, "schema.evolution", "basic"), func(columns []string) [][]string {
		return s.Rows(t, "select "+strings.Join(columns, ",")+" from random")
	}}
}

// TestRandomSchemas: whatever the columns, changes in batches over one connection or several, and their replays, leave what each
// change alone, applied once in order, leaves.
func TestRandomSchemas(t *testing.T) {
	defer jdbc.SetLaneRows(1)()
	for name, newTarget := range randomTargets {
		t.Run(name, func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			for round := range uint64(8) {
				t.Run(fmt.Sprint("round ", round), func(t *testing.T) { randomSchema(t, newTarget, rand.New(rand.NewPCG(seed, round))) })
			}
		})
	}
}

func randomSchema(t *testing.T, newTarget func(t *testing.T) randomTarget, r *rand.Rand) {
	f, types := randomFeed(r)
	events := randomEvents(r, f, types, 150)
	batched, single := newTarget(t), newTarget(t)
	apply := func(w sinks.Writer, from, most int) {
		for from < len(events) {
			to := min(len(events), from+1+r.IntN(most))
			write(t, w, func(b *sinks.Batch) {
				for _, e := range events[from:to] {
					f.change(b, e.op, e.values...)
				}
			})
			from = to
		}
	}
	var columns []string
	for _, c := range f.row.Fields {
		columns = append(columns, c.Name)
	}
	dump := func(target randomTarget) []string {
		var out []string
		for _, row := range target.rows(columns) {
			out = append(out, strings.Join(row, "|"))
		}
		slices.Sort(out)
		return out
	}
	w := open(t, single.properties, nil)
	apply(w, 0, 1)
	require.NoError(t, w.Close(t.Context()))
	want := dump(single)
	batched.properties["write.connections"] = strconv.Itoa(1 + r.IntN(3))
	w = open(t, batched.properties, nil)
	apply(w, 0, 60)
	require.Equal(t, want, dump(batched))
	for range 3 {
		apply(w, r.IntN(len(events)), 60) // I8
		require.Equal(t, want, dump(batched), "replayed")
	}
	require.NoError(t, w.Close(t.Context()))
}
