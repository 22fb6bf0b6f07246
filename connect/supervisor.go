// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"freshet/capture"
)

// Opener opens a task at its last durable position: it connects, and leaves the work to Run. What it opened is closed by
// the Run of the task.
type Opener func(ctx context.Context) (Task, error)

// Progresser is a Task that can say how much became durable; any growth makes the next wait the shortest again.
type Progresser interface {
	Progress() int64
}

// Repeating is an error that trying again does not mend where the same comes back at the same place.
type Repeating interface {
	// Repeats is the place and the answer: equal where nothing has changed in between, "" where trying again is right.
	Repeats() string
}

// mostRepeats is how often the same answer is taken at the same place before the task is FAILED: with the usual waits, for a minute.
const mostRepeats = 7

// repeats counts equal answers. It belongs to one supervisor's goroutine.
type repeats struct {
	last  string
	count int
}

// again notes the error of an attempt, and says whether there were enough of its kind.
func (r *repeats) again(err error) bool {
	var e Repeating
	if !errors.As(err, &e) || e.Repeats() == "" {
		*r = repeats{}
		return false
	}
	if key := e.Repeats(); key != r.last {
		*r = repeats{last: key}
	}
	r.count++
	return r.count >= mostRepeats
}

// SupervisorOptions is what a Supervisor needs.
type SupervisorOptions struct {
	Kind string // source or sink
	Open Opener
	// Backoff bounds the waits; the zero value is DefaultBackoff.
	Backoff Backoff
	// MaxRetries is how often a task is opened again without progress before it is FAILED; negative is for ever.
	MaxRetries int
	Log        *slog.Logger

	meter  *meter // nil for sinks
	watch  *watch // nil for sinks
	errors *errorCounts
}

// Supervisor keeps one task going. It holds the only retry loop of the engine: readers, writers and logs return their
// errors up to here, and every attempt begins at the last durable position.
type Supervisor struct {
	o SupervisorOptions

	mu    sync.Mutex // guards what follows
	state State
	trace string
	err   error
	since time.Time // the state's beginning
	// What was counted since the Supervisor was made.
	attempts, reopened, violations, commits int64
	running                                 Progresser // the attempt that runs; its commits are not in commits yet

	observe func(state State, trace string) // nil for none
}

// Observe makes f told of every state that the task comes to, in order. Call it before Run; f must not block.
func (s *Supervisor) Observe(f func(state State, trace string)) { s.observe = f }

// NewSupervisor makes a Supervisor whose task is UNASSIGNED until it was opened.
func NewSupervisor(o SupervisorOptions) *Supervisor {
	if o.Backoff == (Backoff{}) {
		o.Backoff = DefaultBackoff
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Supervisor{o: o, state: Unassigned, since: time.Now()}
}

// NewFailed makes the supervisor of a task that cannot even be made: Run makes it FAILED.
func NewFailed(kind string, err error, log *slog.Logger) *Supervisor {
	return NewSupervisor(SupervisorOptions{Kind: kind, Log: log, Open: func(context.Context) (Task, error) { return nil, finalError{err} }})
}

// State is the task's state and, where it failed or waits for another attempt, the trace of the last error.
func (s *Supervisor) State() (State, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.trace
}

// Err is the error that made the task FAILED, nil in other states.
func (s *Supervisor) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != Failed {
		return nil
	}
	return s.err
}

// Mark gives the task another state and forgets its trace. Herders call it while Run is not running.
func (s *Supervisor) Mark(state State) { s.set(state, nil) }

func (s *Supervisor) set(state State, err error) {
	trace := ""
	if err != nil {
		trace = traceOf(s.o.Kind, err)
	}
	s.mu.Lock()
	if s.state != state {
		s.since = time.Now()
	}
	s.state, s.err, s.trace = state, err, trace
	s.mu.Unlock()
	if s.observe != nil {
		s.observe(state, trace)
	}
}

// Run keeps the task going until ctx ends or it is FAILED. The task drains before Run returns.
func (s *Supervisor) Run(ctx context.Context) {
	waits := delays{Backoff: s.o.Backoff}
	var same repeats
	for {
		progressed, err := s.attempt(ctx)
		switch {
		case ctx.Err() != nil:
			s.ended(err)
			return
		case err == nil:
			// The source has no more changes, ever (a snapshot without streaming). Connect leaves such a task RUNNING.
			s.o.Log.Info("task has nothing more to do")
			<-ctx.Done()
			s.ended(nil)
			return
		case !Retriable(err):
			s.failed(err)
			return
		case same.again(err): // heartbeats and what was read again before it are no progress
			s.failed(fmt.Errorf("gave up: the same came back %d times at the same place: %w", mostRepeats, err))
			return
		}
		if progressed {
			waits.reset()
		}
		if s.o.MaxRetries >= 0 && waits.attempts >= s.o.MaxRetries {
			s.failed(fmt.Errorf("gave up after %d retries (errors.max.retries): %w", waits.attempts, err))
			return
		}
		wait := waits.nextAfter(err)
		s.set(Restarting, err)
		s.o.Log.Warn("task stopped and will be opened again", "error", RedactText(err.Error()), "wait", wait.Round(time.Millisecond))
		if !sleep(ctx, wait) {
			s.ended(nil)
			return
		}
	}
}

// attempt opens and runs the task once. A panic is a bug of ours: it fails this task and spares the others.
func (s *Supervisor) attempt(ctx context.Context) (progressed bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.o.Log.Error("task panicked", "panic", p, "stack", string(debug.Stack()))
			err = finalError{fmt.Errorf("internal error: %v; the log holds the stack, please report it", p)}
		}
	}()
	s.begin()
	t, err := s.o.Open(ctx)
	if err != nil {
		return false, err
	}
	p, ok := t.(Progresser)
	s.opened(p)
	defer func() { s.counted(p, err) }()
	s.set(Running, nil)
	s.o.Log.Info("task is running")
	err = t.Run(ctx)
	if ok {
		progressed = p.Progress() > 0
	}
	return progressed, err
}

func (s *Supervisor) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts++
}

func (s *Supervisor) opened(p Progresser) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = p
}

// counted takes what an attempt did into the counters.
func (s *Supervisor) counted(p Progresser, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = nil
	if p != nil {
		s.commits += p.Progress()
	}
	var stall *StallError
	if errors.As(err, &stall) {
		s.reopened++
	}
	var broken *capture.InvariantError
	if errors.As(err, &broken) {
		s.violations++
	}
}

// Report is the state of the task with its counters.
func (s *Supervisor) Report() TaskReport {
	now := time.Now()
	r := TaskReport{}
	s.mu.Lock()
	r.State, r.Since, r.Attempts, r.Reopened, r.Violations, r.Commits = s.state, s.since.UTC(), s.attempts, s.reopened, s.violations, s.commits
	if s.running != nil {
		r.Commits += s.running.Progress()
	}
	if s.err != nil {
		r.Cause = RedactText(s.err.Error())
	}
	s.mu.Unlock()
	if s.o.watch != nil && r.State == Running {
		why, stood := s.o.watch.stalled(now)
		r.Stalled, r.StalledFor = why, stood.Seconds()
	}
	if s.o.meter != nil {
		r.Source = s.o.meter.report(now)
	}
	if s.o.errors != nil {
		r.Errors = s.o.errors.report()
	}
	return r
}

// ended notes the end on request. What went wrong while draining is only told: all that was durable stays so.
func (s *Supervisor) ended(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		s.o.Log.Warn("task ended with an error while it was being stopped", "error", RedactText(err.Error()))
	}
	s.set(Unassigned, nil)
	s.o.Log.Info("task has stopped")
}

func (s *Supervisor) failed(err error) {
	s.set(Failed, err)
	s.o.Log.Error("task failed", "error", RedactText(err.Error()))
}

// sleep waits, and returns false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
