// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"maps"
	"slices"

	"freshet/config"
	"freshet/connect"
	"freshet/connect/cluster/assign"
)

// Connectors are the names, sorted.
func (h *Herder) Connectors(context.Context) ([]string, error) {
	return slices.Sorted(maps.Keys(h.o.Configs.Snapshot().Connectors)), nil
}

// Info describes a connector.
func (h *Herder) Info(_ context.Context, name string) (connect.Info, error) {
	s := h.o.Configs.Snapshot()
	cfg, ok := s.Connectors[name]
	if !ok {
		return connect.Info{}, connect.NotFound(name)
	}
	tasks := s.Tasks(name)
	if tasks == nil {
		tasks = []connect.TaskID{}
	}
	return connect.Info{Name: name, Config: h.o.Worker.Shown(cfg), Tasks: tasks, Type: h.o.Worker.KindOf(cfg)}, nil
}

// Status is the state of a connector and its tasks, as the workers that run them have told it.
func (h *Herder) Status(_ context.Context, name string) (connect.Status, error) {
	st, ok := h.o.Statuses.Status(assign.ConnectorID(name))
	if !ok {
		return connect.Status{}, connect.NoStatus(name)
	}
	out := connect.Status{
		Name:      name,
		Connector: connect.ConnectorStatus{State: st.State, WorkerID: st.WorkerID, Version: st.Version, Trace: st.Trace},
		Tasks:     []connect.TaskStatus{},
		Type:      h.o.Worker.KindOf(h.o.Configs.Snapshot().Connectors[name]),
	}
	for _, t := range h.o.Statuses.Tasks(name) {
		out.Tasks = append(out.Tasks, connect.TaskStatus{ID: t.ID.Task, State: t.State, WorkerID: t.WorkerID, Version: t.Version, Trace: t.Trace})
	}
	return out, nil
}

// TaskConfigs are the configurations of the tasks, as stored, secrets masked.
func (h *Herder) TaskConfigs(_ context.Context, name string) ([]map[string]string, error) {
	s := h.o.Configs.Snapshot()
	cfg, ok := s.Connectors[name]
	if !ok {
		return nil, connect.NotFound(name)
	}
	ids := s.Tasks(name)
	out := make([]map[string]string, len(ids))
	for n, id := range ids {
		whole := maps.Clone(cfg) // whose class knows the secrets
		maps.Copy(whole, s.TaskConfigs[id])
		shown := h.o.Worker.Shown(whole)
		out[n] = make(map[string]string, len(s.TaskConfigs[id]))
		for property := range s.TaskConfigs[id] {
			out[n][property] = shown[property]
		}
	}
	return out, nil
}

// Topics are the topics that the connector has used. An unknown connector has used none.
func (h *Herder) Topics(_ context.Context, name string) ([]string, error) {
	out := []string{}
	for _, t := range h.o.Statuses.Topics(name) {
		out = append(out, t.Topic)
	}
	return out, nil
}

// ResetTopics forgets them.
func (h *Herder) ResetTopics(_ context.Context, name string) error {
	for _, t := range h.tasksOf(name) {
		if t.made != nil {
			t.made.Topics.Reset()
		}
	}
	for _, t := range h.o.Statuses.Topics(name) {
		h.o.Statuses.DeleteTopic(name, t.Topic)
	}
	return nil
}

// Snapshots calls use with the snapshots of a source connector, where its task runs. Where it has no tasks, as one that is
// STOPPED, it is the leader's turn: none can be made meanwhile.
func (h *Herder) Snapshots(ctx context.Context, name string, use func(*connect.Snapshots) error) error {
	s := h.o.Configs.Snapshot()
	cfg, ok := s.Connectors[name]
	first := connect.TaskID{Connector: name, Task: 0}
	switch kind := h.o.Worker.KindOf(cfg); {
	case !ok:
		return connect.NotFound(name)
	case kind != "source":
		return connect.OnlySources(name, kind)
	case h.running().Has(first):
		return use(h.o.Worker.Snapshots(name))
	case len(s.Tasks(name)) > 0:
		return h.owner(ctx, first)
	}
	return h.do(ctx, func(ctx context.Context) error {
		if err := h.leading(ctx, name, connect.NotFound); err != nil {
			return err
		}
		if len(h.o.Configs.Snapshot().Tasks(name)) > 0 {
			return connect.StaleConfiguration()
		}
		return use(h.o.Worker.SnapshotsOfNobody(name))
	})
}

// Validate checks a configuration for a class without keeping it.
func (h *Herder) Validate(ctx context.Context, class string, cfg map[string]string) (connect.Validation, error) {
	return h.o.Worker.Validate(ctx, class, cfg)
}

// Plugins lists the plug-ins.
func (h *Herder) Plugins() []config.Plugin { return h.o.Worker.Plugins().List() }

// Reports are the states of what runs on this worker, by connector.
func (h *Herder) Reports() []connect.ConnectorReport {
	s := h.o.Configs.Snapshot()
	h.mu.Lock()
	defer h.mu.Unlock()
	reports := map[string]*connect.ConnectorReport{}
	of := func(name string) *connect.ConnectorReport {
		r := reports[name]
		if r == nil {
			cfg := s.Connectors[name]
			r = &connect.ConnectorReport{
				Name: name, Type: h.o.Worker.KindOf(cfg), Class: cfg["connector.class"], State: target(s, name), Tasks: []connect.TaskReport{},
			}
			reports[name] = r
		}
		return r
	}
	for name, i := range h.instances {
		r := of(name)
		if r.State = i.state; i.err != nil {
			r.Cause = connect.RedactText(i.err.Error())
		}
	}
	for id, t := range h.tasks {
		r := of(id.Connector)
		report := t.Report()
		report.ID = id.Task
		r.Tasks = append(r.Tasks, report)
	}
	out := make([]connect.ConnectorReport, 0, len(reports))
	for _, name := range slices.Sorted(maps.Keys(reports)) {
		r := reports[name]
		slices.SortFunc(r.Tasks, func(x, y connect.TaskReport) int { return x.ID - y.ID })
		out = append(out, *r)
	}
	return out
}
