// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"freshet/internal/testdb"
)

func TestLoginFailures(t *testing.T) {
	db := testdb.Postgres(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := strconv.Itoa(closed.Addr().(*net.TCPAddr).Port)
	require.NoError(t, closed.Close())
	db.Exec(t, `create role `+db.Database+`_r login password 'right-one'`)
	t.Cleanup(func() { db.Exec(t, `drop role `+db.Database+`_r`) })
	for _, c := range []struct {
		name       string
		properties []string
		permanent  bool
		words      []string
	}{
		{"password", []string{"database.user", db.Database + "_r", "database.password", "Canary-Wrong-1"}, true, []string{"password authentication failed", "set database.user and database.password"}},
		{"role", []string{"database.user", "nobody_here"}, true, []string{"nobody_here", "next step"}},
		{"database", []string{"database.dbname", "nowhere"}, true, []string{`database "nowhere" does not exist`, "set database.dbname"}},
		{"port", []string{"database.port", port}, false, []string{"127.0.0.1:" + port, "connection refused", "hostname and port are correct"}},
		{"host", []string{"database.hostname", "no-such-host.invalid"}, false, []string{"no-such-host.invalid", "next step"}},
		{"TLS that the server does not have", []string{"database.sslmode", "require"}, false, []string{"refused TLS", "database.sslmode"}},
		{"certificate that is not there", []string{"database.sslmode", "verify-ca", "database.sslrootcert", "/nowhere/ca.pem"}, true, []string{"/nowhere/ca.pem", "database.sslrootcert"}},
		{"initial statement", []string{"database.initial.statements", "select 1;; select 2; set nonsense"}, false, []string{"database.initial.statements", "syntax error"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := fixtureOn(t, db, c.properties...)
			_, err := f.tryOpen("")
			require.Error(t, err)
			for _, w := range append(c.words, f.raw["database.hostname"], f.raw["database.port"], f.raw["database.dbname"], f.raw["database.user"]) {
				require.Contains(t, err.Error(), w)
			}
			require.Equal(t, !c.permanent, retriable(err), "%v", err)
			require.NotContains(t, err.Error()+f.log.String(), f.raw["database.password"])
		})
	}
}

// Settings of the database and the role change nothing about values.
func TestSessionSettings(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table s(id int primary key, b bytea, tz timestamptz, d date, i interval, f float8);
insert into s values (1, '\x00ff', '2026-07-01 12:00+00', '2026-02-03', '1 day 2 hours', 0.1)`)
	for _, set := range []string{"bytea_output=escape", "timezone='America/New_York'", "datestyle='SQL, DMY'", "intervalstyle=iso_8601", "extra_float_digits=-3"} {
		f.Exec(t, `alter database `+f.Database+` set `+set)
	}
	s := f.open("")
	first := s.read(1)[0]
	f.Exec(t, `insert into s select 2, b, tz, d, i, f from s`)
	second := s.read(1)[0]
	require.Equal(t, strings.ReplaceAll(first[2:], "id=1", "id=2"), second[2:])
	require.Contains(t, second, "b=00ff ")
	require.Contains(t, second, "f=0.1}")
	require.Contains(t, second, "tz=2026-07-01T12:00:00")
}

// Stream, catalog and guard each have a connection.
func TestNameOfTheSession(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	f.Exec(t, `insert into a values (1)`)
	s.read(1)
	waitFor(t, "three sessions by the name", func() bool {
		return f.Text(t, `select count(*) from pg_stat_activity where datname = current_database() and application_name = 'freshet:src'`) == "3"
	})
}

func TestInitialStatementsAndStatementTimeout(t *testing.T) {
	f := newFixture(t, "database.initial.statements", "set application_name = 'mine;;yes'; set work_mem = '5MB'", "database.query.timeout.ms", "1234")
	o, err := parseOptions(f.values())
	require.NoError(t, err)
	conn, err := dialer{o: &o, name: "x"}.connect(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	rows, err := query(t.Context(), conn, `select current_setting('application_name'), current_setting('work_mem'), current_setting('statement_timeout'), current_setting('search_path')`)
	require.NoError(t, err)
	require.Equal(t, "mine;yes|5MB|1234ms|pg_catalog", string(bytes.Join(rows[0], []byte("|"))))
}

func TestEnvironmentIsNotAsked(t *testing.T) {
	f := newFixture(t)
	t.Setenv("PGPASSWORD", "wrong")
	t.Setenv("PGHOST", "no-such-host.invalid")
	t.Setenv("PGUSER", "nobody_here")
	t.Setenv("PGOPTIONS", "-c nonsense=1")
	t.Setenv("PGTARGETSESSIONATTRS", "standby")
	t.Setenv("PGSSLMODE", "verify-full")
	r, err := f.tryOpen("")
	for _, name := range []string{"PGPASSWORD", "PGHOST", "PGUSER", "PGOPTIONS", "PGTARGETSESSIONATTRS", "PGSSLMODE"} {
		require.NoError(t, os.Unsetenv(name)) // the test's own connections read them
	}
	require.NoError(t, err)
	require.NoError(t, r.Close(t.Context()))
}

// tlsServer is a server that speaks TLS and then refuses the login.
func tlsServer(t *testing.T, names ...string) (port int, rootFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, DNSNames: names,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	require.NoError(t, err)
	rootFile = filepath.Join(t.TempDir(), "root.pem")
	require.NoError(t, os.WriteFile(rootFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			refuseLogin(conn, cfg)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).Port, rootFile
}

// refuseLogin answers one connection: with TLS if asked for, and an error either way.
func refuseLogin(conn net.Conn, cfg *tls.Config) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(deadline))
	p := make([]byte, 8)
	if _, err := io.ReadFull(conn, p); err != nil {
		return
	}
	what := "in clear"
	if p[3] == 8 { // SSLRequest
		if _, err := conn.Write([]byte("S")); err != nil {
			return
		}
		conn = tls.Server(conn, cfg)
		what = "with TLS"
		if _, err := io.ReadFull(conn, p[:4]); err != nil {
			return
		}
	}
	out, err := (&pgproto3.ErrorResponse{Severity: "FATAL", Code: "57P03", Message: "greeted " + what}).Encode(nil)
	if err == nil {
		_, _ = conn.Write(out)
		_, _ = io.Copy(io.Discard, conn) // until the client has read it
	}
}

func TestSSLModes(t *testing.T) {
	port, root := tlsServer(t, "localhost")
	otherPort, _ := tlsServer(t, "elsewhere.example")
	for _, c := range []struct {
		mode, root string
		port       int
		want       string
	}{
		{"disable", "", port, "greeted in clear"},
		{"allow", "", port, "greeted in clear"},
		{"prefer", "", port, "greeted with TLS"},
		{"require", "", port, "greeted with TLS"},
		{"require", root, otherPort, "certificate"}, // with a root, the chain counts
		{"verify-ca", root, port, "greeted with TLS"},
		{"verify-ca", root, otherPort, "certificate"},
		{"verify-ca", "", port, "certificate"},
		{"verify-full", root, port, "greeted with TLS"},
		{"verify-full", "", port, "certificate"},
	} {
		t.Run(c.mode+" "+strconv.FormatBool(c.root != "")+" "+strconv.FormatBool(c.port == port), func(t *testing.T) {
			o := options{loginOptions: loginOptions{
				Hostname: "localhost", Port: c.port, Database: "d", User: "u", Password: "Canary-9", TCPKeepAlive: true,
				SSL: sslOptions{Mode: c.mode, RootCert: c.root},
			}}
			_, err := dialer{o: &o, name: "x"}.connect(t.Context())
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "Canary-9")
			require.True(t, retriable(err))
		})
	}
	own, rootOwn := tlsServer(t, "elsewhere.example")
	o := options{loginOptions: loginOptions{Hostname: "localhost", Port: own, SSL: sslOptions{Mode: "verify-full", RootCert: rootOwn}}}
	_, err := dialer{o: &o, name: "x"}.connect(t.Context())
	require.ErrorContains(t, err, "elsewhere.example", "the chain is right, the name is not")
}
