// SPDX-License-Identifier: Apache-2.0

package kafkaclient

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"freshet/config"
)

// ServerDef declares the properties of TLS of a server, such as the worker's REST API: those of clients, and whether clients
// must have a certificate.
func ServerDef() config.Def {
	var def config.Def
	for _, k := range securityKeys {
		if strings.HasPrefix(k.Name, "ssl.") {
			def.Keys = append(def.Keys, k)
		}
	}
	def.Keys = append(def.Keys, config.Key{
		Name: "ssl.client.auth", Type: config.String, Default: "none", HasDefault: true, Importance: config.Medium,
		Doc: "Whether clients have a certificate that ssl.truststore.* holds: none, requested or required.", Allowed: []string{"none", "requested", "required"},
	})
	return def
}

// ServerTLS makes the configuration of a server of properties, which are told with prefix. The certificate is read again when
// its file has changed. required says that every client has to have a certificate.
func ServerTLS(properties map[string]string, prefix string, log *slog.Logger) (c *tls.Config, required bool, problems []config.Problem) {
	v, problems := parseSSL(properties, prefix)
	refuse := func(property, why string) {
		problems = append(problems, config.Problem{Property: prefix + property, Message: fmt.Sprintf("Invalid value for configuration %s: %s", prefix+property, why)})
	}
	if len(config.Errors(problems)) > 0 {
		return nil, false, problems
	}
	cert := &serverCertificate{values: v, log: log}
	if property, err := cert.load(); err != nil {
		refuse(property, err.Error())
		return nil, false, problems
	}
	if cert.pair == nil {
		return nil, false, problems
	}
	c = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: cert.get}
	auth := v.Get("ssl.client.auth")
	if auth == "none" {
		return c, false, problems
	}
	trusted, property, err := storeOf(v, "ssl.truststore", "certificates")
	switch {
	case err != nil:
		refuse(property, err.Error())
	case trusted == nil:
		refuse("ssl.client.auth", "it is "+auth+", and ssl.truststore.location names no certificates to verify those of clients with")
	default:
		if c.ClientCAs, err = trustedOf(trusted, v.Get("ssl.truststore.password")); err != nil {
			refuse(property, err.Error())
		}
	}
	c.ClientAuth = tls.VerifyClientCertIfGiven
	if auth == "required" {
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return c, auth == "required", problems
}

// ClientTLS makes the configuration of clients of such servers, of the same properties: what a server trusts and shows, a
// client does.
func ClientTLS(properties map[string]string, prefix string) (*tls.Config, []config.Problem) {
	v, problems := parseSSL(properties, prefix)
	if len(config.Errors(problems)) > 0 {
		return nil, problems
	}
	c, property, err := tlsOf(v)
	if err != nil {
		return nil, []config.Problem{{Property: prefix + property, Message: fmt.Sprintf("Invalid value for configuration %s: %v", prefix+property, err)}}
	}
	return c, problems
}

// parseSSL parses the properties of ServerDef among others. Problems name them with prefix.
func parseSSL(properties map[string]string, prefix string) (config.Values, []config.Problem) {
	def := ServerDef()
	given := map[string]string{}
	for name, value := range properties {
		if def.Find(name) != nil {
			given[name] = value
		}
	}
	v, problems := def.Parse(given)
	for i, p := range problems {
		problems[i].Message = strings.Replace(p.Message, p.Property, prefix+p.Property, 1)
		problems[i].Property = prefix + p.Property
	}
	return v, problems
}

// serverCertificate is the certificate of a server, as its file has it.
type serverCertificate struct {
	values config.Values
	log    *slog.Logger

	mu       sync.Mutex // guards what follows
	pair     *tls.Certificate
	modified time.Time
	checked  time.Time // of the file
}

// reread is how often the file is looked at, at most.
const reread = time.Second

// get is the certificate for a connection. A new file that cannot be used leaves the one of before.
func (c *serverCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) >= reread {
		c.checked = time.Now()
		if info, err := os.Stat(c.values.Get("ssl.keystore.location")); err == nil && !info.ModTime().Equal(c.modified) {
			if _, err := c.load(); err != nil {
				c.log.Error("the certificate's new file cannot be used: the certificate of before is", "file", c.values.Get("ssl.keystore.location"), "error", err.Error())
			} else {
				c.log.Info("the certificate was read again", "file", c.values.Get("ssl.keystore.location"), "valid_until", c.pair.Leaf.NotAfter)
			}
		}
	}
	return c.pair, nil
}

// load reads the store; an error is about the property named. Without one pair stays nil.
func (c *serverCertificate) load() (property string, err error) {
	v := c.values
	if info, err := os.Stat(v.Get("ssl.keystore.location")); err == nil {
		c.modified = info.ModTime()
	}
	chain, property, err := storeOf(v, "ssl.keystore", "certificate.chain")
	if err != nil || chain == nil {
		return property, err
	}
	pair, err := pairOf(chain, []byte(v.Get("ssl.keystore.key")), v.Get("ssl.keystore.password"), v.Get("ssl.key.password"))
	if err != nil {
		return property, err
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return property, err
		}
	}
	if now := time.Now(); now.After(pair.Leaf.NotAfter) {
		c.log.Warn("the certificate has expired", "property", property, "valid_until", pair.Leaf.NotAfter)
	}
	c.pair = &pair
	return "", nil
}

// IsServerProperty says whether a name is one of ServerDef's.
func IsServerProperty(name string) bool {
	def := ServerDef()
	return slices.ContainsFunc(def.Keys, func(k config.Key) bool { return k.Name == name })
}
