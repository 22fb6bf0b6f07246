// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"freshet/capture"
	"freshet/change"
	"freshet/config"
	"freshet/emitter"
	"freshet/emitter/topic"
)

// sourceTask is one attempt of a source task: a reader at the last durable position, and the pipeline that carries what
// it reads to the log.
type sourceTask struct {
	connector string
	faults    []capture.Finding // what the checks before the start found
	reader    capture.Reader
	pipeline  *emitter.Pipeline
	log       *taskLog
	drain     time.Duration
	meter     *meter
	snapshots *Snapshots
	signals   *signalTopic // nil without one
	dog       *watchdog
}

var (
	_ Task       = (*sourceTask)(nil)
	_ Progresser = (*sourceTask)(nil)
)

// Run carries changes until ctx ends, then closes the reader: after the pipeline has drained, so that the last position
// is confirmed before the connection goes.
func (t *sourceTask) Run(ctx context.Context) error {
	err := withFaults(t.connector, t.faults, t.watched(ctx))
	defer func() {
		t.snapshots.listen(false)
		if t.meter.close() {
			t.snapshots.initial(t.meter.initial(err))
		}
	}()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.drain)
	defer cancel()
	if cerr := t.reader.Close(closing); cerr != nil {
		err = errors.Join(err, fmt.Errorf("close the reader: %w", cerr))
	}
	if cerr := t.signals.close(closing); cerr != nil {
		err = errors.Join(err, fmt.Errorf("close the signal topic: %w", cerr))
	}
	return err
}

// watched runs the pipeline until the watchdog finds that it stands.
func (t *sourceTask) watched(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stalled := make(chan error, 1)
	go func() {
		err := t.dog.run(ctx)
		if err != nil {
			cancel()
		}
		stalled <- err
	}()
	var taking sync.WaitGroup
	if t.signals != nil {
		taking.Go(func() { t.signals.run(ctx) })
	}
	err := t.pipeline.Run(ctx)
	cancel()
	taking.Wait()
	if stall := <-stalled; stall != nil {
		return stall // what the pipeline said while it was stopped is a consequence
	}
	return err
}

// Progress is the number of units that became durable.
func (t *sourceTask) Progress() int64 { return t.log.durable.Load() }

// sourceOpener makes the Opener of a source task. The formats live as long as the connector, so that their heads stay
// interned over restarts; everything else is made anew for each attempt.
func (c *Connector) sourceOpener(task int, log *slog.Logger, s *SupervisorOptions) Opener {
	w, m := c.worker, s.meter
	key, value := c.set.converters.Key.Format(), c.set.converters.Value.Format()
	header := c.set.converters.headerFormat()
	var opened bool // once; from then on there is nothing new to be found by checks
	return c.withLog(task, func(ctx context.Context, topics topic.Log, v config.Values) (Task, error) {
		markKey := MarkKey(c.Name, c.Plugin.Source.Partition(v))
		t := &sourceTask{connector: c.Name, drain: w.config.DrainTimeout, meter: m}
		if !opened {
			t.faults = c.preflight(ctx, v, log)
		}
		t.log = &taskLog{Log: topics, topics: c.Topics, marked: m.durable}
		from, err := t.log.LoadMark(ctx, markKey)
		if err != nil {
			return nil, fmt.Errorf("load the last position: %w", err)
		}
		chain, err := c.worker.chainOf(v, log)
		if err != nil {
			return nil, err
		}
		env := capture.Env{Connector: c.Name, From: change.Position(from), Log: log, Spool: w.spool(c.Name)}
		m.durable(from)
		snapshots := w.Snapshots(c.Name)
		t.snapshots = snapshots
		env.Progress = func(p capture.Progress) {
			if m.progress(p) {
				snapshots.initial(m.initial(nil))
			}
			if w.progress != nil {
				w.progress(c.Name, p)
			}
		}
		if err := ctx.Err(); err != nil { // whoever gets the task next must not find that this one has claimed anything
			return nil, err
		}
		if env.Signals, err = snapshots.opened(m); err != nil {
			return nil, err
		}
		env.Jobs = func(jobs []capture.SnapshotJob) {
			m.jobs(jobs)
			snapshots.report(jobs)
		}
		o, err := emitter.ParseOptions(v, c.Plugin.Source.Describe())
		if err != nil {
			return nil, finalError{err}
		}
		env.Notices = o.Notices.Wanted()
		if t.signals, err = c.signalTopic(v, topics, log); err != nil {
			return nil, err
		}
		if t.reader, err = c.Plugin.Source.Open(ctx, env, v); err != nil {
			return nil, withFaults(c.Name, t.faults, errors.Join(err, t.signals.close(ctx)))
		}
		opened = true
		o.Connector, o.Task, o.MarkKey, o.RunID = c.Name, task, markKey, w.runID
		o.Key, o.Value, o.Header, o.Chain = key, value, header, chain
		o.DrainTimeout, o.Log = w.config.DrainTimeout, log
		o.From, o.Stats, o.Tolerate = from, &m.stats, c.errorPolicy(task, v, s.errors, log).Tolerate
		if beater, ok := t.reader.(capture.Beater); ok && v.Get("heartbeat.action.query") != "" {
			o.Heartbeat.Beat = beater.Beat
		}
		m.open(t.reader)
		t.dog = &watchdog{stall: w.config.StallTimeout, observe: m.observe, counts: m.stats.Counts, watch: s.watch, log: log}
		t.pipeline = emitter.NewPipeline(t.reader, t.log, o)
		snapshots.listen(true)
		return t, nil
	})
}

// preflight runs the doctor's checks and returns the faults. They keep nothing from starting: some pass by themselves (a
// server that is not up yet), some are mended by the start (a slot about to be lost). But where the start then fails for
// good, they tell the operator what to do.
func (c *Connector) preflight(ctx context.Context, v config.Values, log *slog.Logger) []capture.Finding {
	findings, err := c.Plugin.Source.Check(ctx, v)
	if err != nil {
		log.Warn("the checks before the start could not be made", "error", RedactText(err.Error()))
	}
	var faults []capture.Finding
	for _, f := range findings {
		if f.Level == capture.Fail {
			faults = append(faults, f)
		}
		if f.Level != capture.OK {
			log.Warn("check before the start", "finding", f.Level.String(), "subject", f.Subject, "seen", f.Seen, "detail", f.Detail, "fix", f.Fix)
		}
	}
	return faults
}

// withFaults adds the faults to an error that retrying cannot mend.
func withFaults(connector string, faults []capture.Finding, err error) error {
	if len(faults) == 0 || Retriable(err) {
		return err
	}
	return &PreflightError{Connector: connector, Findings: faults, Err: err}
}
