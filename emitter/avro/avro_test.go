// SPDX-License-Identifier: Apache-2.0

package avro

import (
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter"
	"freshet/emitter/confluent"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/schema/registry/registrytest"
	"freshet/test/notation"
)

var point = &schema.Type{Kind: schema.Struct, Name: "a.b.Point", Fields: []schema.Field{
	{Name: "x", Type: &schema.Type{Kind: schema.Int32}},
	{Name: "label", Type: &schema.Type{Kind: schema.String, Optional: true}},
	{Name: "f", Type: &schema.Type{Kind: schema.Float64, Default: 1.5}},
}}

func pointIn(b *change.Batch) change.Value {
	return notation.Run(b, change.Struct, []change.Value{change.IntValue(7), b.Text("p"), change.NullValue()})
}

func newFormat(t testing.TB, properties map[string]string, key bool) (*Format, *Side) {
	t.Helper()
	o, err := ParseOptions(properties, key)
	require.NoError(t, err)
	f, err := New(o)
	require.NoError(t, err)
	return f, NewSide(o, f)
}

// encode is the message of a value.
func encode(t testing.TB, f *Format, name string, typ *schema.Type, b *change.Batch, v change.Value) (topic.Data, error) {
	t.Helper()
	e, err := f.CompileFor(name, typ)
	require.NoError(t, err)
	body, ok, err := e.Append([]byte{}, b, v)
	if err != nil || !ok {
		return topic.Data{}, err
	}
	return topic.Data{Head: e.Head(), Body: body}, nil
}

// A schema is registered once, with the first value, and asked for once; the message is read back from its bytes and from
// head and body.
func TestRoundTrip(t *testing.T) {
	r := registrytest.New(t)
	f, side := newFormat(t, map[string]string{"schema.registry.url": r.URL}, false)
	var b change.Batch
	_, err := f.CompileFor("t", point)
	require.NoError(t, err)
	require.Empty(t, r.Asked(), "nothing is registered that nothing is written by")
	var data topic.Data
	for range 3 {
		data, err = encode(t, f, "t", point, &b, pointIn(&b))
		require.NoError(t, err)
	}
	require.Equal(t, []string{"POST /subjects/t-value/versions"}, r.Asked())
	require.Equal(t, "0000000001"+"0e020270"+"000000000000f83f", hex.EncodeToString(data.Bytes()))

	for _, d := range []topic.Data{data, {Body: data.Bytes()}} {
		typ, v, err := side.DecodeData(&b, "t", d)
		require.NoError(t, err)
		require.Equal(t, point, typ)
		require.Equal(t, `7{int 7; text "p"; float 1.5}`, notation.Render(&b, v))
	}
	require.Len(t, r.Asked(), 2)
	typ, v, err := side.DecodeData(&b, "t", topic.Data{})
	require.NoError(t, err)
	require.Nil(t, typ)
	require.True(t, v.IsNull())
}

func TestSubjects(t *testing.T) {
	const prefix = "io.confluent.kafka.serializers.subject."
	for _, c := range []struct {
		strategy, want string
		key            bool
	}{
		{"TopicNameStrategy", "t-value", false},
		{"TopicNameStrategy", "t-key", true},
		{"RecordNameStrategy", "a.b.Point", false},
		{"TopicRecordNameStrategy", "t-a.b.Point", true},
	} {
		r := registrytest.New(t)
		f, _ := newFormat(t, map[string]string{
			"schema.registry.url": r.URL, "key.subject.name.strategy": prefix + c.strategy, "value.subject.name.strategy": prefix + c.strategy,
		}, c.key)
		var b change.Batch
		_, err := encode(t, f, "t", point, &b, pointIn(&b))
		require.NoError(t, err)
		require.Contains(t, r.Subjects(), c.want)
		_, err = encode(t, f, "t", &schema.Type{Kind: schema.String}, &b, b.Text("x"))
		if strings.Contains(c.strategy, "Record") {
			require.ErrorContains(t, err, "needs a record")
		} else {
			require.NoError(t, err)
		}
	}
}

func TestLookups(t *testing.T) {
	r := registrytest.New(t)
	var b change.Batch
	own := map[string]string{"schema.registry.url": r.URL, "auto.register.schemas": "false"}
	f, _ := newFormat(t, own, false)
	_, err := encode(t, f, "t", point, &b, pointIn(&b))
	require.ErrorContains(t, err, "Failed to serialize Avro data from topic t : look up the schema of subject \"t-value\" in the registry: Subject 't-value' not found.")
	require.False(t, temporary(err))

	all, _ := newFormat(t, map[string]string{"schema.registry.url": r.URL}, false)
	want, err := encode(t, all, "t", point, &b, pointIn(&b))
	require.NoError(t, err)
	got, err := encode(t, f, "t", point, &b, pointIn(&b))
	require.NoError(t, err)
	require.Equal(t, want.Bytes(), got.Bytes())

	// The latest version serves what has the same fields, whatever its properties.
	bare := *point
	bare.Version = 3
	own["use.latest.version"] = "true"
	latest, _ := newFormat(t, own, false)
	got, err = encode(t, latest, "t", &bare, &b, pointIn(&b))
	require.NoError(t, err)
	require.Equal(t, want.Bytes(), got.Bytes())
	other := &schema.Type{Kind: schema.Struct, Name: "a.b.Point", Fields: point.Fields[:1]}
	_, err = encode(t, latest, "t", other, &b, notation.Run(&b, change.Struct, []change.Value{change.IntValue(1)}))
	require.ErrorContains(t, err, "has other fields")
}

func temporary(err error) bool {
	for err != nil {
		if t, ok := err.(interface{ Temporary() bool }); ok {
			return t.Temporary()
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return false
		}
		err = u.Unwrap()
	}
	return false
}

// What the registry refuses is final; where it is away, another attempt may find it. A failure is not kept.
func TestRegistryFails(t *testing.T) {
	r := registrytest.New(t)
	f, side := newFormat(t, map[string]string{"schema.registry.url": r.URL}, false)
	var b change.Batch
	for status, passes := range map[int]bool{409: false, 401: false, 422: false, 503: true, 500: true, 429: true} {
		r.Answer(func(w http.ResponseWriter, _ *http.Request) bool {
			registrytest.Fail(w, status, status, "no")
			return true
		})
		_, err := encode(t, f, "t", point, &b, pointIn(&b))
		require.ErrorContains(t, err, `register the schema of subject "t-value": no (status `)
		require.Equal(t, passes, temporary(err), status)
		_, _, err = side.DecodeData(&b, "t", topic.Data{Body: []byte{0, 0, 0, 0, 9, 2}})
		require.ErrorContains(t, err, "Failed to deserialize data for topic t to Avro: ask the registry for schema 9: no")
		require.Equal(t, passes, temporary(err), status)
	}
	r.Answer(nil)
	_, err := encode(t, f, "t", point, &b, pointIn(&b))
	require.NoError(t, err)

	gone := httptest.NewServer(nil)
	gone.Close()
	away, _ := newFormat(t, map[string]string{"schema.registry.url": gone.URL}, false)
	_, err = encode(t, away, "t", point, &b, pointIn(&b))
	require.True(t, temporary(err), err)
	both, _ := newFormat(t, map[string]string{"schema.registry.url": gone.URL + "," + r.URL}, false)
	_, err = encode(t, both, "t", point, &b, pointIn(&b))
	require.NoError(t, err, "the second address answers")
}

func TestAuthentication(t *testing.T) {
	r := registrytest.New(t)
	got := ""
	r.Answer(func(_ http.ResponseWriter, q *http.Request) bool {
		got = q.Header.Get("Authorization")
		return false
	})
	var b change.Batch
	withUser := strings.Replace(r.URL, "http://", "http://u:p@", 1)
	for _, properties := range []map[string]string{
		{"schema.registry.url": withUser},
		{"schema.registry.url": r.URL, "basic.auth.credentials.source": "USER_INFO", "basic.auth.user.info": "u:p"},
		{"schema.registry.url": r.URL, "bearer.auth.credentials.source": "STATIC_TOKEN", "bearer.auth.token": "tok"},
	} {
		f, _ := newFormat(t, properties, false)
		_, err := encode(t, f, "t", point, &b, pointIn(&b))
		require.NoError(t, err)
		if properties["bearer.auth.token"] != "" {
			require.Equal(t, "Bearer tok", got)
		} else {
			require.Equal(t, "Basic dTpw", got)
		}
	}
	_, err := ParseOptions(map[string]string{"schema.registry.url": r.URL, "basic.auth.credentials.source": "USER_INFO", "basic.auth.user.info": "u"}, false)
	require.ErrorContains(t, err, "USER:PASSWORD")
}

func TestOptionsAreRefused(t *testing.T) {
	for want, properties := range map[string]map[string]string{
		`Missing required configuration "schema.registry.url" which has no default value.`: {},
		"is no http or https URL":                                {"schema.registry.url": "ftp://u:pass@x"},
		"not served yet: use one of TopicNameStrategy":           {"schema.registry.url": "http://x", "value.subject.name.strategy": "a.Own"},
		"not served yet: unions and enums in their general form": {"schema.registry.url": "http://x", "generalized.sum.type.support": "true"},
		"Expected value to be either true or false":              {"schema.registry.url": "http://x", "connect.meta.data": "maybe"},
		"not served yet: give user and password by USER_INFO":    {"schema.registry.url": "http://x", "basic.auth.credentials.source": "SASL_INHERIT"},
	} {
		_, err := ParseOptions(properties, false)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "pass@")
	}
}

// Bytes at the top have no length; an optional value has its branch; null has no message.
func TestTopLevel(t *testing.T) {
	r := registrytest.New(t)
	f, side := newFormat(t, map[string]string{"schema.registry.url": r.URL}, false)
	var b change.Batch
	for _, c := range []struct {
		typ  *schema.Type
		v    change.Value
		want string
	}{
		{&schema.Type{Kind: schema.Bytes}, b.BytesOf([]byte{1, 2}), "0102"},
		{&schema.Type{Kind: schema.Bytes, Optional: true}, b.BytesOf([]byte{1, 2}), "02040102"},
		{&schema.Type{Kind: schema.String}, b.Text("a"), "0261"},
		{nil, change.IntValue(5), "0000000000020a000000"},
	} {
		data, err := encode(t, f, "t", c.typ, &b, c.v)
		require.NoError(t, err)
		require.Equal(t, c.want, hex.EncodeToString(data.Body))
		typ, v, err := side.DecodeData(&b, "t", data)
		require.NoError(t, err)
		require.Equal(t, c.typ, typ)
		require.Equal(t, notation.Render(&b, c.v), notation.Render(&b, v))
	}
	data, err := encode(t, f, "t", &schema.Type{Kind: schema.String, Optional: true}, &b, change.NullValue())
	require.NoError(t, err)
	require.True(t, data.IsNull())
	_, err = encode(t, f, "t", point, &b, change.NullValue())
	require.ErrorContains(t, err, requiredNull)
	_, err = f.Compile(point)
	require.Error(t, err)
}

// TestGoldenAvroWire reads the messages of a real Debezium by the schemas of a real registry, and writes them again.
func TestGoldenAvroWire(t *testing.T) {
	r := registrytest.New(t)
	f, side := newFormat(t, map[string]string{"schema.registry.url": r.URL}, false)
	type message struct{ Hex *string }
	ids, n := map[int]string{}, 0
	for _, line := range notation.Lines(t, "connect/avro/wire/debezium-postgres-records.jsonl") {
		var c struct {
			ID         int
			Response   struct{ Schema string }
			Connect    json.RawMessage
			Key, Value *message
		}
		require.NoError(t, json.Unmarshal(line, &c))
		if c.ID != 0 {
			r.Put(c.ID, c.Response.Schema)
			ids[c.ID] = c.Response.Schema
			a, err := parseSchema([]byte(c.Response.Schema))
			require.NoError(t, err)
			p, err := toConnect(a, &f.options, 0)
			require.NoError(t, err)
			require.Equal(t, notation.Type(t, c.Connect), p.typ)
		}
		for _, m := range []*message{c.Key, c.Value} {
			if m == nil || m.Hex == nil {
				continue
			}
			wire, err := hex.DecodeString(*m.Hex)
			require.NoError(t, err)
			var b change.Batch
			typ, v, err := side.DecodeData(&b, "t", topic.Data{Body: wire})
			require.NoError(t, err)
			data, err := encode(t, f, "t", typ, &b, v)
			require.NoError(t, err)
			require.Equal(t, *m.Hex, hex.EncodeToString(data.Bytes()), "the schema is known to the registry by its text")
			n++
		}
	}
	require.NotZero(t, n)
}

// TestGoldenAvroMessages are whole messages of a converter in Confluent's layout; ids are the registry's.
func TestGoldenAvroMessages(t *testing.T) {
	unlike := map[string]string{
		"schemaless map":                        "integers without a schema are longs here",
		"decimal at top":                        "Confluent writes bytes at the top without their length; the recorded converter is another one",
		"no auto registration, unknown subject": "the recorded converter's own message; TestLookups has ours",
		"empty":                                 "the recorded converter fails in a buffer; TestBadMessages has ours", "body too short": "see empty", "unknown id": "see empty",
	}
	r := registrytest.New(t)
	r.Put(7, `{"type":"record","name":"R","namespace":"a.b","fields":[{"name":"id","type":"int"},{"name":"t","type":["null","string"],"default":null}]}`)
	n := 0
	for _, line := range notation.Lines(t, "connect/avro/wire/converter-as-confluent.jsonl") {
		var c struct {
			Title, Topic, Op string
			IsKey            bool
			Config           map[string]string
			Schema, Value    json.RawMessage
			Hex, In          *string
			Error            [][2]string
		}
		require.NoError(t, json.Unmarshal(line, &c))
		if unlike[c.Title] != "" {
			continue
		}
		n++
		properties := map[string]string{"schema.registry.url": r.URL}
		for k, v := range c.Config {
			if !strings.HasPrefix(k, "apicurio.") {
				properties[k] = v
			}
		}
		f, side := newFormat(t, properties, c.IsKey)
		var b change.Batch
		typ := notation.Type(t, c.Schema)
		if c.Op == "fromConnectData" {
			data, err := encode(t, f, c.Topic, typ, &b, notation.Value(t, &b, typ, c.Value))
			require.NoError(t, err, c.Title)
			require.Equal(t, c.Hex == nil, data.IsNull(), c.Title)
			if c.Hex != nil {
				require.Equal(t, (*c.Hex)[2*confluent.HeadBytes:], hex.EncodeToString(data.Body), c.Title)
			}
			continue
		}
		var wire []byte
		if c.In != nil {
			var err error
			wire, err = hex.DecodeString(*c.In)
			require.NoError(t, err)
		}
		got, v, err := side.DecodeData(&b, c.Topic, topic.Data{Body: wire})
		if c.Error != nil {
			require.ErrorContains(t, err, c.Error[0][1], c.Title)
			continue
		}
		require.NoError(t, err, c.Title)
		require.Equal(t, typ, got, c.Title)
		require.Equal(t, notation.Render(&b, notation.Value(t, &b, typ, c.Value)), notation.Render(&b, v), c.Title)
	}
	require.Greater(t, n, 6)
}

func TestBadMessages(t *testing.T) {
	r := registrytest.New(t)
	r.Put(1, `{"type":"record","name":"R","fields":[{"name":"s","type":"string"},{"name":"a","type":{"type":"array","items":"null_"}}]}`)
	r.Put(2, `"string"`)
	r.Put(3, `{"type":"array","items":"int"}`)
	r.Put(4, `["null","int"]`)
	_, side := newFormat(t, map[string]string{"schema.registry.url": r.URL}, false)
	var b change.Batch
	for wire, want := range map[string]string{
		"":                     "Unknown magic byte!",
		"7b7d":                 "Unknown magic byte!",
		"0100000002":           "Unknown magic byte!",
		"000000000100":         `schema 1: Undefined name: "null_"`,
		"0000000002":           "ends before its value does",
		"000000000208":         "ends before its value does",
		"000000000201":         "ends before its value does",
		"0000000003feffffff0f": "more items",
		"000000000404":         "no such branch",
	} {
		p, err := hex.DecodeString(wire)
		require.NoError(t, err)
		_, _, err = side.DecodeData(&b, "t", topic.Data{Body: append([]byte{}, p...)})
		require.ErrorContains(t, err, want, wire)
		var data *emitter.DataError
		require.ErrorAs(t, err, &data)
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	r := registrytest.New(t)
	f, _ := newFormat(t, map[string]string{"schema.registry.url": r.URL}, false)
	var b change.Batch
	v := pointIn(&b)
	e, err := f.CompileFor("t", point)
	require.NoError(t, err)
	dst := make([]byte, 0, 256)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if dst, _, err = e.Append(dst[:0], &b, v); err != nil {
			t.Error(err)
		}
	}))
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"type":"record","name":"R","fields":[{"name":"s","type":["null","string"]},{"name":"m","type":{"type":"map","values":"int"}}]}`), []byte{2, 2, 97, 2, 2, 98, 2, 0})
	f.Add([]byte(`["int",{"type":"enum","name":"E","symbols":["A"]}]`), []byte{2, 0})
	f.Add([]byte(`{"type":"fixed","name":"F","size":2}`), []byte{1, 2})
	f.Fuzz(func(t *testing.T, text, wire []byte) {
		a, err := parseSchema(text)
		if err != nil {
			return
		}
		p, err := toConnect(a, &Options{MetaData: true}, 0)
		if err != nil {
			return
		}
		var b change.Batch
		r := reader{b: &b, p: wire}
		_, _ = r.value(p) // what it says is of no interest: it must end, and not panic
	})
}
