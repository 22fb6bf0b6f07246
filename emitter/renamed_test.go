// SPDX-License-Identifier: Apache-2.0

package emitter_test

import (
	"context"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/config"
	"freshet/emitter"
	"freshet/emitter/json"
	"freshet/emitter/topic"
	"freshet/emitter/transform"
	"freshet/schema"
)

func chainOf(t *testing.T, class string, settings map[string]string) transform.Chain {
	t.Helper()
	cfg := map[string]string{"transforms": "x", "transforms.x.type": class}
	for name, value := range settings {
		cfg["transforms.x."+name] = value
	}
	chain, problems := transform.Parse(cfg)
	require.Empty(t, config.Errors(problems))
	return chain
}

// touching makes values, and so takes events from the program of their table.
type touching struct{}

func (touching) Apply(r *transform.Record) (bool, error) {
	if err := r.Load(); err != nil {
		return false, err
	}
	r.SetValue(r.ValueType, r.Value)
	return true, nil
}

// boundFormat is a format whose encoders are of a topic; it tells which.
type boundFormat struct {
	emitter.RowFormat
	topics map[string]int
}

func (f boundFormat) CompileFor(_ string, t *schema.Type) (emitter.Encoder, error) {
	return f.Compile(t)
}

func (f boundFormat) CompileEnvelope(e *emitter.Envelope) (emitter.EnvelopeEncoder, error) {
	f.topics[e.Topic]++
	return f.RowFormat.CompileEnvelope(e)
}

// An event whose schemas were renamed is written as one whose value was made, byte for byte.
func TestRenamedEventsAreTheSameBytes(t *testing.T) {
	ada, bob := &person{1, "Ada"}, &person{2, "Bob"}
	items := []item{{op: 'c', after: ada}, {op: 'u', after: bob}, {op: 'u', before: ada, after: bob}, {op: 'd', before: ada, partial: true}, {op: 't'}}
	router := chainOf(t, "io.debezium.transforms.ByLogicalTableRouter", map[string]string{"topic.regex": "p.*", "topic.replacement": "all"})
	topics := map[string]int{}
	bound := boundFormat{json.New(json.Options{SchemasEnable: true}), topics}
	run := func(chain transform.Chain, format emitter.Format) []topic.Record {
		return emit(t, persons(true), func(o *emitter.Options) { o.Chain, o.Value = chain, format }, items...)
	}
	want := run(append(transform.Chain{touching{}}, router...), json.New(json.Options{SchemasEnable: true}))
	require.Len(t, want, 8)
	for _, format := range []emitter.Format{json.New(json.Options{SchemasEnable: true}), bound} {
		got := run(router, format)
		require.Len(t, got, len(want))
		for i := range want {
			require.Equal(t, "all", got[i].Topic)
			require.Equal(t, string(want[i].Key.Bytes()), string(got[i].Key.Bytes()))
			require.Equal(t, string(want[i].Value.Bytes()), string(got[i].Value.Bytes()))
			require.Equal(t, want[i].Headers, got[i].Headers)
		}
	}
	require.Contains(t, string(want[0].Value.Bytes()), `"name":"all.Envelope"`)
	require.Equal(t, map[string]int{"p.public.persons": 1, "all": 1}, topics, "one program for each topic")
}

// repeatReader yields its batch several times.
type repeatReader struct {
	itemReader
	left int
}

func (r *repeatReader) Next(ctx context.Context, b *change.Batch) error {
	if r.left--; r.left < 0 {
		return io.EOF
	}
	r.done = false
	return r.itemReader.Next(ctx, b)
}

// Transforms see the context headers as the texts that they are, in every batch, and they are written as ever.
func TestContextHeadersHaveValues(t *testing.T) {
	var o emitter.Options
	emit(t, persons(true), func(set *emitter.Options) { o = *set })
	o.ContextHeaders, o.Task, o.Connector, o.RunID = true, 3, "c", "r"
	o.Chain = chainOf(t, "io.debezium.transforms.HeaderToValue", map[string]string{"headers": "__debezium.context.taskId", "fields": "meta.task", "operation": "copy"})
	l := newFakeLog()
	reader := &repeatReader{itemReader{table: persons(true), items: []item{{op: 'c', after: &person{1, "Ada"}}, {op: 'd', before: &person{1, "Ada"}}}}, 3}
	require.NoError(t, emitter.NewPipeline(reader, l, o).Run(t.Context()))
	require.NoError(t, l.Close(t.Context()))
	n := 0
	for _, unit := range l.appended() {
		for _, r := range unit.Records {
			require.Equal(t, topic.Header{Key: "__debezium.context.taskId", Value: []byte("3")}, r.Headers[1])
			if !r.Value.IsNull() {
				require.Contains(t, string(r.Value.Bytes()), `"meta":{"task":"3"}`)
				n++
			}
		}
	}
	require.Equal(t, 6, n)
}
