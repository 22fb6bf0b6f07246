// SPDX-License-Identifier: Apache-2.0

package kafkaclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"freshet/config"
)

func secret(name, doc string) config.Key {
	return config.Key{Name: name, Type: config.Password, Importance: config.Medium, Doc: doc}
}

const (
	goTLS      = "TLS is that of Go: versions from 1.2 on, with the cipher suites it deems safe"
	mechanisms = "use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"
	noKrb      = "Kerberos"
	refreshes  = "a token is fetched anew after four fifths of its time"
)

var securityKeys = []config.Key{
	{Name: "security.protocol", Type: config.String, Default: "PLAINTEXT", HasDefault: true, Importance: config.High, Doc: "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.", Allowed: []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}},
	{
		Name: "sasl.mechanism", Type: config.String, Default: "PLAIN", HasDefault: true, Importance: config.High, Doc: "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER (client credentials). Java's default, GSSAPI, is not served yet.",
		Later: mechanisms, Served: []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"},
	},
	secret("sasl.jaas.config", `User and password: org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";`),
	{Name: "ssl.truststore.location", Type: config.String, Importance: config.High, Doc: "File of the certificates that are trusted; the system's unless given."},
	{Name: "ssl.truststore.type", Type: config.String, Default: "JKS", HasDefault: true, Importance: config.Medium, Doc: "PEM, JKS or PKCS12; the file itself tells which it is.", Allowed: []string{"PEM", "JKS", "PKCS12"}},
	secret("ssl.truststore.certificates", "Certificates that are trusted, in PEM."),
	secret("ssl.truststore.password", "Password of the store; a PEM file has none."),
	{Name: "ssl.keystore.location", Type: config.String, Importance: config.High, Doc: "File of the client's certificate and key."},
	{Name: "ssl.keystore.type", Type: config.String, Default: "JKS", HasDefault: true, Importance: config.Medium, Doc: "PEM, JKS or PKCS12; the file itself tells which it is.", Allowed: []string{"PEM", "JKS", "PKCS12"}},
	secret("ssl.keystore.certificate.chain", "The client's certificate and those above it, in PEM."),
	secret("ssl.keystore.key", "The client's key, in PEM (PKCS#8); one that is encrypted takes ssl.key.password."),
	secret("ssl.keystore.password", "Password of the store; a PEM file has none."),
	secret("ssl.key.password", "Password of an encrypted key in PEM, or of the key in a JKS where it is not that of the store."),
	{Name: "ssl.endpoint.identification.algorithm", Type: config.String, Default: "https", HasDefault: true, Importance: config.Medium, Doc: "https: the certificate must name the broker's host; empty: it need not.", Check: oneOf("https", "")},
	ignored("ssl.protocol", config.String, "TLSv1.3", goTLS),
	ignored("ssl.enabled.protocols", config.List, "TLSv1.2,TLSv1.3", goTLS),
	ignored("ssl.cipher.suites", config.List, "", goTLS),
	ignored("ssl.provider", config.String, "", goTLS),
	ignored("ssl.secure.random.implementation", config.String, "", goTLS),
	ignored("ssl.keymanager.algorithm", config.String, "SunX509", goTLS),
	ignored("ssl.trustmanager.algorithm", config.String, "PKIX", goTLS),
	ignored("ssl.engine.factory.class", config.String, "", goTLS),
	later(key("sasl.kerberos.service.name", config.String, "", "Kerberos."), noKrb),
	later(key("sasl.client.callback.handler.class", config.String, "", "Java class."), "Java classes cannot be loaded"),
	later(key("sasl.login.callback.handler.class", config.String, "", "Java class."), "Java classes cannot be loaded"),
	later(key("sasl.login.class", config.String, "", "Java class."), "Java classes cannot be loaded"),
	key("sasl.oauthbearer.token.endpoint.url", config.String, "", "Where tokens of OAUTHBEARER are asked for."),
	key("sasl.oauthbearer.client.credentials.client.id", config.String, "", "Client id; or clientId of sasl.jaas.config."),
	secret("sasl.oauthbearer.client.credentials.client.secret", "Client secret; or clientSecret of sasl.jaas.config."),
	key("sasl.oauthbearer.scope", config.String, "", "Scope of the token; or scope of sasl.jaas.config."),
	ignored("sasl.login.refresh.buffer.seconds", config.Int, "300", refreshes),
	ignored("sasl.login.refresh.min.period.seconds", config.Int, "60", refreshes),
	ignored("sasl.login.refresh.window.factor", config.Double, "0.8", refreshes),
	ignored("sasl.login.refresh.window.jitter", config.Double, "0.05", refreshes),
	ignored("security.providers", config.String, "", goTLS),
}

// secure makes the options of encryption and login. An error is about the property named.
func secure(v config.Values) (opts []kgo.Opt, property string, err error) {
	protocol := v.Get("security.protocol")
	if strings.HasSuffix(protocol, "SSL") {
		c, property, err := tlsOf(v)
		if err != nil {
			return nil, property, err
		}
		opts = append(opts, kgo.DialTLSConfig(c))
	}
	if strings.HasPrefix(protocol, "SASL") {
		m, err := login(v)
		if err != nil {
			return nil, "sasl.jaas.config", err
		}
		opts = append(opts, kgo.SASL(m))
	}
	return opts, "", nil
}

// login is the mechanism with user and password.
func login(v config.Values) (sasl.Mechanism, error) {
	options, err := parseJAAS(v.Get("sasl.jaas.config"))
	if err != nil {
		return nil, err
	}
	if v.Get("sasl.mechanism") == "OAUTHBEARER" {
		return oauthLogin(v, options)
	}
	user, password := options["username"], options["password"]
	if user == "" {
		return nil, errors.New(`it has no username: ...LoginModule required username="..." password="...";`)
	}
	switch v.Get("sasl.mechanism") {
	case "SCRAM-SHA-256":
		return scram.Auth{User: user, Pass: password}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: user, Pass: password}.AsSha512Mechanism(), nil
	}
	return plain.Auth{User: user, Pass: password}.AsMechanism(), nil
}

// parseJAAS reads the options of a login module: NAME required key="value" key=value;
func parseJAAS(text string) (map[string]string, error) {
	fields, err := jaasFields(strings.TrimSpace(text))
	if err != nil {
		return nil, err
	}
	if len(fields) < 2 || !strings.HasSuffix(fields[0], "LoginModule") {
		return nil, errors.New("it is no login module with its options") // never with its text: it has the password
	}
	out := map[string]string{}
	for _, f := range fields[2:] {
		name, value, ok := strings.Cut(f, "=")
		if !ok {
			return nil, errors.New("an option has no value")
		}
		out[strings.TrimSpace(name)] = value
	}
	return out, nil
}

// jaasFields divides at blanks outside of quotes, and takes quotes and backslashes off. The semicolon ends it.
func jaasFields(text string) ([]string, error) {
	var out []string
	var field strings.Builder
	var quote rune
	escaped, any := false, false
	flush := func() {
		if any {
			out = append(out, field.String())
		}
		field.Reset()
		any = false
	}
	for _, r := range text {
		switch {
		case escaped:
			field.WriteRune(r)
			escaped = false
		case r == '\\' && quote != 0:
			escaped = true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			field.WriteRune(r)
		case r == '"' || r == '\'':
			quote, any = r, true
		case r == ';':
			flush()
			return out, nil
		case r == ' ' || r == '\t' || r == '\n' || r == '\r':
			flush()
		default:
			field.WriteRune(r)
			any = true
		}
	}
	if quote != 0 {
		return nil, errors.New("a quote is not closed")
	}
	return nil, errors.New("the semicolon at its end is missing")
}

// tlsOf is the configuration of TLS. An error is about the property named.
func tlsOf(v config.Values) (*tls.Config, string, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	trusted, property, err := storeOf(v, "ssl.truststore", "certificates")
	if err != nil {
		return nil, property, err
	}
	if trusted != nil {
		if c.RootCAs, err = trustedOf(trusted, v.Get("ssl.truststore.password")); err != nil {
			return nil, property, err
		}
	}
	chain, property, err := storeOf(v, "ssl.keystore", "certificate.chain")
	if err != nil {
		return nil, property, err
	}
	if chain != nil {
		pair, err := pairOf(chain, []byte(v.Get("ssl.keystore.key")), v.Get("ssl.keystore.password"), v.Get("ssl.key.password"))
		if err != nil {
			return nil, property, err
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if v.Get("ssl.endpoint.identification.algorithm") == "" {
		trustAnyName(c)
	}
	return c, "", nil
}

// trustAnyName leaves out the check of the host's name, and of nothing else.
func trustAnyName(c *tls.Config) {
	roots := c.RootCAs
	c.InsecureSkipVerify = true //nolint:gosec // the chain is verified below
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errors.New("the broker has no certificate")
		}
		o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		for _, cert := range state.PeerCertificates[1:] {
			o.Intermediates.AddCert(cert)
		}
		_, err := state.PeerCertificates[0].Verify(o)
		return err
	}
}
