// SPDX-License-Identifier: Apache-2.0

package dialect_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/sinks/jdbc/dialect"
	"freshet/sinks/jdbc/postgres"
)

// plan is a plan of a table with two key columns (or none) and two others.
func plan(nkeys int) *dialect.Plan {
	t := &dialect.Table{Name: dialect.Name{Schema: "s", Table: "t"}, Columns: []dialect.Column{{Name: "a"}, {Name: "b"}, {Name: "x"}, {Name: "y"}}}
	var fields []dialect.Field
	for i := range t.Columns {
		fields = append(fields, dialect.Field{Column: &t.Columns[i]})
	}
	return dialect.NewPlan(t, fields, nkeys)
}

func TestStatements(t *testing.T) {
	x, p := postgres.Dialect{}, plan(2)
	require.Equal(t, `INSERT INTO "s"."t" ("a","b","x","y") VALUES ($1,$2,$3,$4)`, dialect.InsertRow(x, p.Full))
	for want, f := range map[string]func(dialect.Syntax, *dialect.Set) (string, error){
		`INSERT INTO "s"."t" ("a","b","x","y") VALUES ($1,$2,$3,$4) ON CONFLICT ("a","b") DO UPDATE SET "x"=EXCLUDED."x","y"=EXCLUDED."y"`: dialect.UpsertRow,
		`UPDATE "s"."t" SET "x"=$3,"y"=$4 WHERE "a"=$1 AND "b"=$2`:                                                                         dialect.UpdateRow,
		`DELETE FROM "s"."t" WHERE "a"=$1 AND "b"=$2`:                                                                                      dialect.DeleteRow,
		`INSERT INTO "s"."t" ("a","b","x","y") SELECT $1,$2,$3,$4 WHERE NOT EXISTS (SELECT 1 FROM "s"."t" WHERE "a"=$1 AND "b"=$2)`:        dialect.InsertMissingRow,
	} {
		got, err := f(x, p.Full)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	got, err := dialect.UpsertRow(x, p.Keys)
	require.NoError(t, err)
	require.Equal(t, `INSERT INTO "s"."t" ("a","b") VALUES ($1,$2) ON CONFLICT ("a","b") DO NOTHING`, got)
	got, err = dialect.UpdateRow(x, p.Keys)
	require.NoError(t, err)
	require.Empty(t, got, "a table that is all key has nothing to update")
	require.Equal(t, `TRUNCATE TABLE "s"."t"`, dialect.TruncateTable(x, p.Table.Name))
}

// H1 and H2: what has no key columns cannot be updated or deleted, whoever asks.
func TestNothingIsUpdatedOrDeletedWithoutAKey(t *testing.T) {
	x, p := postgres.Dialect{}, plan(0)
	for _, f := range []func(dialect.Syntax, *dialect.Set) (string, error){
		dialect.UpsertRow, dialect.UpdateRow, dialect.DeleteRow, dialect.InsertMissingRow, dialect.MoveRow,
	} {
		for _, s := range []*dialect.Set{p.Full, p.Keys} {
			sql, err := f(x, s)
			require.ErrorIs(t, err, dialect.ErrNoKey)
			require.Empty(t, sql)
		}
	}
	_, err := dialect.NewKeys(nil)
	require.ErrorIs(t, err, dialect.ErrNoKey)
	require.Panics(t, func() { x.Upsert(dialect.Keys{}, nil) })
}

func TestSetsAreOnePointerForOneChoice(t *testing.T) {
	p, bits := plan(1), make([]byte, 1)
	row := make([]change.Value, 4)
	require.Same(t, p.Full, p.Present(row, bits))
	row[2] = change.UnavailableValue()
	s := p.Present(row, bits)
	require.Equal(t, []int{0, 1, 3}, s.Fields)
	require.Same(t, s, p.Present(row, bits))
	row[3] = change.UnavailableValue()
	require.Equal(t, []int{0, 1}, p.Present(row, bits).Fields)
}

func TestOverridesIdentity(t *testing.T) {
	p := plan(1)
	p.Table.Columns[0].Always = true
	require.Equal(t, `INSERT INTO "s"."t" ("a") OVERRIDING SYSTEM VALUE VALUES ($1)`, dialect.InsertRow(postgres.Dialect{}, p.Keys))
}
