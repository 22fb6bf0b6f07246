// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/config"
)

func goldenDir() string {
	if dir := os.Getenv("FRESHET_GOLDEN"); dir != "" {
		return dir
	}
	return filepath.Join("..", "testdata", "golden")
}

// TestGoldenConnectorFiles reads the recorded connector files and compares with what the original made of them.
func TestGoldenConnectorFiles(t *testing.T) {
	for _, name := range []string{"properties-syntax", "connector-json", "connector-json-numbers", "connector-json-broken", "connector-without-name", "connector-file-missing"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(goldenDir(), "connect", "standalone", name+".json"))
			require.NoError(t, err)
			var c struct {
				Args       []string
				Files      map[string]string
				Connectors map[string]struct {
					Status struct{ Connector struct{ State string } }
					Info   struct{ Config map[string]string }
				}
				LogErrors []string `json:"log_errors"`
			}
			require.NoError(t, json.Unmarshal(text, &c))
			t.Chdir(t.TempDir())
			for file, content := range c.Files {
				require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
			}
			for _, arg := range c.Args[1:] {
				f, err := config.ReadFile(arg)
				if len(c.LogErrors) > 0 {
					require.Error(t, err)
					_, want, _ := strings.Cut(c.LogErrors[len(c.LogErrors)-1], "Exception: ")
					require.Contains(t, strings.ToLower(err.Error()), strings.ToLower(want))
					continue
				}
				require.NoError(t, err)
				want := c.Connectors[f.Name]
				require.Equal(t, want.Info.Config, f.Config)
				require.Equal(t, want.Status.Connector.State == "STOPPED", f.InitialState == "STOPPED")
			}
		})
	}
}

func TestReadFileErrors(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"object as value", `{"name":"a","x":{"y":1}}`, `property "x": an object or array`},
		{"array in config", `{"name":"a","config":{"x":[1]}}`, `property "x": an object or array`},
		{"name is an object", `{"name":{},"config":{}}`, `member "name"`},
		{"text after it", `{"name":"a"} {}`, "there is more text after the object"},
		{"broken in line 2", "{\"a\":1,\n]", "syntax error in line 2"},
		{"cut off", `{"password":"canary-password`, "it ends inside the object"},
		{"bad escape", "name=a\npassword=canary-password\\u12", `line 2, property "password"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.json")
			require.NoError(t, os.WriteFile(path, []byte(tt.text), 0o600))
			_, err := config.ReadFile(path)
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, path)
			require.NotContains(t, err.Error(), "canary-password")
		})
	}
}

func TestReadProperties(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.properties")
	require.NoError(t, os.WriteFile(path, []byte("a=1\n"), 0o600))
	got, err := config.ReadProperties(path)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "1"}, got)
	require.NoError(t, os.WriteFile(path, []byte(`a=\uzzzz`), 0o600))
	_, err = config.ReadProperties(path)
	require.ErrorContains(t, err, path)
}

func TestParseProperties(t *testing.T) {
	tests := []struct {
		name, text string
		want       map[string]string
	}{
		{"separators", "a=1\nb:2\nc 3\nd\t=\t4\ne  :5", map[string]string{"a": "1", "b": "2", "c": "3", "d": "4", "e": "5"}},
		{"second separator is text", "a = =1\nb::2", map[string]string{"a": "=1", "b": ":2"}},
		{"blanks behind stay", "a=1  ", map[string]string{"a": "1  "}},
		{"comments", "#a=1\n !b=2\nc=#3", map[string]string{"c": "#3"}},
		{"no value", "a\nb=", map[string]string{"a": "", "b": ""}},
		{"no key", "=a", map[string]string{"": "a"}},
		{"continued", "a=1,\\\n   2,\\\r\n\t3\nb=4", map[string]string{"a": "1,2,3", "b": "4"}},
		{"continued over a comment sign", "a=1\\\n#2", map[string]string{"a": "1#2"}},
		{"continued at the end", "a=1\\", map[string]string{"a": "1"}},
		{"lone backslash", "a=1\n\\\n\nb=2", map[string]string{"a": "1", "b": "2"}},
		{"two slashes do not continue", "a=1\\\\\nb=2", map[string]string{"a": `1\`, "b": "2"}},
		{"escapes", `a=\t\n\r\f\\\q\ `, map[string]string{"a": "\t\n\r\f\\q "}},
		{"escaped key", `a\ b\:c\=d=1`, map[string]string{"a b:c=d": "1"}},
		{"unicode", `a=\u00e9\u20AC`, map[string]string{"a": "é€"}},
		{"surrogates", `a=\ud83d\ude00`, map[string]string{"a": "😀"}},
		{"utf-8", "a=é€", map[string]string{"a": "é€"}},
		{"latin-1", "a=\xe9", map[string]string{"a": "é"}},
		{"byte order mark", "\ufeffa=1", map[string]string{"a": "1"}},
		{"old line ends", "a=1\rb=2\r\rc=3", map[string]string{"a": "1", "b": "2", "c": "3"}},
		{"last wins", "a=1\na=2", map[string]string{"a": "2"}},
		{"empty", "", map[string]string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := config.ParseProperties([]byte(tt.text))
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}

// FuzzParseProperties: whatever is parsed can be written with escapes and parsed to the same.
func FuzzParseProperties(f *testing.F) {
	for _, seed := range []string{"a=1\nb:2", "a\\ b = c\\\n d", `a=\u00e9\ud83d`, "! x\n#y", "\ufeffa", "a=\xe9", "=\n:"} {
		f.Add([]byte(seed))
	}
	escape := strings.NewReplacer(`\`, `\\`, "=", `\=`, ":", `\:`, " ", `\ `, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\f", `\f`, "#", `\#`, "!", `\!`)
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := config.ParseProperties(text)
		if err != nil {
			return
		}
		var again strings.Builder
		again.WriteString("# written\n")
		for k, v := range got {
			again.WriteString(escape.Replace(k) + "=" + escape.Replace(v) + "\n")
		}
		back, err := config.ParseProperties([]byte(again.String()))
		require.NoError(t, err)
		require.Equal(t, got, back)
	})
}
