// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

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

// A cluster that has just begun has no coordinators of groups yet: whoever asks waits for them, as Java's admin client does.
func TestGroupsOfAClusterThatBegins(t *testing.T) {
	fake := newFake(t)
	l := openLog(t, optionsFor(newMemory(), fake.ListenAddrs()...))
	left := 4
	fake.ControlKey(int16(kmsg.FindCoordinator), func(r kmsg.Request) (kmsg.Response, error, bool) {
		if left--; left <= 0 {
			return nil, nil, false
		}
		fake.KeepControl()
		req, resp := r.(*kmsg.FindCoordinatorRequest), r.ResponseKind().(*kmsg.FindCoordinatorResponse)
		resp.Version, resp.ErrorCode = req.Version, kerr.CoordinatorNotAvailable.Code
		for _, key := range req.CoordinatorKeys {
			c := kmsg.NewFindCoordinatorResponseCoordinator()
			c.Key, c.ErrorCode, c.NodeID = key, kerr.CoordinatorNotAvailable.Code, -1
			resp.Coordinators = append(resp.Coordinators, c)
		}
		return resp, nil, true
	})
	offsets, err := l.GroupOffsets(t.Context(), "none")
	require.NoError(t, err)
	require.Empty(t, offsets)
	left = 4
	require.NoError(t, <-start(t.Context(), l, "", value("t", "0")))
	require.NoError(t, l.SetGroupOffset(t.Context(), "other", topic.Partition{Topic: "t"}, 1))
}
