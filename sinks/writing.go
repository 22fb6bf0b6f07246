// SPDX-License-Identifier: Apache-2.0

package sinks

import (
	"context"
	"time"
)

// writing is the goroutine that calls Writer.Write. Its fields are used by the task's goroutine only.
type writing struct {
	batches chan writeJob
	results chan error
	stopped chan struct{}

	busy bool // a batch was started and not waited for
}

type writeJob struct {
	batch *Batch
	done  context.CancelFunc
}

// writeFunc writes a batch.
type writeFunc func(ctx context.Context, b *Batch) error

// plainly writes by a Writer. A batch without records, all of which were dropped, concerns only one that keeps offsets.
func plainly(writer Writer) writeFunc {
	_, keeps := writer.(Positioner)
	return func(ctx context.Context, b *Batch) error {
		if len(b.Records) == 0 && !keeps {
			return nil
		}
		return writer.Write(ctx, b)
	}
}

// startWriting starts the goroutine. A write may go on for the drain timeout after the end of ctx.
func startWriting(ctx context.Context, write writeFunc, drain time.Duration) *writing {
	w := &writing{batches: make(chan writeJob), results: make(chan error, 1), stopped: make(chan struct{})}
	go func() {
		defer close(w.stopped)
		for job := range w.batches {
			w.results <- drained(ctx, write, job.batch, drain)
			job.done()
		}
	}()
	return w
}

// drained writes one batch, which the end of ctx ends only after the drain timeout.
func drained(ctx context.Context, write writeFunc, b *Batch, drain time.Duration) error {
	draining, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		deadline := time.NewTimer(drain)
		defer deadline.Stop()
		select {
		case <-deadline.C:
			cancel()
		case <-draining.Done():
		}
	})
	defer stop()
	return write(draining, b)
}

// start hands a batch over. The batch belongs to the goroutine until wait returns. The context that start returns ends
// when the batch is written, or with ctx.
func (w *writing) start(ctx context.Context, b *Batch) context.Context {
	running, done := context.WithCancel(ctx)
	w.busy = true
	w.batches <- writeJob{b, done}
	return running
}

// wait returns the result of the batch that was started, nil if there is none.
func (w *writing) wait() error {
	if !w.busy {
		return nil
	}
	w.busy = false
	return <-w.results
}

// stop ends the goroutine, waiting for a batch at work.
func (w *writing) stop() {
	close(w.batches)
	<-w.stopped
}
