// SPDX-License-Identifier: Apache-2.0

// Package postgres is the PostgreSQL dialect of the JDBC sink, on pgx's pgconn.
//
// Values go to the server as text, in COPY and in parameters alike, each rendered by a function that was chosen once
// for its schema type and the target column's type. Text lets the server's own input functions judge every value, so
// that casts (uuid, json, enums, network types) need no SQL and a bad value names its column. Many rows are copied into
// a session's staging table and merged by one statement; few go as pipelined prepared statements in one round trip.
package postgres

import (
	"strings"

	"freshet/schema"
	"freshet/sinks/jdbc/dialect"
)

// maxNameBytes is NAMEDATALEN-1 of a server that was not built otherwise.
const maxNameBytes = 63

// Dialect is PostgreSQL.
type Dialect struct {
	// PostGIS is the schema of the PostGIS types.
	PostGIS string
	// TimeZone is the zone whose wall clock a zoned timestamp gets in a column without zone.
	TimeZone string
}

var _ dialect.Dialect = Dialect{}

// Quote quotes an identifier. A NUL, which no server takes in a name, is dropped here so that it cannot end the text.
func (Dialect) Quote(name string) string {
	return schema.QuoteName(strings.ReplaceAll(name, "\x00", ""))
}

// Placeholder is $n.
func (Dialect) Placeholder(n int) string {
	const small = "$1 $2 $3 $4 $5 $6 $7 $8 $9 "
	if n < 10 {
		return small[3*(n-1) : 3*(n-1)+2]
	}
	return "$" + itoa(n)
}

// Upsert is the ON CONFLICT clause.
func (Dialect) Upsert(keys dialect.Keys, rest []string) string {
	conflict := "ON CONFLICT (" + strings.Join(keys.Names(), ",") + ") DO "
	if len(rest) == 0 {
		return conflict + "NOTHING"
	}
	set := make([]string, len(rest))
	for i, c := range rest {
		set[i] = c + "=EXCLUDED." + c
	}
	return conflict + "UPDATE SET " + strings.Join(set, ",")
}

// Fold lower-cases ASCII letters, as a server with a multi-byte encoding does for unquoted names. A name that is no
// identifier without quotes (a dash, a blank, a leading digit) is left as it is.
func (Dialect) Fold(name string) string {
	for i, r := range name {
		letter := r >= 0x80 || r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r != '$' && (r < '0' || r > '9')) {
			return name
		}
	}
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, name)
}

// MaxName is 63 bytes.
func (Dialect) MaxName() int { return maxNameBytes }

// AddColumns is one ALTER TABLE. Another task may have added the same column already.
func (d Dialect) AddColumns(table dialect.Name, columns []string) string {
	add := make([]string, len(columns))
	for i, c := range columns {
		add[i] = "ADD COLUMN IF NOT EXISTS " + c
	}
	return "ALTER TABLE " + dialect.QuoteTable(d, table) + " " + strings.Join(add, ", ")
}
