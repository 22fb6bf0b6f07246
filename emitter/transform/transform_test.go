// SPDX-License-Identifier: Apache-2.0

package transform_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/config"
	"freshet/emitter/transform"
)

// goldenDir is where the recorded cases are.
func goldenDir() string {
	if d := os.Getenv("FRESHET_GOLDEN"); d != "" {
		return d
	}
	return filepath.Join("..", "..", "testdata", "golden")
}

// TestGoldenRegexRouter runs Kafka's recorded cases. Topics are all that a router touches.
func TestGoldenRegexRouter(t *testing.T) {
	f, err := os.Open(filepath.Join(goldenDir(), "connect", "smt", "RegexRouter.jsonl"))
	require.NoError(t, err)
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	n := 0
	for lines.Scan() {
		var c struct {
			Title  string
			Config map[string]string
			In     struct{ Topic string }
			Out    struct{ Topic string }
			Error  json.RawMessage
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &c))
		n++
		t.Run(c.Title, func(t *testing.T) {
			cfg := map[string]string{"transforms": "r", "transforms.r.type": "org.apache.kafka.connect.transforms.RegexRouter"}
			for k, v := range c.Config {
				cfg["transforms.r."+k] = v
			}
			chain, problems := transform.Parse(cfg)
			if c.Out.Topic == "" {
				require.NotEmpty(t, config.Errors(problems))
				return
			}
			require.Empty(t, problems)
			require.True(t, chain.OnlyRoutes())
			require.Equal(t, c.Out.Topic, chain.Route(c.In.Topic))
		})
	}
	require.NoError(t, lines.Err())
	require.NotZero(t, n)
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  map[string]string
		want string
	}{
		{"no type", map[string]string{"transforms": "a"}, `Missing required configuration "transforms.a.type" which has no default value.`},
		{"unknown class", map[string]string{"transforms": "a", "transforms.a.type": "x.Y"}, "Invalid value x.Y for configuration transforms.a.type: not served yet, or unknown; served are org.apache.kafka.connect.transforms.RegexRouter, io.debezium.transforms.ExtractNewRecordState"},
		{"no regex", map[string]string{"transforms": "a", "transforms.a.type": "RegexRouter", "transforms.a.replacement": "x"}, `Missing required configuration "transforms.a.regex" which has no default value.`},
		{"bad regex", map[string]string{"transforms": "a", "transforms.a.type": "RegexRouter", "transforms.a.regex": "(", "transforms.a.replacement": "x"}, "Invalid value ( for configuration transforms.a.regex: Invalid regex: error parsing regexp: missing closing ): `(`"},
		{"bad mode", map[string]string{"transforms": "a", "transforms.a.type": "ExtractNewRecordState", "transforms.a.delete.tombstone.handling.mode": "droop"}, "Invalid value droop for configuration transforms.a.delete.tombstone.handling.mode: String must be one of: drop, tombstone, rewrite, rewrite-with-tombstone, delete-to-tombstone"},
		{"predicate", map[string]string{"transforms": "a", "transforms.a.type": "RegexRouter", "transforms.a.predicate": "p"}, "Invalid value p for configuration transforms.a.predicate: not served yet: predicates"},
	} {
		t.Run(c.name, func(t *testing.T) {
			chain, problems := transform.Parse(c.cfg)
			require.Nil(t, chain)
			require.Equal(t, c.want, config.Errors(problems)[0].Message)
		})
	}
}

func TestParseWarnsOfUnknownSettings(t *testing.T) {
	chain, problems := transform.Parse(map[string]string{
		"transforms": "a", "transforms.a.type": "RegexRouter", "transforms.a.regex": "x", "transforms.a.replacement": "y", "transforms.a.nosuch": "1",
	})
	require.Len(t, chain, 1)
	require.Len(t, problems, 1)
	require.True(t, problems[0].Warning)
	require.Contains(t, problems[0].Message, "transforms.a.nosuch")
}
