// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/internal/testdb"
	"freshet/schema"
	"freshet/sinks"
)

// eachMySQL runs a test on both servers, each time in a database of its own.
func eachMySQL(t *testing.T, f func(t *testing.T, s *testdb.MySQLServer)) {
	t.Helper()
	for name, server := range mysqlServers {
		t.Run(name, func(t *testing.T) { f(t, server(t)) })
	}
}

// mysqlUpsert are the properties that most tests write with.
func mysqlUpsert(s *testdb.MySQLServer, pairs ...string) map[string]string {
	return mysqlProperties(s, append([]string{"truncate.enabled", "true", "schema.evolution", "basic"}, pairs...)...)
}

func mysqlRows(t *testing.T, s *testdb.MySQLServer, query string) string {
	t.Helper()
	var out []string
	for _, r := range s.Rows(t, query) {
		out = append(out, strings.Join(r, " "))
	}
	return strings.Join(out, "; ")
}

func script(t *testing.T, s *testdb.MySQLServer, text string) {
	t.Helper()
	require.NoError(t, s.Script(t, text))
}

// An upsert goes by any unique index: without the order of the source, a row whose value has moved would be lost.
func TestMySQLUniqueValuesMoveBetweenRows(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		script(t, s, "create table items(id bigint primary key, v varchar(20) unique, n int)")
		w := open(t, mysqlUpsert(s), nil)
		f := items()
		write(t, w, func(b *sinks.Batch) {
			for i := range many {
				f.change(b, change.Create, int64(i), fmt.Sprint("v", i), int64(0))
			}
		})
		write(t, w, func(b *sinks.Batch) {
			f.change(b, change.Update, int64(many-1), "free", int64(1))
			for i := many - 2; i >= 0; i-- {
				f.change(b, change.Update, int64(i), fmt.Sprint("v", i+1), int64(1))
			}
			f.change(b, change.Update, int64(many-1), "v0", int64(2))
			f.change(b, change.Update, int64(5), "other", int64(3))
			f.change(b, change.Create, int64(-1), "v6", int64(3)) // a new row with a lesser key takes what row 5 had
		})
		require.Equal(t, fmt.Sprint(many-1), s.Text(t, fmt.Sprintf("select count(*) from items where v = concat('v', (id + 1) %% %d)", many)))
		require.Equal(t, "-1 v6 3; 5 other 3", mysqlRows(t, s, "select * from items where n = 3 order by id"))
	})
}

func TestMySQLForeignKeysHoldWithinABatch(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		script(t, s, "create table parent(id bigint primary key); create table child(id bigint primary key, parent bigint, foreign key (parent) references parent(id))")
		w := open(t, mysqlUpsert(s), nil)
		parent := newFeed("parent", 1, required("id", schema.Int64))
		child := newFeed("child", 1, required("id", schema.Int64), fieldOf("parent", schema.Int64))
		write(t, w, func(b *sinks.Batch) {
			child.change(b, change.Create, int64(0), nil) // the child's table comes first
			for i := range many {
				parent.change(b, change.Create, int64(i))
				child.change(b, change.Create, int64(i), int64(i))
			}
		})
		write(t, w, func(b *sinks.Batch) {
			for i := range many {
				child.change(b, change.Delete, int64(i))
				parent.change(b, change.Delete, int64(i))
			}
		})
		require.Equal(t, "0 0", mysqlRows(t, s, "select (select count(*) from parent), (select count(*) from child)"))
	})
}

func TestMySQLCascadesKeepTheOrderOfTables(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		script(t, s, "create table parent(id bigint primary key); create table child(id bigint primary key, v text, parent bigint, foreign key (parent) references parent(id) on delete cascade)")
		script(t, s, "insert into parent values (1), (2); insert into child values (7, 'long', 1)")
		w := open(t, mysqlUpsert(s), nil)
		parent := newFeed("parent", 1, required("id", schema.Int64))
		child := newFeed("child", 1, required("id", schema.Int64), fieldOf("v", schema.String), fieldOf("parent", schema.Int64))
		write(t, w, func(b *sinks.Batch) {
			parent.change(b, change.Create, int64(3)) // the parent's table comes first
			child.change(b, change.Update, int64(7), unknown, int64(2))
			parent.change(b, change.Delete, int64(1)) // would take the child with it, and its long value
		})
		require.Equal(t, "7 long 2", mysqlRows(t, s, "select * from child"))
	})
}

func TestMySQLUnavailableValues(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		script(t, s, "create table items(id bigint primary key, v varchar(20) not null, n int)")
		var log bytes.Buffer
		w := open(t, mysqlUpsert(s), slog.New(slog.NewTextHandler(&log, nil)))
		f := items()
		write(t, w, func(b *sinks.Batch) {
			for i := range many {
				f.change(b, change.Create, int64(i), "long", int64(0))
			}
		})
		for range 2 { // I8, and an update that changes nothing is no missing row
			write(t, w, func(b *sinks.Batch) {
				for i := range many {
					f.change(b, change.Update, int64(i), unknown, int64(1))
				}
			})
		}
		require.Equal(t, fmt.Sprint(many), s.Text(t, "select count(*) from items where v = 'long' and n = 1"))
		require.NotContains(t, log.String(), "added")

		e := refused(t, w, func(b *sinks.Batch) { f.change(b, change.Update, int64(5000), unknown, int64(1)) })
		require.ErrorContains(t, e, "Field 'v' doesn't have a default value")
		script(t, s, "alter table items modify v varchar(20)")
		w = open(t, mysqlUpsert(s), slog.New(slog.NewTextHandler(&log, nil)))
		write(t, w, func(b *sinks.Batch) { f.change(b, change.Update, int64(5000), unknown, int64(1)) })
		require.Equal(t, "5000 NULL 1", mysqlRows(t, s, "select * from items where id = 5000"), "what is known is kept")
		require.Contains(t, log.String(), "rows were added without the columns")
	})
}

func TestMySQLKeyChangeTakesUnavailableValuesAlong(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		script(t, s, "create table items(id bigint primary key, v text, n int); insert into items values (1, 'long', 0), (5, 'other', 0)")
		w := open(t, mysqlUpsert(s), nil)
		f := items()
		for range 2 { // I8
			write(t, w, func(b *sinks.Batch) {
				f.change(b, change.Delete, int64(1)).Headers = []topic.Header{{Key: "__debezium.newkey", Value: []byte(`{"id":2}`)}}
				f.tombstone(b, int64(1))
				f.change(b, change.Create, int64(2), unknown, int64(1)).Headers = []topic.Header{{Key: "__debezium.oldkey", Value: []byte(`{"id":1}`)}}
			})
			require.Equal(t, "2 long 1; 5 other 0", mysqlRows(t, s, "select * from items order by 1"))
		}
	})
}

// A truncate is part of the transaction: a row that is refused behind it brings everything back.
func TestMySQLTruncate(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		w := open(t, mysqlUpsert(s), nil)
		f := items()
		write(t, w, func(b *sinks.Batch) {
			f.change(b, change.Truncate) // of a table that does not exist
			for i := range many {
				f.change(b, change.Create, int64(i), "old", int64(0))
			}
		})
		script(t, s, "alter table items modify v varchar(5)")
		w = open(t, mysqlUpsert(s), nil)
		write(t, w, func(b *sinks.Batch) { f.change(b, change.Update, int64(3), "old", int64(1)) }) // so that the table is known
		e := refused(t, w, func(b *sinks.Batch) {
			f.change(b, change.Truncate)
			f.change(b, change.Create, int64(0), "too long", int64(0))
		})
		require.Equal(t, 1, e.Index)
		require.Equal(t, fmt.Sprint(many), s.Text(t, "select count(*) from items"))
		write(t, w, func(b *sinks.Batch) {
			f.change(b, change.Update, int64(7), "void", int64(1))
			f.change(b, change.Truncate)
			f.change(b, change.Create, int64(1), "new", int64(2))
			f.change(b, change.Create, int64(2), "new", int64(2))
			f.change(b, change.Delete, int64(1))
		})
		require.Equal(t, "2 new 2", mysqlRows(t, s, "select * from items"))
	})
}

func TestMySQLInsertAndUpdateMode(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		w := open(t, mysqlUpsert(s, "insert.mode", "insert"), nil)
		f := items()
		write(t, w, func(b *sinks.Batch) {
			for i := range many {
				f.change(b, change.Create, int64(i), "a", int64(0))
			}
			for i := range many {
				f.change(b, change.Delete, int64(i))
				f.tombstone(b, int64(i))
			}
			for i := range many {
				f.change(b, change.Create, int64(i), "b", int64(1))
			}
		})
		e := refused(t, w, func(b *sinks.Batch) {
			for i := range many {
				f.change(b, change.Create, int64(many+i), "c", int64(2))
			}
			f.change(b, change.Update, int64(1), "c", int64(2))
		})
		require.Equal(t, many, e.Index)
		require.ErrorContains(t, e, "Duplicate entry '1' for key")
		require.Equal(t, fmt.Sprint(many, " ", many), mysqlRows(t, s, "select count(*), sum(v = 'b') from items"), "nothing of the transaction is left")

		w = open(t, mysqlUpsert(s, "insert.mode", "update"), nil)
		write(t, w, func(b *sinks.Batch) {
			for i := range 2 * many {
				f.change(b, change.Update, int64(i), "new", int64(1))
			}
			f.change(b, change.Delete, int64(0))
			f.change(b, change.Create, int64(0), "again", int64(2)) // an update of a row that is gone
		})
		require.Equal(t, fmt.Sprint(many-1, " ", many-1), mysqlRows(t, s, "select count(*), sum(v = 'new') from items"))
	})
}

// Keys are told apart by their bytes, as in the records, whatever the server's collation.
func TestMySQLTextKeys(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		w := open(t, mysqlUpsert(s), nil)
		f := newFeed("words", 1, required("k", schema.String), fieldOf("v", schema.Int32))
		keys := []string{"a", "A", "a ", "á", "ß", "ss", "", `\`, "'", "emoji 🎉"}
		write(t, w, func(b *sinks.Batch) {
			for i, k := range keys {
				f.change(b, change.Create, k, int64(i))
			}
		})
		require.Equal(t, fmt.Sprint(len(keys)), s.Text(t, "select count(*) from words"))
		write(t, w, func(b *sinks.Batch) {
			for i, k := range keys[1:] {
				f.change(b, change.Update, k, int64(100+i))
			}
			f.change(b, change.Delete, "a")
		})
		require.Equal(t, fmt.Sprint(len(keys)-1, " 100"), mysqlRows(t, s, "select count(*), min(v) from words"))
	})
}

// Zero is a key as any other, also where the column would count by itself.
func TestMySQLAutoIncrement(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		script(t, s, "create table items(id bigint auto_increment primary key, v text, n int, doubled int as (n * 2) stored)")
		f := newFeed("items", 1, required("id", schema.Int64), fieldOf("v", schema.String), fieldOf("n", schema.Int32), fieldOf("doubled", schema.Int32))
		write(t, open(t, mysqlUpsert(s), nil), func(b *sinks.Batch) { f.change(b, change.Create, int64(0), "zero", int64(4), int64(5)) })
		require.Equal(t, "0 zero 4 8", mysqlRows(t, s, "select * from items"))
	})
}

func TestMySQLNeedsAUniqueIndex(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		script(t, s, "create table items(id bigint, v text, n int)")
		f := items()
		b := newBatch()
		f.change(b, change.Create, int64(1), "v", int64(1))
		err := open(t, mysqlUpsert(s), nil).Write(t.Context(), b)
		require.ErrorContains(t, err, "no unique index on the key columns id: create a unique index on the key columns in the target")
		script(t, s, "create unique index i on items(id)")
		write(t, open(t, mysqlUpsert(s), nil), func(b *sinks.Batch) { f.change(b, change.Create, int64(1), "v", int64(1)) })
		require.Equal(t, "1", s.Text(t, "select count(*) from items"))
	})
}

// Names of columns have no case of their own in these databases, those of fields have.
func TestMySQLOddNames(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		f := newFeed("o.d`d", 2, required("I D`", schema.Int64), required("select", schema.String), fieldOf("ÄÖ?", schema.String))
		w := open(t, mysqlUpsert(s), nil)
		for range 2 {
			write(t, w, func(b *sinks.Batch) {
				for i := range many {
					f.change(b, change.Create, int64(i), "k", "v")
				}
				f.change(b, change.Update, int64(1), "k", unknown)
				f.change(b, change.Delete, int64(0), "k")
			})
		}
		require.Equal(t, fmt.Sprint(many-1), s.Text(t, "select count(*) from `o_d``d` where `ÄÖ?` = 'v'"))
		script(t, s, "create table items(ID bigint primary key, V text, n int)")
		g := items()
		write(t, w, func(b *sinks.Batch) { g.change(b, change.Create, int64(1), "v", int64(1)) })
		require.Equal(t, "1 v 1", mysqlRows(t, s, "select * from items"))
	})
}
