// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// attempts lists the ways to connect in turn, as libpq does; nil is without TLS.
func (s sslOptions) attempts(host string) ([]*tls.Config, error) {
	if s.Mode == "disable" {
		return []*tls.Config{nil}, nil
	}
	t, err := s.config(host)
	if err != nil {
		return nil, err
	}
	switch s.Mode {
	case "allow":
		return []*tls.Config{nil, t}, nil
	case "prefer", "":
		return []*tls.Config{t, nil}, nil
	}
	return []*tls.Config{t}, nil
}

// config makes the TLS configuration: require checks the chain only where a root certificate is given, verify-ca always
// checks the chain, verify-full the name too.
func (s sslOptions) config(host string) (*tls.Config, error) {
	t := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if s.RootCert != "" {
		p, err := os.ReadFile(s.RootCert)
		if err != nil {
			return nil, err
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(p) {
			return nil, fmt.Errorf("no certificate in %q", s.RootCert)
		}
	}
	if s.Cert != "" || s.Key != "" {
		pair, err := s.keyPair()
		if err != nil {
			return nil, err
		}
		t.Certificates = []tls.Certificate{pair}
	}
	if s.Mode == "verify-full" {
		return t, nil
	}
	t.InsecureSkipVerify = true // libpq's modes below verify-full do not check the name
	if s.Mode == "verify-ca" || s.Mode == "require" && t.RootCAs != nil {
		t.VerifyPeerCertificate = chainVerifier(t.RootCAs)
	}
	return t, nil
}

// keyPair reads the client's certificate and its key, which may be encrypted with database.sslpassword: PEM or DER, as
// libpq and the original's driver have it.
func (s sslOptions) keyPair() (tls.Certificate, error) {
	cert, err := os.ReadFile(s.Cert)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := os.ReadFile(s.Key)
	if err != nil {
		return tls.Certificate{}, err
	}
	block, _ := pem.Decode(key)
	if block == nil {
		block = &pem.Block{Type: "PRIVATE KEY", Bytes: key}
		if isEncryptedKey(key) {
			block.Type = "ENCRYPTED PRIVATE KEY"
		}
	}
	switch {
	case block.Type == "ENCRYPTED PRIVATE KEY":
		block.Bytes, err = decryptKey(block.Bytes, s.Password.Reveal())
		block.Type = "PRIVATE KEY"
	case x509.IsEncryptedPEMBlock(block): //nolint:staticcheck // libpq still reads keys that are encrypted in this old way
		block.Bytes, err = x509.DecryptPEMBlock(block, []byte(s.Password.Reveal())) //nolint:staticcheck // see above
		block.Headers = nil
	}
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("decrypt %q with database.sslpassword: %w", s.Key, err)
	}
	pair, err := tls.X509KeyPair(cert, pem.EncodeToMemory(block))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate %q with key %q: %w", s.Cert, s.Key, err)
	}
	return pair, nil
}

// chainVerifier checks a certificate chain against roots, whatever host it names.
func chainVerifier(roots *x509.CertPool) func([][]byte, [][]*x509.Certificate) error {
	return func(raw [][]byte, _ [][]*x509.Certificate) error {
		if len(raw) == 0 {
			return errors.New("server sent no certificate")
		}
		opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		var chain []*x509.Certificate
		for _, der := range raw {
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				return err
			}
			if chain = append(chain, cert); len(chain) > 1 {
				opts.Intermediates.AddCert(cert)
			}
		}
		if _, err := chain[0].Verify(opts); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err}
		}
		return nil
	}
}

// certificateError names the server's certificate that was refused, and how long it is good for.
func certificateError(e *tls.CertificateVerificationError) error {
	if len(e.UnverifiedCertificates) == 0 {
		return e
	}
	c := e.UnverifiedCertificates[0]
	return fmt.Errorf("the server's certificate %q, issued by %q, good from %s to %s, is refused: %w",
		c.Subject.String(), c.Issuer.String(), c.NotBefore.UTC().Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339), e.Err)
}

// inClear says whether a connection goes to another machine without TLS.
func inClear(c net.Conn) bool {
	if _, ok := c.(*tls.Conn); ok {
		return false
	}
	to, ok := c.RemoteAddr().(*net.TCPAddr)
	return ok && !to.IP.IsLoopback()
}
