// SPDX-License-Identifier: Apache-2.0

package testdb

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"freshet/internal/mysqlserver"
)

// MySQLServer is a MySQL or MariaDB and a database on it that is the test's own.
type MySQLServer struct {
	Kind     mysqlserver.Kind
	Host     string
	Port     int
	Database string
	User     string
	Password string

	server *mysqlserver.Server // nil for a server named by the environment
}

// sharedMySQL are the servers of this test binary, each started by the first test that asks. They end with the process.
var sharedMySQL = map[mysqlserver.Kind]func() (*MySQLServer, error){
	mysqlserver.MySQL:   sync.OnceValues(func() (*MySQLServer, error) { return sharedOf(mysqlserver.MySQL) }),
	mysqlserver.MariaDB: sync.OnceValues(func() (*MySQLServer, error) { return sharedOf(mysqlserver.MariaDB) }),
}

// MySQL returns the shared MySQL with a new database for this test, dropped when the test ends.
// FRESHET_TEST_MYSQL_DSN, mysql://user:password@host:port, names a server to use instead.
func MySQL(t testing.TB) *MySQLServer {
	t.Helper()
	return mysqlOf(t, mysqlserver.MySQL)
}

// MariaDB is MySQL's sibling; FRESHET_TEST_MARIADB_DSN names a server to use instead.
func MariaDB(t testing.TB) *MySQLServer {
	t.Helper()
	return mysqlOf(t, mysqlserver.MariaDB)
}

func mysqlOf(t testing.TB, k mysqlserver.Kind) *MySQLServer {
	t.Helper()
	s, err := sharedMySQL[k]()
	if err != nil {
		missing(t, string(k), err)
	}
	mine := *s
	mine.newDatabase(t)
	return &mine
}

// NewMySQL starts a server for this test alone, which may be killed and started again.
func NewMySQL(t testing.TB, k mysqlserver.Kind, settings map[string]string) *MySQLServer {
	t.Helper()
	s, err := startMySQL(k, settings)
	if err != nil {
		missing(t, string(k), err)
	}
	t.Cleanup(func() {
		if err := s.server.Close(); err != nil {
			t.Errorf("close the server: %v", err)
		}
	})
	s.Database = mysqlserver.Database
	return s
}

func sharedOf(k mysqlserver.Kind) (*MySQLServer, error) {
	env := "FRESHET_TEST_" + strings.ToUpper(string(k)) + "_DSN"
	dsn := os.Getenv(env)
	if dsn == "" {
		return startMySQL(k, nil)
	}
	s, err := parseDSN(dsn)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", env, err)
	}
	return &MySQLServer{Kind: k, Host: s.Host, Port: s.Port, User: s.User, Password: s.Password}, nil
}

func startMySQL(k mysqlserver.Kind, settings map[string]string) (*MySQLServer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), findTimeout)
	defer cancel()
	p, err := mysqlserver.Find(ctx, k, nil)
	if err != nil {
		return nil, err
	}
	s, err := mysqlserver.New(ctx, mysqlserver.Options{Programs: p, Settings: settings})
	if err != nil {
		return nil, err
	}
	return &MySQLServer{Kind: k, Host: s.Host(), Port: s.Port(), User: mysqlserver.User, Password: mysqlserver.Password, server: s}, nil
}

// Kill ends a server of NewMySQL at once, as a power cut would.
func (s *MySQLServer) Kill(t testing.TB) {
	t.Helper()
	require.NotNil(t, s.server, "a server named by the environment cannot be killed")
	s.server.Kill()
}

// Start starts a killed server on the same port.
func (s *MySQLServer) Start(t testing.TB) {
	t.Helper()
	require.NoError(t, s.server.Start(t.Context()))
}

// Address is host:port.
func (s *MySQLServer) Address() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// URL is the JDBC URL of the test's database, without user and password.
func (s *MySQLServer) URL() string {
	return "jdbc:" + string(s.Kind) + "://" + s.Address() + "/" + s.Database
}

// Exec runs one statement.
func (s *MySQLServer) Exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	s.on(t, s.Database, func(ctx context.Context, c *sql.Conn) {
		_, err := c.ExecContext(ctx, statement, args...)
		require.NoError(t, err, "run %s", statement)
	})
}

// Script runs a file's statements, each in its own transaction. It stops at the first error and returns it.
func (s *MySQLServer) Script(t testing.TB, script string) (err error) {
	t.Helper()
	s.on(t, s.Database, func(ctx context.Context, c *sql.Conn) {
		for _, st := range Statements(script) {
			if _, err = c.ExecContext(ctx, st.SQL); err != nil {
				return
			}
		}
	})
	return err
}

// Rows runs a query and returns its rows, each value as the server's text, NULL as "NULL".
func (s *MySQLServer) Rows(t testing.TB, query string) [][]string {
	t.Helper()
	var out [][]string
	s.on(t, s.Database, func(ctx context.Context, c *sql.Conn) {
		rows, err := c.QueryContext(ctx, query)
		require.NoError(t, err, "run %s", query)
		defer func() { _ = rows.Close() }()
		columns, err := rows.Columns()
		require.NoError(t, err)
		values := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		for rows.Next() {
			require.NoError(t, rows.Scan(into...))
			texts := make([]string, len(columns))
			for i, v := range values {
				if texts[i] = v.String; !v.Valid {
					texts[i] = "NULL"
				}
			}
			out = append(out, texts)
		}
		require.NoError(t, rows.Err(), "run %s", query)
	})
	return out
}

// Text runs a query with one value as its answer.
func (s *MySQLServer) Text(t testing.TB, query string) string {
	t.Helper()
	rows := s.Rows(t, query)
	require.Len(t, rows, 1, "rows of %s", query)
	require.Len(t, rows[0], 1, "columns of %s", query)
	return rows[0][0]
}

// Connect opens a connection to the test's database, closed when the test ends.
func (s *MySQLServer) Connect(t testing.TB) *sql.Conn {
	t.Helper()
	db := s.open(t, s.Database)
	c, err := db.Conn(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = c.Close(), db.Close() }) // it may be broken on purpose
	return c
}

// newDatabase creates the test's database and drops it when the test ends.
func (s *MySQLServer) newDatabase(t testing.TB) {
	t.Helper()
	s.Database = "t_" + strings.ToLower(rand.Text()[:16])
	s.on(t, "", func(ctx context.Context, c *sql.Conn) {
		_, err := c.ExecContext(ctx, "create database "+s.Database+" character set utf8mb4")
		require.NoError(t, err)
	})
	t.Cleanup(func() {
		s.on(t, "", func(ctx context.Context, c *sql.Conn) {
			_, err := c.ExecContext(ctx, "drop database "+s.Database)
			require.NoError(t, err)
		})
	})
}

func (s *MySQLServer) open(t testing.TB, database string) *sql.DB {
	t.Helper()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.DBName = s.User, s.Password, "tcp", s.Address(), database
	cfg.Params = map[string]string{"time_zone": "'+00:00'"}
	cfg.InterpolateParams = true // one text for the server, whose answers are texts then
	connector, err := mysql.NewConnector(cfg)
	require.NoError(t, err)
	return sql.OpenDB(connector)
}

// on runs f with a connection of its own to a database.
func (s *MySQLServer) on(t testing.TB, database string, f func(context.Context, *sql.Conn)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute) // cleanups call this too
	defer cancel()
	db := s.open(t, database)
	defer func() { _ = db.Close() }()
	c, err := db.Conn(ctx)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	f(ctx, c)
}
