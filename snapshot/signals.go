// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"freshet/capture"
	"freshet/change"
	"freshet/schema"
)

// The states of jobs.
const (
	StateQueued    = "queued"
	StateRunning   = "running"
	StatePaused    = "paused"
	StateCompleted = "completed"
	StateFailed    = "failed"
	StateCancelled = "cancelled"
)

// keptStatuses bounds how many ended jobs are told of.
const keptStatuses = 100

// count adds rows that were handed out.
func (j *Job) count(rows int) { j.rows += int64(rows) }

// takeSignals handles what came from outside the stream.
func (r *onDemand) takeSignals(ctx context.Context) error {
	r.mu.Lock()
	queued := r.queued
	r.queued = nil
	r.mu.Unlock()
	for _, s := range queued {
		if err := r.signal(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// signal does what a signal asks for. What it cannot make sense of is said in the log, and the stream goes on.
func (r *onDemand) signal(ctx context.Context, s capture.Signal) error {
	switch s.Type {
	case windowOpen, windowClose:
		return nil
	case signalExecute, signalStop, signalPause, signalResume, signalLog:
	default:
		r.o.Log.Warn("signal of unknown type is ignored", "id", s.ID, "type", s.Type)
		return nil
	}
	req, err := parseRequest(s)
	if err != nil && s.Type != signalPause && s.Type != signalResume {
		r.o.Log.Warn("signal is ignored: its data cannot be read", "id", s.ID, "type", s.Type, "error", err)
		return nil
	}
	switch s.Type {
	case signalExecute:
		return r.execute(ctx, s.ID, &req)
	case signalStop:
		r.stopJobs(&req)
	case signalPause:
		r.pause(true)
	case signalResume:
		r.pause(false)
	case signalLog:
		r.o.Log.Info("signal", "id", s.ID, "message", strings.ReplaceAll(req.Message, "{}", string(r.end)))
	}
	return nil
}

// execute queues a job, and begins it where nothing is before it.
func (r *onDemand) execute(ctx context.Context, id string, req *request) error {
	if slices.ContainsFunc(r.state.Jobs, func(j *Job) bool { return j.ID == id }) {
		r.o.Log.Warn("signal is ignored: a snapshot of its id is under way", "id", id)
		return nil
	}
	j := &Job{ID: id, Blocking: req.Kind == "blocking"}
	for _, pattern := range req.Collections {
		tables, err := r.q.Match(ctx, pattern)
		if err != nil {
			return fmt.Errorf("find the tables of signal %q: %w", id, err)
		}
		if len(tables) == 0 {
			r.o.Log.Warn("signal names a table that is not captured", "id", id, "table", pattern)
		}
		for _, t := range tables {
			if !slices.ContainsFunc(j.Parts, func(p *Part) bool { return p.Table == t }) {
				j.Parts = append(j.Parts, &Part{Table: t, Condition: req.condition(pattern, t.String()), Surrogate: req.Surrogate})
			}
		}
	}
	if len(j.Parts) == 0 {
		j.problem = "no captured table matches " + strings.Join(req.Collections, ", ")
		if j.Blocking {
			r.track(j, StateFailed, j.problem)
			return nil
		}
	}
	r.track(j, StateQueued, "")
	r.state.Jobs = append(r.state.Jobs, j)
	if j.Blocking {
		return nil // the batch at hand comes first
	}
	return r.work(ctx)
}

// pause holds windows back, or lets them go on. The one that is open is handed out all the same.
func (r *onDemand) pause(paused bool) {
	if r.state.Paused == paused {
		return
	}
	r.state.Paused = paused
	if len(r.state.Jobs) == 0 {
		return
	}
	j := r.state.Jobs[0]
	what, state := "RESUMED", StateRunning
	if paused {
		what, state = "PAUSED", StatePaused
	}
	r.notify(j, what, dataCollections(j.tables()))
	r.track(j, state, "")
}

// stopJobs ends snapshots: of the tables named, or all.
func (r *onDemand) stopJobs(req *request) {
	if len(req.Collections) == 0 {
		r.stopAll(req.ID)
		return
	}
	for _, j := range slices.Clone(r.state.Jobs) {
		var stopped []string
		var left []*Part
		for _, p := range j.Parts {
			if matchesAny(req.Collections, p.Table) {
				stopped = append(stopped, p.Table.String())
				if r.win != nil && r.win.part == p {
					r.win.clear()
				}
				continue
			}
			left = append(left, p)
		}
		if len(stopped) == 0 {
			continue
		}
		j.Parts = left
		r.notify(j, "ABORTED", dataCollections(strings.Join(stopped, ",")))
		if len(left) == 0 && (r.win == nil || r.win.job != j) {
			r.remove(j)
			r.track(j, StateCancelled, "")
		}
	}
}

// stopAll ends all snapshots, or the one of an id. The rows of a window that is open are handed out.
func (r *onDemand) stopAll(id string) {
	if id == "" || len(r.state.Jobs) == 1 {
		r.state.Paused = false
	}
	for _, j := range slices.Clone(r.state.Jobs) {
		if id != "" && j.ID != id {
			continue
		}
		if j.Blocking && r.blocking != nil && j == r.state.Jobs[0] {
			continue // it is nearly through: nothing else is done meanwhile
		}
		tables := j.tables()
		j.Parts = nil
		if r.win != nil && r.win.job == j {
			j.stopped = tables
			continue
		}
		r.remove(j)
		r.say(change.Notice{Type: "ABORTED", Aggregate: aggregateIncremental}, dataCollections(tables))
		r.track(j, StateCancelled, "")
	}
}

// clear takes all rows out of the window.
func (w *window) clear() {
	for i := range w.gone {
		w.gone[i] = true
	}
	w.part, w.again = nil, false
}

func (r *onDemand) remove(j *Job) {
	r.state.Jobs = slices.DeleteFunc(r.state.Jobs, func(x *Job) bool { return x == j })
}

// matchesAny says whether a table is one of the collections, which are names or regular expressions.
func matchesAny(collections []string, id schema.ID) bool {
	return slices.ContainsFunc(collections, func(c string) bool {
		if strings.EqualFold(c, id.String()) {
			return true
		}
		re, err := regexp.Compile("(?i)^(?:" + c + ")$")
		return err == nil && re.MatchString(id.String())
	})
}

func dataCollections(tables string) schema.Param {
	return schema.Param{Name: "data_collections", Value: tables}
}

// notify tells what happened to a job, under the id of its signal.
func (r *onDemand) notify(j *Job, what string, data ...schema.Param) {
	n := change.Notice{ID: j.ID, Type: what, Aggregate: aggregateIncremental}
	if j.Initial {
		n.ID, n.Aggregate = "", aggregateInitial
	}
	r.say(n, data...)
}

func (r *onDemand) say(n change.Notice, data ...schema.Param) {
	if !r.o.Notices {
		return
	}
	n.Before, n.Millis = r.at, time.Now().UnixMilli()
	n.Data = append([]schema.Param{{Name: "connector_name", Value: r.o.Name}}, data...)
	r.said, r.greeting = append(r.said, n), false
}

// blockingProgress notes how the blocking snapshot goes on; its sessions call it.
func (r *onDemand) blockingProgress(p capture.Progress) {
	now := capture.TableProgress{Table: p.Table.String(), Rows: p.Rows, Estimated: p.Estimated, Blocks: p.Blocks, BlocksDone: p.BlocksDone, Done: p.Done}
	r.mu.Lock()
	defer r.mu.Unlock()
	now.Rate(p.Rows, time.Since(r.scanning))
	if i := slices.IndexFunc(r.scanned, func(t capture.TableProgress) bool { return t.Table == now.Table }); i >= 0 {
		r.scanned[i] = now
		return
	}
	r.scanned = append(r.scanned, now)
}

// track notes the state of a job for operators.
func (r *onDemand) track(j *Job, state, problem string) {
	i := slices.IndexFunc(r.statuses, func(s capture.SnapshotJob) bool { return s.ID == j.ID && s.Finished.IsZero() })
	if i < 0 {
		s := capture.SnapshotJob{ID: j.ID, Type: "incremental", Created: time.Now().UTC()}
		switch {
		case j.Blocking:
			s.Type = "blocking"
		case j.Initial:
			s.Type = "initial"
		}
		if tables := j.tables(); tables != "" {
			s.Tables = strings.Split(tables, ",")
		}
		r.statuses = append(r.statuses, s)
		i = len(r.statuses) - 1
		if len(r.statuses) > keptStatuses {
			r.statuses = r.statuses[1:]
			i--
		}
	}
	s := &r.statuses[i]
	s.State, s.Rows, s.Error, s.Chunk, s.Progress = state, j.rows, problem, j.chunk, j.progress()
	s.Left = nil
	if left := j.tables(); left != "" {
		s.Left = strings.Split(left, ",")
	}
	if state == StateCompleted || state == StateFailed || state == StateCancelled {
		s.Finished, s.Chunk = time.Now().UTC(), nil
	}
	if r.o.Jobs != nil {
		r.o.Jobs(slices.Clone(r.statuses))
	}
}
