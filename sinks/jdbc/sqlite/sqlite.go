// SPDX-License-Identifier: Apache-2.0

// Package sqlite is the SQLite dialect of the JDBC sink, on modernc.org/sqlite, which is Go alone.
//
// SQLite keeps a value by its own storage class (integer, real, text, blob), and a column's declared type only tends to
// one (its affinity), by which it may change values: a decimal in a NUMERIC column becomes a float, the text 007 the number
// 7. So every value is handed over with the storage class that keeps it as it is, chosen once for its schema type and the
// column's affinity; where there is none, the value is refused. docs/adr/0016-sqlite-keeps-values.md has the table.
//
// A session is one connection to a file. Its transactions take the write lock at once and are synced when they end. A lock
// by name is held in a file of its own beside the database's, because one in the database would keep other writers out.
package sqlite

import (
	"strconv"
	"strings"

	"freshet/schema"
	"freshet/sinks/jdbc/dialect"
)

// Dialect is SQLite.
type Dialect struct {
	// TimeZone is the zone that zoned timestamps are written in, with its offset.
	TimeZone string
}

var (
	_ dialect.Dialect  = Dialect{}
	_ dialect.Caseless = Dialect{}
	_ dialect.Checker  = Dialect{}
)

// Quote quotes an identifier. A NUL, which would end the statement, is dropped. The session turns off that a name which
// is none becomes a text.
func (Dialect) Quote(name string) string {
	return schema.QuoteName(strings.ReplaceAll(name, "\x00", ""))
}

// Placeholder is ?n.
func (Dialect) Placeholder(n int) string { return "?" + strconv.Itoa(n) }

// Upsert is the ON CONFLICT clause.
func (Dialect) Upsert(keys dialect.Keys, rest []string) string {
	conflict := "ON CONFLICT (" + strings.Join(keys.Names(), ",") + ") DO "
	if len(rest) == 0 {
		return conflict + "NOTHING"
	}
	set := make([]string, len(rest))
	for i, c := range rest {
		set[i] = c + "=excluded." + c
	}
	return conflict + "UPDATE SET " + strings.Join(set, ",")
}

// Fold changes nothing: SQLite keeps names as they are written.
func (Dialect) Fold(name string) string { return name }

// ColumnKey is the name in lower case: SQLite compares names without regard to the case of ASCII letters.
func (Dialect) ColumnKey(name string) string { return lower(name) }

func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// MaxName is beyond any name: SQLite has no limit but that of a statement.
func (Dialect) MaxName() int { return 1 << 16 }

// AddColumns is one ALTER TABLE for each column, because SQLite takes no more at once. Exec runs them in one transaction.
func (d Dialect) AddColumns(table dialect.Name, columns []string) string {
	alter := make([]string, len(columns))
	for i, c := range columns {
		alter[i] = "ALTER TABLE " + dialect.QuoteTable(d, table) + " ADD COLUMN " + c
	}
	return strings.Join(alter, "; ")
}
