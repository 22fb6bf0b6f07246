// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/config"
	"freshet/schema"
)

// minimal are the properties that every configuration has.
func minimal(more map[string]string) map[string]string {
	raw := map[string]string{
		"topic.prefix": "dbserver1", "database.hostname": "127.0.0.1", "database.user": "postgres",
		"database.password": "canary-password", "database.dbname": "source",
	}
	maps.Copy(raw, more)
	return raw
}

func mustOptions(t testing.TB, more map[string]string) options {
	t.Helper()
	def := definition()
	v, problems := def.Parse(minimal(more))
	require.Empty(t, config.Errors(problems))
	o, err := parseOptions(v)
	require.NoError(t, err)
	return o
}

func readGolden(t testing.TB, path string, into any) {
	t.Helper()
	dir := os.Getenv("FRESHET_GOLDEN")
	if dir == "" {
		dir = filepath.Join("..", "..", "testdata", "golden")
	}
	text, err := os.ReadFile(filepath.Join(dir, path))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, into))
}

// TestGoldenValidation compares the words of every refusal with the recorded ones, in their order.
func TestGoldenValidation(t *testing.T) {
	for _, name := range []string{"error-invalid-values", "error-missing-options"} {
		t.Run(name, func(t *testing.T) {
			var c struct{ Config map[string]string }
			var want []struct {
				Name   string
				Errors []string
			}
			readGolden(t, "postgres/"+name+"/case.json", &c)
			readGolden(t, "postgres/"+name+"/validate.json", &want)
			def := definition()
			_, problems := def.Parse(minimal(c.Config))
			var got, expected []string
			for _, p := range problems {
				if !p.Warning && !p.Unserved { // what is not served is refused on top of what was recorded
					got = append(got, p.Message)
				}
			}
			for _, w := range want {
				if w.Name == "snapshot.mode" && c.Config[w.Name] == "never" {
					continue // taken for no_data: TestSnapshotModeNever
				}
				expected = append(expected, w.Errors...)
			}
			require.Equal(t, expected, got)
		})
	}
}

// TestGoldenDefinitions compares the declarations with the recorded answer.
func TestGoldenDefinitions(t *testing.T) {
	var want struct {
		Configs []struct {
			Definition struct {
				Name, Type, Importance, Group, Width string
				Default                              *string `json:"default_value"`
				Display                              string  `json:"display_name"`
				Dependents                           []string
			}
			Value *struct {
				Recommended []string `json:"recommended_values"`
			}
		}
	}
	readGolden(t, "postgres/config-definitions/validate-full.json", &want)
	def := definition()
	var order []string
	for _, c := range want.Configs {
		w := c.Definition
		if !slices.Contains([]string{"Postgres", "Connector", "Events"}, w.Group) || c.Value == nil {
			continue // the runtime's own, and the one recorded without a value
		}
		order = append(order, w.Name)
		i := slices.IndexFunc(def.Keys, func(k config.Key) bool { return k.Name == w.Name })
		require.GreaterOrEqual(t, i, 0, "%s is not declared", w.Name)
		k := def.Keys[i]
		if w.Name != "column.truncate.to.(d+).chars" { // recorded as INT, yet its value is a list
			require.Equal(t, w.Type, string(k.Type), w.Name)
		}
		require.Equal(t, w.Importance, string(k.Importance), w.Name)
		require.Equal(t, w.Group, k.Group, w.Name)
		require.Equal(t, w.Width, string(k.Width), w.Name)
		require.Equal(t, w.Display, k.Display, w.Name)
		require.ElementsMatch(t, w.Dependents, k.Dependents, w.Name)
		require.ElementsMatch(t, c.Value.Recommended, k.Allowed, w.Name)
		require.Equal(t, w.Default != nil, k.HasDefault, w.Name)
		if w.Default != nil && w.Name != "plugin.name" { // the only default that differs: pgoutput
			require.Equal(t, *w.Default, k.Default, w.Name)
		}
	}
	var listed []string
	for _, k := range def.Keys {
		if !k.Unlisted {
			listed = append(listed, k.Name)
		}
	}
	require.Equal(t, order, listed)
}

// The mode of former versions is taken; what is no mode at all is refused in the recorded words, which do not list it.
func TestSnapshotModeNever(t *testing.T) {
	def := definition()
	v, problems := def.Parse(minimal(map[string]string{"snapshot.mode": "never"}))
	require.Len(t, problems, 1)
	require.True(t, problems[0].Warning)
	require.Contains(t, problems[0].Message, "write snapshot.mode=no_data")
	require.Equal(t, "no_data", v.Get("snapshot.mode"))

	_, problems = def.Parse(minimal(map[string]string{"snapshot.mode": "nevermore"}))
	require.Equal(t, []config.Problem{{Property: "snapshot.mode", Message: "The 'snapshot.mode' value is invalid: " +
		"Value must be one of always, initial_only, configuration_based, when_needed, initial, custom, no_data"}}, problems)
}

func TestDefinitionIsComplete(t *testing.T) {
	def := definition()
	seen := map[string]bool{}
	for _, k := range def.Keys {
		require.False(t, seen[k.Name], "%s is declared twice", k.Name)
		seen[k.Name] = true
		require.True(t, strings.HasSuffix(k.Doc, "."), "%s: doc is a sentence", k.Name)
		require.False(t, k.CheckAbsent && k.Check == nil, k.Name)
		if k.HasDefault && k.Pattern == nil {
			_, problems := def.Parse(minimal(map[string]string{k.Name: k.Default}))
			require.Empty(t, problems, "%s: the default must pass", k.Name)
		}
	}
}

func TestNotServedIsRefused(t *testing.T) {
	tests := map[string]string{
		"snapshot.mode":         "custom",
		"snapshot.locking.mode": "custom",
		"plugin.name":           "decoderbufs",
		"topic.naming.strategy": "com.example.Own",
		"converters":            "geo",
		"database.sslfactory":   "com.example.Own",
		"queue.provider.type":   "chronicle",
	}
	for name, value := range tests {
		t.Run(name, func(t *testing.T) {
			def := definition()
			_, problems := def.Parse(minimal(map[string]string{name: value}))
			require.Len(t, problems, 1)
			require.True(t, problems[0].Unserved)
			require.Equal(t, name, problems[0].Property)
			require.Contains(t, problems[0].Message, "The '"+name+"' value is invalid: not served yet: ")
		})
	}
}

func TestIgnoredWarns(t *testing.T) {
	def := definition()
	_, problems := def.Parse(minimal(map[string]string{"snapshot.fetch.size": "500", "driver.prepareThreshold": "1"}))
	require.Len(t, problems, 2)
	require.Empty(t, config.Errors(problems))
	_, problems = def.Parse(minimal(map[string]string{"snapshot.fetch.size": "10240"}))
	require.Empty(t, problems)
}

func TestJMXWarns(t *testing.T) {
	def := definition()
	for _, name := range []string{"notification.enabled.channels", "signal.enabled.channels"} {
		_, problems := def.Parse(minimal(map[string]string{name: "log, JMX", "notification.sink.topic.name": "n"}))
		if name == "signal.enabled.channels" {
			_, problems = def.Parse(minimal(map[string]string{name: "source,jmx"}))
		}
		require.Len(t, problems, 1)
		require.Empty(t, config.Errors(problems))
		require.Contains(t, problems[0].Message, "the channel jmx has no effect here")
	}
}

func TestCheckReasons(t *testing.T) {
	tests := []struct{ name, property, value, want string }{
		{"queue of nothing", "max.queue.size", "0", "A positive queue size is required"},
		{"class left open", "table.include.list", "a[bc", "Unclosed character class near index 3\na[bc"},
		{"look-ahead", "table.include.list", "(?!x).*", "look-around"},
		{"closing only", "table.include.list", "a)", "Unmatched closing ')'\na)"},
		{"identity", "replica.identity.autoset.values", "public.t:SOME", "DEFAULT, FULL, NOTHING or INDEX <name>"},
		{"identity without colon", "replica.identity.autoset.values", "public", "no ':'"},
		{"placeholder", "unavailable.value.placeholder", "hex:xy", "hexadecimal digits"},
		{"none with others", "skipped.operations", "none,c", "cannot be specified with other"},
		{"override without statement", "snapshot.select.statement.overrides", "public.t", `"snapshot.select.statement.overrides.public.t" with the statement is missing`},
		{"slot of 64", "slot.name", strings.Repeat("a", 64), "length <= 63"},
		{"lists of one kind", "schema.exclude.list", "b", `"schema.include.list" is already specified`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := map[string]string{tt.property: tt.value}
			if tt.property == "schema.exclude.list" {
				raw["schema.include.list"] = "a"
			}
			def := definition()
			_, problems := def.Parse(minimal(raw))
			require.NotEmpty(t, problems)
			require.Equal(t, tt.property, problems[0].Property)
			require.Contains(t, problems[0].Message, tt.want)
			require.NotContains(t, problems[0].Message, "canary-password")
		})
	}
}

// What would fail at the start is refused before, with the property's name.
func TestNothingFailsAtTheStartOnly(t *testing.T) {
	def := definition()
	refused := func(name, value, want string) {
		t.Helper()
		raw := minimal(map[string]string{name: value})
		_, problems := def.Parse(raw)
		require.NotEmpty(t, config.Errors(problems), "%s=%s", name, value)
		require.Equal(t, name, problems[0].Property)
		require.Contains(t, problems[0].Message, want)
	}
	refused("column.mask.hash.SHA-257.with.salt.s", "public.t.a", `the digest "SHA-257" is not known; use one such as SHA-256`)
	refused("column.mask.hash.v2.MD-5-6.with.salt.a.b", "public.t.a", `the digest "MD-5-6" is not known`)
	refused("column.mask.with.1048577.chars", "public.t.a", "too many")
	refused("column.truncate.to.99999999999999999999.chars", "public.t.a", "too many")
	refused("message.key.columns", "public.(t:a", "regular expression")
	refused("database.port", "65536", "A port between 1 and 65535 is expected")
	for _, name := range []string{"column.mask.hash.md5.with.salt.s", "column.mask.hash.v2.sha3-256.with.salt.s", "column.mask.with.0.chars", "column.truncate.to.20.chars"} {
		_, problems := def.Parse(minimal(map[string]string{name: "public.t.a"}))
		require.Empty(t, problems)
	}
	for _, k := range def.Keys {
		name := k.Name
		switch name { // families: one of each
		case "column.mask.hash.([^.]+).with.salt.(.+)":
			name = "column.mask.hash.MD5.with.salt.s"
		case "column.mask.with.(d+).chars", "column.truncate.to.(d+).chars":
			name = strings.ReplaceAll(name, "(d+)", "5")
		}
		v, problems := def.Parse(minimal(map[string]string{name: "a("}))
		if _, err := parseOptions(v); err != nil {
			require.NotEmpty(t, config.Errors(problems), "%s fails at the start: %v", name, err)
		}
	}
}

func TestOptionsDefaults(t *testing.T) {
	o := mustOptions(t, nil)
	require.Equal(t, "pgoutput", o.PluginName)
	require.Equal(t, "debezium", o.SlotName)
	require.Equal(t, 5432, o.Port)
	require.Equal(t, "initial", o.SnapshotMode)
	require.Equal(t, 1, o.SnapshotThreads)
	require.Equal(t, 10*time.Second, o.StatusInterval)
	require.Equal(t, "__debezium_unavailable_value", string(o.Types.Placeholder))
	require.Equal(t, "adaptive", o.Types.Time)
	require.Equal(t, 2, o.Types.MoneyDigits)
	require.True(t, o.skips('t'))
	require.False(t, o.skips('c'))
	require.False(t, o.SkippedOpsGiven)
	require.True(t, o.streams())
	require.Equal(t, "127.0.0.1:5432", o.address())
}

func TestOptionsDecoding(t *testing.T) {
	o := mustOptions(t, map[string]string{
		"database.initial.statements":     "set a = 1; select ';;x' ;",
		"unavailable.value.placeholder":   "hex:00ff",
		"replica.identity.autoset.values": `public.full_.*:FULL,public.ix:INDEX ix"code`,
		"skipped.operations":              "none",
		"snapshot.mode":                   "INITIAL_ONLY",
		"snapshot.locking.mode":           "shared",
		"max.batch.size":                  " ",
	})
	require.Equal(t, []string{"set a = 1", "select ';x'"}, o.InitialStatements)
	require.Equal(t, []byte{0, 0xff}, o.Types.Placeholder)
	require.Len(t, o.ReplicaIdentity, 2)
	require.Equal(t, "FULL", o.ReplicaIdentity[0].Identity)
	require.Equal(t, `USING INDEX "ix""code"`, o.ReplicaIdentity[1].Identity)
	require.True(t, o.SkippedOpsGiven)
	require.False(t, o.skips('t'))
	require.Equal(t, "initial_only", o.SnapshotMode)
	require.False(t, o.streams())
	require.True(t, o.SnapshotLock)
	require.Equal(t, 2048, o.MaxBatchSize)
}

func TestFilters(t *testing.T) {
	table := func(s, n string) schema.ID { return schema.ID{Catalog: "source", Schema: s, Name: n} }
	tests := []struct {
		name string
		raw  map[string]string
		id   schema.ID
		want bool
	}{
		{"all", nil, table("public", "t"), true},
		{"system", nil, table("pg_catalog", "t"), false},
		{"postgis", nil, table("public", "spatial_ref_sys"), false},
		{"postgis asked for", map[string]string{"table.ignore.builtin": "false"}, table("public", "spatial_ref_sys"), true},
		{"include", map[string]string{"table.include.list": "public.t"}, table("public", "t"), true},
		{"include is anchored", map[string]string{"table.include.list": "public.t"}, table("public", "tt"), false},
		{"without case", map[string]string{"table.include.list": "PUBLIC.T"}, table("public", "t"), true},
		{"exclude", map[string]string{"table.exclude.list": `PUBLIC.log,.*\.tmp_.*`}, table("a", "tmp_x"), false},
		{"alternatives stay inside", map[string]string{"table.include.list": "public.a|b"}, table("public", "b"), false},
		{"schema and table", map[string]string{"schema.include.list": "app_.*", "table.exclude.list": "app_1.t"}, table("app_1", "t"), false},
		{"schema", map[string]string{"schema.include.list": "app_.*"}, table("app_1", "u"), true},
		{"schema excluded", map[string]string{"schema.exclude.list": "app_1"}, table("app_1", "u"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := mustOptions(t, tt.raw)
			require.Equal(t, tt.want, o.captures(tt.id))
		})
	}
	o := mustOptions(t, map[string]string{"column.exclude.list": "public.t.a", "snapshot.include.collection.list": `public.t, "x"."Y"`})
	require.False(t, o.capturesColumn(table("public", "t"), "a"))
	require.True(t, o.capturesColumn(table("public", "t"), "b"))
	require.True(t, o.snapshots(table("public", "t")))
	require.True(t, o.snapshots(table("x", "Y")))
	require.False(t, o.snapshots(table("public", "u")))
}
