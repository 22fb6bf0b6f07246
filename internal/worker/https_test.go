// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/connect/connecttest"
	"freshet/connect/rest"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	text []byte // PEM
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue is a key and a certificate for 127.0.0.1 in PEM.
func (a *authority) issue(t *testing.T, serial int64) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "worker"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, &key.PublicKey, a.key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// started runs a worker with more properties until the test ends.
func started(t *testing.T, properties map[string]string) (Running, *connecttest.Logs) {
	t.Helper()
	o, logs := options(t, &connecttest.Source{})
	maps.Copy(o.Properties, properties)
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan Running, 1), make(chan error, 1)
	o.Ready = func(r Running) { ready <- r }
	go func() { ended <- Run(ctx, o) }()
	t.Cleanup(cancel)
	select {
	case r := <-ready:
		t.Cleanup(func() {
			cancel()
			require.NoError(t, <-ended)
		})
		return r, logs
	case err := <-ended:
		require.NoError(t, err)
		return Running{}, nil
	}
}

// An address that other machines reach is served with TLS and tokens, and only so without --insecure.
func TestHTTPSWithTokens(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	store, tokens := filepath.Join(dir, "worker.pem"), filepath.Join(dir, "tokens")
	require.NoError(t, os.WriteFile(store, ca.issue(t, 2), 0o600))
	r, logs := started(t, map[string]string{
		"listeners": "https://0.0.0.0:0", "rest.auth.token.file": tokens,
		"listeners.https.ssl.keystore.type": "PEM", "listeners.https.ssl.keystore.location": store,
		"ssl.keystore.location": "/ignored/because/of/the/prefix",
	})
	require.True(t, strings.HasPrefix(r.URLs[0], "https://"), r.URLs[0])
	_, port, err := net.SplitHostPort(strings.TrimPrefix(r.URLs[0], "https://"))
	require.NoError(t, err)
	url := "https://127.0.0.1:" + port
	text, err := os.ReadFile(tokens)
	require.NoError(t, err)
	token := strings.Fields(string(text))[1]
	require.NotContains(t, logs.String(), token)

	ask := func(o rest.ClientOptions) error {
		c, err := rest.NewClient(url, o)
		require.NoError(t, err)
		_, err = c.Ping(t.Context(), 10*time.Second)
		return err
	}
	require.NoError(t, ask(rest.ClientOptions{Token: token, Roots: ca.pool()}))
	require.ErrorIs(t, ask(rest.ClientOptions{Roots: ca.pool()}), rest.ErrUnauthorized)
	var unknown *tls.CertificateVerificationError
	require.ErrorAs(t, ask(rest.ClientOptions{Token: token}), &unknown)
	resp, err := http.Get("http://127.0.0.1:" + port + "/")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusBadRequest, resp.StatusCode, "plain HTTP at a port of TLS")

	// Other workers of the group know whom to trust, and show the token.
	authorities := filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(authorities, ca.text, 0o600))
	other, err := parse(map[string]string{"listeners": "https://127.0.0.1:0", "listeners.https.ssl.truststore.location": authorities}, nil)
	require.NoError(t, err)
	file, _, err := rest.OpenTokens(tokens, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	client, err := other.peers(file)
	require.NoError(t, err)
	resp, err = client.Get(url + "/connectors")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode)
	client.CloseIdleConnections()

	// A new certificate is used without a restart.
	require.NoError(t, os.WriteFile(store, ca.issue(t, 3), 0o600))
	later := time.Now().Add(time.Minute)
	require.NoError(t, os.Chtimes(store, later, later))
	serial := func() int64 {
		conn, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{RootCAs: ca.pool()})
		require.NoError(t, err)
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	require.Eventually(t, func() bool { return serial() == 3 }, 10*time.Second, 50*time.Millisecond)
}

// Clients may have to have a certificate.
func TestHTTPSWithCertificatesOfClients(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	store, trusted := filepath.Join(dir, "worker.pem"), filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(store, ca.issue(t, 2), 0o600))
	require.NoError(t, os.WriteFile(trusted, ca.text, 0o600))
	r, _ := started(t, map[string]string{
		"listeners": "https://127.0.0.1:0", "ssl.keystore.location": store, "ssl.truststore.location": trusted, "ssl.client.auth": "required",
	})
	own := ca.issue(t, 5)
	pair, err := tls.X509KeyPair(own, own)
	require.NoError(t, err)
	ask := func(certs ...tls.Certificate) error {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool(), Certificates: certs}}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get(r.URLs[0])
		if err != nil {
			return err
		}
		return errors.Join(resp.Body.Close())
	}
	require.NoError(t, ask(pair))
	require.ErrorContains(t, ask(), "certificate required")
	foreign := newAuthority(t).issue(t, 6)
	stranger, err := tls.X509KeyPair(foreign, foreign)
	require.NoError(t, err)
	require.Error(t, ask(stranger))
}

func TestDoorsStayShut(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	store := filepath.Join(dir, "worker.pem")
	require.NoError(t, os.WriteFile(store, ca.issue(t, 2), 0o600))
	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	tokens := filepath.Join(dir, "tokens")
	for _, c := range []struct {
		name       string
		properties map[string]string
		want       string
	}{
		{"https without certificate", map[string]string{"listeners": "https://127.0.0.1:0"}, "there is no certificate for it; name a file with key and certificates in ssl.keystore.location"},
		{"certificate that is not there", map[string]string{"listeners": "https://127.0.0.1:0", "ssl.keystore.location": filepath.Join(dir, "no")}, "configuration ssl.keystore.location"},
		{"certificate that is none", map[string]string{"listeners": "https://127.0.0.1:0", "listeners.https.ssl.keystore.location": empty}, "configuration listeners.https.ssl.keystore.location"},
		{"clients' certificates without their authority", map[string]string{"listeners": "https://127.0.0.1:0", "ssl.keystore.location": store, "ssl.client.auth": "required"}, "names no certificates to verify those of clients with"},
		{"TLS without tokens", map[string]string{"listeners": "https://0.0.0.0:0", "ssl.keystore.location": store}, "nothing asks who sends requests"},
		{"tokens without TLS", map[string]string{"listeners": "http://0.0.0.0:0", "rest.auth.token.file": tokens}, "tokens would go over the network in clear; make it an https listener"},
		{"admin without TLS", map[string]string{"admin.listeners": "http://0.0.0.0:0"}, "listen on http://0.0.0.0:0"},
		{"file of tokens without one", map[string]string{"rest.auth.token.file": empty}, "nobody would be let in"},
		{"all origins", map[string]string{"access.control.allow.origin": "*"}, "name origins such as"},
		{"no origin", map[string]string{"access.control.allow.origin": "console.example"}, "name origins such as"},
		{"bad header", map[string]string{"response.http.headers.config": "put X: y"}, "response.http.headers.config"},
		{"advertised listener", map[string]string{"rest.advertised.listener": "ftp"}, "rest.advertised.listener"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, _ := options(t, &connecttest.Source{})
			maps.Copy(o.Properties, c.properties)
			err := Run(t.Context(), o)
			var start *StartError
			require.ErrorAs(t, err, &start)
			require.ErrorContains(t, err, c.want)
		})
	}
}
