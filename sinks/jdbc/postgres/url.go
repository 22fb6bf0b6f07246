// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/sinks/jdbc/dialect"
)

// Matches says whether a connection.url is for this dialect.
func Matches(connectionURL string) bool {
	for _, prefix := range [...]string{"jdbc:postgresql:", "postgres://", "postgresql://"} {
		if strings.HasPrefix(connectionURL, prefix) {
			return true
		}
	}
	return false
}

// jdbcParams are pgjdbc's parameters that the server or pgconn know by another name. What pgjdbc alone understands
// (caches, thresholds, batch rewriting) means nothing here and is left out.
var jdbcParams = map[string]string{
	"sslmode": "sslmode", "sslcert": "sslcert", "sslkey": "sslkey", "sslrootcert": "sslrootcert", "sslpassword": "sslpassword",
	"ApplicationName": "application_name", "connectTimeout": "connect_timeout", "loginTimeout": "connect_timeout",
	"options": "options", "currentSchema": "search_path", "channelBinding": "channel_binding",
}

// parseURL makes pgconn's configuration of a JDBC or libpq URL. User and password given apart win over those in the URL.
func parseURL(o dialect.Options) (*pgconn.Config, error) {
	text, user, password := o.URL, "", ""
	if rest, ok := strings.CutPrefix(text, "jdbc:postgresql:"); ok {
		var err error
		if text, user, password, err = libpqURL(rest); err != nil {
			return nil, err
		}
	}
	cfg, err := pgconn.ParseConfig(text)
	if err != nil {
		// pgconn's text quotes the URL: without its password, but the cause alone is enough.
		return nil, fmt.Errorf("connection.url: %w", causeOf(err))
	}
	if user != "" {
		cfg.User = user
	}
	if password != "" {
		cfg.Password = password
	}
	if o.User != "" {
		cfg.User = o.User
	}
	if p := o.Password.Reveal(); p != "" {
		cfg.Password = p
	}
	if o.ConnectTimeout > 0 && cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = o.ConnectTimeout
	}
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "freshet"
	}
	return cfg, nil
}

// libpqURL rewrites what follows jdbc:postgresql: (//hosts/database?params, /database or database).
func libpqURL(rest string) (text, user, password string, err error) {
	path, query, _ := strings.Cut(rest, "?")
	hosts, database := "", strings.TrimPrefix(path, "/")
	if at, ok := strings.CutPrefix(path, "//"); ok {
		hosts, database, _ = strings.Cut(at, "/")
	}
	if hosts == "" {
		hosts = "localhost"
	}
	in, err := url.ParseQuery(query)
	if err != nil {
		return "", "", "", fmt.Errorf("connection.url: parameters: %w", err)
	}
	out := url.Values{}
	for name := range in {
		if to := jdbcParams[name]; to != "" {
			out.Set(to, in.Get(name))
		}
	}
	if strings.EqualFold(in.Get("ssl"), "true") && in.Get("sslmode") == "" {
		out.Set("sslmode", "verify-full") // what pgjdbc makes of ssl=true
	}
	switch in.Get("targetServerType") {
	case "primary", "master":
		out.Set("target_session_attrs", "read-write")
	}
	// As libpq, pgconn takes a plus for a plus.
	params := strings.ReplaceAll(out.Encode(), "+", "%20")
	return "postgres://" + hosts + "/" + database + "?" + params, in.Get("user"), in.Get("password"), nil
}

// User is the user that a connection.url names, "" for none.
func User(connectionURL string) string {
	if rest, ok := strings.CutPrefix(connectionURL, "jdbc:postgresql:"); ok {
		_, query, _ := strings.Cut(rest, "?")
		in, err := url.ParseQuery(query)
		if err != nil {
			return ""
		}
		return in.Get("user")
	}
	u, err := url.Parse(connectionURL)
	if err != nil {
		return ""
	}
	return u.User.Username()
}
