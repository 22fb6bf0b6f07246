// SPDX-License-Identifier: Apache-2.0

package local

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
	"freshet/internal/store"
	"freshet/internal/store/storetest"
)

// logText collects what is logged.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *logText) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *logText) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

func (w *logText) logger() *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

var day0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// fillDays appends one chunk a day: three records of that day.
func fillDays(t testing.TB, l *Log, name string, days int) {
	t.Helper()
	for d := range days {
		at := day0.AddDate(0, 0, d).UnixMilli()
		r := topic.Record{Topic: name, TimeMillis: at, Value: topic.Data{Body: make([]byte, 100)}}
		early := r
		early.TimeMillis -= time.Hour.Milliseconds()
		mustAppend(t, l, early, r, early)
	}
}

func rangeOf(t testing.TB, l *Log, name string) topic.Range {
	t.Helper()
	infos, err := l.List(context.Background())
	require.NoError(t, err)
	for _, i := range infos {
		if i.Name == name {
			return i.Partitions[0]
		}
	}
	require.FailNow(t, "no topic", name)
	return topic.Range{}
}

func TestRetention(t *testing.T) {
	chunk := int64(len(chunkOf(t, topic.Record{Value: topic.Data{Body: make([]byte, 100)}})))
	chunk += 2 * (chunk - int64(len(chunkOf(t)))) // of three records, but for their times
	for _, c := range []struct {
		name  string
		spec  topic.Spec
		now   time.Time
		start int64
	}{
		{"default 7 days, all young", topic.Spec{}, day0.AddDate(0, 0, 7), 0},
		{"default 7 days", topic.Spec{}, day0.AddDate(0, 0, 7).Add(time.Millisecond), 3},
		{"default 7 days, later", topic.Spec{}, day0.AddDate(0, 0, 10), 9},
		{"all old", topic.Spec{}, day0.AddDate(1, 0, 0), 30},
		{"two days", topic.Spec{RetentionTime: 48 * time.Hour}, day0.AddDate(0, 0, 10), 24},
		{"for ever", topic.Spec{RetentionTime: -1}, day0.AddDate(9, 0, 0), 0},
		{"bytes", topic.Spec{RetentionTime: -1, RetentionBytes: 3*chunk - 20}, day0, 21},
		{"more bytes than there are", topic.Spec{RetentionTime: -1, RetentionBytes: 1 << 40}, day0, 0},
		{"both", topic.Spec{RetentionTime: 48 * time.Hour, RetentionBytes: 3*chunk - 20}, day0.AddDate(0, 0, 10), 24},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs := storetest.New()
			l := openOn(t, fs, Options{Now: func() time.Time { return c.now }})
			c.spec.Name = "t"
			require.NoError(t, l.Create(t.Context(), c.spec, topic.Spec{Name: "empty"}))
			fillDays(t, l, "t", 10)
			require.NoError(t, l.Retain(t.Context(), c.now))
			require.Equal(t, topic.Range{Start: c.start, End: 30}, rangeOf(t, l, "t"))
			require.NoError(t, l.Retain(t.Context(), c.now), "twice is once")
			require.Equal(t, topic.Range{Start: c.start, End: 30}, rangeOf(t, l, "t"))
			require.Len(t, all(t, l, "t"), int(30-c.start))
			mustAppend(t, l, value("t", "next"))
			require.NoError(t, l.Close(t.Context()))
			require.NoError(t, l.db.Close())
			l = openOn(t, fs, Options{})
			require.Equal(t, topic.Range{Start: c.start, End: 31}, rangeOf(t, l, "t"))
			rs := all(t, l, "t")
			require.Equal(t, c.start, rs[0].Offset)
		})
	}
}

// TestRetentionUnderCursors lets records go that cursors have not read: they go on at the start and say what is missing.
func TestRetentionUnderCursors(t *testing.T) {
	var text logText
	fs := storetest.New()
	l := openOn(t, fs, Options{Log: text.logger()})
	ctx := t.Context()
	fillDays(t, l, "t", 10)
	c, err := l.Subscribe(ctx, topic.Subscription{Group: "slow", Topics: []string{"t"}})
	require.NoError(t, err)
	rs, err := c.Poll(ctx, 2) // in the middle of the first chunk
	require.NoError(t, err)
	require.Len(t, rs, 2)
	require.NoError(t, c.Commit(ctx))
	fresh, err := l.Subscribe(ctx, topic.Subscription{Topics: []string{"t"}})
	require.NoError(t, err)
	require.NoError(t, l.Retain(ctx, day0.AddDate(0, 0, 12)))
	require.Contains(t, text.String(), `"retention deletes records that a group has not read" group=slow topic=t partition=0 records=13`)
	rs, err = c.Poll(ctx, 2)
	require.NoError(t, err)
	require.EqualValues(t, 2, rs[0].Offset, "what was read already is given out")
	next := rs[0].Offset + 1
	if len(rs) == 1 {
		rs, err = c.Poll(ctx, 2)
		require.NoError(t, err)
		rs = append([]topic.Record{{}}, rs...)
	}
	require.EqualValues(t, 15, rs[1].Offset)
	require.Contains(t, text.String(), fmt.Sprintf("skipped=%d", 15-next))
	require.Equal(t, 1, strings.Count(text.String(), "deleted by retention before they were read"), "said once")
	rs, err = fresh.Poll(ctx, 1)
	require.NoError(t, err)
	require.EqualValues(t, 15, rs[0].Offset)
	require.NoError(t, c.Close(ctx))
	require.NoError(t, fresh.Close(ctx))
}

// TestRetentionGivesRoomBack wants the disk space of deleted records back without waiting for more writes.
func TestRetentionGivesRoomBack(t *testing.T) {
	// Pebble keeps a few logs of the size of its write buffers for new use; with small ones they do not count.
	db, err := store.Open(t.TempDir(), store.Options{MemTableBytes: 1 << 20})
	require.NoError(t, err)
	l, err := Open(db, Options{RetentionInterval: -1})
	require.NoError(t, err)
	noise := make([]byte, 1<<20) // which does not compress
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise)
	rec := topic.Record{Topic: "t", TimeMillis: 1, Value: topic.Data{Body: noise}}
	for range 60 {
		mustAppend(t, l, rec)
	}
	require.Greater(t, db.DiskBytes(), uint64(60<<20))
	require.NoError(t, l.Retain(t.Context(), time.Now()))
	require.Equal(t, topic.Range{Start: 60, End: 60}, rangeOf(t, l, "t"))
	waitFor(t, "room", func() bool { return db.DiskBytes() < 20<<20 })
	require.NoError(t, l.Close(t.Context()))
	require.NoError(t, db.Close())
}

// TestRetentionByItself is done at once after Open, and then at every interval.
func TestRetentionByItself(t *testing.T) {
	fs := storetest.New()
	l := openOn(t, fs, Options{})
	fillDays(t, l, "t", 3)
	require.NoError(t, l.Close(t.Context()))
	require.NoError(t, l.db.Close())
	l = openOn(t, fs, Options{RetentionInterval: time.Millisecond})
	waitFor(t, "retention after Open", func() bool { return rangeOf(t, l, "t") == topic.Range{Start: 9, End: 9} })
	fillDays(t, l, "t", 1)
	waitFor(t, "retention at an interval", func() bool { return rangeOf(t, l, "t") == topic.Range{Start: 12, End: 12} })
}

// What retention deletes while it is read is skipped, whatever of the deletion is seen first: it is no damage.
func TestRetentionWhileReading(t *testing.T) {
	l := openOn(t, storetest.New(), Options{})
	for n := range 1000 {
		name := fmt.Sprintf("t%d", n)
		require.NoError(t, l.Create(t.Context(), topic.Spec{Name: name, Partitions: 1, RetentionTime: 24 * time.Hour}))
		fillDays(t, l, name, 1)
		c, err := l.Subscribe(t.Context(), topic.Subscription{Topics: []string{name}})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		deleted := make(chan error, 1)
		go func() {
			deleted <- l.Retain(context.Background(), day0.AddDate(0, 0, 9))
			cancel()
		}()
		for err == nil { // records, or in the end none
			_, err = c.Poll(ctx, 1)
			c.Seek(topic.Partition{Topic: name}, 0)
		}
		require.ErrorIs(t, err, context.Canceled, "topic %d", n)
		require.NoError(t, <-deleted)
		require.NoError(t, c.Close(t.Context()))
		require.NoError(t, l.DeleteTopic(t.Context(), name))
	}
}
