// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// DefaultListener is where the API is served unless the worker's properties say something else.
const DefaultListener = "http://127.0.0.1:8083"

// ListenError is a listener that cannot be served, with the next step.
type ListenError struct {
	Listener string
	Err      error
	Hint     string
}

// Error names the listener, the cause and the next step.
func (e *ListenError) Error() string {
	return fmt.Sprintf("listen on %s: %v; %s", e.Listener, e.Err, e.Hint)
}

// Unwrap is the cause.
func (e *ListenError) Unwrap() error { return e.Err }

// Listener says what Listen opens.
type Listener struct {
	Address string // such as http://127.0.0.1:8083
	// TLS is what an https address needs.
	TLS *tls.Config
	// Authenticated says that requests must show who sends them: a token, or a certificate.
	Authenticated bool
	// Insecure allows an address that other machines reach without authentication and TLS.
	Insecure bool
}

// Listen opens a listener. An address that other machines reach takes authentication and TLS, unless Insecure allows it
// without: whoever reaches the API may read and change everything.
func Listen(ctx context.Context, o Listener) (net.Listener, error) {
	listener := o.Address
	u, err := url.Parse(listener)
	if err != nil || u.Host == "" {
		return nil, &ListenError{listener, errors.New("not an address"), "write listeners=http://HOST:PORT or https://HOST:PORT"}
	}
	switch u.Scheme {
	case "http":
	case "https":
		if o.TLS == nil {
			return nil, &ListenError{
				listener, errors.New("there is no certificate for it"),
				"name a file with key and certificates in ssl.keystore.location, or in listeners.https.ssl.keystore.location (PEM, PKCS12 or JKS)",
			}
		}
	default:
		return nil, &ListenError{listener, errors.New(u.Scheme + " is not served"), "write http or https"}
	}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = "8083"
	}
	if !o.Insecure && !loopback(host) {
		switch {
		case !o.Authenticated:
			return nil, &ListenError{
				listener, errors.New("the address can be reached from other machines, and nothing asks who sends requests"),
				"set rest.auth.token.file and an https listener, or listen on 127.0.0.1, or allow it with --insecure",
			}
		case u.Scheme == "http":
			return nil, &ListenError{
				listener, errors.New("the address can be reached from other machines, and tokens would go over the network in clear"),
				"make it an https listener, or listen on 127.0.0.1, or allow it with --insecure",
			}
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, port))
	switch {
	case err == nil && u.Scheme == "https":
		return tls.NewListener(l, o.TLS), nil
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, &ListenError{
			listener, errors.New("another process has port " + port),
			"end that process (another worker?), or choose another port with listeners=" + u.Scheme + "://" + net.JoinHostPort(host, "PORT") + " in the worker's properties (port 0 takes any free one)",
		}
	case errors.Is(err, syscall.EACCES):
		return nil, &ListenError{listener, err, "choose a port from 1024 on"}
	}
	return nil, &ListenError{listener, err, "check listeners in the worker's properties"}
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// Serve answers requests until ctx ends; then open requests have a second to finish, and streams are cut. The requests'
// contexts end with ctx.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      requestTime + 10*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve the REST API: %w", err)
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := s.Shutdown(closing); err != nil {
		_ = s.Close() // cuts what is left; there is nothing to do about its error
	}
	<-ended
	return nil
}
