// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"

	"freshet/config"
	"freshet/connect"
	"freshet/connect/rest"
	"freshet/internal/kafkaclient"
)

// listener is an open listener with its handler to be.
type listener struct {
	net.Listener
	https bool
	admin bool // of /admin alone
}

// url is the address as a client writes it.
func (l *listener) url() string {
	if l.https {
		return "https://" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}

// doors are the ways into the REST API: its listeners, and the tokens that requests must show.
type doors struct {
	listeners []*listener
	tokens    *rest.Tokens // nil where nobody is asked
}

// close closes the listeners. The server has closed those it served.
func (d *doors) close() {
	for _, l := range d.listeners {
		_ = l.Close() // see above
	}
}

// open opens the listeners of the properties.
func (s *settings) open(ctx context.Context, insecure bool, log *slog.Logger) (*doors, error) {
	d := &doors{}
	if s.tokens != "" {
		tokens, made, err := rest.OpenTokens(s.tokens, log)
		if err != nil {
			return nil, err
		}
		if d.tokens = tokens; made {
			log.Info("a token for the REST API was made", "file", s.tokens)
		}
	}
	err := s.openAll(ctx, d, s.listeners, "", insecure, log)
	if err == nil {
		err = s.openAll(ctx, d, s.admin, "admin.", insecure, log)
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// openAll opens the listeners of one property, admin. or none before its name.
func (s *settings) openAll(ctx context.Context, d *doors, addresses []string, prefix string, insecure bool, log *slog.Logger) error {
	var secure *tls.Config
	certified := false // clients have to have a certificate
	if slices.ContainsFunc(addresses, isHTTPS) {
		properties, named := s.https(prefix + "listeners.https.")
		var problems []config.Problem
		if secure, certified, problems = kafkaclient.ServerTLS(properties, named, log); len(config.Errors(problems)) > 0 {
			return join(config.Errors(problems))
		}
		for _, p := range problems {
			log.Warn("property of the worker", "property", p.Property, "problem", p.Message)
		}
	}
	for _, address := range addresses {
		https := isHTTPS(address)
		l, err := rest.Listen(ctx, rest.Listener{
			Address: address, TLS: secure, Authenticated: d.tokens != nil || https && certified, Insecure: insecure,
		})
		if err != nil {
			return err
		}
		d.listeners = append(d.listeners, &listener{l, https, prefix != ""})
	}
	return nil
}

// https are the properties of TLS with a prefix, and that prefix; where none has it, those without, as in Kafka Connect.
func (s *settings) https(prefix string) (properties map[string]string, named string) {
	out := map[string]string{}
	for name, value := range s.connect.Properties {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			out[rest] = value
		}
	}
	if len(out) > 0 {
		return out, prefix
	}
	return s.connect.Properties, ""
}

// peers is the client for requests to other workers of the group: as in Kafka Connect it has the TLS of the listeners, and
// it shows a token where those are asked for.
func (s *settings) peers(tokens *rest.Tokens) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if slices.ContainsFunc(s.listeners, isHTTPS) {
		properties, named := s.https("listeners.https.")
		secure, problems := kafkaclient.ClientTLS(properties, named)
		if errs := config.Errors(problems); len(errs) > 0 {
			return nil, join(errs)
		}
		transport.TLSClientConfig = secure
	}
	if tokens == nil {
		return &http.Client{Transport: transport}, nil
	}
	return &http.Client{Transport: tokens.Transport(transport)}, nil
}

// handlers are those of the API and of /admin where that has listeners of its own.
func (s *settings) handlers(o rest.Options) (api, admin http.Handler) {
	o.Origins, o.OriginMethods, o.Headers, o.NoTracking, o.NoTopicReset = s.api.Origins, s.api.OriginMethods, s.api.Headers, s.api.NoTracking, s.api.NoTopicReset
	o.Hide = s.hider.Text
	if o.Reports != nil {
		reports := o.Reports
		o.Reports = func() []connect.ConnectorReport { return s.hidden(reports()) }
	}
	if !s.ownAdmin {
		return rest.New(o), nil
	}
	o.Admin = rest.AdminNever
	api = rest.New(o)
	o.Admin, o.Origins = rest.AdminOnly, nil // as in Kafka Connect pages of other origins never get in there
	return api, rest.New(o)
}

// hidden are reports whose causes are without what references of the worker's properties stand for.
func (s *settings) hidden(reports []connect.ConnectorReport) []connect.ConnectorReport {
	for n := range reports {
		r := &reports[n]
		r.Cause = s.hider.Text(r.Cause)
		for i := range r.Tasks {
			r.Tasks[i].Cause = s.hider.Text(r.Tasks[i].Cause)
		}
	}
	return reports
}
