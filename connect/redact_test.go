// SPDX-License-Identifier: Apache-2.0

package connect_test

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/config"
	"freshet/connect"
)

func TestRedactText(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "connect to 127.0.0.1:5432/shop", "connect to 127.0.0.1:5432/shop"},
		{"url", "postgres://app:canary@db/shop?sslmode=off", "postgres://app:****@db/shop?sslmode=off"},
		{"url, odd password", "postgres://app:c%40n:ary@db/shop", "postgres://app:****@db/shop"},
		{"url, password not escaped", `postgres://app:ca/n#a@r:y?"@db/shop x`, "postgres://app:****@db/shop x"},
		{"url, address before an @", "jdbc:postgresql://db:5432/shop?user=app@tenant", "jdbc:postgresql://db:5432/shop?user=app@tenant"},
		{"two urls", "from postgres://a:canary@x to postgres://b:canary@y", "from postgres://a:****@x to postgres://b:****@y"},
		{"url without password", "postgres://app@db/shop", "postgres://app@db/shop"},
		{"jdbc", "jdbc:postgresql://db/shop?user=app&password=canary&ssl=on", "jdbc:postgresql://db/shop?user=app&password=****&ssl=on"},
		{"dsn", "host=db password=canary user=app", "host=db password=**** user=app"},
		{"dsn quoted", `host=db password='can ary\'s' user=app`, `host=db password=**** user=app`},
		{"dsn double quoted", `password="can ary" x`, `password=**** x`},
		{"capitals", "PASSWORD = canary", "PASSWORD = ****"},
		{"key file", "sslpassword=canary", "sslpassword=****"},
		{"two", "password=a, passwd=b", "password=****, passwd=****"},
		{"a word", "password authentication failed for user \"app\"", "password authentication failed for user \"app\""},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, connect.RedactText(c.in)) })
	}
}

func TestRedactValue(t *testing.T) {
	require.Equal(t, "postgres://app:****@db/shop", connect.RedactValue("postgres://app:ca na\nry@db/shop"))
	require.Equal(t, "host=db user=app", connect.RedactValue("host=db user=app"))
}

func TestRedactAndUnmask(t *testing.T) {
	def := &config.Def{Keys: []config.Key{
		{Name: "database.password", Type: config.Password},
		{Name: "token.file.password.name", Type: config.String},
		{Name: "connection.url", Type: config.String},
	}}
	stored := map[string]string{
		"database.password": "canary", "token.file.password.name": "shown", "connection.url": "jdbc:postgresql://h/d?user=a&password=canary",
		"database.pasword": "shown too", "database.ssl.keystore.password": "canary", "sasl.jaas.config": "canary", "producer.override.ssl.keystore.key": "canary", "empty.password": "",
		"reference.password": "${file:/secrets:pw}", "name": "c",
	}
	shown := connect.Redact(def, stored)
	require.Equal(t, map[string]string{
		"database.password": "****", "token.file.password.name": "shown", "connection.url": "jdbc:postgresql://h/d?user=a&password=****",
		"database.pasword": "shown too", "database.ssl.keystore.password": "****", "sasl.jaas.config": "****", "producer.override.ssl.keystore.key": "****", "empty.password": "",
		"reference.password": "${file:/secrets:pw}", "name": "c",
	}, shown)

	changed := map[string]string{}
	maps.Copy(changed, shown)
	changed["name"], changed["new"] = "d", "****"
	want := map[string]string{}
	maps.Copy(want, stored)
	want["name"], want["new"] = "d", "****"
	require.Equal(t, want, connect.Unmask(def, changed, stored), "what was shown and sent back is the stored value")

	changed["connection.url"] = "jdbc:postgresql://other/d?user=a&password=****"
	require.Equal(t, changed["connection.url"], connect.Unmask(def, changed, stored)["connection.url"], "a changed URL needs its password anew")
}
