// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"freshet/change"
	"freshet/schema"
)

func TestJavaString(t *testing.T) {
	for text, want := range map[string]string{
		"":     "aced00057400" + "00",
		"ab":   "aced0005740002" + "6162",
		"é日":   "aced0005740005" + "c3a9e697a5",
		"\x00": "aced0005740002" + "c080",
		"😀":    "aced0005740006" + "eda0bdedb880",
	} {
		require.Equal(t, want, hex.EncodeToString(appendJavaString(nil, []byte(text))), "%q", text)
	}
	long := appendJavaString([]byte("x"), []byte(strings.Repeat("a", 70000)))
	require.Equal(t, "78aced00057c0000000000011170", hex.EncodeToString(long[:14]))
	require.Len(t, long, 14+70000)
}

func TestCutAt(t *testing.T) {
	for _, c := range []struct {
		text string
		n    int
		want string
	}{{"abc", 2, "ab"}, {"abc", 9, "abc"}, {"", 1, ""}, {"é日x", 2, "é日"}, {"a😀b", 2, "a"}, {"a😀b", 3, "a😀"}, {"abc", 0, ""}} {
		require.Equal(t, c.want, c.text[:cutAt([]byte(c.text), c.n)], "%q to %d", c.text, c.n)
	}
}

// ruledRelation is a table with one column of each kind of rule.
func ruledRelation(t testing.TB) (*relation, *options) {
	t.Helper()
	o := mustOptions(t, map[string]string{
		"column.truncate.to.2.chars":              `public\.t\.cut`,
		"column.mask.with.3.chars":                `public\.t\.(mask|n)`,
		"column.mask.hash.v2.SHA-256.with.salt.s": `public\.t\.(hash|short)`,
	})
	columns := []ColumnInfo{
		{Name: "id", TypeOID: 25, Typmod: -1, NotNull: true},
		{Name: "cut", TypeOID: 25, Typmod: -1},
		{Name: "mask", TypeOID: 25, Typmod: -1},
		{Name: "n", TypeOID: 1700, Typmod: -1},
		{Name: "hash", TypeOID: 25, Typmod: -1},
		{Name: "short", TypeOID: 1043, Typmod: 12},
	}
	return newRelation(schema.ID{Schema: "public", Name: "t"}, columns, []string{"id"}, testRegistry(), &o), &o
}

func TestColumnRules(t *testing.T) {
	r, _ := ruledRelation(t)
	var b change.Batch
	slots := r.newSlots(&b)
	for i, text := range []string{"key", "long", "secret", "12", "value", "value"} {
		v, err := r.columns[i].codec.Decode(&b, []byte(text))
		require.NoError(t, err)
		r.columns[i].put(&b, slots, v)
	}
	sum := sha256.Sum256([]byte("svalue"))
	digest := hex.EncodeToString(sum[:])
	got := rowText(&b, slots.values, r.table.Columns)
	require.Contains(t, got, "cut=lo ")
	require.Contains(t, got, "mask=*** ")
	require.Contains(t, got, "hash="+digest+" ")
	require.Contains(t, got, "short="+digest[:8])
	empty := r.newSlots(&b)
	require.Contains(t, rowText(&b, empty.values, r.table.Columns), "mask=*** ", "null is masked too")
	_, masked := r.table.Columns[3].Type.Param("masked")
	require.True(t, masked, "a column whose values a mask does not change is marked all the same")
}

// A masked value is told nowhere, and nothing is allocated for it.
func TestColumnRulesHideAndAllocateNothing(t *testing.T) {
	r, _ := ruledRelation(t)
	var b change.Batch
	r.columns[2].codec.Decode = func(*change.Batch, []byte) (change.Value, error) {
		return change.Value{}, badValue("text", []byte("canary"), "x")
	}
	hidden := relationColumn{codec: r.columns[2].codec, value: 2, key: -1}
	column := r.table.Columns[2]
	r.rule(&hidden, &column, &columnUse{info: ColumnInfo{Name: "mask"}, t: resolved{typeRow: &typeRow{name: "text"}}}, ruledOptions(t))
	_, err := hidden.codec.Decode(&b, []byte("canary"))
	require.Error(t, err)
	require.NotContains(t, err.Error(), "canary")

	r, _ = ruledRelation(t)
	text := []byte("some value")
	run := func() {
		b.Reset()
		slots := r.newSlots(&b)
		for _, i := range []int{0, 1, 2, 4, 5} {
			v, err := r.columns[i].codec.Decode(&b, text)
			if err != nil {
				t.Fatal(err)
			}
			r.columns[i].put(&b, slots, v)
		}
	}
	run()
	require.Zero(t, testing.AllocsPerRun(100, run))
}

func ruledOptions(t testing.TB) *options {
	t.Helper()
	_, o := ruledRelation(t)
	return o
}

func TestColumnRulesRefuseUnknownDigests(t *testing.T) {
	_, err := parseOptions(newFixtureless(minimal(map[string]string{"column.mask.hash.ROT-13.with.salt.x": "a"})))
	require.ErrorContains(t, err, `digest "ROT-13" is not known`)
}

// Connections of a snapshot make digests of one column at the same time.
func TestHashesBySeveralConnections(t *testing.T) {
	for _, java := range []bool{true, false} {
		h := newHasher(&columnRule{digest: crypto.SHA256, java: java, salt: "s"}, -1)
		var group errgroup.Group
		for worker := range 4 {
			group.Go(func() error {
				for i := range 2000 {
					text := fmt.Appendf(nil, "value %d of %d", i, worker)
					digested := []byte("s")
					if java {
						digested = appendJavaString(digested, text)
					} else {
						digested = append(digested, text...)
					}
					sum := sha256.Sum256(digested)
					if got, want := string(h.append(nil, text)), hex.EncodeToString(sum[:]); got != want {
						return fmt.Errorf("digest of %q: %s, not %s", text, got, want)
					}
				}
				return nil
			})
		}
		require.NoError(t, group.Wait())
	}
}

// Two rules of one kind for one column: the same one counts at each start.
func TestColumnRulesHaveAnOrder(t *testing.T) {
	for range 20 {
		o := mustOptions(t, map[string]string{
			"column.mask.hash.v2.SHA-256.with.salt.b": `public\.t\.c`,
			"column.mask.hash.v2.SHA-256.with.salt.a": `public\.t\.c`,
			"column.mask.hash.v2.MD5.with.salt.c":     `public\.t\.c`,
		})
		require.Equal(t, "c", o.ruleFor(schema.ID{Schema: "public", Name: "t"}, "c", "text").salt)
	}
}
