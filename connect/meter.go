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

// meter is what the attempts of a source task share, for reports. It is safe for concurrent use.
type meter struct {
	stats            emitter.Stats
	prefix, database string
	tags             map[string]string
	skipsUnchanged   bool

	mu       sync.Mutex // guards what follows
	reader   capture.Reader
	position string

	// The initial snapshot.
	began, ended time.Time // zero for none
	aborted      bool
	copying      bool // rows of it are read by COPY
	tables       map[string]*TableReport
	left         int // of them not done

	// Snapshots on demand: the one at work, how the last one ended, and how long they were held back.
	demanded   bool
	current    *capture.SnapshotJob
	cancelled  bool
	pausedAt   time.Time // zero while they are not
	pausedFor  time.Duration
	lastClosed time.Time // end of the last one
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

// open notes the Reader of an attempt.
func (m *meter) open(r capture.Reader) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reader = r
}

// close notes the end of an attempt, and says whether it interrupted a snapshot.
func (m *meter) close() (interrupted bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reader, m.copying = nil, false
	if m.left == 0 || m.aborted {
		return false
	}
	m.aborted, m.ended = true, time.Now()
	return true
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

// progress notes how the snapshot of a table goes on, and says whether the snapshot began or ended with that.
func (m *meter) progress(p capture.Progress) (changed bool) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.left
	if m.aborted || m.left == 0 {
		m.tables, m.began, m.aborted, m.left, before = map[string]*TableReport{}, now, false, 0, 0
	}
	t := m.table(p.Table.String())
	if p.Rows > 0 && t.began.IsZero() {
		t.began = now
	}
	if p.Done && !t.Done {
		m.left--
		t.ended, m.ended = now, now
	}
	t.Rows, t.Estimated, t.Blocks, t.BlocksDone, t.Done = p.Rows, p.Estimated, p.Blocks, p.BlocksDone, p.Done
	m.copying = m.left > 0
	return (before == 0) != (m.left == 0)
}

// table is the report of a table, made where it is new. mu is held.
func (m *meter) table(name string) *TableReport {
	t := m.tables[name]
	if t == nil {
		t = &TableReport{TableProgress: capture.TableProgress{Table: name, Estimated: -1}}
		m.tables[name] = t
		m.left++
	}
	return t
}

// jobs notes the snapshots that a Reader takes beside the stream.
func (m *meter) jobs(jobs []capture.SnapshotJob) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.current = nil
	paused := false
	for i := range jobs {
		j := &jobs[i]
		if j.ID == capture.InitialSnapshot {
			m.goesOn(j, now)
			continue
		}
		m.demanded = true
		switch {
		case !j.Finished.IsZero():
			if !j.Finished.Before(m.lastClosed) {
				m.lastClosed, m.cancelled = j.Finished, j.State != "completed"
			}
		case j.State == "paused":
			paused = true
			fallthrough
		case j.State == "running" && m.current == nil:
			m.current = j
		}
	}
	if paused == !m.pausedAt.IsZero() {
		return
	}
	if paused {
		m.pausedAt = now
	} else {
		m.pausedFor += now.Sub(m.pausedAt)
		m.pausedAt = time.Time{}
	}
}

// goesOn notes how an interrupted snapshot goes on by windows. mu is held.
func (m *meter) goesOn(j *capture.SnapshotJob, now time.Time) {
	if m.tables == nil {
		m.tables = map[string]*TableReport{}
	}
	if m.began.IsZero() {
		m.began = j.Created
	}
	for _, name := range j.Tables {
		m.table(name)
	}
	for _, p := range j.Progress {
		t := m.table(p.Table)
		t.Rows, t.RowsPerSec = p.Rows, p.RowsPerSec
	}
	m.left = 0
	for name, t := range m.tables {
		if t.Done = !slices.Contains(j.Left, name); !t.Done {
			m.left++
		}
	}
	if m.aborted = j.State == "cancelled"; !j.Finished.IsZero() {
		m.left, m.ended = 0, now
	}
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
		SkipsUnchanged: m.skipsUnchanged, Tables: o.Tables, Transactions: o.Transactions,
		Events: EventCounts{
			Create: c.Creates, Update: c.Updates, Delete: c.Deletes, Read: c.Reads, Truncate: c.Truncates, Message: c.Messages,
			Filtered: c.Filtered, Failed: c.Failed, Durable: c.Durable,
		},
		Queue: QueueReport{Batches: c.Held, Capacity: c.Capacity, Bytes: c.HeldBytes}, counts: c,
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
	r.Snapshot, r.Demand = m.snapshot(o.Phase == "snapshot", now), m.demand(now)
	return r
}

// snapshot is nil where none was taken since the worker's start. mu is held.
func (m *meter) snapshot(running bool, now time.Time) *SnapshotReport {
	if m.began.IsZero() {
		return nil
	}
	s := &SnapshotReport{Running: running || m.left > 0 && !m.aborted, Aborted: m.aborted}
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

// rate fills in speed and forecast of a table that is read by COPY.
func (t *TableReport) rate(now time.Time) {
	if t.Done {
		now = t.ended
	}
	if t.Blocks > 0 {
		t.Rate(t.Rows, now.Sub(t.began))
	}
}

// demand is nil where no snapshot was ever asked for. mu is held.
func (m *meter) demand(now time.Time) *DemandReport {
	if !m.demanded {
		return nil
	}
	d := &DemandReport{Aborted: m.cancelled, PausedSeconds: m.pausedFor.Seconds(), Paused: !m.pausedAt.IsZero()}
	if d.Paused {
		d.PausedSeconds += now.Sub(m.pausedAt).Seconds()
	}
	if m.current != nil {
		d.Running, d.Chunk = !d.Paused, m.current.Chunk
	}
	return d
}

// live is the initial snapshot while rows of it are read by COPY.
func (m *meter) live() (capture.SnapshotJob, bool) {
	m.mu.Lock()
	copying := m.copying
	m.mu.Unlock()
	if !copying {
		return capture.SnapshotJob{}, false
	}
	return m.initial(nil)
}

// initial is the initial snapshot as GET /connectors/{name}/snapshots has it, while rows of it are read by COPY and when
// that ends. An interrupted one waits for the next attempt, and cause says why.
func (m *meter) initial(cause error) (j capture.SnapshotJob, ok bool) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.snapshot(false, now)
	if s == nil {
		return j, false
	}
	j = capture.SnapshotJob{ID: capture.InitialSnapshot, Type: "initial", State: "completed", Rows: s.Rows, Created: m.began.UTC(), Finished: m.ended.UTC()}
	switch {
	case m.aborted:
		j.State, j.Finished = "queued", time.Time{}
	case m.left > 0:
		j.State, j.Finished = "running", time.Time{}
	}
	if cause != nil && m.aborted {
		j.Error = RedactText(cause.Error())
	}
	for i := range s.Tables {
		t := &s.Tables[i]
		j.Tables = append(j.Tables, t.Table)
		if !t.Done {
			j.Left = append(j.Left, t.Table)
		}
		j.Progress = append(j.Progress, t.TableProgress)
	}
	return j, true
}
