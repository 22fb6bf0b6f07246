// SPDX-License-Identifier: Apache-2.0

package transform_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/config"
	"freshet/emitter/transform"
	"freshet/schema"
)

func oneTransform(t testing.TB, class string, settings ...string) transform.Chain {
	t.Helper()
	cfg := map[string]string{"transforms": "x", "transforms.x.type": class}
	for i := 0; i < len(settings); i += 2 {
		cfg["transforms.x."+settings[i]] = settings[i+1]
	}
	chain, problems := transform.Parse(cfg)
	require.Empty(t, config.Errors(problems))
	return chain
}

func problemsOf(t testing.TB, class string, settings ...string) []config.Problem {
	t.Helper()
	cfg := map[string]string{"transforms": "x", "transforms.x.type": class}
	for i := 0; i < len(settings); i += 2 {
		cfg["transforms.x."+settings[i]] = settings[i+1]
	}
	_, problems := transform.Parse(cfg)
	return problems
}

var errGone = errors.New("gone")

const (
	filterClass = "io.debezium.transforms.Filter"
	routerClass = "io.debezium.transforms.ContentBasedRouter"
)

// sample is an update of a row with a field of each kind.
func sample() *transform.Record {
	b := &change.Batch{}
	typ := func(k schema.Kind) *schema.Type { return &schema.Type{Kind: k, Optional: true} }
	row := &schema.Type{Kind: schema.Struct, Optional: true, Name: "p.t.Value", Fields: []schema.Field{
		{Name: "id", Type: &schema.Type{Kind: schema.Int32}},
		{Name: "status", Type: typ(schema.String)},
		{Name: "price", Type: &schema.Type{Kind: schema.Bytes, Optional: true, Name: schema.Decimal, Version: 1, Params: []schema.Param{{Name: "scale", Value: "2"}}}},
		{Name: "ratio", Type: typ(schema.Float64)},
		{Name: "open", Type: typ(schema.Boolean)},
		{Name: "tags", Type: &schema.Type{Kind: schema.Array, Optional: true, Elem: typ(schema.String)}},
		{Name: "attrs", Type: &schema.Type{Kind: schema.Map, Optional: true, Key: typ(schema.String), Elem: typ(schema.Int32)}},
		{Name: "data", Type: typ(schema.Bytes)},
		{Name: "qty", Type: &schema.Type{Kind: schema.Int32, Optional: true, Default: int64(5)}},
		{Name: "note", Type: typ(schema.String)},
	}}
	env := &schema.Type{Kind: schema.Struct, Name: "p.t.Envelope", Version: 2, Fields: []schema.Field{
		{Name: "before", Type: row},
		{Name: "after", Type: row},
		{Name: "source", Type: &schema.Type{Kind: schema.Struct, Fields: []schema.Field{{Name: "table", Type: typ(schema.String)}}}},
		{Name: "op", Type: &schema.Type{Kind: schema.String}},
	}}
	tags := b.NewRow(2)
	b.Set(tags, 0, b.Text("red"))
	b.Set(tags, 1, b.Text("blue"))
	attrs := b.NewRow(2)
	b.Set(attrs, 0, b.Text("size"))
	b.Set(attrs, 1, change.IntValue(42))
	after := b.NewRow(len(row.Fields))
	for i, v := range []change.Value{
		change.IntValue(7), b.Text("paid"), b.BytesOf([]byte{0xfe, 0xd4}), change.FloatValue(0.5), change.BoolValue(true),
		b.Run(change.Array, tags), b.Run(change.Map, attrs), b.BytesOf([]byte("ab")),
	} {
		b.Set(after, i, v)
	}
	source := b.NewRow(1)
	b.Set(source, 0, b.Text("orders"))
	value := b.NewRow(4)
	b.Set(value, 1, b.Run(change.Struct, after))
	b.Set(value, 2, b.Run(change.Struct, source))
	b.Set(value, 3, b.Text("u"))
	key := b.NewRow(1)
	b.Set(key, 0, change.IntValue(7))
	return &transform.Record{
		Topic: "p.t", Partition: 3, TimeMillis: transform.NoTime, Data: b, ValueType: env, Value: b.Run(change.Struct, value),
		KeyType: &schema.Type{Kind: schema.Struct, Name: "p.t.Key", Fields: row.Fields[:1]}, Key: b.Run(change.Struct, key),
		Headers: []transform.Header{
			{Key: "tenant", Type: typ(schema.String), Value: b.Text("acme")},
			{Key: "tenant", Type: typ(schema.String), Value: b.Text("globex")},
			{Key: "n", Raw: []byte("12")},
		},
	}
}

func TestConditions(t *testing.T) {
	for condition, want := range map[string]bool{
		`value.op == 'u'`: true,
		`value.op == 'd'`: false,
		`value.op == 'u' && value.before.status != value.after.status`: true,
		`value.before == null`:                                             true,
		`null == value.before`:                                             true,
		`value.after == null`:                                              false,
		`value.before.status == null`:                                      true,
		`value.before.status == 'x'`:                                       false,
		`has(value.before.status)`:                                         false,
		`has(value.after.status)`:                                          true,
		`has(value.after.note)`:                                            false,
		`has(value.after.nosuch)`:                                          false,
		`value.after.note == null`:                                         true,
		`value.after.note != null`:                                         false,
		`value.after.id > 5`:                                               true,
		`value.after.id > 5.5`:                                             true,
		`value.after.price == -3.0`:                                        true,
		`value.after.price < 0`:                                            true,
		`value.after.ratio >= 0.5`:                                         true,
		`value.after.open`:                                                 true,
		`!value.after.open`:                                                false,
		`'red' in value.after.tags`:                                        true,
		`value.after.tags.exists(x, x.startsWith('bl'))`:                   true,
		`size(value.after.tags) == 2`:                                      true,
		`value.after.attrs.size == 42`:                                     true,
		`value.after.data == b'ab'`:                                        true,
		`value.after.qty == 5`:                                             true, // the default, as Struct.get gives it
		`value.after == value.after`:                                       true,
		`value.after == value.source`:                                      false,
		`value['after']['status'] == 'paid'`:                               true,
		`value.source.table in ['orders', 'items']`:                        true,
		`value.after.status.matches('^pa')`:                                true,
		`value.after.status.lowerAscii() == 'paid'`:                        true,
		`key.id == 7`:                                                      true,
		`topic == 'p.t'`:                                                   true,
		`topic.endsWith('.t')`:                                             true,
		`valueSchema.name == 'p.t.Envelope'`:                               true,
		`valueSchema.version == 2`:                                         true,
		`valueSchema.type == 'STRUCT'`:                                     true,
		`valueSchema.fields.op.type == 'STRING'`:                           true,
		`valueSchema.fields.after.fields.price.parameters.scale == '2'`:    true,
		`'before' in valueSchema.fields`:                                   true,
		`keySchema.optional`:                                               false,
		`keySchema.doc == null`:                                            true,
		`header.tenant.value == 'globex'`:                                  true,
		`headers['tenant'].value == 'globex'`:                              true,
		`header.tenant.schema.type == 'STRING'`:                            true,
		`header.n.value == 12`:                                             true,
		`header.nosuch == null`:                                            true,
		`header.nosuch.value == 'x'`:                                       false,
		`'tenant' in header`:                                               true,
		`has(header.nosuch)`:                                               false,
		`true`:                                                             true,
		`value.after.id % 2 == 0`:                                          false,
		`string(value.after.id) == '7'`:                                    true,
		`value.after.status.upperAscii().trim() == 'PAID'`:                 true,
		`size(value.after.status) == 4`:                                    true,
		`value.after.tags.all(t, t != 'x')`:                                true,
		`value.after.status.matches('^p.*$')`:                              true,
		`(value.after.note != null ? value.after.note : 'none') == 'none'`: true,
		`'id' in valueSchema.fields`:                                       false,
		`[value.after.id].exists(x, x > 5 && x < 9)`:                       true,
	} {
		t.Run(condition, func(t *testing.T) {
			keep, err := oneTransform(t, filterClass, "language", "cel", "condition", condition).Apply(sample())
			require.NoError(t, err)
			require.Equal(t, want, keep)
		})
	}
}

func TestConditionsThatFail(t *testing.T) {
	for condition, message := range map[string]string{
		`value.aftr.status == 'x'`:   "aftr is not a valid field name",
		`value.after.nosuch == 1`:    "nosuch is not a valid field name",
		`value.before.id < 3`:        "no such overload",
		`value.after.status`:         "Value 'paid' returned by the expression is not a Boolean",
		`valueSchema.nosuch == 'x'`:  "a schema has no nosuch",
		`header.tenant.nosuch == ''`: "a header has no nosuch",
		`value.op.x == 1`:            "no such key: x",
	} {
		t.Run(condition, func(t *testing.T) {
			_, err := oneTransform(t, filterClass, "language", "cel", "condition", condition).Apply(sample())
			require.ErrorContains(t, err, "Error while evaluating expression '"+condition+"'")
			require.ErrorContains(t, err, message)
			var refused *transform.Error
			require.ErrorAs(t, err, &refused)
		})
	}
}

func TestExpressionsThatAreRefused(t *testing.T) {
	for _, c := range []struct{ class, property, expression, message string }{
		{filterClass, "condition", `value.op ==`, "Syntax error"},
		{filterClass, "condition", `valeu.op == 'u'`, "undeclared reference to 'valeu'"},
		{filterClass, "condition", `topic`, "it gives a value of type string, and not bool"},
		{filterClass, "condition", `value.op.contains()`, "found no matching overload"},
		{routerClass, "topic.expression", `true`, "it gives a value of type bool, and not string"},
	} {
		t.Run(c.expression, func(t *testing.T) {
			problems := config.Errors(problemsOf(t, c.class, "language", "cel", c.property, c.expression))
			require.Len(t, problems, 1)
			require.Equal(t, "transforms.x."+c.property, problems[0].Property)
			require.Contains(t, problems[0].Message, c.message)
		})
	}
	for _, language := range []string{"jsr223.groovy", "jsr223.graal.js", "wasm.chicory", "groovy"} {
		problems := config.Errors(problemsOf(t, filterClass, "language", language, "condition", "value.op == 'u'"))
		require.Len(t, problems, 1)
		require.Equal(t, "transforms.x.language", problems[0].Property)
		require.Contains(t, problems[0].Message, "Set language=cel and translate the expression")
	}
}

func TestContentBasedRouter(t *testing.T) {
	for expression, want := range map[string]string{
		`value.source.table == 'orders' ? 'orders-eu' : null`: "orders-eu",
		`value.source.table == 'items' ? 'items-eu' : null`:   "p.t",
		`'eu'`:                              "eu",
		`null`:                              "p.t",
		`value.before.status`:               "p.t",
		`topic + '.' + value.op`:            "p.t.u",
		`header.tenant.value + '.' + topic`: "globex.p.t",
	} {
		t.Run(expression, func(t *testing.T) {
			r := sample()
			keep, err := oneTransform(t, routerClass, "language", "cel", "topic.expression", expression).Apply(r)
			require.NoError(t, err)
			require.True(t, keep)
			require.Equal(t, want, r.Topic)
			require.Equal(t, int32(3), r.Partition)
			require.False(t, r.Touched)
		})
	}
	_, err := oneTransform(t, routerClass, "language", "cel", "topic.expression", "value.after.id").Apply(sample())
	require.ErrorContains(t, err, "Value '7' returned by the expression is not a String")
}

func TestExpressionsAreNotAskedForAllRecords(t *testing.T) {
	tombstone := func() *transform.Record { return &transform.Record{Topic: "p.t", Data: &change.Batch{}} }
	for _, c := range []struct {
		mode string
		keep bool
	}{{"keep", true}, {"drop", false}, {"evaluate", false}} {
		keep, err := oneTransform(t, filterClass, "language", "cel", "condition", "value.op == 'u'", "null.handling.mode", c.mode).Apply(tombstone())
		require.NoError(t, err)
		require.Equal(t, c.keep, keep, c.mode)
	}
	keep, err := oneTransform(t, filterClass, "language", "cel", "condition", "value == null", "null.handling.mode", "evaluate").Apply(tombstone())
	require.NoError(t, err)
	require.True(t, keep)

	chain := oneTransform(t, filterClass, "language", "cel", "condition", "false", "topic.regex", `p\..`)
	for topic, want := range map[string]bool{"p.t": false, "p.tt": true, "xp.t": true} {
		r := sample()
		r.Topic = topic
		keep, err := chain.Apply(r)
		require.NoError(t, err)
		require.Equal(t, want, keep, topic)
	}
}

// An expression that does not ask for the value does not make it.
func TestExpressionsAreLazy(t *testing.T) {
	for expression, loaded := range map[string]bool{
		`topic == 'p.t'`: false, `key.id == 7`: false, `header.tenant.value == 'x'`: false, `valueSchema.name == 'x'`: false,
		`topic == 'x' && value.op == 'u'`: false, `value.op == 'u'`: true,
	} {
		r := sample()
		value, made := r.Value, false
		r.Value, r.Lazy = change.NullValue(), func(r *transform.Record) error {
			made, r.Value = true, value
			return nil
		}
		_, err := oneTransform(t, filterClass, "language", "cel", "condition", expression).Apply(r)
		require.NoError(t, err)
		require.Equal(t, loaded, made, expression)
	}
}

// An error of the levels below is not made one of the expression.
func TestExpressionsPassErrors(t *testing.T) {
	r := sample()
	r.Lazy = func(*transform.Record) error { return errGone }
	_, err := oneTransform(t, filterClass, "language", "cel", "condition", "value.op == 'u'").Apply(r)
	require.ErrorIs(t, err, errGone)
	var refused *transform.Error
	require.NotErrorAs(t, err, &refused)
}

func BenchmarkFilter(b *testing.B) {
	for name, condition := range map[string]string{"topic": "topic == 'p.t'", "fields": "value.op == 'u' && value.after.status != 'x'"} {
		b.Run(name, func(b *testing.B) {
			chain, r := oneTransform(b, filterClass, "language", "cel", "condition", condition), sample()
			b.ReportAllocs()
			for b.Loop() {
				if keep, err := chain.Apply(r); !keep || err != nil {
					b.Fatal(keep, err)
				}
			}
		})
	}
}
