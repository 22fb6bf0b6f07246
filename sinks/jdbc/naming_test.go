// SPDX-License-Identifier: Apache-2.0

package jdbc

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks/jdbc/dialect"
	"freshet/sinks/jdbc/postgres"
)

func TestDotsInsideOfNames(t *testing.T) {
	var b change.Batch
	source := &schema.Type{Kind: schema.Struct, Fields: []schema.Field{
		{Name: "schema", Type: &schema.Type{Kind: schema.String}}, {Name: "table", Type: &schema.Type{Kind: schema.String}},
	}}
	row := b.NewRow(2)
	b.Set(row, 0, b.Text("a.b"))
	b.Set(row, 1, b.Text("..c"))
	collection, ok := parseNameFormat("${source.schema}.${source.table}").append(nil, "t", &b, source, b.Run(change.Struct, row))
	require.True(t, ok)
	w := &writer{opt: &options{dialect: postgres.Dialect{}, quote: true}}
	n, err := w.tableName(string(collection))
	require.NoError(t, err)
	require.Equal(t, dialect.Name{Schema: "a.b", Table: "..c"}, n)
}
