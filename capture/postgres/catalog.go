// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/schema"
)

// catalogTable is what the catalog says of a table at one moment.
type catalogTable struct {
	OID         uint32
	ID          schema.ID
	Partitioned bool
	Unlogged    bool
	Identity    byte    // relreplident: d default, n nothing, f full, i index
	Rows        float64 // estimated; -1 where the table was never analyzed
	Columns     []ColumnInfo
	// Key names the columns of the primary key, or else of the first unique index, in index order; nil for none.
	Key []string
	// HasPrimary says whether Key is a primary key.
	HasPrimary bool
}

// capturedTables reads the catalog's facts of all captured tables in the order of the snapshot: by the first expression
// of table.include.list that matches, then by schema and name.
func capturedTables(ctx context.Context, conn *pgconn.PgConn, o *options) ([]*catalogTable, error) {
	all, err := listTables(ctx, conn, o.Database, "")
	if err != nil {
		return nil, err
	}
	tables := slices.DeleteFunc(all, func(t *catalogTable) bool { return !o.captures(t.ID) })
	if err := describeTables(ctx, conn, tables); err != nil {
		return nil, err
	}
	slices.SortStableFunc(tables, func(x, y *catalogTable) int {
		if o.TableInclude != nil {
			i, j := matchIndex(o.TableInclude, x.ID.String()), matchIndex(o.TableInclude, y.ID.String())
			if i != j {
				return cmp.Compare(i, j)
			}
		}
		return cmp.Or(cmp.Compare(x.ID.Schema, y.ID.Schema), cmp.Compare(x.ID.Name, y.ID.Name))
	})
	return tables, nil
}

// catalogVersion is a text that changes with whatever a decoder looks at in the catalog: tables, their files and columns, keys
// and publications.
func catalogVersion(ctx context.Context, conn *pgconn.PgConn) (string, error) {
	rows, err := query(ctx, conn, `
WITH tables AS (
  SELECT c.oid, c.xmin, c.relfilenode FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
), versions AS (
  SELECT concat_ws(' ', oid, xmin, relfilenode) AS v FROM tables
  UNION ALL SELECT concat_ws(' ', a.attrelid, a.attnum, a.xmin) FROM pg_attribute a JOIN tables t ON t.oid = a.attrelid
  UNION ALL SELECT concat_ws(' ', i.indexrelid, i.xmin) FROM pg_index i JOIN tables t ON t.oid = i.indrelid
  UNION ALL SELECT concat_ws(' ', oid, xmin) FROM pg_publication
  UNION ALL SELECT concat_ws(' ', oid, xmin) FROM pg_publication_rel
)
SELECT count(*) || ' ' || sum(hashtextextended(v, 0)) FROM versions`)
	if err != nil {
		return "", wrapError("read", "the version of the catalog", err)
	}
	return string(rows[0][0]), nil
}

// describeTable reads the catalog's facts of one table; nil if it is gone.
func describeTable(ctx context.Context, conn *pgconn.PgConn, database string, oid uint32) (*catalogTable, error) {
	tables, err := listTables(ctx, conn, database, strconv.FormatUint(uint64(oid), 10))
	if err != nil || len(tables) == 0 {
		return nil, err
	}
	return tables[0], describeTables(ctx, conn, tables)
}

// listTables reads names and kinds of one table, or of all with oid "". Views, foreign and temporary tables have no
// changes of their own.
func listTables(ctx context.Context, conn *pgconn.PgConn, database, oid string) ([]*catalogTable, error) {
	rows, err := query(ctx, conn, `
SELECT c.oid, n.nspname, c.relname, c.relkind = 'p', c.relpersistence = 'u', c.relreplident, c.reltuples
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND ($1 = '' OR c.oid = nullif($1, '')::oid)
ORDER BY n.nspname, c.relname`, oid)
	if err != nil {
		return nil, wrapError("list tables of", strconv.Quote(database), err)
	}
	tables := make([]*catalogTable, 0, len(rows))
	for _, r := range rows {
		t := &catalogTable{
			ID:          schema.ID{Catalog: database, Schema: string(r[1]), Name: string(r[2])},
			Partitioned: isTrue(r[3]), Unlogged: isTrue(r[4]), Identity: r[5][0],
		}
		if t.OID, err = parseOID(r[0]); err != nil {
			return nil, err
		}
		if t.Rows, err = strconv.ParseFloat(string(r[6]), 64); err != nil {
			return nil, fmt.Errorf("estimated rows of %q: %w", t.ID, err)
		}
		tables = append(tables, t)
	}
	return tables, nil
}

// describeTables fills in columns and keys, with two statements however many tables there are.
func describeTables(ctx context.Context, conn *pgconn.PgConn, tables []*catalogTable) error {
	if len(tables) == 0 {
		return nil
	}
	byOID := make(map[uint32]*catalogTable, len(tables))
	ids := make([]string, len(tables))
	for i, t := range tables {
		byOID[t.OID] = t
		ids[i] = strconv.FormatUint(uint64(t.OID), 10)
	}
	list := "{" + strings.Join(ids, ",") + "}"
	rows, err := query(ctx, conn, `
SELECT a.attrelid, a.attname, a.atttypid, a.atttypmod, a.attnotnull OR (t.typtype = 'd' AND t.typnotnull),
  d.oid IS NOT NULL, pg_get_expr(d.adbin, d.adrelid), a.attidentity <> '', a.attgenerated <> '',
  col_description(a.attrelid, a.attnum)
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum`, list)
	if err != nil {
		return wrapError("read columns of", fmt.Sprintf("%d tables", len(tables)), err)
	}
	for _, r := range rows {
		oid, err := parseOID(r[0])
		if err != nil {
			return err
		}
		c := ColumnInfo{
			Name: string(r[1]), NotNull: isTrue(r[4]), HasDefault: isTrue(r[5]), Default: string(r[6]),
			Identity: isTrue(r[7]), Generated: isTrue(r[8]), Comment: string(r[9]),
		}
		if c.TypeOID, err = parseOID(r[2]); err != nil {
			return err
		}
		typmod, err := strconv.ParseInt(string(r[3]), 10, 32)
		if err != nil {
			return fmt.Errorf("type modifier of column %q: %w", c.Name, err)
		}
		c.Typmod = int32(typmod)
		c.Serial = strings.HasPrefix(c.Default, "nextval(") && (c.TypeOID == 20 || c.TypeOID == 21 || c.TypeOID == 23) // int8, int2, int4
		t := byOID[oid]
		t.Columns = append(t.Columns, c)
	}
	return describeKeys(ctx, conn, list, byOID)
}

// describeKeys fills in keys: the primary key's columns, else those of the first unique index. First is a clustered
// index, then the order of names; indexes on expressions are passed over, partial ones are not. Columns that an index
// only includes are not part of its key.
func describeKeys(ctx context.Context, conn *pgconn.PgConn, list string, byOID map[uint32]*catalogTable) error {
	rows, err := query(ctx, conn, `
SELECT i.indrelid, i.indexrelid, i.indisprimary, a.attname
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
CROSS JOIN LATERAL generate_series(0, i.indnkeyatts - 1) AS k(n)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k.n]
WHERE i.indrelid = ANY($1::oid[]) AND i.indisunique AND i.indexprs IS NULL
ORDER BY i.indrelid, i.indisprimary DESC, i.indisclustered DESC, x.relname, k.n`, list)
	if err != nil {
		return wrapError("read keys of", "the captured tables", err)
	}
	index := make(map[uint32]string, len(byOID)) // the chosen index by table
	for _, r := range rows {
		oid, err := parseOID(r[0])
		if err != nil {
			return err
		}
		if chosen, ok := index[oid]; ok && chosen != string(r[1]) {
			continue
		}
		index[oid] = string(r[1])
		t := byOID[oid]
		t.HasPrimary = isTrue(r[2])
		t.Key = append(t.Key, string(r[3]))
	}
	return nil
}

// isTrue reads a boolean in PostgreSQL's text form.
func isTrue(text []byte) bool { return len(text) == 1 && text[0] == 't' }
