// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sinkCase is a recorded case's case.json. A null in Config takes a property away.
type sinkCase struct {
	Title  string             `json:"title"`
	Sink   string             `json:"sink"`
	Config map[string]*string `json:"config"`
	Steps  []string           `json:"steps"`
	Topics []string           `json:"topics"` // beyond those of the input
}

// sinkStatus is what of a case's status.json is compared.
type sinkStatus struct {
	Tasks    []string          `json:"tasks"`
	Consumed map[string]string `json:"consumed"` // topic → committed/end
	Trace    string            `json:"trace"`
	Causes   []string          `json:"causes"`
	Log      []string          `json:"log"`
	DDL      []struct {
		Error string `json:"error"`
	} `json:"ddl_errors"`
}

// TestGoldenSinks runs the recorded cases of the JDBC sink: the records go into topics, through the worker and the sink into
// a database of the case's own, which is then dumped as the recorder dumped it.
func TestGoldenSinks(t *testing.T) {
	root := filepath.Join(goldenDir(), "sinks")
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	var counts tally
	t.Run("cases", func(t *testing.T) { // returns when its parallel cases have
		for _, e := range entries {
			if !e.IsDir() {
				continue
			}
			t.Run(e.Name(), func(t *testing.T) {
				t.Parallel()
				dir := filepath.Join(root, e.Name())
				spec := readSinkCase(t, dir)
				_, differs := sinksDifferent[e.Name()]
				t.Cleanup(func() { counts.add(t, e.Name(), differs) })
				if reason := sinkSkipReason(e.Name(), spec); reason != "" {
					t.Skip(reason)
				}
				checkSinkCase(t, dir, spec)
			})
		}
	})
	counts.report(t)
	require.NotEmpty(t, append(append(counts.passed, counts.different...), counts.failed...), "no case ran from %s", root)
}

// TestSinkTablesNameCases keeps the tables free of names that are not recorded any more.
func TestSinkTablesNameCases(t *testing.T) {
	root := filepath.Join("..", "..", "testdata", "golden", "sinks")
	for name, reason := range sinksSkipped {
		require.DirExists(t, filepath.Join(root, name))
		require.NotEmpty(t, reason, "the reason of %s", name)
	}
	for name, d := range sinksDifferent {
		require.DirExists(t, filepath.Join(root, name))
		require.NotEmpty(t, d.why, "the reason of %s", name)
	}
}

func sinkSkipReason(name string, spec sinkCase) string {
	if sinkTargets[spec.Sink] == nil {
		return "the sink " + spec.Sink + " is not served yet"
	}
	return sinksSkipped[name]
}

func readSinkCase(t *testing.T, dir string) sinkCase {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "case.json"))
	require.NoError(t, err)
	var c sinkCase
	require.NoError(t, json.Unmarshal(text, &c))
	return c
}

func checkSinkCase(t *testing.T, dir string, spec sinkCase) {
	t.Helper()
	name := filepath.Base(dir)
	expected := dir
	d, differs := sinksDifferent[name]
	if differs {
		expected = filepath.Join("expected", "sinks", name)
	}
	got := runSinkCase(t, dir, spec)
	if text, err := os.ReadFile(filepath.Join(dir, "refused.txt")); err == nil {
		checkRefused(t, string(text), got.refused)
		return
	}
	status := readStatus(t, dir)
	want := status.Tasks
	if differs {
		want = []string{d.state}
	}
	said := got.trace
	if got.refused != "" {
		said, got.state = got.refused, "REFUSED"
	}
	require.Equal(t, want, []string{got.state}, "state of the task, which says: %s", said)
	switch {
	case differs && d.says != "":
		require.Regexp(t, d.says, said)
	case !differs && got.state == "FAILED":
		checkCause(t, status, got, said)
	}
	if differs && d.consumed != nil {
		status.Consumed = d.consumed
	}
	if got.state != "REFUSED" {
		require.Equal(t, status.Consumed, got.consumed, "committed and end offsets")
	}
	for file, text := range got.files {
		if *update && differs && text != "" {
			require.NoError(t, os.MkdirAll(expected, 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(expected, file), []byte(text), 0o644))
		}
		recorded, err := os.ReadFile(filepath.Join(expected, file))
		if err != nil {
			require.ErrorIs(t, err, os.ErrNotExist)
		}
		if file == "dlq.jsonl" {
			recorded = canonicalLines(t, recorded)
		}
		require.Equal(t, string(recorded), text, "%s", file)
	}
}

func canonicalLines(t *testing.T, text []byte) []byte {
	t.Helper()
	var out []byte
	for line := range bytes.Lines(text) {
		out = append(append(out, canonical(t, line)...), '\n')
	}
	return out
}

func readStatus(t *testing.T, dir string) sinkStatus {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "status.json"))
	require.NoError(t, err)
	var s sinkStatus
	require.NoError(t, json.Unmarshal(text, &s))
	return s
}

// checkRefused compares the complaints of a 400 answer, in any order. The frame around them is the REST API's.
func checkRefused(t *testing.T, recorded, got string) {
	t.Helper()
	require.NotEmpty(t, got, "the configuration was accepted")
	for line := range strings.SplitSeq(strings.TrimSpace(recorded), "\n") {
		if strings.HasPrefix(line, "Invalid value") {
			require.Contains(t, got, line)
		}
	}
}

// javaClass is the class that a recorded cause begins with.
var javaClass = regexp.MustCompile(`^(?:[a-z]\w*\.)+\w+(?:Exception|Error|Truncation): `)

// checkCause compares the words of the last cause, the database's or the sink's own: its first line, without classes.
func checkCause(t *testing.T, status sinkStatus, out sinkOutcome, got string) {
	t.Helper()
	causes := slices.DeleteFunc(append([]string{status.Trace}, status.Causes...), func(s string) bool { return s == "" })
	require.NotEmpty(t, causes)
	last := causes[len(causes)-1]
	if n := len(status.DDL); n > 0 { // the cause that the original shows only in its log
		last = status.DDL[n-1].Error
	}
	last, _, _ = strings.Cut(javaClass.ReplaceAllString(last, ""), "\n")
	for _, driver := range []string{"ERROR: ", "Data truncation: "} { // what the drivers of the original put before the server's words
		last = strings.TrimPrefix(last, driver)
	}
	require.Contains(t, got, out.ours(last))
}
