// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"freshet/sinks/jdbc/dialect"
)

// tableSQL reads whether there is a table or view, whether it is STRICT, and whether deletes cascade from it.
const tableSQL = `SELECT l.name, l.strict, EXISTS (SELECT 1 FROM sqlite_schema AS m, pragma_foreign_key_list(m.name) AS f
  WHERE m.type = 'table' AND f."table" = l.name COLLATE NOCASE AND f.on_delete IN ('CASCADE', 'SET NULL', 'SET DEFAULT'))
FROM pragma_table_list(?1) AS l WHERE l.schema = 'main' AND l.type IN ('table', 'view', 'virtual')`

const columnsSQL = `SELECT name, type, "notnull", dflt_value IS NOT NULL, pk, hidden FROM pragma_table_xinfo(?1)`

// Values of hidden in columnsSQL: of a virtual table, and of generated columns.
const (
	notHidden = "0"
	ofVirtual = "1"
)

// Table reads a table. The schema main is the database itself; there is no other one.
func (s *Session) Table(ctx context.Context, n dialect.Name) (*dialect.Table, error) {
	if n.Schema != "" && lower(n.Schema) != "main" {
		return nil, &schemaError{n}
	}
	var t *dialect.Table
	strict := false
	err := s.Query(ctx, tableSQL, func(c [][]byte) error {
		t = &dialect.Table{Name: dialect.Name{Table: string(c[0])}, Cascades: string(c[2]) == "1"}
		strict = string(c[1]) == "1"
		return nil
	}, n.Table)
	if err != nil {
		return nil, fmt.Errorf("read table %q: %w", n, err)
	}
	if t == nil {
		return nil, nil
	}
	return t, s.columns(ctx, t, strict)
}

func (s *Session) columns(ctx context.Context, t *dialect.Table, strict bool) error {
	type keyColumn struct {
		at   int
		name string
	}
	var key []keyColumn
	err := s.Query(ctx, columnsSQL, func(c [][]byte) error {
		if string(c[5]) == ofVirtual {
			return nil
		}
		col := dialect.Column{
			Name: string(c[0]), Type: string(c[1]), Class: affinityOf(string(c[1]), strict), Modifier: -1,
			NotNull: string(c[2]) == "1", HasDefault: string(c[3]) == "1", Generated: string(c[5]) != notHidden,
		}
		if at, err := strconv.Atoi(string(c[4])); err == nil && at > 0 {
			key = append(key, keyColumn{at, col.Name})
		}
		t.Columns = append(t.Columns, col)
		return nil
	}, t.Name.Table)
	if err != nil {
		return fmt.Errorf("read columns of table %q: %w", t.Name, err)
	}
	slices.SortFunc(key, func(x, y keyColumn) int { return x.at - y.at })
	for _, k := range key {
		t.Key = append(t.Key, k.name)
	}
	return nil
}
