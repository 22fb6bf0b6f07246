// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/internal/testdb"
)

// TestLoginFaultsOfSource: a source that lets us in no more does not lose what is written meanwhile.
func TestLoginFaultsOfSource(t *testing.T) {
	t.Parallel()
	source, target := testdb.Postgres(t), testdb.Postgres(t)
	role := login(t, "right", source)
	source.Exec(t, itemsDDL+"insert into items values (1, 0, 'snapshot')")
	good := properties{"database.user": role, "database.password": "right"}
	s := pair(t, source, target)
	s.connectors[sourceName] = s.connectors[sourceName].with(good)
	w := s.start(t)
	equal(t, source, target)
	n := 1

	for _, c := range []struct {
		name  string
		wrong properties
		state connect.State
		words []string
	}{
		{"password", properties{"database.password": "wrong"}, connect.Failed, []string{"database.password", role, "28P01"}},
		{"user", properties{"database.user": "nobody_here"}, connect.Failed, []string{"database.user", "nobody_here"}},
		{"database", properties{"database.dbname": "no_such_db"}, connect.Failed, []string{"database.dbname", "no_such_db", "does not exist"}},
		// A host may come back, so these are tried again.
		{"host", properties{"database.hostname": "db..example"}, connect.Restarting, []string{"database.hostname", "db..example"}},
		{"port", properties{"database.port": closedPort(t)}, connect.Restarting, []string{"connection refused", "check that the hostname and port are correct"}},
	} {
		// Who asks by REST is told at once, and the connector goes on as it was.
		status, answer := w.ask(t, "PATCH", "/connectors/"+sourceName+"/config", c.wrong)
		require.Equal(t, 400, status, answer)
		requireWords(t, answer, "Error while validating connector config", "next step")
		require.NotContains(t, answer, "wrong", "the password of case %s", c.name)
		w.stop(t)

		// A file's connector starts all the same: the fault may have gone by the next attempt, or is told by the state.
		right := s.connectors[sourceName]
		s.connectors[sourceName] = right.with(c.wrong)
		w = s.start(t)
		trace := w.await(t, sourceName, c.state)
		requireWords(t, trace, c.words...)
		require.NotContains(t, trace, "wrong", "the password of case %s", c.name)
		n++
		source.Exec(t, "insert into items values ($1, 0, $2); ", n, c.name)
		w.stop(t)
		s.connectors[sourceName] = right
		w = s.start(t)
		equal(t, source, target)
	}
	require.Len(t, w.history(t), n, "every row is in the topic")
	w.stop(t)
}

// TestLoginFaultsOfTarget: the same at the other end.
func TestLoginFaultsOfTarget(t *testing.T) {
	t.Parallel()
	source, target := testdb.Postgres(t), testdb.Postgres(t)
	role := login(t, "right", target)
	source.Exec(t, itemsDDL+"insert into items values (1, 0, 'snapshot')")
	good := properties{"connection.username": role, "connection.password": "right", "connection.url": jdbcURL(target)}
	s := pair(t, source, target)
	s.connectors[sinkName] = s.connectors[sinkName].with(good)
	w := s.start(t)
	equal(t, source, target)
	n := 1

	address := net.JoinHostPort(target.Host, strconv.Itoa(target.Port))
	for _, c := range []struct {
		name  string
		wrong properties
		state connect.State
		words []string
	}{
		{"password", properties{"connection.password": "wrong"}, connect.Failed, []string{"connection.password", role, address}},
		{"user", properties{"connection.username": "nobody_here"}, connect.Failed, []string{"connection.username", "nobody_here"}},
		{"database", properties{"connection.url": strings.Replace(jdbcURL(target), target.Database, "no_such_db", 1)}, connect.Failed, []string{"connection.url", "no_such_db"}},
		{"host", properties{"connection.url": "jdbc:postgresql://db..example/x"}, connect.Restarting, []string{"connection.url", "db..example"}},
		{"port", properties{"connection.url": "jdbc:postgresql://127.0.0.1:" + closedPort(t) + "/x"}, connect.Restarting, []string{"connection.url", "connection refused"}},
	} {
		w.change(t, sinkName, c.wrong)
		trace := w.await(t, sinkName, c.state)
		requireWords(t, trace, c.words...)
		require.NotContains(t, trace, "wrong", "the password of case %s", c.name)
		n++
		source.Exec(t, "insert into items values ($1, 0, $2); ", n, c.name)
		w.change(t, sinkName, good)
		w.await(t, sinkName, connect.Running)
		equal(t, source, target)
	}
	w.stop(t)
}

// login makes a role of the test's own that may do everything, with a password, and returns its name. The databases are
// those that it will own something in, all of one server.
func login(t *testing.T, password string, databases ...*testdb.Server) string {
	t.Helper()
	role := "r_" + databases[0].Database
	databases[0].Exec(t, `create role "`+role+`" login superuser password '`+password+`'`)
	t.Cleanup(func() {
		for _, s := range databases {
			s.Exec(t, `drop owned by "`+role+`" cascade`)
		}
		databases[0].Exec(t, `drop role "`+role+`"`)
	})
	return role
}

// closedPort is a port that nobody listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// listening is an address that the test itself listens on.
func listening(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}
