// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"
)

// typesSQL reads every type, and the labels of the enums in their sort order. An element is found by its typarray, not by
// typelem, which fixed-length types such as point and name have too.
const typesSQL = `SELECT t.oid, t.typname, n.nspname, t.typtype, coalesce(e.oid, 0), t.typbasetype, t.typtypmod, t.typnotnull, coalesce(e.typdelim, t.typdelim)
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_type e ON e.typarray = t.oid;
SELECT enumtypid, enumlabel FROM pg_catalog.pg_enum ORDER BY enumtypid, enumsortorder`

// The values of typeRow.kind, as pg_type.typtype has them. Composites, multiranges and pseudo-types are handled as
// unknown types and need no name here.
const (
	baseType   = 'b'
	domainType = 'd'
	enumType   = 'e'
	rangeType  = 'r'
)

// maxDomainDepth bounds the walk through domains over domains; the server makes no circles, a torn reading might.
const maxDomainDepth = 32

// typeRow is a row of pg_type. It is immutable.
type typeRow struct {
	oid          uint32
	name, schema string
	kind         byte
	elem         uint32 // of an array, else 0
	delim        byte   // between the items of an array
	base         uint32 // of a domain, else 0
	baseTypmod   int32  // of a domain: its base type's, -1 for none
	notNull      bool   // of a domain
	labels       []string
}

// Registry knows the types of one database. Its methods may be called concurrently. A Codec keeps what the registry knew
// when it was made: a label added to an enum later shows only in codecs made after a Refresh.
type Registry struct {
	types     atomic.Pointer[map[uint32]*typeRow] // replaced as a whole, never changed
	saturated atomic.Int64
}

// LoadRegistry reads the types of the database that conn is connected to.
func LoadRegistry(ctx context.Context, conn *pgconn.PgConn) (*Registry, error) {
	r := &Registry{}
	if err := r.Refresh(ctx, conn); err != nil {
		return nil, err
	}
	return r, nil
}

func newRegistry(rows ...*typeRow) *Registry {
	types := make(map[uint32]*typeRow, len(rows))
	for _, t := range rows {
		types[t.oid] = t
	}
	r := &Registry{}
	r.types.Store(&types)
	return r
}

// Refresh reads the types again: when an unknown one appears in the stream, or an enum may have new labels. After an error
// the registry is as it was.
func (r *Registry) Refresh(ctx context.Context, conn *pgconn.PgConn) error {
	results, err := conn.Exec(ctx, typesSQL).ReadAll()
	if err != nil {
		return fmt.Errorf("read the types of the database: %w", err)
	}
	if len(results) != 2 {
		return fmt.Errorf("read the types of the database: %d results instead of 2", len(results))
	}
	types := make(map[uint32]*typeRow, len(results[0].Rows))
	for _, row := range results[0].Rows {
		t, err := parseTypeRow(row)
		if err != nil {
			return fmt.Errorf("read the types of the database: %w", err)
		}
		types[t.oid] = t
	}
	for _, row := range results[1].Rows {
		oid, err := parseOID(row[0])
		if err != nil {
			return fmt.Errorf("read the labels of the enum types: %w", err)
		}
		// The two statements have a snapshot each: a type created between them is missing until the next refresh.
		if t := types[oid]; t != nil {
			t.labels = append(t.labels, string(row[1]))
		}
	}
	r.types.Store(&types)
	return nil
}

func parseTypeRow(row [][]byte) (*typeRow, error) {
	if len(row) != 9 {
		return nil, fmt.Errorf("type row of %d columns instead of 9", len(row))
	}
	t := &typeRow{name: string(row[1]), schema: string(row[2]), notNull: string(row[7]) == "t", baseTypmod: -1, delim: ','}
	var err error
	for _, f := range []struct {
		to   *uint32
		text []byte
	}{{&t.oid, row[0]}, {&t.elem, row[4]}, {&t.base, row[5]}} {
		if *f.to, err = parseOID(f.text); err != nil {
			return nil, fmt.Errorf("type %q: %w", t.name, err)
		}
	}
	typmod, err := strconv.ParseInt(string(row[6]), 10, 32)
	if err != nil {
		return nil, fmt.Errorf("type %q: %w", t.name, err)
	}
	t.baseTypmod = int32(typmod)
	if len(row[3]) != 1 || len(row[8]) != 1 {
		return nil, fmt.Errorf("type %q: typtype %q and typdelim %q", t.name, row[3], row[8])
	}
	t.kind, t.delim = row[3][0], row[8][0]
	return t, nil
}

func parseOID(text []byte) (uint32, error) {
	oid, err := strconv.ParseUint(string(text), 10, 32)
	return uint32(oid), err
}

// Known says whether the type was there at the last reading.
func (r *Registry) Known(oid uint32) bool { return r.lookup(oid) != nil }

// Saturated is how many values lay outside of what their Connect type can hold and were emitted as its nearest value, such
// as a timestamp after the year 294247 in microseconds.
func (r *Registry) Saturated() int64 { return r.saturated.Load() }

func (r *Registry) lookup(oid uint32) *typeRow { return (*r.types.Load())[oid] }

// resolved is the type of a column with the domains taken off.
type resolved struct {
	*typeRow
	typmod  int32 // the column's, else that of the innermost domain that has one; -1 for none
	domain  bool
	notNull bool // by a domain
}

// resolve follows domains to their base type. A type that the registry does not know becomes one without a name, which is
// handled as any other unknown type.
func (r *Registry) resolve(oid uint32, typmod int32) resolved {
	t := resolved{typeRow: r.lookup(oid), typmod: typmod}
	for depth := 0; t.typeRow != nil && t.kind == domainType && depth < maxDomainDepth; depth++ {
		t.domain = true
		t.notNull = t.notNull || t.typeRow.notNull
		if t.typmod == -1 {
			t.typmod = t.baseTypmod
		}
		t.typeRow = r.lookup(t.base)
	}
	if t.typeRow == nil {
		t.typeRow = &typeRow{oid: oid, delim: ','}
	}
	return t
}
