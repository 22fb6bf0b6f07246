// SPDX-License-Identifier: Apache-2.0

package topictest

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
)

// kafkaHashes are keys and the murmur2 that Kafka's own tests want of them.
var kafkaHashes = []struct {
	key  string
	hash int32
}{
	{"21", -973932308},
	{"foobar", -790332482},
	{"a-little-bit-long-string", -985981536},
	{"a-little-bit-longer-string", -1486304829},
	{"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
	{"abc", 479470107},
}

func testPartitions(t *testing.T, s Store) {
	l := open(t, s)
	require.NoError(t, l.Create(withTimeout(t), topic.Spec{Name: "six", Partitions: 6},
		topic.Spec{Name: "seventeen", Partitions: 17}))
	want := map[string]int32{}
	var u topic.Unit
	for _, k := range kafkaHashes {
		positive := uint32(k.hash) & 0x7fffffff
		for name, n := range map[string]uint32{"six": 6, "seventeen": 17} {
			// However the key is divided into head and body, it is the same key.
			for cut := range min(len(k.key), 9) {
				r := text(name, topic.AnyPartition, "", name+k.key)
				r.Key = topic.Data{Head: &topic.Head{ID: uint64(cut) + 1000, Bytes: []byte(k.key[:cut])}, Body: []byte(k.key[cut:])}
				if cut == 0 {
					r.Key.Head = nil
				}
				u.Records = append(u.Records, r)
			}
			want[name+k.key] = int32(positive % n)
		}
	}
	require.NoError(t, start(context.Background(), l, u).wait(t))
	c := mustSubscribe(t, l, topic.Subscription{Topics: []string{"six", "seventeen"}})
	for _, r := range poll(t, c, len(u.Records)) {
		require.Equal(t, want[string(r.Value.Body)], r.Partition, string(r.Value.Body))
	}

	// Null keys go to all partitions in the end.
	seen := map[int32]bool{}
	for len(seen) < 6 {
		for range 20 {
			mustAppend(t, l, text("six", topic.AnyPartition, "", "x"), text("six", topic.AnyPartition, "", "y"))
		}
		for _, r := range poll(t, c, 40) {
			seen[r.Partition] = true
		}
	}
}

func testTopics(t *testing.T, s Store) {
	l := open(t, s)
	ctx := withTimeout(t)
	infos, err := l.List(ctx)
	require.NoError(t, err)
	require.Empty(t, infos)
	require.NoError(t, l.Create(ctx, topic.Spec{Name: "b.two_x-1", Partitions: 2}))
	require.NoError(t, l.Create(ctx, topic.Spec{Name: "b.two_x-1", Partitions: 5}, topic.Spec{Name: "a"}),
		"an existing topic stays as it is")
	mustAppend(t, l, text("made-by-append", topic.AnyPartition, "k", "v"))
	want := []topic.Info{
		{Name: "a", Partitions: make([]topic.Range, 1)},
		{Name: "b.two_x-1", Partitions: make([]topic.Range, 2)},
		{Name: "made-by-append", Partitions: []topic.Range{{End: 1}}},
	}
	infos, err = l.List(ctx)
	require.NoError(t, err)
	require.Equal(t, want, infos)
	require.NoError(t, l.Close(ctx))
	l = open(t, s)
	infos, err = l.List(ctx)
	require.NoError(t, err)
	require.Equal(t, want, infos)
}

func testRefused(t *testing.T, s Store) {
	l := open(t, s)
	require.NoError(t, l.Create(withTimeout(t), topic.Spec{Name: "t", Partitions: 2}))
	for i, r := range []topic.Record{
		text("t", 2, "", "x"), text("t", -2, "", "x"), text("", 0, "", "x"), text("a b", 0, "", "x"), text("a/ž", 0, "", "x"),
	} {
		key := fmt.Sprint("src", i)
		u := topic.Unit{Records: []topic.Record{text("t", 0, "", "good"), r}, Mark: topic.Mark{Key: key, Value: "1"}}
		err := start(context.Background(), l, u).wait(t)
		require.Error(t, err)
		require.ErrorContains(t, err, r.Topic)
		v, err := l.LoadMark(withTimeout(t), key)
		require.NoError(t, err)
		require.Empty(t, v, "nothing of a refused unit is kept")
	}
	require.Error(t, l.Create(withTimeout(t), topic.Spec{Name: "not allowed"}))
	requireNothing(t, mustSubscribe(t, l, topic.Subscription{Topics: []string{"t"}}))
}

// testDeleted is for logs that can delete: what is deleted is gone for good, and its name can be used anew.
func testDeleted(t *testing.T, s Store) {
	l := open(t, s)
	ctx := withTimeout(t)
	d, ok := l.(topic.Deleter)
	if !ok {
		return // the ability is optional
	}
	require.Error(t, d.DeleteTopic(ctx, "gone"), "there is no such topic")
	require.NoError(t, d.DeleteMark(ctx, "gone"))
	u := topic.Unit{Records: []topic.Record{text("gone", 0, "", "1"), text("stays", 0, "", "1")}, Mark: topic.Mark{Key: "gone", Value: "1"}}
	require.NoError(t, start(context.Background(), l, u).wait(t))
	c := mustSubscribe(t, l, topic.Subscription{Group: "g", Topics: []string{"gone"}})
	poll(t, c, 1)
	require.NoError(t, c.Commit(ctx))
	require.NoError(t, c.Close(ctx))

	requireGone := func(l topic.Log) {
		t.Helper()
		infos, err := l.List(ctx)
		require.NoError(t, err)
		require.Equal(t, []topic.Info{{Name: "stays", Partitions: []topic.Range{{End: 1}}}}, infos)
		mark, err := l.LoadMark(ctx, "gone")
		require.NoError(t, err)
		require.Empty(t, mark)
	}
	require.NoError(t, d.DeleteMark(ctx, "gone"))
	require.NoError(t, d.DeleteTopic(ctx, "gone"))
	requireGone(l)
	require.NoError(t, l.Close(ctx))
	l = open(t, s)
	requireGone(l)

	mustAppend(t, l, text("gone", 0, "", "anew"))
	c = mustSubscribe(t, l, topic.Subscription{Group: "g", Topics: []string{"gone"}})
	r := poll(t, c, 1)[0]
	require.Equal(t, "anew", string(r.Value.Body))
	require.Zero(t, r.Offset)
}
