// SPDX-License-Identifier: Apache-2.0

package replicate

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"

	"freshet/schema"
)

// table is a source table and what its copy needs.
type table struct {
	id      schema.ID
	rows    int64 // estimated
	columns []column
	key     []string // columns of the primary key; none where there is none
}

// column is a column of a source table.
type column struct {
	name    string
	typ     string // format_type of the base type, schema-qualified where it is not built in
	notNull bool
	// generated is the expression of a generated column: the target computes it, too.
	generated string
	// uncaptured says that values of the type are not captured.
	uncaptured bool
}

// enum is an enum type that captured columns use.
type enum struct {
	id     schema.ID
	labels []string
}

// pattern turns one item of --tables, such as public.persons or shop.*, into a regular expression on schema.table. A name
// without a schema is one of public.
func pattern(item string) string {
	if !strings.Contains(item, ".") {
		item = "public." + item
	}
	return strings.ReplaceAll(regexp.QuoteMeta(item), `\*`, `.*`)
}

// sourceTables reads the tables that match; all user tables where there is no pattern. Partitions are left to the
// partitioned tables' own rows: they are what is captured.
func sourceTables(ctx context.Context, c *pgx.Conn, patterns []string) ([]table, error) {
	rows, err := c.Query(ctx, `select n.nspname, r.relname, greatest(r.reltuples, 0)::bigint
from pg_class r join pg_namespace n on n.oid = r.relnamespace
where r.relkind = 'r' and r.relpersistence = 'p' and n.nspname !~ '^(pg_|information_schema$)'
  and r.relname <> 'spatial_ref_sys' and r.relname not like 'freshet\_%'
order by 1, 2`)
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t table, err error) {
		err = row.Scan(&t.id.Schema, &t.id.Name, &t.rows)
		return t, err
	})
	if err != nil {
		return nil, err
	}
	var out []table
	for _, t := range all {
		if matches(patterns, t.id.String()) {
			out = append(out, t)
		}
	}
	for i := range out {
		if err := readColumns(ctx, c, &out[i]); err != nil {
			return nil, fmt.Errorf("read columns of %q: %w", out[i].id, err)
		}
	}
	return out, nil
}

func matches(patterns []string, name string) bool {
	for _, p := range patterns {
		if regexp.MustCompile("(?i)^" + p + "$").MatchString(name) {
			return true
		}
	}
	return len(patterns) == 0
}

func readColumns(ctx context.Context, c *pgx.Conn, t *table) error {
	rows, err := c.Query(ctx, `with recursive base(oid, typmod, attnum, ofarray) as (
  select a.atttypid, a.atttypmod, a.attnum, false from pg_attribute a
  where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped
  union all
  select d.typbasetype, case when d.typtypmod >= 0 then d.typtypmod else b.typmod end, b.attnum, b.ofarray or d.oid <> b.oid
  from base b join pg_type t on t.oid = b.oid
  join pg_type d on d.oid = b.oid or d.oid = t.typelem and t.typcategory = 'A' where d.typtype = 'd')
select a.attname, format_type(b.oid, b.typmod) || case when b.ofarray then '[]' else '' end, a.attnotnull,
  coalesce(array_position(i.indkey::int2[], a.attnum), -1),
  case when a.attgenerated <> '' then pg_get_expr(d.adbin, d.adrelid) else '' end,
  'c' in (t.typtype, coalesce(e.typtype, 'b'))
from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
join base b on b.attnum = a.attnum join pg_type t on t.oid = b.oid left join pg_type e on e.oid = t.typelem and t.typcategory = 'A'
left join pg_index i on i.indrelid = a.attrelid and i.indisprimary
where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped and t.typtype <> 'd' and e.typtype is distinct from 'd'
order by a.attnum`, t.id.Quoted())
	if err != nil {
		return err
	}
	key := map[int]string{}
	var col column
	var place int
	_, err = pgx.ForEachRow(rows, []any{&col.name, &col.typ, &col.notNull, &place, &col.generated, &col.uncaptured}, func() error {
		t.columns = append(t.columns, col)
		if place >= 0 {
			key[place] = col.name
		}
		return nil
	})
	for i := 0; i < len(key); i++ {
		t.key = append(t.key, key[i])
	}
	return err
}

// enums reads the enum types that the tables' columns use.
func enums(ctx context.Context, c *pgx.Conn, tables []table) ([]enum, error) {
	oids := make([]string, len(tables))
	for i := range tables {
		oids[i] = tables[i].id.Quoted()
	}
	rows, err := c.Query(ctx, `select n.nspname, t.typname, array(select enumlabel::text from pg_enum e where e.enumtypid = t.oid order by enumsortorder)
from pg_type t join pg_namespace n on n.oid = t.typnamespace
where t.typtype = 'e' and exists (
  select from pg_attribute a join pg_type at on at.oid = a.atttypid
  where a.attrelid = any($1::text[]::regclass[]) and a.attnum > 0 and not a.attisdropped and t.oid in (at.oid, at.typelem, at.typbasetype))
order by 1, 2`, oids)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e enum, err error) {
		err = row.Scan(&e.id.Schema, &e.id.Name, &e.labels)
		return e, err
	})
}

// createSQL are the statements that make the copies of tables; each leaves what exists as it is.
func createSQL(tables []table, types []enum) []string {
	var out []string
	seen := map[string]bool{"public": true}
	space := func(name string) {
		if !seen[name] {
			seen[name] = true
			out = append(out, "create schema if not exists "+schema.QuoteName(name))
		}
	}
	for _, e := range types {
		space(e.id.Schema)
		labels := make([]string, len(e.labels))
		for i, l := range e.labels {
			labels[i] = quoteLiteral(l)
		}
		create := fmt.Sprintf("create type %s as enum (%s)", e.id.Quoted(), strings.Join(labels, ", "))
		out = append(out, "do $freshet$ begin "+create+"; exception when duplicate_object then null; end $freshet$")
	}
	for i := range tables {
		space(tables[i].id.Schema)
		out = append(out, createTable(&tables[i]))
	}
	return out
}

func createTable(t *table) string {
	var parts []string
	for _, c := range t.columns {
		if c.uncaptured {
			continue
		}
		def := schema.QuoteName(c.name) + " " + c.typ
		if c.generated != "" {
			def += " generated always as (" + c.generated + ") stored"
		} else if c.notNull {
			def += " not null"
		}
		parts = append(parts, def)
	}
	if len(t.key) > 0 {
		quoted := make([]string, len(t.key))
		for i, k := range t.key {
			quoted[i] = schema.QuoteName(k)
		}
		parts = append(parts, "primary key ("+strings.Join(quoted, ", ")+")")
	}
	return fmt.Sprintf("create table if not exists %s (%s)", t.id.Quoted(), strings.Join(parts, ", "))
}

func quoteLiteral(s string) string {
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return " E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}
