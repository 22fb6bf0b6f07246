// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/emitter/topic"
	"freshet/internal/loglevel"
)

const token = "0123456789abcdef-of-anne"

// guardedAPI is an API that asks for tokens, and what it logs. It has no herder: what gets as far as that panics.
func guardedAPI(t *testing.T, change func(o *Options)) (*api, http.Handler, *bytes.Buffer) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(path, []byte("# people\nanne "+token+"\n\n"+strings.Repeat("b", 20)+"\n"), 0o600))
	logs := &bytes.Buffer{}
	log := slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	tokens, made, err := OpenTokens(path, log)
	require.NoError(t, err)
	require.False(t, made)
	levels, err := loglevel.New("info")
	require.NoError(t, err)
	o := Options{
		Tokens: tokens, Log: log, Levels: levels, Topics: struct{ topic.Log }{},
		Reports: func() []connect.ConnectorReport { return nil },
	}
	if change != nil {
		change(&o)
	}
	a := &api{o: o}
	a.routes = a.table()
	return a, a.guarded(), logs
}

func answerOf(h http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Host = "localhost"
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// No route answers without a token, whatever is added to the table, but for the probes, which tell nothing.
func TestEveryRouteAsksForAToken(t *testing.T) {
	a, h, _ := guardedAPI(t, nil)
	open := map[string]bool{"/healthz": true, "/readyz": true}
	n := 0
	for _, r := range a.routes {
		segments := make([]string, len(r.path))
		for i, s := range r.path {
			if segments[i] = s; s[0] == ':' || s[0] == '#' {
				segments[i] = "1"
			}
		}
		path := "/" + strings.Join(segments, "/")
		for _, m := range r.methods {
			for _, headers := range [][]string{
				nil, {"Authorization", ""}, {"Authorization", "Bearer"}, {"Authorization", "Bearer "}, {"Authorization", token},
			} {
				w := answerOf(h, m.name, path, headers...)
				if open[path] {
					require.NotEqual(t, http.StatusUnauthorized, w.Code, path)
					continue
				}
				require.Equal(t, http.StatusUnauthorized, w.Code, "%s %s", m.name, path)
				require.Contains(t, w.Header().Get("WWW-Authenticate"), "Bearer")
				require.Contains(t, w.Body.String(), `{"error_code":401,"message":"User cannot access the resource`)
				n++
			}
		}
	}
	require.Greater(t, n, 100)
	require.Equal(t, http.StatusUnauthorized, answerOf(h, "GET", "/nope").Code, "unknown paths are not told from known ones")
}

func TestTokens(t *testing.T) {
	_, h, logs := guardedAPI(t, nil)
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("anybody:"+token))
	for _, c := range []struct {
		header string
		want   int
	}{
		{"Bearer " + token, 200},
		{"bearer  " + token, 200},
		{"Bearer " + strings.Repeat("b", 20), 200},
		{basic, 200},
		{"Basic " + base64.StdEncoding.EncodeToString([]byte(token+":")), 401},
		{"Bearer " + token + "x", 401},
		{"Bearer anne", 401},
		{"Bearer # people", 401},
		{"Digest " + token, 401},
	} {
		require.Equal(t, c.want, answerOf(h, "GET", "/admin/loggers", "Authorization", c.header).Code, c.header)
	}
	require.Contains(t, logs.String(), "token_of=anne")
	require.NotContains(t, logs.String(), token)
}

func TestWrongTokensAreLimited(t *testing.T) {
	a, h, logs := guardedAPI(t, nil)
	clock := time.Unix(1000, 0)
	a.o.Tokens.now = func() time.Time { return clock }
	good := []string{"Authorization", "Bearer " + token}
	for n := range failureLimit - 1 {
		require.Equal(t, 401, answerOf(h, "GET", "/admin/loggers", "Authorization", "Bearer wrong").Code, n)
	}
	require.Equal(t, 200, answerOf(h, "GET", "/admin/loggers", good...).Code, "a right one begins the count anew")
	for range failureLimit {
		require.Equal(t, 401, answerOf(h, "GET", "/admin/loggers", "Authorization", "Bearer wrong").Code)
	}
	w := answerOf(h, "GET", "/admin/loggers", good...)
	require.Equal(t, http.StatusTooManyRequests, w.Code)
	require.Equal(t, "10", w.Header().Get("Retry-After"))
	require.Equal(t, 200, answerOf(h, "GET", "/healthz").Code, "probes need no token")
	require.Equal(t, 1, strings.Count(logs.String(), "many wrong tokens"))
	clock = clock.Add(failureWindow)
	require.Equal(t, 200, answerOf(h, "GET", "/admin/loggers", good...).Code)
}

// Tokens are exchanged while the server runs, and a file that cannot be used leaves those of before.
func TestTokensAreReadAgain(t *testing.T) {
	a, h, logs := guardedAPI(t, nil)
	put := func(text string, age time.Duration) {
		require.NoError(t, os.WriteFile(a.o.Tokens.path, []byte(text), 0o600))
		at := time.Now().Add(age)
		require.NoError(t, os.Chtimes(a.o.Tokens.path, at, at))
	}
	status := func(token string) int {
		return answerOf(h, "GET", "/admin/loggers", "Authorization", "Bearer "+token).Code
	}
	require.Equal(t, 200, status(token))
	put("new-token-0123456789", time.Hour)
	require.Equal(t, 401, status(token))
	require.Equal(t, 200, status("new-token-0123456789"))
	put("short", 2*time.Hour)
	require.Equal(t, 200, status("new-token-0123456789"))
	require.Contains(t, logs.String(), "those of before count")
	require.NoError(t, os.Remove(a.o.Tokens.path))
	require.Equal(t, 200, status("new-token-0123456789"))
}

func TestOpenTokens(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	path := filepath.Join(t.TempDir(), "tokens")
	made, isNew, err := OpenTokens(path, log)
	require.NoError(t, err)
	require.True(t, isNew)
	require.Len(t, made.entries, 1)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	again, isNew, err := OpenTokens(path, log)
	require.NoError(t, err)
	require.False(t, isNew)
	require.Equal(t, made.entries, again.entries)

	for text, want := range map[string]string{
		"":                              "it holds no token",
		"# none\n\n":                    "it holds no token",
		"short":                         "line 1 is neither TOKEN nor NAME TOKEN",
		"ok-token-0123456789\na b c":    "line 2 is neither",
		"anne " + token + " boss":       `line 1: "boss" is none of the roles viewer, operator and admin`,
		"anne " + token + " viewer all": `line 1: "all" is neither the word contents nor a list connectors=PATTERN,PATTERN`,
		"anne " + token + " viewer connectors=a,[": `line 1: "[" is no pattern of connectors' names`,
		"anne " + token + " viewer connectors=":    "line 1: ",
		"anne " + token + " operator":              "none of its tokens has the role admin",
		"anne " + token + " admin connectors=a":    "none of its tokens has the role admin for all connectors",
		"anne " + strings.Repeat("x", 15):          "at least 16 characters",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, _, err := OpenTokens(path, log)
		require.ErrorContains(t, err, want, "%q", text)
		require.ErrorContains(t, err, path)
	}
	_, _, err = OpenTokens(filepath.Join(t.TempDir(), "no", "folder"), log)
	require.ErrorContains(t, err, "rest.auth.token.file")
	var logs bytes.Buffer
	require.NoError(t, os.WriteFile(path, []byte("ok-token-0123456789"), 0o600))
	require.NoError(t, os.Chmod(path, 0o644))
	_, _, err = OpenTokens(path, slog.New(slog.NewTextHandler(&logs, nil)))
	require.NoError(t, err)
	require.Contains(t, logs.String(), "chmod 600")
}

// Workers of a group show each other the first token, unless they pass on what a client showed.
func TestTokensBetweenWorkers(t *testing.T) {
	a, h, _ := guardedAPI(t, nil)
	s := httptest.NewServer(h)
	defer s.Close()
	client := &http.Client{Transport: a.o.Tokens.Transport(s.Client().Transport)}
	get := func(header string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/admin/loggers", nil)
		require.NoError(t, err)
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		resp, err := client.Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	require.Equal(t, 200, get(""))
	require.Equal(t, 401, get("Bearer of-somebody-else"))
}

// Probes tell why only those who show a token.
func TestProbesWithoutAToken(t *testing.T) {
	_, h, _ := guardedAPI(t, func(o *Options) { o.Starting = func() string { return "No broker has answered yet." } })
	w := answerOf(h, "GET", "/readyz")
	require.Equal(t, 503, w.Code)
	require.NotContains(t, w.Body.String(), "broker")
	w = answerOf(h, "GET", "/readyz", "Authorization", "Bearer "+token)
	require.Equal(t, 503, w.Code)
	require.Contains(t, w.Body.String(), "No broker has answered yet.")
	require.Equal(t, 401, answerOf(h, "GET", "/readyz", "Authorization", "Bearer wrong").Code)
}

func TestRequestsAreLogged(t *testing.T) {
	for _, c := range []struct {
		level               slog.Level
		wantReads, wantPuts int
	}{{slog.LevelDebug, 1, 1}, {slog.LevelInfo, 0, 1}, {slog.Level(math.MaxInt), 0, 0}} {
		var logs bytes.Buffer
		_, h, _ := guardedAPI(t, func(o *Options) {
			o.Tokens = nil
			o.Log = slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: c.level}))
		})
		answerOf(h, "GET", "/admin/loggers?password=canary-4711")
		answerOf(h, "PUT", "/admin/loggers/root")
		require.Equal(t, c.wantReads, strings.Count(logs.String(), "method=GET"), logs.String())
		require.Equal(t, c.wantPuts, strings.Count(logs.String(), "method=PUT path=/admin/loggers/root status=500 bytes="), logs.String())
		require.NotContains(t, logs.String(), "canary-4711")
	}
}

func TestOrigins(t *testing.T) {
	const page = "https://console.example"
	_, h, _ := guardedAPI(t, func(o *Options) { o.Origins, o.OriginMethods = []string{page}, []string{"GET", "PUT"} })
	auth := []string{"Authorization", "Bearer " + token}
	w := answerOf(h, "OPTIONS", "/admin/loggers/root", "Origin", page, "Access-Control-Request-Method", "PUT")
	require.Equal(t, 200, w.Code, "a browser asks without a token")
	require.Equal(t, page, w.Header().Get("Access-Control-Allow-Origin"))
	require.Equal(t, "GET,PUT", w.Header().Get("Access-Control-Allow-Methods"))
	require.Equal(t, "Content-Type,Authorization", w.Header().Get("Access-Control-Allow-Headers"))
	w = answerOf(h, "GET", "/admin/loggers", append(auth, "Origin", page, "Sec-Fetch-Site", "cross-site")...)
	require.Equal(t, 200, w.Code)
	require.Equal(t, page, w.Header().Get("Access-Control-Allow-Origin"))
	require.Equal(t, 500, answerOf(h, "PUT", "/admin/loggers/root", append(auth, "Origin", page, "Sec-Fetch-Site", "cross-site")...).Code, "no body, so it came through")
	for _, other := range []string{"https://evil.example", "http://console.example", "https://console.example.evil.example", "null"} {
		w = answerOf(h, "PUT", "/admin/loggers/root", append(auth, "Origin", other, "Sec-Fetch-Site", "cross-site")...)
		require.Equal(t, 403, w.Code, other)
		require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
		require.Equal(t, "Origin", w.Header().Get("Vary"))
	}
}

func TestParseHeaders(t *testing.T) {
	got, err := ParseHeaders(`set X-Frame-Options: DENY,"add Cache-Control: no-cache, no-store", setDate Expires: 31540000000`)
	require.NoError(t, err)
	require.Equal(t, []Header{
		{Name: "X-Frame-Options", Value: "DENY"},
		{Name: "Cache-Control", Value: "no-cache, no-store", Add: true},
		{Name: "Expires", Value: "Fri, 01 Jan 1971 01:06:40 GMT"},
	}, got)
	for _, bad := range []string{"X: y", "put X: y", "set X y", "set : y", "setDate X: soon", "set X Y: z"} {
		_, err := ParseHeaders(bad)
		require.Error(t, err, bad)
	}
}
