// SPDX-License-Identifier: Apache-2.0

package connecttest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Recording is what a worker of Kafka Connect was asked, and what it answered: a file below testdata/golden/connect, whose
// README has the form.
type Recording struct {
	Properties string `json:"worker_properties"`
	Exchanges  []Exchange
}

// Exchange is a request and its answer.
type Exchange struct {
	Request struct {
		Method, Path string
		Port         int // of the recorded worker; 0 is 8183
		Headers      map[string]string
		Body         json.RawMessage
		BodyText     string
	}
	Response struct {
		Status   int
		Body     json.RawMessage
		BodyText string
	}
}

// ReadRecording reads a file below the folder golden/connect at root, the way to the module's folder.
func ReadRecording(t testing.TB, root, name string) *Recording {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "testdata", "golden", "connect", name+".json"))
	require.NoError(t, err)
	r := &Recording{}
	require.NoError(t, json.Unmarshal(text, r))
	require.NotEmpty(t, r.Exchanges)
	return r
}

// Send sends the request to a worker, whose address is without a slash at its end.
func (e *Exchange) Send(t testing.TB, url string) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), e.Request.Method, url+e.Request.Path, strings.NewReader(string(e.Request.Body)+e.Request.BodyText))
	require.NoError(t, err)
	for k, v := range e.Request.Headers {
		r.Header.Set(k, v)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	require.NoError(t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, string(text)
}

// Replay sends the exchanges of a recording to workers, and wants the recorded answers.
type Replay struct {
	Recording *Recording
	// Workers are the addresses of the workers that stand for the recorded ones, by these one's ports.
	Workers map[int]string
	// Left are exchanges that are not sent, with why; Own are those that are answered in another way, with why.
	Left map[int]string
	Own  map[int]OwnAnswer
	// After are what is waited for behind an exchange.
	After map[int]func()
	// Normal, if not nil, takes out of a body what may differ.
	Normal func(exchange int, body any)
}

// OwnAnswer is an answer that is another one than the recorded: the status, and the JSON of the body unless that is "".
type OwnAnswer struct {
	Status int
	Body   string
	Why    string
}

// patience is how long an answer may take to become the recorded one: recordings wait for states to settle without saying so.
const patience = 20 * time.Second

// javaMessage finds messages of the Java stack, of which the recordings' README wants status and code compared only.
var javaMessage = regexp.MustCompile(`"message":\s*"(Unexpected|Cannot (deserialize|construct|invoke)|Unrecognized)|available connectors are|REDACTED`)

// Run replays. Reads are sent until the answer is right; so is what is refused because a worker has not caught up.
func (p *Replay) Run(t testing.TB) {
	t.Helper()
	for n := range p.Recording.Exchanges {
		e := &p.Recording.Exchanges[n]
		if why := p.Left[n]; why != "" {
			t.Logf("exchange %d is left out: %s", n, why)
			continue
		}
		port := e.Request.Port
		if port == 0 {
			port = 8183
		}
		url := p.Workers[port]
		require.NotEmpty(t, url, "no worker stands for port %d", port)
		status, want := p.wanted(t, n)
		for deadline := time.Now().Add(patience); ; runtime.Gosched() {
			got, text := e.Send(t, url)
			body := p.parsed(t, n, text)
			if status == got && (want == nil || reflect.DeepEqual(want, body)) {
				break
			}
			again := e.Request.Method == http.MethodGet || got == http.StatusConflict || got == http.StatusNotFound
			if !again || time.Now().After(deadline) {
				require.Equal(t, status, got, "exchange %d: %s %s: %s", n, e.Request.Method, e.Request.Path, text)
				require.Equal(t, want, body, "exchange %d: %s %s", n, e.Request.Method, e.Request.Path)
			}
		}
		if wait := p.After[n]; wait != nil {
			wait()
		}
	}
}

// wanted is the status and the body of an answer, nil where any does.
func (p *Replay) wanted(t testing.TB, n int) (int, any) {
	e := &p.Recording.Exchanges[n]
	if own, ok := p.Own[n]; ok {
		t.Logf("exchange %d is answered with %d: %s", n, own.Status, own.Why)
		if own.Body == "" {
			return own.Status, nil
		}
		return own.Status, p.parsed(t, n, own.Body)
	}
	text := string(e.Response.Body)
	if text == "" {
		text = e.Response.BodyText
	}
	for port, url := range p.Workers {
		text = strings.ReplaceAll(text, fmt.Sprintf("127.0.0.1:%d", port), strings.TrimPrefix(url, "http://"))
	}
	return e.Response.Status, p.parsed(t, n, text)
}

// parsed is a body in a form that can be compared: nothing of Java's own, "" for none.
func (p *Replay) parsed(t testing.TB, n int, text string) any {
	t.Helper()
	var body any = text
	if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		require.NoError(t, json.Unmarshal([]byte(text), &body))
	}
	if object, ok := body.(map[string]any); ok && javaMessage.Match(p.Recording.Exchanges[n].Response.Body) {
		delete(object, "message")
	}
	Traceless(body)
	if p.Normal != nil {
		p.Normal(n, body)
	}
	return body
}

// Traceless leaves of traces that there is one, and of versions none that is null: that is how Kafka Connect tells that it knows
// none.
func Traceless(body any) {
	switch v := body.(type) {
	case []any:
		for _, item := range v {
			Traceless(item)
		}
	case map[string]any:
		if _, ok := v["trace"]; ok {
			v["trace"] = "trace"
		}
		if version, ok := v["version"]; ok && version == nil {
			delete(v, "version")
		}
		for _, item := range v {
			Traceless(item)
		}
	}
}
