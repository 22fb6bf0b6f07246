// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Forms is how a connection.url may look.
const Forms = "jdbc:sqlite:/path/to/file.db"

const noMemory = "a database in memory would be gone with its session, and each session has its own: name a file, as " + Forms

// Matches says whether a connection.url is for this dialect.
func Matches(connectionURL string) bool {
	return strings.HasPrefix(connectionURL, "jdbc:sqlite:") || strings.HasPrefix(connectionURL, "sqlite:")
}

// Problem says what is wrong with a connection.url that Matches; "" for nothing.
func Problem(connectionURL string) string {
	if _, err := parseURL(connectionURL); err != nil {
		return err.Error()
	}
	return ""
}

// location is a parsed connection.url.
type location struct {
	path    string
	uri     url.Values        // parameters of SQLite's own file: URIs, such as mode=ro
	pragmas map[string]string // settings of the connection
	unused  []string          // names of parameters that mean nothing here
}

// uriParams are the parameters of SQLite's file: URIs that are handed on.
var uriParams = []string{"mode", "nolock", "immutable", "psow", "modeof"}

// pragmas are the settings that a URL may have, by xerial's names, which are SQLite's, and the values they may have.
var pragmas = map[string]*regexp.Regexp{
	"busy_timeout": regexp.MustCompile(`^[0-9]{1,9}$`),
	"cache_size":   regexp.MustCompile(`^-?[0-9]{1,9}$`),
	"foreign_keys": regexp.MustCompile(`(?i)^(on|off|true|false|yes|no|0|1)$`),
	"journal_mode": regexp.MustCompile(`(?i)^(wal|delete|truncate|persist)$`),
	"mmap_size":    regexp.MustCompile(`^[0-9]{1,18}$`),
	"temp_store":   regexp.MustCompile(`(?i)^(default|file|memory|[012])$`),
}

// parseURL reads jdbc:sqlite:path, sqlite:path, sqlite:///path, each with file: before the path or without it, and with
// parameters behind a question mark.
func parseURL(text string) (*location, error) {
	rest := strings.TrimPrefix(strings.TrimPrefix(text, "jdbc:"), "sqlite:")
	rest, isURI := strings.CutPrefix(rest, "file:")
	path, query, _ := strings.Cut(rest, "?")
	if authority, ok := strings.CutPrefix(path, "//"); ok {
		host, p, _ := strings.Cut(authority, "/")
		if host != "" && host != "localhost" {
			return nil, fmt.Errorf("SQLite has no host %q: name a file, as %s", host, Forms)
		}
		path = "/" + p
	}
	if isURI {
		var err error
		if path, err = url.PathUnescape(path); err != nil {
			return nil, fmt.Errorf("connection.url: %w", err)
		}
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("connection.url: parameters: %w", err)
	}
	switch {
	case path == "", path == ":memory:", strings.EqualFold(params.Get("mode"), "memory"), params.Get("vfs") == "memdb":
		return nil, errors.New(noMemory)
	case strings.HasPrefix(path, ":resource:"):
		return nil, errors.New("a database in a Java archive cannot be written: name a file, as " + Forms)
	case strings.ContainsRune(path, 0):
		return nil, errors.New("connection.url: the path has a NUL")
	}
	l := &location{path: path, uri: url.Values{}, pragmas: map[string]string{}}
	return l, l.take(params)
}

// take sorts the parameters.
func (l *location) take(params url.Values) error {
	for name := range params {
		value := params.Get(name)
		allowed := pragmas[strings.ToLower(name)]
		switch {
		case allowed != nil && !allowed.MatchString(value):
			return fmt.Errorf("connection.url: parameter %s cannot be %q here: what is committed must be on the disk, and a number is in digits", name, value)
		case allowed != nil:
			l.pragmas[strings.ToLower(name)] = value
		case slices.Contains(uriParams, name):
			l.uri.Set(name, value)
		default:
			l.unused = append(l.unused, name)
		}
	}
	slices.Sort(l.unused)
	return nil
}

// dsn is the data source name of a path for the driver. Names in double quotes are never taken for texts (_dqs).
func dsn(path string, params url.Values) string {
	q := url.Values{"_dqs": {"0"}, "_error_rc": {"1"}}
	maps.Copy(q, params)
	escaped := (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()
	if filepath.VolumeName(path) != "" {
		escaped = "///" + escaped
	}
	return "file:" + escaped + "?" + q.Encode()
}
