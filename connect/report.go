// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
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
	Source     *SourceReport `json:"source,omitempty"`
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
	Slot           *capture.SlotState `json:"slot,omitempty"`
	Snapshot       *SnapshotReport    `json:"snapshot,omitempty"`

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
}

// SnapshotReport is how far a snapshot is.
type SnapshotReport struct {
	Running bool          `json:"running"`
	Seconds float64       `json:"seconds"`
	Rows    int64         `json:"rows"`
	Tables  []TableReport `json:"tables"`
}

// TableReport is the snapshot of a table.
type TableReport struct {
	Table      string  `json:"table"`
	Rows       int64   `json:"rows"`
	Estimated  int64   `json:"estimated_rows"`
	Blocks     int     `json:"blocks"`
	BlocksDone int     `json:"blocks_done"`
	Done       bool    `json:"done"`
	RowsPerSec float64 `json:"rows_per_second"`
	ETASeconds float64 `json:"eta_seconds"`

	began, ended time.Time
}

// meter is what the attempts of a source task share, for reports. It is safe for concurrent use.
type meter struct {
	stats            emitter.Stats
	prefix, database string
	tags             map[string]string

	mu       sync.Mutex // guards what follows
	reader   capture.Reader
	position string
	began    time.Time // of the snapshot; zero for none
	ended    time.Time
	tables   map[string]*TableReport
}

// parseTags reads custom.metric.tags: k1=v1,k2=v2.
func parseTags(items []string) map[string]string {
	tags := map[string]string{}
	for _, item := range items {
		if k, v, ok := strings.Cut(item, "="); ok {
			tags[strings.TrimSpace(k)] = strings.TrimSpace(v)
		}
	}
	return tags
}

// open notes the Reader of an attempt, nil at its end.
func (m *meter) open(r capture.Reader) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reader = r
}

// durable notes a position that became durable.
func (m *meter) durable(position string) {
	if position == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.position = position
}

// progress notes how the snapshot of a table goes on.
func (m *meter) progress(p capture.Progress) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	name := p.Table.String()
	t := m.tables[name]
	if t == nil || t.Done && !p.Done { // the first of a snapshot
		if m.tables == nil || m.running() == 0 {
			m.tables, m.began = map[string]*TableReport{}, now
		}
		t = &TableReport{Table: name, began: now}
		m.tables[name] = t
	}
	t.Rows, t.Estimated, t.Blocks, t.BlocksDone, t.Done = p.Rows, p.Estimated, p.Blocks, p.BlocksDone, p.Done
	if p.Done {
		t.ended, m.ended = now, now
	}
}

// running is the number of tables that are being read. mu is held.
func (m *meter) running() (n int) {
	for _, t := range m.tables {
		if !t.Done {
			n++
		}
	}
	return n
}

// observe is the state of the Reader; without one nothing is known.
func (m *meter) observe() capture.Observation {
	m.mu.Lock()
	r := m.reader
	m.mu.Unlock()
	if o, ok := r.(capture.Observer); ok {
		return o.Observe()
	}
	return capture.Observation{Unread: -1, Undurable: -1}
}

// report is the state of the task's source.
func (m *meter) report(now time.Time) *SourceReport {
	o, c := m.observe(), m.stats.Counts()
	r := &SourceReport{
		Prefix: m.prefix, Database: m.database, Tags: m.tags, Phase: o.Phase, Connected: o.Connected,
		LagBytes: o.Unread, UndurableBytes: o.Undurable, LagMillis: -1, IdleMillis: -1, Slot: o.Slot,
		Events: EventCounts{
			Create: c.Creates, Update: c.Updates, Delete: c.Deletes, Read: c.Reads, Truncate: c.Truncates, Message: c.Messages,
			Filtered: c.Filtered, Failed: c.Failed, Durable: c.Durable,
		},
		Queue: QueueReport{Batches: c.Held, Capacity: c.Capacity}, counts: c,
	}
	if !c.Newest.IsZero() {
		r.LagMillis = c.Behind.Milliseconds()
	}
	if !c.Last.IsZero() {
		r.IdleMillis = now.Sub(c.Last).Milliseconds()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if json.Valid([]byte(m.position)) {
		r.Position = json.RawMessage(m.position)
	}
	r.Snapshot = m.snapshot(o.Phase == "snapshot", now)
	return r
}

// snapshot is nil where none was taken since the worker's start. mu is held.
func (m *meter) snapshot(running bool, now time.Time) *SnapshotReport {
	if m.began.IsZero() {
		return nil
	}
	s := &SnapshotReport{Running: running || m.running() > 0}
	end := m.ended
	if s.Running {
		end = now
	}
	s.Seconds = end.Sub(m.began).Seconds()
	for _, t := range m.tables {
		t := *t
		t.rate(now)
		s.Rows += t.Rows
		s.Tables = append(s.Tables, t)
	}
	slices.SortFunc(s.Tables, func(a, b TableReport) int { return strings.Compare(a.Table, b.Table) })
	return s
}

// rate fills in speed and forecast.
func (t *TableReport) rate(now time.Time) {
	end := now
	if t.Done {
		end = t.ended
	}
	t.ETASeconds = -1
	if seconds := end.Sub(t.began).Seconds(); seconds > 0 {
		t.RowsPerSec = float64(t.Rows) / seconds
	}
	switch {
	case t.Done:
		t.ETASeconds = 0
	case t.RowsPerSec > 0 && t.Estimated >= t.Rows:
		t.ETASeconds = float64(t.Estimated-t.Rows) / t.RowsPerSec
	}
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
