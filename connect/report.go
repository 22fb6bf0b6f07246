// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"encoding/json"
	"time"

	"freshet/capture"
	"freshet/emitter"
)

// Report is what GET /freshet/status answers: everything about a worker in one document. Members are only ever added.
// Numbers that are not known are -1.
type Report struct {
	Time       time.Time         `json:"time"`
	Ready      bool              `json:"ready"`
	Reasons    []string          `json:"reasons"` // why it is not ready
	Connectors []ConnectorReport `json:"connectors"`
}

// ConnectorReport is a connector with its tasks.
type ConnectorReport struct {
	Name  string       `json:"name"`
	Type  string       `json:"type"` // source, sink or unknown
	Class string       `json:"class"`
	State State        `json:"state"`
	Cause string       `json:"cause,omitempty"` // why it is FAILED
	Tasks []TaskReport `json:"tasks"`
}

// TaskReport is a task. Source is nil for sinks and for sources that were never opened.
type TaskReport struct {
	ID         int           `json:"id"`
	State      State         `json:"state"`
	Cause      string        `json:"cause,omitempty"` // of FAILED and RESTARTING
	Since      time.Time     `json:"since"`           // the state's beginning
	Attempts   int64         `json:"attempts"`        // how often the task was opened
	Reopened   int64         `json:"watchdog_reopened"`
	Violations int64         `json:"invariant_violations"`
	Commits    int64         `json:"commits"`           // positions and offsets that became durable
	Stalled    string        `json:"stalled,omitempty"` // what the watchdog says, while there is no progress
	StalledFor float64       `json:"stalled_seconds"`
	Errors     ErrorReport   `json:"errors"`
	Source     *SourceReport `json:"source,omitempty"`
}

// ErrorReport counts the records of a task that failed, since the connector was configured.
type ErrorReport struct {
	Failures    int64     `json:"failures"`
	Skipped     int64     `json:"skipped"` // with errors.tolerance=all
	Logged      int64     `json:"logged"`
	DeadLetters int64     `json:"dead_letters"` // in the dead letter queue
	LostLetters int64     `json:"dead_letter_failures"`
	Last        time.Time `json:"last,omitzero"`
}

// SourceReport is the state of a source task.
type SourceReport struct {
	Prefix         string             `json:"topic_prefix"`
	Database       string             `json:"database"`
	Tags           map[string]string  `json:"tags,omitempty"` // custom.metric.tags
	Phase          string             `json:"phase"`          // snapshot, streaming, or "" between two attempts
	Connected      bool               `json:"connected"`
	Position       json.RawMessage    `json:"position,omitempty"` // that is durable, as GET /connectors/{name}/offsets has it
	LagBytes       int64              `json:"lag_bytes"`          // of the source's log that have not come
	UndurableBytes int64              `json:"undurable_bytes"`
	LagMillis      int64              `json:"lag_ms"`        // from the commit of the newest durable change to durable
	IdleMillis     int64              `json:"last_event_ms"` // since a change was last durable
	Events         EventCounts        `json:"events"`
	Queue          QueueReport        `json:"queue"`
	Tables         int                `json:"captured_tables"` // when the task was opened
	Transactions   int64              `json:"transactions"`    // that have come since then
	Slot           *capture.SlotState `json:"slot,omitempty"`
	Snapshot       *SnapshotReport    `json:"snapshot,omitempty"`
	Demand         *DemandReport      `json:"on_demand,omitempty"` // nil where no snapshot was asked for

	// SkipsUnchanged says that updates that change nothing are left out.
	SkipsUnchanged bool `json:"-"`

	counts emitter.Counts
}

// EventCounts are events by operation since the connector was configured.
type EventCounts struct {
	Create   int64 `json:"create"`
	Update   int64 `json:"update"`
	Delete   int64 `json:"delete"`
	Read     int64 `json:"read"`
	Truncate int64 `json:"truncate"`
	Message  int64 `json:"message"`
	Filtered int64 `json:"filtered"`
	Failed   int64 `json:"failed"`
	Durable  int64 `json:"durable_records"`
}

// QueueReport is what lies between source and log, in batches.
type QueueReport struct {
	Batches  int64 `json:"batches"`
	Capacity int64 `json:"capacity"`
	Bytes    int64 `json:"bytes"` // of these batches
}

// SnapshotReport is how far the initial snapshot is.
type SnapshotReport struct {
	Running bool          `json:"running"`
	Aborted bool          `json:"aborted"` // it was interrupted, and goes on with the next attempt
	Seconds float64       `json:"seconds"`
	Rows    int64         `json:"rows"`
	Tables  []TableReport `json:"tables"`
}

// TableReport is the snapshot of a table.
type TableReport struct {
	capture.TableProgress

	began, ended time.Time // zero before
}

// DemandReport is what snapshots on demand do.
type DemandReport struct {
	Running       bool                   `json:"running"`
	Paused        bool                   `json:"paused"`
	Aborted       bool                   `json:"aborted"` // the last one that ended was cancelled or failed
	PausedSeconds float64                `json:"paused_seconds"`
	Chunk         *capture.SnapshotChunk `json:"chunk,omitempty"` // that was read last
}

// NewReport judges connectors: a worker is ready when every task that should run runs and makes progress.
func NewReport(connectors []ConnectorReport) Report {
	r := Report{Time: time.Now().UTC(), Reasons: []string{}, Connectors: connectors}
	if connectors == nil {
		r.Connectors = []ConnectorReport{}
	}
	for i := range connectors {
		r.Reasons = append(r.Reasons, connectors[i].reasons()...)
	}
	r.Ready = len(r.Reasons) == 0
	return r
}

func (c *ConnectorReport) reasons() (out []string) {
	if c.State == Paused || c.State == Stopped { // by somebody's wish
		return nil
	}
	if c.State == Failed && len(c.Tasks) == 0 {
		return []string{"connector " + c.Name + " is FAILED: " + c.Cause}
	}
	for i := range c.Tasks {
		if why := c.Tasks[i].reason(); why != "" {
			out = append(out, "connector "+c.Name+": "+why)
		}
	}
	return out
}

// reason is why a task that should run is not well, "" where it is.
func (t *TaskReport) reason() string {
	switch {
	case t.State == Running && t.Stalled == "":
		return ""
	case t.State == Running:
		return "the task makes no progress: " + t.Stalled
	case t.Cause != "":
		return "the task is " + string(t.State) + ": " + t.Cause
	}
	return "the task is " + string(t.State)
}

// hopeless is how long a task makes no progress, in spite of being opened anew, before the process counts as dead.
const hopeless = 5 * time.Minute

// Dead says why the process should be replaced, "" where it should not: a task has stood for long although the watchdog
// has opened it anew. A FAILED task is no reason: another process would fail too.
func (r *Report) Dead() string {
	for _, c := range r.Connectors {
		for _, t := range c.Tasks {
			if t.State == Running && time.Duration(t.StalledFor*float64(time.Second)) > hopeless {
				return "connector " + c.Name + ": " + t.reason()
			}
		}
	}
	return ""
}
