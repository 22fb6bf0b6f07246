// SPDX-License-Identifier: Apache-2.0

package connect_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/connect/connecttest"
)

// scripted is a task whose Run is a function.
type scripted struct {
	run      func(ctx context.Context) error
	progress int64
}

func (s *scripted) Run(ctx context.Context) error { return s.run(ctx) }
func (s *scripted) Progress() int64               { return s.progress }

// start runs a supervisor and returns a function that ends it and waits.
func start(t *testing.T, s *connect.Supervisor) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	return func() { cancel(); wg.Wait() }
}

func requireState(t *testing.T, s *connect.Supervisor, want connect.State) string {
	t.Helper()
	state, trace := s.State()
	require.Equal(t, want, state, trace)
	return trace
}

func TestSupervisorDoublesItsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts []time.Time
		s := connect.NewSupervisor(connect.SupervisorOptions{
			Kind: "source", MaxRetries: -1,
			Open: func(context.Context) (connect.Task, error) {
				attempts = append(attempts, time.Now())
				return nil, errors.New("connection refused")
			},
		})
		requireState(t, s, connect.Unassigned)
		stop := start(t, s)
		time.Sleep(10 * time.Minute) //nolint:forbidigo // the clock of synctest
		trace := requireState(t, s, connect.Restarting)
		require.Contains(t, trace, "Caused by: connection refused")
		stop()
		requireState(t, s, connect.Unassigned)

		require.Greater(t, len(attempts), 10)
		want := time.Second
		for i := 1; i < len(attempts); i++ {
			wait := attempts[i].Sub(attempts[i-1])
			require.GreaterOrEqual(t, wait, want*8/10, "wait %d", i)
			require.LessOrEqual(t, wait, want*12/10, "wait %d", i)
			want = min(2*want, time.Minute)
		}
	})
}

func TestSupervisorBeginsAnewAfterProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts []time.Time
		s := connect.NewSupervisor(connect.SupervisorOptions{
			Kind: "source", MaxRetries: -1,
			Open: func(context.Context) (connect.Task, error) {
				attempts = append(attempts, time.Now())
				task := &scripted{run: func(context.Context) error { return errors.New("server restarted") }}
				if len(attempts) == 6 {
					task.progress = 1
				}
				return task, nil
			},
		})
		stop := start(t, s)
		time.Sleep(time.Minute) //nolint:forbidigo // the clock of synctest
		stop()
		require.Greater(t, len(attempts), 7)
		require.Greater(t, attempts[5].Sub(attempts[4]), 10*time.Second)
		require.Less(t, attempts[6].Sub(attempts[5]), 2*time.Second, "the wait after progress is the shortest")
	})
}

func TestSupervisorFixedWaitAndLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, opened := time.Now(), 0
		s := connect.NewSupervisor(connect.SupervisorOptions{
			Kind: "source", MaxRetries: 3, Backoff: connect.Backoff{Min: 10 * time.Second, Max: 10 * time.Second},
			Open: func(context.Context) (connect.Task, error) { opened++; return nil, errors.New("no server") },
		})
		s.Run(t.Context()) // returns by itself
		trace := requireState(t, s, connect.Failed)
		require.Equal(t, 4, opened)
		require.Contains(t, trace, "gave up after 3 retries (errors.max.retries): no server")
		require.InDelta(t, 30, time.Since(begin).Seconds(), 6)
	})
}

// answer is an error that a server gives at a place.
type answer struct{ place string }

func (a answer) Error() string   { return "cannot decode at " + a.place }
func (a answer) Repeats() string { return a.place }

// The same answer at the same place is believed after a while, whatever else became durable; another one begins anew.
func TestSupervisorBelievesAnAnswerThatComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, opened := time.Now(), 0
		s := connect.NewSupervisor(connect.SupervisorOptions{
			Kind: "source", MaxRetries: -1, Backoff: connect.Backoff{Min: time.Second, Max: time.Minute},
			Open: func(context.Context) (connect.Task, error) {
				opened++
				var err error
				switch {
				case opened < 6:
					err = answer{"0/1"}
				case opened == 6:
					err = errors.New("connection lost")
				default:
					err = answer{"0/2"}
				}
				return &scripted{progress: 1, run: func(context.Context) error { return fmt.Errorf("stream: %w", err) }}, nil
			},
		})
		s.Run(t.Context()) // returns by itself
		trace := requireState(t, s, connect.Failed)
		require.Equal(t, 6+7, opened)
		require.Contains(t, trace, "gave up: the same came back 7 times at the same place: stream: cannot decode at 0/2")
		require.Less(t, time.Since(begin), 2*time.Minute)
	})
}

func TestSupervisorFails(t *testing.T) {
	for _, c := range []struct {
		name, kind string
		err        error
		trace      []string
	}{
		{
			"source", "source", fmt.Errorf("open: %w", &connecttest.ScriptedError{Message: "slot is lost", Final: true}),
			[]string{"org.apache.kafka.connect.errors.ConnectException: An exception occurred in the change event producer. This connector will be stopped.", "Caused by: open: slot is lost"},
		},
		{
			"sink", "sink", &connecttest.ScriptedError{Message: "null value", Final: true},
			[]string{"org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask due to unrecoverable exception.", "Caused by: null value"},
		},
		{
			"password", "source", &connecttest.ScriptedError{Message: "dial postgres://u:canary@h/d?password=canary", Final: true},
			[]string{"", "Caused by: dial postgres://u:****@h/d?password=****"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := connect.NewSupervisor(connect.SupervisorOptions{
				Kind: c.kind, MaxRetries: -1, Open: func(context.Context) (connect.Task, error) { return nil, c.err },
			})
			s.Run(t.Context()) // returns by itself
			trace := requireState(t, s, connect.Failed)
			require.ErrorIs(t, s.Err(), c.err)
			for _, line := range c.trace {
				require.Contains(t, trace, line)
			}
			require.NotContains(t, trace, "canary")
			s.Mark(connect.Paused)
			require.NoError(t, s.Err())
		})
	}
}

func TestSupervisorSurvivesPanic(t *testing.T) {
	s := connect.NewSupervisor(connect.SupervisorOptions{
		Kind: "sink", MaxRetries: -1,
		Open: func(context.Context) (connect.Task, error) {
			return &scripted{run: func(context.Context) error { panic("broken invariant") }}, nil
		},
	})
	s.Run(t.Context())
	require.Contains(t, requireState(t, s, connect.Failed), "internal error: broken invariant")
}

func TestSupervisorStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drained := false
		s := connect.NewSupervisor(connect.SupervisorOptions{
			Kind: "source", MaxRetries: -1,
			Open: func(context.Context) (connect.Task, error) {
				return &scripted{run: func(ctx context.Context) error {
					<-ctx.Done()
					time.Sleep(3 * time.Second) //nolint:forbidigo // the clock of synctest: the task drains
					drained = true
					return nil
				}}, nil
			},
		})
		stop := start(t, s)
		synctest.Wait()
		requireState(t, s, connect.Running)
		stop()
		require.True(t, drained, "Run returned before the task had drained")
		requireState(t, s, connect.Unassigned)
	})
}

// A snapshot without streaming ends; as in Kafka Connect its task stays RUNNING.
func TestSupervisorFinishedTaskStaysRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened := 0
		s := connect.NewSupervisor(connect.SupervisorOptions{
			Kind: "source", MaxRetries: -1,
			Open: func(context.Context) (connect.Task, error) {
				opened++
				return &scripted{run: func(context.Context) error { return nil }}, nil
			},
		})
		stop := start(t, s)
		time.Sleep(time.Hour) //nolint:forbidigo // the clock of synctest
		requireState(t, s, connect.Running)
		stop()
		require.Equal(t, 1, opened)
	})
}

func TestRetriable(t *testing.T) {
	never, again := &connecttest.ScriptedError{Message: "never", Final: true}, &connecttest.ScriptedError{Message: "again"}
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"nil", nil, true},
		{"plain", errors.New("x"), true},
		{"says yes", again, true},
		{"says no", never, false},
		{"wrapped no", fmt.Errorf("a: %w", never), false},
		{"joined, first yes", errors.Join(again, never), false},
		{"joined, both yes", errors.Join(again, errors.New("x")), true},
		{"two verbs", fmt.Errorf("%w: %w", again, never), false},
		{"preflight", &connect.PreflightError{Err: again}, false},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, connect.Retriable(c.err)) })
	}
}
