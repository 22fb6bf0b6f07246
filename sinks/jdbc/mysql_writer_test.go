// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
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
		require.Equal(t, fmt.Sprint(len(keys)-1, " 100"), rows(t, s, "select count(*), min(v) from words"))
	})
}

// Zero is a key as any other, also where the column would count by itself.
func TestMySQLAutoIncrement(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		script(t, s, "create table items(id bigint auto_increment primary key, v text, n int, doubled int as (n * 2) stored)")
		f := newFeed("items", 1, required("id", schema.Int64), fieldOf("v", schema.String), fieldOf("n", schema.Int32), fieldOf("doubled", schema.Int32))
		write(t, open(t, mysqlUpsert(s), nil), func(b *sinks.Batch) { f.change(b, change.Create, int64(0), "zero", int64(4), int64(5)) })
		require.Equal(t, "0 zero 4 8", rows(t, s, "select * from items"))
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
		require.Equal(t, "1 v 1", rows(t, s, "select * from items"))
	})
}
