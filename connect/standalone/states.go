// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"context"

	"freshet/connect"
)

// Pause ends the running tasks but keeps them: their state becomes PAUSED. Failed ones stay FAILED.
func (h *Herder) Pause(ctx context.Context, name string) error {
	return h.change(ctx, func() error {
		i, err := h.find(name, connect.Unknown)
		if err != nil {
			return err
		}
		if i.target == connect.Stopped {
			// As in Kafka Connect: a stopped connector becomes a paused one, without tasks.
			return h.retarget(i, connect.Paused)
		}
		if err := h.retarget(i, connect.Paused); err != nil {
			return err
		}
		i.cancel()
		if err := i.wait(ctx); err != nil {
			return err
		}
		for _, t := range i.tasks {
			if state, _ := t.State(); state != connect.Failed {
				t.Mark(connect.Paused)
			}
		}
		return nil
	})
}

// Resume starts what is paused or stopped. Failed tasks stay FAILED until they are restarted; a failed connector is tried
// again.
func (h *Herder) Resume(ctx context.Context, name string) error {
	return h.change(ctx, func() error {
		i, err := h.find(name, connect.Unknown)
		if err != nil {
			return err
		}
		if err := h.retarget(i, connect.Running); err != nil {
			return err
		}
		_, failure := i.failure()
		if len(i.tasks) == 0 || failure != nil {
			return h.restartAll(ctx, i)
		}
		for _, t := range i.tasks {
			if state, _ := t.State(); state == connect.Paused {
				t.Mark(connect.Unassigned)
				t.Start()
			}
		}
		return nil
	})
}

// Stop ends the tasks and gives them up.
func (h *Herder) Stop(ctx context.Context, name string) error {
	return h.change(ctx, func() error {
		i, err := h.find(name, connect.Unknown)
		if err != nil {
			return err
		}
		if err := h.retarget(i, connect.Stopped); err != nil {
			return err
		}
		i.cancel()
		if err := i.wait(ctx); err != nil {
			return err
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		i.tasks = nil
		if i.made != nil {
			i.err = nil
		}
		return nil
	})
}

// restartAll ends what runs and brings the instance into its target state anew.
func (h *Herder) restartAll(ctx context.Context, i *instance) error {
	i.cancel()
	if err := i.wait(ctx); err != nil {
		return err
	}
	h.start(i)
	return nil
}

// Restart restarts the connector and, as asked, its tasks. The status it returns is that of the beginning: what is being
// restarted is RESTARTING. Without includeTasks only a failed connector needs anything done: it is tried again with its
// tasks, which the failure kept from running.
func (h *Herder) Restart(ctx context.Context, name string, includeTasks, onlyFailed bool) (status connect.Status, err error) {
	err = h.change(ctx, func() error {
		i, err := h.find(name, connect.UnknownRestart)
		if err != nil {
			return err
		}
		_, failure := i.failure()
		plan := h.planRestart(i, failure != nil, includeTasks, onlyFailed)
		status = h.status(i)
		defer h.planDone(i)
		if i.restarting && failure != nil {
			return h.restartAll(ctx, i)
		}
		for _, t := range plan {
			if err := h.restartTask(ctx, i, t); err != nil {
				return err
			}
		}
		return nil
	})
	return status, err
}

// planRestart marks and returns the tasks to be restarted.
func (h *Herder) planRestart(i *instance, failed, includeTasks, onlyFailed bool) []*task {
	h.mu.Lock()
	defer h.mu.Unlock()
	i.restarting = failed || !onlyFailed
	var plan []*task
	for _, t := range i.tasks {
		state, _ := t.State()
		if t.restarting = includeTasks && (!onlyFailed || state == connect.Failed); t.restarting {
			plan = append(plan, t)
		}
	}
	return plan
}

func (h *Herder) planDone(i *instance) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i.restarting = false
	for _, t := range i.tasks {
		t.restarting = false
	}
}

func (h *Herder) restartTask(ctx context.Context, i *instance, t *task) error {
	t.End()
	if err := t.Wait(ctx); err != nil {
		return err
	}
	if i.target != connect.Running {
		t.Mark(connect.Paused)
		return nil
	}
	t.Mark(connect.Unassigned)
	t.Start()
	return nil
}

// RestartTask restarts one task.
func (h *Herder) RestartTask(ctx context.Context, id connect.TaskID) error {
	return h.change(ctx, func() error {
		i, err := h.find(id.Connector, connect.UnknownRestart)
		switch {
		case err != nil:
			return err
		case i.target == connect.Stopped:
			return connect.NoKnownLeader() // as in Kafka Connect: the task is on no worker
		case id.Task < 0 || id.Task >= len(i.tasks):
			return connect.UnknownTask(id)
		}
		return h.restartTask(ctx, i, i.tasks[id.Task])
	})
}
