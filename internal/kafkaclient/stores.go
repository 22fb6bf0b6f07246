// SPDX-License-Identifier: Apache-2.0

package kafkaclient

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"

	keystore "github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"

	"freshet/config"
)

// Stores of certificates come in three forms: PEM, and Java's own JKS and PKCS12. A file that calls itself JKS may be PKCS12
// and the other way round, as Java has it: what it begins with decides.

// storeOf is the text of a store and its form: in a property itself (PEM), or in a file. nil is none.
func storeOf(v config.Values, store, inline string) (text []byte, property string, err error) {
	if s := v.Get(store + "." + inline); s != "" {
		return []byte(s), store + "." + inline, nil
	}
	path := v.Get(store + ".location")
	if path == "" {
		return nil, "", nil
	}
	text, err = os.ReadFile(path)
	return text, store + ".location", err
}

// isPEM and isJKS tell the forms apart.
func isPEM(text []byte) bool { return bytes.Contains(text, []byte("-----BEGIN ")) }
func isJKS(text []byte) bool { return bytes.HasPrefix(text, []byte("\xfe\xed\xfe\xed")) }

// trustedOf are the certificates of a trust store.
func trustedOf(text []byte, password string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	switch {
	case isPEM(text):
		if !pool.AppendCertsFromPEM(text) {
			return nil, errors.New("it holds no certificate")
		}
		return pool, nil
	case isJKS(text):
		ks := keystore.New()
		if err := ks.Load(bytes.NewReader(text), []byte(password)); err != nil {
			return nil, fmt.Errorf("read it as JKS: %w", err)
		}
		n := 0
		for _, alias := range ks.Aliases() {
			entry, err := ks.GetTrustedCertificateEntry(alias)
			if err != nil {
				continue // a key
			}
			cert, err := x509.ParseCertificate(entry.Certificate.Content)
			if err != nil {
				return nil, fmt.Errorf("certificate %q: %w", alias, err)
			}
			pool.AddCert(cert)
			n++
		}
		if n == 0 {
			return nil, errors.New("it holds no certificate")
		}
		return pool, nil
	}
	certs, err := pkcs12.DecodeTrustStore(text, password)
	if err != nil {
		return nil, fmt.Errorf("read it as PKCS12: %w", err)
	}
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	return pool, nil
}

// pairOf is the certificate and key of a key store. key is the key in PEM where it is not in the store, keyPassword that of
// the key in it.
func pairOf(text, key []byte, password, keyPassword string) (tls.Certificate, error) {
	switch {
	case isPEM(text):
		if len(key) == 0 {
			key = text // both are in the file
		}
		if bytes.Contains(key, []byte("BEGIN "+encryptedKey)) {
			plain, err := decryptKeys(key, keyPassword)
			if err != nil {
				return tls.Certificate{}, err
			}
			key = plain
		}
		return tls.X509KeyPair(text, key)
	case isJKS(text):
		return jksPair(text, password, keyPassword)
	}
	private, leaf, others, err := pkcs12.DecodeChain(text, password)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read it as PKCS12: %w", err)
	}
	out := tls.Certificate{PrivateKey: private.(crypto.PrivateKey), Certificate: [][]byte{leaf.Raw}}
	for _, cert := range others {
		out.Certificate = append(out.Certificate, cert.Raw)
	}
	return out, nil
}

// jksPair is the first key of a JKS.
func jksPair(text []byte, password, keyPassword string) (tls.Certificate, error) {
	if keyPassword == "" {
		keyPassword = password
	}
	ks := keystore.New()
	if err := ks.Load(bytes.NewReader(text), []byte(password)); err != nil {
		return tls.Certificate{}, fmt.Errorf("read it as JKS: %w", err)
	}
	for _, alias := range ks.Aliases() {
		if !ks.IsPrivateKeyEntry(alias) {
			continue
		}
		entry, err := ks.GetPrivateKeyEntry(alias, []byte(keyPassword))
		if err != nil {
			return tls.Certificate{}, fmt.Errorf("key %q: %w", alias, err)
		}
		var chain bytes.Buffer
		for _, cert := range entry.CertificateChain {
			_ = pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Content}) // a buffer takes all
		}
		return tls.X509KeyPair(chain.Bytes(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: entry.PrivateKey}))
	}
	return tls.Certificate{}, errors.New("it holds no key")
}
