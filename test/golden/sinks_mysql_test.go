// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"freshet/internal/testdb"
)

// mysqlTarget is a database of MySQL or MariaDB.
type mysqlTarget struct{ *testdb.MySQLServer }

func (m mysqlTarget) database() string { return m.Database }

func (m mysqlTarget) properties() map[string]string {
	return map[string]string{"connection.url": m.URL(), "connection.username": m.User, "connection.password": m.Password}
}

func (m mysqlTarget) ours(recorded string) string {
	return strings.NewReplacer("127.0.0.1:3306", m.Address(), "127.0.0.1:3307", m.Address(), "`snk_t`", "`"+m.Database+"`").Replace(recorded)
}

func (m mysqlTarget) script(t *testing.T, text string) error {
	t.Helper()
	return m.Script(t, text)
}

const mysqlColumns = `select table_name, column_name, column_type, is_nullable, coalesce(column_default, '<none>'), extra, data_type
from information_schema.columns where table_schema = database() order by table_name, ordinal_position`

const mysqlIndexes = `select table_name, index_name, non_unique, column_name
from information_schema.statistics where table_schema = database() order by table_name, index_name, seq_in_index`

// hexTypes are written down as hexadecimal digits.
var hexTypes = []string{
	"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "bit", "geometry", "point", "linestring", "polygon",
	"multipoint", "multilinestring", "multipolygon", "geometrycollection", "geomcollection",
}

func (m mysqlTarget) dump(t *testing.T) (ddl, rows string) {
	t.Helper()
	var lines, out strings.Builder
	columns, indexes := m.Rows(t, mysqlColumns), m.Rows(t, mysqlIndexes)
	for len(columns) > 0 {
		table := columns[0][0]
		n := slices.IndexFunc(columns, func(c []string) bool { return c[0] != table })
		if n < 0 {
			n = len(columns)
		}
		for _, c := range columns[:n] {
			fmt.Fprintf(&lines, "%s.%s %s", table, c[1], c[2])
			if c[3] == "NO" {
				lines.WriteString(" NOT NULL")
			}
			if c[4] != "<none>" {
				lines.WriteString(" DEFAULT " + c[4])
			}
			if c[5] != "" {
				lines.WriteString(" " + c[5])
			}
			lines.WriteString("\n")
		}
		key := writeIndexes(&lines, table, indexes)
		for _, row := range m.rows(t, table, columns[:n], key) {
			fmt.Fprintf(&out, "{\"table\": %s, \"row\": %s}\n", pythonJSON(table), row)
		}
		columns = columns[n:]
	}
	return lines.String(), out.String()
}

// writeIndexes writes a table's indexes down and returns the columns of its key.
func writeIndexes(lines *strings.Builder, table string, indexes [][]string) (key []string) {
	for i := 0; i < len(indexes); {
		first, from := indexes[i], i
		for i < len(indexes) && indexes[i][0] == first[0] && indexes[i][1] == first[1] {
			i++
		}
		if first[0] != table {
			continue
		}
		var of []string
		for _, x := range indexes[from:i] {
			of = append(of, x[3])
		}
		kind := "UNIQUE " + first[1]
		if first[2] == "1" {
			kind = "INDEX " + first[1]
		}
		if first[1] == "PRIMARY" {
			kind, key = "PRIMARY KEY", of
		}
		fmt.Fprintf(lines, "%s %s (%s)\n", table, kind, strings.Join(of, ","))
	}
	return key
}

// rows are the rows as the recorder's JSON objects, by key as text; without a key by their own ASCII text.
func (m mysqlTarget) rows(t *testing.T, table string, columns [][]string, key []string) []string {
	t.Helper()
	quote := func(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }
	var names, fields, order []string
	for _, c := range columns {
		names = append(names, c[1])
		field := "cast(" + quote(c[1]) + " as char)"
		if slices.Contains(hexTypes, c[6]) {
			field = "concat('0x', lower(hex(" + quote(c[1]) + ")))"
		}
		fields = append(fields, field, quote(c[1])+" is null")
	}
	for _, k := range key {
		order = append(order, "cast("+quote(k)+" as char)")
	}
	if len(order) == 0 {
		order = []string{"1"}
	}
	var rows []string
	for _, r := range m.Rows(t, "select "+strings.Join(fields, ",")+" from "+quote(table)+" order by "+strings.Join(order, ",")) {
		values := make([]*string, len(names))
		for i := range values {
			if r[2*i+1] == "0" {
				values[i] = &r[2*i]
			}
		}
		rows = append(rows, rowText(names, values))
	}
	if len(key) == 0 {
		sortKeyless(rows)
	}
	return rows
}
