// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"freshet/internal/testdb"
	"freshet/internal/verify"
	"freshet/schema"
)

// pair gives two connections to databases that hold the same table t after both scripts.
func pair(t *testing.T, source, target string) (a, b *pgx.Conn) {
	t.Helper()
	sa, sb := testdb.Postgres(t), testdb.Postgres(t)
	require.NoError(t, sa.Script(t, source))
	require.NoError(t, sb.Script(t, target))
	return sa.Connect(t), sb.Connect(t)
}

var table = verify.Table{Source: schema.ID{Schema: "public", Name: "t"}, Target: schema.ID{Schema: "public", Name: "t"}}

func TestCompare(t *testing.T) {
	const create = `create table t(id int, part text, v numeric, primary key (part, id)); `
	for _, c := range []struct {
		name, source, target string
		rows                 int64
		want                 []string
	}{
		{"equal in another order of insertion", create + `insert into t values (2,'a',1.50),(10,'a',null);`, create + `insert into t values (10,'a',null),(2,'a',1.50);`, 2, nil},
		{"both empty", create, create, 0, nil},
		{
			"missing", create + `insert into t values (1,'a',1),(2,'a',1);`, create + `insert into t values (2,'a',1);`, 2,
			[]string{"public.t key a\x011: missing in the target"},
		},
		{
			"surplus at the end", create + `insert into t values (1,'a',1);`, create + `insert into t values (1,'a',1),(1,'b',1);`, 1,
			[]string{"public.t key b\x011: in the target only"},
		},
		{
			"different value", create + `insert into t values (1,'a',7);`, create + `insert into t values (1,'a',10);`, 1,
			[]string{`public.t key a` + "\x01" + `1: column "v" is '7' in the source and '10' in the target`},
		},
		{
			"null is not empty", `create table t(id int primary key, v text); insert into t values (1,null);`,
			`create table t(id int primary key, v text); insert into t values (1,'');`, 1,
			[]string{`public.t key 1: column "v" is NULL in the source and '' in the target`},
		},
		{
			"columns in another order, one more", `create table t(id int primary key, v text); insert into t values (1,'x');`,
			`create table t(extra int default 5, v text, id int primary key); insert into t(id,v) values (1,'x');`, 1, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pair(t, c.source, c.target)
			r, err := verify.Compare(t.Context(), a, b, table, 10)
			require.NoError(t, err)
			var got []string
			for _, d := range r.First {
				got = append(got, d.String())
			}
			require.Equal(t, c.want, got)
			require.Equal(t, c.rows, r.Rows)
			require.Equal(t, c.want == nil, r.Equal())
		})
	}
}

func TestCompareNeedsTheColumns(t *testing.T) {
	a, b := pair(t, `create table t(id int primary key, v text)`, `create table t(id int primary key)`)
	_, err := verify.Compare(t.Context(), a, b, table, 10)
	require.ErrorContains(t, err, `read table "public.t" of the target`)
	require.ErrorContains(t, err, `"v"`)
}
