// SPDX-License-Identifier: Apache-2.0

package rest_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/connect/rest"
)

// member is a worker of a group whose leader is elsewhere, or itself.
type member struct {
	connect.Herder

	mu        sync.Mutex
	leader    string // "" is itself
	asked     int
	config    map[string]string
	signature connect.Signature
}

func (m *member) there() error {
	m.asked++
	if m.leader != "" {
		return &connect.ElsewhereError{URL: m.leader}
	}
	return nil
}

func (m *member) Put(_ context.Context, name string, cfg map[string]string, create bool, _ connect.State) (connect.Info, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.there(); err != nil {
		return connect.Info{}, false, err
	}
	if m.config != nil && create {
		return connect.Info{}, false, connect.Exists(name)
	}
	created := m.config == nil
	m.config = cfg
	return connect.Info{Name: name, Config: cfg, Tasks: []connect.TaskID{}, Type: "source"}, created, nil
}

func (m *member) Delete(context.Context, string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.there()
}

func (m *member) PutTaskConfigs(_ context.Context, connector string, configs []map[string]string, s connect.Signature) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.signature = s
	if connector != "c/1" || len(configs) != 1 || configs[0]["a"] != "b" {
		return &connect.Error{Code: 400, Message: "it did not come as it was sent"}
	}
	return nil
}

func (m *member) FenceZombies(context.Context, string, connect.Signature) error {
	return &connect.Error{Code: 403, Message: "Internal request contained invalid signature."}
}

var (
	_ connect.Herder = (*member)(nil)
	_ connect.Group  = (*member)(nil)
)

func serveMember(t *testing.T, leader string) (*member, string) {
	t.Helper()
	m := &member{leader: leader}
	s := httptest.NewServer(rest.New(rest.Options{Herder: m, Forward: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}))
	t.Cleanup(s.Close)
	return m, s.URL + "/"
}

func send(t *testing.T, method, url, body string, header ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text), resp.Header
}

const forwardBody = `{"name":"c","config":{"connector.class":"x","n":3}}`

// Requests go to the leader, and its answers come back as if they were this worker's.
func TestForwarding(t *testing.T) {
	leader, leaderURL := serveMember(t, "")
	follower, url := serveMember(t, leaderURL)
	status, body, header := send(t, "POST", url+"connectors", forwardBody)
	require.Equal(t, 201, status, body)
	require.JSONEq(t, `{"name":"c","config":{"connector.class":"x","n":"3"},"tasks":[],"type":"source"}`, body)
	require.Equal(t, url+"connectors/c", header.Get("Location"))
	require.Equal(t, "application/json", header.Get("Content-Type"))
	status, body, _ = send(t, "POST", url+"connectors", forwardBody)
	require.Equal(t, 409, status)
	require.JSONEq(t, `{"error_code":409,"message":"Connector c already exists"}`, body)
	status, _, header = send(t, "PUT", url+"connectors/c/config", `{"connector.class":"y"}`)
	require.Equal(t, 200, status)
	require.Empty(t, header.Get("Location"))
	status, body, _ = send(t, "DELETE", url+"connectors/c", "")
	require.Equal(t, 204, status)
	require.Empty(t, body)
	require.Equal(t, 4, follower.asked)
	require.Equal(t, 4, leader.asked)
}

// A request goes from the first worker to the leader, and from there once more, and then no further.
func TestForwardingEnds(t *testing.T) {
	third, thirdURL := serveMember(t, "http://127.0.0.1:1/")
	second, secondURL := serveMember(t, thirdURL)
	first, url := serveMember(t, secondURL)
	status, body, _ := send(t, "POST", url+"connectors", forwardBody)
	require.Equal(t, 409, status)
	require.JSONEq(t, `{"error_code":409,"message":"Cannot complete request because of a conflicting operation (e.g. worker rebalance)"}`, body)
	require.Equal(t, []int{1, 1, 1}, []int{first.asked, second.asked, third.asked})
	status, _, _ = send(t, "POST", url+"connectors?forward=false", forwardBody)
	require.Equal(t, 409, status)
	require.Equal(t, 1, second.asked)

	status, body, _ = send(t, "POST", thirdURL+"connectors", forwardBody)
	require.Equal(t, 500, status)
	require.Contains(t, body, "IO Error trying to forward REST request: ")
}

func TestForwardingToSomethingElse(t *testing.T) {
	for _, c := range []struct {
		name    string
		answer  http.HandlerFunc
		status  int
		message string
	}{
		{"no worker", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusUnauthorized) }, 500, "IO Error trying to forward REST request: the other worker answered 401"},
		{"a redirection", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) }, 500, "Unexpected status code"},
		{"the login is passed on", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Basic x" || r.Header.Get("Cookie") != "" || r.Header.Get("User-Agent") != "kafka-connect" {
				http.Error(w, "{}", http.StatusUnauthorized)
			}
		}, 200, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			other := httptest.NewServer(c.answer)
			defer other.Close()
			_, url := serveMember(t, other.URL)
			status, body, _ := send(t, "DELETE", url+"connectors/c", "", "Authorization", "Basic x", "Cookie", "secret")
			require.Equal(t, c.status, status, body)
			require.Contains(t, body, c.message)
		})
	}
}

// Requests between workers carry their signature over exactly the bytes that were sent.
func TestInternalRequests(t *testing.T) {
	leader, url := serveMember(t, "")
	peers := &rest.Peers{Client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	s := connect.Signature{Algorithm: "HmacSHA256", MAC: "AAAA", Body: []byte(`[ {"a" : "b"}]`)}
	require.NoError(t, peers.PutTaskConfigs(t.Context(), url, "c/1", s))
	require.Equal(t, s, leader.signature)
	err := peers.FenceZombies(t.Context(), url, "c", connect.Signature{})
	var refused *connect.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 403, refused.Code)
	require.ErrorContains(t, peers.FenceZombies(t.Context(), "http://127.0.0.1:1/", "c", connect.Signature{}), "IO Error trying to forward REST request")
	status, body, _ := send(t, "POST", url+"connectors/c/tasks", "nope")
	require.Equal(t, 500, status)
	require.Contains(t, body, "error_code")
	status, _, _ = send(t, "GET", url+"connectors/c/fence", "")
	require.Equal(t, 405, status)
}
