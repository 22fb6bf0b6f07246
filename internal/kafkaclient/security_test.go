// SPDX-License-Identifier: Apache-2.0

package kafkaclient

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/emitter/topic"
	"freshet/emitter/topic/kafka"
	"freshet/internal/kafkaserver"
	"freshet/internal/testdb"
)

func fixture(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", name))
	require.NoError(t, err)
	return path
}

func content(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(fixture(t, name))
	require.NoError(t, err)
	return string(text)
}

// forAll gives all kinds of clients the same settings.
func forAll(properties map[string]string) map[string]string {
	out := map[string]string{}
	for name, value := range properties {
		for _, k := range Kinds {
			out[string(k)+"."+name] = value
		}
	}
	return out
}

// securedBroker has a listener with TLS, which wants certificates of clients, and one with logins.
func securedBroker(t *testing.T) *kafkaserver.Server {
	t.Helper()
	const password = "changeit"
	const listener = "listener.name.sasl_plaintext."
	s := testdb.NewKafka(t, kafkaserver.Options{Listeners: []string{"SSL", "SASL_PLAINTEXT"}, Settings: map[string]string{
		"ssl.keystore.location": fixture(t, "broker.p12"), "ssl.keystore.password": password, "ssl.keystore.type": "PKCS12",
		"ssl.truststore.location": fixture(t, "clients.p12"), "ssl.truststore.password": password, "ssl.truststore.type": "PKCS12",
		"ssl.client.auth": "required", "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
		listener + "plain.sasl.jaas.config":         `org.apache.kafka.common.security.plain.PlainLoginModule required user_worker="right";`,
		listener + "scram-sha-256.sasl.jaas.config": `org.apache.kafka.common.security.scram.ScramLoginModule required;`,
		listener + "scram-sha-512.sasl.jaas.config": `org.apache.kafka.common.security.scram.ScramLoginModule required;`,
		listener + "oauthbearer.sasl.jaas.config":   `org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";`,
	}})
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Address()))
	require.NoError(t, err)
	defer client.Close()
	set, err := kadm.NewClient(client).AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{
		{User: "scram256", Mechanism: kadm.ScramSha256, Iterations: 4096, Password: "right256"},
		{User: "scram512", Mechanism: kadm.ScramSha512, Iterations: 4096, Password: "right512"},
	})
	require.NoError(t, err)
	require.NoError(t, set.Error())
	return s
}

// marks are a store that keeps nothing.
type marks struct{ kafka.MarkStore }

// use opens a log by properties, and writes and reads a record.
func use(t *testing.T, properties map[string]string) error {
	t.Helper()
	w, problems := NewWorker(properties)
	errs, _ := texts(problems)
	require.Empty(t, errs)
	o, err := w.Options(nil, "")
	require.NoError(t, err)
	o.Marks = marks{}
	l, err := kafka.Open(o)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	defer func() { _ = l.Close(ctx) }()
	if err := l.Connect(ctx, nil); err != nil {
		return err
	}
	done := make(chan error, 1)
	l.Append(ctx, topic.Unit{Records: []topic.Record{{Topic: "t", Partition: topic.AnyPartition, Value: topic.Data{Body: []byte("x")}}}}, func(err error) { done <- err })
	if err := <-done; err != nil {
		return err
	}
	c, err := l.Subscribe(ctx, topic.Subscription{Topics: []string{"t"}})
	if err != nil {
		return err
	}
	_, err = c.Poll(ctx, 1)
	return err
}

// TestSecurity talks to a real broker by each protocol, login and kind of store.
func TestSecurity(t *testing.T) {
	broker := securedBroker(t)
	tls := func(more map[string]string) map[string]string {
		p := map[string]string{"security.protocol": "SSL"}
		maps.Copy(p, more)
		out := forAll(p)
		out["bootstrap.servers"] = broker.AddressOf("SSL")
		return out
	}
	login := func(mechanism, jaas string) map[string]string {
		out := forAll(map[string]string{"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": mechanism, "sasl.jaas.config": jaas})
		out["bootstrap.servers"] = broker.AddressOf("SASL_PLAINTEXT")
		return out
	}
	const plainModule, scramModule = "org.apache.kafka.common.security.plain.PlainLoginModule", "org.apache.kafka.common.security.scram.ScramLoginModule"
	for _, c := range []struct {
		name       string
		properties map[string]string
		want       string // of the error, "" for none
	}{
		{"PKCS12", tls(map[string]string{
			"ssl.truststore.location": fixture(t, "trust.p12"), "ssl.truststore.password": "changeit", "ssl.truststore.type": "PKCS12",
			"ssl.keystore.location": fixture(t, "client.p12"), "ssl.keystore.password": "changeit", "ssl.keystore.type": "PKCS12",
		}), ""},
		{"JKS", tls(map[string]string{
			"ssl.truststore.location": fixture(t, "trust.jks"), "ssl.truststore.password": "changeit",
			"ssl.keystore.location": fixture(t, "client.jks"), "ssl.keystore.password": "changeit", "ssl.key.password": "changeit2",
		}), ""},
		{"PEM files", tls(map[string]string{
			"ssl.truststore.location": fixture(t, "broker.pem"), "ssl.truststore.type": "PEM",
			"ssl.keystore.location": fixture(t, "client.pem"), "ssl.keystore.type": "PEM",
		}), ""},
		{"PEM file, key with a password", tls(map[string]string{
			"ssl.truststore.location": fixture(t, "broker.pem"), "ssl.truststore.type": "PEM",
			"ssl.keystore.location": fixture(t, "client-encrypted.pem"), "ssl.keystore.type": "PEM", "ssl.key.password": "changeit3",
		}), ""},
		{"PEM texts, any name", tls(map[string]string{
			"ssl.truststore.certificates": content(t, "broker.pem"), "ssl.keystore.certificate.chain": content(t, "client.pem"),
			"ssl.endpoint.identification.algorithm": "",
		}), ""},
		{"not trusted", tls(map[string]string{"ssl.keystore.location": fixture(t, "client.pem")}), "ssl.truststore"},
		{"not trusted, any name", tls(map[string]string{"ssl.endpoint.identification.algorithm": ""}), "ssl.truststore"},
		{"PLAIN", login("PLAIN", plainModule+` required username="worker" password="right";`), ""},
		{"PLAIN, wrong", login("PLAIN", plainModule+` required username="worker" password="Canary-4711";`), "SASL_AUTHENTICATION_FAILED"},
		{"SCRAM-SHA-256", login("SCRAM-SHA-256", scramModule+` required username="scram256" password="right256";`), ""},
		{"SCRAM-SHA-512", login("SCRAM-SHA-512", scramModule+` required username="scram512" password="right512";`), ""},
		{"SCRAM, wrong", login("SCRAM-SHA-512", scramModule+` required username="scram512" password="Canary-4711";`), "SASL_AUTHENTICATION_FAILED"},
		{"OAUTHBEARER", login("OAUTHBEARER", `org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="worker";`), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := use(t, c.properties)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "Canary-4711")
			var own *kafka.Error
			require.ErrorAs(t, err, &own)
			require.True(t, own.Final)
		})
	}
}

// Tokens are asked for by the client credentials grant, and kept while they are good.
func TestTokens(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		user, password, _ := r.BasicAuth()
		if user != "id" || password != "s" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "a b" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = io.WriteString(w, `{"access_token":"the-token","expires_in":300}`)
	}))
	defer server.Close()
	ask := &tokens{endpoint: server.URL, id: "id", secret: "s", scope: "a b", client: server.Client()}
	for range 2 {
		token, err := ask.get(t.Context())
		require.NoError(t, err)
		require.Equal(t, "the-token", token)
	}
	require.Equal(t, 1, asked)
	ask = &tokens{endpoint: server.URL, id: "id", secret: "Canary-4711", client: server.Client()}
	_, err := ask.get(t.Context())
	require.ErrorContains(t, err, "401 Unauthorized")
	require.NotContains(t, err.Error(), "Canary-4711")
}

func TestStoresThatAreNone(t *testing.T) {
	for _, text := range []string{"", "\xfe\xed\xfe\xed", "\x30\x82", "-----BEGIN CERTIFICATE-----\n"} {
		_, err := trustedOf([]byte(text), "changeit")
		require.Error(t, err)
		_, err = pairOf([]byte(text), nil, "changeit", "")
		require.Error(t, err)
	}
	_, err := trustedOf([]byte(content(t, "trust.jks")), "wrong")
	require.Error(t, err)
	_, err = pairOf([]byte(content(t, "client.p12")), nil, "wrong", "")
	require.Error(t, err)
	_, err = pairOf([]byte(content(t, "trust.jks")), nil, "changeit", "")
	require.ErrorContains(t, err, "no key")
}
