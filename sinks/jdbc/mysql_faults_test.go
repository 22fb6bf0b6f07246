// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/internal/mysqlserver"
	"freshet/internal/testdb"
	"freshet/schema"
	"freshet/sinks"
)

// failing writes a batch that must fail for another reason than its records.
func failing(t *testing.T, w sinks.Writer, fill func(b *sinks.Batch)) error {
	t.Helper()
	b := newBatch()
	fill(b)
	err := w.Write(t.Context(), b)
	require.Error(t, err)
	var e *sinks.RowError
	require.NotErrorAs(t, err, &e)
	return err
}

// TestMySQLOffsetsApplyEveryRecordOnce: rows without any key, inserted by a task that dies before and after commits, and in
// between, and each time goes on where the target says.
func TestMySQLOffsetsApplyEveryRecordOnce(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		r := rand.New(rand.NewPCG(seed, 0))
		f := newFeed("log", 0, fieldOf("n", schema.Int64))
		p := topic.Partition{Topic: "log"}
		const records = 2000
		properties := mysqlProperties(s, "insert.mode", "insert", "primary.key.mode", "none", "delete.enabled", "false",
			"schema.evolution", "basic", "offsets.table.name", "freshet_offsets")
		for crashes := 0; ; {
			w := open(t, properties, nil)
			positions, err := w.(sinks.Positioner).Positions(t.Context())
			require.NoError(t, err)
			at := positions[p]
			if at == records {
				require.NoError(t, w.Close(t.Context()))
				break
			}
			for crashed := false; !crashed && at < records; {
				b := newBatch()
				f.next = at
				for n := min(records-at, 1+r.Int64N(150)); n > 0; n-- {
					f.change(b, change.Create, f.next)
				}
				step := []string{"", "sink.commit.before", "sink.commit.after"}[r.IntN(3)]
				crashed = !survives(t, w, b, step, func() { breakMySQLWriters(s) })
				at = f.next
				if crashed {
					crashes++
				}
			}
			breakMySQLWriters(s)
			_ = w.Close(context.WithoutCancel(t.Context())) // its connection is gone
			require.Less(t, crashes, 1000)
		}
		require.Equal(t, fmt.Sprint(records, " ", records, " ", records-1), mysqlRows(t, s, "select count(*), count(distinct n), max(n) from log"))
		require.Equal(t, "connect-c log 0 2000", mysqlRows(t, s, "select * from freshet_offsets"))
	})
}

// TestMySQLOneWriterAtATime: the lock of a task is its own database's, not the server's.
func TestMySQLOneWriterAtATime(t *testing.T) {
	for name, server := range mysqlServers {
		t.Run(name, func(t *testing.T) {
			s, other := server(t), server(t)
			first := open(t, mysqlUpsert(s, "offsets.table.name", "freshet_offsets"), nil)
			require.NoError(t, open(t, mysqlUpsert(other, "offsets.table.name", "freshet_offsets"), nil).Close(t.Context()))
			opened := make(chan error, 1)
			go func() {
				second, err := tryOpen(t, mysqlUpsert(s, "offsets.table.name", "freshet_offsets"), nil)
				if err == nil {
					err = second.Close(t.Context())
				}
				opened <- err
			}()
			waiting := "select count(*) from information_schema.processlist where state = 'User lock' and db = database()"
			require.Eventually(t, func() bool { return s.Text(t, waiting) == "1" }, 10*time.Second, 10*time.Millisecond, "the second writer waits")
			select {
			case err := <-opened:
				t.Fatalf("two writers at once: %v", err)
			default:
			}
			require.NoError(t, first.Close(t.Context()))
			require.NoError(t, <-opened)
		})
	}
}

// A transaction that loses a deadlock is tried again as a whole, and the writer goes on.
func TestMySQLDeadlock(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		script(t, s, "create table items(id bigint primary key, v text, n int); create table weight(n int); insert into items values (1, 'a', 0), (2, 'b', 0)")
		w := open(t, mysqlUpsert(s), nil)
		f := items()
		write(t, w, func(b *sinks.Batch) { f.change(b, change.Update, int64(1), "known", int64(1)) })
		other := s.Connect(t)
		run := func(sql string) {
			_, err := other.ExecContext(t.Context(), sql)
			require.NoError(t, err)
		}
		run("start transaction")
		run("insert into weight with recursive g(n) as (select 1 union all select n + 1 from g where n < 900) select n from g") // the lighter one loses
		run("update items set n = 5 where id = 2")
		batch := newBatch()
		f.change(batch, change.Update, int64(1), "x", int64(9))
		f.change(batch, change.Update, int64(2), "y", int64(9))
		written := make(chan error, 1)
		go func() { written <- w.Write(t.Context(), batch) }()
		require.Eventually(t, func() bool {
			return s.Text(t, "select count(*) from information_schema.innodb_trx where trx_state = 'LOCK WAIT'") == "1"
		}, 10*time.Second, 10*time.Millisecond, "the writer waits")
		run("update items set n = 5 where id = 1")
		err := <-written
		require.ErrorContains(t, err, "Deadlock found")
		require.True(t, retriable(err))
		run("commit")
		require.NoError(t, w.Write(t.Context(), batch))
		require.Equal(t, "1 x 9; 2 y 9", mysqlRows(t, s, "select * from items order by id"))
	})
}

func TestMySQLLockTimeout(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		script(t, s, "create table items(id bigint primary key, v text, n int); insert into items values (1, 'a', 0)")
		w := open(t, mysqlUpsert(s, "connection.url", s.URL()+"?sessionVariables=innodb_lock_wait_timeout=1"), nil)
		other := s.Connect(t)
		_, err := other.ExecContext(t.Context(), "start transaction")
		require.NoError(t, err)
		_, err = other.ExecContext(t.Context(), "update items set n = 5")
		require.NoError(t, err)
		f := items()
		err = failing(t, w, func(b *sinks.Batch) { f.change(b, change.Update, int64(1), "x", int64(9)) })
		require.ErrorContains(t, err, "Lock wait timeout exceeded")
		require.True(t, retriable(err))
		require.Equal(t, "1 a 0", mysqlRows(t, s, "select * from items"))
	})
}

func TestMySQLReadOnlyServer(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		script(t, s, "create table items(id bigint primary key, v text, n int)")
		user := "w_" + s.Database[2:10]
		script(t, s, fmt.Sprintf("create user %s@'127.0.0.1' identified by 'Canary-4712'; grant all on %s.* to %s@'127.0.0.1'", user, s.Database, user))
		t.Cleanup(func() { script(t, s, "set global read_only = off; drop user "+user+"@'127.0.0.1'") })
		w := open(t, mysqlUpsert(s, "connection.username", user, "connection.password", "Canary-4712"), nil)
		f := items()
		one := func(b *sinks.Batch) { f.change(b, change.Create, int64(1), "v", int64(1)) }
		script(t, s, "set global read_only = on")
		err := failing(t, w, one)
		require.ErrorContains(t, err, "point connection.url at the primary")
		require.True(t, retriable(err))
		script(t, s, "set global read_only = off")
		write(t, w, one)

		_, err = tryOpen(t, mysqlUpsert(s, "connection.username", user, "connection.password", "Canary-wrong"), nil)
		require.ErrorContains(t, err, "Access denied for user '"+user+"'")
		require.ErrorContains(t, err, "check connection.username, connection.password")
		require.NotContains(t, err.Error(), "Canary")
		script(t, s, "revoke insert on "+s.Database+".* from "+user+"@'127.0.0.1'")
		w = open(t, mysqlUpsert(s, "connection.username", user, "connection.password", "Canary-4712"), nil)
		err = failing(t, w, one)
		require.ErrorContains(t, err, "grant the user of connection.username what the statement needs")
		require.False(t, retriable(err))
	})
}

func TestMySQLServerIsKilled(t *testing.T) {
	s := testdb.NewMySQL(t, mysqlserver.MariaDB, nil)
	w := open(t, mysqlUpsert(s), nil)
	f := items()
	one := func(b *sinks.Batch) { f.change(b, change.Create, int64(1), "v", int64(1)) }
	write(t, w, one)
	s.Kill(t)
	err := failing(t, w, one)
	require.True(t, retriable(err), "%v", err)
	_, err = tryOpen(t, mysqlUpsert(s), nil)
	require.ErrorContains(t, err, "connect to MariaDB at "+s.Address())
	require.True(t, retriable(err), "%v", err)
	s.Start(t)
	w = open(t, mysqlUpsert(s), nil)
	write(t, w, one)
	require.Equal(t, "1 v 1", mysqlRows(t, s, "select * from items"))
}

func TestMySQLTablesChangeUnderWay(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		w := open(t, mysqlUpsert(s), nil)
		f := items()
		one := func(b *sinks.Batch) { f.change(b, change.Create, int64(1), "v", int64(1)) }
		write(t, w, one)
		for _, gone := range []string{"drop table items", "alter table items drop column v"} {
			script(t, s, gone)
			err := failing(t, w, one)
			require.True(t, retriable(err), "the worker opens another writer: %v", err)
			w = open(t, mysqlUpsert(s), nil)
			write(t, w, one)
			require.Equal(t, "1 1 v", mysqlRows(t, s, "select id, n, v from items"))
		}
		// Another task adds a part of the columns that a new schema needs.
		script(t, s, "alter table items add r int")
		wider := newFeed("items", 1, required("id", schema.Int64), fieldOf("v", schema.String), fieldOf("n", schema.Int32), fieldOf("q", schema.Int32), fieldOf("r", schema.Int32))
		write(t, w, func(b *sinks.Batch) { wider.change(b, change.Create, int64(1), "v", int64(1), int64(2), int64(3)) })
		require.Equal(t, "1 1 2 3", mysqlRows(t, s, "select id, n, q, r from items"))
	})
}

func TestMySQLRowsThatTheServerRefuses(t *testing.T) {
	for _, c := range []struct {
		name, table string
		poison      []any
		cause, hint string
	}{
		{"check", "create table items(id bigint primary key, v text, n int, constraint positive check (n > 0))", []any{int64(7000), "v", int64(-1)}, "positive", "correct the row"},
		{
			"foreign key", "create table p(id int primary key); insert into p values (1); create table items(id bigint primary key, v text, n int, foreign key (n) references p(id))",
			[]any{int64(7000), "v", int64(2)},
			"foreign key constraint fails", "write the referenced table too",
		},
		{"trigger", "create table items(id bigint primary key, v varchar(9), n int); create trigger t before insert on items for each row if new.n = 3 then signal sqlstate '45000' set message_text = 'no three'; end if", []any{int64(7000), "v", int64(3)}, "no three", "correct the row"},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
				tables, trigger, _ := strings.Cut(c.table, "; create trigger")
				script(t, s, tables)
				if trigger != "" {
					s.Exec(t, "create trigger"+trigger)
				}
				w := open(t, mysqlUpsert(s), nil)
				f := items()
				e := refused(t, w, func(b *sinks.Batch) {
					for i := range many {
						f.change(b, change.Create, int64(i), "v", int64(1))
					}
					f.change(b, change.Create, c.poison...)
					f.change(b, change.Delete, int64(3))
				})
				require.Equal(t, many, e.Index)
				require.Equal(t, 0, e.Applied)
				require.ErrorContains(t, e, fmt.Sprintf("record items-0@%d (key id=7000): table \"items\": ", many))
				require.ErrorContains(t, e, c.cause)
				require.ErrorContains(t, e, c.hint)
				require.Equal(t, "0", s.Text(t, "select count(*) from items"))
			})
		})
	}
}

// What the server or the user sets for sessions does not change what values are.
func TestMySQLSessionsOfOtherModes(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		url := s.URL() + "?sessionVariables=sql_mode='NO_BACKSLASH_ESCAPES,ANSI_QUOTES',time_zone='%2B05:00'"
		w := open(t, mysqlUpsert(s, "connection.url", url), nil)
		f := newFeed("items", 1, required("id", schema.Int64), fieldOf("v", schema.String), schema.Field{Name: "at", Type: named(schema.String, schema.ZonedTimestamp)})
		write(t, w, func(b *sinks.Batch) { f.change(b, change.Create, int64(1), `a\'b"`, "2024-07-01T12:00:00Z") })
		require.Equal(t, `1 a\'b" 2024-07-01 12:00:00.000000`, mysqlRows(t, s, "select * from items"))
	})
}

func TestMySQLRowsLargerThanAPacket(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		before := s.Text(t, "select @@global.max_allowed_packet")
		script(t, s, "set global max_allowed_packet = 1048576")
		t.Cleanup(func() { script(t, s, "set global max_allowed_packet = "+before) })
		w := open(t, mysqlUpsert(s), nil)
		f := items()
		large := strings.Repeat("x", 900_000)
		write(t, w, func(b *sinks.Batch) {
			for i := range 5 {
				f.change(b, change.Create, int64(i), large, int64(1))
			}
		})
		write(t, w, func(b *sinks.Batch) { // none of these texts is too long by itself
			for i := range 5 {
				for k := range 10 {
					f.change(b, change.Create, int64(100+20*i+k), large[:20_000], int64(1))
				}
				f.change(b, change.Create, int64(100+20*i+10), large, int64(1))
				f.change(b, change.Update, int64(100+20*i), unknown, int64(2))
				f.change(b, change.Update, int64(i), unknown, int64(2))
			}
		})
		require.Equal(t, "60 10000000 5", mysqlRows(t, s, "select count(*), sum(length(v)), sum(n = 2 and length(v) > 20000) from items"))
		e := refused(t, w, func(b *sinks.Batch) {
			f.change(b, change.Create, int64(6), "small", int64(1))
			f.change(b, change.Create, int64(7), large+large, int64(1))
		})
		require.Equal(t, 1, e.Index)
		require.ErrorContains(t, e, "more than the server's max_allowed_packet of 1048576: raise it")
		require.Equal(t, "60", s.Text(t, "select count(*) from items"))
	})
}

func TestMySQLWithoutADatabase(t *testing.T) {
	eachMySQL(t, func(t *testing.T, s *testdb.MySQLServer) {
		url, _, _ := strings.Cut(s.URL(), "/"+s.Database)
		w := open(t, mysqlUpsert(s, "connection.url", url+"/", "collection.name.format", s.Database+".items"), nil)
		f := items()
		write(t, w, func(b *sinks.Batch) { f.change(b, change.Create, int64(1), "v", int64(1)) })
		require.Equal(t, "1 v 1", mysqlRows(t, s, "select * from items"))
		_, err := tryOpen(t, mysqlUpsert(s, "connection.url", url+"/nosuch"), nil)
		require.ErrorContains(t, err, "Unknown database 'nosuch'")
		require.ErrorContains(t, err, "create the database or correct connection.url")
	})
}
