// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"context"
	"errors"
	"fmt"

	"freshet/connect"
)

// instance is one connector of the herder. given and made never change: another configuration is another instance.
type instance struct {
	name   string
	given  map[string]string
	made   *connect.Connector // nil where a stored configuration is no longer valid
	stored bool

	// What follows is written by the one change that is going on, and guarded by Herder.mu.
	target     connect.State
	err        error // why the connector itself is FAILED
	restarting bool
	tasks      []*task
}

// task is one task of an instance.
type task struct {
	connect.Run
	restarting bool // guarded by Herder.mu
}

// cancel asks the tasks to stop; wait waits until they have.
func (i *instance) cancel() {
	for _, t := range i.tasks {
		t.End()
	}
}

func (i *instance) wait(ctx context.Context) error {
	var errs []error
	for n, t := range i.tasks {
		if err := t.Wait(ctx); err != nil {
			errs = append(errs, fmt.Errorf("task %s-%d has not stopped: %w", i.name, n, err))
		}
	}
	return errors.Join(errs...)
}

// start brings an instance into its target state: tasks are made and run, made and paused, or not made at all. A
// connector that is created PAUSED has no tasks until it is resumed.
func (h *Herder) start(i *instance) {
	if i.made == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	i.err = nil
	if i.target != connect.Running || h.closed {
		return
	}
	i.tasks = nil
	for n := range i.made.Tasks() {
		t := &task{Run: connect.Run{Supervisor: i.made.NewTask(n)}}
		i.tasks = append(i.tasks, t)
		t.Start()
	}
}

// failure is the error that makes the connector itself FAILED: its own, or that of a task whose checks of the server
// found that the connector as a whole cannot work.
func (i *instance) failure() (trace string, err error) {
	if i.err != nil {
		return connect.ConnectorTrace(i.err), i.err
	}
	for _, t := range i.tasks {
		var preflight *connect.PreflightError
		if err := t.Err(); errors.As(err, &preflight) {
			_, trace := t.State()
			return trace, err
		}
	}
	return "", nil
}
