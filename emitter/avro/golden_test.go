// SPDX-License-Identifier: Apache-2.0

package avro

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter"
	jsonconverter "freshet/emitter/json"
	"freshet/emitter/topic"
	"freshet/test/notation"
)

// avroCase is a line of connect/avro: see the README there.
type avroCase struct {
	Title  string
	Config map[string]string
	Schema json.RawMessage
	Value  json.RawMessage
	Avro   *string
	Hex    *string
	Stage  string
	Error  [][2]string
	Back   *struct {
		Schema, Value json.RawMessage
		Error         [][2]string
	}
}

func optionsOf(c map[string]string) *Options {
	return &Options{
		Enhanced: c["enhanced.avro.schema.support"] == "true", MetaData: c["connect.meta.data"] != "false",
		ScrubNames: c["scrub.invalid.names"] == "true", OptionalMapKeys: c["allow.optional.map.keys"] == "true",
		IgnoreDefaults: c["ignore.default.for.nullables"] == "true",
	}
}

func avroCases(t *testing.T, name string) []avroCase {
	t.Helper()
	var out []avroCase
	for _, line := range notation.Lines(t, "connect/avro/"+name) {
		var c avroCase
		require.NoError(t, json.Unmarshal(line, &c), string(line))
		out = append(out, c)
	}
	require.NotEmpty(t, out)
	return out
}

// unlike are the recorded writes that differ here, by the beginning of their title, and why.
var unlike = map[string]string{
	"version 0":                                                     "0 is no version here",
	"empty parameters and empty doc":                                "an empty text is no doc here",
	"decimal of another scale":                                      "decimals have the scale of their type here",
	"date with time part":                                           "dates are whole days here",
	"timestamp name on int64 data":                                  "timestamps are integers here",
	"wrong class, long for int":                                     "integers are of one kind here",
	"wrong class for decimal":                                       "integers are of one kind here",
	"wrong class for map":                                           "the recorder's class of a list",
	"two unnamed maps with different key":                           "refused: what would be written cannot be read",
	"two different structs with one name, bot":                      "refused: what would be written cannot be read",
	"io.debezium.data.VariableScaleDecimal, as record fields, only": "the default of a struct is written; the original fails at it",
	"io.debezium.data.geometry.Point, as record fields, only":       "the default of a struct is written; the original fails at it",
	"io.debezium.data.geometry.Geometry, as record fields, only":    "the default of a struct is written; the original fails at it",
	"struct named, as record fields, only the":                      "the default of a struct is written; the original fails at it",
	"field that is a struct with a default, n":                      "the default of a struct is written; the original fails at it",
	"fixed of a wrong size":                                         "the original's message is of Java's arrays",
	"decimal on fixed":                                              "the original's message is of Java's arrays",
	"schemaless Integer":                                            "integers without a schema are longs here",
	"schemaless Short":                                              "integers without a schema are longs here",
	"schemaless Float":                                              "floats without a schema are doubles here",
	"schemaless ArrayList":                                          "numbers without a schema are longs and doubles here",
	"schemaless LinkedHashMap":                                      "numbers without a schema are longs and doubles here",
	"schemaless BigDecimal":                                         "values without a schema are no decimals here",
}

// betterBack says whether the original loses a default on reading which is kept here: of texts and decimals in a struct or
// array that may be null, and NaN, which is no equal of itself.
func betterBack(title string) bool {
	for _, start := range []string{"default that JSON cannot hold", "struct named, default", "struct named, as record", "numeric[] array", "hstore as map, as record"} {
		if strings.HasPrefix(title, start) {
			return true
		}
	}
	return false
}

// notServed says whether a case needs an option that is refused.
func notServed(config map[string]string) bool {
	return config["generalized.sum.type.support"] == "true" || config["discard.type.doc.default"] == "true"
}

func differs(title string) bool {
	for start, why := range unlike {
		if why != "" && strings.HasPrefix(title, start) {
			return true
		}
	}
	return false
}

func TestGoldenAvroWrite(t *testing.T) {
	for _, file := range []string{"avro-data.jsonl", "avro-debezium-types.jsonl", "avro-hidden-options.jsonl"} {
		for i, c := range avroCases(t, file) {
			t.Run(fmt.Sprintf("%s/%d %s", file, i+1, c.Title), func(t *testing.T) {
				if !differs(c.Title) && !notServed(c.Config) {
					writeCase(t, &c)
				}
			})
		}
	}
}

func writeCase(t *testing.T, c *avroCase) {
	o := optionsOf(c.Config)
	typ := notation.Type(t, c.Schema)
	a, err := build(typ, o)
	if c.Stage == "fromConnectSchema" {
		var data *emitter.DataError
		require.ErrorAs(t, err, &data)
		require.Equal(t, c.Error[0][1], data.Message)
		return
	}
	require.NoError(t, err)
	require.Equal(t, *c.Avro, string(schemaText(a)))
	if c.Hex == nil && c.Error == nil {
		return
	}
	n, err := (&compiler{o}).compile(typ, a)
	require.NoError(t, err)
	var b change.Batch
	got, err := n.append(nil, &b, notation.Value(t, &b, typ, c.Value))
	if c.Hex == nil {
		require.Error(t, err)
		var data *emitter.DataError
		require.ErrorAs(t, err, &data)
		require.Equal(t, c.Error[0][1], data.Message)
		return
	}
	require.NoError(t, err)
	require.Equal(t, *c.Hex, hex.EncodeToString(got))
}

// TestGoldenAvroVersions runs the cases in which two versions of Avro's library differ: what is written here is what the later one
// writes.
func TestGoldenAvroVersions(t *testing.T) {
	n := 0
	for i, line := range notation.Lines(t, "connect/avro/avro-1.11-differences.jsonl") {
		var all map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(line, &all))
		later := map[string]json.RawMessage{}
		for name, value := range all {
			name, is := strings.CutPrefix(name, "1.12.0 ")
			if is && string(value) != "null" || !is && !strings.HasPrefix(name, "1.11.4 ") {
				later[name] = value
			}
		}
		text, err := json.Marshal(later)
		require.NoError(t, err)
		var c avroCase
		require.NoError(t, json.Unmarshal(text, &c))
		if c.Avro == nil || differs(c.Title) || notServed(c.Config) {
			continue // what differs is in how it is read: those are in the cases of reading
		}
		t.Run(fmt.Sprintf("%d %s", i+1, c.Title), func(t *testing.T) { writeCase(t, &c) })
		n++
	}
	require.Greater(t, n, 10)
}

// TestGoldenAvroEvents writes events of real connectors: their JSON read back, and made Avro.
func TestGoldenAvroEvents(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(notation.Dir(), "connect", "avro", "debezium", "*.jsonl"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".jsonl")
		t.Run(name, func(t *testing.T) { eventsCase(t, name) })
	}
}

type avroData struct {
	Schema int
	Hex    *string
	Error  [][2]string
}

func eventsCase(t *testing.T, name string) {
	o := optionsOf(map[string]string{"connect.meta.data": fmt.Sprint(!strings.HasSuffix(name, "-nometa")), "scrub.invalid.names": fmt.Sprint(strings.HasSuffix(name, "-scrub"))})
	db, of, _ := strings.Cut(strings.TrimSuffix(strings.TrimSuffix(name, "-nometa"), "-scrub"), "-")
	path := filepath.Join(db, of, "events.jsonl")
	events := notation.Lines(t, path)
	side := jsonconverter.NewSide(jsonconverter.Options{SchemasEnable: true})
	schemas := map[int]string{}
	n := 0
	for _, line := range notation.Lines(t, "connect/avro/debezium/"+name+".jsonl") {
		var c struct {
			Schema     *int
			Avro       string
			Event      int
			Key, Value *avroData
		}
		require.NoError(t, json.Unmarshal(line, &c))
		if c.Schema != nil {
			schemas[*c.Schema] = c.Avro
			continue
		}
		var event struct{ Key, Value json.RawMessage }
		require.NoError(t, json.Unmarshal(events[c.Event], &event))
		for i, want := range []*avroData{c.Key, c.Value} {
			if want == nil {
				continue
			}
			var b change.Batch
			typ, v, err := side.DecodeData(&b, "t", topic.Data{Body: []json.RawMessage{event.Key, event.Value}[i]})
			require.NoError(t, err)
			a, err := build(typ, o)
			if want.Error != nil {
				require.Error(t, err)
				n++
				continue
			}
			require.NoError(t, err)
			require.Equal(t, schemas[want.Schema], string(schemaText(a)))
			e, err := (&compiler{o}).compile(typ, a)
			require.NoError(t, err)
			got, err := e.append(nil, &b, v)
			require.NoError(t, err)
			if name == "postgres-arrays" {
				n++
				continue // its JSON has a NaN, which the original reads as 0
			}
			require.Equal(t, *want.Hex, hex.EncodeToString(got))
			n++
		}
	}
	require.NotZero(t, n)
}

// readBack reads what was written by its schema's text.
func readBack(t *testing.T, b *change.Batch, text, message string, o *Options, version int) (*plan, change.Value, error) {
	t.Helper()
	a, err := parseSchema([]byte(text))
	if err != nil {
		return nil, change.Value{}, err
	}
	p, err := toConnect(a, o, version)
	if err != nil {
		return nil, change.Value{}, err
	}
	wire, err := hex.DecodeString(message)
	require.NoError(t, err)
	r := reader{b: b, p: wire}
	v, err := r.value(p)
	if err == nil {
		require.Empty(t, r.p)
	}
	return p, v, err
}

func TestGoldenAvroBack(t *testing.T) {
	for _, file := range []string{"avro-data.jsonl", "avro-debezium-types.jsonl"} {
		for i, c := range avroCases(t, file) {
			if c.Back == nil || differs(c.Title) || betterBack(c.Title) {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d %s", file, i+1, c.Title), func(t *testing.T) {
				if string(c.Back.Schema) == `"="` {
					c.Back.Schema = c.Schema
				}
				if string(c.Back.Value) == `"="` {
					c.Back.Value = c.Value
				}
				var b change.Batch
				p, v, err := readBack(t, &b, *c.Avro, *c.Hex, optionsOf(c.Config), 0)
				if c.Back.Error != nil {
					require.EqualError(t, err, c.Back.Error[0][1])
					return
				}
				require.NoError(t, err)
				want := notation.Type(t, c.Back.Schema)
				require.Equal(t, want, p.typ)
				require.Equal(t, notation.Render(&b, notation.Value(t, &b, want, c.Back.Value)), notation.Render(&b, v))
			})
		}
	}
}

func TestGoldenAvroRead(t *testing.T) {
	for i, line := range notation.Lines(t, "connect/avro/avro-read.jsonl") {
		var c struct {
			avroCase
			Version  *int
			Again    string
			AgainHex string
		}
		require.NoError(t, json.Unmarshal(line, &c))
		if notServed(c.Config) || strings.HasPrefix(c.Title, "recursive record") {
			continue
		}
		t.Run(fmt.Sprintf("%d %s", i+1, c.Title), func(t *testing.T) {
			var b change.Batch
			o := optionsOf(c.Config)
			version := 0
			if c.Version != nil {
				version = *c.Version
			}
			p, v, err := readBack(t, &b, *c.Avro, *c.Hex, o, version)
			if c.Error != nil {
				var data *emitter.DataError
				require.ErrorAs(t, err, &data)
				require.Equal(t, c.Error[0][1], data.Message)
				return
			}
			require.NoError(t, err)
			want := notation.Type(t, c.Schema)
			if c.Schema == nil {
				return // a null at the top
			}
			require.Equal(t, want, p.typ)
			require.Equal(t, notation.Render(&b, notation.Value(t, &b, want, c.Value)), notation.Render(&b, v))
			if c.Title == "field defaults" && len(p.typ.Fields) > 9 {
				return // what is written again for the default of a union differs
			}
			a, err := build(p.typ, o)
			require.NoError(t, err)
			if c.Again == "=" {
				c.Again = *c.Avro
			}
			require.Equal(t, c.Again, string(schemaText(a)))
		})
	}
}
