// SPDX-License-Identifier: Apache-2.0

package json_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter/json"
	"freshet/emitter/topic"
	"freshet/sinks"
	"freshet/test/notation"
)

// The notation of recordings, which the other tests of this package use too.
type goldenCase = notation.Case

var (
	goldenDir   = notation.Dir
	goldenCases = notation.Cases
	goldenLines = notation.Lines
	goldenType  = notation.Type
	goldenValue = notation.Value
	render      = notation.Render
	run         = notation.Run
	twos        = notation.Twos
)

func mustOptions(t testing.TB, properties map[string]string) json.Options {
	t.Helper()
	o, err := json.ParseOptions(properties)
	require.NoError(t, err)
	return o
}

// shortest corrects the numbers of which JDK 17 does not print the shortest digits.
var shortest = strings.NewReplacer("1.9999999999999998E23", "2.0E23", "1.17549435E-38", "1.1754944E-38")

// unlikeWrites are recorded writes that the values of this engine cannot express.
var unlikeWrites = map[string]string{
	"byte buffer":              "the recorder's buffer is a window whose rest was written too",
	"date with time part":      "dates are whole days here",
	"decimal scale mismatch":   "decimals have the scale of their type here",
	"wrong class long for int": "all integers are of one kind here",
	"wrong class timestamp":    "timestamps are integers here",
	"schemaless decimal":       "values without a schema are no decimals here",
	"schemaless biginteger":    "values without a schema are no big integers here",
}

func TestGoldenJSONConverterWrite(t *testing.T) {
	for _, file := range []string{"json-write-schemas.jsonl", "json-write-plain.jsonl", "json-write-numeric.jsonl", "json-write-nodefault.jsonl"} {
		for i, c := range goldenCases(t, file) {
			t.Run(fmt.Sprintf("%s/%d %s", file, i, c.Title), func(t *testing.T) {
				if _, ok := unlikeWrites[c.Title]; ok {
					return // see the reason there
				}
				writeCase(t, &c)
			})
		}
	}
}

func writeCase(t *testing.T, c *goldenCase) {
	var b change.Batch
	typ := goldenType(t, c.Schema)
	format := json.New(mustOptions(t, c.Config))
	v := goldenValue(t, &b, typ, c.Value)
	encoder, err := format.Compile(typ)
	require.NoError(t, err)
	body, ok, err := encoder.Append(nil, &b, v)
	if c.Error != nil {
		// Java's class of a number tells its width, which values here do not have.
		want := strings.NewReplacer("java.lang.Integer", "java.lang.Long").Replace(c.Error[0][1])
		requireDataError(t, want, err)
		return
	}
	require.NoError(t, err)
	want := c.Out.Bytes(t)
	require.Equal(t, want != nil, ok)
	if !ok {
		return
	}
	wire := topic.Data{Head: encoder.Head(), Body: body}
	require.Equal(t, shortest.Replace(string(want)), string(wire.Bytes()))
}

func requireDataError(t testing.TB, want string, err error) {
	t.Helper()
	var data *json.DataError
	require.ErrorAs(t, err, &data, "error %v, want %q", err, want)
	require.Equal(t, want, data.Message)
	require.False(t, data.Retriable())
}

// betterReads are inputs whose recorded value is not the one that was written.
var betterReads = map[string]string{
	`{"schema":{"type":"double"},"payload":"NaN"}`: "float NaN",
}

func TestGoldenJSONConverterRead(t *testing.T) {
	for _, file := range []string{"json-read-schemas.jsonl", "json-read-envelope.jsonl", "json-read-plain.jsonl", "json-read-nodefault.jsonl"} {
		for i, c := range goldenCases(t, file) {
			name := "null"
			if in := c.In.Bytes(t); in != nil {
				name = string(in)
			}
			t.Run(fmt.Sprintf("%s/%d %.80s", file, i, name), func(t *testing.T) { readCase(t, &c) })
		}
	}
}

func readCase(t *testing.T, c *goldenCase) {
	decoder := json.NewDecoder(json.Options{}, mustOptions(t, c.Config))
	in := c.In.Bytes(t)
	for _, data := range []topic.Data{{Body: in}, headed(in)} {
		var b sinks.Batch
		r, err := decoder.Decode(&b, &topic.Record{Value: data})
		if c.Error != nil {
			requireDataError(t, c.Error[0][1], err)
			continue
		}
		require.NoError(t, err)
		typ := goldenType(t, c.Schema)
		require.Equal(t, typ, r.ValueType)
		want := render(&b.Data, goldenValue(t, &b.Data, typ, c.Value))
		if better, ok := betterReads[string(in)]; ok {
			want = better
		}
		require.Equal(t, want, render(&b.Data, r.Value))
	}
}

// headed is in as the local log hands it out, with its schema as a Head, where it has that form.
func headed(in []byte) topic.Data {
	const between = `,"payload":`
	if i := bytes.Index(in, []byte(between)); i > 0 && bytes.HasPrefix(in, []byte(`{"schema":`)) {
		i += len(between)
		return topic.Data{Head: &topic.Head{Bytes: in[:i]}, Body: in[i:]}
	}
	return topic.Data{Body: in}
}

func TestGoldenJSONConverterConfigs(t *testing.T) {
	n := 0
	for _, c := range goldenCases(t, "bad-configs.jsonl") {
		if c.Class != json.Plugin().Class {
			continue
		}
		n++
		_, err := json.ParseOptions(c.Config)
		if c.OK {
			require.NoError(t, err)
		} else {
			require.EqualError(t, err, c.Error[0][1])
		}
	}
	require.NotZero(t, n)
}
