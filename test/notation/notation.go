// SPDX-License-Identifier: Apache-2.0

// Package notation reads the recordings of converters (testdata/golden/connect/converters): schemas and values in the
// notation that the README there describes. Tests of all formats share it.
package notation

import (
	"bufio"
	"bytes"
	"encoding/hex"
	stdjson "encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/schema"
)

// Dir is the folder of recordings, or of others put through the same tests.
func Dir() string {
	if dir := os.Getenv("FRESHET_GOLDEN"); dir != "" {
		return dir
	}
	return filepath.Join("..", "..", "testdata", "golden")
}

// Case is a line of connect/converters: see the README there.
type Case struct {
	Config map[string]string
	Title  string
	Op     string
	Schema stdjson.RawMessage
	Value  stdjson.RawMessage
	In     *Data
	Out    *Data
	Error  [][2]string
	OK     bool
	Class  string `json:"converter"`
}

// Data is a message of a Case.
type Data struct {
	Text *string
	Hex  *string
}

// Bytes are the recorded bytes; nil for null.
func (d *Data) Bytes(t testing.TB) []byte {
	switch {
	case d.Text != nil:
		return []byte(*d.Text)
	case d.Hex != nil:
		p, err := hex.DecodeString(*d.Hex)
		require.NoError(t, err)
		return p
	}
	return nil
}

// Cases reads a file of converters. Its folder must be there: a missing recording is a failure.
func Cases(t testing.TB, name string) []Case {
	t.Helper()
	var cases []Case
	for _, line := range Lines(t, filepath.Join("connect", "converters", name)) {
		var c Case
		require.NoError(t, stdjson.Unmarshal(line, &c), string(line))
		cases = append(cases, c)
	}
	require.NotEmpty(t, cases)
	return cases
}

// Lines are the lines of a file, which end in \n only.
func Lines(t testing.TB, path string) [][]byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Dir(), path))
	require.NoError(t, err)
	scanner := bufio.NewScanner(bytes.NewReader(text))
	scanner.Buffer(nil, 64<<20)
	var lines [][]byte
	for scanner.Scan() {
		lines = append(lines, bytes.Clone(scanner.Bytes()))
	}
	return lines
}

// Events calls f with every recorded key and value of Debezium's PostgreSQL connector that has a schema, as JsonConverter wrote it.
func Events(t testing.TB, f func(file string, wire []byte)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(Dir(), "postgres", "*", "events.jsonl"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		for _, line := range Lines(t, filepath.Join("postgres", filepath.Base(filepath.Dir(file)), "events.jsonl")) {
			var event struct{ Key, Value stdjson.RawMessage }
			require.NoError(t, stdjson.Unmarshal(line, &event))
			for _, wire := range []stdjson.RawMessage{event.Key, event.Value} {
				if bytes.HasPrefix(wire, []byte(`{"schema":{`)) {
					f(file, wire)
				}
			}
		}
	}
}

// members are the members of an object in their order.
func members(t testing.TB, object []byte) (names []string, values []stdjson.RawMessage) {
	t.Helper()
	d := stdjson.NewDecoder(bytes.NewReader(object))
	_, err := d.Token()
	require.NoError(t, err)
	for d.More() {
		name, err := d.Token()
		require.NoError(t, err)
		var v stdjson.RawMessage
		require.NoError(t, d.Decode(&v))
		names, values = append(names, name.(string)), append(values, v)
	}
	return names, values
}

var kinds = map[string]schema.Kind{
	"INT8": schema.Int8, "INT16": schema.Int16, "INT32": schema.Int32, "INT64": schema.Int64, "FLOAT32": schema.Float32,
	"FLOAT64": schema.Float64, "BOOLEAN": schema.Boolean, "STRING": schema.String, "BYTES": schema.Bytes,
	"ARRAY": schema.Array, "MAP": schema.Map, "STRUCT": schema.Struct,
}

// Type makes a type of the notation; nil for null.
func Type(t testing.TB, text stdjson.RawMessage) *schema.Type {
	t.Helper()
	if len(text) == 0 || string(text) == "null" {
		return nil
	}
	var m struct {
		Type       string
		Optional   bool
		Name, Doc  string
		Version    int
		Params     stdjson.RawMessage
		Default    stdjson.RawMessage
		Fields     [][2]stdjson.RawMessage
		Key, Value stdjson.RawMessage
	}
	require.NoError(t, stdjson.Unmarshal(text, &m))
	out := &schema.Type{Kind: kinds[m.Type], Optional: m.Optional, Name: m.Name, Doc: m.Doc, Version: m.Version}
	require.NotZero(t, out.Kind, m.Type)
	if m.Params != nil {
		names, values := members(t, m.Params)
		for i := range names {
			out.Params = append(out.Params, schema.Param{Name: names[i], Value: textOf(t, values[i])})
		}
	}
	out.Key, out.Elem = Type(t, m.Key), Type(t, m.Value)
	if m.Fields != nil {
		out.Fields = []schema.Field{}
	}
	for _, f := range m.Fields {
		out.Fields = append(out.Fields, schema.Field{Name: textOf(t, f[0]), Type: Type(t, f[1])})
	}
	if m.Default != nil {
		var b change.Batch
		out.Default = b.Literal(Value(t, &b, out, m.Default))
	}
	return out
}

// textOf is a JSON string; a surrogate on its own is kept as its three bytes.
func textOf(t testing.TB, raw stdjson.RawMessage) string {
	t.Helper()
	var s string
	require.NoError(t, stdjson.Unmarshal(raw, &s))
	if strings.Contains(string(raw), `\ud83d`) && strings.Contains(s, "\uFFFD") {
		s = strings.Replace(s, "\uFFFD", "\xED\xA0\xBD", 1)
	}
	return s
}

// Value makes a value of the notation.
func Value(t testing.TB, b *change.Batch, typ *schema.Type, raw stdjson.RawMessage) change.Value {
	t.Helper()
	if len(raw) == 0 || string(raw) == "null" {
		return change.NullValue()
	}
	var m map[string]stdjson.RawMessage
	require.NoError(t, stdjson.Unmarshal(raw, &m))
	for kind, v := range m {
		switch kind {
		case "INT8", "INT16", "INT32", "INT64":
			i, err := strconv.ParseInt(strings.Trim(string(v), `"`), 10, 64)
			require.NoError(t, err)
			return change.IntValue(i)
		case "FLOAT32", "FLOAT64":
			bits := 64
			if kind == "FLOAT32" && typ != nil {
				bits = 32
			}
			f, err := strconv.ParseFloat(textOf(t, v), bits)
			require.NoError(t, err)
			return change.FloatValue(f)
		case "BOOLEAN":
			return change.BoolValue(string(v) == "true")
		case "STRING":
			return b.Text(textOf(t, v))
		case "BYTES", "BYTEBUFFER":
			p, err := hex.DecodeString(textOf(t, v))
			require.NoError(t, err)
			return b.BytesOf(p)
		case "DATE":
			ms, err := strconv.ParseInt(string(v), 10, 64)
			require.NoError(t, err)
			if typ == nil {
				return change.DateValue(ms)
			}
			if typ.Name == schema.ConnectDate {
				require.Zero(t, ms%86_400_000)
				ms /= 86_400_000
			}
			return change.IntValue(ms)
		case "DECIMAL":
			return decimal(t, b, typ, textOf(t, v), string(m["scale"]))
		case "ARRAY", "MAP", "STRUCT":
			return nested(t, b, typ, kind, v)
		}
	}
	t.Fatalf("unknown notation %s", raw)
	return change.Value{}
}

// decimal brings a decimal to the scale of its type.
func decimal(t testing.TB, b *change.Batch, typ *schema.Type, unscaled, scale string) change.Value {
	t.Helper()
	x, ok := new(big.Int).SetString(unscaled, 10)
	require.True(t, ok)
	from, err := strconv.Atoi(scale)
	require.NoError(t, err)
	text, _ := typ.Param("scale")
	to, err := strconv.Atoi(text)
	require.NoError(t, err)
	x.Mul(x, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(to-from)), nil))
	return b.BytesOf(Twos(x))
}

// Twos is the shortest two's complement of x, by trying lengths.
func Twos(x *big.Int) []byte {
	for n := uint(1); ; n++ {
		limit := new(big.Int).Lsh(big.NewInt(1), 8*n-1)
		if x.Cmp(limit) < 0 && x.Cmp(new(big.Int).Neg(limit)) >= 0 {
			y := new(big.Int).Mod(x, new(big.Int).Lsh(big.NewInt(1), 8*n))
			return y.FillBytes(make([]byte, n))
		}
	}
}

func nested(t testing.TB, b *change.Batch, typ *schema.Type, kind string, raw stdjson.RawMessage) change.Value {
	t.Helper()
	var key, elem *schema.Type
	if typ != nil {
		key, elem = typ.Key, typ.Elem
	}
	var values []change.Value
	if kind == "ARRAY" {
		var items []stdjson.RawMessage
		require.NoError(t, stdjson.Unmarshal(raw, &items))
		for _, item := range items {
			values = append(values, Value(t, b, elem, item))
		}
		return Run(b, change.Array, values)
	}
	var pairs [][2]stdjson.RawMessage
	require.NoError(t, stdjson.Unmarshal(raw, &pairs))
	if kind == "MAP" {
		for _, p := range pairs {
			values = append(values, Value(t, b, key, p[0]), Value(t, b, elem, p[1]))
		}
		return Run(b, change.Map, values)
	}
	for i, p := range pairs {
		var field *schema.Type
		if typ != nil {
			field = typ.Fields[i].Type
		}
		values = append(values, Value(t, b, field, p[1]))
	}
	return Run(b, change.Struct, values)
}

// Run makes a struct, array or map of its values.
func Run(b *change.Batch, k change.Kind, values []change.Value) change.Value {
	row := b.NewRow(len(values))
	copy(b.Values(row), values)
	return b.Run(k, row)
}

// Render shows a value for comparison; the entries of maps are sorted.
func Render(b *change.Batch, v change.Value) string {
	switch v.Kind() {
	case change.Null:
		return "null"
	case change.Bool:
		return fmt.Sprintf("bool %v", v.Bool())
	case change.Int:
		return fmt.Sprintf("int %d", v.Int())
	case change.Date:
		return fmt.Sprintf("date %d", v.Int())
	case change.Float:
		return fmt.Sprintf("float %v", v.Float())
	case change.Text:
		return fmt.Sprintf("text %q", b.Bytes(v))
	case change.Bytes:
		return fmt.Sprintf("bytes %x", b.Bytes(v))
	}
	values := b.Elems(v)
	var parts []string
	if v.Kind() == change.Map {
		for i := 0; i < len(values); i += 2 {
			parts = append(parts, Render(b, values[i])+" = "+Render(b, values[i+1]))
		}
		slices.Sort(parts)
	} else {
		for _, e := range values {
			parts = append(parts, Render(b, e))
		}
	}
	return fmt.Sprintf("%d{%s}", v.Kind(), strings.Join(parts, "; "))
}
