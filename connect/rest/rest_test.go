// SPDX-License-Identifier: Apache-2.0

package rest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"freshet/connect/rest"
	"freshet/emitter/topic"
	"freshet/internal/topicio"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

const sourceBody = `{"name":"c","config":{"connector.class":"FileStreamSource","file":"in1.txt","topic":"t","database.password":"canary-4711"}}`

func TestHost(t *testing.T) {
	s := newServer(t, nil)
	for host, want := range map[string]int{
		"localhost": 200, "localhost:99": 200, "LOCALHOST.": 200, "127.0.0.1": 200, "[::1]:8083": 200, "192.168.1.4:8083": 200,
		"freshet.example": 200, "Freshet.Example:8083": 200,
		"evil.example": 403, "evil.example:8083": 403, "freshet.example.evil.example": 403, "localhost.evil.example": 403,
	} {
		status, _, body := s.do(t, "GET", "/connectors", "", "Host", host)
		require.Equal(t, want, status, "%s: %s", host, body)
	}
}

func TestCrossOriginRequestsAreRefused(t *testing.T) {
	s := newServer(t, nil)
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://evil.example"},
	} {
		for _, content := range []string{"application/json", "text/plain", "application/x-www-form-urlencoded"} {
			status, header, _ := s.do(t, "POST", "/connectors", sourceBody, append(headers, "Content-Type", content)...)
			require.Equal(t, 403, status, "%v %s", headers, content)
			require.Empty(t, header.Get("Access-Control-Allow-Origin"))
		}
	}
	status, header, _ := s.do(t, "GET", "/connectors", "", "Origin", "https://evil.example")
	require.Equal(t, 200, status)
	require.Empty(t, header.Get("Access-Control-Allow-Origin"), "the page cannot read the answer")
	_, _, names := s.do(t, "GET", "/connectors", "")
	require.Equal(t, "[]", names)
}

func TestLimits(t *testing.T) {
	s := newServer(t, nil)
	status, _, body := s.do(t, "POST", "/connectors", `{"name":"`+strings.Repeat("x", 1<<20)+`","config":{}}`)
	require.Equal(t, http.StatusRequestEntityTooLarge, status, body)
	require.Contains(t, body, "1 MiB")
	status, _, _ = s.do(t, "POST", "/connectors", strings.Repeat(`{"a":`, 100_000)) // deep
	require.Equal(t, 500, status)
}

func TestNumbersInConfigurations(t *testing.T) {
	s := newServer(t, nil)
	status, _, body := s.do(t, "PUT", "/connectors/n/config",
		`{"connector.class":"FileStreamSource","topic":"t","a":1.50,"b":1e3,"c":-0.0,"d":12345678901234567890,"e":true,"f":1e10,"g":0.0001,"h":1.25e-7,"i":-3}`)
	require.Equal(t, 201, status, body)
	var info struct{ Config map[string]string }
	require.NoError(t, json.Unmarshal([]byte(body), &info))
	for k, want := range map[string]string{
		"a": "1.5", "b": "1000.0", "c": "-0.0", "d": "12345678901234567890", "e": "true", "f": "1.0E10", "g": "1.0E-4", "h": "1.25E-7", "i": "-3",
	} {
		require.Equal(t, want, info.Config[k], k)
	}
}

// A password is in no answer, whatever is asked.
func TestCanary(t *testing.T) {
	s := newServer(t, nil)
	status, _, created := s.do(t, "POST", "/connectors", sourceBody)
	require.Equal(t, 201, status)
	answers := []string{created}
	ask := func(method, path, body string) string {
		_, _, text := s.do(t, method, path, body)
		answers = append(answers, text)
		return text
	}
	cfg := ask("GET", "/connectors/c/config", "")
	require.Contains(t, cfg, `"database.password":"****"`)
	for _, path := range []string{"/connectors/c", "/connectors/c/tasks", "/connectors/c/status", "/connectors?expand=info&expand=status"} {
		ask("GET", path, "")
	}
	ask("PUT", "/connectors/c/config", strings.Replace(cfg, `"in1.txt"`, `"in2.txt"`, 1))
	ask("PUT", "/connectors/c/config", `{"connector.class":"FileStreamSource","database.password":"canary-4711"}`)
	ask("PATCH", "/connectors/c/config", `{"database.password":"canary-4711"}`)
	ask("POST", "/connectors", `{"name":"d","config":{"database.password":"canary-4711"}}`)
	validated := ask("PUT", "/connector-plugins/FileStreamSource/config/validate", `{"connector.class":"FileStreamSource","database.password":"canary-4711","batch.size":"x"}`)
	require.Contains(t, validated, `"value":"[hidden]"`)
	for _, a := range answers {
		require.NotContains(t, a, "canary-4711")
	}
}

// As Connect does, answers list what transforms and predicates can be told, each in a group of its own.
func TestValidateListsTransforms(t *testing.T) {
	s := newServer(t, nil)
	status, _, text := s.do(t, "PUT", "/connector-plugins/FileStreamSource/config/validate", `{"connector.class":"FileStreamSource","name":"x","file":"f","topic":"t",
		"transforms":"a","transforms.a.type":"org.apache.kafka.connect.transforms.Cast$Value","transforms.a.predicate":"p",
		"predicates":"p","predicates.p.type":"org.apache.kafka.connect.transforms.predicates.HasHeaderKey","predicates.p.name":"h"}`)
	require.Equal(t, 200, status, text)
	var out struct {
		ErrorCount int `json:"error_count"`
		Groups     []string
		Configs    []struct {
			Definition map[string]any
			Value      map[string]any
		}
	}
	require.NoError(t, json.Unmarshal([]byte(text), &out))
	require.Equal(t, 1, out.ErrorCount)
	require.Contains(t, out.Groups, "Transforms: a")
	require.Contains(t, out.Groups, "Predicates: p")
	var names []string
	for _, c := range out.Configs {
		name := c.Value["name"].(string)
		if !strings.HasPrefix(name, "transforms.") && !strings.HasPrefix(name, "predicates.") {
			continue
		}
		require.NotNil(t, c.Definition, name)
		names = append(names, fmt.Sprint(name, " ", c.Definition["order"], " ", c.Value["value"], " ", c.Value["errors"]))
	}
	require.Equal(t, []string{
		"transforms.a.type 0 org.apache.kafka.connect.transforms.Cast$Value []",
		"transforms.a.plugin.version 1 4.1.1 []",
		`transforms.a.spec 2 <nil> [Missing required configuration "transforms.a.spec" which has no default value.]`,
		"transforms.a.negate 3 false []",
		"transforms.a.predicate 4 p []",
		"transforms.a.replace.null.with.default 5 true []",
		"predicates.p.type 0 org.apache.kafka.connect.transforms.predicates.HasHeaderKey []",
		"predicates.p.plugin.version 1 4.1.1 []",
		"predicates.p.name 2 h []",
	}, names)
}

func TestValidate(t *testing.T) {
	s := newServer(t, nil)
	validate := func(plugin, body string) (int, map[string]any) {
		status, _, text := s.do(t, "PUT", "/connector-plugins/"+plugin+"/config/validate", body)
		var out map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &out), text)
		return status, out
	}
	status, out := validate("FileStreamSource", `{"connector.class":"FileStreamSource","tasks.max":"many","topic":"t","x":null}`)
	require.Equal(t, 200, status)
	require.Equal(t, "FileStreamSource", out["name"])
	require.InDelta(t, 4, out["error_count"], 0)
	values := map[string]map[string]any{}
	for _, c := range out["configs"].([]any) {
		v := c.(map[string]any)["value"].(map[string]any)
		values[v["name"].(string)] = v
	}
	require.Equal(t, []any{`Missing required configuration "name" which has no default value.`}, values["name"]["errors"])
	require.Equal(t, []any{"Invalid value many for configuration tasks.max: Not a number of type INT", "Invalid value null for configuration tasks.max: Value must be non-null"}, values["tasks.max"]["errors"])
	require.Equal(t, []any{"Null value can not be supplied as the configuration value."}, values["x"]["errors"])
	require.Equal(t, "2000", values["batch.size"]["value"], "the default")
	require.Nil(t, values["file"]["value"])
	first := out["configs"].([]any)[0].(map[string]any)
	require.Nil(t, first["definition"], "properties without a definition come first")

	for _, c := range []struct {
		plugin, body string
		status       int
		message      string
	}{
		{"FileStreamSink", `{"connector.class":"FileStreamSource"}`, 400, "Included connector type FileStreamSource does not match request type FileStreamSink"},
		{"filestreamsink", `{"connector.class":"FileStreamSink"}`, 400, "Included connector type FileStreamSink does not match request type filestreamsink"},
		{"FileStreamSink", `{"name":"x"}`, 500, "org.apache.kafka.connect.runtime.rest.errors.BadRequestException: Connector config {name=x} contains no connector type"},
		{"nope", `{"connector.class":"nope"}`, 500, "org.apache.kafka.connect.runtime.rest.errors.BadRequestException: Failed to find any class that implements Connector and which name matches nope, available connectors are"},
		{"nope", `null`, 500, "The request has no body"},
		{"nope", `[]`, 500, "Cannot read the body"},
	} {
		status, out := validate(c.plugin, c.body)
		require.Equal(t, c.status, status)
		require.Contains(t, out["message"], c.message)
	}
	for _, plugin := range []string{"Sink", "FileStreamSinkConnector", "org.apache.kafka.connect.file.FileStreamSinkConnector"} {
		class := "org.apache.kafka.connect.file.FileStreamSinkConnector"
		if plugin == "Sink" {
			class = "FileStreamSink"
		}
		status, _ = validate(plugin, `{"connector.class":"`+class+`","topics":"a"}`)
		require.Equal(t, 200, status, plugin)
	}
}

func TestPlugins(t *testing.T) {
	s := newServer(t, nil)
	_, _, text := s.do(t, "GET", "/connector-plugins?connectorsOnly=false", "")
	var plugins []map[string]string
	require.NoError(t, json.Unmarshal([]byte(text), &plugins))
	kinds := []string{}
	for _, p := range plugins {
		require.NotEmpty(t, p["class"])
		require.NotEmpty(t, p["version"])
		if len(kinds) == 0 || kinds[len(kinds)-1] != p["type"] {
			kinds = append(kinds, p["type"])
		}
	}
	require.Equal(t, []string{"sink", "source", "transformation", "predicate", "converter", "header_converter"}, kinds)

	_, _, text = s.do(t, "GET", "/connector-plugins/FileStreamSource/config", "")
	var keys []map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &keys))
	names := []string{}
	for _, k := range keys {
		names = append(names, k["name"].(string))
	}
	require.Subset(t, names, []string{"name", "tasks.max", "exactly.once.support", "file", "topic"})
	_, _, text = s.do(t, "GET", "/connector-plugins/org.apache.kafka.connect.transforms.RegexRouter/config", "")
	require.Contains(t, text, `"name":"replacement"`)
	status, _, text := s.do(t, "GET", "/connector-plugins/nope/config", "")
	require.Equal(t, 404, status)
	require.JSONEq(t, `{"error_code":404,"message":"Unknown plugin nope."}`, text)
}

func (s *server) client(t *testing.T) *rest.Client {
	t.Helper()
	c, err := rest.NewClient(s.url, rest.ClientOptions{})
	require.NoError(t, err)
	return c
}

func TestTopicsThroughTheAPI(t *testing.T) {
	s := newServer(t, nil)
	c := s.client(t)
	ctx := t.Context()
	version, err := c.Ping(ctx, time.Second)
	require.NoError(t, err)
	require.Equal(t, "4.1.1", version)
	lines := `{"partition":0,"timestamp":7,"key":{"b":1.50,"a":2},"value":null,"headers":[["h","v"],["n",null]]}
{"partition":1,"timestamp":8,"key":null,"value":{"$text":"no JSON"},"headers":[]}
`
	n, err := c.Produce(ctx, "k1-sink-in", strings.NewReader(lines))
	require.NoError(t, err)
	require.Equal(t, 2, n)

	topics, err := c.Topics(ctx)
	require.NoError(t, err)
	require.Equal(t, []topicio.Topic{{Topic: "k1-sink-in", Partitions: []topicio.Partition{{Partition: 0, Start: 0, End: 1}, {Partition: 1, Start: 0, End: 1}}}}, topics)

	var out bytes.Buffer
	o := topicio.TailOptions{Topic: "k1-sink-in", Partition: 0, FromBeginning: true, ExitAtEnd: true}
	require.NoError(t, c.Tail(ctx, o, &out))
	require.Equal(t, `{"topic":"k1-sink-in","partition":0,"offset":0,"timestamp":7,"key":{"b":1.50,"a":2},"value":null,"headers":[["h","v"],["n",null]]}`+"\n", out.String())

	o.Topic = "none"
	require.ErrorContains(t, c.Tail(ctx, o, &out), `topic "none": no such topic`)
	o.Topic, o.Partition = "k1-sink-in", 7
	require.ErrorContains(t, c.Tail(ctx, o, &out), `it has 2 partition(s)`)
	_, err = c.Produce(ctx, "k1-sink-in", strings.NewReader("{}\nbroken"))
	require.ErrorContains(t, err, "line 2: not a record")
	require.ErrorContains(t, err, "(1 record(s) before it are in the topic)")
	_, err = c.Produce(ctx, "bad name", strings.NewReader("{}"))
	require.ErrorContains(t, err, "not a name for a topic")
	status, _, _ := s.do(t, "GET", "/freshet/topics/x/records?partition=-1", "")
	require.Equal(t, 400, status)
	status, _, _ = s.do(t, "POST", "/freshet/topics/x/records", "{}") // the media type of the rest of the API
	require.Equal(t, 415, status)
}

// A tail follows what comes, and ends with its client.
func TestTailFollows(t *testing.T) {
	s := newServer(t, nil)
	s.produce("k1-sink-in", `{"partition":0,"value":1}`)
	ctx, cancel := context.WithCancel(t.Context())
	in, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := s.client(t).Tail(ctx, topicio.TailOptions{Topic: "k1-sink-in", Partition: topic.AnyPartition, FromBeginning: true}, out)
		_ = out.Close()
		ended <- err
	}()
	lines := bufio.NewScanner(in)
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), `"value":1`)
	s.produce("k1-sink-in", `{"partition":0,"value":2}`)
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), `"value":2`)
	cancel()
	require.False(t, lines.Scan())
	require.NoError(t, <-ended, "the end that was asked for is no error")
}

// A line of 64 MiB goes through.
func TestProduceLongLine(t *testing.T) {
	if testing.Short() {
		t.Skip("64 MiB")
	}
	s := newServer(t, nil)
	value := `"` + strings.Repeat("x", 64<<20) + `"`
	n, err := s.client(t).Produce(t.Context(), "big", strings.NewReader(`{"value":`+value+`}`))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	var out bytes.Buffer
	require.NoError(t, s.client(t).Tail(t.Context(), topicio.TailOptions{Topic: "big", Partition: topic.AnyPartition, FromBeginning: true, ExitAtEnd: true}, &out))
	require.Contains(t, out.String(), value)
}

func TestListen(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for _, c := range []struct {
		listener string
		insecure bool
		want     string // "" is none
	}{
		{"http://127.0.0.1:0", false, ""},
		{"http://localhost:0", false, ""},
		{"http://0.0.0.0:0", true, ""},
		{"http://:0", true, ""},
		{"http://0.0.0.0:0", false, "or allow it with --insecure"},
		{"http://:8083", false, "or allow it with --insecure"},
		{"http://" + taken.Addr().String(), false, "another process has port " + taken.Addr().String()[len("127.0.0.1:"):] + "; end that process (another worker?), or choose another port"},
		{"https://127.0.0.1:0", false, "there is no certificate for it; name a file"},
		{"127.0.0.1:8083", false, "write listeners=http://HOST:PORT"},
		{"", false, "write listeners=http://HOST:PORT"},
	} {
		t.Run(c.listener, func(t *testing.T) {
			l, err := rest.Listen(t.Context(), rest.Listener{Address: c.listener, Insecure: c.insecure})
			if c.want == "" {
				require.NoError(t, err)
				require.NoError(t, l.Close())
				return
			}
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "listen on "+c.listener)
		})
	}
}

// The end of the context ends the server, streams included.
func TestServeEnds(t *testing.T) {
	l, err := rest.Listen(t.Context(), rest.Listener{Address: "http://127.0.0.1:0"})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	streaming := make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(streaming)
		<-r.Context().Done()
	})
	ended := make(chan error, 1)
	go func() { ended <- rest.Serve(ctx, l, h, slog.New(slog.DiscardHandler)) }()
	asked := make(chan error, 1)
	go func() {
		c, err := rest.NewClient("http://"+l.Addr().String(), rest.ClientOptions{})
		if err == nil {
			_, err = c.Topics(t.Context())
		}
		asked <- err
	}()
	<-streaming
	cancel()
	require.NoError(t, <-ended)
	require.Error(t, <-asked)
}

func TestClientRefusesOddURLs(t *testing.T) {
	for _, url := range []string{"", "127.0.0.1:8083", "ftp://x", "http://"} {
		_, err := rest.NewClient(url, rest.ClientOptions{})
		require.ErrorContains(t, err, "is not a URL such as http://127.0.0.1:8083", "%q", url)
	}
}

// A token for some connectors lists, and creates, no others.
func TestListAndCreateByScope(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(path, []byte("root 0123456789abcdef-root\nanne 0123456789abcdef-anne admin connectors=a-*\noscar 0123456789abcdef-oscar operator\n"), 0o600))
	tokens, _, err := rest.OpenTokens(path, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	s := newServer(t, func(o *rest.Options) { o.Tokens = tokens })
	create := func(who, name string) (int, string) {
		status, _, text := s.do(t, "POST", "/connectors", strings.Replace(sourceBody, `"name":"c"`, `"name":"`+name+`"`, 1), "Authorization", "Bearer 0123456789abcdef-"+who)
		return status, text
	}
	for _, c := range []struct {
		who, name string
		want      int
	}{{"root", "b", 201}, {"anne", "a-1", 201}, {"anne", "c", 403}, {"oscar", "d", 403}, {"root", "a-2", 201}} {
		status, text := create(c.who, c.name)
		require.Equal(t, c.want, status, "%s %s: %s", c.who, c.name, text)
	}
	for who, want := range map[string]string{"root": `["b","a-1","a-2"]`, "anne": `["a-1","a-2"]`, "oscar": `["b","a-1","a-2"]`} {
		_, _, text := s.do(t, "GET", "/connectors", "", "Authorization", "Bearer 0123456789abcdef-"+who)
		require.JSONEq(t, want, text)
		_, _, text = s.do(t, "GET", "/connectors?expand=info", "", "Authorization", "Bearer 0123456789abcdef-"+who)
		require.Equal(t, strings.Contains(want, `"b"`), strings.Contains(text, `"b"`))
	}
	status, _, text := s.do(t, "POST", "/connectors/b/snapshots", `{"tables":["public.t"],"conditions":{"public.t":"secret = 1"}}`, "Authorization", "Bearer 0123456789abcdef-oscar")
	require.Equal(t, 403, status)
	require.Contains(t, text, "conditions are SQL of the source and take the role admin")
	status, _, text = s.do(t, "POST", "/connectors/b/snapshots", `{"tables":["public.t"]}`, "Authorization", "Bearer 0123456789abcdef-oscar")
	require.Equal(t, 202, status, text)
}
