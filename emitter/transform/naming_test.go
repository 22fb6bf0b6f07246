// SPDX-License-Identifier: Apache-2.0

package transform_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter/transform"
	"freshet/schema"
)

const (
	collectionClass = "io.debezium.connector.jdbc.transforms.CollectionNameTransformation"
	fieldClass      = "io.debezium.connector.jdbc.transforms.FieldNameTransformation"
)

func TestNamingStyles(t *testing.T) {
	for _, c := range []struct{ style, in, want string }{
		{"default", "Ab.C_d", "Ab.C_d"},
		{"snake_case", "camelCaseName", "camel_case_name"},
		{"snake_case", "NameWith123Numbers", "name_with_123_numbers"},
		{"snake_case", "dotted.Name", "dotted_name"},
		{"snake_case", "ID", "id"},
		{"snake_case", "a1b2", "a_1b_2"}, // a letter belongs to one edge only
		{"SNAKE_CASE", "HTTPServer", "httpserver"},
		{"camel_case", "first_name.x", "firstNameX"},
		{"camel_case", "_private", "Private"},
		{"camel_case", "FIRST__NAME", "firstName"},
		{"camel_case", "über_öl", "überÖl"},
		{"camel_case", "__", ""},
		{"UPPER_CASE", "a.bö", "A.BÖ"},
		{"lower_case", "A.B", "a.b"},
	} {
		tr := own(t, collectionClass, map[string]string{"collection.naming.style": c.style, "collection.naming.prefix": "<", "collection.naming.suffix": ">"})
		require.Equal(t, "<"+c.want+">", tr.(transform.Router).Route(c.in), "%s %s", c.style, c.in)
	}
}

func TestAnUnknownStyleIsRefused(t *testing.T) {
	_, problems := transform.Parse(map[string]string{"transforms": "n", "transforms.n.type": fieldClass, "transforms.n.column.naming.style": "kebab-case"})
	require.Len(t, problems, 1)
	require.Contains(t, problems[0].Message, "Invalid naming style: kebab-case. Allowed styles are: snake_case, camel_case, UPPER_CASE, lower_case, default")
}

func TestFieldNamesOfEventsRowsAndKeys(t *testing.T) {
	tr := own(t, fieldClass, map[string]string{"column.naming.style": "snake_case", "column.naming.suffix": "_x"})
	columns := []schema.Field{{Name: "userID", Type: optionalType(schema.Int64, "")}, {Name: "name", Type: optionalType(schema.String, "")}}
	r := rowEvent("u", columns, []any{int64(1), "a"}, []any{int64(1), "b"})
	key := &schema.Type{Kind: schema.Struct, Name: "p.t.Key", Fields: columns[:1]}
	r.KeyType, r.Key = key, r.Data.AppendLiteral([]any{int64(1)}, key)
	was := r.ValueType
	keep, err := tr.Apply(r)
	require.NoError(t, err)
	require.True(t, keep)
	require.Equal(t, []string{"user_id_x", "name_x"}, names(r.ValueType.Fields[0].Type))
	require.Equal(t, []string{"user_id_x", "name_x"}, names(r.ValueType.Fields[1].Type))
	require.Equal(t, []string{"before", "after", "source", "op", "ts_ms"}, names(r.ValueType))
	require.Equal(t, []string{"table"}, names(r.ValueType.Fields[2].Type))
	require.Equal(t, []string{"user_id_x"}, names(r.KeyType))
	require.Equal(t, "userID", was.Fields[0].Type.Fields[0].Name, "types are immutable")
	first := r.ValueType

	again := rowEventOf(was, "d", []any{int64(1), "a"}, nil)
	_, err = tr.Apply(again)
	require.NoError(t, err)
	require.Same(t, first, again.ValueType, "one type for one schema")

	tombstone := &transform.Record{Data: &change.Batch{}, KeyType: key}
	tombstone.Key = tombstone.Data.AppendLiteral([]any{int64(1)}, key)
	_, err = tr.Apply(tombstone)
	require.NoError(t, err)
	require.Equal(t, []string{"user_id_x"}, names(tombstone.KeyType), "a tombstone has the key that its row has")

	plain := &transform.Record{Data: &change.Batch{}, ValueType: &schema.Type{Kind: schema.String}}
	plain.Value = plain.Data.Text("x")
	_, err = tr.Apply(plain)
	require.NoError(t, err)
	require.Equal(t, schema.String, plain.ValueType.Kind)

	twice := &transform.Record{Data: &change.Batch{}, ValueType: &schema.Type{Kind: schema.Struct, Fields: []schema.Field{
		{Name: "aB", Type: optionalType(schema.String, "")}, {Name: "a_b", Type: optionalType(schema.String, "")},
	}}}
	_, err = tr.Apply(twice)
	require.ErrorContains(t, err, "Cannot create field because of field name duplication a_b_x")
}

// own makes one transform of a class.
func own(t *testing.T, class string, settings map[string]string) transform.Transform {
	t.Helper()
	cfg := map[string]string{"transforms": "n", "transforms.n.type": class}
	for k, v := range settings {
		cfg["transforms.n."+k] = v
	}
	chain, problems := transform.Parse(cfg)
	require.Empty(t, problems)
	require.Len(t, chain, 1)
	return chain[0]
}

func names(t *schema.Type) []string {
	var out []string
	for _, f := range t.Fields {
		out = append(out, f.Name)
	}
	return out
}
