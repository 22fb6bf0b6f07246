// SPDX-License-Identifier: Apache-2.0

// Package topictest is the conformance suite that every topic.Log must pass.
//
// Run is its entry. It knows a Log by its interface alone; what an implementation does beyond it (budgets, retention,
// failures of its disk or brokers) it tests itself.
package topictest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
)

// Store is where the logs of one test keep their topics.
type Store interface {
	// Open opens the log, again after Close with everything that was durable.
	Open(t testing.TB) topic.Log
}

// Run runs the suite. newStore makes an empty store for each test.
func Run(t *testing.T, newStore func(t testing.TB) Store) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s Store)
	}{
		{"order and offsets", testOrder},
		{"forms of data", testForms},
		{"large record", testLarge},
		{"many heads", testManyHeads},
		{"marks", testMarks},
		{"partitions by key", testPartitions},
		{"topics", testTopics},
		{"deleted topics and marks", testDeleted},
		{"refused units", testRefused},
		{"concurrent appenders", testConcurrent},
		{"append with an ended context", testAppendCancelled},
		{"close", testClose},
		{"group goes on at its commit", testGroup},
		{"cursor without a group", testNoGroup},
		{"from the end", testFromEnd},
		{"seek", testSeek},
		{"members share partitions", testMembers},
		{"partitions stay until commit", testStickyUntilCommit},
		{"pattern", testPattern},
		{"poll waits", testPollWaits},
		{"poll limits", testPollLimits},
		{"records stay valid", testValidity},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, newStore(t)) })
	}
}

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// open opens a log that is closed with the test.
func open(t testing.TB, s Store) topic.Log {
	t.Helper()
	l := s.Open(t)
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	return l
}

func withTimeout(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// text is a record with a value, and a key if it is not "".
func text(name string, partition int32, key, value string) topic.Record {
	r := topic.Record{Topic: name, Partition: partition, Value: topic.Data{Body: []byte(value)}}
	if key != "" {
		r.Key.Body = []byte(key)
	}
	return r
}

// appended is an Append whose done can be waited for.
type appended struct{ done chan error }

func start(ctx context.Context, l topic.Log, u topic.Unit) appended {
	a := appended{done: make(chan error, 2)}
	l.Append(ctx, u, func(err error) { a.done <- err })
	return a
}

func (a appended) wait(t testing.TB) error {
	t.Helper()
	select {
	case err := <-a.done:
		return err
	case <-time.After(patience):
		require.FailNow(t, "done was not called")
		return nil
	}
}

// mustAppend appends a unit of records and waits until it is durable.
func mustAppend(t testing.TB, l topic.Log, records ...topic.Record) {
	t.Helper()
	require.NoError(t, start(context.Background(), l, topic.Unit{Records: records}).wait(t))
}

func mustSubscribe(t testing.TB, l topic.Log, s topic.Subscription) topic.Cursor {
	t.Helper()
	c, err := l.Subscribe(withTimeout(t), s)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// copyRecord is a record that outlives the next Poll.
func copyRecord(r topic.Record) topic.Record {
	data := func(d topic.Data) topic.Data {
		if d.Body != nil {
			d.Body = append([]byte{}, d.Body...)
		}
		return d
	}
	r.Key, r.Value = data(r.Key), data(r.Value)
	hs := r.Headers
	r.Headers = nil
	for _, h := range hs {
		if h.Value != nil {
			h.Value = append([]byte{}, h.Value...)
		}
		r.Headers = append(r.Headers, h)
	}
	return r
}

// poll polls until there are n records, and wants no more.
func poll(t testing.TB, c topic.Cursor, n int) []topic.Record {
	t.Helper()
	ctx := withTimeout(t)
	var out []topic.Record
	for len(out) < n {
		rs, err := c.Poll(ctx, n-len(out))
		require.NoError(t, err, "after %d of %d records", len(out), n)
		require.NotEmpty(t, rs)
		for _, r := range rs {
			out = append(out, copyRecord(r))
		}
	}
	require.Len(t, out, n)
	return out
}

// requireNothing polls and wants no record.
func requireNothing(t testing.TB, c topic.Cursor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	rs, err := c.Poll(ctx, 10)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Empty(t, rs)
}

func values(rs []topic.Record) []string {
	out := make([]string, 0, len(rs))
	for i := range rs {
		out = append(out, string(rs[i].Value.Bytes()))
	}
	return out
}

func testOrder(t *testing.T, s Store) {
	l := open(t, s)
	require.NoError(t, l.Create(withTimeout(t), topic.Spec{Name: "a", Partitions: 2}, topic.Spec{Name: "b", Partitions: 1}))
	var mu sync.Mutex
	var order []int
	var wg sync.WaitGroup
	const units = 50
	n := 0
	for i := range units {
		var u topic.Unit
		for range i % 7 {
			u.Records = append(u.Records, text("a", int32(n%2), "", fmt.Sprint("a", n)), text("b", 0, "", fmt.Sprint("b", n)))
			n++
		}
		u.Mark = topic.Mark{Key: "src", Value: fmt.Sprint(i)}
		wg.Add(1)
		l.Append(context.Background(), u, func(err error) {
			defer wg.Done()
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				order = append(order, i)
			}
		})
	}
	wg.Wait()
	for i, got := range order {
		require.Equal(t, i, got, "done is called in the order of Append")
	}
	require.Len(t, order, units)

	c := mustSubscribe(t, l, topic.Subscription{Topics: []string{"a", "b"}})
	next := map[topic.Partition]int64{}
	seen := map[topic.Partition][]string{}
	for _, r := range poll(t, c, 2*n) {
		p := topic.Partition{Topic: r.Topic, Partition: r.Partition}
		require.Equal(t, next[p], r.Offset, "offsets of %v have no gap", p)
		next[p]++
		seen[p] = append(seen[p], string(r.Value.Body))
		require.InDelta(t, time.Now().UnixMilli(), r.TimeMillis, 60_000, "the log's clock")
	}
	requireNothing(t, c)
	for i := range n {
		p := topic.Partition{Topic: "a", Partition: int32(i % 2)}
		require.Equal(t, fmt.Sprint("a", i), seen[p][i/2])
		require.Equal(t, fmt.Sprint("b", i), seen[topic.Partition{Topic: "b"}][i])
	}
	infos, err := l.List(withTimeout(t))
	require.NoError(t, err)
	require.Equal(t, []topic.Info{
		{Name: "a", Partitions: []topic.Range{{End: int64(n+1) / 2}, {End: int64(n) / 2}}},
		{Name: "b", Partitions: []topic.Range{{End: int64(n)}}},
	}, infos)
}

func testForms(t *testing.T, s Store) {
	l := open(t, s)
	head := &topic.Head{ID: 11, Bytes: []byte(`{"schema":{},"payload":`)}
	twin := &topic.Head{ID: 11, Bytes: []byte(`another with the same id`)}
	empty := &topic.Head{ID: 12, Bytes: []byte{}}
	forms := []topic.Data{
		{},
		{Body: []byte{}},
		{Body: []byte("body")},
		{Head: head},
		{Head: head, Body: []byte{}},
		{Head: head, Body: []byte("1}")},
		{Head: twin, Body: []byte("x")},
		{Head: empty},
		{Body: []byte{0, 0xff, 0xfe}},
		{Body: []byte("žluťoučký 🐎 \u2028")},
	}
	var in []topic.Record
	now := time.Now().UnixMilli() // retention deletes what is old
	for i, k := range forms {
		for j, v := range forms {
			in = append(in, topic.Record{
				Topic: "t", Key: k, Value: v, TimeMillis: now + int64(1+i*100+j) - 300*int64(j%2), Headers: headersOf(i + j),
			})
		}
	}
	require.NoError(t, start(context.Background(), l, topic.Unit{Records: in}).wait(t))
	for _, again := range []bool{false, true} {
		if again {
			require.NoError(t, l.Close(withTimeout(t)))
			l = open(t, s)
		}
		out := poll(t, mustSubscribe(t, l, topic.Subscription{Topics: []string{"t"}}), len(in))
		for i := range in {
			name := fmt.Sprint("record ", i)
			require.Equal(t, in[i].Key.IsNull(), out[i].Key.IsNull(), name)
			require.Equal(t, in[i].Value.IsNull(), out[i].Value.IsNull(), name)
			require.Equal(t, string(in[i].Key.Bytes()), string(out[i].Key.Bytes()), name)
			require.Equal(t, string(in[i].Value.Bytes()), string(out[i].Value.Bytes()), name)
			require.Equal(t, in[i].TimeMillis, out[i].TimeMillis, name)
			require.Len(t, out[i].Headers, len(in[i].Headers), name)
			for j, h := range in[i].Headers {
				require.Equal(t, h, out[i].Headers[j], name)
			}
		}
	}
}

// headersOf is none, or headers of all forms.
func headersOf(i int) []topic.Header {
	all := []topic.Header{
		{Key: "__debezium.newkey", Value: []byte(`{"id":1}`)},
		{Key: "null"},
		{Key: "empty", Value: []byte{}},
		{Key: "", Value: []byte("no name")},
		{Key: "ключ", Value: []byte("значение")},
		{Key: "null", Value: []byte("twice")},
	}
	return all[:i%(len(all)+1)]
}

func testLarge(t *testing.T, s Store) {
	l := open(t, s)
	large := make([]byte, 9<<20)
	for i := range large {
		large[i] = byte(i * 7)
	}
	mustAppend(t, l, text("t", 0, "", "before"), topic.Record{Topic: "t", Value: topic.Data{Body: large}},
		text("t", 0, "", "after"))
	rs := poll(t, mustSubscribe(t, l, topic.Subscription{Topics: []string{"t"}}), 3)
	require.Equal(t, "before", string(rs[0].Value.Body))
	if !bytes.Equal(large, rs[1].Value.Body) { // no diff of megabytes
		t.Error("the large value is not as it was")
	}
	require.Equal(t, "after", string(rs[2].Value.Body))
}

func testManyHeads(t *testing.T, s Store) {
	l := open(t, s)
	const n = 600
	var u topic.Unit
	for i := range n {
		h := &topic.Head{ID: uint64(i) * 0x9e3779b97f4a7c15, Bytes: fmt.Appendf(nil, "head %d:", i)}
		u.Records = append(u.Records, topic.Record{
			Topic: "t", Key: topic.Data{Head: h, Body: []byte("k")}, Value: topic.Data{Head: h, Body: []byte("v")},
		})
	}
	require.NoError(t, start(context.Background(), l, u).wait(t))
	require.NoError(t, l.Close(withTimeout(t)))
	l = open(t, s)
	c := mustSubscribe(t, l, topic.Subscription{Topics: []string{"t"}})
	for i, r := range poll(t, c, n) {
		require.Equal(t, fmt.Sprintf("head %d:v", i), string(r.Value.Bytes()))
		require.Equal(t, fmt.Sprintf("head %d:k", i), string(r.Key.Bytes()))
	}
}

func testMarks(t *testing.T, s Store) {
	l := open(t, s)
	ctx := withTimeout(t)
	load := func(key string) string {
		t.Helper()
		v, err := l.LoadMark(ctx, key)
		require.NoError(t, err)
		return v
	}
	require.Empty(t, load("x"))
	unit := func(key, value string, records ...topic.Record) {
		t.Helper()
		u := topic.Unit{Records: records, Mark: topic.Mark{Key: key, Value: value}}
		require.NoError(t, start(context.Background(), l, u).wait(t))
	}
	unit(`{"server":"ž"}`, `{"lsn":1}`, text("t", 0, "", "1"))
	unit("y", "9")
	unit(`{"server":"ž"}`, `{"lsn":2}`)
	require.Equal(t, `{"lsn":2}`, load(`{"server":"ž"}`))
	require.Equal(t, "9", load("y"))
	mustAppend(t, l, text("t", 0, "", "no mark"))
	require.Equal(t, "9", load("y"))
	require.NoError(t, l.Close(ctx))
	l = open(t, s)
	require.Equal(t, `{"lsn":2}`, load(`{"server":"ž"}`))
	require.Equal(t, "9", load("y"))
	unit("y", "10")
	require.Equal(t, "10", load("y"))
}

func testConcurrent(t *testing.T, s Store) {
	l := open(t, s)
	const appenders, units = 8, 60
	var wg sync.WaitGroup
	for a := range appenders {
		wg.Go(func() {
			next := 0
			var done sync.WaitGroup
			for i := range units {
				done.Add(1)
				l.Append(context.Background(), topic.Unit{
					Records: []topic.Record{text("t", 0, "", fmt.Sprintf("%d/%d", a, i))},
					Mark:    topic.Mark{Key: fmt.Sprint("src", a), Value: fmt.Sprint(i)},
				}, func(err error) {
					defer done.Done()
					if err != nil || next != i {
						t.Errorf("appender %d: done of unit %d came as number %d: %v", a, i, next, err)
					}
					next++
				})
			}
			done.Wait()
		})
	}
	wg.Wait()
	next := make([]int, appenders)
	for i, r := range poll(t, mustSubscribe(t, l, topic.Subscription{Topics: []string{"t"}}), appenders*units) {
		require.EqualValues(t, i, r.Offset)
		var a, n int
		_, err := fmt.Sscanf(string(r.Value.Body), "%d/%d", &a, &n)
		require.NoError(t, err)
		require.Equal(t, next[a], n, "the order of each appender is kept")
		next[a]++
	}
	for a := range appenders {
		m, err := l.LoadMark(withTimeout(t), fmt.Sprint("src", a))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(units-1), m)
	}
}

func testAppendCancelled(t *testing.T, s Store) {
	l := open(t, s)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	mark := func(v string) topic.Mark { return topic.Mark{Key: "src", Value: v} }
	one := start(context.Background(), l, topic.Unit{Records: []topic.Record{text("t", 0, "", "1")}, Mark: mark("1")})
	// done is never called from inside Append, so holding what it needs is no deadlock.
	var mu sync.Mutex
	mu.Lock()
	got := make(chan error, 1)
	l.Append(ended, topic.Unit{Records: []topic.Record{text("t", 0, "", "2")}, Mark: mark("2")}, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		got <- err
	})
	mu.Unlock()
	require.NoError(t, one.wait(t))
	require.ErrorIs(t, appended{got}.wait(t), context.Canceled)
	// I3: what follows a failed unit fails, until the source begins again at its mark.
	require.Error(t, start(context.Background(), l, topic.Unit{Mark: mark("3")}).wait(t))
	v, err := l.LoadMark(withTimeout(t), "src")
	require.NoError(t, err)
	require.Equal(t, "1", v)
	require.NoError(t, start(context.Background(), l, topic.Unit{Mark: mark("2")}).wait(t))
}

func testClose(t *testing.T, s Store) {
	l := open(t, s)
	mustAppend(t, l, text("t", 0, "", "1"))
	c := mustSubscribe(t, l, topic.Subscription{Topics: []string{"t"}, Group: "g"})
	poll(t, c, 1)
	blocked := make(chan error, 1)
	go func() {
		_, err := c.Poll(context.Background(), 1)
		blocked <- err
	}()
	last := start(context.Background(), l, topic.Unit{Mark: topic.Mark{Key: "m", Value: "v"}})
	require.NoError(t, l.Close(withTimeout(t)))
	require.NoError(t, last.wait(t), "what was queued is drained")
	require.NoError(t, l.Close(withTimeout(t)), "closing again does nothing")
	require.ErrorIs(t, appended{blocked}.wait(t), topic.ErrClosed)
	require.ErrorIs(t, start(context.Background(), l, topic.Unit{}).wait(t), topic.ErrClosed)
	_, err := l.Subscribe(withTimeout(t), topic.Subscription{})
	require.ErrorIs(t, err, topic.ErrClosed)
	_, err = l.List(withTimeout(t))
	require.ErrorIs(t, err, topic.ErrClosed)
	_, err = l.LoadMark(withTimeout(t), "m")
	require.ErrorIs(t, err, topic.ErrClosed)
	require.ErrorIs(t, c.Commit(withTimeout(t)), topic.ErrClosed)
	require.NoError(t, c.Close(withTimeout(t)))
}
