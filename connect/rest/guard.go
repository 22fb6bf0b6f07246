// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"freshet/connect"
)

// guarded puts what every request passes before the routes: the log of requests, headers of answers, the check of the host,
// that of other origins, and authentication.
func (a *api) guarded() http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		a.send(w, reply{status: http.StatusForbidden, body: failure{403, "Cross-origin requests are refused"}})
	}))
	for _, origin := range a.o.Origins {
		if err := protection.AddTrustedOrigin(origin); err != nil {
			a.o.Log.Error("access.control.allow.origin has an entry that is no origin; it is left out", "origin", origin, "error", err.Error())
		}
	}
	var h http.Handler = a
	if a.o.Tokens != nil {
		h = a.authenticated(h)
	}
	h = protection.Handler(h)
	if len(a.o.Origins) > 0 {
		h = a.shared(h)
	}
	h = a.checkHost(h)
	if len(a.o.Headers) > 0 {
		h = a.headed(h)
	}
	return a.logged(h)
}

// checkHost refuses requests by names that this server does not go by: a page in a browser that made its own name point
// here (DNS rebinding) gets nothing.
func (a *api) checkHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !a.allowed(r.Host) {
			a.send(w, reply{status: http.StatusForbidden, body: failure{403, "Host " + r.Host +
				" is not allowed; name it in rest.allowed.hosts of the worker's properties if this server goes by it"}})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (a *api) allowed(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.Trim(name, "[]"), ".")
	if name == "" || strings.EqualFold(name, "localhost") || net.ParseIP(name) != nil {
		return true
	}
	for _, h := range a.o.Hosts {
		if h == "*" || strings.EqualFold(h, name) {
			return true
		}
	}
	return false
}

// shared adds the headers that let pages of the allowed origins read answers (CORS), as Jetty's filter does.
func (a *api) shared(next http.Handler) http.Handler {
	methods := a.o.OriginMethods
	if len(methods) == 0 {
		methods = []string{http.MethodGet, http.MethodPost, http.MethodHead}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		if origin := r.Header.Get("Origin"); slices.Contains(a.o.Origins, origin) {
			h.Set("Access-Control-Allow-Origin", origin)
			if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
				h.Set("Access-Control-Allow-Methods", strings.Join(methods, ","))
				h.Set("Access-Control-Allow-Headers", a.originHeaders())
				h.Set("Access-Control-Max-Age", "60")
			}
		}
		next.ServeHTTP(w, r)
	})
}

// originHeaders are the headers that pages of other origins may send.
func (a *api) originHeaders() string {
	if a.o.Tokens != nil {
		return "Content-Type,Authorization"
	}
	return "Content-Type"
}

// person is the key of a request's context for whose token it showed.
type person struct{}

// anonymous is the key for requests that showed none, and are answered in brief all the same.
type anonymous struct{}

// brief are the probes, which tell whether all is well to everybody, and why not to those who may know.
var brief = map[string]bool{"/healthz": true, "/readyz": true}

// authenticated lets requests with a token through, and those that need none: what a browser asks before it asks, and probes.
func (a *api) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g, v := a.o.Tokens.judge(r)
		switch {
		case v == allowed:
			if who, ok := r.Context().Value(person{}).(*string); ok {
				*who = g.name
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), granted{}, g)))
		case r.Method == http.MethodOptions:
			next.ServeHTTP(w, r)
		case brief[strings.TrimSuffix(r.URL.Path, "/")] && shownToken(r) == "":
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), anonymous{}, true)))
		case v == tooMany:
			w.Header().Set("Retry-After", strconv.Itoa(int(failureWindow.Seconds())))
			a.send(w, reply{status: http.StatusTooManyRequests, body: failure{http.StatusTooManyRequests, "Too many wrong tokens from this address: try again later"}})
		default:
			w.Header().Set("WWW-Authenticate", `Bearer realm="freshet"`)
			a.send(w, reply{status: http.StatusUnauthorized, body: failure{
				http.StatusUnauthorized,
				"User cannot access the resource: send Authorization: Bearer TOKEN with a token of rest.auth.token.file",
			}})
		}
	})
}

// Header is a header of every answer.
type Header struct {
	Name, Value string
	Add         bool // beside one that is there, instead of in its place
}

// ParseHeaders reads response.http.headers.config: items such as `set X-Frame-Options: DENY`, in quotes where they hold
// commas. The actions are set, add, setDate and addDate.
func ParseHeaders(text string) ([]Header, error) {
	var out []Header
	for _, item := range quotedList(text) {
		action, rest, _ := strings.Cut(item, " ")
		name, value, ok := strings.Cut(rest, ":")
		h := Header{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)}
		switch action {
		case "set":
		case "add":
			h.Add = true
		case "setDate", "addDate":
			h.Add = action == "addDate"
			millis, err := strconv.ParseInt(h.Value, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%q: the date is not a number of milliseconds", item)
			}
			h.Value = time.UnixMilli(millis).UTC().Format(http.TimeFormat)
		default:
			return nil, fmt.Errorf("%q does not begin with set, add, setDate or addDate", item)
		}
		if !ok || h.Name == "" || strings.ContainsAny(h.Name, " \t\r\n") || strings.ContainsAny(h.Value, "\r\n") {
			return nil, fmt.Errorf("%q is not of the form ACTION NAME: VALUE", item)
		}
		out = append(out, h)
	}
	return out, nil
}

// quotedList splits at commas outside of double quotes.
func quotedList(text string) []string {
	var out []string
	var item strings.Builder
	quoted := false
	flush := func() {
		if s := strings.TrimSpace(item.String()); s != "" {
			out = append(out, s)
		}
		item.Reset()
	}
	for _, r := range text {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ',' && !quoted:
			flush()
		default:
			item.WriteRune(r)
		}
	}
	flush()
	return out
}

func (a *api) headed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, h := range a.o.Headers {
			if h.Add {
				w.Header().Add(h.Name, h.Value)
			} else {
				w.Header().Set(h.Name, h.Value)
			}
		}
		next.ServeHTTP(w, r)
	})
}

// logged writes a line for each request once it is answered: changes at INFO, questions at DEBUG, both by the logger of
// this package.
func (a *api) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		level := slog.LevelInfo
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions:
			level = slog.LevelDebug
		}
		if !a.o.Log.Enabled(r.Context(), level) {
			next.ServeHTTP(w, r)
			return
		}
		var who string
		counted := &countingWriter{ResponseWriter: w, status: http.StatusOK}
		begin := time.Now()
		next.ServeHTTP(counted, r.WithContext(context.WithValue(r.Context(), person{}, &who)))
		args := []any{
			"method", r.Method, "path", connect.RedactText(r.URL.RequestURI()), "status", counted.status, "bytes", counted.bytes,
			"took", time.Since(begin), "remote", r.RemoteAddr,
		}
		if who != "" {
			args = append(args, "token_of", who)
		}
		a.o.Log.Log(r.Context(), level, "request", args...)
	})
}

// countingWriter remembers what was answered.
type countingWriter struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader remembers the status.
func (w *countingWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write counts.
func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
