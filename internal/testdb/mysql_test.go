// SPDX-License-Identifier: Apache-2.0

package testdb_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/internal/mysqlserver"
	"freshet/internal/testdb"
)

// What the sink and the source rely on: a strict server with a whole row-based binary log, and databases apart.
func TestMySQLServers(t *testing.T) {
	for kind, server := range map[mysqlserver.Kind]func(testing.TB) *testdb.MySQLServer{
		mysqlserver.MySQL: testdb.MySQL, mysqlserver.MariaDB: testdb.MariaDB,
	} {
		t.Run(string(kind), func(t *testing.T) {
			s, other := server(t), server(t)
			require.NotEqual(t, s.Database, other.Database)
			require.NoError(t, s.Script(t, "create table t(id int primary key, v varchar(10)); insert into t values (1, 'a;b'), (2, null);"))
			require.Equal(t, [][]string{{"1", "a;b"}, {"2", "NULL"}}, s.Rows(t, "select * from t order by id"))
			require.Empty(t, other.Rows(t, "show tables"))
			require.Error(t, s.Script(t, "insert into t values (1, 'again')"))
			require.Equal(t, "ROW", s.Text(t, "select @@global.binlog_format"))
			require.Equal(t, "FULL", s.Text(t, "select @@global.binlog_row_metadata"))
		})
	}
}

func TestMySQLSurvivesAKill(t *testing.T) {
	s := testdb.NewMySQL(t, mysqlserver.MariaDB, map[string]string{"server-id": "7"})
	s.Exec(t, "create table t(id int primary key)")
	s.Exec(t, "insert into t values (1)")
	s.Kill(t)
	s.Start(t)
	require.Equal(t, "1", s.Text(t, "select count(*) from t"))
	require.Equal(t, "7", s.Text(t, "select @@global.server_id"))
}
