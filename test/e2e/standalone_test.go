// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// startUp is a recorded start of Kafka Connect's standalone program.
type startUp struct {
	Args       []string
	Files      map[string]string
	Exited     bool            `json:"exited_by_itself"`
	Connectors json.RawMessage // as GET /connectors?expand=status&expand=info told them
	Log        []string        `json:"log_errors"`
}

// files writes the recorded files. The worker's gets a folder, and a free port instead of the recorded one, and topics are
// local.
func (u *startUp) files(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range u.Files {
		if name == u.Args[0] {
			var kept []string
			for line := range strings.Lines(text) {
				if !strings.HasPrefix(line, "bootstrap.servers=") && !strings.HasPrefix(line, "listeners=") && !strings.HasPrefix(line, "plugin.path=") {
					kept = append(kept, line)
				}
			}
			text = strings.Join(kept, "") + "\nlisteners=http://127.0.0.1:0\ndata.dir=" + filepath.Join(dir, "data") + "\n"
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	var paths []string
	for _, name := range u.Args {
		paths = append(paths, filepath.Join(dir, name))
	}
	return paths
}

// TestGoldenStandalone starts the program with the recorded files: the same connectors run, or it ends with the recorded
// reason.
func TestGoldenStandalone(t *testing.T) {
	for name, reason := range map[string]string{
		"connector-json":          "",
		"connector-json-numbers":  "",
		"properties-syntax":       "",
		"worker-only":             "",
		"connector-unknown-class": "Failed to find any class that implements Connector and which name matches nope, available connectors are: ",
		"connector-without-name":  "name",
		"connector-invalid":       `Missing required configuration "topic" which has no default value.`,
		"connector-json-broken":   "",
		"connector-file-missing":  "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "golden", "connect", "standalone", name+".json"))
			require.NoError(t, err)
			var u startUp
			require.NoError(t, json.Unmarshal(text, &u))
			p := start(t, nil, append([]string{"--log-format", "json", "standalone"}, u.files(t)...)...)
			if u.Exited {
				require.NotZero(t, p.wait(t))
				require.Contains(t, p.err.String(), reason)
				return
			}
			w := ready(t, p)
			if len(u.Connectors) > 0 {
				want := connectorsOf(t, string(u.Connectors))
				waitFor(t, "the recorded connectors", func() bool {
					status, answer := w.ask(t, "GET", "/connectors?expand=status&expand=info", nil)
					return status == 200 && connectorsOf(t, answer) == want
				})
			}
			w.stop(t)
		})
	}
}

// connectorsOf is the answer in one form, without what names the worker.
func connectorsOf(t *testing.T, answer string) string {
	t.Helper()
	var all map[string]struct {
		Status struct {
			Connector struct{ State string }
			Tasks     []struct {
				ID    int
				State string
			}
			Type string
		}
		Info struct {
			Config map[string]string
			Tasks  []struct {
				Connector string
				Task      int
			}
			Type string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(answer), &all))
	text, err := json.MarshalIndent(all, "", " ")
	require.NoError(t, err)
	return string(text)
}
