// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"freshet/connect"
	"freshet/connect/cluster/assign"
	"freshet/connect/cluster/backing"
)

// instance is a connector that runs here: nothing more than that its configuration is good and its tasks are known.
type instance struct {
	made  *connect.Connector // nil where the configuration is not valid
	err   error              // why it is not
	state connect.State
	// version is that of the plug-in, "" where there is none of the class.
	version string
}

// task is a task that runs here, or is paused, or has failed.
type task struct {
	connect.Run
	made  *connect.Connector // nil where the configuration is not valid
	kind  string
	quiet atomic.Bool // what becomes of it is not told any more
}

// instance is the connector of a name if it runs here.
func (h *Herder) instance(name string) *instance {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.instances[name]
}

// running is all that runs here.
func (h *Herder) running() assign.Work {
	h.mu.Lock()
	defer h.mu.Unlock()
	var w assign.Work
	for name := range h.instances {
		w = append(w, assign.ConnectorID(name))
	}
	for id := range h.tasks {
		w = append(w, id)
	}
	return w.Plus()
}

// runningOf is what runs here of a connector.
func (h *Herder) runningOf(name string) (w assign.Work) {
	for _, id := range h.running() {
		if id.Connector == name {
			w = append(w, id)
		}
	}
	return w
}

// tell writes a state.
func (h *Herder) tell(id connect.TaskID, state connect.State, trace, version string) {
	st := backing.Status{ID: id, State: state, Trace: trace, WorkerID: h.o.WorkerID, Generation: h.generation()}
	switch state {
	case connect.Unassigned, connect.Restarting:
	default:
		st.Version = version
	}
	if state == connect.Unassigned || state == connect.Failed {
		h.o.Statuses.PutSafe(st) // another worker may have the work by now
		return
	}
	h.o.Statuses.Put(st)
}

// run starts what of the work does not run yet.
func (h *Herder) run(ctx context.Context, owned assign.Work) {
	for _, id := range owned.Minus(h.running()) {
		if ctx.Err() != nil {
			return
		}
		if id.Task == assign.Instance {
			h.startConnector(id.Connector)
		} else {
			h.startTask(id)
		}
	}
}

// target is what operators want of a connector.
func target(s *backing.Snapshot, name string) connect.State {
	switch s.Targets[name] {
	case backing.Paused:
		return connect.Paused
	case backing.Stopped:
		return connect.Stopped
	}
	return connect.Running
}

// startConnector starts a connector; one that is not configured any more is passed over.
func (h *Herder) startConnector(name string) {
	s := h.o.Configs.Snapshot()
	cfg, ok := s.Connectors[name]
	if !ok {
		return
	}
	i := &instance{state: target(s, name)}
	if plugin, err := h.o.Worker.Plugins().Find(cfg["connector.class"]); err == nil {
		i.version = plugin.Version
	}
	if i.made, i.err = h.o.Worker.NewConnector(name, cfg); i.err != nil {
		h.log.Error("connector is not valid", "connector", name, "error", connect.RedactText(i.err.Error()))
		if i.state != connect.Stopped {
			i.state = connect.Failed
		}
	}
	h.mu.Lock()
	h.instances[name] = i
	h.mu.Unlock()
	h.tellConnector(name, i)
	if i.state == connect.Running {
		h.due[name] = retry{}
	}
	h.log.Info("connector has started", "connector", name, "state", string(i.state))
}

func (h *Herder) tellConnector(name string, i *instance) {
	trace := ""
	if i.state == connect.Failed {
		trace = connect.ConnectorTrace(i.err)
	}
	h.tell(assign.ConnectorID(name), i.state, trace, i.version)
}

// restartConnector starts a connector anew, with the configuration of now. Its tasks go on.
func (h *Herder) restartConnector(ctx context.Context, name string) {
	h.stop(ctx, assign.Work{assign.ConnectorID(name)})
	h.startConnector(name)
}

// startTask starts a task with its stored configuration; one that is not configured any more is passed over.
func (h *Herder) startTask(id connect.TaskID) {
	s := h.o.Configs.Snapshot()
	if !assign.Work(s.Tasks(id.Connector)).Has(id) {
		return
	}
	cfg := s.Applied[id.Connector]
	if cfg == nil {
		cfg = s.Connectors[id.Connector]
	}
	t := &task{kind: h.o.Worker.KindOf(cfg)}
	configs := make([]map[string]string, id.Task+1)
	for n := range configs {
		configs[n] = s.TaskConfigs[connect.TaskID{Connector: id.Connector, Task: n}]
	}
	version := ""
	made, err := h.o.Worker.NewConnectorOf(id.Connector, cfg, configs)
	if err == nil {
		version = made.Plugin.Version
		made.Topics.Added = func(topic string) {
			h.o.Statuses.PutTopic(backing.TopicStatus{Topic: topic, Connector: id.Connector, Task: id.Task, Discovered: time.Now()})
		}
		t.made = made
		t.Supervisor = made.NewTask(id.Task)
	} else {
		t.Supervisor = connect.NewFailed(t.kind, err, h.log.With("connector", id.Connector, "task", id.Task))
	}
	t.Observe(func(state connect.State, trace string) {
		if !t.quiet.Load() {
			h.tell(id, state, trace, version)
		}
	})
	h.mu.Lock()
	h.tasks[id] = t
	h.mu.Unlock()
	switch target(s, id.Connector) {
	case connect.Running:
		t.Start()
	case connect.Paused:
		t.Mark(connect.Paused)
	}
}

// stop ends what runs of the work, tells that it is with nobody, and waits for it, within StopTimeout.
func (h *Herder) stop(ctx context.Context, w assign.Work) {
	if len(w) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.o.StopTimeout)
	defer cancel()
	ended := map[connect.TaskID]*task{}
	h.mu.Lock()
	for _, id := range w {
		if t := h.tasks[id]; t != nil {
			ended[id] = t
		}
	}
	h.mu.Unlock()
	for _, t := range ended {
		t.End()
	}
	for id, t := range ended {
		if err := t.Wait(ctx); err != nil {
			h.log.Error("task has not ended in time and is left behind", "connector", id.Connector, "task", id.Task, "limit", h.o.StopTimeout)
		}
		if id.Task == 0 {
			h.o.Worker.ReleaseSnapshots(id.Connector)
		}
		if state, _ := t.State(); state != connect.Unassigned {
			t.Mark(connect.Unassigned) // it did not run, or has not ended
		}
		t.quiet.Store(true)
	}
	h.mu.Lock()
	for id := range ended {
		delete(h.tasks, id)
	}
	var connectors []string
	for _, id := range w {
		if id.Task == assign.Instance && h.instances[id.Connector] != nil {
			connectors = append(connectors, id.Connector)
			delete(h.instances, id.Connector)
		}
	}
	h.mu.Unlock()
	for _, name := range connectors {
		h.tell(assign.ConnectorID(name), connect.Unassigned, "", "")
		delete(h.due, name)
	}
	h.forget(ctx, w)
}

// forget forgets what is only of use to connectors and tasks that are configured.
func (h *Herder) forget(ctx context.Context, stopped assign.Work) {
	s := h.o.Configs.Snapshot()
	deleted := map[string]bool{}
	for _, id := range stopped {
		if _, ok := s.Connectors[id.Connector]; !ok {
			deleted[id.Connector] = true
			if id.Task == assign.Instance {
				h.forgetStatuses(id.Connector)
			}
			h.o.Statuses.Delete(id)
		} else if id.Task != assign.Instance && !assign.Work(s.Tasks(id.Connector)).Has(id) {
			h.o.Statuses.Delete(id)
		}
	}
	for name := range deleted {
		if err := h.o.Worker.ForgetSnapshots(name); err != nil {
			h.log.Warn("the snapshots of a deleted connector are not forgotten", "connector", name, "error", err)
		}
		if err := h.o.Worker.DeleteSpool(ctx, name); err != nil {
			h.log.Warn("the spool of a deleted connector stays", "connector", name, "error", err)
		}
	}
}

// retarget brings what runs here of a connector into its target state. Failed ones stay FAILED, but where the connector is
// stopped.
func (h *Herder) retarget(ctx context.Context, name string) {
	s := h.o.Configs.Snapshot()
	if _, ok := s.Connectors[name]; !ok {
		return // deleted meanwhile
	}
	want := target(s, name)
	if i := h.instance(name); i != nil {
		switch {
		case i.state == connect.Failed && want == connect.Running:
			h.restartConnector(ctx, name)
		case i.state == connect.Failed && want == connect.Paused:
		case i.state == connect.Stopped && want == connect.Running:
			h.startConnector(name) // its configuration may not be what it was: references
		default:
			h.mu.Lock()
			i.state = want
			if want == connect.Running && i.made == nil {
				i.state = connect.Failed
			}
			h.mu.Unlock()
			h.tellConnector(name, i)
			if i.state == connect.Running {
				h.due[name] = retry{}
			}
		}
	}
	if want == connect.Stopped {
		h.stop(ctx, h.runningOf(name).Minus(assign.Work{assign.ConnectorID(name)}))
		return
	}
	for id, t := range h.tasksOf(name) {
		switch state, _ := t.State(); {
		case state == connect.Failed:
		case want == connect.Paused && state != connect.Paused:
			h.pause(ctx, id, t)
		case want == connect.Running && state == connect.Paused:
			t.Start()
		}
	}
}

// pause ends a task but keeps it.
func (h *Herder) pause(ctx context.Context, id connect.TaskID, t *task) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.o.StopTimeout)
	defer cancel()
	t.quiet.Store(true) // it is with this worker all the time
	t.End()
	if err := t.Wait(ctx); err != nil {
		h.log.Error("task has not paused in time", "connector", id.Connector, "task", id.Task, "limit", h.o.StopTimeout)
		return
	}
	state, trace := t.State()
	t.quiet.Store(false)
	if state == connect.Failed { // on its way
		h.tell(id, state, trace, t.made.Plugin.Version)
		return
	}
	t.Mark(connect.Paused)
}

// tasksOf are the tasks of a connector that run here.
func (h *Herder) tasksOf(name string) map[connect.TaskID]*task {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := map[connect.TaskID]*task{}
	for id, t := range h.tasks {
		if id.Connector == name {
			out[id] = t
		}
	}
	return out
}

// tasksChanged says whether configurations differ from what is stored, or the connector's has changed since.
func tasksChanged(s *backing.Snapshot, name string, configs []map[string]string) bool {
	stored := s.Tasks(name)
	if s.Inconsistent[name] || len(stored) != len(configs) || !maps.Equal(s.Applied[name], s.Connectors[name]) {
		return true
	}
	return slices.ContainsFunc(stored, func(id connect.TaskID) bool { return !maps.Equal(s.TaskConfigs[id], configs[id.Task]) })
}
