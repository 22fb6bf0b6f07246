// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter"
	"freshet/emitter/avro"
	"freshet/emitter/emittertest"
	"freshet/emitter/jsonschema"
	"freshet/emitter/protobuf"
	"freshet/emitter/topic"
	"freshet/internal/testdb"
	"freshet/schema"
	"freshet/sinks"
	"freshet/test/notation"
)

// registeredFormat is a format with its decoder, made of properties.
type registeredFormat func(t *testing.T, properties map[string]string) (emitter.RowFormat, sinks.Side)

var registeredFormats = map[string]registeredFormat{
	"AVRO": func(t *testing.T, properties map[string]string) (emitter.RowFormat, sinks.Side) {
		o, err := avro.ParseOptions(properties, false)
		require.NoError(t, err)
		f, err := avro.New(o)
		require.NoError(t, err)
		return f, avro.NewSide(o, f)
	},
	"JSON": func(t *testing.T, properties map[string]string) (emitter.RowFormat, sinks.Side) {
		o, err := jsonschema.ParseOptions(properties, false)
		require.NoError(t, err)
		f, err := jsonschema.New(o)
		require.NoError(t, err)
		return f, jsonschema.NewSide(o, f)
	},
	"PROTOBUF": func(t *testing.T, properties map[string]string) (emitter.RowFormat, sinks.Side) {
		o, err := protobuf.ParseOptions(properties, false)
		require.NoError(t, err)
		f, err := protobuf.New(o)
		require.NoError(t, err)
		return f, protobuf.NewSide(o, f)
	},
}

// askRegistry is the answer of the registry to a request, with its status.
func askRegistry(t *testing.T, method, url string, body any) (int, map[string]any) {
	t.Helper()
	text, err := json.Marshal(body)
	require.NoError(t, err)
	q, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(text))
	require.NoError(t, err)
	q.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(q)
	require.NoError(t, err)
	defer func() { require.NoError(t, answer.Body.Close()) }()
	out := map[string]any{}
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&out))
	return answer.StatusCode, out
}

// TestRegistry has each format write and read with a real registry: it takes the schemas, and gives back what can be read.
func TestRegistry(t *testing.T) {
	url := testdb.Registry(t)
	unique := strconv.FormatUint(rand.Uint64(), 36)
	for kind, make := range registeredFormats {
		t.Run(kind, func(t *testing.T) {
			at := func(more ...string) map[string]string {
				out := map[string]string{"schema.registry.url": url}
				for i := 0; i < len(more); i += 2 {
					out[more[i]] = more[i+1]
				}
				return out
			}
			envelope := emittertest.Persons()
			envelope.Topic = kind + "-" + unique
			random := rand.New(rand.NewPCG(1, 2))
			var b change.Batch
			const now = 1795256130340512000
			write := func(properties map[string]string) (topic.Data, error) {
				f, _ := make(t, properties)
				e, err := f.CompileEnvelope(envelope)
				require.NoError(t, err)
				c := emittertest.RandomChange(random, &b, envelope)
				if kind == "PROTOBUF" { // which has no null in arrays
					c.Before, c.After = change.Row{}, change.Row{}
				}
				body, err := e.AppendValue([]byte{}, &b, &c, now)
				return topic.Data{Head: e.Head(), Body: body}, err
			}
			_, err := write(at("auto.register.schemas", "false"))
			require.ErrorContains(t, err, envelope.Topic+"-value")
			first, err := write(at())
			require.NoError(t, err)
			for _, properties := range []map[string]string{
				at(), at("normalize.schemas", "true"), at("auto.register.schemas", "false"), at("auto.register.schemas", "false", "use.latest.version", "true"),
			} {
				data, err := write(properties)
				require.NoError(t, err, properties)
				require.Equal(t, first.Head.Bytes, data.Head.Bytes, properties)
				_, side := make(t, at())
				typ, v, err := side.DecodeData(&b, envelope.Topic, data)
				require.NoError(t, err)
				require.Equal(t, schema.Struct, typ.Kind)
				require.Equal(t, change.Struct, v.Kind())
				require.Len(t, typ.Fields, len(envelope.Type.Fields))
				for i, f := range envelope.Type.Fields {
					require.Equal(t, f.Name, typ.Fields[i].Name)
				}
			}
			status, answer := askRegistry(t, http.MethodGet, url+"/subjects/"+envelope.Topic+"-value/versions/latest", nil)
			require.Equal(t, http.StatusOK, status)
			require.Equal(t, kind, answer["schemaType"])
			require.EqualValues(t, 1, answer["version"])
		})
	}
}

// TestRegistryForeignReferences reads a message by a schema of others that refers to another subject's.
func TestRegistryForeignReferences(t *testing.T) {
	url := testdb.Registry(t)
	unique := strconv.FormatUint(rand.Uint64(), 36)
	for _, c := range []struct{ kind, name, referred, text, body, want string }{
		{
			"AVRO", "x.Addr", `{"type":"record","name":"Addr","namespace":"x","fields":[{"name":"street","type":"string"}]}`,
			`{"type":"record","name":"P","namespace":"x","fields":[{"name":"a","type":"x.Addr"}]}`, "\x02s", `7{7{text "s"}}`,
		},
		{
			"JSON", "addr.json", `{"type":"object","properties":{"street":{"type":"string"}}}`,
			`{"type":"object","properties":{"a":{"$ref":"addr.json"}}}`, `{"a":{"street":"s"}}`, `7{7{text "s"}}`,
		},
		{
			"PROTOBUF", "addr.proto", "syntax = \"proto3\";\npackage x;\nmessage Addr { string street = 1; }\n",
			"syntax = \"proto3\";\nimport \"addr.proto\";\nmessage P { x.Addr a = 1; }\n", "\x00\x0a\x03\x0a\x01s", `7{7{text "s"}}`,
		},
	} {
		t.Run(c.kind, func(t *testing.T) {
			post := func(subject string, body map[string]any) uint32 {
				t.Helper()
				body["schemaType"] = c.kind
				status, answer := askRegistry(t, http.MethodPost, url+"/subjects/"+subject+"/versions", body)
				require.Equal(t, http.StatusOK, status, answer)
				return uint32(answer["id"].(float64))
			}
			referred := "ref-" + c.kind + unique
			post(referred, map[string]any{"schema": c.referred})
			id := post("of-"+c.kind+unique, map[string]any{"schema": c.text, "references": []any{map[string]any{"name": c.name, "subject": referred, "version": 1}}})
			_, side := registeredFormats[c.kind](t, map[string]string{"schema.registry.url": url})
			wire := append([]byte{0, byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}, c.body...)
			var b change.Batch
			_, v, err := side.DecodeData(&b, "t", topic.Data{Body: wire})
			require.NoError(t, err)
			require.Equal(t, c.want, notation.Render(&b, v))
		})
	}
}

// TestRegistryRefusesWhatIsIncompatible: an error of the data, not one that passes by itself.
func TestRegistryRefusesWhatIsIncompatible(t *testing.T) {
	url := testdb.Registry(t)
	name := "evolving-" + strconv.FormatUint(rand.Uint64(), 36)
	var b change.Batch
	write := func(kind schema.Kind, v change.Value) error {
		f, _ := registeredFormats["AVRO"](t, map[string]string{"schema.registry.url": url})
		e, err := f.(emitter.TopicFormat).CompileFor(name, &schema.Type{Kind: schema.Struct, Name: "x.R", Fields: []schema.Field{{Name: "f", Type: &schema.Type{Kind: kind}}}})
		require.NoError(t, err)
		_, _, err = e.Append(nil, &b, notation.Run(&b, change.Struct, []change.Value{v}))
		return err
	}
	require.NoError(t, write(schema.Int32, change.IntValue(1)))
	status, _ := askRegistry(t, http.MethodPut, url+"/config/"+name+"-value", map[string]any{"compatibility": "BACKWARD"})
	require.Equal(t, http.StatusOK, status)
	err := write(schema.String, b.Text("x"))
	require.ErrorContains(t, err, "status 409")
	var retriable interface{ Retriable() bool }
	require.ErrorAs(t, err, &retriable)
	require.False(t, retriable.Retriable())
	require.NoError(t, write(schema.Int64, change.IntValue(1)))
}
