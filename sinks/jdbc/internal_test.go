// SPDX-License-Identifier: Apache-2.0

package jdbc

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks"
	"freshet/sinks/jdbc/dialect"
	"freshet/sinks/jdbc/postgres"
	"freshet/sinks/sinktest"
)

func TestNameFormat(t *testing.T) {
	source := &schema.Type{Kind: schema.Struct, Fields: []schema.Field{
		{Name: "schema", Type: &schema.Type{Kind: schema.String}}, {Name: "id", Type: &schema.Type{Kind: schema.Int64}}, {Name: "none", Type: &schema.Type{Kind: schema.String}},
	}}
	for _, c := range []struct {
		format, want string
		bare         bool // without a source block
		unresolved   bool
	}{
		{format: "${topic}", want: "a_b_c"},
		{format: "x.${topic}_y", want: "x.a_b_c_y"},
		{format: "${source.schema}.t${source.id}", want: "shop.t7"},
		{format: "${source.schema}", bare: true, unresolved: true},
		{format: "${source.none}", unresolved: true},
		{format: "${source.other}", unresolved: true},
		{format: "${topic}", bare: true, want: "a_b_c"},
		{format: "${unknown}${", want: "${unknown}${"},
		{format: "", want: ""},
	} {
		t.Run(c.format, func(t *testing.T) {
			var b change.Batch
			typ, v := source, b.AppendLiteral([]any{"shop", int64(7), nil}, source)
			if c.bare {
				typ, v = nil, change.Value{}
			}
			got, ok := parseNameFormat(c.format).append(nil, "a.b.c", &b, typ, v)
			require.Equal(t, !c.unresolved, ok)
			if ok {
				require.Equal(t, c.want, string(got))
			}
		})
	}
}

// TestPlaceholder holds the forms that a source gives its placeholder, by type.
func TestPlaceholder(t *testing.T) {
	p := newPlaceholder([]byte(defaultPlaceholder))
	text := func(k schema.Kind, name string) *schema.Type { return &schema.Type{Kind: k, Name: name} }
	array := func(e *schema.Type) *schema.Type { return &schema.Type{Kind: schema.Array, Elem: e} }
	var bytesOf []any
	for _, c := range []byte(defaultPlaceholder) {
		bytesOf = append(bytesOf, int64(c))
	}
	for _, c := range []struct {
		name  string
		typ   *schema.Type
		value any
		other any // a value that is none
	}{
		{"text", text(schema.String, ""), defaultPlaceholder, defaultPlaceholder + "x"},
		{"xml", text(schema.String, schema.XML), defaultPlaceholder, "<a/>"},
		{"json", text(schema.String, schema.JSON), defaultPlaceholder, `{}`},
		{"json of hstore", text(schema.String, schema.JSON), `{"` + defaultPlaceholder + `":"` + defaultPlaceholder + `"}`, `{"` + defaultPlaceholder + `":1}`},
		{"bytes", text(schema.Bytes, ""), []byte(defaultPlaceholder), []byte{1}},
		{"texts", array(text(schema.String, "")), []any{defaultPlaceholder}, []any{defaultPlaceholder, "b"}},
		{"bytes of array", array(text(schema.Bytes, "")), []any{[]byte(defaultPlaceholder)}, []any{[]byte("b")}},
		{"numbers", array(text(schema.Int32, "")), bytesOf, bytesOf[1:]},
		{"long numbers", array(text(schema.Int64, "")), bytesOf, append([]any{int64(1)}, bytesOf[1:]...)},
		{"dates", array(text(schema.Int32, schema.Date)), bytesOf, []any{}},
		{"uuids", array(text(schema.String, schema.UUID)), []any{"b68a35a7-17ad-35b3-af2a-ae46edb4545a"}, []any{defaultPlaceholder}},
		{"map", &schema.Type{Kind: schema.Map, Key: text(schema.String, ""), Elem: text(schema.String, "")}, []any{defaultPlaceholder, defaultPlaceholder}, []any{defaultPlaceholder, nil}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b change.Batch
			d := p.detector(c.typ)
			require.NotNil(t, d)
			require.True(t, d(&b, b.AppendLiteral(c.value, c.typ)))
			require.False(t, d(&b, b.AppendLiteral(c.other, c.typ)))
		})
	}
	for _, typ := range []*schema.Type{text(schema.Int32, ""), text(schema.Bytes, schema.Decimal), array(text(schema.Float64, "")), text(schema.Boolean, "")} {
		require.Nil(t, p.detector(typ), "%v has no form for it", typ)
	}
	var b change.Batch
	raw := newPlaceholder([]byte{0xff, 0x00})
	require.True(t, raw.detector(text(schema.Bytes, ""))(&b, b.BytesOf([]byte{0xff, 0})))
	require.True(t, raw.detector(text(schema.String, ""))(&b, b.Text("\uFFFD\x00")))
	require.True(t, raw.detector(array(text(schema.Int32, "")))(&b, b.AppendLiteral([]any{int64(-1), int64(0)}, array(text(schema.Int32, "")))))
}

func TestHeaderValues(t *testing.T) {
	w := &writer{opt: &options{}}
	var b change.Batch
	for text, want := range map[string]schema.Kind{
		"1": schema.Int8, "-128": schema.Int8, "128": schema.Int16, "-32769": schema.Int32, "2147483648": schema.Int64, "9223372036854775807": schema.Int64,
		"9223372036854775808": schema.String, "true": schema.Boolean, "1.5": schema.Float64, "a": schema.String, `"1"`: schema.String, "": schema.String, "NaN": schema.String,
	} {
		kind, v := w.headerValue(&b, text)
		require.Equal(t, want, kind, "%q", text)
		if kind == schema.String {
			require.Equal(t, strings.Trim(text, `"`), b.String(v))
		}
	}
	w.opt.textHeaders = true
	kind, _ := w.headerValue(&b, "1")
	require.Equal(t, schema.String, kind)
}

// Keys of different content must differ, however their parts are cut, and integers must sort as numbers.
func TestSegmentKeys(t *testing.T) {
	s := newSegment(upsertMode, 1)
	var b change.Batch
	key := func(values ...change.Value) string {
		s.keys = s.keys[:0]
		for _, v := range values {
			s.appendKeyValue(v, &b)
		}
		return string(s.keys)
	}
	seen := map[string]int{}
	for i, k := range []string{
		key(b.Text("a"), b.Text("b")), key(b.Text("ab"), b.Text("")), key(b.Text(""), b.Text("ab")), key(b.Text("a\x00"), b.Text("b")),
		key(b.Text("a"), b.Text("\x00b")), key(b.Text("a\x00\x01"), b.Text("b")), key(b.BytesOf([]byte("a")), b.Text("b")),
		key(change.IntValue(1), change.IntValue(0)), key(change.IntValue(0), change.IntValue(1)), key(change.BoolValue(true)), key(change.BoolValue(false)),
	} {
		other, ok := seen[k]
		require.False(t, ok, "%d is %d", i, other)
		seen[k] = i
	}
	numbers := []int64{-9223372036854775808, -1, 0, 1, 9223372036854775807}
	for i := range numbers[1:] {
		require.Less(t, key(change.IntValue(numbers[i])), key(change.IntValue(numbers[i+1])))
	}
}

func TestTableNames(t *testing.T) {
	w := &writer{opt: &options{dialect: postgres.Dialect{}}}
	for in, want := range map[string]string{"T": "t", "S.T": "s.t", "c.S.T": "s.t", "Odd-Name": "Odd-Name"} {
		n, err := w.tableName(in)
		require.NoError(t, err)
		require.Equal(t, want, n.String())
	}
	for _, in := range []string{"", "a.", "a.b.c.d"} {
		_, err := w.tableName(in)
		require.ErrorContains(t, err, "is not table, schema.table or catalog.schema.table")
	}
	w.opt.quote = true
	n, err := w.tableName("S.T")
	require.NoError(t, err)
	require.Equal(t, "S.T", n.String())
}

// fakeSession has one table and takes everything.
type fakeSession struct{ table *dialect.Table }

func (s fakeSession) Table(context.Context, dialect.Name) (*dialect.Table, error) {
	return s.table, nil
}
func (fakeSession) Exec(context.Context, string) error { return nil }
func (fakeSession) Query(context.Context, string, func([][]byte) error, ...string) error {
	return nil
}
func (fakeSession) Apply(context.Context, []dialect.Group, *change.Batch) error { return nil }
func (fakeSession) Lock(context.Context, string) error                          { return nil }
func (fakeSession) Reset(context.Context) error                                 { return nil }
func (fakeSession) Close(context.Context) error                                 { return nil }

// The path of every change allocates nothing once plans are made and slabs have grown.
func TestWritingAllocatesNothingPerRecord(t *testing.T) {
	const records = 1000
	table := &dialect.Table{Name: dialect.Name{Table: "items"}, Columns: []dialect.Column{{Name: "id"}, {Name: "v"}, {Name: "n"}}}
	w := newWriter(&options{
		dialect: postgres.Dialect{}, insertMode: upsertMode, keyMode: keyRecord, deletes: true, nameFormat: "${topic}", placeholder: []byte(defaultPlaceholder),
		cloudEvents: regexp.MustCompile(defaultCloudEvents),
	}, sinks.Env{Log: slog.New(slog.DiscardHandler)}, fakeSession{table})
	h := sinktest.RandomHistory(rand.New(rand.NewPCG(1, 2)), records, 300)
	for i := range h {
		h[i].Unknown = false // sets of columns are made once each; with many of them that would not be nothing
	}
	b := h.Batch(0, records)
	write := func() {
		if err := w.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	write()
	require.Less(t, testing.AllocsPerRun(20, write), 10.0, "a handful per batch")
}

// TestForgettingStartsAnew: a writer that has seen too many schemas drops its plans and goes on.
func TestForgettingStartsAnew(t *testing.T) {
	table := &dialect.Table{Name: dialect.Name{Table: "items"}, Columns: []dialect.Column{{Name: "id"}, {Name: "v"}, {Name: "n"}}}
	w := newWriter(&options{
		dialect: postgres.Dialect{}, insertMode: upsertMode, keyMode: keyRecord, deletes: true, nameFormat: "${topic}",
		cloudEvents: regexp.MustCompile(defaultCloudEvents),
	}, sinks.Env{Log: slog.New(slog.DiscardHandler)}, fakeSession{table})
	h := sinktest.RandomHistory(rand.New(rand.NewPCG(1, 2)), 10, 5)
	require.NoError(t, w.Write(t.Context(), h.Batch(0, 10)))
	require.NotEmpty(t, w.shapes)
	for i := range maxShapes {
		w.shapes[shapeKey{topic: strconv.Itoa(i)}] = nil
	}
	require.NoError(t, w.Write(t.Context(), h.Batch(0, 10)))
	require.Less(t, len(w.shapes), 5)
	require.Len(t, w.targets, 1)
}
