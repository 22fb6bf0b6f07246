// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/schema"
)

func goldenFile(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("FRESHET_GOLDEN")
	if dir == "" {
		dir = filepath.Join("..", "testdata", "golden")
	}
	return filepath.Join(dir, name)
}

// TestGoldenSimpleHeaders writes the recorded header values.
func TestGoldenSimpleHeaders(t *testing.T) {
	text, err := os.ReadFile(goldenFile(t, "connect/converters/simple-header-write.jsonl"))
	require.NoError(t, err)
	header := Converters{}.headerFormat()
	n := 0
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); n++ {
		var line struct {
			Schema *recordedSchema
			Value  json.RawMessage
			Out    struct{ Text, Bytes *string }
		}
		require.NoError(t, json.Unmarshal(s.Bytes(), &line), s.Text())
		var b change.Batch
		typ := line.Schema.typ()
		got, err := header.AppendHeader(nil, typ, &b, valueOf(t, &b, line.Value))
		require.NoError(t, err, s.Text())
		if line.Out.Text == nil {
			require.Nil(t, got, s.Text())
			continue
		}
		require.Equal(t, *line.Out.Text, string(got), s.Text())
	}
	require.Greater(t, n, 10)
}

// recordedSchema is a schema as the recordings of converters write it.
type recordedSchema struct {
	Type     string
	Name     string
	Optional bool
	Params   map[string]string
	Key      *recordedSchema
	Value    *recordedSchema
	Fields   [][2]json.RawMessage
}

func (s *recordedSchema) typ() *schema.Type {
	if s == nil {
		return nil
	}
	name := map[string]string{"FLOAT32": "float", "FLOAT64": "double"}[s.Type]
	if name == "" {
		name = strings.ToLower(s.Type)
	}
	t := &schema.Type{Kind: schema.KindOf(name), Name: s.Name, Optional: s.Optional, Key: s.Key.typ(), Elem: s.Value.typ()}
	for k, v := range s.Params {
		t.Params = append(t.Params, schema.Param{Name: k, Value: v})
	}
	for _, f := range s.Fields {
		var field string
		var inner recordedSchema
		_, _ = json.Unmarshal(f[0], &field), json.Unmarshal(f[1], &inner)
		t.Fields = append(t.Fields, schema.Field{Name: field, Type: inner.typ()})
	}
	return t
}

// valueOf reads a value as the recordings write it: {"INT32":1}.
func valueOf(t *testing.T, b *change.Batch, raw json.RawMessage) change.Value {
	t.Helper()
	if string(raw) == "null" || raw == nil {
		return change.NullValue()
	}
	var tagged map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(raw, &tagged))
	for kind, v := range tagged {
		text := strings.Trim(string(v), `"`)
		switch kind {
		case "scale":
			continue
		case "BOOLEAN":
			return change.BoolValue(text == "true")
		case "STRING":
			var s string
			require.NoError(t, json.Unmarshal(v, &s))
			return b.Text(s)
		case "BYTES":
			p, err := hex.DecodeString(text)
			require.NoError(t, err)
			return b.BytesOf(p)
		case "DECIMAL":
			n, err := strconv.ParseInt(text, 10, 64)
			require.NoError(t, err)
			return b.BytesOf([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		case "FLOAT32", "FLOAT64":
			f, err := strconv.ParseFloat(text, 64)
			require.NoError(t, err)
			return change.FloatValue(f)
		case "ARRAY":
			var items []json.RawMessage
			require.NoError(t, json.Unmarshal(v, &items))
			return run(t, b, change.Array, items)
		case "MAP", "STRUCT":
			var pairs [][2]json.RawMessage
			require.NoError(t, json.Unmarshal(v, &pairs))
			var items []json.RawMessage
			for _, p := range pairs {
				if kind == "MAP" {
					items = append(items, p[0])
				}
				items = append(items, p[1])
			}
			return run(t, b, map[string]change.Kind{"MAP": change.Map, "STRUCT": change.Struct}[kind], items)
		default: // integers, DATE
			n, err := strconv.ParseInt(text, 10, 64)
			require.NoError(t, err, string(raw))
			return change.IntValue(n)
		}
	}
	return change.NullValue()
}

func run(t *testing.T, b *change.Batch, kind change.Kind, items []json.RawMessage) change.Value {
	t.Helper()
	row := b.NewRow(len(items))
	for i, item := range items {
		b.Set(row, i, valueOf(t, b, item))
	}
	return b.Run(kind, row)
}

func TestJSONHeaders(t *testing.T) {
	c, problems := WorkerConfig{}.Converters(map[string]string{"header.converter": "org.apache.kafka.connect.json.JsonConverter"})
	require.Empty(t, problems)
	var b change.Batch
	row := b.NewRow(1)
	b.Set(row, 0, change.IntValue(2))
	typ := &schema.Type{Kind: schema.Struct, Fields: []schema.Field{{Name: "id", Type: &schema.Type{Kind: schema.Int32}}}}
	got, err := c.headerFormat().AppendHeader(nil, typ, &b, b.Run(change.Struct, row))
	require.NoError(t, err)
	require.Equal(t, `{"schema":{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"}],"optional":false},"payload":{"id":2}}`, string(got))
}
