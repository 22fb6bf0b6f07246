// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"freshet/sinks/jdbc/dialect"
)

// tableSQL finds a table, in the session's database unless another is named: also whether deletes cascade from it, and whether
// it has neither foreign keys, nor is what one refers to, nor triggers,
// nor keys in which different texts are the same.
const tableSQL = `SELECT table_schema, table_name,
  EXISTS (SELECT 1 FROM information_schema.referential_constraints r WHERE r.unique_constraint_schema = t.table_schema
    AND r.referenced_table_name = t.table_name AND r.delete_rule IN ('CASCADE', 'SET NULL', 'SET DEFAULT')),
  table_type = 'BASE TABLE'
  AND NOT EXISTS (SELECT 1 FROM information_schema.referential_constraints r WHERE r.constraint_schema = t.table_schema AND r.table_name = t.table_name
    OR r.unique_constraint_schema = t.table_schema AND r.referenced_table_name = t.table_name)
  AND NOT EXISTS (SELECT 1 FROM information_schema.triggers g WHERE g.event_object_schema = t.table_schema AND g.event_object_table = t.table_name)
  AND NOT EXISTS (SELECT 1 FROM information_schema.columns k WHERE k.table_schema = t.table_schema AND k.table_name = t.table_name
    AND k.column_key <> '' AND right(k.collation_name, 4) <> '_bin')
FROM information_schema.tables t WHERE table_schema = coalesce(nullif(?, ''), database()) AND table_name = ?`

const columnsSQL = `SELECT column_name, column_type, data_type, coalesce(numeric_scale, datetime_precision, -1), is_nullable = 'NO',
  column_default IS NOT NULL OR extra LIKE '%auto_increment%', coalesce(generation_expression, '') <> ''
FROM information_schema.columns WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position`

// indexesSQL reads the columns of unique indexes in order. The part of a column, or an expression, is no column.
const indexesSQL = `SELECT index_name, CASE WHEN sub_part IS NULL THEN coalesce(column_name, '') ELSE '' END
FROM information_schema.statistics WHERE table_schema = ? AND table_name = ? AND non_unique = 0
ORDER BY index_name = 'PRIMARY' DESC, index_name, seq_in_index`

// Table reads a table.
func (s *Session) Table(ctx context.Context, n dialect.Name) (*dialect.Table, error) {
	t := &dialect.Table{Name: n}
	found := false
	err := s.Query(ctx, tableSQL, func(c [][]byte) error {
		found = true
		t.Name, t.Cascades, t.Independent = dialect.Name{Schema: string(c[0]), Table: string(c[1])}, isTrue(c[2]), isTrue(c[3])
		return nil
	}, n.Schema, n.Table)
	if err != nil {
		return nil, fmt.Errorf("read table %q: %w", n, err)
	}
	if !found {
		return nil, nil
	}
	err = s.Query(ctx, columnsSQL, func(c [][]byte) error {
		class := classes[strings.ToLower(string(c[2]))]
		if class == 0 {
			class = classOther
		}
		t.Columns = append(t.Columns, dialect.Column{
			Name: string(c[0]), Type: string(c[1]), Class: class, Modifier: parseInt32(c[3]),
			NotNull: isTrue(c[4]), HasDefault: isTrue(c[5]), Generated: isTrue(c[6]),
		})
		return nil
	}, t.Name.Schema, t.Name.Table)
	if err != nil {
		return nil, fmt.Errorf("read columns of table %q: %w", n, err)
	}
	return t, s.indexes(ctx, t)
}

// indexes reads the unique indexes, and warns of one that an upsert may hit besides the key.
func (s *Session) indexes(ctx context.Context, t *dialect.Table) error {
	last := ""
	err := s.Query(ctx, indexesSQL, func(c [][]byte) error {
		if name := string(c[0]); len(t.Unique) == 0 || name != last {
			t.Unique, last = append(t.Unique, nil), name
		}
		index := &t.Unique[len(t.Unique)-1]
		*index = append(*index, string(c[1]))
		if last == "PRIMARY" {
			t.Key = *index
		}
		return nil
	}, t.Name.Schema, t.Name.Table)
	if err != nil {
		return fmt.Errorf("read indexes of table %q: %w", t.Name, err)
	}
	if len(t.Unique) > 1 {
		t.Independent = false
		s.log.Warn("the table has more than one unique index: an upsert whose row has a value that another row holds rewrites that row, as ON DUPLICATE KEY UPDATE does",
			"table", t.Name.String(), "index", last)
	}
	return nil
}

func isTrue(p []byte) bool { return string(p) == "1" }

func parseInt32(p []byte) int32 {
	n, _ := strconv.ParseInt(string(p), 10, 32)
	return int32(n)
}
