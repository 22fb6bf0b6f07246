// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"context"
	"fmt"
	"slices"

	"freshet/config"
	"freshet/connect"
)

// Connectors are the names, in the order of creation.
func (h *Herder) Connectors(context.Context) ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.order), nil
}

// Info describes a connector.
func (h *Herder) Info(_ context.Context, name string) (connect.Info, error) {
	i, err := h.find(name, connect.NotFound)
	if err != nil {
		return connect.Info{}, err
	}
	return h.info(i), nil
}

func (h *Herder) info(i *instance) connect.Info {
	h.mu.Lock()
	defer h.mu.Unlock()
	info := connect.Info{Name: i.name, Config: i.shown(), Tasks: []connect.TaskID{}, Type: i.kind()}
	for n := range i.tasks {
		info.Tasks = append(info.Tasks, connect.TaskID{Connector: i.name, Task: n})
	}
	return info
}

// shown is the configuration with its secrets masked.
func (i *instance) shown() map[string]string {
	if i.made == nil {
		return connect.Redact(nil, i.given)
	}
	return i.made.Shown()
}

func (i *instance) kind() string {
	if i.made == nil {
		return "unknown"
	}
	return i.made.Plugin.Kind
}

func (i *instance) version() string {
	if i.made == nil {
		return ""
	}
	return i.made.Plugin.Version
}

// Status is the state of a connector and its tasks.
func (h *Herder) Status(_ context.Context, name string) (connect.Status, error) {
	i, err := h.find(name, connect.NoStatus)
	if err != nil {
		return connect.Status{}, err
	}
	return h.status(i), nil
}

func (h *Herder) status(i *instance) connect.Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := connect.Status{
		Name:      i.name,
		Connector: connect.ConnectorStatus{State: i.target, WorkerID: h.o.WorkerID, Version: i.version()},
		Tasks:     []connect.TaskStatus{},
		Type:      i.kind(),
	}
	if trace, failure := i.failure(); failure != nil {
		s.Connector.State, s.Connector.Trace = connect.Failed, trace
	}
	if i.restarting {
		s.Connector.State = connect.Restarting
	}
	for n, t := range i.tasks {
		state, trace := t.State()
		if t.restarting {
			state = connect.Restarting
		}
		s.Tasks = append(s.Tasks, connect.TaskStatus{ID: n, State: state, WorkerID: h.o.WorkerID, Version: i.version(), Trace: trace})
	}
	return s
}

// TaskConfigs are the configurations of the tasks that there are.
func (h *Herder) TaskConfigs(_ context.Context, name string) ([]map[string]string, error) {
	i, err := h.find(name, connect.NotFound)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(i.tasks) == 0 {
		return []map[string]string{}, nil
	}
	return i.made.TaskConfigs(), nil
}

// Snapshots calls use with the snapshots of a source connector.
func (h *Herder) Snapshots(_ context.Context, name string, use func(*connect.Snapshots) error) error {
	i, err := h.find(name, connect.NotFound)
	if err != nil {
		return err
	}
	if i.kind() != "source" {
		return connect.OnlySources(name, i.kind())
	}
	return use(h.o.Worker.Snapshots(name))
}

// Letters are the dead letters of a sink connector.
func (h *Herder) Letters(_ context.Context, name string) (*connect.Letters, error) {
	i, err := h.find(name, connect.NotFound)
	if err != nil {
		return nil, err
	}
	if i.made == nil {
		return nil, &connect.Error{Code: 409, Message: fmt.Sprintf("Connector %s could not be made: see its status", name)}
	}
	return i.made.Letters()
}

// Topics are the topics that the connector has used. An unknown connector has used none.
func (h *Herder) Topics(_ context.Context, name string) ([]string, error) {
	if i, err := h.find(name, connect.NotFound); err == nil && i.made != nil {
		if names := i.made.Topics.Names(); names != nil {
			return names, nil
		}
	}
	return []string{}, nil
}

// ResetTopics forgets them.
func (h *Herder) ResetTopics(_ context.Context, name string) error {
	if i, err := h.find(name, connect.NotFound); err == nil && i.made != nil {
		i.made.Topics.Reset()
	}
	return nil
}

// Validate checks a configuration for a class without keeping it.
func (h *Herder) Validate(ctx context.Context, class string, cfg map[string]string) (connect.Validation, error) {
	return h.o.Worker.Validate(ctx, class, cfg)
}

// Plugins lists the plug-ins.
func (h *Herder) Plugins() []config.Plugin { return h.o.Worker.Plugins().List() }
