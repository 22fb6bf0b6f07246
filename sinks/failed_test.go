// SPDX-License-Identifier: Apache-2.0

package sinks_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/sinks"
	"freshet/sinks/sinktest"
)

// reports is a Reporter that takes records as they were read.
type reports struct {
	mu       sync.Mutex
	numbers  []int64
	stages   []change.Stage
	headers  []string
	fail     error // of Report
	flushErr error
	isolates bool
}

func (r *reports) Report(_ context.Context, f *sinks.Failed) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := int64(-1)
	if len(f.Record.Value.Body) == 8 {
		n = int64(binary.BigEndian.Uint64(f.Record.Value.Body))
	}
	r.numbers, r.stages = append(r.numbers, n), append(r.stages, f.Stage)
	for _, h := range f.Record.Headers {
		r.headers = append(r.headers, h.Key+"="+string(h.Value))
	}
	return r.fail
}

func (r *reports) Flush(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.numbers) == 0 {
		return nil
	}
	return r.flushErr
}

func (r *reports) Isolates() bool { return r.isolates }

func (r *reports) reported() []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.numbers)
}

// picky refuses records, as a target does that rolls back what shared a transaction with them.
type picky struct {
	recorder
	refuses func(n int64) bool
	writes  int
}

// Positions are none, but there might be: the target is told of offsets behind records that it refused.
func (w *picky) Positions(context.Context) (map[topic.Partition]int64, error) { return nil, nil }

func (w *picky) Write(ctx context.Context, b *sinks.Batch) error {
	w.writes++
	for i := range b.Records {
		if w.refuses(b.Records[i].Value.Int()) {
			return &sinks.RowError{Index: i, Err: errors.New("refused")}
		}
	}
	return w.recorder.Write(ctx, b)
}

// upTo says whether the group has committed an offset.
func upTo(log *sinktest.Log, at int64) func() bool {
	return func() bool { return committed(log) == at }
}

// What the converter refuses is reported and skipped, and counts as consumed.
func TestSkipsWhatCannotBeRead(t *testing.T) {
	log, w, r := sinktest.NewLog(), &recorder{}, &reports{}
	fill(t, log, 0, 2)
	appendUnit(t, log, topic.Unit{Records: []topic.Record{{Topic: "t", Value: topic.Data{Body: []byte("x")}, Headers: []topic.Header{{Key: "h", Value: []byte("v")}}}}})
	o := options(log, w)
	o.Reporter = r
	stop := start(t, o)
	waitFor(t, "the commit", upTo(log, 3))
	require.NoError(t, stop())
	require.Equal(t, []int64{0, 1}, w.got)
	require.Equal(t, []int64{-1}, r.reported())
	require.Equal(t, []change.Stage{change.StageTransform}, r.stages, "whoever does not tell the stage is a transform")
	require.Equal(t, []string{"h=v"}, r.headers)
}

// Records that the target refuses are reported as they were read; the others are written once, in order.
func TestIsolatesWhatTheTargetRefuses(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // no secret
	for _, few := range []bool{true, false} {
		bad := map[int64]bool{}
		for n := range int64(300) {
			if few && n%97 == 5 || !few && rnd.IntN(3) == 0 {
				bad[n] = true
			}
		}
		log, r := sinktest.NewLog(), &reports{isolates: true}
		w := &picky{refuses: func(n int64) bool { return bad[n] }}
		fill(t, log, 0, 300)
		o := options(log, w)
		o.Reporter = r
		stop := start(t, o)
		waitFor(t, "the commit", upTo(log, 300))
		require.NoError(t, stop())
		var good, refused []int64
		for n := range int64(300) {
			if bad[n] {
				refused = append(refused, n)
			} else {
				good = append(good, n)
			}
		}
		require.Equal(t, good, w.got)
		require.Equal(t, refused, r.reported())
		require.NotContains(t, r.stages, change.StageTransform)
		require.LessOrEqual(t, w.writes, 700, "the batch is not written for each of many refusals")
		require.Equal(t, int64(300), w.next[topic.Partition{Topic: "t"}])
	}
}

// Offsets stay before records that could not be reported.
func TestReportsAreDurableBeforeOffsets(t *testing.T) {
	full := errors.New("the queue is full")
	for _, isolates := range []bool{false, true} {
		log, r := sinktest.NewLog(), &reports{flushErr: full, isolates: isolates}
		w := &picky{refuses: func(n int64) bool { return isolates && n == 1 }}
		fill(t, log, 0, 2)
		if !isolates {
			appendUnit(t, log, topic.Unit{Records: []topic.Record{{Topic: "t", Value: topic.Data{Body: []byte("x")}}}})
		}
		o := options(log, w)
		o.Reporter = r
		require.ErrorIs(t, sinks.NewTask(o).Run(t.Context()), full)
		require.False(t, upTo(log, 2)() || upTo(log, 3)())
	}
}

// Whoever tolerates nothing ends the task, and so does a target that is not there.
func TestReportEndsTheTask(t *testing.T) {
	log, no := sinktest.NewLog(), errors.New("no tolerance")
	appendUnit(t, log, topic.Unit{Records: []topic.Record{{Topic: "t", Value: topic.Data{Body: []byte("x")}}}})
	o := options(log, &recorder{})
	o.Reporter = &reports{fail: no}
	err := sinks.NewTask(o).Run(t.Context())
	require.ErrorIs(t, err, no)
	var row *sinks.RowError
	require.ErrorAs(t, err, &row)

	log, away := sinktest.NewLog(), errors.New("connection refused")
	fill(t, log, 0, 1)
	r := &reports{isolates: true}
	o = options(log, &recorder{fail: func(*sinks.Batch) error { return away }})
	o.Reporter = r
	require.ErrorIs(t, sinks.NewTask(o).Run(t.Context()), away)
	require.Empty(t, r.reported())
}

// passing is an error that may pass.
type passing struct{}

func (passing) Error() string   { return "away" }
func (passing) Temporary() bool { return true }

// shaky fails some times before it works.
type shaky struct{ left int }

func (s *shaky) Apply(*sinks.Batch, *sinks.Record) (bool, error) {
	if s.left == 0 {
		return true, nil
	}
	s.left--
	return false, passing{}
}

func TestRetries(t *testing.T) {
	log, w := sinktest.NewLog(), &recorder{}
	fill(t, log, 0, 3)
	o := options(log, w)
	o.Transforms = []sinks.Transform{&shaky{left: 4}}
	o.Retry = sinks.Retry{Timeout: -1, MaxDelay: time.Millisecond}
	stop := start(t, o)
	waitFor(t, "the commit", upTo(log, 3))
	require.NoError(t, stop())
	require.Equal(t, []int64{0, 1, 2}, w.got)

	r := &reports{}
	o = options(log, w)
	o.Subscription.Group = "again"
	o.Transforms = []sinks.Transform{&shaky{left: 1 << 30}}
	o.Retry, o.Reporter = sinks.Retry{Timeout: time.Millisecond, MaxDelay: time.Microsecond}, r
	stop = start(t, o)
	waitFor(t, "reports", func() bool { return len(r.reported()) == 3 })
	require.NoError(t, stop())
}
