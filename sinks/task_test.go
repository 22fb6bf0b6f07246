// SPDX-License-Identifier: Apache-2.0

package sinks_test

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/sinks"
	"freshet/sinks/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const group = "connect-t"

// numbers is a decoder of records whose value is a number; the record's value is that number.
type numbers struct{ decoded atomic.Int64 }

var errNotANumber = errors.New("not a number")

func (n *numbers) Decode(b *sinks.Batch, r *topic.Record) (sinks.Record, error) {
	if len(r.Value.Body) != 8 {
		return sinks.Record{}, errNotANumber
	}
	n.decoded.Add(1)
	return sinks.Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Headers: r.Headers,
		ValueType: &schema.Type{Kind: schema.Int64}, Value: change.IntValue(int64(binary.BigEndian.Uint64(r.Value.Body))),
	}, nil
}

// recorder is a Writer that keeps what it was given.
type recorder struct {
	got      []int64
	batches  []int
	headers  []string
	next     map[topic.Partition]int64
	fail     func(b *sinks.Batch) error
	entered  chan int      // told of every Write, if not nil
	release  chan struct{} // a Write waits for it, if not nil
	deadline bool          // a Write was cancelled
	closed   int
}

func (w *recorder) Write(ctx context.Context, b *sinks.Batch) error {
	if w.entered != nil {
		w.entered <- len(b.Records)
	}
	if w.release != nil {
		select {
		case <-w.release:
		case <-ctx.Done():
			w.deadline = true
			return ctx.Err()
		}
	}
	if w.fail != nil {
		if err := w.fail(b); err != nil {
			return err
		}
	}
	for i := range b.Records {
		r := &b.Records[i]
		w.got = append(w.got, r.Value.Int())
		for _, h := range r.Headers {
			w.headers = append(w.headers, h.Key+"="+string(h.Value))
		}
	}
	w.batches = append(w.batches, len(b.Records))
	if w.next == nil {
		w.next = map[topic.Partition]int64{}
	}
	maps.Copy(w.next, b.Next)
	return nil
}

func (w *recorder) Close(context.Context) error {
	w.closed++
	return nil
}

// number is a record whose value is n.
func number(n int) topic.Record {
	return topic.Record{Topic: "t", Value: topic.Data{Body: binary.BigEndian.AppendUint64(nil, uint64(n))}}
}

func fill(t *testing.T, log *sinktest.Log, from, to int) {
	t.Helper()
	var u topic.Unit
	for n := from; n < to; n++ {
		u.Records = append(u.Records, number(n))
	}
	appendUnit(t, log, u)
}

func appendUnit(t *testing.T, log *sinktest.Log, u topic.Unit) {
	t.Helper()
	done := make(chan error, 1)
	log.Append(t.Context(), u, func(err error) { done <- err })
	require.NoError(t, <-done)
}

func options(log topic.Log, w sinks.Writer) sinks.Options {
	return sinks.Options{
		Log: log, Subscription: topic.Subscription{Group: group, Topics: []string{"t"}}, Decoder: &numbers{}, Writer: w,
		Logger: slog.New(slog.DiscardHandler), CommitInterval: time.Millisecond,
	}
}

// start runs a task; stop ends it and returns what Run returned.
func start(t *testing.T, o sinks.Options) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- sinks.NewTask(o).Run(ctx) }()
	return func() error {
		cancel()
		return <-done
	}
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			t.Fatalf("waited for: %s", what)
		case <-tick.C:
		}
	}
}

func committed(log *sinktest.Log) int64 { return log.Committed(group)[topic.Partition{Topic: "t"}] }

func TestTaskWritesInOrderAndCommits(t *testing.T) {
	log, w := sinktest.NewLog(), &recorder{}
	fill(t, log, 0, 5000)
	o := options(log, w)
	o.BatchSize = 700
	stop := start(t, o)
	waitFor(t, "the commit", func() bool { return committed(log) == 5000 })
	fill(t, log, 5000, 5003)
	waitFor(t, "the commit of what came later", func() bool { return committed(log) == 5003 })
	require.NoError(t, stop())
	require.Len(t, w.got, 5003)
	for i, n := range w.got {
		require.Equal(t, int64(i), n)
	}
	for _, n := range w.batches {
		require.LessOrEqual(t, n, 700)
	}
	require.Equal(t, 1, w.closed)
}

func TestTaskDecodesWhileItWrites(t *testing.T) {
	log := sinktest.NewLog()
	w := &recorder{entered: make(chan int, 10), release: make(chan struct{})}
	fill(t, log, 0, 10)
	o := options(log, w)
	d := &numbers{}
	o.Decoder = d
	stop := start(t, o)
	require.Equal(t, 10, <-w.entered)
	fill(t, log, 10, 30)
	waitFor(t, "the second batch to be decoded while the first is being written", func() bool { return d.decoded.Load() == 30 })
	require.Zero(t, committed(log), "nothing is committed before it is written")
	w.release <- struct{}{}
	require.Equal(t, 20, <-w.entered)
	require.Zero(t, committed(log), "no commit while something polled is not written")
	w.release <- struct{}{}
	waitFor(t, "the commit", func() bool { return committed(log) == 30 })
	require.NoError(t, stop())
}

func TestTaskCommitsUnderLoad(t *testing.T) {
	log := sinktest.NewLog()
	w := &recorder{entered: make(chan int), release: make(chan struct{})}
	o := options(log, w)
	o.BatchSize, o.CommitInterval = 10, time.Nanosecond
	fill(t, log, 0, 10)
	stop := start(t, o)
	// There is always more to read; still the offsets of what is written get committed.
	for n := 1; committed(log) == 0; n++ {
		require.Less(t, n, 10, "no commit")
		fill(t, log, 10*n, 10*n+10)
		require.NotZero(t, <-w.entered)
		w.release <- struct{}{}
	}
	go func() {
		for range w.entered {
			w.release <- struct{}{}
		}
	}()
	require.NoError(t, stop())
	close(w.entered)
}

func TestTaskCommitsOnceThereIsNothingToRead(t *testing.T) {
	log, w := sinktest.NewLog(), &recorder{}
	fill(t, log, 0, 10)
	o := options(log, w)
	o.CommitInterval = time.Hour
	stop := start(t, o)
	waitFor(t, "the commit", func() bool { return committed(log) == 10 })
	fill(t, log, 10, 11)
	waitFor(t, "the next one", func() bool { return committed(log) == 11 })
	require.NoError(t, stop())
}

func TestTaskFinishesItsBatchesWhenItsContextEnds(t *testing.T) {
	log := sinktest.NewLog()
	w := &recorder{entered: make(chan int, 1), release: make(chan struct{})}
	fill(t, log, 0, 10)
	stop := start(t, options(log, w))
	<-w.entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	select {
	case err := <-stopped:
		t.Fatalf("the task ended in the middle of a write: %v", err)
	case w.release <- struct{}{}:
	}
	require.NoError(t, <-stopped)
	require.Len(t, w.got, 10)
	require.Equal(t, int64(10), committed(log), "what was written is committed")
}

func TestTaskGivesUpAWriteAfterTheDrainTimeout(t *testing.T) {
	log := sinktest.NewLog()
	w := &recorder{entered: make(chan int, 1), release: make(chan struct{})}
	fill(t, log, 0, 10)
	o := options(log, w)
	o.DrainTimeout = time.Millisecond
	stop := start(t, o)
	<-w.entered
	require.ErrorIs(t, stop(), context.Canceled)
	require.True(t, w.deadline)
	require.Zero(t, committed(log))
}

func TestTaskReturnsRowErrors(t *testing.T) {
	log := sinktest.NewLog()
	refused := &sinks.RowError{Index: 3, Topic: "t", Offset: 3, Key: "k", Err: errors.New("refused")}
	w := &recorder{fail: func(*sinks.Batch) error { return refused }}
	fill(t, log, 0, 10)
	err := sinks.NewTask(options(log, w)).Run(t.Context())
	var got *sinks.RowError
	require.ErrorAs(t, err, &got)
	require.Equal(t, refused, got)
	require.Zero(t, committed(log), "it is read again")
	require.Equal(t, 1, w.closed)
}

func TestTaskNamesWhatItCannotDecode(t *testing.T) {
	log, w := sinktest.NewLog(), &recorder{}
	fill(t, log, 0, 3)
	appendUnit(t, log, topic.Unit{Records: []topic.Record{{Topic: "t", Key: topic.Data{Body: []byte("the key")}, Value: topic.Data{Body: []byte("x")}}}})
	err := sinks.NewTask(options(log, w)).Run(t.Context())
	require.ErrorIs(t, err, errNotANumber)
	require.ErrorContains(t, err, `record t-0@3 (key the key)`)
	var got *sinks.RowError
	require.ErrorAs(t, err, &got)
	require.False(t, got.Retriable())
	require.Empty(t, w.got, "nothing of the poll is written, as in Kafka Connect")
	require.Zero(t, committed(log))
}

// dropOdd drops odd numbers and renames the topic of the others.
type dropOdd struct{}

func (dropOdd) Apply(_ *sinks.Batch, r *sinks.Record) (bool, error) {
	r.Topic = "renamed"
	return r.Value.Int()%2 == 0, nil
}

// H12: a dropped record is consumed like any other, also the last one.
func TestTaskCountsDroppedRecords(t *testing.T) {
	log, w := sinktest.NewLog(), &recorder{}
	fill(t, log, 0, 4)
	o := options(log, w)
	o.Transforms = []sinks.Transform{dropOdd{}}
	stop := start(t, o)
	waitFor(t, "the commit", func() bool { return committed(log) == 4 })
	fill(t, log, 5, 6) // dropped alone
	waitFor(t, "the commit of a batch that is dropped as a whole", func() bool { return committed(log) == 5 })
	require.NoError(t, stop())
	require.Equal(t, []int64{0, 2}, w.got)
	require.Equal(t, map[topic.Partition]int64{{Topic: "t"}: 4}, w.next, "by the coordinates that the records were read at")
}

func TestTaskKeepsHeadersBeyondTheNextPoll(t *testing.T) {
	log, w := sinktest.NewLog(), &recorder{entered: make(chan int, 10), release: make(chan struct{}, 10)}
	fill(t, log, 0, 1)
	o := options(log, w)
	d := &numbers{}
	o.Decoder = d
	stop := start(t, o)
	<-w.entered
	for _, v := range []string{"one", "two"} { // two polls into one batch
		r := number(1)
		r.Headers = []topic.Header{{Key: "h", Value: []byte(v)}, {Key: "null"}}
		n := d.decoded.Load()
		appendUnit(t, log, topic.Unit{Records: []topic.Record{r}})
		waitFor(t, "the record to be decoded", func() bool { return d.decoded.Load() == n+1 })
	}
	w.release <- struct{}{}
	w.release <- struct{}{}
	waitFor(t, "the commit", func() bool { return committed(log) == 3 })
	require.NoError(t, stop())
	require.Equal(t, []string{"h=one", "null=", "h=two", "null="}, w.headers)
}

// kept is a recorder that keeps offsets in the target.
type kept struct {
	*recorder
	positions map[topic.Partition]int64
}

func (k kept) Positions(context.Context) (map[topic.Partition]int64, error) { return k.positions, nil }

func TestTaskGoesOnWhereTheTargetIs(t *testing.T) {
	log, w := sinktest.NewLog(), &recorder{}
	fill(t, log, 0, 10)
	o := options(log, kept{w, map[topic.Partition]int64{{Topic: "t"}: 7, {Topic: "another group's"}: 99}})
	stop := start(t, o)
	waitFor(t, "the commit", func() bool { return committed(log) == 10 })
	require.NoError(t, stop())
	require.Equal(t, []int64{7, 8, 9}, w.got)
}

func TestTaskRefusesTheOffsetsOfAnotherLog(t *testing.T) {
	log := sinktest.NewLog()
	fill(t, log, 0, 10)
	o := options(log, kept{&recorder{}, map[topic.Partition]int64{{Topic: "t"}: 11}})
	err := sinks.NewTask(o).Run(t.Context())
	var other *sinks.OffsetError
	require.ErrorAs(t, err, &other)
	require.ErrorContains(t, err, `topic "t" partition 0 up to offset 11, but the topic ends at 10`)
	require.False(t, other.Retriable())
}

func TestTaskLimitsBatchesByBytes(t *testing.T) {
	log, w := sinktest.NewLog(), &recorder{}
	fill(t, log, 0, 3000)
	o := options(log, w)
	o.BatchBytes = 1
	stop := start(t, o)
	waitFor(t, "the commit", func() bool { return committed(log) == 3000 })
	require.NoError(t, stop())
	require.Equal(t, 1, w.batches[len(w.batches)-1], "batches shrink to what the budget allows")
}
