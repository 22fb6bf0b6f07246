// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"strconv"

	"freshet/sinks/jdbc/dialect"
)

// tableSQL reads one table: its schema, whether deletes cascade from it, its key, and whether its rows are independent.
const tableSQL = `select c.oid, n.nspname,
  exists (select from pg_constraint f where f.confrelid = c.oid and f.contype = 'f' and f.confdeltype in ('c', 'n', 'd')),
  array(select a.attname::text from pg_index i cross join lateral unnest(i.indkey::int2[]) with ordinality k(num, at)
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.num
        where i.indrelid = c.oid and i.indisprimary order by k.at),
  c.relkind in ('r', 'p')
    and not exists (select from pg_constraint f where (f.conrelid = c.oid or f.confrelid = c.oid) and f.contype in ('f', 'x'))
    and not exists (select from pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal)
    and (select count(*) from pg_index i where i.indrelid = c.oid and i.indisunique) < 2
    and not exists (select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey::int2[])
      join pg_type t on t.oid = a.atttypid left join pg_collation co on co.oid = a.attcollation
      where i.indrelid = c.oid and i.indisunique and (not coalesce(co.collisdeterministic, true) or t.typname in ('citext', 'bpchar')))
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.oid = to_regclass($1) and c.relkind in ('r', 'p', 'f', 'v')`

// columnsSQL reads a table's columns, with domains resolved to the type below them.
const columnsSQL = `select a.attname, format_type(a.atttypid, a.atttypmod), a.atttypid, b.oid,
  case when b.typcategory = 'A' then b.typelem else 0 end, case when b.typname = 'hstore' then 'h' else b.typtype::text end,
  case when a.atttypmod >= 0 then a.atttypmod else b.modifier end,
  a.attnotnull, a.atthasdef or a.attidentity <> '', a.attgenerated <> '', a.attidentity = 'a'
from pg_attribute a, lateral (
  with recursive d(oid, base, modifier) as (
    select t.oid, t.typbasetype, -1 from pg_type t where t.oid = a.atttypid
    union all select t.oid, t.typbasetype, u.typtypmod from d join pg_type u on u.oid = d.oid join pg_type t on t.oid = d.base where d.base <> 0)
  select t.oid, t.typname, t.typtype, t.typelem, t.typcategory, d.modifier from d join pg_type t on t.oid = d.oid where d.base = 0) b
where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped order by a.attnum`

// Table reads a table by the name that the search path resolves.
func (s *Session) Table(ctx context.Context, n dialect.Name) (*dialect.Table, error) {
	var oid string
	t := &dialect.Table{Name: n}
	err := s.Query(ctx, tableSQL, func(c [][]byte) error {
		oid, t.Name.Schema, t.Cascades = string(c[0]), string(c[1]), isTrue(c[2])
		t.Key, t.Independent = parseTextArray(c[3]), isTrue(c[4])
		return nil
	}, dialect.QuoteTable(s.dialect, n))
	if err != nil {
		return nil, fmt.Errorf("read table %q: %w", n, err)
	}
	if oid == "" {
		return nil, nil
	}
	err = s.Query(ctx, columnsSQL, func(c [][]byte) error {
		t.Columns = append(t.Columns, dialect.Column{
			Name: string(c[0]), Type: string(c[1]), ID: parseOID(c[2]), Base: parseOID(c[3]), Elem: parseOID(c[4]), Class: c[5][0],
			Modifier: parseInt32(c[6]), NotNull: isTrue(c[7]), HasDefault: isTrue(c[8]), Generated: isTrue(c[9]), Always: isTrue(c[10]),
		})
		return nil
	}, oid)
	if err != nil {
		return nil, fmt.Errorf("read columns of table %q: %w", n, err)
	}
	return t, nil
}

func isTrue(p []byte) bool { return len(p) == 1 && p[0] == 't' }

func parseOID(p []byte) uint32 {
	n, _ := strconv.ParseUint(string(p), 10, 32)
	return uint32(n)
}

func parseInt32(p []byte) int32 {
	n, _ := strconv.ParseInt(string(p), 10, 32)
	return int32(n)
}

// parseTextArray reads the text form of a one-dimensional text[] without nulls.
func parseTextArray(p []byte) []string {
	var out []string
	for i := 1; i < len(p)-1; i++ {
		var item []byte
		if p[i] == '"' {
			for i++; p[i] != '"'; i++ {
				if p[i] == '\\' {
					i++
				}
				item = append(item, p[i])
			}
			i++
		} else {
			for ; i < len(p)-1 && p[i] != ','; i++ {
				item = append(item, p[i])
			}
		}
		out = append(out, string(item))
	}
	return out
}
