// SPDX-License-Identifier: Apache-2.0

package transform_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/config"
	"freshet/emitter/transform"
	"freshet/schema"
)

var (
	rowType = &schema.Type{Kind: schema.Struct, Optional: true, Name: "p.t.Value", Fields: []schema.Field{
		{Name: "id", Type: &schema.Type{Kind: schema.Int32}},
		{Name: "name", Type: &schema.Type{Kind: schema.String, Optional: true}},
		{Name: "qty", Type: &schema.Type{Kind: schema.Int32, Optional: true, Default: int64(5)}},
	}}
	envelopeType = &schema.Type{Kind: schema.Struct, Name: "p.t.Envelope", Version: 2, Fields: []schema.Field{
		{Name: "before", Type: rowType},
		{Name: "after", Type: rowType},
		{Name: "source", Type: &schema.Type{Kind: schema.Struct, Fields: []schema.Field{{Name: "lsn", Type: &schema.Type{Kind: schema.Int64, Default: int64(1)}}}}},
		{Name: "op", Type: &schema.Type{Kind: schema.String}},
	}}
)

// event is an envelope of one row; name "" is null.
func event(op, name string) *transform.Record {
	b := &change.Batch{}
	row := b.NewRow(3)
	b.Set(row, 0, change.IntValue(1))
	if name != "" {
		b.Set(row, 1, b.Text(name))
	}
	env := b.NewRow(4)
	i := 1
	if op == "d" {
		i = 0
	}
	b.Set(env, i, b.Run(change.Struct, row))
	source := b.NewRow(1)
	b.Set(source, 0, change.IntValue(77))
	b.Set(env, 2, b.Run(change.Struct, source))
	b.Set(env, 3, b.Text(op))
	return &transform.Record{Topic: "p.t", Data: b, ValueType: envelopeType, Value: b.Run(change.Struct, env)}
}

func unwrapChain(t *testing.T, settings ...string) transform.Chain {
	t.Helper()
	cfg := map[string]string{"transforms": "u", "transforms.u.type": "io.debezium.transforms.ExtractNewRecordState"}
	for i := 0; i < len(settings); i += 2 {
		cfg["transforms.u."+settings[i]] = settings[i+1]
	}
	chain, problems := transform.Parse(cfg)
	require.Empty(t, config.Errors(problems))
	return chain
}

// show writes a record's row as name=value pairs; "-" for null.
func show(r *transform.Record) string {
	if r.ValueType == nil {
		return "tombstone"
	}
	if r.Value.IsNull() {
		return "null"
	}
	var s strings.Builder
	for i, v := range r.Data.Elems(r.Value) {
		s.WriteString(r.ValueType.Fields[i].Name + "=")
		switch v.Kind() {
		case change.Int:
			s.WriteString(string(rune('0' + v.Int()%10)))
		case change.Text:
			s.WriteString(r.Data.String(v))
		default:
			s.WriteString("-")
		}
		s.WriteString(" ")
	}
	return s.String()
}

func TestUnwrapModes(t *testing.T) {
	for _, c := range []struct{ mode, create, remove, tombstone string }{
		{"drop", "id=1 name=a qty=5 ", "", ""},
		{"tombstone", "id=1 name=a qty=5 ", "null", ""},
		{"delete-to-tombstone", "id=1 name=a qty=5 ", "tombstone", ""},
		{"rewrite", "id=1 name=a qty=5 __deleted=false ", "id=1 name=a qty=5 __deleted=true ", ""},
		{"rewrite-with-tombstone", "id=1 name=a qty=5 __deleted=false ", "id=1 name=a qty=5 __deleted=true ", "tombstone"},
	} {
		t.Run(c.mode, func(t *testing.T) {
			chain := unwrapChain(t, "delete.tombstone.handling.mode", c.mode)
			for _, x := range []struct {
				r    *transform.Record
				want string
			}{
				{event("c", "a"), c.create},
				{event("r", "a"), c.create},
				{event("u", "a"), c.create},
				{event("d", "a"), c.remove},
				{event("t", "a"), ""},
				{&transform.Record{Data: &change.Batch{}}, c.tombstone},
			} {
				keep, err := chain.Apply(x.r)
				require.NoError(t, err)
				require.Equal(t, x.want != "", keep)
				if keep {
					require.Equal(t, x.want, show(x.r))
				}
			}
		})
	}
}

func TestUnwrapAddsFieldsAndHeaders(t *testing.T) {
	chain := unwrapChain(t, "add.fields", "op,lsn:POS,source.lsn,nosuch", "add.headers", "op", "add.headers.prefix", "h_")
	r := event("c", "a")
	keep, err := chain.Apply(r)
	require.NoError(t, err)
	require.True(t, keep)
	require.Equal(t, "id=1 name=a qty=5 __op=c __POS=7 __source_lsn=7 ", show(r))
	lsn := r.ValueType.Fields[4].Type
	require.True(t, lsn.Optional)
	require.Nil(t, lsn.Default)
	require.False(t, r.ValueType.Optional)
	require.Len(t, r.Headers, 1)
	require.Equal(t, "h_op", r.Headers[0].Key)
	require.Equal(t, "c", r.Data.String(r.Headers[0].Value))
}

func TestUnwrapRoutesByField(t *testing.T) {
	chain := unwrapChain(t, "route.by.field", "name")
	r := event("c", "elsewhere")
	_, err := chain.Apply(r)
	require.NoError(t, err)
	require.Equal(t, "elsewhere", r.Topic)
	r = event("c", "")
	_, err = chain.Apply(r)
	require.NoError(t, err)
	require.Equal(t, "p.t", r.Topic)
	_, err = unwrapChain(t, "route.by.field", "id").Apply(event("c", "a"))
	require.ErrorContains(t, err, `has no text field "id"`)
}

func TestUnwrapDropsFieldsOfAHeader(t *testing.T) {
	for _, c := range []struct{ name, compatible, header, want string }{
		{"optional only", "true", `["id","name"]`, "id=1 qty=5 "},
		{"all", "false", `["id","name"]`, "qty=5 "},
		{"none listed", "false", `[]`, "id=1 name=a qty=5 "},
	} {
		t.Run(c.name, func(t *testing.T) {
			chain := unwrapChain(t, "drop.fields.header.name", "gone", "drop.fields.keep.schema.compatible", c.compatible)
			r := event("c", "a")
			r.Headers = []transform.Header{{Key: "gone", Raw: []byte(c.header)}}
			_, err := chain.Apply(r)
			require.NoError(t, err)
			require.Equal(t, c.want, show(r))
		})
	}
	r := event("c", "a")
	r.Headers = []transform.Header{{Key: "gone", Raw: []byte("x")}}
	_, err := unwrapChain(t, "drop.fields.header.name", "gone").Apply(r)
	require.ErrorContains(t, err, `header "gone": want a list of field names`)
}

func TestUnwrapLeavesOtherRecordsAlone(t *testing.T) {
	b := &change.Batch{}
	row := b.NewRow(1)
	heartbeat := &schema.Type{Kind: schema.Struct, Name: "io.debezium.connector.common.Heartbeat", Fields: []schema.Field{{Name: "ts_ms", Type: &schema.Type{Kind: schema.Int64}}}}
	r := &transform.Record{Data: b, ValueType: heartbeat, Value: b.Run(change.Struct, row)}
	keep, err := unwrapChain(t).Apply(r)
	require.NoError(t, err)
	require.True(t, keep)
	require.False(t, r.Touched)
}
