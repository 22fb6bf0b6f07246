// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"freshet/sinks/jdbc/dialect"
)

const defaultPort = "3306"

// Matches says whether a connection.url is for this dialect.
func Matches(connectionURL string) bool {
	_, _, err := split(connectionURL)
	return err == nil
}

// split cuts the scheme off, which says whether it is MariaDB.
func split(connectionURL string) (rest string, mariaDB bool, err error) {
	for prefix, maria := range map[string]bool{
		"jdbc:mysql://": false, "mysql://": false, "jdbc:mariadb://": true, "mariadb://": true,
		// What else Connector/J calls its way of using several hosts.
		"jdbc:mysql:replication://": false, "jdbc:mysql:loadbalance://": false, "jdbc:mariadb:replication://": true,
		"jdbc:mariadb:sequential://": true, "jdbc:mariadb:loadbalance://": true,
	} {
		if rest, ok := strings.CutPrefix(connectionURL, prefix); ok {
			return rest, maria, nil
		}
	}
	return "", false, errors.New("connection.url is not for MySQL or MariaDB")
}

// Problem says why a connection.url cannot be; "" where it can.
func Problem(connectionURL string) string {
	if _, err := parseURL(dialect.Options{URL: connectionURL}); err != nil {
		return strings.TrimPrefix(err.Error(), "connection.url: ")
	}
	return ""
}

// User is the user that a connection.url names, "" for none.
func User(connectionURL string) string {
	rest, _, err := split(connectionURL)
	if err != nil {
		return ""
	}
	u, err := url.Parse("mysql://" + rest)
	if err != nil {
		return ""
	}
	if name := u.User.Username(); name != "" {
		return name
	}
	return u.Query().Get("user")
}

// target is where a session connects to.
type target struct {
	product   string // as messages name it
	addresses []string
	config    *mysql.Config
	variables string // what SET SESSION takes
}

// parseURL makes the driver's configuration of a URL. User and password given apart win over those in the URL. Parameters of
// Connector/J that mean nothing here (caches, batch rewriting, time zones: a session's clock is UTC) are left out.
func parseURL(o dialect.Options) (*target, error) {
	rest, mariaDB, err := split(o.URL)
	if err != nil {
		return nil, err
	}
	credentials, rest := cutCredentials(rest)
	hosts, path, _ := strings.Cut(rest, "/")
	database, query, _ := strings.Cut(path, "?")
	if at := strings.IndexByte(hosts, '?'); at >= 0 {
		hosts, query = hosts[:at], hosts[at+1:]
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("connection.url: its parameters cannot be read: check their escapes") // the cause would quote them
	}
	if database, err = url.PathUnescape(database); err != nil {
		return nil, fmt.Errorf("connection.url: the name of the database: %w", err)
	}
	t := &target{product: "MySQL", config: mysql.NewConfig(), variables: params.Get("sessionVariables")}
	if mariaDB {
		t.product = "MariaDB"
	}
	if t.addresses, err = addresses(hosts); err != nil {
		return nil, err
	}
	c := t.config
	c.Net, c.DBName, c.ClientFoundRows, c.MultiStatements, c.InterpolateParams = "tcp", database, true, true, true
	c.Collation = "utf8mb4_general_ci"
	c.MaxAllowedPacket = 1 << 30 // the session asks the server for its limit
	c.Logger = &mysql.NopLogger{}
	c.ConnectionAttributes = "program_name:freshet"
	c.User, c.Passwd = firstOf(o.User, credentials.user, params.Get("user")), firstOf(o.Password.Reveal(), credentials.password, params.Get("password"))
	c.Timeout = firstOf(millis(params, "connectTimeout"), o.ConnectTimeout, 30*time.Second)
	c.ReadTimeout = millis(params, "socketTimeout")
	c.WriteTimeout = c.ReadTimeout
	c.AllowCleartextPasswords = params.Get("authenticationPlugins") == "mysql_clear_password"
	c.TLS, c.AllowFallbackToPlaintext, err = tlsOf(params, mariaDB)
	return t, err
}

type credentials struct{ user, password string }

// cutCredentials takes user:password@ off, in which an @ may stand as it is.
func cutCredentials(rest string) (credentials, string) {
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndexByte(rest[:end], '@')
	if at < 0 {
		return credentials{}, rest
	}
	user, password, _ := strings.Cut(rest[:at], ":")
	return credentials{unescape(user), unescape(password)}, rest[at+1:]
}

func unescape(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

// addresses are host:port of a list of hosts.
func addresses(hosts string) ([]string, error) {
	var out []string
	for h := range strings.SplitSeq(hosts, ",") {
		if strings.ContainsAny(h, "()=") {
			return nil, errors.New("connection.url: give hosts as host:port, not in Connector/J's form of key and value")
		}
		host, port, err := net.SplitHostPort(h)
		if err != nil {
			host, port = strings.Trim(h, "[]"), defaultPort
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return nil, fmt.Errorf("connection.url: the port of %q is no number", host)
		}
		out = append(out, net.JoinHostPort(firstOf(host, "localhost"), port))
	}
	return out, nil
}

// firstOf is the first that is not zero.
func firstOf[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}

func millis(params url.Values, name string) time.Duration {
	n, err := strconv.Atoi(params.Get(name))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

// tlsOf reads Connector/J's sslMode and the names that it had before, those of MariaDB's connector and of the mysql client.
// Without any, MySQL is asked for TLS and goes on without, as Connector/J does; MariaDB is not asked.
func tlsOf(params url.Values, mariaDB bool) (c *tls.Config, fallback bool, err error) {
	mode := strings.ToLower(strings.ReplaceAll(firstOf(params.Get("sslMode"), params.Get("ssl-mode")), "-", "_"))
	isTrue := func(name string) bool { return strings.EqualFold(params.Get(name), "true") }
	use := firstOf(params.Get("useSSL"), params.Get("useSsl"))
	given := use != ""
	switch {
	case mode != "":
	case given && !strings.EqualFold(use, "true"), !given && mariaDB:
		mode = "disabled"
	case isTrue("trustServerCertificate"):
		mode = "required"
	case given && mariaDB:
		mode = "verify_full"
	case isTrue("verifyServerCertificate"):
		mode = "verify_ca"
	case isTrue("requireSSL"):
		mode = "required"
	default:
		mode = "preferred"
	}
	c = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true} //nolint:gosec // what these modes mean; the others check below
	switch mode {
	case "disabled", "disable", "false":
		return nil, false, nil
	case "preferred":
		return c, true, nil
	case "required", "trust", "true":
		return c, false, nil
	case "verify_ca", "verify_identity", "verify_full":
		return verified(c, params, mode)
	}
	return nil, false, fmt.Errorf("connection.url: sslMode is %q: give DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY", mode)
}

// verified checks the server's certificate against the authorities of a PEM file, or the system's.
func verified(c *tls.Config, params url.Values, mode string) (*tls.Config, bool, error) {
	if params.Get("trustCertificateKeyStoreUrl") != "" || params.Get("trustStore") != "" {
		return nil, false, errors.New("connection.url: Java's trust stores are not read: give the certificates as PEM by serverSslCert=/path")
	}
	if file := strings.TrimPrefix(firstOf(params.Get("serverSslCert"), params.Get("ssl-ca")), "file:"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, false, fmt.Errorf("connection.url: serverSslCert: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, false, fmt.Errorf("connection.url: serverSslCert: %s holds no certificate in PEM", file)
		}
	}
	if mode != "verify_ca" {
		c.InsecureSkipVerify = false
		return c, false, nil
	}
	c.VerifyConnection = func(state tls.ConnectionState) error {
		options := x509.VerifyOptions{Roots: c.RootCAs, Intermediates: x509.NewCertPool()}
		for _, cert := range state.PeerCertificates[1:] {
			options.Intermediates.AddCert(cert)
		}
		_, err := state.PeerCertificates[0].Verify(options)
		return err
	}
	return c, false, nil
}

// connect tries the addresses in order.
func (t *target) connect(ctx context.Context) (driver.Conn, error) {
	var errs []error
	away := true
	for _, address := range t.addresses {
		c := t.config.Clone()
		c.Addr = address
		if c.TLS != nil {
			c.TLS = c.TLS.Clone()
			c.TLS.ServerName, _, _ = net.SplitHostPort(address)
		}
		connector, err := mysql.NewConnector(c)
		if err != nil {
			return nil, fmt.Errorf("connection.url: %w", err)
		}
		conn, err := connector.Connect(ctx)
		if err == nil {
			return conn, nil
		}
		away = away && dialect.Unreachable(err)
		errs = append(errs, fmt.Errorf("connect to %s at %s, database %q, as %q: %w: %s", t.product, address, c.DBName, c.User, err, connectHint(err)))
	}
	if away {
		return nil, &dialect.AwayError{Err: errors.Join(errs...)}
	}
	return nil, errors.Join(errs...)
}

// connectHint is the next step for a connection that was refused.
func connectHint(err error) string {
	var my *mysql.MySQLError
	switch {
	case errors.As(err, &my) && my.Number == 1049:
		return "create the database or correct connection.url"
	case errors.As(err, &my) && (my.Number == 1045 || my.Number == 1044 || my.Number == 1698):
		return "check connection.username, connection.password and what the user may do"
	case errors.As(err, &my) && (my.Number == 1040 || my.Number == 1203):
		return "free connections on the server or raise max_connections"
	case errors.As(err, &my):
		return "see the server's log"
	case errors.Is(err, mysql.ErrNoTLS):
		return "the server has no TLS: set it up there, or sslMode=PREFERRED in connection.url"
	}
	return "check host and port in connection.url, that the server runs, and that nothing blocks the way"
}
