// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/internal/testdb"
)

// authority issues certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its own certificate
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	a.key = newKey(t)
	cert, text := issue(t, a.key, a.key, nil, &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	a.cert, a.file = cert, inFile(t, "root.pem", text)
	return a
}

// issue makes a certificate for names, good until a time; the first name is its subject.
func (a *authority) issue(until time.Time, names ...string) (key *ecdsa.PrivateKey, cert string) {
	a.t.Helper()
	key = newKey(a.t)
	_, cert = issue(a.t, a.key, key, a.cert, &x509.Certificate{
		Subject: pkix.Name{CommonName: names[0]}, DNSNames: names, NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	return key, cert
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func issue(t *testing.T, by, of *ecdsa.PrivateKey, parent, c *x509.Certificate) (*x509.Certificate, string) {
	t.Helper()
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	c.NotBefore = time.Now().Add(-48 * time.Hour)
	if c.NotAfter.IsZero() {
		c.NotAfter = time.Now().Add(time.Hour)
	}
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &of.PublicKey, by)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func inFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func pkcs8(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return der
}

func keyPEM(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8(t, key)}))
}

// tlsDatabase is a server with TLS, which lets the role certified in by its certificate alone.
type tlsDatabase struct {
	*testdb.Server
	ca *authority
}

func newTLSDatabase(t *testing.T) *tlsDatabase {
	t.Helper()
	d := &tlsDatabase{testdb.NewPostgres(t, testdb.Options{}), newAuthority(t, "freshet test authority")}
	root, err := os.ReadFile(d.ca.file)
	require.NoError(t, err)
	d.WriteFile(t, "root.crt", string(root))
	d.WriteFile(t, "pg_hba.conf", `hostssl all,replication certified 127.0.0.1/32 cert
hostssl all,replication hashed 127.0.0.1/32 md5
hostssl all,replication scrammed 127.0.0.1/32 scram-sha-256
host all,replication postgres 127.0.0.1/32 trust
`)
	d.Exec(t, `create table a(id int primary key); insert into a values (1); create publication p for table a`)
	for _, role := range []string{"certified", "hashed", "scrammed"} {
		method := "scram-sha-256"
		if role == "hashed" {
			method = "md5"
		}
		d.Exec(t, `set password_encryption = '`+method+`'; create role `+role+` login replication password 'Canary-Role-1'; grant select on a to `+role)
	}
	d.serve(t, time.Now().Add(time.Hour), "localhost")
	return d
}

// serve gives the server a certificate.
func (d *tlsDatabase) serve(t *testing.T, until time.Time, names ...string) {
	t.Helper()
	key, cert := d.ca.issue(until, names...)
	d.present(t, cert, key)
}

// present waits until new connections see the certificate.
func (d *tlsDatabase) present(t *testing.T, cert string, key *ecdsa.PrivateKey) {
	t.Helper()
	d.WriteFile(t, "server.crt", cert)
	d.WriteFile(t, "server.key", keyPEM(t, key))
	d.Exec(t, `alter system set ssl = on`)
	d.Exec(t, `alter system set ssl_ca_file = 'root.crt'`)
	d.Exec(t, `select pg_reload_conf()`)
	block, _ := pem.Decode([]byte(cert))
	o := options{loginOptions: loginOptions{Hostname: "localhost", Port: d.Port, Database: "test", User: "postgres", SSL: sslOptions{Mode: "require"}}}
	waitFor(t, "the server's certificate", func() bool {
		c, err := dialer{o: &o, name: "x"}.connect(t.Context())
		if err != nil {
			return false
		}
		defer func() { _ = c.Close(t.Context()) }()
		return string(c.Conn().(*tls.Conn).ConnectionState().PeerCertificates[0].Raw) == string(block.Bytes)
	})
}

// as is a connector that logs in over TLS.
func (d *tlsDatabase) as(t *testing.T, role, mode string, properties ...string) *fixture {
	t.Helper()
	return fixtureOn(t, d.Server, append([]string{
		"database.hostname", "localhost", "database.user", role, "database.password", "Canary-Role-1", "database.sslmode", mode,
		"publication.name", "p", "publication.autocreate.mode", "disabled", "slot.name", role,
	}, properties...)...)
}

// captures takes snapshot and stream over TLS.
func (d *tlsDatabase) captures(t *testing.T, f *fixture) {
	t.Helper()
	s := f.open("")
	require.NotEmpty(t, s.read(1))
	waitFor(t, "sessions, all of them with TLS", func() bool { // those of the snapshot may have ended, and the guard's not begun
		return d.Text(t, `select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) where application_name = 'freshet:src'`) == "t"
	})
	s.close()
	d.Exec(t, `select pg_drop_replication_slot(slot_name) from pg_replication_slots`)
}

func TestTLSLogins(t *testing.T) {
	d := newTLSDatabase(t)
	key, cert := d.ca.issue(time.Now().Add(time.Hour), "certified")
	certFile := inFile(t, "client.crt", cert)
	//nolint:staticcheck // libpq still reads keys that are encrypted in this old way
	old, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", mustEC(t, key), []byte("Canary-Key-1"), x509.PEMCipherAES256)
	require.NoError(t, err)
	encrypted := encryptKey(t, pkcs8(t, key), "Canary-Key-1")
	for name, file := range map[string]string{
		"PEM": keyPEM(t, key), "DER": string(pkcs8(t, key)), "encrypted PEM": string(pem.EncodeToMemory(old)), "encrypted DER": string(encrypted),
		"encrypted PKCS 8": string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: encrypted})),
	} {
		t.Run("certificate, key in "+name, func(t *testing.T) {
			d.captures(t, d.as(t, "certified", "verify-full", "database.sslrootcert", d.ca.file, "database.sslcert", certFile,
				"database.sslkey", inFile(t, "client.key", file), "database.sslpassword", "Canary-Key-1"))
		})
	}
	for _, role := range []string{"hashed", "scrammed"} {
		t.Run(role, func(t *testing.T) {
			d.captures(t, d.as(t, role, "verify-full", "database.sslrootcert", d.ca.file))
			d.as(t, role, "require", "database.password", "Canary-Wrong-1").refused("", "password authentication failed", "set database.user and database.password")
		})
	}
	t.Run("no certificate", func(t *testing.T) {
		d.as(t, "certified", "require").refused("", "certificate")
	})
	t.Run("wrong password of the key", func(t *testing.T) {
		path := inFile(t, "client.key", string(encrypted))
		f := d.as(t, "certified", "require", "database.sslcert", certFile, "database.sslkey", path, "database.sslpassword", "Canary-Wrong-1")
		f.refused("", path, "the password is wrong", "database.sslkey")
		require.NotContains(t, f.log.String(), "Canary-Wrong-1")
	})
	t.Run("in clear", func(t *testing.T) {
		d.as(t, "scrammed", "disable").refused("", "no pg_hba.conf entry")
	})
}

func TestTLSCertificatesThatAreRefused(t *testing.T) {
	d := newTLSDatabase(t)
	other := newAuthority(t, "another authority")
	refused := func(f *fixture, words ...string) {
		t.Helper()
		_, err := f.tryOpen("")
		require.Error(t, err)
		for _, w := range append(words, "next step: check database.sslmode and the certificates") {
			require.ErrorContains(t, err, w)
		}
	}
	named := []string{`the server's certificate "CN=localhost"`, `issued by "CN=freshet test authority"`}
	refused(d.as(t, "scrammed", "verify-full"), append(named, "unknown authority")...)
	refused(d.as(t, "scrammed", "verify-ca", "database.sslrootcert", other.file), append(named, "unknown authority")...)

	d.serve(t, time.Now().Add(time.Hour), "elsewhere.example")
	refused(d.as(t, "scrammed", "verify-full", "database.sslrootcert", d.ca.file), `"CN=elsewhere.example"`, "not localhost")
	d.captures(t, d.as(t, "scrammed", "verify-ca", "database.sslrootcert", d.ca.file))

	gone := time.Now().Add(-24 * time.Hour).UTC()
	d.serve(t, gone, "localhost")
	for _, mode := range []string{"verify-full", "verify-ca"} {
		refused(d.as(t, "scrammed", mode, "database.sslrootcert", d.ca.file), append(named, "to "+gone.Format(time.RFC3339), "expired")...)
	}
	key := newKey(t)
	_, self := issue(t, key, key, nil, &x509.Certificate{Subject: pkix.Name{CommonName: "self"}, DNSNames: []string{"localhost"}})
	d.present(t, self, key)
	refused(d.as(t, "scrammed", "verify-full", "database.sslrootcert", d.ca.file), `"CN=self", issued by "CN=self"`)
	d.captures(t, d.as(t, "scrammed", "require"))
}

func TestInClear(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1": false, "::1": false, "10.1.2.3": true, "2001:db8::1": true} {
		c := addressed{to: &net.TCPAddr{IP: net.ParseIP(address), Port: 5432}}
		require.Equal(t, want, inClear(c), address)
		require.False(t, inClear(tls.Client(c, &tls.Config{MinVersion: tls.VersionTLS12})), address)
	}
	require.False(t, inClear(addressed{to: &net.UnixAddr{Name: "/run/s"}}))
}

// addressed is a connection that goes somewhere.
type addressed struct {
	net.Conn
	to net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.to }

func TestDecryptKeyRefuses(t *testing.T) {
	key := pkcs8(t, newKey(t))
	good := encryptKey(t, key, "right")
	plain, err := decryptKey(good, "right")
	require.NoError(t, err)
	require.Equal(t, key, plain)
	for n := range len(good) { // whatever is cut off or damaged is an error, never a panic
		_, err := decryptKey(good[:n], "right")
		require.Error(t, err)
		damaged := append([]byte(nil), good...)
		damaged[n] ^= 0x55
		_, _ = decryptKey(damaged, "right")
	}
	_, err = decryptKey(good, "wrong")
	require.ErrorIs(t, err, errKeyPassword)
	other := strings.Replace(string(good), string(mustDER(t, oidPBES2)), string(mustDER(t, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 3})), 1)
	_, err = decryptKey([]byte(other), "right")
	require.ErrorIs(t, err, errKeyForm)
}

// encryptKey encrypts a key as openssl pkcs8 -topk8 does.
func encryptKey(t *testing.T, der []byte, password string) []byte {
	t.Helper()
	salt, iv := make([]byte, 16), make([]byte, aes.BlockSize)
	_, _ = rand.Read(salt)
	_, _ = rand.Read(iv)
	key, err := pbkdf2.Key(sha256.New, password, salt, 2048, 32)
	require.NoError(t, err)
	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	n := aes.BlockSize - len(der)%aes.BlockSize
	data := append(append([]byte(nil), der...), strings.Repeat(string(rune(n)), n)...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(data, data)
	identifier := func(oid asn1.ObjectIdentifier, parameters any) pkix.AlgorithmIdentifier {
		return pkix.AlgorithmIdentifier{Algorithm: oid, Parameters: asn1.RawValue{FullBytes: mustDER(t, parameters)}}
	}
	return mustDER(t, encryptedKey{
		Algorithm: identifier(oidPBES2, keyEncryption{
			Derivation: identifier(oidPBKDF2, keyDerivation{
				Salt: salt, Iterations: 2048,
				Hash: pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, Parameters: asn1.NullRawValue},
			}),
			Cipher: identifier(asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, iv),
		}),
		Data: data,
	})
}

func mustDER(t *testing.T, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	require.NoError(t, err)
	return der
}

func mustEC(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	return der
}
