// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/internal/mysqlserver"
	"freshet/internal/testdb"
	"freshet/schema"
	"freshet/sinks"
)

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
		require.Equal(t, "1 x 9; 2 y 9", rows(t, s, "select * from items order by id"))
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
		require.Equal(t, "1 a 0", rows(t, s, "select * from items"))
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
	require.Equal(t, "1 v 1", rows(t, s, "select * from items"))
}

func TestMySQLRowsThatTheServerRefuses(t *testing.T) {
	for _, c := range []refusal{
		{"check", "create table items(id bigint primary key, v text, n int, constraint positive check (n > 0))", []any{int64(7000), "v", int64(-1)}, "positive", "correct the row"},
		{
			"foreign key", "create table p(id int primary key); insert into p values (1); create table items(id bigint primary key, v text, n int, foreign key (n) references p(id))",
			[]any{int64(7000), "v", int64(2)},
			"foreign key constraint fails", "write the referenced table too",
		},
		{"trigger", "create table items(id bigint primary key, v varchar(9), n int); create trigger t before insert on items for each row if new.n = 3 then signal sqlstate '45000' set message_text = 'no three'; end if", []any{int64(7000), "v", int64(3)}, "no three", "correct the row"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for kind := range mysqlServers {
				t.Run(kind, func(t *testing.T) { c.check(t, servers[kind](t), many) })
			}
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
		require.Equal(t, `1 a\'b" 2024-07-01 12:00:00.000000`, rows(t, s, "select * from items"))
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
		require.Equal(t, "60 10000000 5", rows(t, s, "select count(*), sum(length(v)), sum(n = 2 and length(v) > 20000) from items"))
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
		require.Equal(t, "1 v 1", rows(t, s, "select * from items"))
		_, err := tryOpen(t, mysqlUpsert(s, "connection.url", url+"/nosuch"), nil)
		require.ErrorContains(t, err, "Unknown database 'nosuch'")
		require.ErrorContains(t, err, "create the database or correct connection.url")
	})
}
