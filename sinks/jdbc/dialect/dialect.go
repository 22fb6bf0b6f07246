// SPDX-License-Identifier: Apache-2.0

// Package dialect is what the JDBC sink asks of a database: types, quoting, the form of an upsert, limits, and a session
// that applies groups of rows in one transaction.
//
// The sink plans, collapses and groups rows; it knows no database. A Dialect knows one database and no records. Both
// meet in a Plan: the columns that records of one schema write in one table, each with the function that renders its
// values. Plans and their Sets are immutable once built and are cached by pointer, so sessions may hang prepared
// statements and staging tables on a *Set.
package dialect

import (
	"context"
	"log/slog"
	"time"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

// Dialect is one database. Its methods are safe for concurrent use and do no I/O, except for Open.
type Dialect interface {
	Syntax
	// Open connects. An error names the driver's cause and the address, never the password.
	Open(ctx context.Context, o Options) (Session, error)
	// Fold is the name that the server stores for an identifier that is written without quotes.
	Fold(name string) string
	// MaxName is the longest identifier in bytes.
	MaxName() int
	// ColumnType is the type, as DDL has it, of a column that is created for values of type t. key says that the column
	// is part of the primary key.
	ColumnType(t *schema.Type, key bool) (string, error)
	// Default is the literal of t.Default for a DEFAULT clause; "" where the database or the type takes none.
	Default(t *schema.Type) (string, error)
	// AddColumns is the statement that adds columns (each NAME TYPE DEFAULT … NULL, already quoted) to a table.
	AddColumns(table Name, columns []string) string
	// Encoder returns the function that renders values of type t for a column. It refuses pairs that the database would
	// refuse in every row.
	Encoder(t *schema.Type, c *Column) (Encode, error)
	// Classify says what an error of the session means, and the next step where there is a known one.
	Classify(err error) (c Class, hint string)
}

// Checker is a Dialect that can tell whether Open would go well without what Open changes.
type Checker interface {
	Check(ctx context.Context, o Options) error
}

// Caseless is a Dialect whose database takes names of columns that differ in case for one.
type Caseless interface {
	// ColumnKey is the same for names of one column.
	ColumnKey(name string) string
}

// Session is one connection. Its methods are called by one goroutine. After an error it has no open transaction.
type Session interface {
	// Table reads the catalogue; nil where there is no such table.
	Table(ctx context.Context, n Name) (*Table, error)
	// Exec runs one statement in its own transaction: DDL.
	Exec(ctx context.Context, sql string) error
	// Query calls row for each row of a query, with the columns as text (nil for NULL), valid during the call.
	Query(ctx context.Context, sql string, row func(columns [][]byte) error, args ...string) error
	// Apply applies the groups in order, in one transaction; nil means it is committed. A *GroupError names the group
	// that was refused, where the database tells. Values of rows live in data.
	Apply(ctx context.Context, groups []Group, data *change.Batch) error
	// Lock waits until no other session holds the lock of a name, and holds it until the session ends.
	Lock(ctx context.Context, name string) error
	// Reset drops what the session has cached for Sets, none of which will be used again.
	Reset(ctx context.Context) error
	Close(ctx context.Context) error
}

// Options are what a session is opened with.
type Options struct {
	URL            string // as in connection.url
	User           string
	Password       config.Secret
	TimeZone       string        // of the session
	ConnectTimeout time.Duration // 0 is the dialect's default
	Log            *slog.Logger
}

// Class is what an error means for the caller.
type Class uint8

// The classes.
const (
	Other  Class = iota // an error of the configuration or of this program: trying again does not help
	Retry               // connection, lock or resource trouble: a new session may succeed
	Stale               // tables or columns are not as they were when the statement was planned
	Refuse              // the database refuses the data
)

// Encode appends the form of a value, neither null nor unavailable, that the dialect's own sessions put into statements: a
// text parameter of the column's type, a literal with its quotes, or what else the two agree on.
type Encode func(dst []byte, b *change.Batch, v change.Value) ([]byte, error)

// Name is a table's name as the catalogue has it. An empty Schema is the session's default schema.
type Name struct{ Schema, Table string }

// String is the name as messages show it.
func (n Name) String() string {
	if n.Schema == "" {
		return n.Table
	}
	return n.Schema + "." + n.Table
}

// Table is one version of a target table. Immutable.
type Table struct {
	Name    Name
	Columns []Column
	Key     []string // the primary key's columns; empty for none
	// Unique are the columns of every unique index, of a database whose upsert goes by any of them; the part of a column is
	// "". With more than one, an upsert may hit the row of another key: the order of changes matters.
	Unique [][]string
	// Cascades says that a delete here changes rows of other tables (ON DELETE CASCADE, SET NULL, SET DEFAULT): the order
	// of changes matters across tables.
	Cascades bool
	// Independent says that rows of the table can be changed in any order and by several sessions at once: no foreign key
	// from or to it, no trigger, at most one unique index, and no key in which different texts are the same.
	Independent bool
}

// Column finds a column by name; nil where there is none.
func (t *Table) Column(name string) *Column {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return &t.Columns[i]
		}
	}
	return nil
}

// Column is a column of a target table.
type Column struct {
	Name       string
	Type       string // as the database prints it, with modifiers
	ID         uint32 // the database's number of the type; 0 where it has none
	Base       uint32 // the same with domains resolved
	Elem       uint32 // of the items, where Base is an array
	Class      byte   // of the type: the dialect's own letters
	Modifier   int32  // length, precision and scale in the database's own coding; -1 for none
	NotNull    bool
	HasDefault bool // also for identity and generated columns
	Generated  bool // computed by the database: cannot be written
	Always     bool // an identity that refuses given values unless overridden
}

// GroupError says which group of an Apply was refused.
type GroupError struct {
	Group int
	Err   error
}

// Error is the cause's text.
func (e *GroupError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *GroupError) Unwrap() error { return e.Err }
