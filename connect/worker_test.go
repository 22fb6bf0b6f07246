// SPDX-License-Identifier: Apache-2.0

package connect_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/config"
	"freshet/connect"
	"freshet/connect/connecttest"
	"freshet/emitter/topic"
	"freshet/emitter/topic/local"
	"freshet/internal/topicio"
	"freshet/schema"
	"freshet/sinks"
)

// waitFor polls a condition.
func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !cond() {
		require.False(t, time.Now().After(deadline), "waited in vain for %s", what)
		<-time.After(2 * time.Millisecond)
	}
}

func with(cfg map[string]string, pairs ...string) map[string]string {
	out := maps.Clone(cfg)
	for i := 0; i+1 < len(pairs); i += 2 {
		if out[pairs[i]] = pairs[i+1]; pairs[i+1] == "-" {
			delete(out, pairs[i])
		}
	}
	return out
}

var (
	sourceConfig = map[string]string{"name": "c", "connector.class": "FileStreamSource", "file": "nofile.txt", "topic": "t"}
	sinkConfig   = map[string]string{"name": "c", "connector.class": "FileStreamSink", "topics": "in"}
)

func messages(problems []config.Problem, warnings bool) []string {
	var out []string
	for _, p := range problems {
		if p.Warning == warnings {
			out = append(out, p.Message)
		}
	}
	return out
}

func TestValidate(t *testing.T) {
	_, log := connecttest.NewLog(t)
	w := connecttest.NewWorker(t, log, nil, nil, nil)
	for _, c := range []struct {
		name string
		cfg  map[string]string
		want []string // messages of errors
	}{
		{"good source", sourceConfig, nil},
		{"good sink", sinkConfig, nil},
		{"class by its Java name", with(sourceConfig, "connector.class", connecttest.SourceClass), nil},
		{"alias", with(sourceConfig, "connector.class", "file"), nil},
		{"null of a known property", with(sourceConfig, "file", connect.NullValue), nil},
		{"null of an unknown one", with(sourceConfig, "x", connect.NullValue), []string{"Null value can not be supplied as the configuration value."}},
		{"no topic", with(sourceConfig, "topic", "-"), []string{`Missing required configuration "topic" which has no default value.`}},
		{"tasks.max 0", with(sourceConfig, "tasks.max", "0"), []string{"Invalid value 0 for configuration tasks.max: Value must be at least 1"}},
		{"topics and regex", with(sinkConfig, "topics.regex", "a.*"), []string{
			"topics and topics.regex are mutually exclusive options, but both are set.",
			"topics and topics.regex are mutually exclusive options, but both are set.",
		}},
		{"bad regex", with(sinkConfig, "topics", "-", "topics.regex", "("), []string{
			"Invalid value ( for configuration topics.regex: Invalid regex: error parsing regexp: missing closing ): `(`",
		}},
		{"transform of nobody", with(sinkConfig, "transforms", "a", "transforms.a.type", "nope"), []string{
			"Invalid value nope for configuration transforms.a.type: Class nope could not be found.",
		}},
		{"transform without its setting", with(sinkConfig, "transforms", "a", "transforms.a.type", "RegexRouter", "transforms.a.regex", "x"), []string{
			`Missing required configuration "transforms.a.replacement" which has no default value.`,
		}},
		{"converter to come", with(sinkConfig, "value.converter", "io.apicurio.registry.utils.converter.AvroConverter"), []string{
			"Invalid value io.apicurio.registry.utils.converter.AvroConverter for configuration value.converter: not served yet: use org.apache.kafka.connect.json.JsonConverter",
		}},
		{"converter of nobody", with(sinkConfig, "key.converter", "x.Y"), []string{"Invalid value x.Y for configuration key.converter: Class x.Y could not be found."}},
		{"converter's setting", with(sinkConfig, "key.converter", "JsonConverter", "key.converter.schemas.enable", "perhaps"), []string{
			"Invalid value perhaps for configuration schemas.enable: Expected value to be either true or false",
		}},
		{"setting without its converter", with(sinkConfig, "key.converter.schemas.enable", "perhaps"), nil},
		{"dead letters among what is read", with(sinkConfig, "topics", "a,dlq", "errors.deadletterqueue.topic.name", "dlq"), []string{
			"The DLQ topic 'dlq' may not be included in the list of topics ('topics=[a, dlq]') consumed by the connector",
		}},
		{"tolerance of some", with(sinkConfig, "errors.tolerance", "some"), []string{
			"Invalid value some for configuration errors.tolerance: String must be one of: none, all",
		}},
		{"mistakes before what is not served", with(sourceConfig, "future", "x", "tasks.max", "0"), []string{
			"Invalid value 0 for configuration tasks.max: Value must be at least 1",
		}},
		{"control characters", with(sourceConfig, "name", "a\nb"), []string{
			"Invalid value a\nb for configuration name: String may not contain control sequences but had the following ASCII chars: 10",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := w.Validate(t.Context(), "", c.cfg)
			require.NoError(t, err)
			require.Equal(t, c.want, messages(v.Problems, false))
			_, err = w.NewConnector("c", c.cfg)
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			var refused *connect.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, 400, refused.Code)
			require.Contains(t, refused.Message, strings.Join(c.want, "\n"))
		})
	}
}

func TestValidateWarns(t *testing.T) {
	_, log := connecttest.NewLog(t)
	w := connecttest.NewWorker(t, log, nil, nil, nil)
	c, err := w.NewConnector("c", with(sourceConfig, "fiel", "x", "producer.override.linger.ms", "5", "topic.creation.default.partitions", "3",
		"connector.plugin.version", "1", "transforms.old.type", "x", "value.converter.schemas.enable", "false"))
	require.NoError(t, err)
	require.Equal(t, []string{
		"The property 'connector.plugin.version' has no effect here: there is one version of each plug-in",
		"The property 'fiel' is not known to this connector and has no effect",
		"The property 'producer.override.linger.ms' has no effect here: topics are local, so there is no Kafka client to set up",
		"The property 'topic.creation.default.partitions' has no effect here: topics are made with the log's defaults",
	}, messages(c.Warnings, true))
}

func TestUnknownClass(t *testing.T) {
	_, log := connecttest.NewLog(t)
	w := connecttest.NewWorker(t, log, nil, nil, nil)
	for _, class := range []string{"NoSuch", "", "org.apache.kafka.connect.transforms.RegexRouter"} {
		_, err := w.NewConnector("c", with(sourceConfig, "connector.class", class))
		var refused *connect.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, 400, refused.Code)
		require.Contains(t, refused.Message, "Failed to find any class that implements Connector and which name matches "+class+", available connectors are: PluginDesc{klass=class "+connecttest.SinkClass)
	}
	_, err := w.NewConnector("c", map[string]string{"name": "c", "x.password": "canary"})
	require.EqualError(t, err, "Connector config {name=c, x.password=****} contains no connector type")
}

func TestConverterInheritance(t *testing.T) {
	w := connect.WorkerConfig{Properties: map[string]string{
		"key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": "false",
	}}
	for _, c := range []struct {
		name       string
		cfg        map[string]string
		key, value bool // with schemas
	}{
		{"the worker's", nil, true, false},
		{"class only", map[string]string{"value.converter": "JsonConverter"}, true, true},
		{"settings only", map[string]string{"value.converter.schemas.enable": "true", "key.converter.schemas.enable": "false"}, true, false},
		{"both", map[string]string{"value.converter": "JsonConverter", "value.converter.schemas.enable": "true", "key.converter": "json", "key.converter.schemas.enable": "false"}, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, problems := w.Converters(c.cfg)
			require.Empty(t, problems)
			require.Equal(t, c.key, withSchemas(t, got.Key))
			require.Equal(t, c.value, withSchemas(t, got.Value))
			require.Nil(t, got.Header)
		})
	}
	require.Empty(t, w.CheckWorker())
	w.Properties["value.converter"] = "com.example.Nope"
	require.Equal(t, []config.Problem{{
		Property: "value.converter", Message: "Invalid value com.example.Nope for configuration value.converter: Class com.example.Nope could not be found.",
	}}, w.CheckWorker())
}

// newTask makes a connector and starts its only task; the test ends it.
func newTask(t *testing.T, w *connect.Worker, cfg map[string]string) (*connect.Connector, *connect.Supervisor) {
	t.Helper()
	c, err := w.NewConnector("c", cfg)
	require.NoError(t, err)
	s := c.NewTask(0)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return c, s
}

func inState(s *connect.Supervisor, want connect.State) func() bool {
	return func() bool { state, _ := s.State(); return state == want }
}

// A source task goes on at the position that became durable with its records, and its reader is closed once a run.
func TestSourceTaskGoesOnAtItsMark(t *testing.T) {
	_, log := connecttest.NewLog(t)
	t.Chdir(t.TempDir())
	require.NoError(t, writeFile("in.txt", "one\ntwo\n"))
	var from []string
	var mu sync.Mutex
	closed := 0
	source := &connecttest.Source{}
	source.OnOpen = func(n int, env capture.Env, v config.Values) (capture.Reader, error) {
		mu.Lock()
		defer mu.Unlock()
		from = append(from, string(env.From))
		r := &connecttest.Reader{File: v.Get("file"), From: env.From, OnClose: func() { mu.Lock(); closed++; mu.Unlock() }}
		if n == 1 {
			r.Fail = &connecttest.ScriptedError{Message: "connection reset"}
		}
		return r, nil
	}
	w := connecttest.NewWorker(t, log, source, nil, nil)
	c, s := newTask(t, w, with(sourceConfig, "file", "in.txt", "retriable.restart.connector.wait.ms", "1"))
	waitFor(t, "the second attempt", func() bool { return source.Opened() == 2 && inState(s, connect.Running)() })
	mu.Lock()
	gotFrom, gotClosed := slices.Clone(from), closed
	mu.Unlock()
	require.Equal(t, []string{"", `{"position":8}`}, gotFrom)
	require.Equal(t, 1, gotClosed)
	require.Equal(t, []string{".lines.t"}, c.Topics.Names())
	offsets, err := c.Offsets(t.Context())
	require.NoError(t, err)
	require.Equal(t, []connect.Offset{{Partition: `{"filename":"in.txt"}`, Offset: `{"position":8}`}}, offsets)
	topics, err := topicio.List(t.Context(), log)
	require.NoError(t, err)
	require.Equal(t, int64(2), topics[0].Partitions[0].End, "nothing is written twice")
	c.Topics.Reset()
	require.Empty(t, c.Topics.Names())
}

func TestPreflight(t *testing.T) {
	fault := capture.Finding{Level: capture.Fail, Subject: "wal_level", Seen: "replica", Detail: "changes cannot be decoded", Fix: "ALTER SYSTEM SET wal_level = 'logical';"}
	_, log := connecttest.NewLog(t)
	source := &connecttest.Source{OnCheck: func(config.Values) ([]capture.Finding, error) {
		return []capture.Finding{{Level: capture.OK, Subject: "server version"}, fault}, nil
	}}
	w := connecttest.NewWorker(t, log, source, nil, nil)

	t.Run("a start that works is not kept from it", func(t *testing.T) {
		_, s := newTask(t, w, sourceConfig)
		waitFor(t, "RUNNING", inState(s, connect.Running))
	})
	t.Run("a start that fails for good tells the faults", func(t *testing.T) {
		source.OnOpen = func(int, capture.Env, config.Values) (capture.Reader, error) {
			return nil, &connecttest.ScriptedError{Message: "create slot: refused", Final: true}
		}
		_, s := newTask(t, w, sourceConfig)
		waitFor(t, "FAILED", inState(s, connect.Failed))
		_, trace := s.State()
		require.Contains(t, trace, "Caused by: create slot: refused; the checks before the start of \"c\" had found 1 fault(s):\n"+
			"\twal_level is replica: changes cannot be decoded; to mend it: ALTER SYSTEM SET wal_level = 'logical';")
		var preflight *connect.PreflightError
		require.ErrorAs(t, s.Err(), &preflight)
	})
	t.Run("the doctor tells all", func(t *testing.T) {
		found, err := w.CheckSource(t.Context(), sourceConfig)
		require.NoError(t, err)
		require.Len(t, found, 2)
		_, err = w.CheckSource(t.Context(), sinkConfig)
		require.ErrorContains(t, err, "is a sink")
		_, err = w.CheckSource(t.Context(), with(sourceConfig, "topic", "-"))
		require.ErrorContains(t, err, "contains the following 1 error(s)")
	})
}

const plain = `{"schema":{"type":"string","optional":false},"payload":%s}`

func produce(t *testing.T, log *local.Log, name string, values ...string) {
	t.Helper()
	var lines strings.Builder
	for _, v := range values {
		lines.WriteString(`{"partition":0,"value":` + v + `}` + "\n")
	}
	_, err := topicio.Produce(t.Context(), log, name, strings.NewReader(lines.String()))
	require.NoError(t, err)
}

func wrapped(text string) string { return strings.Replace(plain, "%s", `"`+text+`"`, 1) }

// A sink reads what its group has not read, through its transforms, and commits.
func TestSinkTask(t *testing.T) {
	_, log := connecttest.NewLog(t)
	produce(t, log, "in", wrapped("a"), wrapped("b"))
	var mu sync.Mutex
	var seen []string
	sink := &connecttest.Sink{OnWrite: func(b *sinks.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		for i := range b.Records {
			seen = append(seen, b.Records[i].Topic+" "+b.Data.String(b.Records[i].Value))
		}
		return nil
	}}
	w := connecttest.NewWorker(t, log, nil, sink, nil)
	cfg := with(sinkConfig, "topics", "-", "topics.regex", "i.", "transforms", "r",
		"transforms.r.type", "org.apache.kafka.connect.transforms.RegexRouter", "transforms.r.regex", "(.*)", "transforms.r.replacement", "to-$1")
	c, s := newTask(t, w, cfg)
	waitFor(t, "RUNNING", inState(s, connect.Running))
	committed := func(want int64) func() bool {
		return func() bool {
			offsets, err := c.Offsets(t.Context())
			return err == nil && len(offsets) == 1 && offsets[0].Offset == `{"kafka_offset":`+string(rune('0'+want))+`}`
		}
	}
	waitFor(t, "the commit", committed(2))
	produce(t, log, "in", wrapped("c"))
	waitFor(t, "the next commit", committed(3))
	mu.Lock()
	got := slices.Clone(seen)
	mu.Unlock()
	require.Equal(t, []string{"to-in a", "to-in b", "to-in c"}, got)
	require.Equal(t, []string{"in"}, c.Topics.Names(), "the name before transforms")
}

func TestSinkTellsConnectsWordsForPlainJSON(t *testing.T) {
	_, log := connecttest.NewLog(t)
	produce(t, log, "in", `{"a":1}`)
	w := connecttest.NewWorker(t, log, nil, nil, nil)
	_, s := newTask(t, w, sinkConfig)
	waitFor(t, "FAILED", inState(s, connect.Failed))
	_, trace := s.State()
	require.Equal(t, `org.apache.kafka.connect.errors.ConnectException: Tolerance exceeded in error handler
Caused by: org.apache.kafka.connect.errors.DataException: JsonConverter with schemas.enable requires "schema" and "payload" fields and may not contain additional fields. If you are trying to deserialize plain JSON data, set schemas.enable=false in your converter configuration.
	at record in-0@0 (key null)
`, trace)
}

func TestSinkTellsConnectsWordsForATransform(t *testing.T) {
	_, log := connecttest.NewLog(t)
	produce(t, log, "in", wrapped("a"))
	w := connecttest.NewWorker(t, log, nil, nil, nil)
	_, s := newTask(t, w, with(sinkConfig, "transforms", "m", "transforms.m.type", "org.apache.kafka.connect.transforms.MaskField$Value", "transforms.m.fields", "f"))
	waitFor(t, "FAILED", inState(s, connect.Failed))
	_, trace := s.State()
	require.Equal(t, `org.apache.kafka.connect.errors.ConnectException: Tolerance exceeded in error handler
Caused by: org.apache.kafka.connect.errors.DataException: Only Struct objects supported for [mask fields], found: java.lang.String
	at record in-0@0 (key null)
`, trace)
}

// As recorded of Kafka Connect: the configuration is taken, and the task fails.
func TestTaskFailsForAPredicateThatIsNotThere(t *testing.T) {
	_, log := connecttest.NewLog(t)
	w := connecttest.NewWorker(t, log, nil, nil, nil)
	_, s := newTask(t, w, with(sinkConfig, "transforms", "a", "transforms.a.type", "org.apache.kafka.connect.transforms.Filter", "transforms.a.predicate", "nope"))
	waitFor(t, "FAILED", inState(s, connect.Failed))
	_, trace := s.State()
	require.Equal(t, `org.apache.kafka.connect.errors.ConnectException: org.apache.kafka.connect.errors.ConnectException: org.apache.kafka.common.config.ConfigException: Unknown configuration 'predicates.nope.plugin.version'
Caused by: org.apache.kafka.connect.errors.ConnectException: org.apache.kafka.common.config.ConfigException: Unknown configuration 'predicates.nope.plugin.version'
Caused by: org.apache.kafka.common.config.ConfigException: Unknown configuration 'predicates.nope.plugin.version'
`, trace)
}

func TestSinkOffsets(t *testing.T) {
	_, log := connecttest.NewLog(t)
	produce(t, log, "in", wrapped("a"), wrapped("b"), wrapped("c"))
	w := connecttest.NewWorker(t, log, nil, nil, nil)
	c, err := w.NewConnector("c", sinkConfig)
	require.NoError(t, err)
	for _, bad := range []struct{ partition, offset, message string }{
		{``, `{"kafka_offset":1}`, "cannot be null or missing"},
		{`7`, `{"kafka_offset":1}`, "is no object"},
		{`{"kafka_topic":"in","kafka_partition":0}`, `[]`, "is no object"},
		{`{"kafka_topic":"in"}`, `{"kafka_offset":1}`, "must contain the keys"},
		{`{"kafka_topic":"in","kafka_partition":"x"}`, `{"kafka_offset":1}`, "Failed to parse the following Kafka partition"},
		{`{"kafka_topic":"in","kafka_partition":0}`, `{"offset":1}`, "contain the key 'kafka_offset'"},
		{`{"kafka_topic":"in","kafka_partition":0}`, `{"kafka_offset":-1}`, "Failed to modify offsets for sink connector c"},
		{`{"kafka_topic":"none","kafka_partition":0}`, `{"kafka_offset":1}`, "Failed to alter consumer group offsets for connector c"},
	} {
		require.ErrorContains(t, c.SetOffsets(t.Context(), []connect.Offset{{Partition: bad.partition, Offset: bad.offset}}), bad.message)
	}
	offsets := func() []connect.Offset {
		got, err := c.Offsets(t.Context())
		require.NoError(t, err)
		return got
	}
	require.Empty(t, offsets())
	require.NoError(t, c.SetOffsets(t.Context(), []connect.Offset{{Partition: `{"kafka_topic":"in","kafka_partition":"0"}`, Offset: `{"kafka_offset":"2"}`}}))
	require.Equal(t, []connect.Offset{{Partition: `{"kafka_partition":0,"kafka_topic":"in"}`, Offset: `{"kafka_offset":2}`}}, offsets())
	require.NoError(t, c.ResetOffsets(t.Context()))
	require.Empty(t, offsets())
}

func TestMarkKey(t *testing.T) {
	require.Equal(t, `["a<\"b",{"server":"x"}]`, connect.MarkKey(`a<"b`, `{"server":"x"}`))
}

func TestTaskConfigs(t *testing.T) {
	_, log := connecttest.NewLog(t)
	w := connecttest.NewWorker(t, log, nil, nil, nil)
	c, err := w.NewConnector("c", with(sinkConfig, "tasks.max", "2", "x.password", "canary"))
	require.NoError(t, err)
	require.Equal(t, 2, c.Tasks())
	for _, cfg := range c.TaskConfigs() {
		require.Equal(t, "org.apache.kafka.connect.file.FileStreamSinkTask", cfg["task.class"])
		require.Equal(t, "****", cfg["x.password"])
	}
	require.Equal(t, "canary", c.Config["x.password"])

	split := &connecttest.Source{OnSplit: func(config.Values, int) ([]config.Values, error) { return nil, errors.New("no tables") }}
	_, err = connecttest.NewWorker(t, log, split, nil, nil).NewConnector("c", sourceConfig)
	require.EqualError(t, err, "Connector c cannot be divided into tasks: no tables")
}

func writeFile(name, text string) error { return os.WriteFile(name, []byte(text), 0o600) }

func partition(name string) topic.Partition { return topic.Partition{Topic: name} }

// withSchemas says whether a JsonConverter writes schemas.
func withSchemas(t *testing.T, c connect.Converter) bool {
	t.Helper()
	e, err := c.Format().Compile(&schema.Type{Kind: schema.String})
	require.NoError(t, err)
	return e.Head() != nil
}

// What a converter does not know, or has no use for, is warned of where the connector itself names the converter.
func TestConverterWarnings(t *testing.T) {
	w := connect.WorkerConfig{Properties: map[string]string{"key.converter": "StringConverter", "key.converter.schemas.enable": "false"}}
	_, problems := w.Converters(map[string]string{
		"value.converter": "io.confluent.connect.avro.AvroConverter", "value.converter.schema.registry.url": "http://r:8081",
		"value.converter.auto.register.schema": "false", "value.converter.max.retries": "9",
	})
	var told []string
	for _, p := range problems {
		require.True(t, p.Warning)
		told = append(told, p.Property)
	}
	require.ElementsMatch(t, []string{"value.converter.auto.register.schema", "value.converter.max.retries"}, told)

	_, problems = w.Converters(map[string]string{
		"value.converter": "AvroConverter", "value.converter.schema.registry.url": "http://r:8081", "value.converter.schema.registry.ssl.truststore.location": "/x",
		"header.converter": "AvroConverter", "key.converter": "io.confluent.connect.json.JsonSchemaConverter", "key.converter.proxy.host": "p",
		"key.converter.schema.registry.url": "http://r:8081",
	})
	told = nil
	for _, p := range problems {
		require.False(t, p.Warning)
		told = append(told, p.Property)
	}
	require.ElementsMatch(t, []string{"key.converter.proxy.host", "value.converter.schema.registry.ssl.truststore.location", "header.converter"}, told)
}
