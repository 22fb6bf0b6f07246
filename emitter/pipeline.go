// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"freshet/capture"
	"freshet/change"
	"freshet/emitter/topic"
	"freshet/internal/failpoint"
)

// Pipeline carries batches from a Reader to a Log. It runs once.
type Pipeline struct {
	reader capture.Reader
	log    topic.Log
	o      Options
	stats  *Stats
	pulse  *pulse
	flying chan struct{} // one for each unit that the log has and commit has not seen
}

// frame is one place in the ring: a batch, and the unit made of it. It belongs to one goroutine at a time and travels
// read → encode → log → ring.
type frame struct {
	batch   change.Batch
	records []topic.Record
	arena   []byte
	mark    string
	size    int64 // of the batch as it was read
	extra   bool  // holds records of no batch: it moves no position and is no part of the ring
}

// flight is what is to be known of a unit until it is durable. It travels log → commit. The frame it came from may be used
// again before, if the log needs its bytes no more.
type flight struct {
	seq     uint64
	end     change.Position
	records int64
	age     age
	extra   bool
	err     error // of the log
	freed   atomic.Bool
}

const (
	// keepArena is the largest arena that a frame keeps for the next batch.
	keepArena = 16 << 20
	// largeBatch is from where on nothing is read until a batch is durable. A row may have a gigabyte, and several forms of it
	// are in memory on the way: as read, as a record, and as the log writes it.
	largeBatch = 8 << 20
	// flightsAtMost bounds the units that a log has and that are not durable. A log that keeps their bytes until then has no
	// more than there are frames.
	flightsAtMost = 1024
)

// NewPipeline makes a pipeline; Run starts it. It does not close the reader or the log.
func NewPipeline(r capture.Reader, l topic.Log, o Options) *Pipeline {
	o = o.withDefaults()
	return &Pipeline{reader: r, log: l, o: o, stats: o.Stats, pulse: newPulse(o.Heartbeat), flying: make(chan struct{}, flightsAtMost)}
}

// Stats are the counters that this pipeline adds to.
func (p *Pipeline) Stats() *Stats { return p.stats }

// Run carries changes until ctx ends, or the reader has no more or fails; then what was read is made durable, within
// DrainTimeout, so that an attempt that follows reads as little as possible again. Run returns the first error: the
// reader's comes before those of draining.
func (p *Pipeline) Run(ctx context.Context) error {
	rec, err := newRecorder(&p.o, p.stats)
	if err != nil {
		return err
	}
	p.stats.begin(p.o.BatchesInFlight)
	ring := make(chan *frame, p.o.BatchesInFlight)
	for range p.o.BatchesInFlight {
		ring <- &frame{}
	}
	read := make(chan *frame, p.o.BatchesInFlight)
	written := make(chan *flight, cap(p.flying))

	// Reading ends with readCtx, or ends it by a failure; the others go on until they have drained what was read, or drain ends.
	drain, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	readCtx, stopRead := context.WithCancel(ctx)
	defer stopRead()
	stop := context.AfterFunc(readCtx, func() { p.cancelAfterDrain(drain, cancel) })
	defer stop()

	g, gctx := errgroup.WithContext(drain)
	context.AfterFunc(gctx, stopRead)
	var failed error // of the reader; Wait comes after it
	g.Go(func() error {
		defer close(read)
		if failed = p.read(readCtx, ring, read); failed != nil {
			stopRead()
		}
		return nil
	})
	g.Go(func() error { return p.encode(gctx, rec, read, ring, written) })
	g.Go(func() error { return p.commit(gctx, written) })
	if p.o.Heartbeat.Beat != nil {
		g.Go(func() error { return p.pulse.act(readCtx) })
	}
	if err := g.Wait(); err != nil && failed != nil {
		return errors.Join(failed, err)
	} else if err != nil {
		return err
	}
	return failed
}

// cancelAfterDrain gives the pipeline DrainTimeout to finish.
func (p *Pipeline) cancelAfterDrain(drain context.Context, cancel context.CancelCauseFunc) {
	t := time.NewTimer(p.o.DrainTimeout)
	defer t.Stop()
	select {
	case <-t.C:
		cancel(fmt.Errorf("drain after stop: not done within %s; unwritten changes are read again at the next start", p.o.DrainTimeout))
	case <-drain.Done():
	}
}

// read fills frames until ctx ends or the reader is at its end.
func (p *Pipeline) read(ctx context.Context, ring chan *frame, out chan<- *frame) error {
	var failed <-chan struct{}
	failing, ok := p.reader.(capture.Failing)
	if ok {
		failed = failing.Failed()
	}
	for seq := uint64(1); ; seq++ {
		var f *frame
		select {
		case f = <-ring:
		case <-failed: // with a log that has no room, Next may be far away
			return failing.Failure()
		case <-ctx.Done():
			return nil
		}
		f.batch.Reset()
		err := p.reader.Next(ctx, &f.batch)
		switch {
		case err == nil:
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return nil //nolint:nilerr // the end, or asked to stop: what was read is drained
		default:
			return err
		}
		f.batch.Seq = seq
		p.stats.batches.Add(1)
		p.stats.held.Add(1)
		f.size = int64(f.batch.Size())
		p.stats.heldSize.Add(f.size)
		large := f.size > largeBatch
		out <- f // never blocks: out has room for every frame
		if large {
			switch err := rest(ctx, ring, failed); {
			case errors.Is(err, errFailed):
				return failing.Failure()
			case err != nil:
				return nil //nolint:nilerr // asked to stop
			}
		}
	}
}

// errFailed says that the Reader has failed meanwhile.
var errFailed = errors.New("the reader has failed")

// rest waits until all that was read is durable. It returns errFailed once failed is closed, and ctx's error where that ends.
func rest(ctx context.Context, ring chan *frame, failed <-chan struct{}) error {
	frames := make([]*frame, 0, cap(ring))
	for range cap(ring) {
		select {
		case f := <-ring:
			frames = append(frames, f)
		case <-failed:
			return errFailed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, f := range frames {
		ring <- f
	}
	debug.FreeOSMemory() // what a large batch has left goes before the next one comes
	return nil
}

// encode makes units of batches and appends them, in order. Between batches it writes the heartbeats of an idle source.
func (p *Pipeline) encode(ctx context.Context, rec *recorder, in <-chan *frame, ring chan<- *frame, written chan<- *flight) error {
	var open sync.WaitGroup
	defer func() {
		open.Wait() // done is called for every unit, so written stays open until then
		close(written)
	}()
	for {
		f := &frame{extra: true}
		last := false
		select {
		case batch, ok := <-in:
			if last = !ok; ok {
				f = batch
			}
		case <-p.pulse.idle():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := p.encodeBatch(rec, f); err != nil {
			return err
		}
		if !f.extra || len(f.records) > 0 {
			if err := p.append(ctx, f, &open, ring, written); err != nil {
				return err
			}
		}
		if last {
			open.Wait() // within what draining may take
			return context.Cause(ctx)
		}
	}
}

// append gives a frame's unit to the log, once it is one of those that may be in flight.
func (p *Pipeline) append(ctx context.Context, f *frame, open *sync.WaitGroup, ring chan<- *frame, written chan<- *flight) error {
	select {
	case p.flying <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	fl := &flight{seq: f.batch.Seq, end: f.batch.End, records: int64(len(f.records)), age: ageOf(&f.batch), extra: f.extra}
	free := func() {
		if !f.extra && fl.freed.CompareAndSwap(false, true) {
			p.stats.held.Add(-1)
			p.stats.heldSize.Add(-f.size)
			f.release()
			ring <- f // never blocks: it has room for every frame
		}
	}
	unit := topic.Unit{Records: f.records, Free: free}
	if f.mark != "" {
		unit.Mark = topic.Mark{Key: p.o.MarkKey, Value: f.mark}
	}
	failpoint.Hit("emitter.append")
	open.Add(1)
	p.stats.waiting.Add(1)
	p.log.Append(ctx, unit, func(err error) {
		p.stats.waiting.Add(-1)
		if fl.err = err; err == nil {
			free()
		}
		written <- fl // never blocks: it has room for all in flight
		open.Done()
	})
	return nil
}

// encodeBatch makes the records of a batch in the frame's arena.
func (p *Pipeline) encodeBatch(rec *recorder, f *frame) error {
	rec.arena, rec.out, rec.inBatch = f.arena[:0], f.records[:0], nil
	if n := len(f.batch.Arena); n > largeBatch {
		rec.arena = slices.Grow(rec.arena, n/3*4) // growing by and by leaves garbage of several times its size
	}
	now := p.o.Now().UnixNano()
	notices := f.batch.Notices
	for i := range f.batch.Changes {
		var err error
		if notices, err = addNotices(rec, notices, i); err != nil {
			return err
		}
		c := &f.batch.Changes[i]
		arena, out := len(rec.arena), len(rec.out)
		if err = rec.add(&f.batch, c, now); err == nil {
			continue
		}
		rec.arena, rec.out = rec.arena[:arena], rec.out[:out]
		if passing(err) {
			return err
		}
		if p.o.OnEventFailure == "fail" {
			return &EventError{Err: err, Position: f.batch.End}
		}
		p.stats.failed.Add(1) // I5
		level := slog.LevelWarn
		if p.o.OnEventFailure != "warn" {
			level = slog.LevelDebug
		}
		p.o.Log.Log(context.Background(), level, "event left out", "table", c.Subject(), "op", string(c.Op), "cause", err)
	}
	if _, err := addNotices(rec, notices, len(f.batch.Changes)); err != nil {
		return err
	}
	if p.pulse.beats(&f.batch) {
		if err := rec.addHeartbeat(now); err != nil {
			return fmt.Errorf("write a heartbeat: %w", err)
		}
	}
	f.arena, f.records, f.mark = rec.arena, rec.out, ""
	if f.batch.End != "" {
		f.mark = rec.mark(f.batch.End)
	}
	p.stats.bytes.Add(int64(len(rec.arena)))
	f.batch.DropLarge()
	return nil
}

// passing says whether an error is of no event and may pass by itself.
func passing(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// addNotices adds the notices that come before change i, and returns the others.
func addNotices(rec *recorder, notices []change.Notice, i int) ([]change.Notice, error) {
	for len(notices) > 0 && notices[0].Before <= i {
		if err := rec.notify(&notices[0]); err != nil {
			return nil, fmt.Errorf("write notification %q: %w", notices[0].Type, err)
		}
		notices = notices[1:]
	}
	return notices, nil
}

// commit tells the reader what is durable, in order.
func (p *Pipeline) commit(ctx context.Context, written <-chan *flight) error {
	last := uint64(0)
	for f := range written {
		if f.err != nil {
			return f.err
		}
		if !f.extra { // I2, I3: positions are durable in the order of their batches
			if last++; f.seq != last {
				return &capture.InvariantError{Rule: "I3", Detail: fmt.Sprintf("batch %d became durable where batch %d was due", f.seq, last)}
			}
			p.stats.settled(f.age, p.o.Now())
		}
		<-p.flying
		p.stats.durable.Add(f.records)
		failpoint.Hit("emitter.durable")
		// I2: only here, after the log said that the unit with this position is durable.
		if f.end != "" {
			if err := p.reader.Commit(ctx, f.end); err != nil {
				return fmt.Errorf("confirm position to the source: %w", err)
			}
		}
	}
	return nil
}

// release drops what the next batch should not keep alive.
func (f *frame) release() {
	clear(f.records)
	if cap(f.arena) > keepArena {
		f.arena = nil
	}
}

// EventError is a change that cannot be made a record.
type EventError struct {
	Err      error
	Position change.Position
}

// Error names the cause and the way on.
func (e *EventError) Error() string {
	return fmt.Sprintf("%v (before position %s; event.processing.failure.handling.mode=warn leaves such events out)", e.Err, e.Position)
}

// Unwrap is the cause.
func (e *EventError) Unwrap() error { return e.Err }

// Retriable is false: the same change fails again.
func (e *EventError) Retriable() bool { return false }
