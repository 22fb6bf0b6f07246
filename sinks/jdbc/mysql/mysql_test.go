// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
	"freshet/sinks/jdbc/dialect"
)

// readLiteral reads a text or hexadecimal literal as a server with backslash escapes does; false where it is not exactly
// one.
func readLiteral(s []byte) ([]byte, bool) {
	if digits, ok := bytes.CutPrefix(s, []byte("x'")); ok {
		digits, ok = bytes.CutSuffix(digits, []byte("'"))
		out, err := hex.DecodeString(string(digits))
		return out, ok && err == nil
	}
	if len(s) < 2 || s[0] != '\'' || s[len(s)-1] != '\'' {
		return nil, false
	}
	out := []byte{}
	for body := s[1 : len(s)-1]; len(body) > 0; body = body[1:] {
		switch body[0] {
		case '\'': // only doubled, which we do not write
			return nil, false
		case '\\':
			if body = body[1:]; len(body) == 0 {
				return nil, false // would take the end with it
			}
			escapes := map[byte]byte{'0': 0, 'n': '\n', 'r': '\r', 't': '\t', 'b': '\b', 'Z': 0x1a}
			if c, ok := escapes[body[0]]; ok {
				out = append(out, c)
				continue
			}
			out = append(out, body[0])
		default:
			out = append(out, body[0])
		}
	}
	return out, true
}

// FuzzLiteral: whatever a value holds, its literal is that value and nothing beside it.
func FuzzLiteral(f *testing.F) {
	for _, s := range []string{"", "a", "it's", `\`, `\'`, `'; drop table t; --`, "\x00\n\r\t\x1a\b", "\xbf'", "🎉"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		for _, literal := range [][]byte{appendQuoted([]byte("x"), p)[1:], appendQuoted(nil, string(p)), quoteFrom(append([]byte("x"), p...), 1)[1:], appendHex(nil, p)} {
			got, ok := readLiteral(literal)
			require.True(t, ok, "%q", literal)
			require.Equal(t, string(p), string(got))
		}
	})
}

// FuzzQuote: whatever a name holds, it is one identifier.
func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "a", "a`b", "`", "``", "`; drop table t; --", "sel\x00ect", "ü", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		q := New("jdbc:mysql://h/d", "UTC").Quote(name)
		require.True(t, len(q) >= 2 && q[0] == '`' && q[len(q)-1] == '`')
		body := q[1 : len(q)-1]
		require.NotContains(t, body, "\x00")
		require.NotContains(t, strings.ReplaceAll(body, "``", ""), "`")
		require.Equal(t, strings.ReplaceAll(name, "\x00", ""), strings.ReplaceAll(body, "``", "`"))
	})
}

func testPlan(unique ...[]string) *dialect.Plan {
	table := &dialect.Table{Name: dialect.Name{Schema: "s", Table: "t"}, Columns: []dialect.Column{{Name: "a"}, {Name: "b"}, {Name: "v"}}, Unique: unique}
	var fields []dialect.Field
	for i := range table.Columns {
		fields = append(fields, dialect.Field{Column: &table.Columns[i], Encode: appendInt})
	}
	return dialect.NewPlan(table, fields, 2)
}

// texts renders a form for the rows 1, 2, 3 and 4, 5, 6.
func texts(t *testing.T, d *Dialect, set *dialect.Set, kind dialect.Kind) string {
	t.Helper()
	f, err := d.newForm(set, kind)
	require.NoError(t, err)
	rows := [][]change.Value{
		{change.IntValue(1), change.IntValue(2), change.IntValue(3)},
		{change.IntValue(4), {}, change.IntValue(6)},
	}
	var out []byte
	add := func(parts []piece, row []change.Value) {
		out, err = appendPieces(out, parts, set.Plan, row, nil)
		require.NoError(t, err)
	}
	if f.head == "" {
		for i, parts := range f.alone {
			if i > 0 {
				out = append(out, ';')
			}
			add(parts, rows[0])
		}
		if f.missing != nil {
			out = append(out, " / "...)
			add(f.missing, rows[0])
		}
		return string(out)
	}
	out = append(out, f.head...)
	add(f.row, rows[0])
	out = append(out, f.separator...)
	add(f.row, rows[1])
	return string(append(out, f.tail...))
}

func TestForms(t *testing.T) {
	p := testPlan([]string{"b", "a"})
	my, maria := New("jdbc:mysql://h/d", "UTC"), New("jdbc:mariadb://h/d", "UTC")
	require.Equal(t, "INSERT INTO `s`.`t` (`a`,`b`,`v`) VALUES (1,2,3),(4,NULL,6)", texts(t, my, p.Full, dialect.Insert))
	require.Equal(t, "INSERT INTO `s`.`t` (`a`,`b`,`v`) VALUES (1,2,3),(4,NULL,6) AS incoming ON DUPLICATE KEY UPDATE `v`=incoming.`v`", texts(t, my, p.Full, dialect.Upsert))
	require.Equal(t, "INSERT INTO `s`.`t` (`a`,`b`,`v`) VALUES (1,2,3),(4,NULL,6) ON DUPLICATE KEY UPDATE `v`=VALUES(`v`)", texts(t, maria, p.Full, dialect.Upsert))
	require.Equal(t, "INSERT INTO `s`.`t` (`a`,`b`) VALUES (1,2),(4,NULL) AS incoming ON DUPLICATE KEY UPDATE `a`=incoming.`a`", texts(t, my, p.Keys, dialect.Upsert))
	require.Equal(t, "DELETE FROM `s`.`t` WHERE (`a`=1 AND `b`=2) OR (`a`=4 AND `b`=NULL)", texts(t, my, p.Keys, dialect.Delete))
	require.Equal(t, "UPDATE `s`.`t` SET `v`=3 WHERE `a`=1 AND `b`=2", texts(t, my, p.Full, dialect.Update))
	require.Empty(t, texts(t, my, p.Keys, dialect.Update), "a table that is all key has nothing to update")
	require.Equal(t, "UPDATE `s`.`t` SET `v`=3 WHERE `a`=1 AND `b`=2 / INSERT INTO `s`.`t` (`a`,`b`,`v`) VALUES (1,2,3)", texts(t, my, p.Full, dialect.Patch))
	require.Equal(t, "UPDATE `s`.`t` SET `a`=`a` WHERE `a`=1 AND `b`=2 / INSERT INTO `s`.`t` (`a`,`b`) VALUES (1,2)", texts(t, my, p.Keys, dialect.Patch))
	require.Equal(t, "DELETE FROM `s`.`t`", texts(t, my, p.Full, dialect.Truncate))
	one := dialect.NewPlan(p.Table, p.Fields, 1)
	require.Equal(t, "DELETE FROM `s`.`t` WHERE `a` IN (1,4)", texts(t, my, one.Keys, dialect.Delete))
	move := dialect.NewPlan(p.Table, []dialect.Field{p.Fields[0], p.Fields[0]}, 1)
	require.Equal(t, "UPDATE `s`.`t` SET `a`=2 WHERE `a`=1 AND NOT EXISTS (SELECT 1 FROM (SELECT 1 FROM `s`.`t` WHERE `a`=2 LIMIT 1) AS o);DELETE FROM `s`.`t` WHERE `a`=1",
		texts(t, my, move.Full, dialect.Move))
}

func TestVersions(t *testing.T) {
	for version, want := range map[string][2]bool{
		"9.7.4": {}, "8.4.0": {}, "8.0.20-log": {}, "8.0.19": {false, true}, "5.7.44": {false, true},
		"10.11.18-MariaDB-0+deb12u1": {true, false}, "5.5.5-10.11.2-MariaDB": {true, false}, "odd": {},
	} {
		d := New("jdbc:mysql://h/d", "UTC")
		d.knows(version)
		require.Equal(t, want, [2]bool{d.mariaDB.Load(), d.old.Load()}, version)
	}
}

// Nothing is updated, deleted or upserted without a key, whoever asks, nor upserted without an index of it.
func TestFormsNeedKeys(t *testing.T) {
	d := New("jdbc:mysql://h/d", "UTC")
	keyless := dialect.NewPlan(testPlan().Table, testPlan().Fields, 0)
	for _, kind := range []dialect.Kind{dialect.Upsert, dialect.Patch, dialect.Update, dialect.Delete, dialect.Move} {
		_, err := d.newForm(keyless.Full, kind)
		require.ErrorIs(t, err, dialect.ErrNoKey, "%s", kind)
	}
	for _, unique := range [][]string{{"a"}, {"a", "b", "v"}, {"a", ""}} {
		for _, kind := range []dialect.Kind{dialect.Upsert, dialect.Patch} {
			_, err := d.newForm(testPlan(unique).Full, kind)
			require.ErrorContains(t, err, "no unique index on the key columns a, b")
		}
	}
}

func TestTypes(t *testing.T) {
	for _, c := range []struct {
		kind   schema.Kind
		name   string
		params []schema.Param
		key    bool
		want   string
	}{
		{kind: schema.String, key: true, want: "varchar(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin"},
		{kind: schema.String, key: true, params: []schema.Param{{Name: sourceLength, Value: "36"}}, want: "varchar(36) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin"},
		{kind: schema.String, params: []schema.Param{{Name: sourceType, Value: "VARCHAR"}, {Name: sourceLength, Value: "20000"}}, want: "longtext"},
		{kind: schema.Bytes, key: true, want: "varbinary(255)"},
		{kind: schema.Bytes, name: schema.Bits, params: []schema.Param{{Name: "length", Value: "65"}}, want: "longtext"},
		{kind: schema.Bytes, name: schema.Decimal, params: []schema.Param{{Name: "scale", Value: "40"}, {Name: "connect.decimal.precision", Value: "80"}}, want: "decimal(65,30)"},
		{kind: schema.String, name: schema.Enum, params: []schema.Param{{Name: "allowed", Value: `a,b\,c,it's`}}, want: `enum('a','b,c','it\'s')`},
		{kind: schema.String, name: schema.EnumSet, params: []schema.Param{{Name: "allowed", Value: strings.Repeat("x,", 64) + "y"}}, want: "longtext"},
		{kind: schema.Int64, name: schema.MicroTimestamp, params: []schema.Param{{Name: sourceScale, Value: "3"}}, want: "datetime(3)"},
	} {
		got, err := New("jdbc:mysql://h/d", "UTC").ColumnType(&schema.Type{Kind: c.kind, Name: c.name, Params: c.params}, c.key)
		require.NoError(t, err)
		require.Equal(t, c.want, got)
	}
}

func TestDefaults(t *testing.T) {
	for want, typ := range map[string]*schema.Type{
		"":             {Kind: schema.String, Default: "text takes none"},
		"'it\\'s'":     {Kind: schema.String, Default: "it''s", Params: []schema.Param{{Name: sourceType, Value: "VARCHAR"}, {Name: sourceLength, Value: "9"}}},
		"'o\\'clock'":  {Kind: schema.String, Default: "o'clock", Params: []schema.Param{{Name: sourceType, Value: "VARCHAR"}, {Name: sourceLength, Value: "9"}}},
		"1":            {Kind: schema.Boolean, Default: true},
		"'2020-02-03'": {Kind: schema.Int32, Name: schema.Date, Default: int64(18295)},
		"'2024-01-01 00:00:00'": {
			Kind: schema.String, Name: schema.ZonedTimestamp, Default: "2024-01-01T00:00:00Z",
		},
	} {
		got, err := New("jdbc:mysql://h/d", "UTC").Default(typ)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	// The epoch stands for a default that a source could not tell; the server refuses it.
	got, err := New("jdbc:mysql://h/d", "UTC").Default(&schema.Type{Kind: schema.String, Name: schema.ZonedTimestamp, Default: "1970-01-01T00:00:00Z"})
	require.NoError(t, err)
	require.Empty(t, got)
}

// Days are written as java.time writes them, over ten thousand years and around the first.
func TestDays(t *testing.T) {
	for days, want := range map[int64]string{
		0: "1970-01-01", -719162: "0001-01-01", -719163: "0000-12-31", -719529: "-0001-12-31", 2932896: "9999-12-31", 2932897: "+10000-01-01",
		-2147472692: "-5877611-",
	} {
		require.Contains(t, string(appendDay(nil, days)), want)
	}
	for day := int64(-719528); day < 2932897; day += 173 {
		require.Equal(t, time.Unix(day*86400, 0).UTC().Format("2006-01-02"), string(appendDay(nil, day)))
	}
}

func TestEncodersAllocateNothing(t *testing.T) {
	var b change.Batch
	dst := make([]byte, 0, 1<<10)
	d := New("jdbc:mysql://h/d", "UTC")
	for _, c := range []struct {
		typ   *schema.Type
		value change.Value
	}{
		{&schema.Type{Kind: schema.Int64}, change.IntValue(-12345)},
		{&schema.Type{Kind: schema.Float64}, change.FloatValue(1.5)},
		{&schema.Type{Kind: schema.String}, b.Text("it's")},
		{&schema.Type{Kind: schema.Bytes}, b.BytesOf([]byte{1, 2})},
		{&schema.Type{Kind: schema.Bytes, Name: schema.Decimal, Params: []schema.Param{{Name: "scale", Value: "2"}}}, b.BytesOf([]byte{1, 2, 3})},
		{&schema.Type{Kind: schema.Int64, Name: schema.MicroTimestamp}, change.IntValue(1714979289123456)},
		{&schema.Type{Kind: schema.String, Name: schema.ZonedTimestamp}, b.Text("2024-05-06T05:08:09.123456Z")},
		{&schema.Type{Kind: schema.Int32, Name: schema.Date}, change.IntValue(19782)},
		{&schema.Type{Kind: schema.String, Name: schema.JSON}, b.Text(`{"a": 1}`)},
	} {
		encode, err := d.Encoder(c.typ, &dialect.Column{})
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
		url, user                      string
		addresses                      []string
		database, loginUser, variables string
		product                        string
		tls                            string // "", fallback, required, verified
		timeout, read                  time.Duration
	}{
		{url: "jdbc:mysql://db:3307/shop?rewriteBatchedStatements=true&connectTimeout=1500&socketTimeout=2000", user: "u", addresses: []string{"db:3307"}, database: "shop", loginUser: "u", product: "MySQL", tls: "fallback", timeout: 1500 * time.Millisecond, read: 2 * time.Second},
		{url: "jdbc:mysql://a,b:1,[::1]:2/shop?user=inner&password=x&sslMode=REQUIRED", addresses: []string{"a:3306", "b:1", "[::1]:2"}, database: "shop", loginUser: "inner", product: "MySQL", tls: "required"},
		{url: "jdbc:mysql:replication://a/shop?useSSL=false&sessionVariables=a=1,b='x'", user: "u", addresses: []string{"a:3306"}, database: "shop", loginUser: "u", product: "MySQL", variables: "a=1,b='x'"},
		{url: "jdbc:mysql://db?sslMode=VERIFY_IDENTITY", user: "u", addresses: []string{"db:3306"}, loginUser: "u", product: "MySQL", tls: "verified"},
		{url: "jdbc:mysql:///shop?useSSL=true&requireSSL=true", user: "u", addresses: []string{"localhost:3306"}, database: "shop", loginUser: "u", product: "MySQL", tls: "required"},
		{url: "jdbc:mariadb://db/sh%20op", user: "u", addresses: []string{"db:3306"}, database: "sh op", loginUser: "u", product: "MariaDB"},
		{url: "jdbc:mariadb://db/shop?sslMode=trust", user: "u", addresses: []string{"db:3306"}, database: "shop", loginUser: "u", product: "MariaDB", tls: "required"},
		{url: "mysql://in%40ner:p@ss:w@db:1/shop?ssl-mode=disabled", user: "outer", addresses: []string{"db:1"}, database: "shop", loginUser: "outer", product: "MySQL"},
		{url: "mariadb://in%40ner:x@db/shop", addresses: []string{"db:3306"}, database: "shop", loginUser: "in@ner", product: "MariaDB"},
	} {
		require.True(t, Matches(c.url))
		got, err := parseURL(dialect.Options{URL: c.url, User: c.user, Password: config.Secret(password)})
		require.NoError(t, err, c.url)
		require.Equal(t, c.addresses, got.addresses, c.url)
		require.Equal(t, c.database, got.config.DBName, c.url)
		require.Equal(t, c.loginUser, got.config.User, c.url)
		require.Equal(t, password, got.config.Passwd, c.url)
		require.Equal(t, c.variables, got.variables, c.url)
		require.Equal(t, c.product, got.product, c.url)
		mode := ""
		switch tlsConfig := got.config.TLS; {
		case tlsConfig == nil:
		case got.config.AllowFallbackToPlaintext:
			mode = "fallback"
		case tlsConfig.InsecureSkipVerify && tlsConfig.VerifyConnection == nil:
			mode = "required"
		default:
			mode = "verified"
		}
		require.Equal(t, c.tls, mode, c.url)
		if c.timeout > 0 {
			require.Equal(t, c.timeout, got.config.Timeout)
			require.Equal(t, c.read, got.config.ReadTimeout)
		}
	}
	require.False(t, Matches("jdbc:postgresql://db/shop"))
	require.Equal(t, "inner", User("jdbc:mysql://db/shop?user=inner"))
	require.Equal(t, "inner", User("mysql://inner:x@db/shop"))
	require.Empty(t, User("jdbc:mariadb://db/shop"))
	for _, bad := range []string{
		"mysql://u:" + password + "@db:port/x", "jdbc:mysql://db/x?sslMode=MAYBE&password=" + password, "jdbc:mysql://db/x?password=" + password + "%zz",
		"jdbc:mysql://address=(host=db)(port=1)/x", "jdbc:mysql://db/x?sslMode=VERIFY_CA&trustCertificateKeyStoreUrl=file:x.jks", "jdbc:mysql://db/x?sslMode=VERIFY_CA&serverSslCert=/nosuch",
	} {
		_, err := parseURL(dialect.Options{URL: bad})
		require.ErrorContains(t, err, "connection.url: ", bad)
		require.NotContains(t, err.Error(), password)
		require.NotEmpty(t, Problem(bad))
		require.NotContains(t, Problem(bad), password)
	}
	require.Empty(t, Problem("jdbc:mysql://db/x?sslMode=REQUIRED"))
	_, err := New("jdbc:mysql://127.0.0.1:1/x", "UTC").Open(t.Context(), dialect.Options{URL: "jdbc:mysql://127.0.0.1:1/x", User: "u", Password: password})
	require.ErrorContains(t, err, `connect to MySQL at 127.0.0.1:1, database "x", as "u"`)
	require.ErrorContains(t, err, "check host and port")
	require.NotContains(t, err.Error(), password)
}

// VERIFY_CA asks who signed the certificate and not whose it is.
func TestVerifyCA(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	for mode, want := range map[string]bool{"VERIFY_CA": true, "VERIFY_IDENTITY": false} {
		got, err := parseURL(dialect.Options{URL: "jdbc:mysql://db/x?sslMode=" + mode + "&serverSslCert=" + ca})
		require.NoError(t, err)
		c := got.config.TLS.Clone()
		c.ServerName = "another.name"
		conn, err := tls.Dial("tcp", server.Listener.Addr().String(), c)
		require.Equal(t, want, err == nil, "%s: %v", mode, err)
		if err == nil {
			require.NoError(t, conn.Close())
		}
	}
	got, err := parseURL(dialect.Options{URL: "jdbc:mysql://db/x?sslMode=VERIFY_CA"})
	require.NoError(t, err)
	_, err = tls.Dial("tcp", server.Listener.Addr().String(), got.config.TLS)
	require.Error(t, err, "the system's authorities have not signed it")
}

func TestClassify(t *testing.T) {
	for number, want := range map[uint16]dialect.Class{
		1213: dialect.Retry, 1205: dialect.Retry, 1836: dialect.Retry, 1021: dialect.Retry, 2006: dialect.Retry,
		1146: dialect.Stale, 1054: dialect.Stale,
		1062: dialect.Refuse, 1406: dialect.Refuse, 1364: dialect.Refuse, 3819: dialect.Refuse,
		1044: dialect.Other, 1064: dialect.Other,
	} {
		got, _ := (*Dialect)(nil).Classify(&dialect.GroupError{Err: &mysql.MySQLError{Number: number}})
		require.Equal(t, want, got, number)
	}
	for message, want := range map[string]dialect.Class{
		"The MySQL server is running with the --read-only option so it cannot execute this statement":        dialect.Retry,
		"The MySQL server is running with the --secure-file-priv option so it cannot execute this statement": dialect.Other,
	} {
		got, _ := (*Dialect)(nil).Classify(&mysql.MySQLError{Number: 1290, Message: message})
		require.Equal(t, want, got, message)
	}
	for state, want := range map[string]dialect.Class{"23000": dialect.Refuse, "22007": dialect.Refuse, "08S01": dialect.Retry, "40001": dialect.Retry, "42000": dialect.Other} {
		got, _ := (*Dialect)(nil).Classify(&mysql.MySQLError{Number: 60000, SQLState: [5]byte([]byte(state))})
		require.Equal(t, want, got, state)
	}
	for _, err := range []error{mysql.ErrInvalidConn, io.ErrUnexpectedEOF} {
		got, _ := (*Dialect)(nil).Classify(err)
		require.Equal(t, dialect.Retry, got)
	}
	got, _ := (*Dialect)(nil).Classify(errors.New("other"))
	require.Equal(t, dialect.Other, got)
	class, hint := (*Dialect)(nil).Classify(checkUnique(testPlan()))
	require.Equal(t, dialect.Other, class)
	require.Contains(t, hint, "unique index")
}
