// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
	"freshet/sinks/jdbc/dialect"
)

func TestFold(t *testing.T) {
	for in, want := range map[string]string{
		"Upper_Case": "upper_case", "a1$": "a1$", "Ünïcode": "Ünïcode", "ÄB": "Äb", // ASCII only, as the server does
		"a-B": "a-B", "1A": "1A", "$A": "$A", "A b": "A b", "": "",
	} {
		require.Equal(t, want, Dialect{}.Fold(in), in)
	}
}

func TestPlaceholder(t *testing.T) {
	for n, want := range map[int]string{1: "$1", 9: "$9", 10: "$10", 1600: "$1600"} {
		require.Equal(t, want, Dialect{}.Placeholder(n))
	}
}

// unquote reads a quoted identifier by the rules of PostgreSQL's scanner; false where it is not exactly one.
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return "", false
	}
	var name strings.Builder
	for body := s[1 : len(s)-1]; body != ""; body = body[1:] {
		if body[0] == 0 {
			return "", false
		}
		if body[0] == '"' {
			if len(body) < 2 || body[1] != '"' {
				return "", false
			}
			body = body[1:]
		}
		name.WriteByte(body[0])
	}
	return name.String(), true
}

func FuzzQuoteIdentifier(f *testing.F) {
	for _, s := range []string{"", "a", `a"b`, `"`, `""`, `";drop table t;--`, "sel\x00ect", `\`, "ü", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got, ok := unquote(Dialect{}.Quote(name))
		require.True(t, ok, "%q", Dialect{}.Quote(name))
		require.Equal(t, strings.ReplaceAll(name, "\x00", ""), got)
	})
}

// FuzzQuoteLiteral reads literals back by the rules of plain and of E” strings.
func FuzzQuoteLiteral(f *testing.F) {
	for _, s := range []string{"", "a", "it's", `\`, `\'`, `'\''`, "\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		q := quoteLiteral(s)
		body, escapes := strings.CutPrefix(q, " E")
		require.True(t, len(body) >= 2 && body[0] == '\'' && body[len(body)-1] == '\'', q)
		body = strings.ReplaceAll(body[1:len(body)-1], "''", "\x00")
		require.NotContains(t, body, "'")
		if escapes {
			body = strings.ReplaceAll(body, `\\`, "\x01")
			require.NotContains(t, body, `\`)
			body = strings.ReplaceAll(body, "\x01", `\`)
		}
		if !strings.ContainsAny(s, "\x00\x01") {
			require.Equal(t, s, strings.ReplaceAll(body, "\x00", "'"))
		}
	})
}

func FuzzEscapes(f *testing.F) {
	f.Add([]byte("a\tb\\\n"), 0)
	f.Add([]byte(`q"\`), 1)
	f.Fuzz(func(t *testing.T, p []byte, mark int) {
		mark = max(0, min(mark, len(p)))
		escaped := escapeFrom(append([]byte(nil), p...), mark)
		require.Equal(t, string(p[:mark]), string(escaped[:mark]))
		var back []byte
		for s := escaped[mark:]; len(s) > 0; s = s[1:] {
			c := s[0]
			require.NotContains(t, "\n\t\r", string(c))
			if c == '\\' {
				s = s[1:]
				c = map[byte]byte{'\\': '\\', 'n': '\n', 'r': '\r', 't': '\t', 'b': '\b', 'f': '\f', 'v': '\v'}[s[0]]
			}
			back = append(back, c)
		}
		require.Equal(t, string(p[mark:]), string(back))

		quoted := quoteFrom(append([]byte(nil), p...), mark)
		text := string(quoted[mark:])
		require.True(t, strings.HasPrefix(text, `"`) && strings.HasSuffix(text, `"`))
		text = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(text[1 : len(text)-1])
		require.Equal(t, string(p[mark:]), text)
	})
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
		{&schema.Type{Kind: schema.Bytes, Name: schema.Decimal, Params: []schema.Param{{Name: "scale", Value: "2"}}}, b.BytesOf([]byte{1, 2, 3})},
		{&schema.Type{Kind: schema.Int64, Name: schema.MicroTimestamp}, change.IntValue(1714979289123456)},
		{&schema.Type{Kind: schema.String, Name: schema.ZonedTimestamp}, b.Text("2024-05-06T05:08:09.123456Z")},
		{&schema.Type{Kind: schema.Int32, Name: schema.Date}, change.IntValue(19782)},
		{&schema.Type{Kind: schema.String, Name: schema.JSON}, b.Text(`{"a": 1}`)},
	} {
		encode, err := Dialect{}.Encoder(c.typ, &dialect.Column{})
		require.NoError(t, err)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if _, err := encode(dst, &b, c.value); err != nil {
				t.Fatal(err)
			}
		}), "%s %s", c.typ.Kind, c.typ.Name)
	}
}

func TestURLs(t *testing.T) {
	const password = "canary-4711"
	for _, c := range []struct {
		url, user, host, database, loginUser string
		port                                 uint16
		params                               map[string]string
	}{
		{
			url: "jdbc:postgresql://db:5433/shop?ApplicationName=app&reWriteBatchedInserts=true&currentSchema=s", user: "u", host: "db", port: 5433, database: "shop", loginUser: "u",
			params: map[string]string{"application_name": "app", "search_path": "s"},
		},
		{
			url: "jdbc:postgresql://db/shop?user=u&options=-c%20lock_timeout%3D1s&ApplicationName=a%2Bb", host: "db", port: 5432, database: "shop", loginUser: "u",
			params: map[string]string{"options": "-c lock_timeout=1s", "application_name": "a+b"},
		},
		{url: "jdbc:postgresql://db/shop?user=inner&password=x", host: "db", port: 5432, database: "shop", loginUser: "inner"},
		{url: "jdbc:postgresql:shop", user: "u", host: "localhost", port: 5432, database: "shop", loginUser: "u"},
		{url: "jdbc:postgresql:///shop", user: "u", host: "localhost", port: 5432, database: "shop", loginUser: "u"},
		{url: "postgres://inner:x@db:1/shop", user: "outer", host: "db", port: 1, database: "shop", loginUser: "outer", params: map[string]string{"application_name": "freshet"}},
	} {
		require.True(t, Matches(c.url))
		cfg, err := parseURL(dialect.Options{URL: c.url, User: c.user, Password: config.Secret(password), ConnectTimeout: time.Second})
		require.NoError(t, err, c.url)
		require.Equal(t, c.host, cfg.Host, c.url)
		require.Equal(t, c.port, cfg.Port, c.url)
		require.Equal(t, c.database, cfg.Database, c.url)
		require.Equal(t, c.loginUser, cfg.User, c.url)
		require.Equal(t, password, cfg.Password, c.url)
		for k, v := range c.params {
			require.Equal(t, v, cfg.RuntimeParams[k], c.url)
		}
	}
	require.False(t, Matches("jdbc:mysql://db/shop"))
	require.Equal(t, "inner", User("jdbc:postgresql://db/shop?user=inner"))
	require.Equal(t, "inner", User("postgres://inner:x@db/shop"))
	require.Empty(t, User("jdbc:postgresql://db/shop"))

	cfg, err := parseURL(dialect.Options{URL: "jdbc:postgresql://db/shop?ssl=true&sslmode=disable&targetServerType=primary"})
	require.NoError(t, err)
	require.Nil(t, cfg.TLSConfig, "sslmode wins over ssl")
	require.NotNil(t, cfg.ValidateConnect)

	_, err = parseURL(dialect.Options{URL: "postgres://u:" + password + "@db:port/x"})
	require.Error(t, err)
	require.NotContains(t, err.Error(), password)
	_, err = Dialect{}.Open(t.Context(), dialect.Options{URL: "jdbc:postgresql://127.0.0.1:1/x", User: "u", Password: password})
	require.ErrorContains(t, err, `connect to PostgreSQL at 127.0.0.1:1, database "x", as "u"`)
	require.NotContains(t, err.Error(), password)
}

func TestClassify(t *testing.T) {
	for code, want := range map[string]dialect.Class{
		"40P01": dialect.Retry, "40001": dialect.Retry, "08006": dialect.Retry, "53300": dialect.Retry, "57P01": dialect.Retry, "55P03": dialect.Retry,
		"42P01": dialect.Stale, "42703": dialect.Stale,
		"23502": dialect.Refuse, "22003": dialect.Refuse, "21000": dialect.Refuse,
		"42501": dialect.Other, "42P10": dialect.Other, "28P01": dialect.Other, "3D000": dialect.Other,
	} {
		got, _ := Dialect{}.Classify(&dialect.GroupError{Err: &pgconn.PgError{Code: code}})
		require.Equal(t, want, got, code)
	}
	class, hint := Dialect{}.Classify(&pgconn.PgError{Code: "42P10"})
	require.Equal(t, dialect.Other, class)
	require.Contains(t, hint, "unique index")
}

func TestParseTextArray(t *testing.T) {
	require.Nil(t, parseTextArray([]byte("{}")))
	require.Equal(t, []string{"a", "b c", `d"e\`, "f,g"}, parseTextArray([]byte(`{a,"b c","d\"e\\","f,g"}`)))
}
