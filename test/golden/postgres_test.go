// SPDX-License-Identifier: Apache-2.0

// Package golden puts what the original systems were recorded to do through the packages that the binary is made of,
// against real servers, and compares as text after the recorder's own masking.
//
// FRESHET_GOLDEN names the folder of recordings; without it they are those in testdata. A case is skipped only by the
// table in postgres_tables_test.go, each with its reason. Where the right thing differs from the recorded one the same
// file says why, and the expected output stands in the folder expected.
package golden

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/test/recorded"
)

// update rewrites the expected output of the cases that differ from the recording on purpose. Review it as code.
var update = flag.Bool("update-expected", false, "rewrite the files in the folder expected")

func goldenDir() string {
	if dir := os.Getenv("FRESHET_GOLDEN"); dir != "" {
		return dir
	}
	return filepath.Join("..", "..", "testdata", "golden")
}

// tally counts how the cases went.
type tally struct {
	mu                sync.Mutex // guards the lists
	passed, different []string
	skipped, failed   []string
	floats            []string // lines equal but for the form of floats
}

func (c *tally) add(t *testing.T, name string, differs bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case t.Skipped():
		c.skipped = append(c.skipped, name)
	case t.Failed():
		c.failed = append(c.failed, name)
	case differs:
		c.different = append(c.different, name)
	default:
		c.passed = append(c.passed, name)
	}
}

func (c *tally) report(t *testing.T) {
	t.Logf("%d cases as recorded, %d better than recorded, %d failed, %d skipped", len(c.passed), len(c.different), len(c.failed), len(c.skipped))
	slices.Sort(c.failed)
	for _, name := range c.failed {
		t.Logf("failed: %s", name)
	}
	for _, line := range c.floats {
		t.Logf("equal but for the form of a float: %s", line)
	}
}

func TestGoldenPostgres(t *testing.T) { runCases(t, filepath.Join(goldenDir(), "postgres")) }

// caseDirs are the folders of cases beside the recordings: what test/peer kept of its random cases.
var caseDirs = []string{filepath.Join("..", "..", "testdata", "peer")}

func TestGoldenPeer(t *testing.T) {
	for _, dir := range caseDirs {
		runCases(t, dir)
	}
}

func runCases(t *testing.T, root string) {
	t.Helper()
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
				_, differs := postgresDifferent[e.Name()]
				t.Cleanup(func() { counts.add(t, e.Name(), differs) })
				if reason, ok := postgresSkipped[e.Name()]; ok {
					t.Skip(reason)
				}
				checkCase(t, filepath.Join(root, e.Name()), &counts)
			})
		}
	})
	counts.report(t)
	require.NotEmpty(t, append(append(counts.passed, counts.different...), counts.failed...), "no case ran from %s", root)
}

// TestTablesNameCases keeps the tables free of names that are not recorded any more.
func TestTablesNameCases(t *testing.T) {
	var names []string
	for _, dir := range append(caseDirs, filepath.Join("..", "..", "testdata", "golden", "postgres")) {
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		for _, e := range entries {
			require.NotContains(t, names, e.Name(), "the tables know a case by its name alone")
			names = append(names, e.Name())
		}
	}
	for _, table := range []map[string]string{postgresSkipped, postgresDifferent} {
		for name, reason := range table {
			require.Contains(t, names, name)
			require.NotEmpty(t, reason, "the reason of %s", name)
		}
	}
	for name := range postgresSentences {
		require.Contains(t, names, name)
	}
}

func checkCase(t *testing.T, dir string, counts *tally) {
	t.Helper()
	name := filepath.Base(dir)
	if exists(filepath.Join(dir, "validate-full.json")) { // there are no steps
		checkFullAnswer(t, dir)
		return
	}
	got := runCase(t, dir, readCase(t, dir))
	_, differs := postgresDifferent[name]
	events := filepath.Join(dir, "events.jsonl")
	if differs {
		events = filepath.Join("expected", "postgres", name, "events.jsonl")
	}
	checkFailure(t, name, dir, differs, &got)
	checkValidation(t, filepath.Join(dir, "validate.json"), got.invalid, postgresAccepted[name])
	if got.refused != nil {
		return
	}
	if got.version < noEmptyTransactions {
		got.events = withoutEmptyTransactions(got.events)
	}
	checkEvents(t, name, events, differs, got.events, counts)
	if !differs && got.failed == "" {
		checkOffsets(t, dir, got.offsets)
	}
}

// checkFailure compares what stopped the connector: whether, and the sentence that tells an operator why.
func checkFailure(t *testing.T, name, dir string, differs bool, got *outcome) {
	t.Helper()
	said := got.failed
	if got.refused != nil {
		said = got.refused.Error()
		var e *connect.Error
		require.ErrorAs(t, got.refused, &e)
		require.Equal(t, 400, e.Code, "a configuration that is wrong: %v", e)
	}
	recorded := exists(filepath.Join(dir, "failed.txt")) || exists(filepath.Join(dir, "refused.txt"))
	sentences, listed := postgresSentences[name]
	switch {
	case listed || recorded && !differs:
		require.NotEmpty(t, said, "the connector runs; it is to stop with a message")
		t.Logf("stopped as it should: %s", said)
		for _, s := range sentences {
			require.Regexp(t, s, said)
		}
	default:
		require.Empty(t, said, "the connector stopped")
	}
	if exists(filepath.Join(dir, "failed2.txt")) {
		require.Contains(t, got.failed2, "is active", "the second connector's message")
	}
}

// checkValidation compares the complaints about a configuration: which properties, and in which words.
func checkValidation(t *testing.T, path string, got map[string][]string, accepted map[string]string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	require.NoError(t, err)
	var recorded []struct {
		Name   string   `json:"name"`
		Errors []string `json:"errors"`
	}
	require.NoError(t, json.Unmarshal(text, &recorded))
	for _, r := range recorded {
		if accepted[r.Name] != "" {
			require.NotContains(t, got, r.Name, accepted[r.Name])
			continue
		}
		for i, e := range r.Errors {
			r.Errors[i] = sortAllowed(e)
			if strings.HasPrefix(e, "Error while validating connector config: ") {
				return // the server's own answer: the start says it, see postgresSentences
			}
		}
		mine := slices.Clone(got[r.Name])
		for i := range mine {
			mine[i] = sortAllowed(mine[i])
		}
		for _, want := range slices.Compact(r.Errors) { // one complaint made twice needs no copy
			require.Contains(t, mine, want, "complaints about %s", r.Name)
		}
		delete(got, r.Name)
	}
	require.Empty(t, got, "complaints that were not recorded")
}

var allowed = regexp.MustCompile(`Value must be one of (.*)$`)

// sortAllowed puts the allowed values of a message into alphabetical order: the recorded one is a hash map's.
func sortAllowed(message string) string {
	return allowed.ReplaceAllStringFunc(message, func(s string) string {
		list := strings.Split(strings.TrimPrefix(s, "Value must be one of "), ", ")
		slices.Sort(list)
		return "Value must be one of " + strings.Join(list, ", ")
	})
}

func checkEvents(t *testing.T, name, path string, differs bool, got []string, counts *tally) {
	t.Helper()
	if *update && differs {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(strings.Join(got, "\n")+"\n"), 0o644))
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && !differs {
		require.Empty(t, got, "nothing was recorded")
		return
	}
	require.NoError(t, err)
	want := recorded.Split(text)
	if normalise, ok := postgresUnordered[name]; ok {
		got, want = normalise(t, got), normalise(t, want)
	}
	d := recorded.Compare(got, want)
	counts.mu.Lock()
	for _, line := range d.Floats {
		counts.floats = append(counts.floats, name+": "+line)
	}
	counts.mu.Unlock()
	if d.Text != "" {
		t.Errorf("events differ: %s", d.Text)
	}
}

// checkOffsets compares positions: the partition, and the members with their types; the values are the server's.
func checkOffsets(t *testing.T, dir string, got map[string]string) {
	t.Helper()
	for file, text := range got {
		recorded, err := os.ReadFile(filepath.Join(dir, file))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		require.NoError(t, err)
		want, err := parseOffsets(recorded)
		require.NoError(t, err)
		have, err := parseOffsets([]byte(text))
		require.NoError(t, err)
		for _, o := range have.Offsets {
			require.Contains(t, o.Offset, "lsn", "%s: %s", file, text)
			for member, v := range o.Offset {
				if strings.HasPrefix(member, "transaction_data_collection_order_") {
					require.Equal(t, "number", typeName(v), "%s: the type of %s in %s", file, member, text)
					continue
				}
				require.Equal(t, offsetMembers[member], typeName(v), "%s: the type of %s in %s", file, member, text)
			}
		}
		// The original forgets the end of an empty snapshot; so there may be a position where none was recorded.
		if len(want.Offsets) > 0 {
			require.Len(t, have.Offsets, len(want.Offsets), "%s: %s", file, text)
			require.Equal(t, want.Offsets[0].Partition, have.Offsets[0].Partition, file)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
