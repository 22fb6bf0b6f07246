// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/config"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/sinks"
	"freshet/sinks/jdbc"
)

func TestSQLiteRowErrorsNameCauseAndNextStep(t *testing.T) {
	for _, c := range []struct {
		name, table string
		poison      []any
		cause, hint string
	}{
		{"not null", "CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT NOT NULL, n INT)", []any{int64(1000), nil, int64(1)}, "NOT NULL constraint failed: items.v", "make the column nullable"},
		{"check", "CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT, n INT CHECK (n > 0))", []any{int64(1000), "v", int64(-1)}, "CHECK constraint failed", "correct the row"},
		{"unique", "CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT UNIQUE, n INT); INSERT INTO items VALUES (-1, 'taken', 0)", []any{int64(1000), "taken", int64(1)}, "UNIQUE constraint failed: items.v", "another unique constraint"},
		{"foreign key", "CREATE TABLE p (id INT PRIMARY KEY); INSERT INTO p VALUES (1); CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT, n INT REFERENCES p)", []any{int64(1000), "v", int64(2)}, "FOREIGN KEY constraint failed", "DEFERRABLE"},
		{"text that would become a number", "CREATE TABLE items (id INTEGER PRIMARY KEY, v NUMERIC, n INT)", []any{int64(1000), "007", int64(1)}, `value "007" would change in column "v" of type NUMERIC`, "TEXT"},
		{"strict", "CREATE TABLE items (id INTEGER PRIMARY KEY, v BLOB, n INT) STRICT", []any{int64(1000), "v", int64(1)}, "cannot store TEXT value in BLOB column items.v", "STRICT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachSize(t, func(t *testing.T, n int) {
				file := newSQLite(t, "")
				file.exec(t, c.table)
				before := file.show(t, "SELECT count(*) FROM items")
				f := items()
				w := open(t, file.upsert(), nil)
				e := refused(t, w, func(b *sinks.Batch) {
					for i := range n {
						v := any(fmt.Sprint("v", i))
						if c.name == "strict" {
							v = nil
						}
						f.change(b, change.Create, int64(i), v, int64(1))
					}
					f.change(b, change.Create, c.poison...)
					f.change(b, change.Create, int64(n), nil, int64(1))
				})
				require.Equal(t, n, e.Index)
				require.Equal(t, 0, e.Applied)
				require.ErrorContains(t, e, fmt.Sprintf("record items-0@%d (key id=1000): table \"items\": ", n))
				require.ErrorContains(t, e, c.cause)
				require.ErrorContains(t, e, c.hint)
				require.Equal(t, before, file.show(t, "SELECT count(*) FROM items"), "nothing of the transaction is left")
				require.NoError(t, w.Close(t.Context()))
			})
		})
	}
}

func TestSQLiteRefusesColumnsThatMakeNumbersOfTexts(t *testing.T) {
	file := newSQLite(t, "")
	file.exec(t, "CREATE TABLE items (id INTEGER PRIMARY KEY, v INTEGER, n INT)")
	f := items()
	e := refused(t, open(t, file.upsert(), nil), func(b *sinks.Batch) { f.change(b, change.Create, int64(1), "v", int64(1)) })
	require.ErrorContains(t, e, `column "v" is of type INTEGER, which makes numbers of texts`)
}

// failsFor writes one row, which must fail for now with a cause and the next step, and opens the writer anew once the cause
// is gone.
func failsFor(t *testing.T, file *sqliteFile, w sinks.Writer, cause, hint string, mend func()) {
	t.Helper()
	f := items()
	one := func(b *sinks.Batch) { f.change(b, change.Create, int64(1), strings.Repeat("v", 20_000), int64(1)) }
	b := newBatch()
	one(b)
	err := w.Write(t.Context(), b)
	require.ErrorContains(t, err, cause)
	require.ErrorContains(t, err, hint)
	require.True(t, retriable(err), "%v", err)
	require.NoError(t, w.Close(t.Context()))
	mend()
	w = open(t, file.upsert(), nil)
	write(t, w, one)
	require.NoError(t, w.Close(t.Context()))
	require.Equal(t, "1 20000 1", file.show(t, "SELECT id, length(v), n FROM items"))
}

const itemsTable = "CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT, n INTEGER)"

func TestSQLiteFileOfAnotherProcess(t *testing.T) {
	file := newSQLite(t, "?busy_timeout=1")
	file.exec(t, itemsTable)
	other := file.session(t)
	w := open(t, file.upsert(), nil)
	require.NoError(t, other.Query(t.Context(), "BEGIN IMMEDIATE", func([][]byte) error { return nil }))
	failsFor(t, file, w, "database is locked", "end its transaction", func() {
		require.NoError(t, other.Query(t.Context(), "COMMIT", func([][]byte) error { return nil }))
	})
	require.NoError(t, other.Close(t.Context()))
}

func TestSQLiteDiskFull(t *testing.T) {
	file := newSQLite(t, "")
	file.exec(t, itemsTable)
	w := open(t, file.upsert(), nil)
	require.NoError(t, jdbc.SessionOf(w).Query(t.Context(), "PRAGMA max_page_count=3", func([][]byte) error { return nil }))
	failsFor(t, file, w, "database or disk is full", "free space", func() {})
}

func TestSQLiteReadOnly(t *testing.T) {
	file := newSQLite(t, "")
	file.exec(t, itemsTable)
	readOnly := &sqliteFile{file.path, "?mode=ro"}
	failsFor(t, file, open(t, readOnly.upsert(), nil), "attempt to write a readonly database", "make the database's file and its folder writable", func() {})
}

func TestSQLiteTableDroppedUnderWay(t *testing.T) {
	for name, drop := range map[string]string{"table": "DROP TABLE items", "column": "ALTER TABLE items DROP COLUMN v"} {
		t.Run(name, func(t *testing.T) {
			file := newSQLite(t, "")
			f := items()
			w := open(t, file.upsert(), nil)
			one := func(b *sinks.Batch) { f.change(b, change.Create, int64(1), "v", int64(1)) }
			write(t, w, one)
			file.exec(t, drop)
			b := newBatch()
			one(b)
			err := w.Write(t.Context(), b)
			require.ErrorContains(t, err, "no")
			require.True(t, retriable(err), "the worker opens another writer: %v", err)
			require.NoError(t, w.Close(t.Context()))
			w = open(t, file.upsert(), nil)
			write(t, w, one)
			require.NoError(t, w.Close(t.Context()))
			require.Equal(t, "1 v 1", file.show(t, "SELECT id, v, n FROM items"))
		})
	}
}

func TestSQLiteOpenErrors(t *testing.T) {
	for name, make := range map[string]func(t *testing.T) (path, want string){
		"no folder": func(t *testing.T) (string, string) {
			return filepath.Join(t.TempDir(), "none", "x.db"), "check the path in connection.url, that its folder exists"
		},
		"a folder": func(t *testing.T) (string, string) { return t.TempDir(), "check the path in connection.url" },
		"no database": func(t *testing.T) (string, string) {
			path := filepath.Join(t.TempDir(), "x.db")
			require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("no database ", 500)), 0o600))
			return path, "is no SQLite database"
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, want := make(t)
			_, err := tryOpen(t, (&sqliteFile{path: path}).upsert(), nil)
			require.ErrorContains(t, err, want)
			require.ErrorContains(t, err, path)
		})
	}
}

// TestSQLiteCheckChangesNothing: a configuration is validated without a file being made or turned over to another journal.
func TestSQLiteCheckChangesNothing(t *testing.T) {
	check := func(path string) []config.Problem {
		c := jdbc.New()
		def := c.Describe().Def
		v, _ := def.Parse((&sqliteFile{path: path}).upsert())
		return c.Check(t.Context(), v)
	}
	dir := t.TempDir()
	require.Empty(t, check(filepath.Join(dir, "new.db")))
	require.NoFileExists(t, filepath.Join(dir, "new.db"))
	problems := check(filepath.Join(dir, "none", "new.db"))
	require.Len(t, problems, 1)
	require.Contains(t, problems[0].Message, "there is no folder")

	old := &sqliteFile{filepath.Join(dir, "old.db"), "?journal_mode=delete"}
	old.exec(t, itemsTable)
	before, err := os.ReadFile(old.path)
	require.NoError(t, err)
	require.Empty(t, check(old.path))
	after, err := os.ReadFile(old.path)
	require.NoError(t, err)
	require.Equal(t, before, after)

	log := &sqliteFile{path: filepath.Join(dir, "log.db")}
	log.exec(t, itemsTable)
	require.Empty(t, check(log.path), "with a write-ahead log that nobody has open")
	s := log.session(t)
	require.Empty(t, check(log.path), "and with one that is in use")
	require.NoError(t, s.Close(t.Context()))

	require.NoError(t, os.WriteFile(old.path, []byte(strings.Repeat("no database ", 500)), 0o600))
	problems = check(old.path)
	require.Len(t, problems, 1)
	require.Contains(t, problems[0].Message, "is no SQLite database")
}

func TestSQLiteHasNoSchemas(t *testing.T) {
	file := newSQLite(t, "")
	w := open(t, file.upsert("collection.name.format", "${source.schema}.${source.table}"), nil)
	f, b := items(), newBatch()
	f.change(b, change.Create, int64(1), "v", int64(1))
	err := w.Write(t.Context(), b)
	require.ErrorContains(t, err, `table "shop.items": SQLite has no schemas: take what is before the dot out of collection.name.format`)
	require.False(t, retriable(err))
	require.NoError(t, w.Close(t.Context()))
}

func TestSQLiteNamesDifferInMoreThanCase(t *testing.T) {
	file := newSQLite(t, "")
	file.exec(t, "CREATE TABLE ITEMS (ID INTEGER PRIMARY KEY, V TEXT)")
	f := items()
	w := open(t, file.upsert(), nil)
	write(t, w, func(b *sinks.Batch) {
		f.change(b, change.Create, int64(1), "v", int64(1))
		f.change(b, change.Create, int64(2), "w", int64(2))
		f.change(b, change.Delete, int64(1))
	})
	require.NoError(t, w.Close(t.Context()))
	require.Equal(t, "2 w 2", file.show(t, `SELECT "ID", "V", n FROM items`))

	double := newFeed("double", 1, required("id", schema.Int64), fieldOf("v", schema.String), fieldOf("V", schema.String))
	e := refused(t, open(t, file.upsert(), nil), func(b *sinks.Batch) { double.change(b, change.Create, int64(1), "a", "b") })
	require.ErrorContains(t, e, `fields "v" and "V" are one column "V": rename one of them by a transform`)
}

func TestSQLiteOneWriterAtATime(t *testing.T) {
	file := newSQLite(t, "")
	properties := file.upsert("offsets.table.name", "freshet_offsets")
	first := open(t, properties, nil)
	s := file.session(t)
	held, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := s.Lock(held, "freshet freshet_offsets connect-c 0")
	require.ErrorContains(t, err, "another task still holds it")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, s.Lock(t.Context(), "another"), "locks have names")
	require.NoError(t, s.Close(t.Context()))
	file.exec(t, "CREATE TABLE others (id INT)") // nobody is kept from the database

	opened := make(chan error, 1)
	go func() {
		second, err := tryOpen(t, properties, nil)
		if err == nil {
			err = second.Close(t.Context())
		}
		opened <- err
	}()
	require.NoError(t, first.Close(t.Context()))
	require.NoError(t, <-opened)
}

// TestSQLiteWideTables: what is beyond SQLite's limit is told in few words.
func TestSQLiteWideTables(t *testing.T) {
	file := newSQLite(t, "")
	wide := func(n int) (*feed, []any) {
		fields, values := []schema.Field{required("id", schema.Int64)}, []any{int64(1)}
		for i := range n - 1 {
			fields, values = append(fields, fieldOf(fmt.Sprint("c", i), schema.Int32)), append(values, int64(i))
		}
		return newFeed(fmt.Sprint("wide", n), 1, fields...), values
	}
	w := open(t, file.upsert(), nil)
	f, values := wide(2000)
	write(t, w, func(b *sinks.Batch) {
		for i := range int64(40) {
			values[0] = i
			f.change(b, change.Create, values...)
		}
	})
	require.Equal(t, "40 79920", file.show(t, "SELECT count(*), sum(c1998) FROM wide2000"))
	f, values = wide(10_000)
	e := refused(t, w, func(b *sinks.Batch) { f.change(b, change.Create, values...) })
	require.ErrorContains(t, e, "too many columns")
	require.ErrorContains(t, e, "SQLite has at most 2,000 columns a table: leave fields out by field.exclude.list")
	require.Less(t, len(e.Error()), 500)
	require.NoError(t, w.Close(t.Context()))
}

func TestSQLiteColumnsAreAddedOneByOne(t *testing.T) {
	file := newSQLite(t, "")
	file.exec(t, "CREATE TABLE items (id INTEGER PRIMARY KEY); INSERT INTO items VALUES (7)")
	withDefault := &schema.Type{Kind: schema.String, Default: "it's"}
	f := newFeed("items", 1, required("id", schema.Int64), fieldOf("v", schema.String), schema.Field{Name: "d", Type: withDefault}, fieldOf("n", schema.Int32))
	w := open(t, file.upsert(), nil)
	write(t, w, func(b *sinks.Batch) { f.change(b, change.Create, int64(1), "v", "d", int64(1)) })
	require.Equal(t, "1 v d 1; 7 NULL it's NULL", file.show(t, "SELECT id, v, d, n FROM items ORDER BY id"))
	strict := newFeed("items", 1, required("id", schema.Int64), required("r", schema.Int32))
	e := refused(t, w, func(b *sinks.Batch) { strict.change(b, change.Create, int64(2), int64(1)) })
	require.ErrorContains(t, e, "Cannot ALTER table 'items' because field 'r' is not optional but has no default value")
	require.NoError(t, w.Close(t.Context()))
}

// TestSQLiteMoves: a row that gets another key takes along what the source did not send.
func TestSQLiteMovesAndTruncates(t *testing.T) {
	file := newSQLite(t, "")
	file.exec(t, itemsTable+"; INSERT INTO items VALUES (1, 'long', 0), (5, 'other', 0)")
	w := open(t, file.upsert(), nil)
	f := items()
	for range 2 { // I8
		write(t, w, func(b *sinks.Batch) {
			f.change(b, change.Delete, int64(1)).Headers = []topic.Header{{Key: "__debezium.newkey", Value: []byte(`{"id":2}`)}}
			f.tombstone(b, int64(1))
			f.change(b, change.Create, int64(2), unknown, int64(1)).Headers = []topic.Header{{Key: "__debezium.oldkey", Value: []byte(`{"id":1}`)}}
		})
		require.Equal(t, "2 long 1; 5 other 0", file.show(t, "SELECT * FROM items ORDER BY id"))
	}
	write(t, w, func(b *sinks.Batch) {
		f.change(b, change.Create, int64(8), "void", int64(1))
		f.change(b, change.Truncate)
		f.change(b, change.Create, int64(9), "new", int64(1))
	})
	require.Equal(t, "9 new 1", file.show(t, "SELECT * FROM items"))
	require.NoError(t, w.Close(t.Context()))
}
