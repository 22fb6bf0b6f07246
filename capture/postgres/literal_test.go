// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/internal/testdb"
	"freshet/schema"
)

// What is read as a literal is a text that the server reads back as the same value.
func TestLiterals(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `create type mood as enum ('a', 'b'); create domain amount as int; create type pair as (a int, b text)`)
	conn := s.Connect(t)
	types, err := LoadRegistry(t.Context(), conn.PgConn())
	require.NoError(t, err)
	for _, c := range []struct {
		value, typ string
		literal    bool
		name       string // the parameter of the schema
	}{
		{"'{{1,2},{3,NULL}}'", "int[]", true, "int4[]"},
		{"'[2:3]={1,2}'", "int[]", true, "int4[]"},
		{"'{a,NULL}'", "mood[]", true, ""},
		{"'{5,NULL}'", "amount[]", true, ""},
		{"'{1 mon,NULL}'", "interval[]", true, "interval[]"},
		{`'{"a b",NULL,"\""}'`, "text[]", true, "text[]"},
		{"'{ab,NULL}'", "varchar(3)[]", true, "varchar(3)[]"},
		{"'{1.50}'", "numeric(6,2)[]", true, "numeric(6,2)[]"},
		{"'0001'", "varbit", true, "varbit"},
		{"'0001'", "varbit(9)", true, "varbit(9)"},
		{"'24:00:00-12'", "timetz", true, "timetz"},
		{"'1 mon -2 days'", "interval", true, "interval"},
		{"'NaN'", "numeric", true, "numeric"},
		{"'-0.10'", "numeric", true, "numeric"},
		{"'0/1'", "pg_lsn", true, "pg_lsn"},
		{`'(1,"x y")'`, "pair", true, ""},
		{"'{[1,3),[5,7)}'", "int8multirange", true, "int8multirange"},
		{"'1 2'", "oidvector", true, "oidvector"},
		{"'(1,1),(0,0)'", "box", true, "box"},
		{"'a & b'", "tsquery", true, "tsquery"},
		{"'x'", "text", false, ""},
		{"1", "int", false, ""},
		{"1.5", "numeric(6,2)", false, ""},
		{"'b'", "mood", false, ""},
		{"7", "amount", false, ""},
		{"b'1'", "bit", false, ""},
	} {
		what := c.value + "::" + c.typ
		s.Exec(t, "drop table if exists t; create table t(v "+c.typ+"); insert into t values ("+c.value+")")
		var oid uint32
		var typmod int32
		var text, back string
		require.NoError(t, conn.QueryRow(t.Context(), "select atttypid, atttypmod, v::text, (v::text::"+c.typ+")::text from t, pg_attribute where attrelid = 't'::regclass and attname = 'v'").
			Scan(&oid, &typmod, &text, &back))
		require.Equal(t, text, back, what)
		codec, ok := types.Codec(ColumnInfo{Name: "v", TypeOID: oid, Typmod: typmod}, &TypeOptions{
			Literals: true, Interval: "numeric", Decimal: "precise", Time: "adaptive", Binary: "bytes", Placeholder: []byte("gone"),
		})
		require.True(t, ok, what)
		require.Equal(t, c.literal, codec.Type.Name == schema.Literal, what)
		if !c.literal {
			continue
		}
		name, _ := codec.Type.Param("type")
		require.Equal(t, c.name, name, what)
		var b change.Batch
		v, err := codec.Decode(&b, []byte(text))
		require.NoError(t, err, what)
		require.Equal(t, text, string(b.Bytes(v)))
		require.Equal(t, "gone", codec.Unavailable)
	}
}
