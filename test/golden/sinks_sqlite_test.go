// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/sinks/jdbc/dialect"
	"freshet/sinks/jdbc/sqlite"
)

// sqliteSink is a sink that nobody recorded, because the original has no dialect for it.
const sqliteSink = "jdbc-sqlite"

// sqliteSkipped are the cases of PostgreSQL that mean nothing for SQLite, and why.
var sqliteSkipped = map[string]string{
	"pg-bad-credentials":         "SQLite has no users",
	"pg-missing-database":        "a file is created",
	"pg-unreachable":             "SQLite has no server",
	"pg-existing-enum-error":     "SQLite has no enum types",
	"pg-existing-identity":       "SQLite has no identity columns",
	"pg-existing-table-casts":    "SQLite has no types such as uuid and jsonb",
	"pg-life-update-mode":        "its script inserts fewer values than the table has columns; sinks/jdbc tests the mode",
	"pg-geometry-no-postgis":     "there is no PostGIS to be missing",
	"pg-validate-only-missing":   "refused before a database is asked",
	"pg-field-include-exclude":   "refused before a database is asked",
	"pg-upsert-key-none":         "refused before a database is asked",
	"pg-upsert-no-key-mode":      "refused before a database is asked",
	"pg-nokey-delete-enabled":    "refused before a database is asked",
	"pg-delete-key-record-value": "refused before a database is asked",
}

// TestGoldenSinksIntoSQLite puts the recorded inputs of PostgreSQL as a target into SQLite. What then is in the file, with
// its storage classes, and what became of the task is ours: expected/sqlite.
func TestGoldenSinksIntoSQLite(t *testing.T) {
	root := filepath.Join(goldenDir(), "sinks")
	dirs, err := filepath.Glob(filepath.Join(root, "pg-*"))
	require.NoError(t, err)
	require.NotEmpty(t, dirs)
	for name := range sqliteSkipped {
		require.True(t, slices.ContainsFunc(dirs, func(dir string) bool { return filepath.Base(dir) == name }), "%s is not recorded any more", name)
	}
	for _, dir := range dirs {
		name := filepath.Base(dir)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if reason := sqliteSkipped[name]; reason != "" {
				t.Skip(reason)
			}
			spec := readSinkCase(t, dir)
			spec.Sink = sqliteSink
			got := runSinkCase(t, dir, spec)
			outcome := []string{got.state}
			if got.trace != "" {
				causes := strings.Split(got.trace, "Caused by: ")
				cause, _, _ := strings.Cut(causes[len(causes)-1], "\n")
				outcome = append(outcome, cause)
			}
			for _, topic := range slices.Sorted(maps.Keys(got.consumed)) {
				outcome = append(outcome, topic+" "+got.consumed[topic])
			}
			got.files["outcome.txt"] = strings.Join(outcome, "\n") + "\n"
			expected := filepath.Join("expected", "sqlite", name)
			for file, text := range got.files {
				path := filepath.Join(expected, file)
				if *update && text != "" {
					require.NoError(t, os.MkdirAll(expected, 0o755))
					require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
				}
				want, err := os.ReadFile(path)
				if err != nil {
					require.ErrorIs(t, err, os.ErrNotExist)
				}
				require.Equal(t, string(want), text, "%s", file)
			}
		})
	}
}

// sqliteTarget is a file.
type sqliteTarget struct{ path string }

func (sqliteTarget) database() string { return "sqlite" }

func (s sqliteTarget) properties() map[string]string {
	return map[string]string{"connection.url": "jdbc:sqlite:" + s.path}
}

func (sqliteTarget) ours(recorded string) string { return recorded }

func (s sqliteTarget) open(t *testing.T) dialect.Session {
	t.Helper()
	session, err := sqlite.Dialect{}.Open(t.Context(), dialect.Options{URL: "jdbc:sqlite:" + s.path, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return session
}

func (s sqliteTarget) script(t *testing.T, text string) error {
	t.Helper()
	session := s.open(t)
	defer func() { require.NoError(t, session.Close(t.Context())) }()
	return session.Exec(t.Context(), ofPostgres.ReplaceAllString(text, ""))
}

// ofPostgres are statements of the recorder's scripts that SQLite needs no equivalent for.
var ofPostgres = regexp.MustCompile(`create (extension|schema) \w+;`)

// dump writes columns with their declared types and rows with values as SQLite's quote() has them, which tells the storage
// class.
func (s sqliteTarget) dump(t *testing.T) (ddl, rows string) {
	t.Helper()
	session := s.open(t)
	defer func() { require.NoError(t, session.Close(t.Context())) }()
	query := func(sql string, args ...string) (out [][]*string) {
		require.NoError(t, session.Query(t.Context(), sql, func(columns [][]byte) error {
			row := make([]*string, len(columns))
			for i, c := range columns {
				if c != nil {
					text := string(c)
					row[i] = &text
				}
			}
			out = append(out, row)
			return nil
		}, args...))
		return out
	}
	var lines, out strings.Builder
	for _, table := range query("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name") {
		name := *table[0]
		var names, values, key []string
		for _, c := range query(`SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_xinfo(?1) ORDER BY cid`, name) {
			fmt.Fprintf(&lines, "%s.%s %s", name, *c[0], *c[1])
			if *c[2] == "1" {
				lines.WriteString(" NOT NULL")
			}
			if c[3] != nil {
				lines.WriteString(" DEFAULT " + *c[3])
			}
			lines.WriteString("\n")
			names, values = append(names, *c[0]), append(values, "quote("+sqlite.Dialect{}.Quote(*c[0])+")")
		}
		for _, c := range query("SELECT name FROM pragma_table_xinfo(?1) WHERE pk > 0 ORDER BY pk", name) {
			key = append(key, *c[0])
		}
		if len(key) > 0 {
			fmt.Fprintf(&lines, "%s PRIMARY KEY (%s)\n", name, strings.Join(key, ","))
		}
		var texts []string
		for _, row := range query("SELECT " + strings.Join(values, ", ") + " FROM " + sqlite.Dialect{}.Quote(name)) {
			texts = append(texts, rowText(names, row))
		}
		sortKeyless(texts)
		for _, row := range texts {
			fmt.Fprintf(&out, "{\"table\": %s, \"row\": %s}\n", pythonJSON(name), row)
		}
	}
	return lines.String(), out.String()
}
