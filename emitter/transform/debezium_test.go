// SPDX-License-Identifier: Apache-2.0

package transform_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter/transform"
	"freshet/schema"
	"freshet/test/notation"
)

// What the recordings of single records (TestGoldenDebezium) cannot show: several records in a row, schemas that change,
// values that must stay, logs, and what a record costs.

const (
	logicalClass   = "io.debezium.transforms.ByLogicalTableRouter"
	partitionClass = "io.debezium.transforms.partitions.PartitionRouting"
	timezoneClass  = "io.debezium.transforms.TimezoneConverter"
	outboxClass    = "io.debezium.transforms.outbox.EventRouter"
	headerClass    = "io.debezium.transforms.HeaderToValue"
	changedClass   = "io.debezium.transforms.ExtractChangedRecordState"
	columnsClass   = "io.debezium.transforms.ExtractSchemaToNewRecord"
	decodeClass    = "io.debezium.connector.postgresql.transforms.DecodeLogicalDecodingMessageContent"
)

func optionalType(k schema.Kind, name string) *schema.Type {
	return &schema.Type{Kind: k, Optional: true, Name: name}
}

// rowEvent is an event of a table with the given columns; values follow them, text, int64 or nil.
func rowEvent(op string, columns []schema.Field, before, after []any) *transform.Record {
	return rowEventOf(rowEnvelope("p.t", columns), op, before, after)
}

func rowEnvelope(topic string, columns []schema.Field) *schema.Type {
	row := &schema.Type{Kind: schema.Struct, Optional: true, Name: topic + ".Value", Fields: columns}
	text := &schema.Type{Kind: schema.String}
	return &schema.Type{Kind: schema.Struct, Name: topic + ".Envelope", Version: 2, Fields: []schema.Field{
		{Name: "before", Type: row},
		{Name: "after", Type: row},
		{Name: "source", Type: &schema.Type{Kind: schema.Struct, Name: "Source", Fields: []schema.Field{{Name: "table", Type: text}}}},
		{Name: "op", Type: text},
		{Name: "ts_ms", Type: optionalType(schema.Int64, "")},
	}}
}

func rowEventOf(env *schema.Type, op string, before, after []any) *transform.Record {
	b := &change.Batch{}
	topic := strings.TrimSuffix(env.Name, ".Envelope")
	source := b.NewRow(1)
	b.Set(source, 0, b.Text(topic[strings.LastIndexByte(topic, '.')+1:]))
	value := b.NewRow(5)
	b.Set(value, 0, rowOf(b, before))
	b.Set(value, 1, rowOf(b, after))
	b.Set(value, 2, b.Run(change.Struct, source))
	b.Set(value, 3, b.Text(op))
	b.Set(value, 4, change.IntValue(1700000000500))
	key := b.NewRow(1)
	b.Set(key, 0, change.IntValue(1))
	return &transform.Record{
		Topic: topic, Partition: -1, TimeMillis: transform.NoTime, Data: b, ValueType: env, Value: b.Run(change.Struct, value),
		KeyType: keyOf(env), Key: b.Run(change.Struct, key),
	}
}

var keyTypes = map[*schema.Type]*schema.Type{}

// keyOf is the type of the keys of a table, one by pointer.
func keyOf(env *schema.Type) *schema.Type {
	if keyTypes[env] == nil {
		keyTypes[env] = &schema.Type{Kind: schema.Struct, Name: strings.TrimSuffix(env.Name, "Envelope") + "Key", Fields: []schema.Field{{Name: "id", Type: &schema.Type{Kind: schema.Int32}}}}
	}
	return keyTypes[env]
}

func rowOf(b *change.Batch, values []any) change.Value {
	if values == nil {
		return change.NullValue()
	}
	row := b.NewRow(len(values))
	for i, v := range values {
		switch x := v.(type) {
		case string:
			b.Set(row, i, b.Text(x))
		case int:
			b.Set(row, i, change.IntValue(int64(x)))
		}
	}
	return b.Run(change.Struct, row)
}

func apply(t testing.TB, c transform.Chain, r *transform.Record) bool {
	t.Helper()
	keep, err := c.Apply(r)
	require.NoError(t, err)
	return keep
}

func field(t testing.TB, r *transform.Record, path ...string) string {
	t.Helper()
	typ, v := r.ValueType, r.Value
	for _, name := range path {
		i := typ.FieldIndex(name)
		require.GreaterOrEqual(t, i, 0, "field %s of %v", name, path)
		typ, v = typ.Fields[i].Type, r.Data.Elems(v)[i]
	}
	return notation.Render(r.Data, v)
}

var idName = []schema.Field{{Name: "id", Type: &schema.Type{Kind: schema.Int32}}, {Name: "name", Type: optionalType(schema.String, "")}}

// Every event transform keeps what it made of a schema, by pointer, and makes another of another schema.
func TestSchemasChangeBetweenEvents(t *testing.T) {
	wide := append(slices.Clone(idName), schema.Field{Name: "more", Type: optionalType(schema.String, "")})
	for i := range wide {
		typ := *wide[i].Type
		typ.Params = []schema.Param{{Name: "__debezium.source.column.name", Value: wide[i].Name}, {Name: "__debezium.source.column.type", Value: "X"}}
		wide[i].Type = &typ
	}
	old, now := rowEnvelope("p.t", wide[:2]), rowEnvelope("p.t", wide)
	for class, chain := range map[string]transform.Chain{
		logicalClass: oneTransform(t, logicalClass, "topic.regex", ".*", "topic.replacement", "all"),
		columnsClass: oneTransform(t, columnsClass),
		headerClass:  oneTransform(t, headerClass, "headers", "h", "fields", "after.h", "operation", "copy"),
	} {
		t.Run(class, func(t *testing.T) {
			header := transform.Header{Key: "h", Type: optionalType(schema.String, "")}
			run := func(env *schema.Type, values ...any) *transform.Record {
				r := rowEventOf(env, "c", nil, values)
				header.Value = r.Data.Text("x")
				r.Headers = []transform.Header{header}
				require.True(t, apply(t, chain, r))
				return r
			}
			first, second, third, back := run(old, 1, "a"), run(old, 2, "b"), run(now, 3, "c", "m"), run(old, 4, "d")
			require.Same(t, first.ValueType, second.ValueType)
			require.Same(t, first.ValueType, back.ValueType)
			require.NotSame(t, first.ValueType, third.ValueType)
			require.Equal(t, `text "m"`, field(t, third, "after", "more"))
			require.Equal(t, `text "d"`, field(t, back, "after", "name"))
		})
	}
	t.Run(partitionClass, func(t *testing.T) {
		chain := oneTransform(t, partitionClass, "partition.payload.fields", "change.more", "partition.topic.num", "1000")
		for _, c := range []struct {
			r    *transform.Record
			want int32
		}{
			{rowEventOf(old, "c", nil, []any{1, "a"}), -1},
			{rowEventOf(now, "c", nil, []any{1, "a", "b"}), 98},
			{rowEventOf(now, "d", []any{1, "a", "c"}, nil), 99},
			{rowEventOf(old, "c", nil, []any{1, "a"}), -1},
		} {
			require.True(t, apply(t, chain, c.r))
			require.Equal(t, c.want, c.r.Partition)
		}
	})
	t.Run(changedClass, func(t *testing.T) {
		// before and after of other schemas, as no source makes them and other transforms may
		chain := oneTransform(t, changedClass, "header.changed.name", "c", "header.unchanged.name", "u")
		r := rowEventOf(now, "u", []any{1, "a"}, []any{1, "b", "m"})
		env := *now
		env.Fields = slices.Clone(now.Fields)
		env.Fields[0].Type = &schema.Type{Kind: schema.Struct, Fields: []schema.Field{wide[0], {Name: "gone", Type: wide[1].Type}}}
		r.ValueType = &env
		require.True(t, apply(t, chain, r))
		require.Equal(t, `8{text "name"; text "more"; text "gone"}`, notation.Render(r.Data, r.Headers[0].Value))
		require.Equal(t, `8{text "id"}`, notation.Render(r.Data, r.Headers[1].Value))
	})
}

func TestTablesOfOneTopicHaveOtherKeys(t *testing.T) {
	chain := oneTransform(t, logicalClass, "topic.regex", `p\.t_(\d)`, "topic.replacement", "p.t", "key.field.name", "shard", "key.field.regex", `.*_(\d)`, "key.field.replacement", "$1")
	var keys []string
	for _, table := range []string{"p.t_1", "p.t_2", "p.t_1"} {
		r := rowEventOf(rowEnvelope(table, idName), "c", nil, []any{1, "a"})
		require.True(t, apply(t, chain, r))
		require.Equal(t, "p.t", r.Topic)
		require.Equal(t, []string{"p.t.Key", "p.t.Envelope", "p.t.Value", "p.t.Value"}, []string{r.KeyType.Name, r.ValueType.Name, r.ValueType.Fields[0].Type.Name, r.ValueType.Fields[1].Type.Name})
		require.Same(t, r.ValueType.Fields[0].Type, r.ValueType.Fields[1].Type)
		keys = append(keys, notation.Render(r.Data, r.Key))
	}
	require.Equal(t, []string{`7{int 1; text "1"}`, `7{int 1; text "2"}`, `7{int 1; text "1"}`}, keys)
}

func TestInfiniteTimesStayInfinite(t *testing.T) {
	columns := append(slices.Clone(idName),
		schema.Field{Name: "micros", Type: optionalType(schema.Int64, schema.MicroTimestamp)}, schema.Field{Name: "nanos", Type: optionalType(schema.Int64, schema.NanoTimestamp)},
		schema.Field{Name: "zoned", Type: optionalType(schema.String, schema.ZonedTimestamp)})
	r := rowEvent("c", columns, nil, []any{1, "a", -9223372036832400000, math.MaxInt64, "-infinity"})
	require.True(t, apply(t, oneTransform(t, timezoneClass, "converted.timezone", "-05:00"), r))
	require.Equal(t, `7{int 1; text "a"; int -9223372036832400000; int 9223372036854775807; text "-infinity"}`, field(t, r, "after"))
}

// Values that are in the batch stay as they are: a record that is routed to a dead letter queue, and a tombstone made of
// the same event, need them.
func TestValuesStay(t *testing.T) {
	columns := append(slices.Clone(idName), schema.Field{Name: "at", Type: optionalType(schema.Int64, schema.Timestamp)})
	for class, chain := range map[string]transform.Chain{
		timezoneClass: oneTransform(t, timezoneClass, "converted.timezone", "+02:00"),
		logicalClass:  oneTransform(t, logicalClass, "topic.regex", ".*", "topic.replacement", "all"),
		headerClass:   oneTransform(t, headerClass, "headers", "h", "fields", "after.h", "operation", "move"),
		outboxClass:   oneTransform(t, outboxClass, "table.field.event.key", "id", "table.field.event.payload", "name", "route.by.field", "name", "table.fields.additional.placement", "at:envelope"),
	} {
		t.Run(class, func(t *testing.T) {
			r := rowEvent("c", columns, nil, []any{1, "a", 1000})
			r.Headers = []transform.Header{{Key: "h", Type: optionalType(schema.Int64, ""), Value: change.IntValue(9)}}
			typ, key, value, headers := r.ValueType, r.Key, r.Value, slices.Clone(r.Headers)
			was, shape := notation.Render(r.Data, value), fmt.Sprint(typ)
			shared := r.Headers
			require.True(t, apply(t, chain, r))
			require.NotEqual(t, was+fmt.Sprint(typ, key), notation.Render(r.Data, r.Value)+fmt.Sprint(r.ValueType, r.Key))
			require.Equal(t, was, notation.Render(r.Data, value))
			require.Equal(t, shape, fmt.Sprint(typ))
			require.Equal(t, headers, shared)
		})
	}
}

func TestHeadersOfOtherTypesHaveOtherSchemas(t *testing.T) {
	chain := oneTransform(t, headerClass, "headers", "a,b", "fields", "x,m.y.z", "operation", "move")
	env := rowEnvelope("p.t", idName)
	run := func(headers ...transform.Header) *transform.Record {
		r := rowEventOf(env, "c", nil, []any{1, "a"})
		r.Headers = headers
		require.True(t, apply(t, chain, r))
		return r
	}
	number := transform.Header{Key: "a", Type: optionalType(schema.Int64, ""), Value: change.IntValue(7)}
	first := run(number)
	require.Equal(t, "int 7", field(t, first, "x"))
	require.Empty(t, first.Headers)
	require.Same(t, first.ValueType, run(number).ValueType)

	stored := run(transform.Header{Key: "a", Raw: []byte("1.5")}, transform.Header{Key: "b", Raw: []byte("word")}, transform.Header{Key: "c"})
	require.Equal(t, "float 1.5", field(t, stored, "x"))
	require.Equal(t, `text "word"`, field(t, stored, "m", "y", "z"))
	require.True(t, stored.ValueType.Fields[stored.ValueType.FieldIndex("m")].Type.Optional)
	require.Len(t, stored.Headers, 1)

	none := run(transform.Header{Key: "c"})
	require.False(t, none.Touched)
}

var outboxColumns = []schema.Field{
	{Name: "id", Type: &schema.Type{Kind: schema.String}},
	{Name: "aggregatetype", Type: &schema.Type{Kind: schema.String}},
	{Name: "aggregateid", Type: &schema.Type{Kind: schema.String}},
	{Name: "payload", Type: optionalType(schema.String, schema.JSON)},
}

func outboxEvent(env *schema.Type, op, id, payload string) *transform.Record {
	row := []any{id, "order", "42", payload}
	if op == "u" {
		return rowEventOf(env, op, row, row)
	}
	return rowEventOf(env, op, nil, row)
}

// A payload of the same shape has the same schema, by pointer: encoders compile it once.
func TestPayloadsOfOneShapeHaveOneSchema(t *testing.T) {
	env := rowEnvelope("p.outbox", outboxColumns)
	for _, placement := range []string{"", "aggregateid:envelope"} {
		settings := []string{"table.expand.json.payload", "true"}
		if placement != "" {
			settings = append(settings, "table.fields.additional.placement", placement)
		}
		chain := oneTransform(t, outboxClass, settings...)
		var types []*schema.Type
		for _, payload := range []string{`{"a":1,"b":["x"]}`, `{"a":2,"b":["y","z"]}`, `{"a":2.5,"b":["y"]}`, `{"a":3,"b":["x"]}`} {
			r := outboxEvent(env, "c", "1", payload)
			require.True(t, apply(t, chain, r))
			types = append(types, r.ValueType)
		}
		require.Same(t, types[0], types[1])
		require.NotSame(t, types[0], types[2])
		require.Same(t, types[0], types[3])
	}
}

func TestPayloadsThatDiffer(t *testing.T) {
	env := rowEnvelope("p.outbox", outboxColumns)
	members := func(n int) string {
		var s []string
		for i := range n {
			s = append(s, fmt.Sprintf(`"m%d":%d`, i, i))
		}
		return strings.Join(s, ",")
	}
	for _, c := range []struct{ payload, want string }{
		{`{"a":[{"x":{"y":1}},{"x":{"z":2}}]}`, "7{8{7{7{int 1; null}}; 7{7{null; int 2}}}}"},
		{`{"a":[[{"b":1}],[{"c":2}],[]]}`, "7{8{8{7{int 1; null}}; 8{7{null; int 2}}; 8{}}}"},
		{`{"a":[{"x":[]},{"x":[1]}]}`, "7{8{7{8{}}; 7{8{int 1}}}}"},
		{`{"a":[{"x":1},{"x":null,"y":2},null]}`, "7{8{7{int 1; null}; 7{null; int 2}; null}}"},
		{`{` + members(20) + `,"m0":"last"}`, `7{text "last"; `},
		{`{"a":{"b":"` + strings.Repeat("x", 100000) + `"}}`, `7{7{text "xxx`},
		{`{"a":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`, `text "{\"a\":[[[`},
		{`{"a":[{"x":1},{"x":"s"}]}`, `text "{\"a\":[{\"x\":1},{\"x\":\"s\"}]}"`},
		{`{"a":1}{"b":2}`, "7{int 1}"},
	} {
		r := outboxEvent(env, "c", "1", c.payload)
		require.True(t, apply(t, oneTransform(t, outboxClass, "table.expand.json.payload", "true"), r))
		require.True(t, strings.HasPrefix(notation.Render(r.Data, r.Value), c.want), "%.60s gives %.200s", c.payload, notation.Render(r.Data, r.Value))
	}
	r := outboxEvent(env, "c", "1", `{"a-b":1,"a_b":2,"1c":{"d e":3}}`)
	require.True(t, apply(t, oneTransform(t, outboxClass, "table.expand.json.payload", "true", "field.name.adjustment.mode", "avro"), r))
	require.Equal(t, "7{int 1; 7{int 3}}", notation.Render(r.Data, r.Value))
	require.Equal(t, []string{"a_b", "_1c"}, []string{r.ValueType.Fields[0].Name, r.ValueType.Fields[1].Name})
}

// What happens with many records is not logged for each.
func TestOutboxLogs(t *testing.T) {
	var said bytes.Buffer
	env := rowEnvelope("p.outbox", outboxColumns)
	chain := oneTransform(t, outboxClass, "table.op.invalid.behavior", "error", "table.expand.json.payload", "true")
	require.False(t, apply(t, chain, outboxEvent(env, "u", "1", "{}"))) // without a log
	chain = oneTransform(t, outboxClass, "table.op.invalid.behavior", "error", "table.expand.json.payload", "true")
	chain.Log(slog.New(slog.NewTextHandler(&said, nil)))
	for range 100 {
		require.False(t, apply(t, chain, outboxEvent(env, "u", "1", "{}")))
	}
	require.Equal(t, 7, strings.Count(said.String(), "level=ERROR"), said.String())
	require.Contains(t, said.String(), "times=64")
	require.True(t, apply(t, chain, outboxEvent(env, "c", "1", "no JSON")))
	require.Contains(t, said.String(), `level=WARN msg="a payload that is no JSON object, or one without a schema, stays a text"`)
	require.NotContains(t, said.String(), "no JSON\"", "payloads stay out of the log")
}

// A table that gets or loses a column goes on, or says what it needs.
func TestOutboxColumnsChange(t *testing.T) {
	chain := oneTransform(t, outboxClass, "table.fields.additional.placement", "extra:header", "table.field.additional.missing", "ignore")
	without, with := rowEnvelope("p.outbox", outboxColumns), rowEnvelope("p.outbox", append(slices.Clone(outboxColumns), schema.Field{Name: "extra", Type: optionalType(schema.String, "")}))
	r := outboxEvent(without, "c", "1", "{}")
	require.True(t, apply(t, chain, r))
	require.Len(t, r.Headers, 1)
	r = rowEventOf(with, "c", nil, []any{"1", "order", "42", "{}", "x"})
	require.True(t, apply(t, chain, r))
	require.Len(t, r.Headers, 2)
	require.Equal(t, `text "x"`, notation.Render(r.Data, r.Headers[1].Value))
	_, err := chain.Apply(rowEventOf(rowEnvelope("p.outbox", outboxColumns[:3]), "c", nil, []any{"1", "order", "42"}))
	require.EqualError(t, err, "Unable to find payload field payload in event")
}

// The messages that DecodeLogicalDecodingMessageContent makes are what EventRouter takes.
func TestDecodedMessagesAreRouted(t *testing.T) {
	b := &change.Batch{}
	content := optionalType(schema.Bytes, "")
	typ := &schema.Type{Kind: schema.Struct, Name: "io.debezium.connector.postgresql.MessageValue", Version: 1, Fields: []schema.Field{
		{Name: "op", Type: &schema.Type{Kind: schema.String}},
		{Name: "ts_ms", Type: optionalType(schema.Int64, "")},
		{Name: "message", Type: &schema.Type{Kind: schema.Struct, Fields: []schema.Field{{Name: "prefix", Type: optionalType(schema.String, "")}, {Name: "content", Type: content}}}},
	}}
	message, value := b.NewRow(2), b.NewRow(3)
	b.Set(message, 1, b.BytesOf([]byte(`{"id":"1","aggregatetype":"order","aggregateid":"42","payload":"{}"}`)))
	b.Set(value, 0, b.Text("m"))
	b.Set(value, 1, change.IntValue(5))
	b.Set(value, 2, b.Run(change.Struct, message))
	r := &transform.Record{Topic: "p.message", Data: b, ValueType: typ, Value: b.Run(change.Struct, value)}
	require.True(t, apply(t, oneTransform(t, decodeClass), r))
	require.True(t, apply(t, oneTransform(t, outboxClass), r))
	require.Equal(t, "outbox.event.order", r.Topic)
	require.Equal(t, int64(5), r.TimeMillis)
	require.Equal(t, `text "42"`, notation.Render(b, r.Key))
	require.Equal(t, `text "{}"`, notation.Render(b, r.Value))
}

// On the path of every event nothing is allocated but values of the batch.
func TestRoutersAllocateNothing(t *testing.T) {
	env := rowEnvelope("p.t", idName)
	for class, chain := range map[string]transform.Chain{
		logicalClass:   oneTransform(t, logicalClass, "topic.regex", ".*", "topic.replacement", "all"),
		partitionClass: oneTransform(t, partitionClass, "partition.payload.fields", "change.name,source.table,op", "partition.topic.num", "7"),
		timezoneClass:  oneTransform(t, timezoneClass, "converted.timezone", "Europe/Oslo"),
		changedClass:   oneTransform(t, changedClass),
	} {
		master := rowEventOf(env, "u", []any{1, "a"}, []any{1, "b"})
		var r transform.Record
		run := func() {
			r = *master
			if keep, err := chain.Apply(&r); !keep || err != nil {
				t.Fatal(keep, err)
			}
		}
		for range 20000 {
			run() // the slabs grow, and what was found out of the schema is kept
		}
		require.Zero(t, testing.AllocsPerRun(100, run), class)
	}
}

func BenchmarkRouters(b *testing.B) {
	env := rowEnvelope("p.t", idName)
	for class, settings := range map[string][]string{
		logicalClass:   {"topic.regex", ".*", "topic.replacement", "all"},
		partitionClass: {"partition.payload.fields", "change.name", "partition.topic.num", "7"},
		timezoneClass:  {"converted.timezone", "Europe/Oslo"},
	} {
		b.Run(class[strings.LastIndexByte(class, '.')+1:], func(b *testing.B) {
			chain, master := oneTransform(b, class, settings...), rowEventOf(env, "u", []any{1, "a"}, []any{1, "b"})
			mark := len(master.Data.Arena)
			var r transform.Record
			b.ReportAllocs()
			for b.Loop() {
				r = *master
				if keep, err := chain.Apply(&r); !keep || err != nil {
					b.Fatal(keep, err)
				}
				master.Data.Arena = master.Data.Arena[:mark]
			}
		})
	}
}
