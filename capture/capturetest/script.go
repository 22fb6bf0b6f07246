// SPDX-License-Identifier: Apache-2.0

package capturetest

import (
	"context"
	"io"
	"slices"
	"sync"

	"freshet/capture"
	"freshet/change"
)

// Step is one answer of a Script's Next. With Err set, Next fails and the step is over. With neither Fill nor End it blocks
// until its context ends, or until the Script is told to Release.
type Step struct {
	Fill func(b *change.Batch) // appends changes; nil for none
	End  change.Position
	Err  error
}

// Script is a Reader that plays steps, and keeps what it is told. After the last step Next says io.EOF, or blocks where
// Endless is set. Its methods may be called concurrently.
type Script struct {
	Endless bool

	mu       sync.Mutex // guards all below
	steps    []Step
	commits  []change.Position
	closed   int
	released chan struct{}
}

var _ capture.Reader = (*Script)(nil)

// Play makes a Script.
func Play(steps ...Step) *Script {
	return &Script{steps: slices.Clone(steps), released: make(chan struct{})}
}

// Next plays the next step.
func (s *Script) Next(ctx context.Context, b *change.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if len(s.steps) == 0 {
		endless, released := s.Endless, s.released
		s.mu.Unlock()
		if !endless {
			return io.EOF
		}
		return wait(ctx, released, io.EOF)
	}
	step := s.steps[0]
	if step.Err == nil && step.Fill == nil && step.End == "" {
		released := s.released
		s.mu.Unlock()
		if err := wait(ctx, released, nil); err != nil {
			return err
		}
		s.mu.Lock()
		s.steps = s.steps[1:]
		s.mu.Unlock()
		return s.Next(ctx, b)
	}
	s.steps = s.steps[1:]
	s.mu.Unlock()
	if step.Err != nil {
		return step.Err
	}
	if step.Fill != nil {
		step.Fill(b)
	}
	b.End = step.End
	return nil
}

func wait(ctx context.Context, released <-chan struct{}, then error) error {
	select {
	case <-released:
		return then
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Release lets steps that block go on, those to come too.
func (s *Script) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.released:
	default:
		close(s.released)
	}
}

// Commit notes the position.
func (s *Script) Commit(_ context.Context, p change.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commits = append(s.commits, p)
	return nil
}

// Close counts.
func (s *Script) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return nil
}

// Commits are the positions that were committed, in order.
func (s *Script) Commits() []change.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commits)
}

// Closed says how often Close was called.
func (s *Script) Closed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}
