// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// connectTimeout bounds one attempt to log in, so that a host that swallows packets is an error soon.
const connectTimeout = 15 * time.Second

// sessionParams are what values depend on. They are set at connect, so that settings of the database or the role
// (bytea_output=escape, a time zone) change nothing; search_path keeps names in the public schema from being called.
var sessionParams = map[string]string{
	"client_encoding":                     "UTF8",
	"DateStyle":                           "ISO, MDY",
	"IntervalStyle":                       "postgres",
	"TimeZone":                            "UTC",
	"bytea_output":                        "hex",
	"extra_float_digits":                  "1",
	"search_path":                         "pg_catalog",
	"client_min_messages":                 "notice", // see Reader.notice
	"idle_session_timeout":                "0",      // since 14; see dial
	"idle_in_transaction_session_timeout": "0",
}

// dialer opens connections of one configuration. It is safe for concurrent use.
type dialer struct {
	o    *options
	name string // of the connector, for application_name
	// unwatched connections do not ask over others about their silence: they are such others.
	unwatched bool
}

// subject names the server for messages.
func (c dialer) subject() string {
	return fmt.Sprintf("%s/%s as %q", c.o.address(), c.o.Database, c.o.User)
}

// connect opens an ordinary connection and runs database.initial.statements on it.
func (c dialer) connect(ctx context.Context) (*pgconn.PgConn, error) {
	cfg, err := c.config()
	if err != nil {
		return nil, err
	}
	cfg.RuntimeParams["statement_timeout"] = strconv.FormatInt(c.o.QueryTimeout.Milliseconds(), 10)
	conn, err := c.dial(ctx, cfg)
	if err != nil {
		return nil, err
	}
	for _, sql := range c.o.InitialStatements {
		if err := conn.Exec(ctx, sql).Close(); err != nil {
			_ = conn.Close(ctx)
			return nil, wrapError("run database.initial.statements on", c.subject(), err)
		}
	}
	return conn, nil
}

// connectReplication opens a connection to a walsender. wire is where its bytes are read once it streams.
func (c dialer) connectReplication(ctx context.Context) (*pgconn.PgConn, *wire, error) {
	cfg, err := c.config()
	if err != nil {
		return nil, nil, err
	}
	cfg.RuntimeParams["replication"] = "database"
	cfg.RuntimeParams["statement_timeout"] = "0"
	var w *wire
	cfg.BuildFrontend = func(r io.Reader, out io.Writer) *pgproto3.Frontend {
		w = newWire(r)
		return pgproto3.NewFrontend(w, out)
	}
	conn, err := c.dial(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	w.conn = conn.Conn()
	return conn, w, nil
}

// dial logs in. Errors tell host, port, database, user and the next step, and never the password.
func (c dialer) dial(ctx context.Context, cfg *pgconn.Config) (*pgconn.PgConn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if sqlState(err) == "42704" { // a server before 14 does not know the parameter
		delete(cfg.RuntimeParams, "idle_session_timeout")
		conn, err = pgconn.ConnectConfig(ctx, cfg)
	}
	if err == nil {
		c.watch(conn)
		return conn, nil
	}
	return nil, c.dialError(err)
}

// watch lets a connection find out that it is broken.
func (c dialer) watch(conn *pgconn.PgConn) {
	if c.unwatched {
		return
	}
	raw := conn.Conn()
	if t, ok := raw.(interface{ NetConn() net.Conn }); ok {
		raw = t.NetConn() // below TLS
	}
	if w, ok := raw.(*watchedConn); ok {
		pid := conn.PID()
		w.watch(func(ctx context.Context) error { return c.probe(ctx, pid, waitsForClient) })
	}
}

// dialError adds what to do to an error of logging in.
func (c dialer) dialError(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	// The driver's connect error repeats host, user and database; its cause says enough.
	cause := err
	var pg *pgconn.PgError
	var dns *net.DNSError
	var op *net.OpError
	var refused *tls.CertificateVerificationError
	switch {
	case errors.As(err, &pg):
		cause = pg
	case errors.As(err, &refused):
		cause = certificateError(refused)
	case errors.As(err, &dns):
		cause = dns
	case errors.As(err, &op):
		cause = op
	}
	var e *Error
	if !errors.As(wrapError("connect to", c.subject(), &hiddenError{cause, c.o.Password}), &e) {
		return err
	}
	e.away = pg == nil && (op != nil || dns != nil) || sqlState(err) == "57P03"
	switch {
	case e.Hint != "":
	case dns != nil && dns.IsNotFound:
		e.Hint = "check database.hostname"
	case pg == nil && op != nil || errors.Is(err, context.DeadlineExceeded):
		e.Hint = "check that the hostname and port are correct and that the server is accepting TCP/IP connections"
	case pg == nil:
		e.Hint = "check database.sslmode and the certificates"
	}
	return e
}

// config makes the driver's configuration. What the environment and ~/.pgpass say is replaced.
func (c dialer) config() (*pgconn.Config, error) {
	o := c.o
	cfg, err := pgconn.ParseConfig("host=" + quoteConn(o.Hostname) + " user=x port=" + strconv.Itoa(o.Port) + " sslmode=disable passfile=''")
	if err != nil {
		return nil, permanentf("connect to", c.subject(), "check database.hostname and database.port", "%w", err)
	}
	cfg.Host, cfg.Port = o.Hostname, uint16(o.Port)
	cfg.Database, cfg.User, cfg.Password = o.Database, o.User, o.Password.Reveal()
	cfg.ConnectTimeout, cfg.ValidateConnect = connectTimeout, nil
	cfg.RuntimeParams = map[string]string{"application_name": "freshet:" + c.name}
	maps.Copy(cfg.RuntimeParams, sessionParams)
	tcp := &net.Dialer{KeepAlive: 30 * time.Second, Timeout: connectTimeout}
	if !o.TCPKeepAlive {
		tcp.KeepAlive = -1
	}
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := tcp.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &watchedConn{Conn: conn}, nil
	}
	attempts, err := o.SSL.attempts(o.Hostname)
	if err != nil {
		return nil, permanentf("connect to", c.subject(), "check database.sslrootcert, database.sslcert and database.sslkey", "%w",
			&hiddenError{err, o.SSL.Password})
	}
	cfg.TLSConfig, cfg.Fallbacks = attempts[0], nil
	for _, t := range attempts[1:] {
		cfg.Fallbacks = append(cfg.Fallbacks, &pgconn.FallbackConfig{Host: cfg.Host, Port: cfg.Port, TLSConfig: t})
	}
	return cfg, nil
}

// quoteConn quotes a value of a connection string.
func quoteConn(s string) string {
	var out []byte
	for i := range len(s) {
		if s[i] == '\'' || s[i] == '\\' {
			out = append(out, '\\')
		}
		out = append(out, s[i])
	}
	return "'" + string(out) + "'"
}

// query runs one statement with text parameters and returns its rows as text; SQL NULL is nil.
func query(ctx context.Context, conn *pgconn.PgConn, sql string, args ...string) ([][][]byte, error) {
	params := make([][]byte, len(args))
	for i, a := range args {
		params[i] = []byte(a)
	}
	r := conn.ExecParams(ctx, sql, params, nil, nil, nil).Read()
	return r.Rows, r.Err
}
