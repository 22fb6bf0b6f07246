// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/emitter/topic"
	"freshet/emitter/topic/kafka"
)

func requireMark(t testing.TB, s kafka.MarkStore, key, want string) {
	t.Helper()
	got, err := s.LoadMark(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func put(t testing.TB, s kafka.MarkStore, key, value string) {
	t.Helper()
	require.NoError(t, s.PutMarks(t.Context(), []topic.Mark{{Key: key, Value: value}}))
}

func requireMarks(t testing.TB, s kafka.MarkStore, prefix string, want ...topic.Mark) {
	t.Helper()
	got, err := s.Marks(t.Context(), prefix)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestOffsetsAreShared(t *testing.T) {
	fake := newFake(t)
	o := optionsFor("positions", fake.ListenAddrs()...)
	a, b := startOffsets(t, o), startOffsets(t, o)
	requireMark(t, a, `["c",{"s":"1"}]`, "")
	put(t, a, `["c",{"s":"1"}]`, `{"lsn":1}`)
	put(t, a, `["c2",{"s":"1"}]`, `{"lsn":9}`)
	requireMark(t, b, `["c",{"s":"1"}]`, `{"lsn":1}`)
	put(t, b, `["c",{"s":"1"}]`, `{"lsn":2}`)
	put(t, b, `["c",{"s":"0"}]`, `{"lsn":3}`)
	requireMarks(t, a, `["c",`, topic.Mark{Key: `["c",{"s":"0"}]`, Value: `{"lsn":3}`}, topic.Mark{Key: `["c",{"s":"1"}]`, Value: `{"lsn":2}`})
	require.NoError(t, a.DeleteMark(t.Context(), `["c",{"s":"1"}]`))
	require.NoError(t, a.DeleteMark(t.Context(), `["c",{"s":"never"}]`))
	requireMark(t, b, `["c",{"s":"1"}]`, "")
	requireMarks(t, b, `["c",`, topic.Mark{Key: `["c",{"s":"0"}]`, Value: `{"lsn":3}`})
}

// A partition whose members stand in another order, as Java's map may have them, is the same; its key stays what it was, so
// that there is one position of it and Kafka Connect goes on with the same one.
func TestKeysThatMeanTheSame(t *testing.T) {
	fake := newFake(t)
	o := optionsFor("alias", fake.ListenAddrs()...)
	s := startOffsets(t, o)
	const java, ours = `["c",{"b":1,"a":"x"}]`, `["c",{"a":"x","b":1}]`
	require.NoError(t, s.journal.write(t.Context(), record(java, []byte(`{"n":1}`))))
	requireMark(t, s, ours, `{"n":1}`)
	put(t, s, ours, `{"n":2}`)
	requireMark(t, s, java, `{"n":2}`)
	for _, r := range raw(t, o.Offsets.Name, fake.ListenAddrs()...) {
		require.Equal(t, java, string(r.Key))
	}
	require.NoError(t, s.journal.write(t.Context(), record(ours, []byte(`{"n":3}`))), "somebody writes the other one all the same")
	requireMark(t, s, ours, `{"n":3}`)
	require.NoError(t, s.DeleteMark(t.Context(), ours))
	requireMark(t, s, ours, "")
	requireMark(t, s, java, "")
	requireMarks(t, s, `["c",`)
}

// Names are written as Kafka Connect writes them, and told as they are asked for.
func TestNamesInKeys(t *testing.T) {
	fake := newFake(t)
	o := optionsFor("names", fake.ListenAddrs()...)
	s := startOffsets(t, o)
	const ours = `["\u2028😀",{"s":"1"}]`
	put(t, s, ours, `{"n":1}`)
	require.Equal(t, "[\"\u2028\\uD83D\\uDE00\",{\"s\":\"1\"}]", string(raw(t, o.Offsets.Name, fake.ListenAddrs()...)[0].Key))
	requireMark(t, s, ours, `{"n":1}`)
	requireMarks(t, s, `["\u2028😀",`, topic.Mark{Key: ours, Value: `{"n":1}`})
}

func TestOffsetRecordsThatAreIgnored(t *testing.T) {
	fake := newFake(t)
	s := startOffsets(t, optionsFor("oddities", fake.ListenAddrs()...))
	for _, r := range []struct{ key, value string }{{"x", "{}"}, {`["c"]`, "{}"}, {`[1,{}]`, "{}"}, {`["c",{}]`, "{"}, {`["c",{}] x`, "{}"}} {
		require.NoError(t, s.journal.write(t.Context(), record(r.key, []byte(r.value))))
	}
	requireMarks(t, s, `["c",`)
	require.ErrorContains(t, s.PutMarks(t.Context(), []topic.Mark{{Key: "x", Value: "{}"}}), "is no key of one")
	require.ErrorContains(t, s.DeleteMark(t.Context(), "x"), "is no key of one")
	put(t, s, `["c",null]`, `{"n":1}`) // as Kafka Connect writes where a partition is null
	requireMark(t, s, `["c",null]`, `{"n":1}`)
}

// While the topic is gone nothing is lost in silence: positions cannot be stored, and once it is there again they can.
func TestOffsetsTopicThatIsDeleted(t *testing.T) {
	fake := newFake(t)
	o := optionsFor("deleted", fake.ListenAddrs()...)
	s := startOffsets(t, o)
	put(t, s, `["c",{}]`, `{"n":1}`)
	admin := adminOf(t, fake.ListenAddrs()...)
	_, err := admin.DeleteTopic(t.Context(), o.Offsets.Name)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	require.ErrorContains(t, s.PutMarks(ctx, []topic.Mark{{Key: `["c",{}]`, Value: `{"n":2}`}}), "it was deleted: create it again")
	_, err = admin.CreateTopic(t.Context(), 25, 1, map[string]*string{"cleanup.policy": new("compact")}, o.Offsets.Name)
	require.NoError(t, err)
	waitFor(t, "positions are stored again", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		return s.PutMarks(ctx, []topic.Mark{{Key: `["c",{}]`, Value: `{"n":3}`}}) == nil
	})
	waitFor(t, "and read", func() bool {
		got, err := s.LoadMark(t.Context(), `["c",{}]`)
		return err == nil && got == `{"n":3}`
	})
}

func TestOwnOffsets(t *testing.T) {
	fake := newFake(t)
	o := optionsFor("own", fake.ListenAddrs()...)
	worker := startOffsets(t, o)
	put(t, worker, `["c",{"s":"1"}]`, `{"n":1}`)
	put(t, worker, `["c",{"s":"2"}]`, `{"n":1}`)
	o.Offsets = Topic{Name: "mine", Partitions: 3, Replication: 1}
	own := NewOwnOffsets(o, worker)
	t.Cleanup(func() { own.Close(context.Background()) })
	requireMark(t, own, `["c",{"s":"1"}]`, `{"n":1}`)
	put(t, own, `["c",{"s":"1"}]`, `{"n":2}`)
	requireMark(t, own, `["c",{"s":"1"}]`, `{"n":2}`)
	requireMark(t, worker, `["c",{"s":"1"}]`, `{"n":2}`)
	requireMarks(t, own, `["c",`, topic.Mark{Key: `["c",{"s":"1"}]`, Value: `{"n":2}`}, topic.Mark{Key: `["c",{"s":"2"}]`, Value: `{"n":1}`})
	// The own topic counts where both have a position.
	put(t, worker, `["c",{"s":"1"}]`, `{"n":0}`)
	requireMark(t, own, `["c",{"s":"1"}]`, `{"n":2}`)
	require.NoError(t, own.DeleteMark(t.Context(), `["c",{"s":"1"}]`))
	requireMark(t, own, `["c",{"s":"1"}]`, "")
	requireMark(t, worker, `["c",{"s":"1"}]`, "")
	requireMarks(t, own, `["c",`, topic.Mark{Key: `["c",{"s":"2"}]`, Value: `{"n":1}`})
	// Two connectors may have one topic.
	again := NewOwnOffsets(o, worker)
	t.Cleanup(func() { again.Close(context.Background()) })
	put(t, again, `["d",{}]`, `{"n":5}`)
	requireMark(t, own, `["d",{}]`, `{"n":5}`)
	requireTopic(t, adminOf(t, fake.ListenAddrs()...), "mine", 3, map[string]string{"cleanup.policy": "compact"})
}

// An own topic that cannot be had is an error of the task, not of the worker.
func TestOwnOffsetsThatCannotStart(t *testing.T) {
	fake := newFake(t)
	o := optionsFor("owner", fake.ListenAddrs()...)
	worker := startOffsets(t, o)
	o.Client = []kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")}
	own := NewOwnOffsets(o, worker)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := own.LoadMark(ctx, `["c",{}]`)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	own.Close(t.Context())
}
