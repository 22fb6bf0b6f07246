// SPDX-License-Identifier: Apache-2.0

package config_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/config"
)

func example(style config.Style) *config.Def {
	return &config.Def{Style: style, Keys: []config.Key{
		{Name: "host", Type: config.String, Required: true},
		{Name: "port", Type: config.Int, Default: "5432", HasDefault: true},
		{Name: "small", Type: config.Short},
		{Name: "wait.ms", Type: config.Long, Default: "10", HasDefault: true},
		{Name: "ratio", Type: config.Double},
		{Name: "flag", Type: config.Boolean, Default: "true", HasDefault: true},
		{Name: "list", Type: config.List},
		{Name: "secret", Type: config.Password, Check: func(v string, _ config.Values) string {
			if v == "bad" {
				return "too simple"
			}
			return ""
		}},
		{Name: "mode", Type: config.String, Default: "Fast", HasDefault: true, Allowed: []string{"Slow", "Fast", "odd"}, Served: []string{"Slow", "Fast"}, Later: "odd mode", Former: map[string]string{"Lazy": "Slow"}},
		{Name: "later", Type: config.Int, Default: "0", HasDefault: true, Later: "counting"},
		{Name: "ignored", Type: config.String, Default: "x", HasDefault: true, Ignored: "it has none"},
		{
			Name: "family.<n>.chars", Type: config.Int, Pattern: regexp.MustCompile(`^family\.\d+\.chars$`),
			CheckName: func(name string) string {
				if name == "family.0.chars" {
					return "nothing is left of 0"
				}
				return ""
			},
		},
		{Name: "new.name", Type: config.String, Aliases: []string{"old.name"}},
		{Name: "pair", Type: config.String, CheckAbsent: true, Check: func(v string, all config.Values) string {
			if v == "" && all.Has("partner") {
				return "must be given with partner"
			}
			return ""
		}},
		{Name: "partner", Type: config.String},
	}}
}

func TestParseProblems(t *testing.T) {
	tests := []struct {
		name, property, value string
		kafka, debezium       string // "" is no problem
	}{
		{"required", "host", " ", `Missing required configuration "host" which has no default value.`, "The 'host' value is invalid: A value is required"},
		{"int", "port", "x", "Invalid value x for configuration port: Not a number of type INT", "The 'port' value is invalid: An integer is expected"},
		{"int too large", "port", "3000000000", "Invalid value 3000000000 for configuration port: Not a number of type INT", "The 'port' value is invalid: An integer is expected"},
		{"short too large", "small", "40000", "Invalid value 40000 for configuration small: Not a number of type SHORT", "The 'small' value is invalid: An integer is expected"},
		{"long", "wait.ms", "1.5", "Invalid value 1.5 for configuration wait.ms: Not a number of type LONG", "The 'wait.ms' value is invalid: A long value is expected"},
		{"double", "ratio", "x", "Invalid value x for configuration ratio: Not a number of type DOUBLE", "The 'ratio' value is invalid: A double value is expected"},
		{"boolean", "flag", "yes", "Invalid value yes for configuration flag: Expected value to be either true or false", "The 'flag' value is invalid: Either 'true' or 'false' is expected"},
		{"enum", "mode", "quick", "Invalid value quick for configuration mode: String must be one of: Slow, Fast, odd", "The 'mode' value is invalid: Value must be one of Slow, Fast, odd"},
		{"enum without case", "mode", "SLOW", "", ""},
		{"enum not served", "mode", "odd", "Invalid value odd for configuration mode: not served yet: odd mode", "The 'mode' value is invalid: not served yet: odd mode"},
		{"later", "later", "5", "Invalid value 5 for configuration later: not served yet: counting", "The 'later' value is invalid: not served yet: counting"},
		{"later at its default", "later", "0", "", ""},
		{"password is hidden", "secret", "bad", "Invalid value **** for configuration secret: too simple", "The 'secret' value is invalid: too simple"},
		{"family", "family.12.chars", "x", "Invalid value x for configuration family.12.chars: Not a number of type INT", "The 'family.12.chars' value is invalid: An integer is expected"},
		{"absent partner", "partner", "x", "Invalid value  for configuration pair: must be given with partner", "The 'pair' value is invalid: must be given with partner"},
		{"empty number is the default", "port", "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for style, want := range map[config.Style]string{config.KafkaStyle: tt.kafka, config.DebeziumStyle: tt.debezium} {
				raw := map[string]string{"host": "h"}
				raw[tt.property] = tt.value
				_, problems := example(style).Parse(raw)
				if want == "" {
					require.Empty(t, problems)
					continue
				}
				require.Len(t, problems, 1)
				require.Equal(t, want, problems[0].Error())
				require.Equal(t, problems, config.Errors(problems))
				require.Equal(t, strings.Contains(tt.name, "later") || strings.Contains(tt.name, "not served"), problems[0].Unserved)
			}
		})
	}
}

func TestIgnoredWarns(t *testing.T) {
	_, problems := example(config.KafkaStyle).Parse(map[string]string{"host": "h", "ignored": "y"})
	require.Len(t, problems, 1)
	require.True(t, problems[0].Warning)
	require.Equal(t, "The property 'ignored' has no effect here: it has none", problems[0].Message)
	require.Empty(t, config.Errors(problems))
	_, problems = example(config.KafkaStyle).Parse(map[string]string{"host": "h", "ignored": "x"})
	require.Empty(t, problems)
}

func TestValues(t *testing.T) {
	raw := map[string]string{
		"host": "h", "port": " 15 ", "wait.ms": "", "flag": "FALSE", "list": ` a, b\,c ,,d `, "mode": "slow", "old.name": "v",
		"secret": "canary-password", "unknown": "u", "transforms.a": "1",
	}
	v, problems := example(config.KafkaStyle).Parse(raw)
	require.Empty(t, problems)
	require.Equal(t, int64(15), v.Int("port"))
	require.Equal(t, 10*time.Millisecond, v.Millis("wait.ms"))
	require.False(t, v.Has("wait.ms"))
	require.False(t, v.Bool("flag"))
	require.Equal(t, []string{"a", "b,c", "d"}, v.List("list"))
	require.Equal(t, "Slow", v.Get("mode"))
	require.Equal(t, "v", v.Get("new.name"))
	require.Empty(t, v.Get("nothing"))
	require.Equal(t, map[string]string{"a": "1"}, v.Prefix("transforms."))
	require.Equal(t, []string{"transforms.a", "unknown"}, v.Unknown(nil))
	require.Equal(t, []string{"unknown"}, v.Unknown(func(name string) bool { return strings.HasPrefix(name, "transforms.") }))
	more := v.With("port", "16")
	require.Equal(t, int64(16), more.Int("port"))
	require.Equal(t, int64(15), v.Int("port"))
	require.Equal(t, " 15 ", raw["port"], "the caller's map stays as it was")
}

// A name of a family is judged before its value.
func TestNamesOfFamilies(t *testing.T) {
	def := example(config.DebeziumStyle)
	_, problems := def.Parse(map[string]string{"host": "h", "family.1.chars": "x", "family.0.chars": "x", "family.2.chars": "2"})
	require.Equal(t, []config.Problem{
		{Property: "family.0.chars", Message: "The 'family.0.chars' value is invalid: nothing is left of 0"},
		{Property: "family.1.chars", Message: "The 'family.1.chars' value is invalid: An integer is expected"},
	}, problems)
}

func TestSecretNeverPrints(t *testing.T) {
	s := config.Secret("canary-password")
	require.Equal(t, "canary-password", s.Reveal())
	text, err := json.Marshal(map[string]any{"s": s})
	require.NoError(t, err)
	for _, out := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s), string(text), fmt.Sprintf("%+v", struct{ S config.Secret }{s})} {
		require.NotContains(t, out, "canary")
	}
}

func TestPluginMatches(t *testing.T) {
	p := config.Plugin{Name: "postgres", Class: "io.debezium.connector.postgresql.PostgresConnector", Aliases: []string{"postgresql"}}
	for _, class := range []string{p.Class, "PostgresConnector", "Postgres", "postgres", "postgresql"} {
		require.True(t, p.Matches(class), class)
	}
	for _, class := range []string{"", "Connector", "MySqlConnector", "x.PostgresConnector"} {
		require.False(t, p.Matches(class), class)
	}
}

// A former value is taken for its successor, and warned of; refusals of others do not list it.
func TestFormerValues(t *testing.T) {
	def := example(config.DebeziumStyle)
	v, problems := def.Parse(map[string]string{"host": "h", "mode": "LAZY"})
	require.Equal(t, []config.Problem{{Property: "mode", Message: `The value "LAZY" of 'mode' is a former one and taken for "Slow": write mode=Slow`, Warning: true}}, problems)
	require.Equal(t, "Slow", v.Get("mode"))
	_, problems = def.Parse(map[string]string{"host": "h", "mode": "lazier"})
	require.Equal(t, []config.Problem{{Property: "mode", Message: "The 'mode' value is invalid: Value must be one of Slow, Fast, odd"}}, problems)
}
