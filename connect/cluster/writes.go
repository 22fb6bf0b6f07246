// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"strings"

	"freshet/connect"
	"freshet/connect/cluster/assign"
	"freshet/connect/cluster/backing"
)

// Put creates or changes a connector. The configuration is judged before the leader is found, and again by the leader.
func (h *Herder) Put(ctx context.Context, name string, cfg map[string]string, create bool, initial connect.State) (info connect.Info, created bool, err error) {
	name = strings.TrimSpace(name)
	made, err := h.judge(ctx, name, cfg)
	if err != nil {
		return connect.Info{}, false, err
	}
	err = h.do(ctx, func(ctx context.Context) error {
		if err := h.lead(ctx); err != nil {
			return err
		}
		_, exists := h.o.Configs.Snapshot().Connectors[name]
		if exists && create {
			return connect.Exists(name)
		}
		created = !exists
		if err := h.o.Configs.PutConnector(ctx, name, made.Config, targetOf(initial)); err != nil {
			return err
		}
		h.log.Info("connector is configured", "connector", name, "class", made.Plugin.Class, "created", created)
		info, err = h.Info(ctx, name)
		return err
	})
	return info, created, err
}

// judge checks a configuration, asks the source's server whether it lets the connector in, and makes the connector.
func (h *Herder) judge(ctx context.Context, name string, cfg map[string]string) (*connect.Connector, error) {
	cfg, err := h.o.Worker.Submitted(name, cfg, h.o.Configs.Snapshot().Connectors[name])
	if err != nil {
		return nil, err
	}
	made, err := h.o.Worker.NewConnector(name, cfg)
	if err != nil {
		return nil, err
	}
	return made, made.Reach(ctx)
}

// targetOf is the target state to be written for a wish; "" is none.
func targetOf(state connect.State) backing.TargetState {
	switch state {
	case connect.Running:
		return backing.Started
	case connect.Paused:
		return backing.Paused
	case connect.Stopped:
		return backing.Stopped
	}
	return ""
}

// Patch changes some properties of an existing connector.
func (h *Herder) Patch(ctx context.Context, name string, changes map[string]string) (info connect.Info, err error) {
	err = h.do(ctx, func(ctx context.Context) error { return h.leading(ctx, name, connect.NotFound) })
	if err != nil {
		return connect.Info{}, err
	}
	cfg, err := h.o.Worker.Patched(h.o.Configs.Snapshot().Connectors[name], changes)
	if err != nil {
		return connect.Info{}, err
	}
	info, _, err = h.Put(ctx, name, cfg, false, "")
	return info, err
}

// leading fails unless this worker leads and the connector exists.
func (h *Herder) leading(ctx context.Context, name string, missing func(string) error) error {
	if err := h.lead(ctx); err != nil {
		return err
	}
	if _, ok := h.o.Configs.Snapshot().Connectors[name]; !ok {
		return missing(name)
	}
	return nil
}

// Delete forgets a connector. Its positions and topics stay.
func (h *Herder) Delete(ctx context.Context, name string) error {
	return h.do(ctx, func(ctx context.Context) error {
		if err := h.leading(ctx, name, connect.NotFound); err != nil {
			return err
		}
		h.log.Info("connector is deleted", "connector", name)
		return h.o.Configs.DeleteConnector(ctx, name)
	})
}

// Pause ends the tasks but keeps them. Any worker may write that.
func (h *Herder) Pause(ctx context.Context, name string) error {
	return h.putTarget(ctx, name, backing.Paused)
}

// Resume starts what is paused or stopped.
func (h *Herder) Resume(ctx context.Context, name string) error {
	return h.putTarget(ctx, name, backing.Started)
}

func (h *Herder) putTarget(ctx context.Context, name string, state backing.TargetState) error {
	if _, ok := h.o.Configs.Snapshot().Connectors[name]; !ok {
		return connect.Unknown(name)
	}
	return h.o.Configs.PutTarget(ctx, name, state)
}

// Stop ends the tasks and gives them up.
func (h *Herder) Stop(ctx context.Context, name string) error {
	return h.do(ctx, func(ctx context.Context) error {
		if err := h.leading(ctx, name, connect.Unknown); err != nil {
			return err
		}
		if err := h.o.Configs.PutTasks(ctx, name, nil); err != nil {
			return err
		}
		return h.o.Configs.PutTarget(ctx, name, backing.Stopped)
	})
}

// PutTaskConfigs stores task configurations that the worker which runs the connector has made.
func (h *Herder) PutTaskConfigs(ctx context.Context, name string, configs []map[string]string, s connect.Signature) error {
	if err := h.verify(s); err != nil {
		return err
	}
	return h.do(ctx, func(ctx context.Context) error {
		if err := h.leading(ctx, name, connect.NotFound); err != nil {
			return err
		}
		if !tasksChanged(h.o.Configs.Snapshot(), name, configs) {
			return nil
		}
		return h.o.Configs.PutTasks(ctx, name, configs)
	})
}

// SetLoggerLevel has every worker of the group set the level of a logger.
func (h *Herder) SetLoggerLevel(ctx context.Context, name, level string) error {
	return h.o.Configs.PutLoggerLevel(ctx, name, level)
}

// Offsets are the durable positions of the connector.
func (h *Herder) Offsets(ctx context.Context, name string) ([]connect.Offset, error) {
	cfg, ok := h.o.Configs.Snapshot().Connectors[name]
	if !ok {
		return nil, connect.NotFound(name)
	}
	made, err := h.o.Worker.NewConnector(name, cfg)
	if err != nil {
		return nil, err
	}
	return made.Offsets(ctx)
}

// SetOffsets changes positions of a stopped connector.
func (h *Herder) SetOffsets(ctx context.Context, name string, offsets []connect.Offset) error {
	return h.stopped(ctx, name, func(ctx context.Context, c *connect.Connector) error { return c.SetOffsets(ctx, offsets) })
}

// ResetOffsets forgets all positions of a stopped connector.
func (h *Herder) ResetOffsets(ctx context.Context, name string) error {
	return h.stopped(ctx, name, func(ctx context.Context, c *connect.Connector) error { return c.ResetOffsets(ctx) })
}

// stopped runs f on a connector that is STOPPED and has no tasks.
func (h *Herder) stopped(ctx context.Context, name string, f func(context.Context, *connect.Connector) error) error {
	return h.do(ctx, func(ctx context.Context) error {
		if err := h.leading(ctx, name, connect.NotFound); err != nil {
			return err
		}
		s := h.o.Configs.Snapshot()
		if s.Targets[name] != backing.Stopped || s.TaskCounts[name] != 0 {
			return connect.NotStopped(name)
		}
		made, err := h.o.Worker.NewConnector(name, s.Connectors[name])
		if err != nil {
			return err
		}
		if made.Plugin.Source != nil { // a task that was left behind must not write its position over the new one
			if err := h.fence(ctx, name); err != nil {
				return err
			}
		}
		return f(ctx, made)
	})
}

// Restart restarts the connector alone, on the worker that runs it, or, with a flag, has every worker restart what it runs
// of the connector. The status is that of the beginning.
func (h *Herder) Restart(ctx context.Context, name string, includeTasks, onlyFailed bool) (status connect.Status, err error) {
	err = h.do(ctx, func(ctx context.Context) error {
		if !includeTasks && !onlyFailed {
			return h.restartHere(ctx, name)
		}
		if err := h.leading(ctx, name, connect.UnknownRestart); err != nil {
			return err
		}
		request := backing.RestartRequest{Connector: name, IncludeTasks: includeTasks, OnlyFailed: onlyFailed}
		if status, err = h.plan(request); err != nil {
			return err
		}
		return h.o.Configs.PutRestart(ctx, request)
	})
	return status, err
}

// restartHere restarts a connector that runs here; the error leads to the worker where it does.
func (h *Herder) restartHere(ctx context.Context, name string) error {
	if _, ok := h.o.Configs.Snapshot().Connectors[name]; !ok {
		return connect.UnknownRestart(name)
	}
	if h.instance(name) == nil {
		return h.owner(ctx, assign.ConnectorID(name))
	}
	h.restartConnector(ctx, name)
	if i := h.instance(name); i != nil && i.state == connect.Failed {
		return &connect.Error{Code: 500, Message: "Failed to start connector: " + name}
	}
	return nil
}

// RestartTask restarts one task, on the worker that runs it.
func (h *Herder) RestartTask(ctx context.Context, id connect.TaskID) error {
	return h.do(ctx, func(ctx context.Context) error {
		s := h.o.Configs.Snapshot()
		if _, ok := s.Connectors[id.Connector]; !ok {
			return connect.UnknownRestart(id.Connector)
		}
		if target(s, id.Connector) == connect.Stopped {
			return connect.NoKnownLeader() // as in Kafka Connect: the task is on no worker
		}
		if !assign.Work(s.Tasks(id.Connector)).Has(id) {
			return connect.UnknownTask(id)
		}
		if !h.running().Has(id) {
			return h.owner(ctx, id)
		}
		h.stop(ctx, assign.Work{id})
		h.startTask(id)
		return nil
	})
}

// plan is the status of a connector in which what a request restarts is RESTARTING; why it failed stays in it, as in Kafka
// Connect.
func (h *Herder) plan(r backing.RestartRequest) (connect.Status, error) {
	status, err := h.Status(context.Background(), r.Connector) // answered from memory
	if err != nil {
		return status, &connect.Error{Code: 404, Message: "Status for connector " + r.Connector + " not found"}
	}
	if !r.OnlyFailed || status.Connector.State == connect.Failed {
		status.Connector.State = connect.Restarting
	}
	for n := range status.Tasks {
		t := &status.Tasks[n]
		if r.IncludeTasks && (!r.OnlyFailed || t.State == connect.Failed) {
			t.State = connect.Restarting
		}
	}
	return status, nil
}

// restart does what a request asks of this worker.
func (h *Herder) restart(ctx context.Context, r backing.RestartRequest) {
	status, err := h.plan(r)
	if err != nil {
		h.log.Warn("a restart was asked for of a connector without a state", "connector", r.Connector)
		return
	}
	var again assign.Work
	if status.Connector.State == connect.Restarting {
		again = append(again, assign.ConnectorID(r.Connector))
	}
	for _, t := range status.Tasks {
		if t.State == connect.Restarting {
			again = append(again, connect.TaskID{Connector: r.Connector, Task: t.ID})
		}
	}
	again = intersection(again, h.running())
	h.stop(ctx, again)
	for _, id := range again {
		h.tell(id, connect.Restarting, "", "")
	}
	h.run(ctx, again)
}
