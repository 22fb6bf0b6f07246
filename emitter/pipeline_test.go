// SPDX-License-Identifier: Apache-2.0

package emitter_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"freshet/change"
	"freshet/emitter"
	"freshet/emitter/topic"
	"freshet/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func oneColumnTable() *schema.Table {
	c := []schema.Column{{Name: "id", Type: &schema.Type{Kind: schema.Int64}}}
	return &schema.Table{ID: schema.ID{Catalog: "db", Schema: "public", Name: "t"}, Key: c, Columns: c}
}

func plainOptions() emitter.Options {
	return emitter.Options{MarkKey: "m", Topics: emitter.TopicNames{Prefix: "p"}, Key: plainFormat{}, Value: plainFormat{}}
}

func TestPipelineKeepsOrderAndCommitsInOrder(t *testing.T) {
	r := &scriptReader{table: oneColumnTable(), batches: 50, size: 7, end: io.EOF}
	l := newFakeLog()
	p := emitter.NewPipeline(r, l, plainOptions())
	require.NoError(t, p.Run(t.Context()))
	require.NoError(t, l.Close(t.Context()))

	want := 0
	for i, u := range l.appended() {
		require.Equal(t, topic.Mark{Key: "m", Value: strconv.Itoa(i + 1)}, u.Mark)
		for _, rec := range u.Records {
			require.Equal(t, "p.public.t", rec.Topic)
			require.Equal(t, strconv.Itoa(want), string(rec.Key.Body))
			want++
		}
	}
	require.Equal(t, 350, want)
	var positions []change.Position
	for i := range 50 {
		positions = append(positions, change.Position(strconv.Itoa(i+1)))
	}
	require.Equal(t, positions, r.positions())
	require.EqualValues(t, 350, p.Stats().Counts().Durable)
}

// I2: nothing is confirmed to the source before the log has it.
func TestPipelineConfirmsOnlyWhatIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &scriptReader{table: oneColumnTable(), batches: 3, size: 1}
		l := newFakeLog()
		l.release = make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- emitter.NewPipeline(r, l, plainOptions()).Run(ctx) }()
		synctest.Wait()
		require.Len(t, l.appended(), 3)
		require.Empty(t, r.positions())
		l.release <- struct{}{}
		synctest.Wait()
		require.Equal(t, []change.Position{"1"}, r.positions())
		cancel() // what was read is still made durable
		l.release <- struct{}{}
		l.release <- struct{}{}
		require.NoError(t, <-ended)
		require.Equal(t, []change.Position{"1", "2", "3"}, r.positions())
		require.NoError(t, l.Close(t.Context()))
	})
}

// A log that needs the bytes of units no more though they are not durable holds up nothing; what is confirmed waits all the same.
func TestPipelineGoesOnWithFreedFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const batches = 50
		r := &scriptReader{table: oneColumnTable(), batches: batches, size: 3, end: io.EOF}
		l := newFakeLog()
		l.frees, l.release = true, make(chan struct{})
		p := emitter.NewPipeline(r, l, plainOptions())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(t.Context()) }()
		synctest.Wait()
		require.Len(t, l.appended(), batches)
		require.Empty(t, r.positions())
		require.Zero(t, p.Stats().Counts().Held)
		require.Zero(t, p.Stats().Counts().HeldBytes)
		for i := range batches {
			l.release <- struct{}{}
			synctest.Wait()
			require.Len(t, r.positions(), i+1)
		}
		require.NoError(t, <-ended)
		want := 0
		for _, u := range l.appended() {
			for _, rec := range u.Records {
				require.Equal(t, strconv.Itoa(want), string(rec.Key.Body))
				want++
			}
		}
		require.Equal(t, 3*batches, want)
		require.EqualValues(t, want, p.Stats().Counts().Durable)
		require.NoError(t, l.Close(t.Context()))
	})
}

func TestPipelineStopsWhenDrainingTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &scriptReader{table: oneColumnTable(), batches: 1, size: 1}
		l := newFakeLog()
		l.release = make(chan struct{})
		o := plainOptions()
		o.DrainTimeout = 3 * time.Second
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- emitter.NewPipeline(r, l, o).Run(ctx) }()
		synctest.Wait()
		cancel()
		go func() { // the log is slower than the deadline, but calls done in the end
			<-time.After(5 * time.Second)
			l.release <- struct{}{}
		}()
		require.ErrorContains(t, <-ended, "drain after stop: not done within 3s")
		require.NoError(t, l.Close(t.Context()))
	})
}

// I3: after a failed unit no later one is confirmed.
func TestPipelineEndsWithTheLogsError(t *testing.T) {
	full := errors.New("no space left")
	r := &scriptReader{table: oneColumnTable(), batches: 20, size: 1}
	l := newFakeLog()
	l.failAt, l.err = 3, full
	err := emitter.NewPipeline(r, l, plainOptions()).Run(t.Context())
	require.ErrorIs(t, err, full)
	require.Equal(t, []change.Position{"1", "2"}, r.positions())
	require.NoError(t, l.Close(t.Context()))
}

// What was handed over before the reader failed becomes durable, so that it is not read again.
func TestPipelineDrainsBehindTheReadersError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := errors.New("connection lost")
		r := &scriptReader{table: oneColumnTable(), batches: 3, size: 1, end: lost}
		l := newFakeLog()
		l.release = make(chan struct{})
		ended := make(chan error, 1)
		go func() { ended <- emitter.NewPipeline(r, l, plainOptions()).Run(t.Context()) }()
		synctest.Wait()
		require.Len(t, l.appended(), 3)
		require.Empty(t, ended, "the log is at work")
		for range 3 {
			l.release <- struct{}{}
		}
		require.ErrorIs(t, <-ended, lost)
		require.Equal(t, []change.Position{"1", "2", "3"}, r.positions())
		require.NoError(t, l.Close(t.Context()))
	})
}

// A log that hangs does not keep a failed task from being opened again, and the cause stays the reader's error.
func TestPipelineDrainsForALimitedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := errors.New("connection lost")
		r := &scriptReader{table: oneColumnTable(), batches: 1, size: 1, end: lost}
		l := newFakeLog()
		l.release = make(chan struct{})
		o := plainOptions()
		o.DrainTimeout = 3 * time.Second
		began := time.Now()
		ended := make(chan error, 1)
		go func() { ended <- emitter.NewPipeline(r, l, o).Run(t.Context()) }()
		go func() {
			<-time.After(5 * time.Second)
			l.release <- struct{}{}
		}()
		err := <-ended
		require.ErrorIs(t, err, lost)
		require.ErrorContains(t, err, "not done within 3s")
		require.Equal(t, 5*time.Second, time.Since(began), "every unit is waited for")
		require.NoError(t, l.Close(t.Context()))
	})
}

// failingReader finds out while nobody calls Next that it cannot go on.
type failingReader struct {
	scriptReader
	failed chan struct{}
	err    error
}

func (r *failingReader) Failed() <-chan struct{} { return r.failed }
func (r *failingReader) Failure() error          { return r.err }

// A log that has no room does not hide that the reader has failed, neither behind many batches nor behind one large.
func TestPipelineEndsWithAReaderThatFailsMeanwhile(t *testing.T) {
	for name, size := range map[string]int{"the ring is empty": 1, "a large batch": 1 << 19} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gone := errors.New("changes are gone")
				r := &failingReader{scriptReader{table: oneColumnTable(), batches: 100, size: size}, make(chan struct{}), gone}
				l := newFakeLog()
				l.release = make(chan struct{})
				ended := make(chan error, 1)
				go func() { ended <- emitter.NewPipeline(r, l, plainOptions()).Run(t.Context()) }()
				synctest.Wait()
				require.NotEmpty(t, l.appended())
				require.Empty(t, ended)
				close(r.failed)
				close(l.release)
				require.ErrorIs(t, <-ended, gone)
				require.Len(t, r.positions(), len(l.appended()), "what was read is durable")
				require.NoError(t, l.Close(t.Context()))
			})
		})
	}
}

// Notices lie in the unit of their batch, before the record they belong before, and become durable with its position. A
// batch of nothing else moves no position.
func TestPipelineKeepsNoticesInTheirPlaces(t *testing.T) {
	r := &scriptReader{table: oneColumnTable(), batches: 3, size: 2, end: io.EOF, notices: func(batch int) ([]change.Notice, bool) {
		switch batch {
		case 0:
			return []change.Notice{{ID: "alone"}}, true
		case 1:
			return []change.Notice{{ID: "a"}, {ID: "b", Before: 1}, {ID: "c", Before: 2}, {ID: "d", Before: 2}}, false
		}
		return nil, false
	}}
	l := newFakeLog()
	o := plainOptions()
	o.Notices.Topic = "n"
	require.NoError(t, emitter.NewPipeline(r, l, o).Run(t.Context()))
	require.NoError(t, l.Close(t.Context()))
	var got []string
	for _, u := range l.appended() {
		var keys []string
		for _, rec := range u.Records {
			keys = append(keys, rec.Topic+":"+string(rec.Key.Body))
		}
		got = append(got, strings.Join(keys, " ")+" @"+u.Mark.Value)
	}
	require.Equal(t, []string{"n:alone @", "n:a p.public.t:2 n:b p.public.t:3 n:c n:d @2", "p.public.t:4 p.public.t:5 @3"}, got)
	require.Equal(t, []change.Position{"2", "3"}, r.positions())
}

func TestPipelineEventFailure(t *testing.T) {
	bad := errors.New("bad value")
	for _, c := range []struct {
		mode    string
		records int
		failed  bool
	}{{"fail", 0, true}, {"warn", 4, false}, {"skip", 4, false}, {"ignore", 4, false}} {
		t.Run(c.mode, func(t *testing.T) {
			o := plainOptions()
			o.OnEventFailure = c.mode
			o.Value = plainFormat{fail: func(n int64) error {
				if n == 2 {
					return bad
				}
				return nil
			}}
			r := &scriptReader{table: oneColumnTable(), batches: 1, size: 5, end: io.EOF}
			l := newFakeLog()
			p := emitter.NewPipeline(r, l, o)
			err := p.Run(t.Context())
			require.NoError(t, l.Close(t.Context()))
			if c.failed {
				require.ErrorIs(t, err, bad)
				var retriable interface{ Retriable() bool }
				require.ErrorAs(t, err, &retriable)
				require.False(t, retriable.Retriable())
				require.Empty(t, l.appended())
				return
			}
			require.NoError(t, err)
			require.Len(t, l.appended()[0].Records, c.records)
			require.EqualValues(t, 1, p.Stats().Counts().Failed) // I5
		})
	}
}
