// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"freshet/sinks/jdbc/dialect"
)

// valueError is a value that has no form in its column: it is refused before SQLite sees it.
type valueError struct{ err error }

func (e *valueError) Error() string { return e.err.Error() }
func (e *valueError) Unwrap() error { return e.err }

// schemaError is a table's name with a schema that is not there.
type schemaError struct{ name dialect.Name }

func (e *schemaError) Error() string { return fmt.Sprintf("table %q: SQLite has no schemas", e.name) }

// Classify goes by the primary result code, and by the words of those errors that have none of their own.
func (Dialect) Classify(err error) (class dialect.Class, hint string) {
	var value *valueError
	var schema *schemaError
	var e *sqlite.Error
	switch {
	case errors.As(err, &value):
		return dialect.Refuse, "correct the value at the source, or declare the column TEXT in the target"
	case errors.As(err, &schema):
		return dialect.Other, "take what is before the dot out of collection.name.format, or put an underscore in the place of the dot"
	case errors.As(err, &e):
		return classOf(e)
	case errors.Is(err, context.DeadlineExceeded):
		return dialect.Retry, ""
	}
	return dialect.Other, ""
}

// passing are troubles that may pass, with the next step.
var passing = map[int]string{
	codes.SQLITE_BUSY:      "another process holds the database's lock: end its transaction, or give it longer by busy_timeout in connection.url",
	codes.SQLITE_LOCKED:    "another process holds the database's lock: end its transaction, or give it longer by busy_timeout in connection.url",
	codes.SQLITE_FULL:      "free space on the disk of the database's file, or raise its max_page_count",
	codes.SQLITE_IOERR:     "see the system's log for errors of the disk of the database's file",
	codes.SQLITE_READONLY:  "make the database's file and its folder writable for the worker's user",
	codes.SQLITE_CANTOPEN:  "check the path in connection.url, that its folder exists, and that the worker's user may write there",
	codes.SQLITE_PERM:      "make the database's file and its folder writable for the worker's user",
	codes.SQLITE_NOMEM:     "the machine has no memory left",
	codes.SQLITE_PROTOCOL:  "another process holds the database's lock",
	codes.SQLITE_INTERRUPT: "",
}

func classOf(e *sqlite.Error) (dialect.Class, string) {
	code := e.Code() & 0xff
	if hint, ok := passing[code]; ok {
		return dialect.Retry, hint
	}
	switch code {
	case codes.SQLITE_CONSTRAINT:
		return dialect.Refuse, constraintHint(e.Code())
	case codes.SQLITE_MISMATCH:
		return dialect.Refuse, "the key column is an INTEGER PRIMARY KEY: it takes whole numbers alone"
	case codes.SQLITE_TOOBIG:
		return dialect.Refuse, "SQLite takes no value or row of more than a billion bytes: leave the field out by field.exclude.list"
	case codes.SQLITE_SCHEMA:
		return dialect.Stale, ""
	case codes.SQLITE_CORRUPT:
		return dialect.Other, "the database's file is damaged: check it by PRAGMA integrity_check, and put back a copy"
	case codes.SQLITE_NOTADB:
		return dialect.Other, "the file of connection.url is no SQLite database"
	case codes.SQLITE_ERROR:
		return byWords(e.Error())
	}
	return dialect.Other, ""
}

// constraintHint is the next step for a row that a constraint refuses.
func constraintHint(code int) string {
	switch code {
	case codes.SQLITE_CONSTRAINT_NOTNULL:
		return "make the column nullable or give it a default in the target, or correct the row at the source; then restart the task"
	case codes.SQLITE_CONSTRAINT_PRIMARYKEY, codes.SQLITE_CONSTRAINT_UNIQUE, codes.SQLITE_CONSTRAINT_ROWID:
		return "insert.mode=upsert overwrites existing keys; another unique constraint of the target has to go or the rows that hold it"
	case codes.SQLITE_CONSTRAINT_FOREIGNKEY:
		return "write the referenced table too, or drop the foreign key in the target or make it DEFERRABLE INITIALLY DEFERRED"
	case codes.SQLITE_CONSTRAINT_DATATYPE:
		return "the table is STRICT: declare the column TEXT or ANY, or make the table without STRICT"
	}
	return "correct the row at the source or the table in the target, then restart the task"
}

// byWords tells apart what SQLite reports by a text alone.
func byWords(text string) (dialect.Class, string) {
	has := func(words string) bool { return strings.Contains(text, words) }
	switch {
	case has("no such table"), has("no such column"), has("has no column named"):
		return dialect.Stale, ""
	case has("ON CONFLICT clause does not match"):
		return dialect.Other, "create a unique index on the key columns in the target, or name the columns of an existing one in primary.key.fields"
	case has("too many columns"):
		return dialect.Refuse, "SQLite has at most 2,000 columns a table: leave fields out by field.exclude.list"
	}
	return dialect.Other, ""
}

// openError says which file, why not, and what to do.
func openError(path string, err error) error {
	_, hint := Dialect{}.Classify(err)
	if hint == "" {
		return fmt.Errorf("open SQLite database %q: %w", path, err)
	}
	return fmt.Errorf("open SQLite database %q: %w: %s", path, err, hint)
}
