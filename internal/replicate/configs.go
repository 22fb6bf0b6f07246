// SPDX-License-Identifier: Apache-2.0

package replicate

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Names of the two connectors, as logs and the data folder have them.
const (
	sourceName = "replicate-source"
	sinkName   = "replicate-sink"
	prefix     = "freshet"
)

// endpoint is one of the two databases.
type endpoint struct {
	url    string // as given
	config *pgconn.Config
}

// urlForm is told without a password in its place: what is told goes through the mask for passwords.
const urlForm = "give it as postgres://USER@HOST:5432/DATABASE, with USER:PASSWORD for USER where the server wants one"

// otherDatabases are the beginnings of URLs of databases that the sink writes into, and this command does not.
var otherDatabases = regexp.MustCompile(`^(?:jdbc:)?(sqlite|mysql|mariadb):`)

func parseEndpoint(flag, text string) (endpoint, error) {
	if m := otherDatabases.FindStringSubmatch(text); m != nil {
		return endpoint{}, fmt.Errorf("%s: replicate copies PostgreSQL into PostgreSQL, and nothing into %s: run freshet standalone with a source and "+
			"the JDBC sink, whose connection.url is that of the target; "+urlForm, flag, m[1])
	}
	c, err := pgconn.ParseConfig(text)
	if err != nil {
		return endpoint{}, fmt.Errorf("%s: %w; "+urlForm, flag, parseCause(text, err))
	}
	if c.Database == "" {
		return endpoint{}, fmt.Errorf("%s: the URL names no database; "+urlForm, flag)
	}
	return endpoint{text, c}, nil
}

// parseCause is why a connection string cannot be read. The driver's error repeats the string, and the cause of a broken
// URL a part of it, which may be the password's.
func parseCause(text string, err error) error {
	if _, broken := url.Parse(text); strings.Contains(text, "://") && broken != nil {
		return errors.New("not a URL (special characters of a password are written as %XX)")
	}
	var parse *pgconn.ParseConfigError
	if cause := errors.Unwrap(err); errors.As(err, &parse) && cause != nil {
		return cause
	}
	return errors.New("it cannot be read")
}

// address is the database for people: without user and password.
func (e endpoint) address() string {
	return fmt.Sprintf("%s:%d/%s", e.config.Host, e.config.Port, e.config.Database)
}

// setting is a parameter of the URL, such as sslmode.
func (e endpoint) setting(name string) string {
	if u, err := url.Parse(e.url); err == nil && u.Scheme != "" {
		return u.Query().Get(name)
	}
	m := regexp.MustCompile(`(?:^|\s)` + name + `=(\S+)`).FindStringSubmatch(e.url)
	if m == nil {
		return ""
	}
	return m[1]
}

// slotName is the name of slot and publication: the same for the same work, another for other targets or tables.
func slotName(from, to endpoint, patterns []string) string {
	h := fnv.New32a()
	fmt.Fprintln(h, from.address(), to.address(), strings.Join(patterns, ","))
	return fmt.Sprintf("freshet_%08x", h.Sum32())
}

// listItem writes a name as an item of an include list: a regular expression in which a comma is escaped.
func listItem(name string) string { return strings.ReplaceAll(regexp.QuoteMeta(name), ",", `\,`) }

func sourceConfig(from endpoint, slot string, tables []table) map[string]string {
	var include, exclude []string
	for i := range tables {
		include = append(include, listItem(tables[i].id.String()))
		for _, c := range tables[i].columns {
			if c.generated != "" || c.uncaptured {
				exclude = append(exclude, listItem(tables[i].id.String()+"."+c.name))
			}
		}
	}
	cfg := map[string]string{
		"connector.class":             "io.debezium.connector.postgresql.PostgresConnector",
		"topic.prefix":                prefix,
		"database.hostname":           from.config.Host,
		"database.port":               strconv.Itoa(int(from.config.Port)),
		"database.dbname":             from.config.Database,
		"database.user":               from.config.User,
		"database.password":           from.config.Password,
		"plugin.name":                 "pgoutput",
		"slot.name":                   slot,
		"publication.name":            slot,
		"publication.autocreate.mode": "filtered",
		"table.include.list":          strings.Join(include, ","),
		"snapshot.mode":               "initial",
		"snapshot.max.threads":        "2",
		"skipped.operations":          "none",
		"status.update.interval.ms":   "1000",
		"tombstones.on.delete":        "false",
		"extended.headers.enabled":    "false",
		// Debezium's forms of arrays, intervals and some others leave a part of the values out.
		"internal.literal.types": "true",
		// A value that cannot be carried over would silently become null.
		"event.converting.failure.handling.mode": "fail",
	}
	keepValues(cfg)
	if len(exclude) > 0 {
		cfg["column.exclude.list"] = strings.Join(exclude, ",")
	}
	for _, name := range []string{"sslmode", "sslcert", "sslkey", "sslrootcert", "sslpassword"} {
		if v := from.setting(name); v != "" {
			cfg["database."+name] = v
		}
	}
	return cfg
}

func sinkConfig(to endpoint) map[string]string {
	u := url.URL{Scheme: "postgres", Host: fmt.Sprintf("%s:%d", to.config.Host, to.config.Port), Path: "/" + to.config.Database}
	q := url.Values{}
	for _, name := range []string{"sslmode", "sslcert", "sslkey", "sslrootcert", "sslpassword"} {
		if v := to.setting(name); v != "" {
			q.Set(name, v)
		}
	}
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20") // as libpq, pgconn takes a plus for a plus
	cfg := map[string]string{
		"connector.class":        "io.debezium.connector.jdbc.JdbcSinkConnector",
		"topics.regex":           prefix + `\..*`,
		"connection.url":         u.String(),
		"connection.username":    to.config.User,
		"connection.password":    to.config.Password,
		"insert.mode":            "upsert",
		"primary.key.mode":       "record_key",
		"delete.enabled":         "true",
		"truncate.enabled":       "true",
		"schema.evolution":       "basic",
		"quote.identifiers":      "true",
		"collection.name.format": "${source.schema}.${source.table}",
		"offsets.table.name":     "freshet_offsets",
	}
	keepValues(cfg)
	return cfg
}

// placeholder stands for a value that the source did not send. Debezium's own is a text that somebody may have written
// into a column, which the sink would then leave out.
const placeholder = "freshet:unavailable:51f6c2f0-7a57-4c0e-9d5c-3f1f0b7f2a6e"

// keepValues sets what makes values on both ends the same, where what is usual would change them: Kafka's converter
// writes a column's default in place of a null.
func keepValues(cfg map[string]string) {
	cfg["unavailable.value.placeholder"] = placeholder
	for _, side := range []string{"key.converter", "value.converter"} {
		cfg[side] = "org.apache.kafka.connect.json.JsonConverter"
		cfg[side+".replace.null.with.default"] = "false"
	}
}
