// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/internal/testdb"
)

// sinkTarget is the database that a case's sink writes into, and that is the case's own.
type sinkTarget interface {
	database() string
	// properties are those that case.json leaves out: connection.url, connection.username, connection.password.
	properties() map[string]string
	// ours is a recorded text with the names and addresses of this target in place of the recorder's.
	ours(recorded string) string
	script(t *testing.T, text string) error
	// dump writes the target down as record_sink.py does: ddl.txt and rows.jsonl.
	dump(t *testing.T) (ddl, rows string)
}

// sinkTargets are the targets by the sink that case.json names.
var sinkTargets = map[string]func(t *testing.T) sinkTarget{
	"jdbc-postgres": func(t *testing.T) sinkTarget { return postgresTarget{testdb.Postgres(t)} },
	"jdbc-mysql":    func(t *testing.T) sinkTarget { return mysqlTarget{testdb.MySQL(t)} },
	"jdbc-mariadb":  func(t *testing.T) sinkTarget { return mysqlTarget{testdb.MariaDB(t)} },
	sqliteSink:      func(t *testing.T) sinkTarget { return sqliteTarget{filepath.Join(t.TempDir(), "target.db")} },
}

// rowText is a line of rows.jsonl. Values are texts, nil for NULL.
func rowText(names []string, values []*string) string {
	members := make([]string, len(names))
	for i, n := range names {
		v := "null"
		if values[i] != nil {
			v = pythonJSON(*values[i])
		}
		members[i] = pythonJSON(n) + ": " + v
	}
	return "{" + strings.Join(members, ", ") + "}"
}

// sortKeyless puts rows of a table without a key into the order of their own ASCII text.
func sortKeyless(rows []string) {
	slices.SortFunc(rows, func(x, y string) int { return strings.Compare(strconv.QuoteToASCII(x), strconv.QuoteToASCII(y)) })
}

// postgresTarget is a database of PostgreSQL.
type postgresTarget struct{ *testdb.Server }

func (p postgresTarget) database() string { return p.Database }

func (p postgresTarget) address() string { return net.JoinHostPort(p.Host, strconv.Itoa(p.Port)) }

func (p postgresTarget) properties() map[string]string {
	return map[string]string{
		"connection.url":      "jdbc:postgresql://" + p.address() + "/" + p.Database,
		"connection.username": p.User, "connection.password": p.Password,
	}
}

func (p postgresTarget) ours(recorded string) string {
	return strings.ReplaceAll(recorded, "127.0.0.1:5432", p.address())
}

func (p postgresTarget) script(t *testing.T, text string) error {
	t.Helper()
	return p.Script(t, text)
}

const columnsQuery = `select n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
  coalesce(pg_get_expr(d.adbin, d.adrelid), ''), a.attidentity::text
from pg_class c join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema') order by 1, 2, a.attnum`

const indexesQuery = `select x.indisprimary, pg_get_indexdef(x.indexrelid), (select string_agg(a.attname, ',' order by k.o)
  from unnest(x.indkey) with ordinality k(n, o) join pg_attribute a on a.attrelid = c.oid and a.attnum = k.n)
from pg_index x join pg_class c on c.oid = x.indrelid join pg_class i on i.oid = x.indexrelid
join pg_namespace n on n.oid = c.relnamespace
where n.nspname = '%s' and c.relname = '%s' order by 1 desc, i.relname`

func (p postgresTarget) dump(t *testing.T) (ddl, rows string) {
	t.Helper()
	s := p.Server
	var lines, out strings.Builder
	columns := s.Rows(t, columnsQuery)
	for len(columns) > 0 {
		schema, table := columns[0][0], columns[0][1]
		full := strings.TrimPrefix(schema+"."+table, "public.")
		var names []string
		for len(columns) > 0 && columns[0][0] == schema && columns[0][1] == table {
			c := columns[0]
			columns = columns[1:]
			names = append(names, c[2])
			fmt.Fprintf(&lines, "%s.%s %s", full, c[2], c[3])
			if c[4] == "t" || c[4] == "true" {
				lines.WriteString(" NOT NULL")
			}
			if c[5] != "" {
				lines.WriteString(" DEFAULT " + c[5])
			}
			if c[6] != "" {
				lines.WriteString(" IDENTITY " + c[6])
			}
			lines.WriteString("\n")
		}
		var key []string
		literal := func(s string) string { return strings.ReplaceAll(s, "'", "''") }
		for _, i := range s.Rows(t, fmt.Sprintf(indexesQuery, literal(schema), literal(table))) {
			if i[0] == "t" || i[0] == "true" {
				fmt.Fprintf(&lines, "%s PRIMARY KEY (%s)\n", full, i[2])
				key = strings.Split(i[2], ",")
			} else {
				fmt.Fprintf(&lines, "%s INDEX %s\n", full, i[1])
			}
		}
		for _, row := range dumpRows(t, s, schema, table, names, key) {
			fmt.Fprintf(&out, "{\"table\": %s, \"row\": %s}\n", pythonJSON(full), row)
		}
	}
	return lines.String(), out.String()
}

// dumpRows are the rows as the recorder's JSON objects, by key as text; without a key by their own ASCII text.
func dumpRows(t *testing.T, s *testdb.Server, schema, table string, names, key []string) []string {
	t.Helper()
	quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	var fields, order []string
	for _, n := range names {
		fields = append(fields, quote(n)+"::text")
	}
	for _, k := range key {
		order = append(order, quote(k)+`::text collate "C"`)
	}
	if len(order) == 0 {
		order = []string{"1"}
	}
	query := "select jsonb_build_array(" + strings.Join(fields, ",") + ")::text from " + quote(schema) + "." + quote(table) + " order by " + strings.Join(order, ",")
	var rows []string
	for _, r := range s.Rows(t, query) {
		var values []*string
		require.NoError(t, json.Unmarshal([]byte(r[0]), &values))
		rows = append(rows, rowText(names, values))
	}
	if len(key) == 0 {
		sortKeyless(rows)
	}
	return rows
}
