// SPDX-License-Identifier: Apache-2.0

package topictest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
)

// fill appends n records to partition 0 of a topic, with their number as value.
func fill(t testing.TB, l topic.Log, name string, n int) {
	t.Helper()
	var u topic.Unit
	for i := range n {
		u.Records = append(u.Records, text(name, 0, "", fmt.Sprint(i)))
	}
	require.NoError(t, start(context.Background(), l, u).wait(t))
}

func committed(t testing.TB, c topic.Cursor, name string) int64 {
	t.Helper()
	at, err := c.Committed(withTimeout(t), topic.Partition{Topic: name})
	require.NoError(t, err)
	return at
}

func testGroup(t *testing.T, s Store) {
	l := open(t, s)
	fill(t, l, "t", 10)
	sub := topic.Subscription{Group: "g", Topics: []string{"t"}}
	c := mustSubscribe(t, l, sub)
	require.EqualValues(t, -1, committed(t, c, "t"))
	require.EqualValues(t, -1, committed(t, c, "not there"))
	require.NoError(t, c.Commit(withTimeout(t)), "nothing to commit")
	require.EqualValues(t, -1, committed(t, c, "t"))
	require.Equal(t, []string{"0", "1", "2"}, values(poll(t, c, 3)))
	require.NoError(t, c.Commit(withTimeout(t)))
	require.EqualValues(t, 3, committed(t, c, "t"))
	require.Equal(t, []string{"3", "4"}, values(poll(t, c, 2)))
	require.EqualValues(t, 3, committed(t, c, "t"))
	require.NoError(t, c.Close(withTimeout(t)))
	require.NoError(t, c.Close(withTimeout(t)), "closing again does nothing")
	_, err := c.Poll(withTimeout(t), 1)
	require.ErrorIs(t, err, topic.ErrClosed)

	c = mustSubscribe(t, l, sub)
	require.Equal(t, []string{"3", "4", "5"}, values(poll(t, c, 3)), "what was not committed comes again")
	require.NoError(t, c.Commit(withTimeout(t)))
	other := mustSubscribe(t, l, topic.Subscription{Group: "other", Topics: []string{"t"}})
	require.Equal(t, []string{"0"}, values(poll(t, other, 1)), "groups do not see each other")
	require.NoError(t, l.Close(withTimeout(t)))
	l = open(t, s)
	c = mustSubscribe(t, l, sub)
	require.EqualValues(t, 6, committed(t, c, "t"))
	require.Equal(t, []string{"6", "7", "8", "9"}, values(poll(t, c, 4)))
	requireNothing(t, c)
	require.NoError(t, c.Commit(withTimeout(t)))
	require.EqualValues(t, 10, committed(t, c, "t"))
}

func testNoGroup(t *testing.T, s Store) {
	l := open(t, s)
	fill(t, l, "t", 3)
	sub := topic.Subscription{Topics: []string{"t"}}
	a, b := mustSubscribe(t, l, sub), mustSubscribe(t, l, sub)
	require.Equal(t, []string{"0", "1", "2"}, values(poll(t, a, 3)))
	require.NoError(t, a.Commit(withTimeout(t)))
	require.EqualValues(t, -1, committed(t, a, "t"))
	require.Equal(t, []string{"0", "1", "2"}, values(poll(t, b, 3)))
	require.Equal(t, []string{"0"}, values(poll(t, mustSubscribe(t, l, sub), 1)))
}

func testFromEnd(t *testing.T, s Store) {
	l := open(t, s)
	fill(t, l, "t", 3)
	c := mustSubscribe(t, l, topic.Subscription{Topics: []string{"t", "later"}, FromEnd: true})
	g := mustSubscribe(t, l, topic.Subscription{Topics: []string{"t"}, FromEnd: true, Group: "g"})
	mustAppend(t, l, text("t", 0, "", "new"))
	mustAppend(t, l, text("later", 0, "", "first of a later topic"))
	require.ElementsMatch(t, []string{"new", "first of a later topic"}, values(poll(t, c, 2)))
	require.Equal(t, []string{"new"}, values(poll(t, g, 1)))
	require.NoError(t, g.Commit(withTimeout(t)))
	require.NoError(t, g.Close(withTimeout(t)))
	mustAppend(t, l, text("t", 0, "", "while away"))
	g = mustSubscribe(t, l, topic.Subscription{Topics: []string{"t"}, FromEnd: true, Group: "g"})
	require.Equal(t, []string{"while away"}, values(poll(t, g, 1)), "a committed offset goes before the end")
}

func testSeek(t *testing.T, s Store) {
	l := open(t, s)
	fill(t, l, "t", 10)
	p := topic.Partition{Topic: "t"}
	c := mustSubscribe(t, l, topic.Subscription{Topics: []string{"t"}, Group: "g"})
	c.Seek(p, 7)
	require.Equal(t, []string{"7", "8"}, values(poll(t, c, 2)))
	c.Seek(p, 2)
	require.NoError(t, c.Commit(withTimeout(t)))
	require.EqualValues(t, 9, committed(t, c, "t"), "Commit is of what was polled")
	require.Equal(t, []string{"2", "3"}, values(poll(t, c, 2)))
	require.NoError(t, c.Commit(withTimeout(t)))
	require.EqualValues(t, 4, committed(t, c, "t"))
	c.Seek(p, 10)
	requireNothing(t, c)
	mustAppend(t, l, text("t", 0, "", "10"))
	require.Equal(t, []string{"10"}, values(poll(t, c, 1)))
	c.Seek(p, 5)
	c.Seek(p, 6)
	require.Equal(t, []string{"6", "7", "8", "9", "10"}, values(poll(t, c, 5)))
	c.Seek(p, 99) // the offset of another log: from the start, as auto.offset.reset
	require.Equal(t, []string{"0"}, values(poll(t, c, 1)))
}

func testMembers(t *testing.T, s Store) {
	l := open(t, s)
	ctx := withTimeout(t)
	const partitions, perPartition = 6, 20
	require.NoError(t, l.Create(ctx, topic.Spec{Name: "t", Partitions: partitions}))
	sub := topic.Subscription{Group: "g", Topics: []string{"t"}}
	members := []topic.Cursor{mustSubscribe(t, l, sub), mustSubscribe(t, l, sub), mustSubscribe(t, l, sub)}
	ctxs, stop := context.WithCancel(ctx)
	defer stop()
	type polled struct {
		member int
		record topic.Record
	}
	got := make(chan polled)
	ended := make(chan struct{})
	for i, c := range members {
		go func() {
			defer func() { ended <- struct{}{} }()
			for {
				rs, err := c.Poll(ctxs, 5)
				if err != nil {
					return
				}
				for _, r := range rs {
					got <- polled{i, copyRecord(r)}
				}
				if err := c.Commit(ctx); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	seen := map[int32]int64{}
	shares := map[int]bool{}
	// Members may take a while to come together.
	for i := 0; i < perPartition || len(shares) < 2 && ctx.Err() == nil; i++ {
		var u topic.Unit
		for p := range int32(partitions) {
			u.Records = append(u.Records, text("t", p, "", fmt.Sprint(i)))
		}
		l.Append(ctx, u, func(error) {})
		for range partitions {
			p := <-got
			require.Equal(t, seen[p.record.Partition], p.record.Offset, "each record comes once, in order")
			seen[p.record.Partition]++
			shares[p.member] = true
		}
	}
	require.Greater(t, len(shares), 1, "work is shared")
	stop()
	for range members {
		<-ended
	}
	// Whoever stays gets the partitions of those who left.
	require.NoError(t, members[0].Close(ctx))
	require.NoError(t, members[1].Close(ctx))
	for p := range int32(partitions) {
		mustAppend(t, l, text("t", p, "", "last"))
	}
	for n := 0; n < partitions; {
		rs, err := members[2].Poll(ctx, partitions)
		require.NoError(t, err)
		n += len(rs)
		require.NoError(t, members[2].Commit(ctx), "which lets partitions come, where they wait for it")
	}
}

func testStickyUntilCommit(t *testing.T, s Store) {
	l := open(t, s)
	require.NoError(t, l.Create(withTimeout(t), topic.Spec{Name: "t", Partitions: 2}))
	mustAppend(t, l, text("t", 0, "", "0"), text("t", 1, "", "1"))
	sub := topic.Subscription{Group: "g", Topics: []string{"t"}}
	first := mustSubscribe(t, l, sub)
	poll(t, first, 2)
	second := mustSubscribe(t, l, sub)
	mustAppend(t, l, text("t", 0, "", "0"), text("t", 1, "", "1"))
	requireNothing(t, second)
	poll(t, first, 2)
	requireNothing(t, second)
	require.NoError(t, first.Commit(withTimeout(t)))
	mustAppend(t, l, text("t", 0, "", "0"), text("t", 1, "", "1"))
	a, b := poll(t, first, 1), poll(t, second, 1)
	require.NotEqual(t, a[0].Partition, b[0].Partition)
	require.EqualValues(t, 2, a[0].Offset)
	require.EqualValues(t, 2, b[0].Offset)
	// A member that goes away without Commit leaves what it polled to the others.
	require.NoError(t, first.Close(withTimeout(t)))
	require.NoError(t, second.Commit(withTimeout(t)))
	again := poll(t, second, 1)
	require.Equal(t, a[0].Partition, again[0].Partition)
	require.EqualValues(t, 2, again[0].Offset)
}

func testPattern(t *testing.T, s Store) {
	l := open(t, s)
	mustAppend(t, l, text("db.a", 0, "", "a"), text("other", 0, "", "no"))
	c := mustSubscribe(t, l, topic.Subscription{
		Group: "g", Topics: []string{"extra"}, Pattern: func(n string) bool { return strings.HasPrefix(n, "db.") },
	})
	require.Equal(t, []string{"a"}, values(poll(t, c, 1)))
	require.NoError(t, c.Commit(withTimeout(t)))
	mustAppend(t, l, text("db.b", 0, "", "b"), text("more", 0, "", "no"), text("extra", 0, "", "x"))
	require.ElementsMatch(t, []string{"b", "x"}, values(poll(t, c, 2)))
	requireNothing(t, c)
}

func testPollWaits(t *testing.T, s Store) {
	l := open(t, s)
	c := mustSubscribe(t, l, topic.Subscription{Topics: []string{"t"}})
	for i := range 20 {
		got := make(chan string, 1)
		go func() {
			rs, err := c.Poll(withTimeout(t), 10)
			if err != nil {
				got <- err.Error()
				return
			}
			got <- strings.Join(values(rs), ",")
		}()
		mustAppend(t, l, text("t", 0, "", fmt.Sprint(i)))
		require.Equal(t, fmt.Sprint(i), <-got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		_, err := c.Poll(ctx, 10)
		ended <- err
	}()
	cancel()
	require.ErrorIs(t, appended{ended}.wait(t), context.Canceled)
	_, err := c.Poll(ctx, 10)
	require.ErrorIs(t, err, context.Canceled, "with an ended context there is no Poll")
	mustAppend(t, l, text("t", 0, "", "after"))
	require.Equal(t, []string{"after"}, values(poll(t, c, 1)), "the cursor goes on")
}

func testPollLimits(t *testing.T, s Store) {
	l := open(t, s)
	for _, name := range []string{"a", "b", "c"} {
		fill(t, l, name, 100)
	}
	for _, limit := range []int{1, 7, 100, 1000} {
		c := mustSubscribe(t, l, topic.Subscription{Topics: []string{"a", "b", "c"}})
		next := map[string]int64{}
		for n := 0; n < 300; {
			rs, err := c.Poll(withTimeout(t), limit)
			require.NoError(t, err)
			require.LessOrEqual(t, len(rs), limit)
			for _, r := range rs {
				require.Equal(t, next[r.Topic], r.Offset, "limit %d", limit)
				require.Equal(t, fmt.Sprint(r.Offset), string(r.Value.Body))
				next[r.Topic]++
			}
			n += len(rs)
		}
		requireNothing(t, c)
	}
}

func testValidity(t *testing.T, s Store) {
	l := open(t, s)
	fill(t, l, "t", 200)
	c := mustSubscribe(t, l, topic.Subscription{Topics: []string{"t"}, Group: "g"})
	for n := 0; n < 200; {
		rs, err := c.Poll(withTimeout(t), 30)
		require.NoError(t, err)
		// Whatever else goes on, the records stay until the next Poll.
		fill(t, l, "other", 50)
		c.Seek(topic.Partition{Topic: "t"}, int64(n+len(rs)))
		require.NoError(t, c.Commit(withTimeout(t)))
		for _, r := range rs {
			require.Equal(t, fmt.Sprint(n), string(r.Value.Body))
			n++
		}
	}
}
