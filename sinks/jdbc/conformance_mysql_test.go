// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/internal/testdb"
	"freshet/sinks"
	"freshet/sinks/sinktest"
)

// mysqlServers are both kinds of servers that the dialect knows.
var mysqlServers = map[string]func(testing.TB) *testdb.MySQLServer{"MySQL": testdb.MySQL, "MariaDB": testdb.MariaDB}

// TestMySQLConformance runs the suite with and without offsets in the target, and with tables whose changes must keep their
// order.
func TestMySQLConformance(t *testing.T) {
	for name, server := range mysqlServers {
		for _, c := range []struct{ name, extra, offsets string }{
			{name: "plain"},
			{name: "offsets", offsets: "freshet_offsets"},
			{name: "another unique index", extra: "alter table items add unique (n)"},
			{name: "cascading reference", extra: "create table child(id bigint, foreign key (id) references items(id) on delete cascade)", offsets: "offs"},
		} {
			t.Run(name+" "+c.name, func(t *testing.T) {
				sinktest.Run(t, func(t *testing.T) sinktest.Target {
					s := server(t)
					s.Exec(t, "create table items(id bigint primary key, v varchar(60), n int)")
					if c.extra != "" {
						s.Exec(t, c.extra)
					}
					return mysqlTarget(s, c.offsets)
				})
			})
		}
	}
}

func mysqlTarget(s *testdb.MySQLServer, offsets string) sinktest.Target {
	return sinktest.Target{
		Open: func(t testing.TB) sinks.Writer {
			return open(t, mysqlProperties(s, "collection.name.format", "items", "offsets.table.name", offsets), nil)
		},
		Rows: func(t testing.TB) map[int64]string {
			rows := map[int64]string{}
			for _, r := range s.Rows(t, "select id, coalesce(v, '"+sinktest.Null+"') from items") {
				id, err := strconv.ParseInt(r[0], 10, 64)
				require.NoError(t, err)
				rows[id] = r[1]
			}
			return rows
		},
		Break:  func() { breakMySQLWriters(s) },
		Poison: strings.Repeat("too long ", 10),
	}
}

// mysqlProperties are those of an upsert by record key with deletes, and pairs beyond.
func mysqlProperties(s *testdb.MySQLServer, pairs ...string) map[string]string {
	p := map[string]string{
		"connection.url": s.URL(), "connection.username": s.User, "connection.password": s.Password,
		"insert.mode": "upsert", "primary.key.mode": "record_key", "delete.enabled": "true",
	}
	for i := 0; i < len(pairs); i += 2 {
		p[pairs[i]] = pairs[i+1]
	}
	return p
}

// breakMySQLWriters ends the sessions in the test's database, and waits until they are gone.
func breakMySQLWriters(s *testdb.MySQLServer) {
	const others = "select id from information_schema.processlist where db = database() and id <> connection_id()"
	var t quiet
	for {
		sessions := s.Rows(&t, others)
		if len(sessions) == 0 {
			return
		}
		for _, id := range sessions {
			_ = s.Script(&t, "kill "+id[0]) // it may be gone already
		}
		<-time.After(time.Millisecond)
	}
}
