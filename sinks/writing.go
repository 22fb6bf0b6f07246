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

// startWriting starts the goroutine. A Write may go on for the drain timeout after the end of ctx.
func startWriting(ctx context.Context, writer Writer, drain time.Duration) *writing {
	w := &writing{batches: make(chan writeJob), results: make(chan error, 1), stopped: make(chan struct{})}
	go func() {
		defer close(w.stopped)
		for job := range w.batches {
			w.results <- write(ctx, writer, job.batch, drain)
			job.done()
		}
	}()
	return w
}

// write writes one batch. A batch without records, all of which were dropped, concerns only a Writer that keeps offsets.
func write(ctx context.Context, writer Writer, b *Batch, drain time.Duration) error {
	if _, keeps := writer.(Positioner); len(b.Records) == 0 && !keeps {
		return nil
	}
	drained, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		deadline := time.NewTimer(drain)
		defer deadline.Stop()
		select {
		case <-deadline.C:
			cancel()
		case <-drained.Done():
		}
	})
	defer stop()
	return writer.Write(drained, b)
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
