// SPDX-License-Identifier: Apache-2.0

package connect

import "context"

// Run is a task's supervisor with the goroutine that it runs in. A herder owns it, and calls it from one goroutine at a
// time.
type Run struct {
	*Supervisor
	cancel context.CancelFunc // nil while it does not run, as done
	done   chan struct{}
}

// Start starts the goroutine, which lives until End, or until the task has failed.
func (r *Run) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	r.cancel, r.done = cancel, done
	go func() {
		defer close(done)
		defer cancel()
		r.Supervisor.Run(ctx)
	}()
}

// End asks the task to stop: it drains, within the worker's DrainTimeout.
func (r *Run) End() {
	if r.cancel != nil {
		r.cancel()
	}
}

// Wait waits until the task has ended.
func (r *Run) Wait(ctx context.Context) error {
	if r.done == nil {
		return nil
	}
	select {
	case <-r.done:
		r.cancel, r.done = nil, nil
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
