// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"freshet/internal/testdb"
)

func TestRegistryOfAServer(t *testing.T) {
	server := testdb.Postgres(t)
	server.Exec(t, `CREATE TYPE mood AS ENUM ('sad', 'it''s, ok')`)
	server.Exec(t, `ALTER TYPE mood ADD VALUE 'new' BEFORE 'sad'`)
	server.Exec(t, `CREATE DOMAIN dmood AS mood NOT NULL`)
	server.Exec(t, `CREATE DOMAIN d1 AS numeric(8,3)`)
	server.Exec(t, `CREATE DOMAIN d2 AS d1 CHECK (VALUE > 0)`)
	server.Exec(t, `CREATE DOMAIN ints AS int4[]`)
	conn, err := pgconn.Connect(t.Context(), server.DSN())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.Background())) }()
	r, err := LoadRegistry(t.Context(), conn)
	require.NoError(t, err)

	oidOf := func(name string) uint32 {
		oid, err := parseOID([]byte(server.Text(t, `SELECT '`+name+`'::regtype::oid`)))
		require.NoError(t, err)
		return oid
	}
	require.True(t, r.Known(23))
	require.False(t, r.Known(0))

	codec, ok := r.Codec(ColumnInfo{TypeOID: oidOf("dmood"), Typmod: -1}, defaultOptions())
	require.True(t, ok)
	require.False(t, codec.Type.Optional, "the domain is NOT NULL")
	allowed, _ := codec.Type.Param("allowed")
	require.Equal(t, "new,sad,it's, ok", allowed)

	codec, ok = r.Codec(ColumnInfo{TypeOID: oidOf("d2"), Typmod: -1}, defaultOptions())
	require.True(t, ok)
	scale, _ := codec.Type.Param("scale")
	require.Equal(t, "3", scale)
	codec, ok = r.Codec(ColumnInfo{TypeOID: oidOf("ints"), Typmod: -1}, defaultOptions())
	require.True(t, ok)
	require.NotNil(t, codec.Type.Elem)
	_, ok = r.Codec(ColumnInfo{TypeOID: oidOf("oidvector"), Typmod: -1}, defaultOptions())
	require.False(t, ok, "oidvector has an element type and is no array")

	server.Exec(t, `CREATE TYPE later AS ENUM ('a')`)
	later := oidOf("later")
	require.False(t, r.Known(later))
	require.NoError(t, r.Refresh(t.Context(), conn))
	require.True(t, r.Known(later))
}

func TestRegistryKeepsItsTypesWhenRefreshFails(t *testing.T) {
	server := testdb.Postgres(t)
	conn, err := pgconn.Connect(t.Context(), server.DSN())
	require.NoError(t, err)
	r, err := LoadRegistry(t.Context(), conn)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	require.ErrorContains(t, r.Refresh(t.Context(), conn), "read the types of the database")
	require.True(t, r.Known(23))
	_, err = LoadRegistry(t.Context(), conn)
	require.Error(t, err)
}

func TestTypeRowsAreChecked(t *testing.T) {
	good := [][]byte{[]byte("23"), []byte("int4"), []byte("pg_catalog"), []byte("b"), []byte("0"), []byte("0"), []byte("-1"), []byte("f"), []byte(",")}
	row, err := parseTypeRow(good)
	require.NoError(t, err)
	require.Equal(t, &typeRow{oid: 23, name: "int4", schema: "pg_catalog", kind: baseType, baseTypmod: -1, delim: ','}, row)
	for _, i := range []int{0, 3, 4, 5, 6, 8} {
		bad := append([][]byte{}, good...)
		bad[i] = []byte("xx")
		_, err := parseTypeRow(bad)
		require.Error(t, err, "column %d", i)
	}
	_, err = parseTypeRow(good[:3])
	require.Error(t, err)
}

func TestDomainCirclesEnd(t *testing.T) {
	r := newRegistry(
		&typeRow{oid: 1, kind: domainType, base: 2, baseTypmod: -1, delim: ','},
		&typeRow{oid: 2, kind: domainType, base: 1, baseTypmod: -1, delim: ','},
	)
	_, ok := r.Codec(ColumnInfo{TypeOID: 1, Typmod: -1}, defaultOptions())
	require.False(t, ok)
}
