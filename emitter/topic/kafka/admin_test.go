// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
)

// Offsets of groups and positions of sources can be looked at and changed from outside, but not under a running group.
func TestAdmin(t *testing.T) {
	l := openLog(t, optionsFor(newMemory(), newFake(t).ListenAddrs()...))
	ctx := t.Context()
	p := topic.Partition{Topic: "t"}
	offsets, err := l.GroupOffsets(ctx, "g")
	require.NoError(t, err)
	require.Empty(t, offsets)
	for _, v := range []string{"0", "1", "2"} {
		require.NoError(t, <-start(ctx, l, "", value("t", v)))
	}
	require.NoError(t, l.SetGroupOffset(ctx, "g", p, 2))
	offsets, err = l.GroupOffsets(ctx, "g")
	require.NoError(t, err)
	require.Equal(t, map[topic.Partition]int64{p: 2}, offsets)

	c, err := l.Subscribe(ctx, topic.Subscription{Group: "g", Topics: []string{"t"}})
	require.NoError(t, err)
	rs, err := c.Poll(ctx, 10)
	require.NoError(t, err)
	require.Len(t, rs, 1)
	require.Equal(t, "2", string(rs[0].Value.Body))
	require.ErrorContains(t, l.SetGroupOffset(ctx, "g", p, 0), "stop them first")
	require.NoError(t, c.Commit(ctx))
	require.NoError(t, c.Close(ctx))
	require.NoError(t, l.SetGroupOffset(ctx, "g", p, -1))
	offsets, err = l.GroupOffsets(ctx, "g")
	require.NoError(t, err)
	require.Empty(t, offsets)
	require.NoError(t, l.SetGroupOffset(ctx, "none", p, -1), "there is no such group")

	require.NoError(t, l.SetMark(ctx, topic.Mark{Key: "a/1", Value: "x"}))
	require.NoError(t, l.SetMark(ctx, topic.Mark{Key: "b", Value: "y"}))
	marks, err := l.Marks(ctx, "a/")
	require.NoError(t, err)
	require.Equal(t, []topic.Mark{{Key: "a/1", Value: "x"}}, marks)
}
