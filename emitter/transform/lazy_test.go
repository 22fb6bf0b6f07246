// SPDX-License-Identifier: Apache-2.0

package transform_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/config"
	"freshet/emitter/transform"
	"freshet/schema"
)

// chainOf is the chain of one transform, settings as name, value, ...
func chainOf(t testing.TB, class string, settings ...string) transform.Chain {
	t.Helper()
	cfg := map[string]string{"transforms": "t", "transforms.t.type": "org.apache.kafka.connect.transforms." + class}
	for i := 0; i < len(settings); i += 2 {
		cfg["transforms.t."+settings[i]] = settings[i+1]
	}
	chain, problems := transform.Parse(cfg)
	require.Empty(t, problems)
	require.Len(t, chain, 1)
	return chain
}

// What touches only topic, time, key or headers does not ask for the value.
func TestValueIsNotMadeForOthers(t *testing.T) {
	for _, c := range []struct {
		class    string
		settings []string
	}{
		{"RegexRouter", []string{"regex", "(.*)", "replacement", "$1-x"}},
		{"TimestampRouter", nil},
		{"InsertHeader", []string{"header", "h", "value.literal", "1"}},
		{"DropHeaders", []string{"headers", "h"}},
		{"ReplaceField$Key", []string{"renames", "id:key"}},
		{"ExtractField$Key", []string{"field", "id"}},
		{"Cast$Key", []string{"spec", "id:string"}},
		{"MaskField$Key", []string{"fields", "id"}},
		{"HoistField$Key", []string{"field", "k"}},
		{"Flatten$Key", nil},
		{"InsertField$Key", []string{"topic.field", "t"}},
		{"HeaderFrom$Key", []string{"fields", "id", "headers", "id", "operation", "move"}},
		{"SetSchemaMetadata$Key", []string{"schema.name", "n"}},
		{"TimestampConverter$Key", []string{"field", "id", "target.type", "Timestamp"}},
	} {
		t.Run(c.class, func(t *testing.T) {
			r := event("c", "a")
			r.TimeMillis = 0
			row := r.Data.NewRow(1)
			r.Data.Set(row, 0, change.IntValue(7))
			r.KeyType = &schema.Type{Kind: schema.Struct, Fields: []schema.Field{{Name: "id", Type: &schema.Type{Kind: schema.Int64}}}}
			r.Key = r.Data.Run(change.Struct, row)
			r.Headers = []transform.Header{{Key: "h", Raw: []byte("x")}}
			before := fmt.Sprint(r.Topic, r.Headers, r.KeyType, r.Key)
			r.Value, r.Lazy = change.NullValue(), neverLoaded
			keep, err := chainOf(t, c.class, c.settings...).Apply(r)
			require.NoError(t, err)
			require.True(t, keep)
			require.False(t, r.Touched)
			require.NotNil(t, r.Lazy)
			require.NotEqual(t, before, fmt.Sprint(r.Topic, r.Headers, r.KeyType, r.Key), "the transform did something")
		})
	}
}

// A record costs the memory of its batch and no more, once the schema is known.
func TestNothingIsAllocatedPerRecord(t *testing.T) {
	typ := &schema.Type{Kind: schema.Struct, Fields: []schema.Field{
		{Name: "id", Type: &schema.Type{Kind: schema.Int64}},
		{Name: "name", Type: &schema.Type{Kind: schema.String, Optional: true}},
		{Name: "price", Type: &schema.Type{Kind: schema.Float64, Optional: true, Default: 1.5}},
		{Name: "at", Type: &schema.Type{Kind: schema.Int64, Name: schema.ConnectTimestamp}},
	}}
	for _, c := range []struct {
		class    string
		settings []string
	}{
		{"ReplaceField$Value", []string{"exclude", "price", "renames", "name:label"}},
		{"Cast$Value", []string{"spec", "id:string,name:boolean,price:int32,at:string"}},
		{"InsertField$Value", []string{"topic.field", "t", "partition.field", "p", "offset.field", "o", "timestamp.field", "ts", "static.field", "s", "static.value", "v"}},
		{"MaskField$Value", []string{"fields", "id,name"}},
		{"MaskField$Value", []string{"fields", "id,name,price", "replacement", "9"}},
		{"ExtractField$Value", []string{"field", "name"}},
		{"HeaderFrom$Value", []string{"fields", "id", "headers", "h", "operation", "move"}},
		{"HoistField$Value", []string{"field", "f"}},
		{"Flatten$Value", nil},
		{"SetSchemaMetadata$Value", []string{"schema.version", "2"}},
		{"TimestampConverter$Value", []string{"field", "at", "target.type", "string", "format", "yyyy-MM-dd HH:mm:ss"}},
		{"ValueToKey", []string{"fields", "id,name"}},
		{"TimestampRouter", nil},
		{"InsertHeader", []string{"header", "h", "value.literal", "text"}},
		{"DropHeaders", []string{"headers", "old"}},
	} {
		t.Run(c.class, func(t *testing.T) {
			chain := chainOf(t, c.class, c.settings...)
			var b change.Batch
			var r transform.Record
			headers := []transform.Header{{Key: "old"}, {Key: "kept"}}
			allocs := testing.AllocsPerRun(100, func() {
				b.Reset()
				row := b.NewRow(4)
				b.Set(row, 0, change.IntValue(7))
				b.Set(row, 1, b.Text("pen"))
				b.Set(row, 3, change.IntValue(1700000000123))
				r = transform.Record{
					Topic: "orders", Partition: 1, Sink: true, Offset: 3, TimeMillis: 1700000000123, Headers: headers,
					Data: &b, ValueType: typ, Value: b.Run(change.Struct, row),
				}
				if _, err := chain.Apply(&r); err != nil {
					panic(err)
				}
			})
			require.Zero(t, allocs)
		})
	}
	router := chainOf(t, "RegexRouter", "regex", "nomatch", "replacement", "x")
	r := transform.Record{Topic: "orders"}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := router.Apply(&r); err != nil {
			panic(err)
		}
	}))
}

// Every transform of Kafka takes a tombstone as Kafka's does: it passes, or is refused.
func TestTombstones(t *testing.T) {
	for class, c := range map[string]struct {
		settings string // name=value
		refused  string
	}{
		"Cast$Value":               {settings: "spec=a:int8"},
		"Flatten$Value":            {},
		"InsertField$Value":        {settings: "topic.field=t"},
		"ReplaceField$Value":       {settings: "exclude=a"},
		"ExtractField$Value":       {settings: "field=a"},
		"SetSchemaMetadata$Value":  {settings: "schema.name=a"},
		"TimestampConverter$Value": {settings: "target.type=unix"},
		"MaskField$Value":          {settings: "fields=a", refused: "Only Map objects supported in absence of schema for [mask fields], found: null"},
		"ValueToKey":               {settings: "fields=a", refused: "Only Map objects supported in absence of schema for [copying fields from value to key], found: null"},
	} {
		t.Run(class, func(t *testing.T) {
			var settings []string
			if name, value, ok := strings.Cut(c.settings, "="); ok {
				settings = []string{name, value}
			}
			r := &transform.Record{Data: &change.Batch{}}
			keep, err := chainOf(t, class, settings...).Apply(r)
			if c.refused != "" {
				require.EqualError(t, err, c.refused)
				return
			}
			require.NoError(t, err)
			require.True(t, keep)
			require.True(t, r.IsNull())
			require.Nil(t, r.ValueType)
		})
	}
}

// Settings that contradict each other are refused before there is a task.
func TestKafkaSettingsRefused(t *testing.T) {
	for _, c := range []struct {
		class    string
		settings map[string]string
		want     string
	}{
		{"HeaderFrom$Key", map[string]string{"fields": "a,b", "headers": "h", "operation": "copy"}, "'fields' config must have the same number of elements as 'headers' config."},
		{"ExtractField$Key", map[string]string{"field": "a.`b", "field.syntax.version": "v2"}, "Incomplete backtick pair in path: [a.`b], consider adding a backslash before backtick at position 2 to escape it"},
		{"TimestampConverter$Value", map[string]string{"target.type": "string"}, "TimestampConverter requires format option to be specified when using string timestamps"},
		{"Cast$Value", map[string]string{"spec": "a:map"}, "Cast transformation does not support casting to MAP; supported types are [INT8, INT16, INT32, INT64, FLOAT32, FLOAT64, BOOLEAN, STRING]"},
		{"Cast$Value", map[string]string{"spec": ":"}, "Invalid value [:] for configuration renames: Invalid rename mapping: :"},
		{"MaskField$Value", map[string]string{}, `Missing required configuration "transforms.t.fields" which has no default value.`},
	} {
		t.Run(c.class, func(t *testing.T) {
			cfg := map[string]string{"transforms": "t", "transforms.t.type": "org.apache.kafka.connect.transforms." + c.class}
			for name, value := range c.settings {
				cfg["transforms.t."+name] = value
			}
			_, problems := transform.Parse(cfg)
			errs := config.Errors(problems)
			require.NotEmpty(t, errs)
			require.Equal(t, c.want, errs[0].Message)
		})
	}
}
