// SPDX-License-Identifier: Apache-2.0

// Package testdb gives tests real database servers.
//
// Postgres shares one server among the tests of a test binary and gives each its own database; NewPostgres starts a
// server for a test that stops, fills or freezes it. A server is, in this order: the one in the environment variable
// FRESHET_TEST_POSTGRES_DSN (shared servers only), one that is installed, one fetched earlier, one fetched now. Without
// any the test is skipped with the reason, or fails when FRESHET_TEST_REQUIRE lists "postgres": a green run in CI must not
// hide a missing server. FRESHET_TEST_PG_VERSION asks for one major version. MySQL and MariaDB are given alike, and Kafka.
package testdb

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"freshet/internal/pgserver"
)

const (
	envDSN     = "FRESHET_TEST_POSTGRES_DSN"
	envRequire = "FRESHET_TEST_REQUIRE"
	envVersion = "FRESHET_TEST_PG_VERSION"
)

// password of the superuser. All servers copied from one template share it; it guards nothing but a test's folder.
const password = "Canary-4711"

// findTimeout bounds finding and starting, a download included.
const findTimeout = 5 * time.Minute

// Options say how an own server differs from the shared one.
type Options struct {
	Settings     map[string]string // postgresql.conf; wal_level is logical, fsync off, 20 slots and 20 senders otherwise
	Version      string            // major version such as "16"; "" is any from 14 on
	PasswordAuth bool              // the superuser needs the password too; other roles always do
}

// Server is a PostgreSQL and a database on it that is the test's own.
type Server struct {
	Host     string
	Port     int
	Database string
	User     string
	Password string

	pg *pgserver.Server // nil for a server named by the environment
}

// shared is the server of this test binary, started by the first test that asks. It ends with the process.
var shared = sync.OnceValues(func() (*Server, error) {
	if dsn := os.Getenv(envDSN); dsn != "" {
		return parseDSN(dsn)
	}
	return start(Options{})
})

// Postgres returns the shared server with a new database for this test, dropped with its slots when the test ends.
func Postgres(t testing.TB) *Server {
	t.Helper()
	s, err := shared()
	if err != nil {
		missing(t, "postgres", err)
	}
	own := *s
	own.Database = own.NewDatabase(t)
	return &own
}

// NewPostgres starts a server for this test alone and closes it when the test ends. It may be stopped, killed, frozen.
func NewPostgres(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := start(o)
	if err != nil {
		missing(t, "postgres", err)
	}
	t.Cleanup(func() {
		if err := s.pg.Close(); err != nil {
			t.Errorf("close the server: %v", err)
		}
	})
	s.Exec(t, "create database test")
	s.Database = "test"
	return s
}

// IgnoreServer tells goleak of the goroutine that waits for the shared server, which ends with the process.
func IgnoreServer() goleak.Option {
	return goleak.IgnoreAnyFunction("freshet/internal/pgserver.(*process).run")
}

func start(o Options) (*Server, error) { return startLike(o, nil) }

// startLike starts a server; with a primary it is a standby of that, of the same programs.
func startLike(o Options, primary *Server) (*Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), findTimeout)
	defer cancel()
	want := pgserver.Want{}
	version := o.Version
	if version == "" {
		version = os.Getenv(envVersion)
	}
	if version != "" {
		var err error
		if want.Exact, err = strconv.Atoi(version); err != nil {
			return nil, fmt.Errorf("the version %q of PostgreSQL is not a major version: %w", version, err)
		}
	}
	options := pgserver.Options{
		Password: password, PasswordAuth: o.PasswordAuth, Settings: o.Settings,
		Template: filepath.Join(os.TempDir(), "freshet-pg-"+strconv.Itoa(os.Getuid()), "templates"),
	}
	if primary != nil {
		options.Bin, options.StandbyOf = primary.pg.Bin(), primary.pg
	} else {
		var err error
		if options.Bin, err = pgserver.Find(ctx, want); err != nil {
			return nil, err
		}
	}
	pg, err := pgserver.New(ctx, options)
	if err != nil {
		return nil, err
	}
	return &Server{Host: pg.Host(), Port: pg.Port(), Database: "postgres", User: pgserver.User, Password: password, pg: pg}, nil
}

// missing skips the test, or fails it where the server is required.
func missing(t testing.TB, server string, err error) {
	t.Helper()
	required := strings.Split(os.Getenv(envRequire), ",")
	if slices.Contains(required, server) || server == "postgres" && os.Getenv(envDSN) != "" {
		t.Fatalf("%s is required (%s): %v", server, envRequire, err)
	}
	t.Skipf("no %s: %v", server, err)
}

func parseDSN(dsn string) (*Server, error) {
	u, err := url.Parse(dsn)
	if err != nil {
		return nil, fmt.Errorf("the environment variable %s is not a URL", envDSN) // the error would show the password
	}
	s := &Server{Host: u.Hostname(), Port: 5432, Database: strings.TrimPrefix(u.Path, "/"), User: u.User.Username()}
	s.Password, _ = u.User.Password()
	if p := u.Port(); p != "" {
		if s.Port, err = strconv.Atoi(p); err != nil {
			return nil, fmt.Errorf("the port of %s: %w", envDSN, err)
		}
	}
	if s.Database == "" {
		s.Database = "postgres"
	}
	return s, nil
}

// own is the server of this test alone, which may be stopped.
func (s *Server) own(t testing.TB) *pgserver.Server {
	t.Helper()
	require.NotNil(t, s.pg, "a server named by %s cannot be stopped or started", envDSN)
	return s.pg
}

// Stop stops a server of NewPostgres.
func (s *Server) Stop(t testing.TB, m pgserver.Mode) {
	t.Helper()
	require.NoError(t, s.own(t).Stop(m))
}

// Start starts a stopped or killed server on the same port.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	require.NoError(t, s.own(t).Start(t.Context()))
}

// Kill ends all processes of the server at once, as a power cut would.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.own(t).Kill()
}

// Freeze stops all processes of the server in their tracks; clients hang.
func (s *Server) Freeze(t testing.TB) {
	t.Helper()
	require.NoError(t, s.own(t).Freeze())
}

// Thaw ends Freeze.
func (s *Server) Thaw(t testing.TB) {
	t.Helper()
	require.NoError(t, s.own(t).Thaw())
}

// Backup keeps the server's files as they are now, for which it stops the server and starts it again. restore puts them
// back, as somebody does who restores a backup: what was committed meanwhile is gone.
func (s *Server) Backup(t testing.TB) (restore func()) {
	t.Helper()
	data := s.own(t).DataDir()
	kept := filepath.Join(t.TempDir(), "kept")
	copyTo := func(from, to string) {
		t.Helper()
		s.Stop(t, pgserver.Fast)
		require.NoError(t, os.RemoveAll(to))
		out, err := exec.CommandContext(t.Context(), "cp", "-a", from, to).CombinedOutput() // keeps the owner
		require.NoError(t, err, "%s", out)
		s.Start(t)
	}
	copyTo(data, kept)
	return func() { t.Helper(); copyTo(kept, data) }
}

// Log is the server's log so far.
func (s *Server) Log(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(s.own(t).LogPath())
	require.NoError(t, err)
	return string(text)
}

// WriteFile writes a file into the data folder of a server of NewPostgres, for the server alone to read.
func (s *Server) WriteFile(t testing.TB, name, text string) {
	t.Helper()
	s.own(t)
	s.Exec(t, `copy (select unnest(string_to_array(`+quoteLiteral(text)+`, E'\n'))) to program 'umask 077; cat > `+name+`'`)
}

func quoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
