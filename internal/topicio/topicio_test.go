// SPDX-License-Identifier: Apache-2.0

package topicio_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
	"freshet/emitter/topic/local"
	"freshet/internal/store"
	"freshet/internal/topicio"
)

func data(s string) topic.Data { return topic.Data{Body: []byte(s)} }

func TestAppendLine(t *testing.T) {
	head := &topic.Head{ID: 1, Bytes: []byte(`{"schema":null,"payload":`)}
	for _, c := range []struct {
		name string
		in   topic.Data
		want string
	}{
		{"null", topic.Data{}, `null`},
		{"object, as it is", data(`{"b":1.50,"a":[1e3, 2]}`), `{"b":1.50,"a":[1e3, 2]}`},
		{"big number", data(`12345678901234567890`), `12345678901234567890`},
		{"with its head", topic.Data{Head: head, Body: []byte(`{"id":1}}`)}, `{"schema":null,"payload":{"id":1}}`},
		{"JSON null", data(`null`), `null`},
		{"unicode and escapes", data(`"ž\u00e9\n<&>"`), `"ž\u00e9\n<&>"`},
		{"several lines", data("{\n\"a\":\r\n1}"), `{ "a":  1}`},
		{"empty", data(``), `{"$text":""}`},
		{"text", data("a\"b\\c\nd\te\x01ž"), `{"$text":"a\"b\\c\nd\te\u0001ž"}`},
		{"two values", data(`{} {}`), `{"$text":"{} {}"}`},
		{"bytes", data("\xff\x00"), `{"$base64":"/wA="}`},
		{"bytes inside JSON", data("\"\xff\""), `{"$base64":"Iv8i"}`},
		{"looks like a text", data(`{"$text":"x"}`), `{"$text":"{\"$text\":\"x\"}"}`},
		{"looks like bytes", data(`{"$base64":"AA=="}`), `{"$text":"{\"$base64\":\"AA==\"}"}`},
		{"has a member like it", data(`{"$text":"x","y":1}`), `{"$text":"x","y":1}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := topic.Record{Topic: "t", Partition: 2, Offset: 7, TimeMillis: 9, Key: c.in, Value: c.in}
			line := string(topicio.AppendLine(nil, &r))
			require.Equal(t, `{"topic":"t","partition":2,"offset":7,"timestamp":9,"key":`+c.want+`,"value":`+c.want+`,"headers":[]}`+"\n", line)
			require.True(t, json.Valid([]byte(line)))

			back, err := topicio.ParseLine([]byte(line))
			require.NoError(t, err)
			want := c.in.Bytes()
			if c.want == "null" {
				want = nil
			}
			require.Equal(t, strings.NewReplacer("\r", " ", "\n", " ").Replace(string(want)), strings.NewReplacer("\r", " ", "\n", " ").Replace(string(back.Value.Bytes())))
			require.Equal(t, want == nil, back.Key.IsNull())
			require.Equal(t, int32(2), back.Partition)
			require.Equal(t, int64(9), back.TimeMillis)
		})
	}
}

func TestHeaders(t *testing.T) {
	r := topic.Record{Topic: "t", Headers: []topic.Header{{Key: "a", Value: []byte(`{"x":1}`)}, {Key: "n"}, {Key: `q"`, Value: []byte{0xff}}, {Key: "e", Value: []byte{}}}}
	line := topicio.AppendLine(nil, &r)
	require.Contains(t, string(line), `"headers":[["a","{\"x\":1}"],["n",null],["q\"",{"$base64":"/w=="}],["e",""]]`)
	back, err := topicio.ParseLine(line)
	require.NoError(t, err)
	require.Equal(t, r.Headers, back.Headers)
}

func TestParseLineRefuses(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{``, "not a record"},
		{`[]`, "not a record"},
		{`"x"`, "not a record"},
		{`{"value":1} x`, "more text after the object"},
		{`{"vlaue":1}`, `unknown field "vlaue"`},
		{`{"partition":-1}`, "partition -1 is negative"},
		{`{"partition":"0"}`, "not a record"},
		{`{"key":{"$text":1}}`, "key: $text is not a text"},
		{`{"value":{"$base64":"?"}}`, "value: $base64 is not base64"},
		{`{"headers":[["a"]]}`, "a header is [name,text]"},
		{`{"headers":[["a",1]]}`, `value of "a" is not a text`},
		{`{"headers":[[1,"a"]]}`, "name:"},
	} {
		_, err := topicio.ParseLine([]byte(c.line))
		require.ErrorContains(t, err, c.want, c.line)
	}
	r, err := topicio.ParseLine([]byte(`{}`))
	require.NoError(t, err)
	require.Equal(t, topic.Record{Partition: topic.AnyPartition}, r)
}

func FuzzParseLine(f *testing.F) {
	for _, s := range []string{`{}`, `{"key":1,"value":{"$text":"x"}}`, `{"value":{"$base64":"AA=="},"headers":[["a","b"],["c",null]]}`, `{"topic":"t","partition":0,"offset":1,"timestamp":2,"key":null,"value":"\u0000"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := topicio.ParseLine(line)
		if err != nil {
			return
		}
		again := topicio.AppendLine(nil, &r)
		require.True(t, json.Valid(again), "%s", again)
		require.Equal(t, 1, bytes.Count(again, []byte("\n")), "one record is one line")
		if r.Partition < 0 {
			return // has no line form
		}
		back, err := topicio.ParseLine(again)
		require.NoError(t, err, "%s", again)
		require.Equal(t, again, topicio.AppendLine(nil, &back))
	})
}

func newLog(t *testing.T) *local.Log {
	t.Helper()
	db, err := store.Open("data", store.Options{FS: vfs.NewMem()})
	require.NoError(t, err)
	log, err := local.Open(db, local.Options{RetentionInterval: -1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, errors.Join(log.Close(context.WithoutCancel(t.Context())), db.Close())) })
	return log
}

func produce(t *testing.T, log topic.Log, name string, lines ...string) {
	t.Helper()
	n, err := topicio.Produce(t.Context(), log, name, strings.NewReader(strings.Join(lines, "\n")))
	require.NoError(t, err)
	require.Equal(t, len(lines), n)
}

func tailed(t *testing.T, log topic.Log, o topicio.TailOptions) []string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, topicio.Tail(t.Context(), log, o, &out, func() error { return nil }))
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
}

func TestTail(t *testing.T) {
	log := newLog(t)
	require.NoError(t, log.Create(t.Context(), topic.Spec{Name: "t", Partitions: 3}))
	all := topicio.TailOptions{Topic: "t", Partition: topic.AnyPartition, FromBeginning: true, ExitAtEnd: true}
	require.Equal(t, []string{""}, tailed(t, log, all), "an empty topic is at its end")
	var lines []string
	for range 700 { // more than one poll
		lines = append(lines, `{"partition":0,"timestamp":1,"value":1}`, `{"partition":2,"timestamp":1,"value":2}`)
	}
	produce(t, log, "t", lines...)
	require.Len(t, tailed(t, log, all), 1400)
	one := all
	one.Partition = 2
	got := tailed(t, log, one)
	require.Len(t, got, 700)
	require.Equal(t, `{"topic":"t","partition":2,"offset":699,"timestamp":1,"key":null,"value":2,"headers":[]}`, got[699])
	one.Partition = 1
	require.Equal(t, []string{""}, tailed(t, log, one), "an empty partition is at its end")
	end := all
	end.FromBeginning = false
	require.Equal(t, []string{""}, tailed(t, log, end))

	for _, o := range []topicio.TailOptions{{Topic: "none", Partition: topic.AnyPartition}, {Topic: "t", Partition: 3}} {
		err := topicio.Tail(t.Context(), log, o, io.Discard, func() error { return nil })
		require.ErrorIs(t, err, topicio.ErrNoTopic)
	}
}

// What comes after the start of a tail that ends at the end is not told, whichever partition it comes to.
func TestTailEndsWhereTheTopicEnded(t *testing.T) {
	log := newLog(t)
	require.NoError(t, log.Create(t.Context(), topic.Spec{Name: "t", Partitions: 2}))
	produce(t, log, "t", `{"partition":0,"value":1}`, `{"partition":1,"value":1}`)
	late := &listThenProduce{Log: log, after: func() { produce(t, log, "t", `{"partition":0,"value":9}`, `{"partition":1,"value":9}`) }}
	got := tailed(t, late, topicio.TailOptions{Topic: "t", Partition: topic.AnyPartition, FromBeginning: true, ExitAtEnd: true})
	require.Len(t, got, 2)
	for _, line := range got {
		require.Contains(t, line, `"value":1`)
	}
}

// listThenProduce is a log that gets records between List and Subscribe.
type listThenProduce struct {
	topic.Log
	after func()
}

func (l *listThenProduce) List(ctx context.Context) ([]topic.Info, error) {
	infos, err := l.Log.List(ctx)
	l.after()
	return infos, err
}

func TestTailTellsWriteErrors(t *testing.T) {
	log := newLog(t)
	produce(t, log, "t", `{"value":1}`)
	full := errors.New("pipe is closed")
	r, w := io.Pipe()
	require.NoError(t, r.CloseWithError(full))
	o := topicio.TailOptions{Topic: "t", Partition: topic.AnyPartition, FromBeginning: true}
	require.ErrorIs(t, topicio.Tail(t.Context(), log, o, w, func() error { return nil }), full)
	require.ErrorIs(t, topicio.Tail(t.Context(), log, o, io.Discard, func() error { return full }), full)
}

func TestProduce(t *testing.T) {
	log := newLog(t)
	require.NoError(t, log.Create(t.Context(), topic.Spec{Name: "two", Partitions: 2}))
	for _, c := range []struct {
		name, topic, lines string
		n                  int
		want               string
	}{
		{"none", "a", "\n\n", 0, ""},
		{"new topic", "a", `{"value":1}` + "\r\n\n" + `{"value":2}`, 2, ""},
		{"of another topic", "two", `{"topic":"a","partition":1,"offset":99,"timestamp":5,"key":"k","value":1,"headers":[]}`, 1, ""},
		{"bad line", "two", "{\"value\":1}\n{\"value\":2}\nx\n", 2, "line 3: not a record"},
		{"no such partition", "two", `{"partition":2}`, 0, `line 1: partition 2: topic "two" has 2 partition(s)`},
		{"bad name", "a b", `{}`, 0, "not a name for a topic"},
		{"dots", "..", `{}`, 0, "not a name for a topic"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := topicio.Produce(t.Context(), log, c.topic, strings.NewReader(c.lines))
			require.Equal(t, c.n, n)
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := topicio.Produce(ctx, log, "a", strings.NewReader(`{}`))
	require.ErrorIs(t, err, context.Canceled)
}

func TestList(t *testing.T) {
	log := newLog(t)
	produce(t, log, "b", `{}`)
	require.NoError(t, log.Create(t.Context(), topic.Spec{Name: "a", Partitions: 2}))
	topics, err := topicio.List(t.Context(), log)
	require.NoError(t, err)
	text, err := json.Marshal(topics)
	require.NoError(t, err)
	require.Equal(t, `[{"topic":"a","partitions":[{"partition":0,"start":0,"end":0},{"partition":1,"start":0,"end":0}]},{"topic":"b","partitions":[{"partition":0,"start":0,"end":1}]}]`, string(text))
	var out strings.Builder
	require.NoError(t, topicio.WriteTable(&out, topics))
	require.Equal(t, "TOPIC  PARTITION  START  END  RECORDS\na      0          0      0    0\na      1          0      0    0\nb      0          0      1    1\n", out.String())
}
