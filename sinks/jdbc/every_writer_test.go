// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/sinks"
)

// An upsert goes by any unique index on some servers: without the order of the source, a row whose value has moved would be lost.
func TestUniqueValuesMayMoveBetweenRows(t *testing.T) {
	eachServerAndSize(t, func(t *testing.T, s server, n int) {
		s.Exec(t, "create table items(id bigint primary key, v varchar(20) unique, n int)")
		w := open(t, s.upsert(), nil)
		f := items()
		write(t, w, func(b *sinks.Batch) {
			for i := range n {
				f.change(b, change.Create, int64(i), fmt.Sprint("v", i), int64(0))
			}
		})
		// Each row takes the value that the row before gives up in the same batch. By key, the other way round, or with only
		// the last change of each key, the values would collide.
		write(t, w, func(b *sinks.Batch) {
			f.change(b, change.Update, int64(n-1), "free", int64(1))
			for i := n - 2; i >= 0; i-- {
				f.change(b, change.Update, int64(i), fmt.Sprint("v", i+1), int64(1))
			}
			f.change(b, change.Update, int64(n-1), "v0", int64(2))
			f.change(b, change.Update, int64(1), "other", int64(3))
			f.change(b, change.Create, int64(-1), "v2", int64(3)) // a new row with a lesser key takes what row 1 had
		})
		require.Equal(t, fmt.Sprint(n-1), s.Text(t, fmt.Sprintf("select count(*) from items where v = concat('v', (id + 1) %% %d)", n)))
		require.Equal(t, "-1 v2 3; 1 other 3", rows(t, s, "select * from items where n = 3 order by id"))
	})
}

func TestForeignKeysHoldWithinABatch(t *testing.T) {
	eachServerAndSize(t, func(t *testing.T, s server, n int) {
		script(t, s, "create table parent(id bigint primary key); create table child(id bigint primary key, parent bigint, foreign key (parent) references parent(id))")
		w := open(t, s.upsert(), nil)
		parent := newFeed("parent", 1, required("id", schema.Int64))
		child := newFeed("child", 1, required("id", schema.Int64), fieldOf("parent", schema.Int64))
		write(t, w, func(b *sinks.Batch) {
			child.change(b, change.Create, int64(0), nil) // the child's table comes first
			for i := range n {
				parent.change(b, change.Create, int64(i))
				child.change(b, change.Create, int64(i), int64(i))
			}
		})
		write(t, w, func(b *sinks.Batch) {
			for i := range n {
				child.change(b, change.Delete, int64(i))
				parent.change(b, change.Delete, int64(i))
			}
		})
		require.Equal(t, "0 0", rows(t, s, "select (select count(*) from parent), (select count(*) from child)"))
	})
}

func TestCascadesKeepTheOrderOfTables(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		script(t, s, "create table parent(id bigint primary key); create table child(id bigint primary key, v text, parent bigint, foreign key (parent) references parent(id) on delete cascade)")
		script(t, s, "insert into parent values (1), (2); insert into child values (7, 'long', 1)")
		w := open(t, s.upsert(), nil)
		parent := newFeed("parent", 1, required("id", schema.Int64))
		child := newFeed("child", 1, required("id", schema.Int64), fieldOf("v", schema.String), fieldOf("parent", schema.Int64))
		write(t, w, func(b *sinks.Batch) {
			parent.change(b, change.Create, int64(3)) // the parent's table comes first
			child.change(b, change.Update, int64(7), unknown, int64(2))
			parent.change(b, change.Delete, int64(1)) // would take the child with it, and its long value
		})
		require.Equal(t, "7 long 2", rows(t, s, "select * from child"))
	})
}

func TestUnavailableValuesLeaveColumnsUnchanged(t *testing.T) {
	eachServerAndSize(t, func(t *testing.T, s server, n int) {
		s.Exec(t, "create table items(id bigint primary key, v varchar(20) not null, n int)")
		var log bytes.Buffer
		w := open(t, s.upsert(), slog.New(slog.NewTextHandler(&log, nil)))
		f := items()
		write(t, w, func(b *sinks.Batch) {
			for i := range n {
				f.change(b, change.Create, int64(i), "long", int64(0))
			}
		})
		for range 2 { // I8, and an update that changes nothing is no missing row
			write(t, w, func(b *sinks.Batch) {
				for i := range n {
					f.change(b, change.Update, int64(i), unknown, int64(1))
				}
			})
		}
		require.Equal(t, fmt.Sprint(n), s.Text(t, "select count(*) from items where v = 'long' and n = 1"))
		require.NotContains(t, log.String(), "added")
		write(t, w, func(b *sinks.Batch) {
			f.change(b, change.Update, int64(0), "short", int64(2))
			f.change(b, change.Update, int64(0), unknown, int64(3)) // takes v from the change before
			f.change(b, change.Update, int64(1), unknown, int64(3))
		})
		require.Equal(t, "0 short 3; 1 long 3", rows(t, s, "select * from items where id < 2 order by 1"))
	})
}

func TestUnavailableValuesOfAMissingRow(t *testing.T) {
	eachServerAndSize(t, func(t *testing.T, s server, n int) {
		script(t, s, "create table items(id bigint primary key, v text, n int); create table strict(id bigint primary key, v varchar(20) not null, n int)")
		var log bytes.Buffer
		w := open(t, s.upsert(), slog.New(slog.NewTextHandler(&log, nil)))
		missing := func(f *feed) func(b *sinks.Batch) {
			return func(b *sinks.Batch) {
				for i := range n {
					f.change(b, change.Update, int64(i), unknown, int64(1))
				}
			}
		}
		write(t, w, missing(items()))
		require.Equal(t, fmt.Sprint(n), s.Text(t, "select count(*) from items where v is null and n = 1"), "what is known is kept")
		require.Contains(t, log.String(), "rows were added without the columns")
		e := refused(t, w, missing(newFeed("strict", 1, items().row.Fields...)))
		require.Equal(t, 0, e.Index)
		require.ErrorContains(t, e, s.missing)
	})
}

func TestAKeyChangeTakesUnavailableValuesAlong(t *testing.T) {
	for _, split := range []bool{false, true} {
		t.Run(fmt.Sprint("split ", split), func(t *testing.T) {
			eachServer(t, func(t *testing.T, s server) {
				script(t, s, "create table items(id bigint primary key, v text, n int); insert into items values (1, 'long', 0), (5, 'other', 0)")
				w := open(t, s.upsert(), nil)
				f := items()
				from := func(b *sinks.Batch) {
					f.change(b, change.Delete, int64(1)).Headers = []topic.Header{{Key: "__debezium.newkey", Value: []byte(`{"id":2}`)}}
					f.tombstone(b, int64(1))
				}
				to := func(b *sinks.Batch) {
					f.change(b, change.Create, int64(2), unknown, int64(1)).Headers = []topic.Header{{Key: "__debezium.oldkey", Value: []byte(`{"id":1}`)}}
				}
				for range 2 { // I8
					if split {
						write(t, w, from)
						write(t, w, to)
					} else {
						write(t, w, func(b *sinks.Batch) { from(b); to(b) })
					}
					require.Equal(t, "2 long 1; 5 other 0", rows(t, s, "select * from items order by 1"))
				}
			})
		})
	}
}

func TestTruncateVoidsWhatCameBefore(t *testing.T) {
	eachServerAndSize(t, func(t *testing.T, s server, n int) {
		w := open(t, s.upsert(), nil)
		f := items()
		write(t, w, func(b *sinks.Batch) {
			f.change(b, change.Truncate) // of a table that does not exist
			for i := range n {
				f.change(b, change.Create, int64(i), "old", int64(0))
			}
		})
		write(t, w, func(b *sinks.Batch) {
			for i := range n {
				f.change(b, change.Update, int64(i), "void", int64(1))
			}
			f.change(b, change.Truncate)
			for i := range n - 1 {
				f.change(b, change.Create, int64(i), "new", int64(2))
			}
			f.change(b, change.Delete, int64(0))
		})
		require.Equal(t, fmt.Sprint(n-2), s.Text(t, "select count(*) from items where v = 'new'"))
		require.Equal(t, "0", s.Text(t, "select count(*) from items where v <> 'new'"))
	})
}

// A truncate is part of the transaction: a row that is refused behind it brings everything back.
func TestTruncateIsRolledBack(t *testing.T) {
	eachServerAndSize(t, func(t *testing.T, s server, n int) {
		s.Exec(t, "create table items(id bigint primary key, v varchar(5), n int)")
		w := open(t, s.upsert(), nil)
		f := items()
		write(t, w, func(b *sinks.Batch) {
			for i := range n {
				f.change(b, change.Create, int64(i), "old", int64(0))
			}
		})
		e := refused(t, w, func(b *sinks.Batch) {
			f.change(b, change.Truncate)
			f.change(b, change.Create, int64(0), "too long", int64(0))
		})
		require.Equal(t, 1, e.Index)
		require.Equal(t, fmt.Sprint(n), s.Text(t, "select count(*) from items where v = 'old'"))
	})
}

func TestInsertModeKeepsEveryRecordInOrder(t *testing.T) {
	eachServerAndSize(t, func(t *testing.T, s server, n int) {
		w := open(t, s.upsert("insert.mode", "insert"), nil)
		f := items()
		write(t, w, func(b *sinks.Batch) {
			for i := range n {
				f.change(b, change.Create, int64(i), "a", int64(0))
			}
			for i := range n {
				f.change(b, change.Delete, int64(i))
				f.tombstone(b, int64(i))
			}
			for i := range n {
				f.change(b, change.Create, int64(i), "b", int64(1))
			}
		})
		require.Equal(t, fmt.Sprint(n), s.Text(t, "select count(*) from items where v = 'b'"))
		e := refused(t, w, func(b *sinks.Batch) {
			for i := range n {
				f.change(b, change.Create, int64(n+i), "c", int64(2))
			}
			f.change(b, change.Update, int64(1), "c", int64(2))
		})
		require.Equal(t, n, e.Index)
		require.ErrorContains(t, e, s.duplicate)
		require.Equal(t, "0", s.Text(t, "select count(*) from items where v = 'c'"), "nothing of the transaction is left")
	})
}

func TestUpdateModeChangesOnlyWhatIsThere(t *testing.T) {
	eachServerAndSize(t, func(t *testing.T, s server, n int) {
		f := items()
		write(t, open(t, s.upsert(), nil), func(b *sinks.Batch) {
			for i := range n {
				f.change(b, change.Create, int64(i), "old", int64(0))
			}
		})
		w := open(t, s.upsert("insert.mode", "update"), nil)
		write(t, w, func(b *sinks.Batch) {
			for i := range 2 * n {
				f.change(b, change.Update, int64(i), "new", int64(1))
			}
			f.change(b, change.Delete, int64(0))
			f.change(b, change.Create, int64(0), "again", int64(2)) // an update of a row that is gone
		})
		require.Equal(t, fmt.Sprint(n-1, " ", n-1), rows(t, s, "select count(*), sum(case when v = 'new' then 1 else 0 end) from items"))
	})
}

// A table that another one has dropped or changed is planned anew by the next writer.
func TestTablesChangeUnderWay(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		w := open(t, s.upsert(), nil)
		f := items()
		one := func(b *sinks.Batch) { f.change(b, change.Create, int64(1), "v", int64(1)) }
		write(t, w, one)
		for _, gone := range []string{"drop table items", "alter table items drop column v"} {
			s.Exec(t, gone)
			err := failing(t, w, one)
			require.True(t, retriable(err), "the worker opens another writer: %v", err)
			w = open(t, s.upsert(), nil)
			write(t, w, one)
			require.Equal(t, "1 1 v", rows(t, s, "select id, n, v from items"))
		}
		// Another task adds a part of the columns that a new schema needs.
		s.Exec(t, "alter table items add r int")
		wider := newFeed("items", 1, required("id", schema.Int64), fieldOf("v", schema.String), fieldOf("n", schema.Int32), fieldOf("q", schema.Int32), fieldOf("r", schema.Int32))
		write(t, w, func(b *sinks.Batch) { wider.change(b, change.Create, int64(1), "v", int64(1), int64(2), int64(3)) })
		require.Equal(t, "1 1 2 3", rows(t, s, "select id, n, q, r from items"))
	})
}

// TestTargetThatIsAway: where nobody answers the worker tries again soon, where the server refuses it waits longer.
func TestTargetThatIsAway(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	eachServer(t, func(t *testing.T, s server) {
		away := func(url string) bool {
			t.Helper()
			_, err := tryOpen(t, s.upsert("connection.url", url, "connection.username", "freshet", "connection.password", "p"), nil)
			require.Error(t, err)
			var a interface{ Away() bool }
			return errors.As(err, &a) && a.Away() && retriable(err)
		}
		scheme := map[string]string{"PostgreSQL": "postgresql", "MySQL": "mysql", "MariaDB": "mariadb"}[s.kind]
		require.True(t, away("jdbc:"+scheme+"://"+l.Addr().String()+"/x"))
		require.True(t, away("jdbc:"+scheme+"://nosuch.invalid/x"))
		require.False(t, away(s.urlOf("nosuch")))
	})
}

// refusal is a record that a table refuses, what its error says, and the next step.
type refusal struct {
	name, table string
	poison      []any
	cause, hint string
}

// check writes rows around the poison; all are refused for it.
func (c refusal) check(t *testing.T, s server, n int) {
	t.Helper()
	tables, trigger, _ := strings.Cut(c.table, "; create trigger")
	script(t, s, tables)
	if trigger != "" {
		s.Exec(t, "create trigger"+trigger)
	}
	w := open(t, s.upsert(), nil)
	f := items()
	e := refused(t, w, func(b *sinks.Batch) {
		for i := range n {
			f.change(b, change.Create, int64(i), "v", int64(1))
		}
		f.change(b, change.Create, c.poison...)
		f.change(b, change.Create, int64(n), "v", int64(1))
	})
	require.Equal(t, n, e.Index)
	require.Equal(t, 0, e.Applied)
	require.ErrorContains(t, e, fmt.Sprintf("record items-0@%d (key id=7000): table \"items\": ", n))
	require.ErrorContains(t, e, c.cause)
	require.ErrorContains(t, e, c.hint)
	require.Equal(t, "0", s.Text(t, "select count(*) from items"))
}
