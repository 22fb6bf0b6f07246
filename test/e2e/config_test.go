// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/internal/testdb"
)

// mistakes are configurations that no server is asked about: connector, what is changed, and what is said.
var mistakes = []struct {
	name      string
	connector string
	changes   properties
	words     []string
}{
	{"unknown class", sourceName, properties{"connector.class": "io.debezium.connector.oracel.OracleConnector"}, []string{"io.debezium.connector.oracel.OracleConnector", "available"}},
	{"no class", sourceName, properties{"connector.class": ""}, []string{"contains no connector type"}},
	{"misspelt enum of a source", sourceName, properties{"snapshot.mode": "initiial"}, []string{"snapshot.mode", "initiial", "Value must be one of", "when_needed"}},
	{"misspelt enum of a sink", sinkName, properties{"insert.mode": "upsrt"}, []string{"insert.mode", "upsrt", "upsert"}},
	{"not a number", sourceName, properties{"max.batch.size": "many"}, []string{"max.batch.size", "many"}},
	{"missing", sourceName, properties{"topic.prefix": ""}, []string{"topic.prefix", "required"}},
	{"unknown transform", sourceName, properties{"transforms": "t", "transforms.t.type": "com.example.Shout"}, []string{"transforms.t.type", "com.example.Shout"}},
	{"another plug-in", sourceName, properties{"plugin.name": "wal2json"}, []string{"plugin.name", "wal2json", "pgoutput"}},
	{"not yet served", sourceName, properties{"openlineage.integration.enabled": "true"}, []string{"openlineage.integration.enabled"}},
}

// TestMistakesInFiles: a worker does not start with a file that is wrong, and says which property is.
func TestMistakesInFiles(t *testing.T) {
	t.Parallel()
	source := testdb.Postgres(t)
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			s := pair(t, source, source)
			s.connectors[m.connector] = s.connectors[m.connector].with(m.changes)
			said := s.refused(t)
			requireWords(t, said, m.words...)
			requireWords(t, said, m.connector)
			require.NotContains(t, said, source.Password)
		})
	}
	require.Equal(t, "0", source.Text(t, "select count(*) from pg_replication_slots where database = current_database()"), "nothing was touched")
}

// TestMistakesByREST: the same by REST are answered with 400, and change nothing.
func TestMistakesByREST(t *testing.T) {
	t.Parallel()
	source, target := testdb.Postgres(t), testdb.Postgres(t)
	source.Exec(t, itemsDDL+"insert into items values (1, 0, 'snapshot')")
	s := pair(t, source, target)
	w := s.start(t)
	equal(t, source, target)
	for _, m := range mistakes {
		status, answer := w.ask(t, "POST", "/connectors", map[string]any{"name": "new", "config": s.connectors[m.connector].with(m.changes)})
		require.Equal(t, 400, status, m.name)
		requireWords(t, unescaped(t, answer), m.words...)
		require.NotContains(t, answer, source.Password)
		status, answer = w.ask(t, "PUT", "/connectors/"+m.connector+"/config", s.connectors[m.connector].with(m.changes))
		require.Equal(t, 400, status, m.name)
		requireWords(t, unescaped(t, answer), m.words...)
	}
	require.JSONEq(t, `["`+sourceName+`","`+sinkName+`"]`, sorted(t, w.do(t, "GET", "/connectors", nil)))
	source.Exec(t, "update items set n = 1")
	equal(t, source, target)
	require.Equal(t, connect.Running, w.status(t, sourceName).Tasks[0].State)
	w.stop(t)
}

// unescaped is the message of an answer.
func unescaped(t *testing.T, answer string) string {
	t.Helper()
	var m struct{ Message string }
	require.NoError(t, json.Unmarshal([]byte(answer), &m), "%s", answer)
	return m.Message
}

// sorted puts the two names into the order of this file.
func sorted(t *testing.T, answer string) string {
	t.Helper()
	var names []string
	require.NoError(t, json.Unmarshal([]byte(answer), &names))
	if len(names) == 2 && names[0] == sinkName {
		names[0], names[1] = names[1], names[0]
	}
	text, err := json.Marshal(names)
	require.NoError(t, err)
	return string(text)
}

// TestMistakesOfTheWorker: what is wrong with worker.properties or with the machine.
func TestMistakesOfTheWorker(t *testing.T) {
	t.Parallel()
	taken := listening(t)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, c := range []struct {
		name   string
		worker properties
		words  []string
	}{
		{"port taken", properties{"listeners": "http://" + taken}, []string{taken, "another process has port", "listeners=http://127.0.0.1:PORT"}},
		{"reachable from outside", properties{"listeners": "http://0.0.0.0:0"}, []string{"0.0.0.0", "nothing asks who sends requests", "--insecure"}},
		{"folder in a file", properties{"data.dir": filepath.Join(file, "data")}, []string{file, "data.dir"}},
		{"settings of Kafka's clients", properties{"bootstrap.servers": "localhost:9092", "security.protocol": "PLAIN"}, []string{"security.protocol", "PLAIN", "SASL_SSL"}},
		{"unknown converter", properties{"value.converter": "io.confluent.connect.json.NoConverter"}, []string{"value.converter", "NoConverter"}},
		{"converter without its registry", properties{"value.converter": "io.confluent.connect.json.JsonSchemaConverter"}, []string{"value.converter.schema.registry.url", "Missing"}},
		{"not a number", properties{"retention.ms": "a week"}, []string{"retention.ms", "a week"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t)
			s.worker = c.worker
			requireWords(t, s.refused(t), c.words...)
		})
	}
}

// TestUsage: exit code 2, and what to do.
func TestUsage(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "no.properties")
	for _, c := range []struct {
		name  string
		args  []string
		words []string
	}{
		{"unknown command", []string{"replicat"}, []string{"replicat", "freshet --help"}},
		{"unknown flag", []string{"standalone", "--colour"}, []string{"--colour", "--help"}},
		{"no file", []string{"standalone"}, []string{"name the file", "standalone [worker.properties"}},
		{"file that is not there", []string{"standalone", missing}, []string{missing}},
		{"log format", []string{"version", "--log-format", "xml"}, []string{"--log-format", "text, json"}},
		{"replicate without URLs", []string{"replicate"}, []string{"--from", "--to", "postgres://"}},
		{"topics of nowhere", []string{"topics", "list", "--data", missing}, []string{missing, "--worker", "--data"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code, out, said := run(t, c.args...)
			require.Equal(t, 2, code, said)
			require.Empty(t, out)
			requireWords(t, said, c.words...)
		})
	}
}

// TestTableWithoutKey: its inserts are captured; the doctor says what publishing it means.
func TestTableWithoutKey(t *testing.T) {
	t.Parallel()
	source, target := testdb.Postgres(t), testdb.Postgres(t)
	source.Exec(t, "create table items(id int, n int, note text); insert into items values (1, 0, 'snapshot')")
	s := pair(t, source, target)
	s.connectors[sinkName] = s.connectors[sinkName].with(properties{"insert.mode": "insert", "primary.key.mode": "none", "delete.enabled": "false"})
	code, out, _ := run(t, "doctor", s.sourceFile(t))
	require.Zero(t, code, "exit code of the doctor")
	requireWords(t, out, "WARN", "table public.items", "no primary key", "refuses every UPDATE and DELETE", `ALTER TABLE "public"."items" REPLICA IDENTITY FULL`)

	w := s.start(t)
	w.streaming(t, source)
	source.Exec(t, "insert into items values (2, 0, 'streamed'), (2, 0, 'streamed')")
	equal(t, source, target)
	w.awaitHistory(t, map[string]string{"1": "r0", "2": "c0 c0"})
	for _, r := range w.records(t, itemsTopic) {
		require.Equal(t, "null", string(r.Key))
	}
	requireWords(t, w.err.String(), "no primary key", "REPLICA IDENTITY FULL")
	w.stop(t)
}
