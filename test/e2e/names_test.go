// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/internal/testdb"
	"freshet/schema"
)

// oddNames are names that PostgreSQL allows, for schemas, tables and columns.
var oddNames = []string{
	"select", "User", "user", "two words", " leading", `quo"te`, `"`, "it's", `back\slash`, "tab\tand\nline", "percent%s", "$1", "${source.table}", "a.b", "..",
	"comma,colon:semi;", "a|b*(c)[d]{e}+f?^g", "1st", "UPPER", "Ünï çödé", "表", "слон 🐘", "-- comment", "/* */", "null",
	strings.Repeat("x", 63), strings.Repeat("語", 21),
}

// oddSchemas share tables of all names; the last one has a table with columns of all names besides.
var oddSchemas = []string{"public", `Sch"ema, of ünï.`, "select"}

// oddTables makes the tables and their rows.
func oddTables(t *testing.T, source *testdb.Server) []schema.ID {
	t.Helper()
	var ids []schema.ID
	var sql strings.Builder
	for i, space := range oddSchemas {
		fmt.Fprintf(&sql, "create schema if not exists %s;\n", schema.QuoteName(space))
		for j, name := range oddNames {
			if j%len(oddSchemas) != i {
				continue
			}
			id := schema.ID{Schema: space, Name: name}
			column := schema.QuoteName(oddNames[len(oddNames)-1-j])
			fmt.Fprintf(&sql, "create table %s (%s int primary key, %s text); insert into %[1]s values (1, 'snapshot'), (2, 'snapshot');\n",
				id.Quoted(), column, `"The Value"`)
			ids = append(ids, id)
		}
	}
	wide := schema.ID{Schema: oddSchemas[len(oddSchemas)-1], Name: "all Columns"}
	fmt.Fprintf(&sql, "create table %s (", wide.Quoted())
	for _, name := range oddNames {
		fmt.Fprintf(&sql, "%s text, ", schema.QuoteName(name))
	}
	fmt.Fprintf(&sql, "primary key (%s, %s));\n", schema.QuoteName(oddNames[0]), schema.QuoteName(oddNames[5]))
	fmt.Fprintf(&sql, "insert into %s select %s;\n", wide.Quoted(), strings.TrimSuffix(strings.Repeat("'v', ", len(oddNames)), ", "))
	ids = append(ids, wide)
	source.Exec(t, sql.String())
	return ids
}

// changeOddTables changes a row of each table, deletes another, and adds a third.
func changeOddTables(t *testing.T, source *testdb.Server, ids []schema.ID) {
	t.Helper()
	for _, id := range ids[:len(ids)-1] {
		columns := source.Rows(t, "select quote_ident(attname) from pg_attribute where attrelid = '"+strings.ReplaceAll(id.Quoted(), "'", "''")+"'::regclass and attnum > 0 order by attnum")
		require.Len(t, columns, 2)
		source.Exec(t, fmt.Sprintf("update %s set %s = 'changed' where %s = 1; delete from %[1]s where %[3]s = 2; insert into %[1]s values (3, 'streamed')",
			id.Quoted(), columns[1][0], columns[0][0]))
	}
	wide := ids[len(ids)-1]
	for _, name := range oddNames {
		source.Exec(t, fmt.Sprintf("update %s set %s = 'changed'", wide.Quoted(), schema.QuoteName(name)))
	}
}

// TestOddNames: connectors from files, the sink quoting.
func TestOddNames(t *testing.T) {
	t.Parallel()
	source, target := testdb.Postgres(t), testdb.Postgres(t)
	ids := oddTables(t, source)
	for _, space := range oddSchemas {
		target.Exec(t, "create schema if not exists "+schema.QuoteName(space))
	}
	s := pair(t, source, target)
	w := s.start(t)
	equal(t, source, target, ids...)
	w.streaming(t, source)
	changeOddTables(t, source, ids)
	equal(t, source, target, ids...)
	require.Equal(t, connect.Running, w.status(t, sinkName).Tasks[0].State)
	w.stop(t)
}
