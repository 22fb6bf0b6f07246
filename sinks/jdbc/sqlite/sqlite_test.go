// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"math/big"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks/jdbc/dialect"
)

// openFile opens a session on a file of the test.
func openFile(t testing.TB, path, params string) *Session {
	t.Helper()
	s, err := Dialect{TimeZone: "UTC"}.Open(t.Context(), dialect.Options{URL: "jdbc:sqlite:" + path + params, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close(t.Context())) })
	return s.(*Session)
}

func newFile(t testing.TB) (*Session, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a b#%?.db")
	return openFile(t, "file:"+strings.NewReplacer("%", "%25", "?", "%3F", "#", "%23").Replace(path), ""), path
}

func TestAffinity(t *testing.T) {
	s, _ := newFile(t)
	for i, declared := range []string{
		"", "INT", "INTEGER", "TINYINT", "BIGINT UNSIGNED", "INTERVAL", "FLOATING POINT", "CHARINT", "CHARACTER(20)", "VARCHAR(255)", "NVARCHAR(100)", "TEXT",
		"CLOB", "BLOB", "REAL", "DOUBLE PRECISION", "FLOAT", "NUMERIC", "DECIMAL(10,5)", "BOOLEAN", "DATE", "DATETIME", "TIMESTAMP", "TIME", "STRING", "JSON", "UUID", "ANY",
	} {
		name := "t" + strconv.Itoa(i)
		require.NoError(t, s.Exec(t.Context(), `CREATE TABLE "`+name+`" (v `+declared+`); INSERT INTO "`+name+`" VALUES ('1e2'), ('5'), (7)`))
		want := map[byte]string{
			integerAffinity: "integer,integer,integer", realAffinity: "real,real,real", textAffinity: "text,text,text",
			numericAffinity: "integer,integer,integer", noAffinity: "text,text,integer",
		}[affinityOf(declared, false)]
		require.Equal(t, want, textIn(t, s, `SELECT group_concat(typeof(v)) FROM "`+name+`"`), declared)
	}
	require.Equal(t, byte(noAffinity), affinityOf("any", true))
}

// textIn is the one value that a query gives.
func textIn(t testing.TB, s *Session, sql string, args ...string) string {
	t.Helper()
	var out []string
	require.NoError(t, s.Query(t.Context(), sql, func(c [][]byte) error {
		if c[0] == nil {
			out = append(out, "NULL")
			return nil
		}
		out = append(out, string(c[0]))
		return nil
	}, args...))
	require.Len(t, out, 1)
	return out[0]
}

func TestURLs(t *testing.T) {
	for url, want := range map[string]string{
		"jdbc:sqlite:/a/b.db":               "/a/b.db",
		"jdbc:sqlite:b.db":                  "b.db",
		"jdbc:sqlite:/a/100%.db":            "/a/100%.db",
		"jdbc:sqlite:file:/a%20b.db":        "/a b.db",
		"jdbc:sqlite:file:///a/b.db":        "/a/b.db",
		"jdbc:sqlite:file://localhost/a":    "/a",
		"sqlite:///a/b.db":                  "/a/b.db",
		"sqlite:b.db":                       "b.db",
		"sqlite:/a/b.db?busy_timeout=9":     "/a/b.db",
		"jdbc:sqlite:b.db?journal_mode=wal": "b.db",
	} {
		require.True(t, Matches(url))
		require.Empty(t, Problem(url), url)
		l, err := parseURL(url)
		require.NoError(t, err)
		require.Equal(t, want, l.path, url)
	}
	for url, want := range map[string]string{
		"jdbc:sqlite::memory:":                   "in memory",
		"jdbc:sqlite:":                           "in memory",
		"jdbc:sqlite:file::memory:?cache=shared": "in memory",
		"jdbc:sqlite:file:x?mode=memory":         "in memory",
		"jdbc:sqlite::resource:x.db":             "Java archive",
		"sqlite://host/a.db":                     `no host "host"`,
		"jdbc:sqlite:a.db?journal_mode=off":      "what is committed must be on the disk",
		"jdbc:sqlite:a.db?busy_timeout=x;drop":   "parameter",
		"jdbc:sqlite:file:%zz":                   "invalid URL escape",
	} {
		require.True(t, Matches(url))
		require.Contains(t, Problem(url), want, url)
	}
	for _, url := range []string{"jdbc:postgresql://a/b", "postgres://a/b", "sqlite3.db"} {
		require.False(t, Matches(url))
	}
	l, err := parseURL("jdbc:sqlite:a.db?synchronous=off&cache_size=-2000&mode=ro")
	require.NoError(t, err)
	require.Equal(t, []string{"synchronous"}, l.unused)
	require.Equal(t, "ro", l.uri.Get("mode"))
	require.Equal(t, map[string]string{"cache_size": "-2000"}, l.pragmas)
}

func TestSessionSettings(t *testing.T) {
	s, path := newFile(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"} {
		require.Equal(t, want, textIn(t, s, "PRAGMA "+pragma), pragma)
	}
	require.FileExists(t, path)
	other := openFile(t, filepath.Join(t.TempDir(), "x.db"), "?journal_mode=DELETE&foreign_keys=off&busy_timeout=7")
	for pragma, want := range map[string]string{"journal_mode": "delete", "synchronous": "2", "foreign_keys": "0", "busy_timeout": "7"} {
		require.Equal(t, want, textIn(t, other, "PRAGMA "+pragma), pragma)
	}
}

// A name that is none must not become a text: UPDATE and DELETE would match nothing, unseen.
func TestUnknownNamesAreErrors(t *testing.T) {
	s, _ := newFile(t)
	require.NoError(t, s.Exec(t.Context(), "CREATE TABLE t (a INTEGER PRIMARY KEY)"))
	for _, sql := range []string{`DELETE FROM t WHERE "nosuch"='x'`, `SELECT "nosuch" FROM t`, `UPDATE "none" SET a=1`} {
		err := s.Exec(t.Context(), sql)
		class, _ := Dialect{}.Classify(err)
		require.Equal(t, dialect.Stale, class, "%v", err)
	}
}

func TestTable(t *testing.T) {
	s, _ := newFile(t)
	require.NoError(t, s.Exec(t.Context(), `CREATE TABLE "Items" (b TEXT, "A" VARCHAR(5) NOT NULL, d DEFAULT 5, g AS (b || 'x') STORED, PRIMARY KEY ("A", b)) WITHOUT ROWID;
		CREATE TABLE child (id INTEGER PRIMARY KEY, r REFERENCES parent ON DELETE SET NULL);
		CREATE TABLE parent (id INTEGER PRIMARY KEY);
		CREATE TABLE plain (id INTEGER PRIMARY KEY, r REFERENCES parent);
		CREATE TABLE exact (id INT, v ANY) STRICT`))
	got, err := s.Table(t.Context(), dialect.Name{Table: "iTEMS"})
	require.NoError(t, err)
	require.Equal(t, &dialect.Table{
		Name: dialect.Name{Table: "Items"}, Key: []string{"A", "b"},
		Columns: []dialect.Column{
			{Name: "b", Type: "TEXT", Class: textAffinity, Modifier: -1, NotNull: true},
			{Name: "A", Type: "VARCHAR(5)", Class: textAffinity, Modifier: -1, NotNull: true},
			{Name: "d", Class: noAffinity, Modifier: -1, HasDefault: true},
			{Name: "g", Class: noAffinity, Modifier: -1, Generated: true},
		},
	}, got)
	for name, cascades := range map[string]bool{"parent": true, "PARENT": true, "child": false, "plain": false} {
		got, err := s.Table(t.Context(), dialect.Name{Schema: "main", Table: name})
		require.NoError(t, err)
		require.Equal(t, cascades, got.Cascades, name)
	}
	got, err = s.Table(t.Context(), dialect.Name{Table: "exact"})
	require.NoError(t, err)
	require.Equal(t, byte(noAffinity), got.Columns[1].Class)
	got, err = s.Table(t.Context(), dialect.Name{Table: "none"})
	require.NoError(t, err)
	require.Nil(t, got)
	_, err = s.Table(t.Context(), dialect.Name{Schema: "public", Table: "t"})
	class, hint := Dialect{}.Classify(err)
	require.ErrorContains(t, err, "SQLite has no schemas")
	require.Equal(t, dialect.Other, class)
	require.Contains(t, hint, "collection.name.format")
}

func TestEncodersAllocateNothing(t *testing.T) {
	var b change.Batch
	dst := make([]byte, 0, 1<<10)
	for _, c := range []struct {
		typ   *schema.Type
		value change.Value
	}{
		{&schema.Type{Kind: schema.Int64}, change.IntValue(-12345)},
		{&schema.Type{Kind: schema.Float64}, change.FloatValue(1.5)},
		{&schema.Type{Kind: schema.String}, b.Text("text")},
		{&schema.Type{Kind: schema.Bytes}, b.BytesOf([]byte{1, 2})},
		{&schema.Type{Kind: schema.Int64, Name: schema.MicroTimestamp}, change.IntValue(1714979289123456)},
		{&schema.Type{Kind: schema.String, Name: schema.ZonedTimestamp}, b.Text("2024-05-06T05:08:09.123456Z")},
		{&schema.Type{Kind: schema.Int32, Name: schema.Date}, change.IntValue(19782)},
	} {
		declared, err := Dialect{}.ColumnType(c.typ, false)
		require.NoError(t, err)
		encode, err := Dialect{}.Encoder(c.typ, &dialect.Column{Class: affinityOf(declared, false)})
		require.NoError(t, err)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if _, err := encode(dst, &b, c.value); err != nil {
				t.Fatal(err)
			}
		}), "%s %s", c.typ.Kind, c.typ.Name)
	}
}

func TestClocks(t *testing.T) {
	for nanos, want := range map[int64]string{
		0: "00:00:00", 86_400_000_000_000: "24:00:00", 1: "00:00:00.000000001", -1: "-00:00:00.000000001", 1_000: "00:00:00.000001",
		-1_000_000_500: "-00:00:01.000000500", 1_500_000_001: "00:00:01.500000001", -361_815_123_456_000: "-100:30:15.123456",
	} {
		require.Equal(t, want, string(appendClock(nil, nanos)), nanos)
	}
	for days, want := range map[int64]string{0: "1970-01-01", -719162: "0001-01-01", -719163: "0000-12-31", -719529: "-0001-12-31", 2932897: "10000-01-01"} {
		require.Equal(t, want, string(appendDay(nil, days)), days)
	}
}

// FuzzTexts: whatever text goes into a column of any affinity is read back as it was, or refused.
func FuzzTexts(f *testing.F) {
	for _, s := range []string{"", "a", "007", "12", "-5", "1e5", "1.10", " 7 ", "+3", ".5", "5.", "1e", "0x10", "NaN", "infinity", "9223372036854775808", "12\x00a", "\x0012", "2024-05-06", "\xff", "--1", "1e5x", "-0", "1_000"} {
		f.Add(s)
	}
	s, err := Dialect{}.Open(f.Context(), dialect.Options{URL: "jdbc:sqlite:" + filepath.Join(f.TempDir(), "fuzz.db")})
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, s.Close(f.Context())) })
	session := s.(*Session)
	require.NoError(f, s.Exec(f.Context(), "CREATE TABLE t (t TEXT, n NUMERIC, b BLOB)"))
	f.Fuzz(func(t *testing.T, text string) {
		for column, class := range map[string]byte{"t": textAffinity, "n": numericAffinity, "b": noAffinity} {
			encode, err := Dialect{}.Encoder(&schema.Type{Kind: schema.String}, &dialect.Column{Name: column, Class: class})
			require.NoError(t, err)
			var b change.Batch
			p, err := encode(nil, &b, b.Text(text))
			if err != nil {
				require.Equal(t, byte(numericAffinity), class, "%q", text)
				continue
			}
			require.NoError(t, s.Exec(t.Context(), "DELETE FROM t"))
			st, err := session.conn.Prepare("INSERT INTO t (" + column + ") VALUES (?1)")
			require.NoError(t, err)
			_, err = st.Exec([]driver.Value{valueOf(p)}) //nolint:staticcheck // the short way
			require.NoError(t, err)
			require.NoError(t, st.Close())
			require.Equal(t, fmt.Sprintf("%X", text), textIn(t, session, "SELECT hex(CAST("+column+" AS BLOB)) FROM t"))
		}
		if !strings.Contains(text, "\x00") {
			quoted, err := literal(append([]byte{asText}, text...))
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("%X", text), textIn(t, session, "SELECT hex(CAST("+quoted+" AS BLOB))"))
		}
	})
}

// FuzzDecimals: a decimal in a column of numbers is the same number when it is read back, or refused.
func FuzzDecimals(f *testing.F) {
	f.Add(int64(110), int8(2))
	f.Add(int64(math.MaxInt64), int8(0))
	f.Add(int64(1<<53+1), int8(0))
	f.Add(int64(1), int8(-30))
	f.Add(int64(999999999999999), int8(120))
	session, _ := newFile(f)
	require.NoError(f, session.Exec(f.Context(), "CREATE TABLE t (i INTEGER, n NUMERIC, r REAL)"))
	f.Fuzz(func(t *testing.T, unscaled int64, scale int8) {
		typ := &schema.Type{Kind: schema.Bytes, Name: schema.Decimal, Params: []schema.Param{{Name: "scale", Value: strconv.Itoa(int(scale))}}}
		for column, class := range map[string]byte{"i": integerAffinity, "n": numericAffinity, "r": realAffinity} {
			encode, err := Dialect{}.Encoder(typ, &dialect.Column{Name: column, Class: class})
			require.NoError(t, err)
			var b change.Batch
			p, err := encode(nil, &b, b.BytesOf(binary.BigEndian.AppendUint64(nil, uint64(unscaled))))
			if err != nil {
				continue
			}
			require.NoError(t, session.Exec(t.Context(), "DELETE FROM t"))
			st, err := session.conn.Prepare("INSERT INTO t (" + column + ") VALUES (?1)")
			require.NoError(t, err)
			_, err = st.Exec([]driver.Value{valueOf(p)}) //nolint:staticcheck // the short way
			require.NoError(t, err)
			require.NoError(t, st.Close())
			rows, err := session.conn.QueryContext(t.Context(), "SELECT "+column+" FROM t", nil)
			require.NoError(t, err)
			values := make([]driver.Value, 1)
			require.NoError(t, rows.Next(values))
			require.NoError(t, rows.Close())
			require.True(t, sameNumber(unscaled, int(scale), values[0]), "%d·10^-%d is %v", unscaled, scale, values[0])
		}
	})
}

// sameNumber compares a decimal with what was read: an integer, or a float by its shortest digits.
func sameNumber(unscaled int64, scale int, got driver.Value) bool {
	text := fmt.Sprint(got)
	if f, ok := got.(float64); ok {
		text = strconv.FormatFloat(f, 'e', -1, 64)
	}
	want, _ := new(big.Rat).SetString(fmt.Sprintf("%de%d", unscaled, -scale))
	is, ok := new(big.Rat).SetString(text)
	return ok && is.Cmp(want) == 0
}
