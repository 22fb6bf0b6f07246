// SPDX-License-Identifier: Apache-2.0

package sinks

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"freshet/change"
	"freshet/emitter/topic"
)

// Failed is a record that a stage refused.
type Failed struct {
	Record *topic.Record // as it was read; valid during the call
	Stage  change.Stage
	Err    error
}

// Reporter decides what becomes of records that fail. Its methods are called by two goroutines: records of one batch fail to
// be read while those of the last one fail to be written.
type Reporter interface {
	// Report takes a record that failed. nil skips it; an error, which may be the record's own, ends the task.
	Report(ctx context.Context, f *Failed) error
	// Flush waits until what was reported is durable: before the offsets behind it are.
	Flush(ctx context.Context) error
	// Isolates says whether records that the target refuses are reported, too, and the rest of their batch is written.
	Isolates() bool
}

// Retry bounds how long a conversion or transform that fails for a passing reason is tried again.
type Retry struct {
	Timeout  time.Duration // from the first failure on; 0 is not at all, negative for ever
	MaxDelay time.Duration
}

// firstDelay is the wait before the first retry; it is doubled each time.
const firstDelay = 300 * time.Millisecond

// do calls f until it succeeds, fails for good, or the time is over. Then the error is f's last one.
func (r Retry) do(ctx context.Context, f func() error) error {
	err := f()
	if err == nil || r.Timeout == 0 || !temporary(err) {
		return err
	}
	begun := time.Now()
	for n := 0; temporary(err); n++ {
		delay := firstDelay << min(n, 20)
		if delay > r.MaxDelay {
			delay = rand.N(max(r.MaxDelay, 1)) //nolint:gosec // no secret
		}
		if r.Timeout > 0 {
			left := r.Timeout - time.Since(begun)
			if left <= 0 {
				return err
			}
			delay = min(delay, left)
		}
		pause := time.NewTimer(delay)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
		err = f()
	}
	return err
}

// temporary says whether an error may pass by itself.
func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// report gives a record to the Reporter, if there is one; without one the error is the task's. So is the error of a converter
// that may pass by itself, such as a registry that is away, where no time for retries is given: no record is bad because of it.
func (t *Task) report(ctx context.Context, raw *topic.Record, err error) error {
	f := Failed{Record: raw, Stage: change.StageTransform, Err: err}
	var stage *change.StageError
	if errors.As(err, &stage) {
		f.Stage, f.Err = stage.Stage, stage.Err
	}
	if t.o.Reporter == nil || ctx.Err() != nil || temporary(err) && t.o.Retry.Timeout == 0 && f.Stage != change.StageTransform {
		return err
	}
	return t.o.Reporter.Report(ctx, &f)
}

// isolating writes batches without the records that the target refuses, which are reported.
type isolating struct {
	Writer
	reporter Reporter
}

// manyRefusals is how many records of a batch the target may refuse before the others are written one by one: each refusal
// of a batch costs the batch.
const manyRefusals = 8

// write writes a batch. What was reported is durable before the target has it, which may keep offsets itself.
func (w *isolating) write(ctx context.Context, b *Batch) error {
	_, keeps := w.Writer.(Positioner)
	for refused := 0; ; refused++ {
		if err := w.reporter.Flush(ctx); err != nil {
			return err
		}
		if len(b.Records) == 0 && !keeps {
			return nil
		}
		if refused == manyRefusals {
			if err := w.singly(ctx, b); err != nil {
				return err
			}
			b.Records = b.Records[:0]
			continue
		}
		err := w.Writer.Write(ctx, b)
		var row *RowError
		if err == nil || !w.reporter.Isolates() || !errors.As(err, &row) {
			return err
		}
		if err := w.reporter.Report(ctx, &Failed{Record: b.rawOf(row.Index), Stage: change.StageWrite, Err: row}); err != nil {
			return err
		}
		b.Records = append(b.Records[row.Applied:row.Index:row.Index], b.Records[row.Index+1:]...)
	}
}

// singly writes the records of a batch one by one.
func (w *isolating) singly(ctx context.Context, b *Batch) error {
	one := &Batch{Data: b.Data, Next: map[topic.Partition]int64{}, raws: b.raws}
	for i := range b.Records {
		r := &b.Records[i]
		one.Records = append(one.Records[:0], *r)
		clear(one.Next)
		one.Next[r.Source] = r.Offset + 1
		err := w.Writer.Write(ctx, one)
		var row *RowError
		if err == nil {
			continue
		}
		if !errors.As(err, &row) {
			return err
		}
		if err := w.reporter.Report(ctx, &Failed{Record: one.rawOf(0), Stage: change.StageWrite, Err: row}); err != nil {
			return err
		}
		if err := w.reporter.Flush(ctx); err != nil {
			return err
		}
	}
	b.Data = one.Data
	return nil
}
