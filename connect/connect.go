// SPDX-License-Identifier: Apache-2.0

// Package connect is the worker's runtime: connectors and tasks, their states, restarts and offsets, as Kafka Connect
// has them.
//
// A Task is a source pipeline or a sink loop. A supervisor runs each task, and holds the one retry loop of the engine: on
// an error that retrying can mend it backs off and opens the task anew at the last durable position, otherwise the task
// is FAILED with cause and hint. Herders (standalone, cluster) decide which connectors and tasks there are.
package connect

import (
	"context"
	"fmt"
	"strings"
	"time"

	"freshet/config"
)

// State of a connector or task, as REST shows it.
type State string

// The states.
const (
	Unassigned State = "UNASSIGNED"
	Running    State = "RUNNING"
	Paused     State = "PAUSED"
	Stopped    State = "STOPPED"
	Failed     State = "FAILED"
	Restarting State = "RESTARTING"
	Destroyed  State = "DESTROYED"
)

// Task is the work of one task: a pipeline or a sink loop. Run returns nil when ctx ends.
type Task interface {
	Run(ctx context.Context) error
}

// Info is what GET /connectors/{name} answers.
type Info struct {
	Name   string            `json:"name"`
	Config map[string]string `json:"config"`
	Tasks  []TaskID          `json:"tasks"`
	Type   string            `json:"type"`
}

// TaskID names a task.
type TaskID struct {
	Connector string `json:"connector"`
	Task      int    `json:"task"`
}

// Status is what GET /connectors/{name}/status answers.
type Status struct {
	Name      string          `json:"name"`
	Connector ConnectorStatus `json:"connector"`
	Tasks     []TaskStatus    `json:"tasks"`
	Type      string          `json:"type"`
}

// ConnectorStatus is the state of a connector.
type ConnectorStatus struct {
	State    State  `json:"state"`
	WorkerID string `json:"worker_id"`
	Version  string `json:"version,omitempty"`
	Trace    string `json:"trace,omitempty"`
}

// TaskStatus is the state of a task.
type TaskStatus struct {
	ID       int    `json:"id"`
	State    State  `json:"state"`
	WorkerID string `json:"worker_id"`
	Version  string `json:"version,omitempty"`
	Trace    string `json:"trace,omitempty"`
}

// Offset is one entry of GET /connectors/{name}/offsets. Partition and Offset are JSON texts.
type Offset struct {
	Partition string
	Offset    string // "" is none
}

// ParseInitialState reads the state that a connector is created in; "" is RUNNING.
func ParseInitialState(s string) (State, error) {
	switch state := State(strings.ToUpper(s)); state {
	case "":
		return Running, nil
	case Running, Paused, Stopped:
		return state, nil
	}
	return "", &Error{400, fmt.Sprintf("initial_state %q is none of RUNNING, PAUSED, STOPPED", s)}
}

// Herder keeps connectors and runs their tasks. It is safe for concurrent use. Errors that REST shows are *Error.
// Configurations come out with their secrets masked (see Redact); a mask that comes back in Put means the stored value.
type Herder interface {
	Connectors(ctx context.Context) ([]string, error)
	Info(ctx context.Context, name string) (Info, error)
	Status(ctx context.Context, name string) (Status, error)
	// Put creates or changes a connector. With create it refuses an existing one (409). initial is "" for RUNNING.
	Put(ctx context.Context, name string, cfg map[string]string, create bool, initial State) (info Info, created bool, err error)
	// Patch changes some properties of an existing connector; NullValue takes one away.
	Patch(ctx context.Context, name string, changes map[string]string) (Info, error)
	Delete(ctx context.Context, name string) error
	Pause(ctx context.Context, name string) error
	Resume(ctx context.Context, name string) error
	Stop(ctx context.Context, name string) error
	Restart(ctx context.Context, name string, includeTasks, onlyFailed bool) (Status, error)
	RestartTask(ctx context.Context, id TaskID) error
	TaskConfigs(ctx context.Context, name string) ([]map[string]string, error)
	// Topics are the topics that the connector has written to or read from since it was made, or since ResetTopics.
	Topics(ctx context.Context, name string) ([]string, error)
	ResetTopics(ctx context.Context, name string) error
	// Snapshots calls use with the snapshots of a source connector, which are good until it returns.
	Snapshots(ctx context.Context, name string, use func(*Snapshots) error) error
	Offsets(ctx context.Context, name string) ([]Offset, error)
	// SetOffsets changes positions of a STOPPED connector; an Offset "" forgets one. ResetOffsets forgets all.
	SetOffsets(ctx context.Context, name string, offsets []Offset) error
	ResetOffsets(ctx context.Context, name string) error
	Validate(ctx context.Context, class string, cfg map[string]string) (Validation, error)
	Plugins() []config.Plugin
}

// Validation is the result of checking a connector's configuration.
type Validation struct {
	Plugin   config.Plugin
	Common   config.Def        // Kafka Connect's own properties, with the defaults of this worker
	Values   map[string]string // as given, secrets in clear: whoever shows them asks Redact first
	Problems []config.Problem
}

// Error is an error with the HTTP status that REST answers.
type Error struct {
	Code    int
	Message string
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// Backoff bounds the waits of the retry loop: doubled from Min to Max, with jitter of ±20 %.
type Backoff struct{ Min, Max time.Duration }
