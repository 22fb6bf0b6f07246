// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/internal/testdb"
	"freshet/schema"
	"freshet/sinks"
	"freshet/sinks/jdbc"
)

// mysqlServers are both kinds of servers that the dialect knows.
var mysqlServers = map[string]func(testing.TB) *testdb.MySQLServer{"MySQL": testdb.MySQL, "MariaDB": testdb.MariaDB}

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

// TestMySQLRowsOfTheirOwnGoOverSeveralConnections: others do not.
func TestMySQLRowsOfTheirOwnGoOverSeveralConnections(t *testing.T) {
	defer jdbc.SetLaneRows(1)()
	for name, server := range mysqlServers {
		for extra, want := range map[string]string{
			"":                                 "4",
			"alter table items add unique (n)": "1",
			"alter table items add label varchar(9) collate utf8mb4_general_ci, add index (label)": "1",
			"alter table items add label varchar(9) collate utf8mb4_bin, add index (label)":        "4",
			"create table child(id bigint, foreign key (id) references items(id))":                 "1",
			"create trigger g before insert on items for each row set new.n = coalesce(new.n, 0)":  "1",
		} {
			t.Run(name+" "+extra, func(t *testing.T) {
				s := server(t)
				s.Exec(t, "create table items(id bigint primary key, n bigint, writer bigint default (connection_id()))")
				if extra != "" {
					s.Exec(t, extra)
				}
				w := open(t, mysqlProperties(s, "collection.name.format", "items", "write.connections", "4"), nil)
				f := newFeed("items", 1, fieldOf("id", schema.Int64), fieldOf("n", schema.Int64))
				write(t, w, func(b *sinks.Batch) {
					for i := range int64(400) {
						f.change(b, change.Create, i, i)
					}
				})
				require.Equal(t, want, s.Rows(t, "select count(distinct writer) from items")[0][0])
				require.NoError(t, w.Close(t.Context()))
			})
		}
	}
}
