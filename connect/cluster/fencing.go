// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"

	"freshet/connect"
	"freshet/connect/cluster/assign"
)

// FenceZombies makes earlier instances of a connector's tasks unable to write.
func (h *Herder) FenceZombies(ctx context.Context, name string, s connect.Signature) error {
	if err := h.verify(s); err != nil {
		return err
	}
	return h.do(ctx, func(ctx context.Context) error {
		if err := h.leading(ctx, name, connect.NotFound); err != nil {
			return err
		}
		return h.fence(ctx, name)
	})
}

// fence fences the tasks of before and notes how many there are now, unless that has been done since they were made. For the
// leader.
func (h *Herder) fence(ctx context.Context, name string) error {
	s := h.o.Configs.Snapshot()
	tasks, due := s.Fencing(name)
	if h.o.Fence == nil || !due {
		return nil
	}
	if tasks > 0 {
		if err := h.o.Fence(ctx, name, tasks, s.Connectors[name]); err != nil {
			return err
		}
		h.log.Info("earlier tasks are fenced", "connector", name, "tasks", tasks)
	}
	return h.o.Configs.PutTaskCount(ctx, name, s.TaskCounts[name])
}

// Guard is what an exactly-once task asks before it claims its transactional id, and behind it. ready has the leader fence the
// tasks of before; check fails where the task is not this worker's any more, or was made anew meanwhile: whoever has it then
// starts it.
func (h *Herder) Guard(id connect.TaskID) (ready, check func(ctx context.Context) error) {
	generation := 0
	ready = func(ctx context.Context) error {
		generation = h.o.Configs.Snapshot().TaskGenerations[id.Connector]
		return h.askFencing(ctx, id.Connector)
	}
	check = func(ctx context.Context) error {
		if err := h.o.Configs.Refresh(ctx); err != nil {
			return err
		}
		s := h.o.Configs.Snapshot()
		switch {
		case s.TaskGenerations[id.Connector] != generation || !assign.Work(s.Tasks(id.Connector)).Has(id):
			return fmt.Errorf("the tasks of connector %q have been made anew", id.Connector)
		case !h.running().Has(id):
			return fmt.Errorf("task %s-%d is not this worker's any more", id.Connector, id.Task)
		}
		return nil
	}
	return ready, check
}

// askFencing fences where this worker leads, and asks the leader elsewhere.
func (h *Herder) askFencing(ctx context.Context, name string) error {
	err := h.do(ctx, func(ctx context.Context) error {
		if err := h.leading(ctx, name, connect.NotFound); err != nil {
			return err
		}
		return h.fence(ctx, name)
	})
	var elsewhere *connect.ElsewhereError
	if !errors.As(err, &elsewhere) {
		return err
	}
	s, err := h.signed(nil)
	if err != nil {
		return err
	}
	return h.o.Peers.FenceZombies(ctx, elsewhere.URL, name, s)
}
