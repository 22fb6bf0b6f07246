// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/schema"
)

// FuzzExpand expands arbitrary texts: what comes out follows its schema, and no value of an object is lost.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{
		`{"id": 1, "kind": "order", "total": 7.5, "none": null, "tags": ["a","b"], "in": {"x": true}}`, `{"a":[{"x":{"y":1}},{"x":{"z":2}}]}`,
		`{"a":[[],[1,null],[{"b":1}]]}`, `{"a":9223372036854775808}`, `{"a":1,"a":"two"}`, `{"":1}`, `[1]`, `{"a":1E400}`, `{"a":[{"x":[]},{"x":[1]}]}`,
	} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, text string, keep bool) {
		x := &jsonExpander{nulls: keep, emptyArrays: keep}
		b := &change.Batch{}
		typ, v, err := x.expand(b, text, "p")
		if err != nil {
			return
		}
		values := follows(t, b, typ, v)
		again, _, err := x.expand(b, text, "p")
		require.NoError(t, err)
		require.Same(t, typ, again)
		n, err := parseNode(text)
		require.NoError(t, err)
		require.Equal(t, scalars(n), values)
	})
}

// follows checks that a value has its schema, and counts what is no container and not null.
func follows(t *testing.T, b *change.Batch, typ *schema.Type, v change.Value) int {
	kinds := map[schema.Kind]change.Kind{schema.String: change.Text, schema.Boolean: change.Bool, schema.Int32: change.Int, schema.Int64: change.Int, schema.Float64: change.Float}
	n := 0
	switch {
	case v.IsNull():
		require.True(t, typ.Optional)
	case v.Kind() == change.Struct:
		require.Equal(t, schema.Struct, typ.Kind)
		require.Len(t, b.Elems(v), len(typ.Fields))
		for i := range typ.Fields {
			n += follows(t, b, typ.Fields[i].Type, b.Elems(v)[i])
		}
	case v.Kind() == change.Array:
		require.Equal(t, schema.Array, typ.Kind)
		for _, e := range b.Elems(v) {
			n += follows(t, b, typ.Elem, e)
		}
	default:
		require.Equal(t, kinds[typ.Kind], v.Kind())
		n = 1
	}
	return n
}

func scalars(n *node) int {
	switch n.kind {
	case nullNode:
		return 0
	case arrayNode, objectNode:
		sum := 0
		for i := range n.items {
			sum += scalars(&n.items[i])
		}
		return sum
	}
	return 1
}

// FuzzNode reads arbitrary texts: what encoding/json takes is taken.
func FuzzNode(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5,null,true,"x\n"],"b":{}}`, `[`, `01`, `"\ud800"`, `{"a":1}x`, ``, `-0`, `1e5`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := parseNode(text); err != nil {
			require.False(t, json.Valid([]byte(text)) && len(text) < 1000, "%q: %v", text, err)
		}
	})
}
