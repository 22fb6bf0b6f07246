// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/config"
	"freshet/config/provider"
)

// folder has a file of properties, a folder of secrets with the links of Kubernetes, and a secret outside.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	for path, text := range map[string]string{
		"in/secrets.properties": "topic=t\nsp= spaced \nempty=\nuser\\:name=u",
		"in/sec/..data/token":   "line\n",
		"in/sec/nested/x":       "x",
		"out.properties":        "k=v",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600))
	}
	require.NoError(t, os.Symlink(filepath.Join("..data", "token"), filepath.Join(dir, "in", "sec", "token")))
	require.NoError(t, os.Symlink(filepath.Join(dir, "out.properties"), filepath.Join(dir, "in", "sec", "leak")))
	require.NoError(t, os.Symlink(filepath.Join(dir, "out.properties"), filepath.Join(dir, "in", "leak.properties")))
	return dir
}

const classes = "org.apache.kafka.common.config.provider."

func properties(pairs ...string) map[string]string {
	p := map[string]string{
		"config.providers": "file, dir,env", "config.providers.file.class": classes + "FileConfigProvider",
		"config.providers.dir.class": classes + "DirectoryConfigProvider", "config.providers.env.class": classes + "EnvVarConfigProvider",
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		p[pairs[i]] = pairs[i+1]
	}
	return p
}

func TestResolve(t *testing.T) {
	dir := folder(t)
	t.Chdir(dir)
	environ := []string{"K1_TOPIC=et", "OTHER=hidden", "EMPTY=", "EQ=a=b"}
	confined := properties("config.providers.file.param.allowed.paths", dir+"/in,"+dir+"/in/sec", "config.providers.dir.param.allowed.paths", dir+"/in/sec", "config.providers.env.param.allowlist.pattern", "K1_.*")
	for _, c := range []struct {
		name       string
		properties map[string]string
		value      string
		want       string // begins with "error:" for one
	}{
		{"file", properties(), "${file:in/secrets.properties:topic}", "t"},
		{"blanks around are part of neither", properties(), "<${file:in/secrets.properties:sp}>", "<spaced >"},
		{"empty value", properties(), "<${file:in/secrets.properties:empty}>", "<>"},
		{"absolute path", properties(), "${file:" + dir + "/in/secrets.properties:topic}", "t"},
		{"no such key", properties(), "a${file:in/secrets.properties:none}b", "a${file:in/secrets.properties:none}b"},
		{"no such file", properties(), "${file:nowhere.properties:k}", "error:Could not read properties from file nowhere.properties: no such file or directory"},
		{"a folder as file", properties(), "${file:in:k}", "error:Could not read properties from file in: it is no regular file"},
		{"no path", properties(), "${file:topic}", "${file:topic}"},
		{"unknown provider", properties(), "${vault:x:y}", "${vault:x:y}"},
		{"several in one", properties(), "${env:K1_TOPIC}|${file:in/secrets.properties:topic}$${env:EQ}", "et|t$a=b"},
		{"not a reference", properties(), "${name} $1 ${a", "${name} $1 ${a"},
		{"values are not resolved again", properties(), "${env:LOOP}", "${env:LOOP}"},
		{"folder with its line end", properties(), "${dir:in/sec:token}", "line\n"},
		{"folder's folder", properties(), "${dir:in/sec:nested}", "${dir:in/sec:nested}"},
		{"path as key", properties(), "${dir:in/sec:../secrets.properties}", "${dir:in/sec:../secrets.properties}"},
		{"no such folder", properties(), "${dir:in/no:token}", "${dir:in/no:token}"},
		{"empty variable", properties(), "<${env:EMPTY}>", "<>"},
		{"variable with a path", properties(), "${env:x:K1_TOPIC}", "error:Path is not supported for EnvVarConfigProvider, invalid value 'x'"},

		{"allowed file", confined, "${file:in/secrets.properties:topic}", "t"},
		{"allowed by another root", confined, "${file:in/sec/../secrets.properties:topic}", "t"},
		{"file outside", confined, "${file:out.properties:k}", "${file:out.properties:k}"},
		{"file outside by dots", confined, "${file:in/../out.properties:k}", "${file:in/../out.properties:k}"},
		{"file outside by a link", confined, "${file:in/leak.properties:k}", "${file:in/leak.properties:k}"},
		{"missing file outside tells nothing", confined, "${file:nowhere.properties:k}", "${file:nowhere.properties:k}"},
		{"missing file inside", confined, "${file:in/nowhere.properties:k}", "error:Could not read properties from file in/nowhere.properties"},
		{"link inside", confined, "${dir:in/sec:token}", "line\n"},
		{"link to the outside", confined, "${dir:in/sec:leak}", "${dir:in/sec:leak}"},
		{"folder outside", confined, "${dir:in:secrets.properties}", "${dir:in:secrets.properties}"},
		{"allowed variable", confined, "${env:K1_TOPIC}", "et"},
		{"other variable", confined, "${env:OTHER}", "${env:OTHER}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, problems := provider.New(c.properties, append(environ, "LOOP=${env:LOOP}"))
			require.Empty(t, config.Errors(problems))
			got, err := s.Resolve(map[string]string{"k": c.value, "other": "stays"})
			if want, isError := strings.CutPrefix(c.want, "error:"); isError {
				require.ErrorContains(t, err, want)
				return
			}
			require.NoError(t, err)
			require.Equal(t, map[string]string{"k": c.want, "other": "stays"}, got)
		})
	}
}

func TestWithoutProviders(t *testing.T) {
	s, problems := provider.New(map[string]string{}, nil)
	require.Empty(t, problems)
	for _, s := range []*provider.Set{s, nil} {
		got, err := s.Resolve(map[string]string{"k": "${file:x:y}"})
		require.NoError(t, err)
		require.Equal(t, "${file:x:y}", got["k"])
	}
}

// A large file is refused before it is read.
func TestLargeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Truncate(path, 1<<40))
	s, _ := provider.New(properties(), nil)
	_, err := s.Resolve(map[string]string{"k": "${file:" + path + ":k}"})
	require.ErrorContains(t, err, "1048576 are the most")
}

func TestProblems(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name    string
		pairs   []string
		want    string
		warning bool
	}{
		{"no class", []string{"config.providers", "x"}, `Missing required configuration "config.providers.x.class" which has no default value`, false},
		{"unknown class", []string{"config.providers.env.class", "com.example.Vault"}, "Invalid value com.example.Vault for configuration config.providers.env.class: Could not load config provider class", false},
		{"relative root", []string{"config.providers.file.param.allowed.paths", "secrets"}, "Path secrets is not absolute", false},
		{"missing root", []string{"config.providers.dir.param.allowed.paths", dir + "/no"}, "Path " + dir + "/no does not exist", false},
		{"bad expression", []string{"config.providers.env.param.allowlist.pattern", "("}, "config.providers.env.param.allowlist.pattern", false},
		{"no roots", nil, "config.providers.file.param.allowed.paths is not set", true},
		{"no list of variables", nil, "config.providers.env.param.allowlist.pattern is not set", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, problems := provider.New(properties(c.pairs...), nil)
			for _, p := range problems {
				if strings.Contains(p.Message, c.want) {
					require.Equal(t, c.warning, p.Warning)
					return
				}
			}
			require.Fail(t, "no problem says "+c.want, "%v", problems)
		})
	}
}

func TestRefers(t *testing.T) {
	for value, want := range map[string]bool{"${env:A}": true, "x${file:a:b}y": true, "${a}": false, "": false, "$1:2": false, "${a:b": false} {
		require.Equal(t, want, provider.Refers(value), value)
	}
}

// FuzzResolve: nothing but references changes, whatever is around them.
func FuzzResolve(f *testing.F) {
	for _, seed := range []string{"${env:A}", "${env:x:A}", "$${env:A}}", "${file::}", "${:", "${env:${env:A}}"} {
		f.Add(seed)
	}
	s, _ := provider.New(map[string]string{"config.providers": "env", "config.providers.env.class": classes + "EnvVarConfigProvider"}, []string{"A=1"})
	f.Fuzz(func(t *testing.T, value string) {
		got, err := s.Resolve(map[string]string{"k": value})
		if err != nil {
			return
		}
		if !provider.Refers(value) {
			require.Equal(t, value, got["k"])
		}
	})
}
