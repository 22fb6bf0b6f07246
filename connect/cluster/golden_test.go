// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Requests that Kafka Connect's second worker passed on have the same answers here: statuses, and messages of errors that are
// not Java's own.
func TestGoldenForwarding(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "golden", "connect", "rest", "forwarding.json"))
	require.NoError(t, err)
	var recording struct {
		Exchanges []struct {
			Request struct {
				Method, Path string
				Port         int
				Headers      map[string]string
				Body         json.RawMessage
				BodyText     string
			}
			Response struct {
				Status int
				Body   json.RawMessage
			}
		}
	}
	require.NoError(t, json.Unmarshal(text, &recording))
	w := newWorld(t)
	a := w.start()
	waitFor(t, "a leads", func() bool { return a.herder.Starting() == "" })
	b := w.start()
	for _, name := range []string{"w0", "w1", "w2", "w3"} {
		w.source(a, name)
		waitFor(t, "it runs", func() bool { return b.states(name) == "RUNNING RUNNING" })
	}
	for n, e := range recording.Exchanges {
		x := a
		if e.Request.Port == 8184 {
			x = b
		}
		body := string(e.Request.Body) + e.Request.BodyText
		var headers []string
		for name, value := range e.Request.Headers {
			headers = append(headers, name, value)
		}
		var status int
		var answer string
		// A worker may not have read yet what the one before has written.
		matched := func() bool {
			status, answer = send(t, e.Request.Method, strings.TrimSuffix(x.url, "/")+e.Request.Path, body, headers...)
			return status == e.Response.Status
		}
		for deadline := time.Now().Add(5 * time.Second); !matched() && time.Now().Before(deadline); {
			runtime.Gosched()
		}
		require.Equal(t, e.Response.Status, status, "exchange %d: %s %s: %s", n, e.Request.Method, e.Request.Path, answer)
		var want, got struct{ Message string }
		if json.Unmarshal(e.Response.Body, &want) == nil && want.Message != "" && !strings.Contains(want.Message, "available connectors") && !strings.Contains(want.Message, "REDACTED") &&
			!strings.HasPrefix(want.Message, "HTTP ") && !strings.HasPrefix(want.Message, "The ") {
			require.NoError(t, json.Unmarshal([]byte(answer), &got))
			require.Equal(t, want.Message, got.Message, "exchange %d", n)
		}
	}
}

func send(t *testing.T, method, url, body string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}
