// SPDX-License-Identifier: Apache-2.0

package local

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
	"freshet/internal/store"
	"freshet/internal/store/storetest"
)

func TestMarksByHand(t *testing.T) {
	l := openOn(t, storetest.New(), Options{})
	ctx := t.Context()
	require.NoError(t, l.SetMark(ctx, topic.Mark{Key: "a/1", Value: "x"}))
	require.NoError(t, l.SetMark(ctx, topic.Mark{Key: "a/2", Value: "y"}))
	require.NoError(t, l.SetMark(ctx, topic.Mark{Key: "b", Value: "z"}))
	require.NoError(t, l.SetMark(ctx, topic.Mark{Key: "a/2", Value: "yy"}))
	require.NoError(t, l.DeleteMark(ctx, "a/1"))
	require.NoError(t, l.DeleteMark(ctx, "not there"))
	ms, err := l.Marks(ctx, "a/")
	require.NoError(t, err)
	require.Equal(t, []topic.Mark{{Key: "a/2", Value: "yy"}}, ms)
	ms, err = l.Marks(ctx, "")
	require.NoError(t, err)
	require.Len(t, ms, 2)
	v, err := l.LoadMark(ctx, "b")
	require.NoError(t, err)
	require.Equal(t, "z", v)
}

func TestGroupOffsetsByHand(t *testing.T) {
	fs := storetest.New()
	l := openOn(t, fs, Options{})
	ctx := t.Context()
	p := topic.Partition{Topic: "t"}
	mustAppend(t, l, value("t", "0"), value("t", "1"), value("t", "2"))
	require.ErrorIs(t, l.SetGroupOffset(ctx, "g", topic.Partition{Topic: "none"}, 1), ErrUnknownTopic)
	require.NoError(t, l.SetGroupOffset(ctx, "g", p, 2))
	require.NoError(t, l.SetGroupOffset(ctx, "h", p, 1))
	require.NoError(t, l.SetGroupOffset(ctx, "h", p, -1))
	groups, err := l.Groups(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]map[topic.Partition]int64{"g": {p: 2}}, groups)
	c, err := l.Subscribe(ctx, topic.Subscription{Group: "g", Topics: []string{"t"}})
	require.NoError(t, err)
	rs, err := c.Poll(ctx, 5)
	require.NoError(t, err)
	require.Equal(t, []string{"2"}, bodies(rs))
	require.ErrorContains(t, l.SetGroupOffset(ctx, "g", p, 0), "stop them first")
	require.NoError(t, c.Close(ctx))
	require.NoError(t, l.SetGroupOffset(ctx, "g", p, 0))
	require.NoError(t, l.Close(ctx))
	require.NoError(t, l.db.Close())
	l = openOn(t, fs, Options{})
	groups, err = l.Groups(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]map[topic.Partition]int64{"g": {p: 0}}, groups)
}

func TestReadFrom(t *testing.T) {
	l := openOn(t, storetest.New(), Options{})
	ctx := t.Context()
	p := topic.Partition{Topic: "t"}
	mustAppend(t, l, value("t", "0"), value("t", "1"))
	mustAppend(t, l, value("t", "2"))
	for _, c := range []struct {
		from int64
		max  int
		want []string
	}{
		{0, 10, []string{"0", "1", "2"}},
		{-5, 2, []string{"0", "1"}},
		{1, 10, []string{"1", "2"}},
		{2, 1, []string{"2"}},
		{3, 10, nil},
		{99, 10, nil},
	} {
		rs, err := l.ReadFrom(ctx, p, c.from, c.max)
		require.NoError(t, err)
		require.Equal(t, c.want, bodies(rs), "from %d", c.from)
	}
	for _, bad := range []topic.Partition{{Topic: "t", Partition: 1}, {Topic: "t", Partition: -1}, {Topic: "none"}} {
		_, err := l.ReadFrom(ctx, bad, 0, 1)
		require.ErrorIs(t, err, ErrUnknownTopic)
	}
}

func TestDeleteTopic(t *testing.T) {
	fs := storetest.New()
	l := openOn(t, fs, Options{})
	ctx := t.Context()
	require.ErrorIs(t, l.DeleteTopic(ctx, "t"), ErrUnknownTopic)
	mustAppend(t, l, value("t", "old"), value("other", "stays"))
	c, err := l.Subscribe(ctx, topic.Subscription{Group: "g", Topics: []string{"t", "other"}})
	require.NoError(t, err)
	for n := 0; n < 2; {
		rs, err := c.Poll(ctx, 5)
		require.NoError(t, err)
		n += len(rs)
	}
	require.NoError(t, c.Commit(ctx))
	require.NoError(t, l.DeleteTopic(ctx, "t"))
	_, err = l.ReadFrom(ctx, topic.Partition{Topic: "t"}, 0, 1)
	require.ErrorIs(t, err, ErrUnknownTopic)
	mustAppend(t, l, value("t", "new"))
	rs, err := c.Poll(ctx, 5)
	require.NoError(t, err)
	require.Equal(t, []string{"new"}, bodies(rs), "the cursor goes on with the new topic")
	require.EqualValues(t, 0, rs[0].Offset)
	require.NoError(t, c.Close(ctx))
	require.NoError(t, l.Close(ctx))
	require.NoError(t, l.db.Close())
	l = openOn(t, fs, Options{})
	require.Equal(t, []string{"new"}, bodies(all(t, l, "t")))
	groups, err := l.Groups(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]map[topic.Partition]int64{"g": {{Topic: "other"}: 1}}, groups)
	var left int
	require.NoError(t, l.db.GroupOffsets(func(string, uint32, int64) { left++ }))
	require.Equal(t, 1, left)
}

// TestDeleteTopicWhileUnitsAreQueued has a unit encoded for the old topic and queued behind its deletion.
func TestDeleteTopicWhileUnitsAreQueued(t *testing.T) {
	l := openOn(t, storetest.New(), Options{})
	mustAppend(t, l, value("t", "old"))
	it := &item{epoch: 1}
	require.NoError(t, l.encode(it, []topic.Record{value("t", "late")}))
	require.NoError(t, l.DeleteTopic(t.Context(), "t"))
	require.NoError(t, l.do(t.Context(), it))
	require.Equal(t, []string{"late"}, bodies(all(t, l, "t")))
}

// TestDamagedChunk reads over a chunk that is not what it was: the error names the record, and a group can be set behind
// it.
func TestDamagedChunk(t *testing.T) {
	l := openOn(t, storetest.New(), Options{})
	ctx := t.Context()
	mustAppend(t, l, value("t", "0"))
	mustAppend(t, l, value("t", "1"))
	mustAppend(t, l, value("t", "2"))
	id := l.topics["t"].parts[0].id
	b := l.db.NewBatch()
	b.PutChunk(id, store.ChunkInfo{Base: 1, Count: 1}, []byte{chunkVersion, 1, 0, 0}, []byte{0})
	require.NoError(t, b.Commit())
	c, err := l.Subscribe(ctx, topic.Subscription{Group: "g", Topics: []string{"t"}})
	require.NoError(t, err)
	rs, err := c.Poll(ctx, 5)
	require.NoError(t, err, "what is before the damage is given out first")
	require.Equal(t, []string{"0"}, bodies(rs))
	for range 2 {
		_, err = c.Poll(ctx, 5)
		var e *DamageError
		require.ErrorAs(t, err, &e)
		require.ErrorIs(t, err, store.ErrCorrupt)
		require.ErrorContains(t, err, "read t-0 at offset 1")
		require.False(t, e.Retriable())
	}
	c.Seek(topic.Partition{Topic: "t"}, 2)
	rs, err = c.Poll(ctx, 5)
	require.NoError(t, err)
	require.Equal(t, []string{"2"}, bodies(rs))
	require.NoError(t, c.Close(ctx))
}
