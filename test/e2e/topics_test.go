// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/internal/testdb"
)

// topics runs freshet topics on a worker or on its folder, and returns what it prints.
func topics(t *testing.T, in string, args ...string) string {
	t.Helper()
	p := start(t, strings.NewReader(in), append([]string{"topics"}, args...)...)
	require.Zero(t, p.wait(t), "%s", p.err)
	return p.out.String()
}

// TestTopics: the same answers from the running worker and from its folder once it has ended.
func TestTopics(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	s.worker = properties{"num.partitions": "3"}
	w := s.start(t)
	lines := []string{
		`{"key":{"b":1,"a":2.50},"value":{"z":1e3,"a":"ü\u0000"},"timestamp":17,"partition":1,"headers":[["h","x"],["n",null]]}`,
		`{"key":"k","value":null,"timestamp":18,"partition":1}`,
		`{"key":null,"value":{"$text":"no JSON {"},"timestamp":19,"partition":1}`,
		`{"key":7,"value":[1, 2],"timestamp":20,"partition":2}`,
	}
	p := start(t, strings.NewReader(strings.Join(lines, "\n\n")+"\n"), "topics", "produce", "plain", "--worker", w.url)
	require.Zero(t, p.wait(t), "%s", p.err)
	require.Empty(t, p.out.String())
	require.Equal(t, "4 record(s) appended to plain\n", p.err.String())
	want := []string{
		`{"topic":"plain","partition":1,"offset":0,"timestamp":17,"key":{"b":1,"a":2.50},"value":{"z":1e3,"a":"ü\u0000"},"headers":[["h","x"],["n",null]]}`,
		`{"topic":"plain","partition":1,"offset":1,"timestamp":18,"key":"k","value":null,"headers":[]}`,
		`{"topic":"plain","partition":1,"offset":2,"timestamp":19,"key":null,"value":{"$text":"no JSON {"},"headers":[]}`,
		`{"topic":"plain","partition":2,"offset":0,"timestamp":20,"key":7,"value":[1, 2],"headers":[]}`,
	}
	list := `[{"topic":"plain","partitions":[{"partition":0,"start":0,"end":0},{"partition":1,"start":0,"end":3},{"partition":2,"start":0,"end":1}]}]`
	check := func(place ...string) {
		t.Helper()
		require.JSONEq(t, list, topics(t, "", append([]string{"list", "--output", "json"}, place...)...))
		table := topics(t, "", append([]string{"list"}, place...)...)
		require.Equal(t, []string{"TOPIC PARTITION START END RECORDS", "plain 0 0 0 0", "plain 1 0 3 3", "plain 2 0 1 1"}, words(table))
		got := topics(t, "", append([]string{"tail", "plain", "--from-beginning", "--exit-at-end"}, place...)...)
		require.ElementsMatch(t, want, strings.Split(strings.TrimSuffix(got, "\n"), "\n"))
		got = topics(t, "", append([]string{"tail", "plain", "--from-beginning", "--exit-at-end", "--partition", "1"}, place...)...)
		require.Equal(t, strings.Join(want[:3], "\n")+"\n", got)
		require.Empty(t, topics(t, "", append([]string{"tail", "plain", "--exit-at-end"}, place...)...))
	}
	check("--worker", w.url)

	// Followed, a topic shows what comes, until it is told to end.
	tail := start(t, nil, "topics", "tail", "plain", "--worker", w.url, "--partition", "0")
	n := 0
	waitFor(t, "the follower to show a record", func() bool {
		n++
		topics(t, `{"value":`+strconv.Itoa(n)+`,"partition":0,"timestamp":1}`, "produce", "plain", "--worker", w.url)
		return strings.Contains(tail.out.String(), `"partition":0`)
	})
	tail.stop(t)
	list = strings.Replace(list, `"partition":0,"start":0,"end":0`, `"partition":0,"start":0,"end":`+strconv.Itoa(n), 1)
	w.stop(t)

	require.JSONEq(t, list, topics(t, "", "list", "--output", "json", "--data", s.data))
	got := topics(t, "", "tail", "plain", "--from-beginning", "--exit-at-end", "--partition", "1", "--data", s.data)
	require.Equal(t, strings.Join(want[:3], "\n")+"\n", got)
	topics(t, lines[3], "produce", "plain", "--data", s.data)
	require.Equal(t, 2, strings.Count(topics(t, "", "tail", "plain", "--from-beginning", "--exit-at-end", "--partition", "2", "--data", s.data), "\n"))
}

// words are the lines of a text with their blanks reduced.
func words(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		out = append(out, strings.Join(strings.Fields(line), " "))
	}
	return out
}

// TestTopicsOfEvents: keys and values stand there exactly as the converter wrote them.
func TestTopicsOfEvents(t *testing.T) {
	t.Parallel()
	source := testdb.Postgres(t)
	source.Exec(t, itemsDDL+"insert into items values (1, 0, 'ü')")
	s := newSetup(t)
	s.connectors[sourceName] = sourceConfig(source).with(properties{
		"value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": "false",
		"key.converter": "org.apache.kafka.connect.json.JsonConverter", "key.converter.schemas.enable": "false",
	})
	w := s.start(t)
	w.streaming(t, source)
	source.Exec(t, "delete from items")
	w.awaitRecords(t, itemsTopic, 3)
	lines := strings.Split(topics(t, "", "tail", itemsTopic, "--from-beginning", "--exit-at-end", "--worker", w.url), "\n")
	require.Len(t, lines, 4)
	require.Contains(t, lines[0], `"key":{"id":1},"value":{"before":null,"after":{"id":1,"n":0,"note":"ü"},"source":{"version":`)
	require.Contains(t, lines[1], `"key":{"id":1},"value":{"before":{"id":1,"n":0,"note":null},"after":null,`)
	require.Contains(t, lines[2], `"key":{"id":1},"value":null,`)
	for _, line := range lines[:3] {
		require.True(t, json.Valid([]byte(line)), line)
	}
	w.stop(t)
}

// TestTopicsRefuse: what a line or a name lacks; the records before are there.
func TestTopicsRefuse(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	w := s.start(t)
	for _, c := range []struct {
		name, in string
		code     int
		args     []string
		words    []string
	}{
		{"no such topic", "", 1, []string{"tail", "nothing", "--exit-at-end"}, []string{`"nothing"`, "no such topic", "topics list"}},
		{"no such partition", "", 1, []string{"tail", "plain", "--partition", "5"}, []string{"partition 5", "plain"}},
		{"not a record", `{"value":1}` + "\nnonsense\n", 1, []string{"produce", "plain"}, []string{"line 2", "not a record"}},
		{"unknown member", `{"values":1}`, 1, []string{"produce", "plain"}, []string{"line 1", `"values"`}},
		{"bad name", `{"value":1}`, 1, []string{"produce", "a b"}, []string{`"a b"`, "letters, digits"}},
	} {
		p := start(t, strings.NewReader(c.in), append(append([]string{"topics"}, c.args...), "--worker", w.url)...)
		require.Equal(t, c.code, p.wait(t), "%s: %s", c.name, p.err)
		requireWords(t, p.err.String(), c.words...)
		if c.name == "no such topic" {
			topics(t, `{"value":0}`, "produce", "plain", "--worker", w.url)
		}
	}
	require.Len(t, w.records(t, "plain"), 2)
	w.stop(t)
	code, _, said := run(t, "topics", "list", "--worker", w.url)
	require.Equal(t, 1, code)
	requireWords(t, said, w.url, "does not answer", "--data")
	code, _, said = run(t, "topics", "list", "--data", filepath.Join(s.data, "no"))
	require.Equal(t, 2, code)
	requireWords(t, said, "no data folder")
}
