// SPDX-License-Identifier: Apache-2.0

package jdbc

import (
	"strings"

	"freshet/config"
	"freshet/sinks/jdbc/dialect"
	"freshet/sinks/jdbc/mysql"
	"freshet/sinks/jdbc/postgres"
	"freshet/sinks/jdbc/sqlite"
)

// database is a kind of target.
type database struct {
	// forms are how its connection.url may look, for people.
	forms   string
	matches func(url string) bool
	// problem says why a URL that matches cannot be; "" where it can. nil where only connecting tells.
	problem func(url string) string
	// user is the user that a URL names, "" for none; nil where the database has no users.
	user func(url string) string
	open func(v config.Values) dialect.Dialect
}

// databases are the kinds there are. The first whose matches says so serves a connection.url.
var databases = []database{
	{
		forms: "jdbc:postgresql://host:port/database or postgres://host:port/database", matches: postgres.Matches, user: postgres.User,
		open: func(v config.Values) dialect.Dialect {
			return postgres.Dialect{PostGIS: v.Get("dialect.postgres.postgis.schema"), TimeZone: timeZone(v)}
		},
	},
	{
		forms: "jdbc:mysql://host:port/database or jdbc:mariadb://host:port/database", matches: mysql.Matches, problem: mysql.Problem, user: mysql.User,
		open: func(v config.Values) dialect.Dialect { return mysql.New(v.Get("connection.url"), timeZone(v)) },
	},
	{
		forms: sqlite.Forms, matches: sqlite.Matches, problem: sqlite.Problem,
		open: func(v config.Values) dialect.Dialect { return sqlite.Dialect{TimeZone: timeZone(v)} },
	},
}

// databaseOf is the kind of database that a connection.url names; nil for none.
func databaseOf(url string) *database {
	for i := range databases {
		if databases[i].matches(url) {
			return &databases[i]
		}
	}
	return nil
}

// urlForms lists what a connection.url may be.
func urlForms() string {
	forms := make([]string, len(databases))
	for i := range databases {
		forms[i] = databases[i].forms
	}
	return strings.Join(forms, ", ")
}

func timeZone(v config.Values) string { return strings.TrimSpace(v.Get("use.time.zone")) }
