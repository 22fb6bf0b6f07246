// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"freshet/capture"
	"freshet/emitter"
)

const (
	// defaultStall is how long nothing may move, while there is something to read, before the watchdog acts.
	defaultStall = 30 * time.Second
	// stackBytes bounds the stacks of a dump.
	stackBytes = 64 << 10
	// leastUnread is what counts as something to read: the end of the server's log may lie behind page headers that no reader
	// is told of.
	leastUnread = 8 << 10
	// mostStrikes bounds the doubling of the patience: a server that decodes one large transaction is silent for long, and
	// opening anew makes it begin again.
	mostStrikes = 4
)

// StallError says that a task made no progress while there was something to read. The task is opened anew.
type StallError struct {
	For time.Duration
	Why string
}

// Error says what stood still.
func (e *StallError) Error() string {
	return fmt.Sprintf("no progress for %s: %s; the log holds the task's state", e.For.Round(time.Second), e.Why)
}

// watch is what the watchdog has to say about a task. It lives as long as the task's supervisor and is safe for concurrent
// use.
type watch struct {
	mu      sync.Mutex // guards what follows
	why     string     // "" while there is progress
	since   time.Time  // of the last progress
	strikes int        // attempts in a row that were given up
}

// strike notes that an attempt is given up.
func (w *watch) strike() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.strikes = min(w.strikes+1, mostStrikes)
}

// patience is the wait of this attempt.
func (w *watch) patience(stall time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return stall << w.strikes
}

// well notes progress: changes move, or there are none.
func (w *watch) well() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.why, w.strikes = "", 0
}

func (w *watch) set(why string, since time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.why == "" {
		w.since = since // of the first of several attempts that all stood
	}
	w.why = why
}

// stalled is why there is no progress, and for how long; "" where there is.
func (w *watch) stalled(now time.Time) (string, time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.why == "" {
		return "", 0
	}
	return w.why, now.Sub(w.since)
}

// watchdog watches one attempt of a source task.
type watchdog struct {
	stall   time.Duration
	observe func() capture.Observation
	counts  func() emitter.Counts
	watch   *watch
	log     *slog.Logger

	last  marks
	since time.Time // of the last progress
	told  bool      // what explains this standstill was logged
}

// marks are what grows with progress.
type marks struct {
	received, sent uint64
	batches        int64
	durable        int64
	waiting        int64
}

func marksOf(o capture.Observation, c emitter.Counts) marks {
	return marks{o.Received, o.Sent, c.Batches, c.Durable, c.Waiting}
}

// run looks until ctx ends, or returns a *StallError.
func (w *watchdog) run(ctx context.Context) error {
	if w.stall <= 0 {
		w.stall = defaultStall
	}
	w.since, w.last = time.Now(), marksOf(w.observe(), w.counts())
	for {
		if !sleep(ctx, w.stall/10) {
			return nil
		}
		if err := w.look(time.Now()); err != nil {
			return err
		}
	}
}

// look is one look. Progress is anything that moves: bytes or batches that came, the server's own work for this reader, units
// that became durable.
func (w *watchdog) look(now time.Time) error {
	o, c := w.observe(), w.counts()
	m := marksOf(o, c)
	explained, why := stalledBy(o, c)
	idle := why == "" && explained == ""
	if m.batches != w.last.batches || m.durable != w.last.durable || idle && o.Connected {
		w.watch.well()
	}
	if m != w.last || idle {
		w.last, w.since, w.told = m, now, false
		return nil
	}
	stood := now.Sub(w.since)
	if stood < w.watch.patience(w.stall) {
		return nil
	}
	if explained != "" {
		if !w.told {
			w.told = true
			w.log.Warn("no progress, and the reader is not to blame", "cause", explained, "for", stood.Round(time.Second))
		}
		if o.Phase != snapshotPhase { // a snapshot is progress of another kind
			w.watch.set(explained, w.since)
		}
		return nil
	}
	w.watch.set(why, w.since)
	w.watch.strike()
	w.dump(o, c, why)
	return &StallError{stood, why}
}

const snapshotPhase = "snapshot"

// stalledBy says what holds up the changes if nothing moves: something that is not the reader's or the pipeline's fault, or
// something that opening anew may mend. Both are "" where there is nothing to do.
func stalledBy(o capture.Observation, c emitter.Counts) (explained, why string) {
	switch {
	case o.Phase == snapshotPhase:
		return "a snapshot is being read", ""
	case c.Waiting > 0:
		return fmt.Sprintf("the log of topics has not made %d unit(s) durable", c.Waiting), ""
	case c.Held > 0 && !o.Asked:
		return "", fmt.Sprintf("%d batch(es) were read and nothing becomes durable", c.Held)
	case o.Unread >= leastUnread:
		return "", fmt.Sprintf("%d bytes of the source's log are to be read and nothing comes", o.Unread)
	}
	return "", ""
}

// dump logs the state of the task.
func (w *watchdog) dump(o capture.Observation, c emitter.Counts, why string) {
	stacks := make([]byte, stackBytes)
	stacks = stacks[:runtime.Stack(stacks, true)]
	w.log.Error("watchdog: no progress, the reader is opened anew", "cause", why, "phase", o.Phase, "connected", o.Connected, "asked", o.Asked,
		"received", o.Received, "sent_by_server", o.Sent, "unread_bytes", o.Unread, "undurable_bytes", o.Undurable, "slot", o.Slot,
		"batches_read", c.Batches, "batches_held", c.Held, "queue_capacity", c.Capacity, "units_waiting", c.Waiting, "records_durable", c.Durable,
		"stacks", string(stacks))
}
