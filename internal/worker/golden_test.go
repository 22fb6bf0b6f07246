// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	filesource "freshet/capture/file"
	"freshet/config"
	"freshet/connect"
	"freshet/internal/loglevel"
	"freshet/sinks"
	filesink "freshet/sinks/file"
)

// recording is a recorded worker with its properties, and what it was asked.
type recording struct {
	Properties string `json:"worker_properties"`
	Exchanges  []recordedExchange
}

type recordedExchange struct {
	Request struct {
		Method, Path string
		Port         int
		Headers      map[string]string
		Body         json.RawMessage
	}
	Response struct {
		Status   int
		Body     json.RawMessage
		BodyText string
		All      [][2]string `json:"all_headers"`
	}
}

// ownExchanges are those that are answered in another way on purpose.
var ownExchanges = map[string]string{
	"options-providers-admin-principal#5":    "validation shows references, not what they stand for",
	"options-tracking-admin-override-cors#8": "client properties of a connector are checked, and listed only where they are wrong",
}

// TestGoldenOptions asks a worker with the recorded properties what the original was asked. Brokers are a fake.
func TestGoldenOptions(t *testing.T) {
	golden, err := filepath.Abs(filepath.Join("..", "..", "testdata", "golden", "connect", "standalone"))
	require.NoError(t, err)
	for _, name := range []string{"options-providers-admin-principal", "options-tracking-admin-override-cors"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(golden, name+".json"))
			require.NoError(t, err)
			var r recording
			require.NoError(t, json.Unmarshal(text, &r))
			t.Chdir(t.TempDir())
			for path, text := range map[string]string{
				"secrets.properties": "topic=k1-connect-test\nfile=nofile.txt\nsp= spaced \n", "sec/topic": "k1-connect-test\n", "sec/file": "nofile.txt",
			} {
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
				require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			}
			urls := runRecorded(t, r.Properties)
			for n, e := range r.Exchanges {
				id := fmt.Sprintf("%s#%d", name, n)
				if why := ownExchanges[id]; why != "" {
					t.Logf("%s left out: %s", id, why)
					continue
				}
				url := urls[0]
				if e.Request.Port == 8186 {
					url = urls[1]
				}
				want := outcome{e.Response.Status, comparable(t, strings.ReplaceAll(string(e.Response.Body)+e.Response.BodyText, "127.0.0.1:8185", strings.TrimPrefix(urls[0], "http://"))), map[string]string{}}
				for _, h := range e.Response.All {
					if h[0] != "Date" && h[0] != "Server" && h[0] != "Content-Length" {
						want.headers[h[0]] = h[1]
					}
				}
				got := e.send(t, url, len(e.Response.All) > 0)
				for deadline := time.Now().Add(10 * time.Second); e.Request.Method == http.MethodGet && !reflect.DeepEqual(want, got) && time.Now().Before(deadline); {
					<-time.After(10 * time.Millisecond) // the recorder waited for states to settle
					got = e.send(t, url, len(e.Response.All) > 0)
				}
				require.Equal(t, want, got, "%s: %s %s", id, e.Request.Method, e.Request.Path)
			}
		})
	}
}

// outcome is what is compared of an answer.
type outcome struct {
	status  int
	body    any
	headers map[string]string
}

// send sends the request, and takes all headers of the answer where they were recorded.
func (e *recordedExchange) send(t *testing.T, url string, headers bool) outcome {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), e.Request.Method, url+e.Request.Path, bytes.NewReader(e.Request.Body))
	require.NoError(t, err)
	for k, v := range e.Request.Headers {
		r.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	out := outcome{resp.StatusCode, comparable(t, string(body)), map[string]string{}}
	for name := range resp.Header {
		if headers && name != "Date" && name != "Content-Length" && name != "X-Content-Type-Options" {
			out.headers[name] = resp.Header.Get(name)
		}
	}
	return out
}

// comparable leaves out what names the machine, the words of causes behind the recorded ones, and of validations all but
// names, values and errors.
func comparable(t *testing.T, text string) any {
	t.Helper()
	var body any
	if json.Unmarshal([]byte(text), &body) != nil {
		return text
	}
	object, ok := body.(map[string]any)
	if !ok {
		return body
	}
	for _, name := range []string{"commit", "kafka_cluster_id"} {
		if _, ok := object[name]; ok {
			object[name] = ""
		}
	}
	if message, ok := object["message"].(string); ok {
		object["message"], _, _ = strings.Cut(message, ": no such file")
	}
	return body
}

// runRecorded runs a worker with recorded properties until the test ends, and returns its addresses.
func runRecorded(t *testing.T, text string) []string {
	t.Helper()
	properties, err := config.ParseProperties([]byte(text))
	require.NoError(t, err)
	properties["bootstrap.servers"] = newFake(t).ListenAddrs()[0]
	properties["listeners"] = "http://127.0.0.1:0"
	if properties["admin.listeners"] != "" {
		properties["admin.listeners"] = "http://127.0.0.1:0"
	}
	delete(properties, "plugin.path")
	levels, err := loglevel.New("info")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan Running, 1), make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{
			Properties: properties, Environ: []string{"K1_TOPIC=k1-connect-test", "OTHER_X=hidden"}, Levels: levels,
			Plugins: connect.NewPlugins([]capture.Connector{filesource.New()}, []sinks.Connector{filesink.New()}),
			Log:     slog.New(slog.DiscardHandler), Ready: func(r Running) { ready <- r },
		})
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	select {
	case r := <-ready:
		return r.URLs
	case err := <-ended:
		ended <- err
		require.NoError(t, err)
		return nil
	}
}
