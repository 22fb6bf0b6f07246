// SPDX-License-Identifier: Apache-2.0

// Package mysql is the dialect of MySQL and MariaDB of the JDBC sink, on one connection of go-sql-driver/mysql.
//
// Values go to the server as literals, each rendered by a function that was chosen once for its schema type and the target
// column's type: numbers bare, so that they are compared exactly, all else quoted, in a session whose strict mode cuts
// nothing. Rows of one form are one INSERT of many rows, up to a size; what takes a statement for each row goes as several
// statements in one text. A transaction is a few round trips, however many tables it writes.
//
// What MySQL and MariaDB differ in is small, and known when a session is open.
package mysql

import (
	"fmt"
	"strings"
	"sync/atomic"

	"freshet/sinks/jdbc/dialect"
)

// maxName is the longest identifier; in characters, and so not less in bytes.
const maxName = 64

// Dialect is MySQL or MariaDB. Which of the two the URL says, until a session has asked the server.
type Dialect struct {
	zone    string // whose wall clock a zoned timestamp gets in a column without zone
	mariaDB atomic.Bool
	old     atomic.Bool // MySQL before 8.0.20: it has no alias of inserted rows, nor the collation of keys
}

var (
	_ dialect.Dialect  = (*Dialect)(nil)
	_ dialect.Caseless = (*Dialect)(nil)
)

// New is the dialect for a connection.url. zone is the time zone whose wall clock a zoned timestamp gets in a column
// without zone.
func New(connectionURL, zone string) *Dialect {
	d := &Dialect{zone: zone}
	d.mariaDB.Store(strings.Contains(strings.SplitN(connectionURL, "//", 2)[0], "mariadb"))
	return d
}

// knows tells the dialect what the server says of itself, such as 9.7.4 or 10.11.18-MariaDB.
func (d *Dialect) knows(version string) {
	d.mariaDB.Store(strings.Contains(version, "MariaDB"))
	var major, minor, patch int
	_, _ = fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch) // what cannot be read is new
	d.old.Store(!d.mariaDB.Load() && major > 0 && (major < 8 || major == 8 && minor == 0 && patch < 20))
}

// Quote quotes an identifier. A NUL, which no server takes in a name, is dropped here so that it cannot end the text.
func (*Dialect) Quote(name string) string {
	return "`" + strings.ReplaceAll(strings.ReplaceAll(name, "\x00", ""), "`", "``") + "`"
}

// Placeholder is a question mark.
func (*Dialect) Placeholder(int) string { return "?" }

// Upsert is the ON DUPLICATE KEY UPDATE clause. It goes by any unique index of the table; Session makes sure that one of
// them is that of the keys. A table that is all key sets a key column to what it is.
func (d *Dialect) Upsert(keys dialect.Keys, rest []string) string {
	if len(rest) == 0 {
		rest = keys.Names()[:1]
	}
	set := make([]string, len(rest))
	function := d.mariaDB.Load() || d.old.Load()
	for i, c := range rest {
		if function {
			set[i] = c + "=VALUES(" + c + ")"
		} else {
			set[i] = c + "=incoming." + c
		}
	}
	clause := "ON DUPLICATE KEY UPDATE " + strings.Join(set, ",")
	if function {
		return clause
	}
	return "AS incoming " + clause
}

// Fold leaves names as they are: columns have no case, and tables have it or not as the server is set up.
func (*Dialect) Fold(name string) string { return name }

// MaxName is 64.
func (*Dialect) MaxName() int { return maxName }

// ColumnKey is the name in lower case: names of columns differ by more than their case.
func (*Dialect) ColumnKey(name string) string { return strings.ToLower(name) }

// AddColumns is one ALTER TABLE.
func (d *Dialect) AddColumns(table dialect.Name, columns []string) string {
	return "ALTER TABLE " + dialect.QuoteTable(d, table) + " ADD COLUMN (" + strings.Join(columns, ", ") + ")"
}
