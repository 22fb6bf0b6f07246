// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"time"

	"freshet/capture"
)

// SnapshotRequest asks for a snapshot of some tables of a source while it streams.
type SnapshotRequest struct {
	ID     string   `json:"id"` // "" for one of ours
	Type   string   `json:"type"`
	Tables []string `json:"tables"` // names or regular expressions of schema.table
	// Conditions limit the rows of tables: a part of a WHERE, or for a blocking snapshot a whole SELECT.
	Conditions map[string]string `json:"conditions"`
	Surrogate  string            `json:"surrogate_key"`
}

// Snapshots are the snapshots on demand of one connector: those that operators ask for here, and those that signals
// asked for. Its reader does the work; what is asked for is kept until the reader has it in its position, and how the
// snapshots ended is kept too. It is safe for concurrent use.
type Snapshots struct {
	name    string
	keeper  Keeper // nil keeps nothing
	log     *slog.Logger
	signals chan capture.Signal

	mu        sync.Mutex // guards what follows; held while kept is read and written, so that it is what is kept
	kept      keptSnapshots
	loaded    bool   // kept is what is kept, and nobody else changes that
	released  bool   // the connector's task may run on another worker
	outdone   bool   // another worker has claimed what is kept, since a reader was last opened here
	listening bool   // a reader takes signals
	meter     *meter // of the task; nil before it was opened
}

// executeSnapshot is the type of signals that ask for a snapshot.
const executeSnapshot = "execute-snapshot"

// maxWaiting bounds the signals that no reader has taken.
const maxWaiting = 256

func newSnapshots(name string, keeper Keeper, log *slog.Logger) *Snapshots {
	return &Snapshots{name: name, keeper: keeper, log: log, signals: make(chan capture.Signal, maxWaiting)}
}

// release ends what is done here for the connector.
func (s *Snapshots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.released = true
}

// opened is called before a reader is opened: it gets what no reader has taken yet.
func (s *Snapshots) opened(m *meter) (<-chan capture.Signal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meter, s.outdone = m, false
	if err := s.claim(); err != nil {
		return nil, err
	}
	for drained := false; !drained; {
		select {
		case <-s.signals: // of an earlier reader; it is among those that wait
		default:
			drained = true
		}
	}
	for _, w := range s.kept.Waiting {
		s.signals <- w // never blocks: there are no more than it holds
	}
	return s.signals, nil
}

// listen notes whether there is a reader that takes signals.
func (s *Snapshots) listen(now bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listening = now
}

// report takes the reader's view of its snapshots; see capture.Env.
func (s *Snapshots) report(jobs []capture.SnapshotJob) {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := false
	for _, j := range jobs {
		i := slices.IndexFunc(s.kept.Jobs, func(k capture.SnapshotJob) bool { return k.ID == j.ID })
		if i < 0 {
			s.kept.Jobs = append(s.kept.Jobs, j)
			changed = true
			continue
		}
		old := &s.kept.Jobs[i]
		if !old.Finished.IsZero() && j.Finished.Equal(old.Finished) {
			continue
		}
		changed = changed || old.State != j.State
		if old.Finished.IsZero() {
			j.Created = old.Created
		}
		if len(j.Tables) < len(old.Tables) {
			j.Tables = old.Tables
		}
		j.Progress = withTables(j.Progress, old.Progress)
		*old = j
	}
	before := len(s.kept.Waiting)
	s.kept.Waiting = slices.DeleteFunc(s.kept.Waiting, func(w capture.Signal) bool {
		return slices.ContainsFunc(jobs, func(j capture.SnapshotJob) bool { return j.ID == w.ID && j.State != "queued" })
	})
	if !changed && len(s.kept.Waiting) == before {
		return
	}
	if err := s.save(); err != nil {
		s.log.Warn("the state of snapshots could not be kept", "error", err)
	}
}

// withTables adds the tables that only the earlier progress has: they were read before a restart.
func withTables(now, before []capture.TableProgress) []capture.TableProgress {
	var out []capture.TableProgress
	for _, t := range before {
		if !slices.ContainsFunc(now, func(n capture.TableProgress) bool { return n.Table == t.Table }) {
			out = append(out, t)
		}
	}
	return append(out, now...)
}

// initial notes that the initial snapshot has begun, has ended or was interrupted; see meter.initial.
func (s *Snapshots) initial(j capture.SnapshotJob, ok bool) {
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept.put(j)
	if err := s.save(); err != nil {
		s.log.Warn("the state of snapshots could not be kept", "error", err)
	}
}

// List is all snapshots that are known, the oldest first.
func (s *Snapshots) List() ([]capture.SnapshotJob, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(); err != nil {
		return nil, err
	}
	now := keptSnapshots{Jobs: append([]capture.SnapshotJob{}, s.kept.Jobs...)}
	if j, ok := s.copying(); ok {
		now.put(j)
	}
	return now.Jobs, nil
}

// copying is the initial snapshot while it is no job of the reader. The caller holds mu.
func (s *Snapshots) copying() (capture.SnapshotJob, bool) {
	if s.meter == nil {
		return capture.SnapshotJob{}, false
	}
	return s.meter.live()
}

// refuseInitial is the answer to who wants to hold back or cancel the initial snapshot: the stream behind it needs it.
func (s *Snapshots) refuseInitial(job *capture.SnapshotJob) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, copying := s.copying(); job.ID != capture.InitialSnapshot || !copying && job.State != "queued" {
		return nil
	}
	return &Error{409, "The initial snapshot can only be stopped together with its connector: PUT /connectors/" + s.name + "/stop"}
}

// Get is one of them.
func (s *Snapshots) Get(id string) (capture.SnapshotJob, error) {
	jobs, err := s.List()
	if err != nil {
		return capture.SnapshotJob{}, err
	}
	if i := slices.IndexFunc(jobs, func(j capture.SnapshotJob) bool { return j.ID == id }); i >= 0 {
		return jobs[i], nil
	}
	return capture.SnapshotJob{}, &Error{404, fmt.Sprintf("Snapshot %s not found", id)}
}

// Start asks for a snapshot. It is kept when Start returns, and begins when the connector runs.
func (s *Snapshots) Start(r SnapshotRequest) (capture.SnapshotJob, error) {
	if r.Type == "" {
		r.Type = "incremental"
	}
	switch {
	case r.Type != "incremental" && r.Type != "blocking":
		return capture.SnapshotJob{}, &Error{400, fmt.Sprintf("type %q is none of incremental, blocking", r.Type)}
	case len(r.Tables) == 0:
		return capture.SnapshotJob{}, &Error{400, `tables is missing: name at least one, as in {"tables":["public.orders"]}`}
	}
	for _, t := range r.Tables {
		if _, err := regexp.Compile(t); err != nil {
			return capture.SnapshotJob{}, &Error{400, fmt.Sprintf("table %q is not a regular expression: %v", t, err)}
		}
	}
	if r.ID == "" {
		r.ID = "rest-" + newID()
	}
	type condition struct {
		Collection string `json:"data-collection"`
		Filter     string `json:"filter"`
	}
	data := struct {
		Collections []string    `json:"data-collections"`
		Type        string      `json:"type"`
		Conditions  []condition `json:"additional-conditions,omitempty"`
		Surrogate   string      `json:"surrogate-key,omitempty"`
	}{r.Tables, r.Type, nil, r.Surrogate}
	for table, filter := range r.Conditions {
		data.Conditions = append(data.Conditions, condition{table, filter})
	}
	text, err := json.Marshal(data)
	if err != nil {
		return capture.SnapshotJob{}, err
	}
	job := capture.SnapshotJob{ID: r.ID, Type: r.Type, Tables: r.Tables, Left: r.Tables, State: "queued", Created: time.Now().UTC()}
	return job, s.put(&job, capture.Signal{ID: r.ID, Type: executeSnapshot, Data: string(text)})
}

// put keeps the signal of a new job, and sends it.
func (s *Snapshots) put(job *capture.SnapshotJob, signal capture.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.claim(); err != nil {
		return err
	}
	if err := s.room(); err != nil {
		return err
	}
	if slices.ContainsFunc(s.kept.Jobs, func(j capture.SnapshotJob) bool { return j.ID == job.ID }) {
		return &Error{409, fmt.Sprintf("Snapshot %s already exists", job.ID)}
	}
	before := s.kept
	s.kept.Jobs = append(s.kept.Jobs, *job)
	s.kept.Waiting = append(s.kept.Waiting, signal)
	if err := s.save(); err != nil {
		s.kept = before
		return err
	}
	s.signals <- signal // never blocks: there is room
	return nil
}

// room fails where too many signals wait. The caller holds mu.
func (s *Snapshots) room() error {
	if len(s.kept.Waiting) >= maxWaiting || len(s.signals) == cap(s.signals) {
		return &Error{503, "too many requests wait for connector " + s.name + ": see its status"}
	}
	return nil
}

// tell sends the reader a signal about a snapshot that it has in its position.
func (s *Snapshots) tell(id, kind string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.listening {
		return &Error{409, fmt.Sprintf("Connector %s does not run, and only its task can change snapshot %s: see its status, resume or restart it, then try again", s.name, id)}
	}
	if err := s.room(); err != nil {
		return err
	}
	s.signals <- capture.Signal{ID: newID(), Type: kind, Data: string(text)} // never blocks: there is room
	return nil
}

// signal takes a signal that came from outside the stream. A snapshot that it asks for is kept when signal returns.
func (s *Snapshots) signal(signal capture.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.claim(); err != nil {
		return err
	}
	waits := slices.ContainsFunc(s.kept.Waiting, func(w capture.Signal) bool { return w.ID == signal.ID })
	if signal.Type == executeSnapshot && waits {
		return nil // it came again, after a failure
	}
	if err := s.room(); err != nil {
		return err
	}
	if signal.Type == executeSnapshot && signal.ID != "" {
		before := s.kept
		s.kept.Waiting = append(s.kept.Waiting, signal)
		if err := s.save(); err != nil {
			s.kept = before
			return err
		}
	}
	s.signals <- signal // never blocks: there is room
	return nil
}

// Pause holds the snapshots of the connector back, or lets them go on.
func (s *Snapshots) Pause(id string, paused bool) error {
	job, err := s.Get(id)
	if err != nil {
		return err
	}
	if !job.Finished.IsZero() {
		return &Error{409, fmt.Sprintf("Snapshot %s is %s", id, job.State)}
	}
	if err := s.refuseInitial(&job); err != nil {
		return err
	}
	kind := "resume-snapshot"
	if paused {
		kind = "pause-snapshot"
	}
	return s.tell(id, kind, struct{}{})
}

// Delete forgets a snapshot that has ended, or cancels one that has not; gone says which.
func (s *Snapshots) Delete(id string) (gone bool, err error) {
	job, err := s.Get(id)
	if err != nil {
		return false, err
	}
	if err := s.refuseInitial(&job); err != nil {
		return false, err
	}
	gone, waited, err := s.drop(id)
	if gone || err != nil {
		return gone, err
	}
	if waited && !s.listens() {
		return false, nil
	}
	return false, s.tell(id, "stop-snapshot", map[string]string{"id": id})
}

func (s *Snapshots) listens() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listening
}

// drop forgets a snapshot that has ended, then gone is true, or cancels one that no reader has taken, then waited is true.
func (s *Snapshots) drop(id string) (gone, waited bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.claim(); err != nil {
		return false, false, err
	}
	jobs := slices.Clone(s.kept.Jobs)
	of := func(j capture.SnapshotJob) bool { return j.ID == id }
	i := slices.IndexFunc(jobs, of)
	gone = i >= 0 && !jobs[i].Finished.IsZero()
	waited = slices.ContainsFunc(s.kept.Waiting, func(w capture.Signal) bool { return w.ID == id })
	before := s.kept
	switch {
	case gone:
		s.kept.Jobs = slices.DeleteFunc(jobs, of)
	case waited:
		s.kept.Waiting = slices.DeleteFunc(slices.Clone(s.kept.Waiting), func(w capture.Signal) bool { return w.ID == id })
		if i >= 0 {
			jobs[i].State, jobs[i].Finished = "cancelled", time.Now().UTC()
		}
		s.kept.Jobs = jobs
	default:
		return false, false, nil
	}
	if err := s.save(); err != nil {
		s.kept = before
		return false, false, err
	}
	return gone, waited, nil
}
