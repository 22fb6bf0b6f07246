// SPDX-License-Identifier: Apache-2.0

package local

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"freshet/emitter/topic"
	"freshet/emitter/topic/topictest"
	"freshet/internal/failpoint"
	"freshet/internal/store"
	"freshet/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// folder is a topictest.Store in a data folder.
type folder struct {
	dir string
	db  *store.DB
}

func (f *folder) Open(t testing.TB) topic.Log {
	if f.db != nil {
		require.NoError(t, f.db.Close())
	}
	var err error
	f.db, err = store.Open(f.dir, store.Options{})
	require.NoError(t, err)
	l, err := Open(f.db, Options{})
	require.NoError(t, err)
	return l
}

func TestConformance(t *testing.T) {
	topictest.Run(t, func(t testing.TB) topictest.Store {
		f := &folder{dir: t.TempDir()}
		t.Cleanup(func() { require.NoError(t, f.db.Close()) })
		return f
	})
}

// openOn opens a log on a file system in memory. Both are closed with the test.
func openOn(t testing.TB, fs *storetest.FS, o Options) *Log {
	t.Helper()
	db, err := store.Open("data", store.Options{FS: fs, MemTableBytes: 512 << 10})
	require.NoError(t, err)
	if o.RetentionInterval == 0 {
		o.RetentionInterval = -1
	}
	l, err := Open(db, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, l.Close(context.Background()))
		_ = db.Close() // of a failed one it is an error
	})
	return l
}

func value(name, v string) topic.Record {
	return topic.Record{Topic: name, Value: topic.Data{Body: []byte(v)}}
}

// appendUnit appends a unit and waits for it.
func appendUnit(l *Log, mark topic.Mark, records ...topic.Record) error {
	done := make(chan error, 1)
	l.Append(context.Background(), topic.Unit{Records: records, Mark: mark}, func(err error) { done <- err })
	return <-done
}

func mustAppend(t testing.TB, l *Log, records ...topic.Record) {
	t.Helper()
	require.NoError(t, appendUnit(l, topic.Mark{}, records...))
}

// all reads a partition from its start.
func all(t testing.TB, l *Log, name string) []topic.Record {
	t.Helper()
	var out []topic.Record
	for {
		at := int64(0)
		if len(out) > 0 {
			at = out[len(out)-1].Offset + 1
		}
		rs, err := l.ReadFrom(context.Background(), topic.Partition{Topic: name}, at, 1000)
		require.NoError(t, err)
		if len(rs) == 0 {
			return out
		}
		out = append(out, rs...)
	}
}

func bodies(rs []topic.Record) []string {
	var out []string
	for _, r := range rs {
		out = append(out, string(r.Value.Body))
	}
	return out
}

// waitFor waits until cond is true.
func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, 20*time.Second, time.Millisecond, what)
}

// TestFarFuture is a time that brokers refuse and that a record may have.
func TestFarFuture(t *testing.T) {
	l := openOn(t, storetest.New(), Options{})
	mustAppend(t, l, topic.Record{Topic: "t", TimeMillis: 1}, topic.Record{Topic: "t", TimeMillis: 1 << 50})
	require.EqualValues(t, 1<<50, all(t, l, "t")[1].TimeMillis)
}

// TestBudgetBlocks holds the writer back and appends until Append blocks.
func TestBudgetBlocks(t *testing.T) {
	l := openOn(t, storetest.New(), Options{MaxBytes: 10_000})
	release := stall(t, l)
	body := make([]byte, 4000)
	unit := topic.Unit{Records: []topic.Record{{Topic: "t", Value: topic.Data{Body: body}}}}
	var wg sync.WaitGroup
	var order []int
	for i := range 2 {
		wg.Add(1)
		l.Append(context.Background(), unit, func(error) { order = append(order, i); wg.Done() })
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	wg.Add(1)
	l.Append(ctx, unit, func(err error) { // blocks until ctx ends
		if err == nil {
			t.Error("the third unit does not fit")
		}
		order = append(order, 2)
		wg.Done()
	})
	require.ErrorIs(t, ctx.Err(), context.DeadlineExceeded, "Append was blocked")
	huge := topic.Unit{Records: []topic.Record{{Topic: "t", Value: topic.Data{Body: make([]byte, 50_000)}}}}
	wg.Add(1)
	entered := make(chan struct{})
	go func() {
		close(entered)
		l.Append(context.Background(), huge, func(err error) { // larger than the budget: alone
			if err != nil {
				t.Error(err)
			}
			order = append(order, 3)
			wg.Done()
		})
	}()
	<-entered
	release()
	wg.Wait()
	require.Equal(t, []int{0, 1, 2, 3}, order)
	require.Len(t, all(t, l, "t"), 3)
}

// stall keeps the writer from going on until release is called.
func stall(t testing.TB, l *Log) (release func()) {
	t.Helper()
	entered, leave := make(chan struct{}), make(chan struct{})
	go l.push(&item{op: func(*store.Batch) error { close(entered); <-leave; return nil }, done: func(error) {}})
	<-entered
	return sync.OnceFunc(func() { close(leave) })
}

func TestUnitsAreMerged(t *testing.T) {
	l := openOn(t, storetest.New(), Options{})
	mustAppend(t, l, value("t", "first"))
	release := stall(t, l)
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Add(1)
		l.Append(context.Background(), topic.Unit{Records: []topic.Record{value("t", fmt.Sprint(i))}},
			func(err error) { wg.Done() })
	}
	var commits atomic.Int64
	unset := failpoint.Set(func(step string) {
		if step == "log.append.before-commit" {
			commits.Add(1)
		}
	})
	defer unset()
	release()
	wg.Wait()
	require.LessOrEqual(t, commits.Load(), int64(2), "queued units share syncs")
	require.Len(t, all(t, l, "t"), 1001)
}

// TestDeadlineOfClose stops waiting for what is queued, which then fails.
func TestDeadlineOfClose(t *testing.T) {
	fs := storetest.New()
	l := openOn(t, fs, Options{})
	mustAppend(t, l, value("t", "first"))
	release := stall(t, l)
	done := make(chan error, 1)
	l.Append(context.Background(), topic.Unit{Records: []topic.Record{value("t", "late")}}, func(err error) { done <- err })
	ctx, cancel := context.WithCancel(context.Background())
	closed := make(chan error, 1)
	go func() { closed <- l.Close(ctx) }()
	cancel()
	waitFor(t, "Close to give up", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.abandon
	})
	release()
	require.ErrorIs(t, <-closed, context.Canceled)
	require.ErrorIs(t, <-done, topic.ErrClosed)
	require.NoError(t, l.Close(context.Background()))
}

// TestHugeRecord appends and reads a row of 64 MB, larger than all budgets and buffers, among small ones.
func TestHugeRecord(t *testing.T) {
	f := &folder{dir: t.TempDir()}
	l := f.Open(t).(*Log)
	huge := make([]byte, 64<<20)
	for i := 0; i < len(huge); i += 1000 {
		huge[i] = byte(i)
	}
	mustAppend(t, l, value("t", "before"), topic.Record{Topic: "t", Value: topic.Data{Body: huge}}, value("t", "after"))
	for range 2 {
		c, err := l.Subscribe(t.Context(), topic.Subscription{Topics: []string{"t"}})
		require.NoError(t, err)
		var sizes []int
		for len(sizes) < 3 {
			rs, err := c.Poll(t.Context(), 10)
			require.NoError(t, err)
			for _, r := range rs {
				sizes = append(sizes, len(r.Value.Body))
				if r.Offset == 1 && !bytes.Equal(huge, r.Value.Body) {
					t.Error("the row is not as it was")
				}
			}
		}
		require.Equal(t, []int{6, len(huge), 5}, sizes)
		require.NoError(t, c.Close(t.Context()))
		require.NoError(t, l.Close(t.Context()))
		l = f.Open(t).(*Log)
	}
	require.NoError(t, l.Close(t.Context()))
	require.NoError(t, f.db.Close())
}

// TestAClosedCursorKeepsNoMemory: a connector that is deleted, or a task that begins anew again and again, leaves nothing behind.
func TestAClosedCursorKeepsNoMemory(t *testing.T) {
	l := openOn(t, storetest.New(), Options{})
	for range 100 {
		mustAppend(t, l, topic.Record{Topic: "t", Value: topic.Data{Body: bytes.Repeat([]byte("x"), 10_000)}})
	}
	c, err := l.Subscribe(t.Context(), topic.Subscription{Group: "g", Topics: []string{"t"}})
	require.NoError(t, err)
	records, err := c.Poll(t.Context(), 50)
	require.NoError(t, err)
	require.NotEmpty(t, records)
	value := records[0].Value.Body
	require.NoError(t, c.Close(t.Context()))
	require.Zero(t, c.(*cursor).reader, "whoever still knows the cursor")
	require.Equal(t, byte('x'), value[0], "what was given out stays good")
	_, err = c.Poll(t.Context(), 1)
	require.ErrorIs(t, err, topic.ErrClosed)
}
