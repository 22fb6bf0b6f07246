// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
	"freshet/internal/failpoint"
	"freshet/internal/store"
	"freshet/internal/store/storetest"
)

var source1 = topic.Mark{Key: "src", Value: ""}

func markOf(i int) topic.Mark { return topic.Mark{Key: source1.Key, Value: fmt.Sprint(i)} }

// unitOf is unit number i: a few records, one of them with a head, and the mark i.
func unitOf(i int) topic.Unit {
	head := &topic.Head{ID: uint64(i % 5), Bytes: fmt.Appendf(nil, "head %d ", i%5)}
	big := strings.Repeat("x", i%3*3000)
	return topic.Unit{
		Records: []topic.Record{
			{Topic: "t", Value: topic.Data{Head: head, Body: fmt.Appendf(nil, "%d/0 %s", i, big)}},
			{Topic: fmt.Sprint("u", i%3), Value: topic.Data{Body: fmt.Appendf(nil, "%d/1", i)}},
		},
		Mark: markOf(i),
	}
}

// requireUnits wants the records of exactly the units 1 to n, and their mark.
func requireUnits(t testing.TB, l *Log, n int, msg string) {
	t.Helper()
	var want []string
	byTopic := map[string][]string{}
	for i := 1; i <= n; i++ {
		u := unitOf(i)
		want = append(want, string(u.Records[0].Value.Bytes()))
		byTopic[u.Records[1].Topic] = append(byTopic[u.Records[1].Topic], string(u.Records[1].Value.Body))
	}
	infos, err := l.List(context.Background())
	require.NoError(t, err, msg)
	found := 0
	for _, info := range infos {
		rs := all(t, l, info.Name)
		require.EqualValues(t, len(rs), info.Partitions[0].End, msg)
		found += len(rs)
		if info.Name != "t" {
			require.Equal(t, byTopic[info.Name], bodies(rs), msg)
			continue
		}
		var got []string
		for _, r := range rs {
			got = append(got, string(r.Value.Bytes()))
		}
		require.Equal(t, want, got, msg)
	}
	require.Equal(t, 2*n, found, msg)
	mark, err := l.LoadMark(context.Background(), source1.Key)
	require.NoError(t, err, msg)
	if n == 0 {
		require.Empty(t, mark, msg)
	} else {
		require.Equal(t, fmt.Sprint(n), mark, "I1: the mark is that of the last unit: %s", msg)
	}
}

// durableUnits is how many units are there, by the mark.
func durableUnits(t testing.TB, l *Log) int {
	t.Helper()
	mark, err := l.LoadMark(context.Background(), source1.Key)
	require.NoError(t, err)
	n := 0
	if mark != "" {
		_, err = fmt.Sscan(mark, &n)
		require.NoError(t, err)
	}
	return n
}

// TestFailsAtEveryWrite appends units while the n-th write of the disk fails, for every n. I3: acknowledged units are a
// prefix; after the failure all fail until the source begins again; then the log goes on in the same process, with
// nothing lost and nothing twice.
func TestFailsAtEveryWrite(t *testing.T) {
	const units = 60
	for n := int64(1); ; n++ {
		name := fmt.Sprintf("write %d", n)
		fs := storetest.New()
		l := openOn(t, fs, Options{})
		cause := []error{syscall.EIO, syscall.ENOSPC}[n%2]
		fs.FailAt(n, n%3 == 0, cause)
		results := appendAll(l, 1, units)
		fs.FailAt(0, false, nil)
		acked := slices.IndexFunc(results, func(err error) bool { return err != nil })
		if acked < 0 && l.db.Err() == nil {
			require.Greater(t, n, int64(10), "the loop saw the writes of the log")
			requireUnits(t, l, units, name)
			return // there was no n-th write
		}
		if acked < 0 {
			acked = units
		}
		for _, err := range results[acked:] {
			require.ErrorIs(t, err, cause, name)
			require.ErrorIs(t, err, results[acked], "I3: the error stays: %s", name)
			require.Equal(t, cause == error(syscall.ENOSPC), errors.Is(err, store.ErrNoSpace), name)
			var e *store.Error
			require.ErrorAs(t, err, &e)
			require.NotEmpty(t, e.Hint)
		}
		if acked < units {
			require.Error(t, appendUnit(l, markOf(acked+1)), name)
		}
		have := durableUnits(t, l) // reopens
		require.GreaterOrEqual(t, have, acked, name)
		requireUnits(t, l, have, name)
		for _, err := range appendAll(l, have+1, units) {
			require.NoError(t, err, name)
		}
		requireUnits(t, l, units, name)
		require.NoError(t, l.Close(context.Background()))
		require.NoError(t, l.db.Close())
		again := openOn(t, fs, Options{}) // nothing was there only in memory
		requireUnits(t, again, units, name)
		require.NoError(t, again.Close(context.Background()))
		require.NoError(t, again.db.Close())
	}
}

// appendAll appends the units from to to, a few at a time, and returns what became of each.
func appendAll(l *Log, from, to int) []error {
	results := make([]error, to-from+1)
	var wg sync.WaitGroup
	for i := from; i <= to; i++ {
		wg.Add(1)
		l.Append(context.Background(), unitOf(i), func(err error) {
			results[i-from] = err
			wg.Done()
		})
		if i%4 == 0 {
			wg.Wait()
		}
	}
	wg.Wait()
	return results
}

// TestStaleSource is a pipeline that has not noticed that one of its units failed: while another source makes the log
// work again, the next unit of the first must not become durable behind the gap.
func TestStaleSource(t *testing.T) {
	fs := storetest.New()
	l := openOn(t, fs, Options{})
	ctx := context.Background()
	require.NoError(t, appendUnit(l, topic.Mark{Key: "a", Value: "1"}, value("t", "a1")))
	require.NoError(t, appendUnit(l, topic.Mark{Key: "b", Value: "1"}, value("t", "b1")))
	fs.FailAt(1, true, syscall.ENOSPC)
	require.ErrorIs(t, appendUnit(l, topic.Mark{Key: "a", Value: "2"}, value("t", "a2")), store.ErrNoSpace)
	_, err := l.LoadMark(ctx, "b")
	require.ErrorIs(t, err, store.ErrNoSpace, "still full")
	require.ErrorIs(t, appendUnit(l, topic.Mark{}, value("t", "none")), store.ErrNoSpace)
	fs.FailAt(0, false, nil)

	m, err := l.LoadMark(ctx, "b")
	require.NoError(t, err)
	require.Equal(t, "1", m)
	require.NoError(t, appendUnit(l, topic.Mark{Key: "b", Value: "2"}, value("t", "b2")))
	require.ErrorIs(t, appendUnit(l, topic.Mark{Key: "a", Value: "3"}, value("t", "a3")), errStale)
	m, err = l.LoadMark(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, "1", m)
	require.NoError(t, appendUnit(l, topic.Mark{Key: "a", Value: "2"}, value("t", "a2")))
	require.NoError(t, appendUnit(l, topic.Mark{}, value("t", "none")))
	require.Equal(t, []string{"a1", "b1", "b2", "a2", "none"}, bodies(all(t, l, "t")))
}

// TestCursorsOutliveAFailure polls before, during and after a full disk.
func TestCursorsOutliveAFailure(t *testing.T) {
	fs := storetest.New()
	l := openOn(t, fs, Options{})
	ctx := context.Background()
	mustAppend(t, l, value("t", "1"), value("t", "2"))
	c, err := l.Subscribe(ctx, topic.Subscription{Group: "g", Topics: []string{"t"}})
	require.NoError(t, err)
	rs, err := c.Poll(ctx, 1)
	require.NoError(t, err)
	require.Equal(t, []string{"1"}, bodies(rs))
	require.NoError(t, c.Commit(ctx))
	rs, err = c.Poll(ctx, 1)
	require.NoError(t, err)
	require.Equal(t, []string{"2"}, bodies(rs))
	blocked := make(chan error, 1)
	waiting, err := l.Subscribe(ctx, topic.Subscription{Topics: []string{"later"}})
	require.NoError(t, err)
	go func() {
		_, err := waiting.Poll(ctx, 1)
		blocked <- err
	}()
	fs.FailAt(1, true, syscall.ENOSPC)
	require.ErrorIs(t, c.Commit(ctx), store.ErrNoSpace)
	require.ErrorIs(t, <-blocked, store.ErrNoSpace, "waiting cursors are told")
	_, err = c.Poll(ctx, 1)
	require.ErrorIs(t, err, store.ErrNoSpace)
	_, err = l.Subscribe(ctx, topic.Subscription{Group: "g", Topics: []string{"t"}})
	require.ErrorIs(t, err, store.ErrNoSpace)
	fs.FailAt(0, false, nil)
	require.NoError(t, l.Reopen(ctx))
	mustAppend(t, l, value("t", "3"))
	rs, err = c.Poll(ctx, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"3"}, bodies(rs))
	require.NoError(t, c.Commit(ctx))
	at, err := c.Committed(ctx, topic.Partition{Topic: "t"})
	require.NoError(t, err)
	require.EqualValues(t, 3, at)
	require.NoError(t, c.Close(ctx))
	require.NoError(t, waiting.Close(ctx))
}

// TestStoreFailsUnseen lets the store fail while the log has nothing to write: the next unit is refused, not swallowed.
func TestStoreFailsUnseen(t *testing.T) {
	fs := storetest.New()
	l := openOn(t, fs, Options{})
	mustAppend(t, l, value("t", "1"))
	fs.FailAt(1, false, syscall.EIO)
	require.Error(t, l.db.PutStatus("x", nil))
	require.ErrorIs(t, appendUnit(l, markOf(1), value("t", "2")), syscall.EIO)
	require.NoError(t, l.db.PutStatus("x", nil), "which reopens the store behind the log's back")
	require.ErrorIs(t, appendUnit(l, markOf(2), value("t", "3")), syscall.EIO)
	require.Equal(t, 0, durableUnits(t, l))
	require.NoError(t, appendUnit(l, markOf(1), value("t", "2")))
	require.Equal(t, []string{"1", "2"}, bodies(all(t, l, "t")))
}

// TestPowerFailure cuts the power between any two steps of the log, with 0 to 100 % of what was not synced surviving.
func TestPowerFailure(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	for _, percent := range []int{0, 20, 50, 80, 99, 100} {
		fs := storetest.New()
		l := openOn(t, fs, Options{})
		var mu sync.Mutex
		acked := 0
		type image struct {
			fs    *storetest.FS
			acked int
			step  string
		}
		var images []image
		unset := failpoint.Set(func(step string) {
			mu.Lock()
			defer mu.Unlock()
			if rng.IntN(4) == 0 {
				images = append(images, image{fs.Crash(percent, rng), acked, step})
			}
		})
		for i := range 60 {
			done := make(chan struct{})
			l.Append(context.Background(), unitOf(i+1), func(err error) {
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					acked = i + 1
				}
				close(done)
			})
			if i%5 == 0 {
				<-done // else several units in one batch
			}
		}
		require.NoError(t, l.Close(context.Background()))
		unset()
		require.Equal(t, 60, acked)
		require.NotEmpty(t, images)
		for _, im := range images {
			after := openOn(t, im.fs, Options{})
			name := fmt.Sprintf("seed %d, %d %%, crash at %s with %d units acknowledged", seed, percent, im.step, im.acked)
			have := durableUnits(t, after)
			require.GreaterOrEqual(t, have, im.acked, name)
			requireUnits(t, after, have, name)
			for _, err := range appendAll(after, have+1, have+5) {
				require.NoError(t, err, name)
			}
			requireUnits(t, after, have+5, name)
		}
	}
}

// TestReadersSeeOnlyWhatIsDurable holds a commit back between memory and disk, where Pebble already shows it: nobody may
// read it, because a crash may take it back.
func TestReadersSeeOnlyWhatIsDurable(t *testing.T) {
	fs := storetest.New()
	l := openOn(t, fs, Options{})
	mustAppend(t, l, value("t", "1"))
	id := l.topics["t"].parts[0].id
	release := fs.HoldSyncs()
	defer release()
	done := make(chan error, 1)
	l.Append(context.Background(), topic.Unit{Records: []topic.Record{value("t", "2")}}, func(err error) { done <- err })
	waitFor(t, "the second chunk in memory", func() bool {
		n := 0
		require.NoError(t, l.db.Chunks(id, 0, func(int64, []byte) (bool, error) { n++; return true, nil }))
		return n == 2
	})
	require.Equal(t, []string{"1"}, bodies(all(t, l, "t")))
	rs, err := l.ReadFrom(context.Background(), topic.Partition{Topic: "t"}, 0, 10)
	require.NoError(t, err)
	require.Len(t, rs, 1)
	release()
	require.NoError(t, <-done)
	require.Equal(t, []string{"1", "2"}, bodies(all(t, l, "t")))
}

func TestFailpoints(t *testing.T) {
	l := openOn(t, storetest.New(), Options{})
	var steps []string
	defer failpoint.Set(func(step string) { steps = append(steps, step) })()
	done := make(chan struct{})
	l.Append(context.Background(), topic.Unit{Records: []topic.Record{value("t", "1")}}, func(error) {
		steps = append(steps, "done")
		close(done)
	})
	<-done
	require.Equal(t, []string{"log.append.before-commit", "log.append.after-commit", "done"}, steps)
}
