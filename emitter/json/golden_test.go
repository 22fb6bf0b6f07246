// SPDX-License-Identifier: Apache-2.0

package json_test

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
	"freshet/emitter/json"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/sinks"
)

// goldenDir is the folder of recordings, or of others put through the same tests.
func goldenDir() string {
	if dir := os.Getenv("FRESHET_GOLDEN"); dir != "" {
		return dir
	}
	return filepath.Join("..", "..", "testdata", "golden")
}

// goldenCase is a line of connect/converters: see the README there.
type goldenCase struct {
	Config map[string]string
	Title  string
	Op     string
	Schema stdjson.RawMessage
	Value  stdjson.RawMessage
	In     *goldenData
	Out    *goldenData
	Error  [][2]string
	OK     bool
	Class  string `json:"converter"`
}

type goldenData struct {
	Text *string
	Hex  *string
}

// bytes are the recorded bytes; nil for null.
func (d *goldenData) bytes(t testing.TB) []byte {
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

// goldenCases reads a file of converters. Its folder must be there: a missing recording is a failure.
func goldenCases(t testing.TB, name string) []goldenCase {
	t.Helper()
	var cases []goldenCase
	for _, line := range goldenLines(t, filepath.Join("connect", "converters", name)) {
		var c goldenCase
		require.NoError(t, stdjson.Unmarshal(line, &c), string(line))
		cases = append(cases, c)
	}
	require.NotEmpty(t, cases)
	return cases
}

// goldenLines are the lines of a file, which end in \n only.
func goldenLines(t testing.TB, path string) [][]byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(goldenDir(), path))
	require.NoError(t, err)
	scanner := bufio.NewScanner(bytes.NewReader(text))
	scanner.Buffer(nil, 64<<20)
	var lines [][]byte
	for scanner.Scan() {
		lines = append(lines, bytes.Clone(scanner.Bytes()))
	}
	return lines
}

func mustOptions(t testing.TB, properties map[string]string) json.Options {
	t.Helper()
	o, err := json.ParseOptions(properties)
	require.NoError(t, err)
	return o
}

// goldenMembers are the members of an object in their order.
func goldenMembers(t testing.TB, object []byte) (names []string, values []stdjson.RawMessage) {
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

var goldenKinds = map[string]schema.Kind{
	"INT8": schema.Int8, "INT16": schema.Int16, "INT32": schema.Int32, "INT64": schema.Int64, "FLOAT32": schema.Float32,
	"FLOAT64": schema.Float64, "BOOLEAN": schema.Boolean, "STRING": schema.String, "BYTES": schema.Bytes,
	"ARRAY": schema.Array, "MAP": schema.Map, "STRUCT": schema.Struct,
}

// goldenType makes a type of the notation; nil for null.
func goldenType(t testing.TB, text stdjson.RawMessage) *schema.Type {
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
	out := &schema.Type{Kind: goldenKinds[m.Type], Optional: m.Optional, Name: m.Name, Doc: m.Doc, Version: m.Version}
	require.NotZero(t, out.Kind, m.Type)
	if m.Params != nil {
		names, values := goldenMembers(t, m.Params)
		for i := range names {
			out.Params = append(out.Params, schema.Param{Name: names[i], Value: goldenText(t, values[i])})
		}
	}
	out.Key, out.Elem = goldenType(t, m.Key), goldenType(t, m.Value)
	if m.Fields != nil {
		out.Fields = []schema.Field{}
	}
	for _, f := range m.Fields {
		out.Fields = append(out.Fields, schema.Field{Name: goldenText(t, f[0]), Type: goldenType(t, f[1])})
	}
	if m.Default != nil {
		var b change.Batch
		out.Default = literal(&b, goldenValue(t, &b, out, m.Default))
	}
	return out
}

// goldenText is a JSON string; a surrogate on its own is kept as its three bytes.
func goldenText(t testing.TB, raw stdjson.RawMessage) string {
	t.Helper()
	var s string
	require.NoError(t, stdjson.Unmarshal(raw, &s))
	if strings.Contains(string(raw), `\ud83d`) && strings.Contains(s, "\uFFFD") {
		s = strings.Replace(s, "\uFFFD", "\xED\xA0\xBD", 1)
	}
	return s
}

// goldenValue makes a value of the notation.
func goldenValue(t testing.TB, b *change.Batch, typ *schema.Type, raw stdjson.RawMessage) change.Value {
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
			f, err := strconv.ParseFloat(goldenText(t, v), bits)
			require.NoError(t, err)
			return change.FloatValue(f)
		case "BOOLEAN":
			return change.BoolValue(string(v) == "true")
		case "STRING":
			return b.Text(goldenText(t, v))
		case "BYTES":
			p, err := hex.DecodeString(goldenText(t, v))
			require.NoError(t, err)
			return b.BytesOf(p)
		case "DATE":
			ms, err := strconv.ParseInt(string(v), 10, 64)
			require.NoError(t, err)
			if typ.Name == schema.ConnectDate {
				require.Zero(t, ms%86_400_000)
				ms /= 86_400_000
			}
			return change.IntValue(ms)
		case "DECIMAL":
			return goldenDecimal(t, b, typ, goldenText(t, v), string(m["scale"]))
		case "ARRAY", "MAP", "STRUCT":
			return goldenRun(t, b, typ, kind, v)
		}
	}
	t.Fatalf("unknown notation %s", raw)
	return change.Value{}
}

// goldenDecimal brings a decimal to the scale of its type.
func goldenDecimal(t testing.TB, b *change.Batch, typ *schema.Type, unscaled, scale string) change.Value {
	t.Helper()
	x, ok := new(big.Int).SetString(unscaled, 10)
	require.True(t, ok)
	from, err := strconv.Atoi(scale)
	require.NoError(t, err)
	text, _ := typ.Param("scale")
	to, err := strconv.Atoi(text)
	require.NoError(t, err)
	x.Mul(x, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(to-from)), nil))
	return b.BytesOf(twos(x))
}

// twos is the shortest two's complement of x, by trying lengths.
func twos(x *big.Int) []byte {
	for n := uint(1); ; n++ {
		limit := new(big.Int).Lsh(big.NewInt(1), 8*n-1)
		if x.Cmp(limit) < 0 && x.Cmp(new(big.Int).Neg(limit)) >= 0 {
			y := new(big.Int).Mod(x, new(big.Int).Lsh(big.NewInt(1), 8*n))
			return y.FillBytes(make([]byte, n))
		}
	}
}

func goldenRun(t testing.TB, b *change.Batch, typ *schema.Type, kind string, raw stdjson.RawMessage) change.Value {
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
			values = append(values, goldenValue(t, b, elem, item))
		}
		return run(b, change.Array, values)
	}
	var pairs [][2]stdjson.RawMessage
	require.NoError(t, stdjson.Unmarshal(raw, &pairs))
	if kind == "MAP" {
		for _, p := range pairs {
			values = append(values, goldenValue(t, b, key, p[0]), goldenValue(t, b, elem, p[1]))
		}
		return run(b, change.Map, values)
	}
	for i, p := range pairs {
		var field *schema.Type
		if typ != nil {
			field = typ.Fields[i].Type
		}
		values = append(values, goldenValue(t, b, field, p[1]))
	}
	return run(b, change.Struct, values)
}

func run(b *change.Batch, k change.Kind, values []change.Value) change.Value {
	row := b.NewRow(len(values))
	copy(b.Values(row), values)
	return b.Run(k, row)
}

// literal is a value as schema.Type.Default holds it.
func literal(b *change.Batch, v change.Value) any {
	switch v.Kind() {
	case change.Bool:
		return v.Bool()
	case change.Int:
		return v.Int()
	case change.Float:
		return v.Float()
	case change.Text:
		return string(b.Bytes(v))
	case change.Bytes:
		return append([]byte{}, b.Bytes(v)...)
	case change.Null:
		return nil
	}
	out := []any{}
	for _, e := range b.Elems(v) {
		out = append(out, literal(b, e))
	}
	return out
}

// render shows a value for comparison; the entries of maps are sorted.
func render(b *change.Batch, v change.Value) string {
	switch v.Kind() {
	case change.Null:
		return "null"
	case change.Bool:
		return fmt.Sprintf("bool %v", v.Bool())
	case change.Int:
		return fmt.Sprintf("int %d", v.Int())
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
			parts = append(parts, render(b, values[i])+" = "+render(b, values[i+1]))
		}
		slices.Sort(parts)
	} else {
		for _, e := range values {
			parts = append(parts, render(b, e))
		}
	}
	return fmt.Sprintf("%d{%s}", v.Kind(), strings.Join(parts, "; "))
}

// shortest corrects the numbers of which JDK 17 does not print the shortest digits.
var shortest = strings.NewReplacer("1.9999999999999998E23", "2.0E23", "1.17549435E-38", "1.1754944E-38")

// unlikeWrites are recorded writes that the values of this engine cannot express.
var unlikeWrites = map[string]string{
	"byte buffer":              "the recorder's buffer is a window whose rest was written too",
	"date with time part":      "dates are whole days here",
	"decimal scale mismatch":   "decimals have the scale of their type here",
	"wrong class long for int": "all integers are of one kind here",
	"wrong class timestamp":    "timestamps are integers here",
	"schemaless decimal":       "values without a schema are no decimals here",
	"schemaless biginteger":    "values without a schema are no big integers here",
}

func TestGoldenJSONConverterWrite(t *testing.T) {
	for _, file := range []string{"json-write-schemas.jsonl", "json-write-plain.jsonl", "json-write-numeric.jsonl", "json-write-nodefault.jsonl"} {
		for i, c := range goldenCases(t, file) {
			t.Run(fmt.Sprintf("%s/%d %s", file, i, c.Title), func(t *testing.T) {
				if _, ok := unlikeWrites[c.Title]; ok {
					return // see the reason there
				}
				writeCase(t, &c)
			})
		}
	}
}

func writeCase(t *testing.T, c *goldenCase) {
	var b change.Batch
	typ := goldenType(t, c.Schema)
	format := json.New(mustOptions(t, c.Config))
	v := goldenValue(t, &b, typ, c.Value)
	encoder, err := format.Compile(typ)
	require.NoError(t, err)
	body, ok, err := encoder.Append(nil, &b, v)
	if c.Error != nil {
		// Java's class of a number tells its width, which values here do not have.
		want := strings.NewReplacer("java.lang.Integer", "java.lang.Long").Replace(c.Error[0][1])
		requireDataError(t, want, err)
		return
	}
	require.NoError(t, err)
	want := c.Out.bytes(t)
	require.Equal(t, want != nil, ok)
	if !ok {
		return
	}
	wire := topic.Data{Head: encoder.Head(), Body: body}
	require.Equal(t, shortest.Replace(string(want)), string(wire.Bytes()))
}

func requireDataError(t testing.TB, want string, err error) {
	t.Helper()
	var data *json.DataError
	require.ErrorAs(t, err, &data, "error %v, want %q", err, want)
	require.Equal(t, want, data.Message)
	require.False(t, data.Retriable())
}

// betterReads are inputs whose recorded value is not the one that was written.
var betterReads = map[string]string{
	`{"schema":{"type":"double"},"payload":"NaN"}`: "float NaN",
}

func TestGoldenJSONConverterRead(t *testing.T) {
	for _, file := range []string{"json-read-schemas.jsonl", "json-read-envelope.jsonl", "json-read-plain.jsonl", "json-read-nodefault.jsonl"} {
		for i, c := range goldenCases(t, file) {
			name := "null"
			if in := c.In.bytes(t); in != nil {
				name = string(in)
			}
			t.Run(fmt.Sprintf("%s/%d %.80s", file, i, name), func(t *testing.T) { readCase(t, &c) })
		}
	}
}

func readCase(t *testing.T, c *goldenCase) {
	decoder := json.NewDecoder(json.Options{}, mustOptions(t, c.Config))
	in := c.In.bytes(t)
	for _, data := range []topic.Data{{Body: in}, headed(in)} {
		var b sinks.Batch
		r, err := decoder.Decode(&b, &topic.Record{Value: data})
		if c.Error != nil {
			requireDataError(t, c.Error[0][1], err)
			continue
		}
		require.NoError(t, err)
		typ := goldenType(t, c.Schema)
		require.Equal(t, typ, r.ValueType)
		want := render(&b.Data, goldenValue(t, &b.Data, typ, c.Value))
		if better, ok := betterReads[string(in)]; ok {
			want = better
		}
		require.Equal(t, want, render(&b.Data, r.Value))
	}
}

// headed is in as the local log hands it out, with its schema as a Head, where it has that form.
func headed(in []byte) topic.Data {
	const between = `,"payload":`
	if i := bytes.Index(in, []byte(between)); i > 0 && bytes.HasPrefix(in, []byte(`{"schema":`)) {
		i += len(between)
		return topic.Data{Head: &topic.Head{Bytes: in[:i]}, Body: in[i:]}
	}
	return topic.Data{Body: in}
}

func TestGoldenJSONConverterConfigs(t *testing.T) {
	n := 0
	for _, c := range goldenCases(t, "bad-configs.jsonl") {
		if c.Class != json.Plugin().Class {
			continue
		}
		n++
		_, err := json.ParseOptions(c.Config)
		if c.OK {
			require.NoError(t, err)
		} else {
			require.EqualError(t, err, c.Error[0][1])
		}
	}
	require.NotZero(t, n)
}

func TestGoldenSimpleHeaderWrite(t *testing.T) {
	for i, c := range goldenCases(t, "simple-header-write.jsonl") {
		t.Run(fmt.Sprintf("%d %s", i, c.Value), func(t *testing.T) {
			var b change.Batch
			typ := goldenType(t, c.Schema)
			got, ok := json.AppendHeader([]byte("x"), typ, &b, goldenValue(t, &b, typ, c.Value))
			want := c.Out.bytes(t)
			require.Equal(t, want != nil, ok)
			require.Equal(t, "x"+string(want), string(got))
		})
	}
}

func TestGoldenSimpleHeaderRead(t *testing.T) {
	for i, c := range goldenCases(t, "simple-header-read.jsonl") {
		in := c.In.bytes(t)
		t.Run(fmt.Sprintf("%d %s", i, in), func(t *testing.T) {
			var b change.Batch
			typ, v := json.ParseHeader(in, &b)
			if c.Error != nil { // the text null, on which the original fails
				require.Equal(t, "null", string(in))
				require.Nil(t, typ)
				require.True(t, v.IsNull())
				return
			}
			want := goldenType(t, c.Schema)
			require.Equal(t, want, typ)
			require.Equal(t, render(&b, goldenValue(t, &b, want, c.Value)), render(&b, v))
		})
	}
}
