// SPDX-License-Identifier: Apache-2.0

package kafkaclient

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return text
}

// What openssl encrypted by whichever of its schemes is the key that it was.
func TestKeysWithAPassword(t *testing.T) {
	want, _ := pem.Decode(read(t, "client.pem"))
	require.Equal(t, "PRIVATE KEY", want.Type)
	n := 0
	for _, name := range []string{"client-encrypted.pem", "keys-encrypted.pem"} {
		plain, err := decryptKeys(read(t, name), "changeit3")
		require.NoError(t, err)
		for block, rest := pem.Decode(plain); block != nil; block, rest = pem.Decode(rest) {
			if block.Type == "CERTIFICATE" {
				continue
			}
			n++
			require.Equal(t, "PRIVATE KEY", block.Type)
			key, err := tls.X509KeyPair(read(t, "client.pem"), pem.EncodeToMemory(block))
			require.NoError(t, err)
			require.NotNil(t, key.PrivateKey)
		}
	}
	require.Equal(t, 4, n)
	for _, c := range []struct {
		name, password string
		want           string
	}{
		{"client-encrypted.pem", "", "its key has a password: give it as ssl.key.password"},
		{"client-encrypted.pem", "canary-4711", "ssl.key.password is not its password"},
		{"key-pbes1.pem", "changeit3", "it is encrypted by 1.2.840.113549.1.12.1.3, which is not served: openssl pkcs8 -topk8 -v2"},
		{"key-scrypt.pem", "changeit3", "by 1.3.6.1.4.1.11591.4.11, which is not served"},
	} {
		_, err := decryptKeys(read(t, c.name), c.password)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "canary-4711")
	}
	_, err := pairOf(read(t, "client.pem"), read(t, "keys-encrypted.pem"), "", "changeit3")
	require.NoError(t, err, "certificates in one property, the key in another")
	_, problems := NewWorker(with(map[string]string{
		"producer.security.protocol": "SSL", "producer.ssl.keystore.location": filepath.Join("testdata", "client-encrypted.pem"), "producer.ssl.key.password": "canary-4711",
	}))
	errs, _ := texts(problems)
	require.Len(t, errs, 1)
	require.Contains(t, errs[0], "ssl.key.password is not its password")
	require.NotContains(t, errs[0], "canary-4711")
}

// FuzzDecryptKey wants an error, or a key, of whatever a file holds.
func FuzzDecryptKey(f *testing.F) {
	for _, name := range []string{"client-encrypted.pem", "keys-encrypted.pem", "key-pbes1.pem", "key-scrypt.pem"} {
		for block, rest := pem.Decode(read(f, name)); block != nil; block, rest = pem.Decode(rest) {
			f.Add(block.Bytes)
			f.Add(block.Bytes[:len(block.Bytes)/2])
		}
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		plain, err := decryptKey(der, "changeit3")
		if err == nil && len(bytes.TrimSpace(plain)) == 0 {
			t.Fatal("neither an error nor a key")
		}
	})
}
