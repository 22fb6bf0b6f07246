// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"freshet/capture"
	"freshet/change"
	"freshet/schema"
)

// Windows is what a database supplies for snapshots on demand. Its methods are called by one goroutine.
type Windows interface {
	// Match lists the captured tables whose full names a data collection of a signal, a regular expression, matches.
	Match(ctx context.Context, pattern string) ([]schema.ID, error)
	// Signal reads a signal from a change of the signal table. ok is false for all other changes.
	Signal(b *change.Batch, c *change.Change) (s capture.Signal, ok bool)
	// Open begins a window. The low watermark is set before it returns.
	Open(ctx context.Context) (Window, error)
	// Blocking makes the Reader of an ordinary snapshot of tables, which ends with a batch whose SnapshotEnd is set.
	// progress is for Options.Progress.
	Blocking(ctx context.Context, parts []*Part, progress func(capture.Progress)) (capture.Reader, error)
	Close(ctx context.Context) error
}

// Window reads rows at one state of the database, while the stream waits between two batches.
type Window interface {
	// Read appends the next rows of a part to b as changes: limit of them or fewer, or all of a Whole part. They are
	// decoded with the table as it is in that state. A *PartError says that the part cannot be read, and others can.
	Read(ctx context.Context, p *Part, limit int, b *change.Batch) (Piece, error)
	// Sees says whether the state includes a change of the stream: then the rows that were read are no older than it.
	Sees(b *change.Batch, c *change.Change) bool
	// Close sets the high watermark and gives up the state.
	Close(ctx context.Context) error
	// Passed says whether the stream, which has brought b, has come to the high watermark.
	Passed(b *change.Batch) bool
}

// Piece is what Read has read of a part.
type Piece struct {
	Rows      int
	Last, Max string // keys, for Part.After and Part.Max; "" without rows
	// FirstText, LastText and MaxText are the keys for people.
	FirstText, LastText, MaxText string
	// Keyless says that the table cannot be paged: it has no key, and no surrogate was named.
	Keyless bool
}

// PartError is a part that cannot be read.
type PartError struct{ Err error }

// Error is the cause.
func (e *PartError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *PartError) Unwrap() error { return e.Err }

// DemandOptions say how snapshots on demand are read.
type DemandOptions struct {
	Name string // topic.prefix, for notices
	// From is the position that was stored, with the state of jobs. At is where the stream begins, "" where that is not
	// known before its first batch, or where a snapshot comes first.
	From, At change.Position
	Rows     int // rows of a window; 0 is 1024
	Signals  <-chan capture.Signal
	File     string          // whose lines are signals, "" for none
	Poll     time.Duration   // between two looks at it
	Notices  bool            // batches with notices are asked for
	Said     []change.Notice // those to begin with
	// Jobs, if not nil, is told of all jobs whenever one of them changes. It must not block.
	Jobs func([]capture.SnapshotJob)
	// First are jobs to begin with, before those of signals: what an interrupted snapshot still owes.
	First []*Job
	Log   *slog.Logger
}

// OnDemand returns a Reader that yields what stream yields, and between its batches the rows that signals ask for.
//
// A part of a table is read in a window. Its rows are handed out once the stream has passed the window's high watermark,
// without those whose keys have changed since they were read: their changes are newer. So a row never follows a newer
// change of its key (R6). A row whose change left values out (unchanged TOAST) is read again.
//
// The Reader owns both; it closes them when it is closed.
func OnDemand(stream capture.Reader, q Windows, o DemandOptions) (capture.Reader, error) {
	if o.Rows <= 0 {
		o.Rows = 1024
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	state, err := readState(o.From)
	if err != nil {
		return nil, err
	}
	state.Jobs = append(slices.Clone(o.First), state.Jobs...)
	r := &onDemand{stream: stream, q: q, o: o, state: state, end: o.At, streaming: o.At != "", limit: o.Rows}
	if o.Notices {
		r.said, r.greeting = o.Said, true
	}
	for _, j := range state.Jobs {
		r.track(j, StateQueued, "")
	}
	return r, nil
}

// onDemand is the Reader of OnDemand. Its fields belong to the goroutine that calls Next, but for those of the last groups.
type onDemand struct {
	stream capture.Reader
	q      Windows
	o      DemandOptions

	state     jobState
	statuses  []capture.SnapshotJob
	end       change.Position // behind the last batch of the stream, without our members
	streaming bool            // no initial snapshot is being read
	win       *window         // open, or passed and not yet handed out; nil for none
	limit     int             // rows of the next window: fewer after one had to be read again
	blocking  capture.Reader  // a blocking snapshot that is being read; nil for none
	said      []change.Notice // not yet handed out
	greeting  bool            // they are the first ones, which tell of nothing that a position holds
	at        int             // where in the batch that is being filled the next notice belongs

	started bool
	stop    context.CancelFunc // ends the goroutines that take signals; set with started
	taking  sync.WaitGroup     // for them
	closed  bool

	mu       sync.Mutex // guards what follows
	queued   []capture.Signal
	wake     context.CancelFunc      // ends the Next of the stream that is waited for; nil for none
	scanned  []capture.TableProgress // of the blocking snapshot that is being read
	scanning time.Time               // since then
	inside   []marked                // positions with our members that were handed out and not yet committed
}

// marked is a position with our members, and the one of the stream that it was made of.
type marked struct{ with, plain change.Position }

var (
	_ capture.Reader = (*onDemand)(nil)
	_ capture.Lagger = (*onDemand)(nil)
	_ capture.Beater = (*onDemand)(nil)
)

// Next yields a batch of the stream, or of a snapshot.
func (r *onDemand) Next(ctx context.Context, b *change.Batch) error {
	r.start()
	for {
		switch {
		case r.win != nil && r.win.passed:
			if r.handOut(b) {
				return nil
			}
			continue
		case r.blocking != nil:
			return r.nextOfBlocking(ctx, b)
		}
		if err := r.takeSignals(ctx); err != nil {
			return err
		}
		if err := r.work(ctx); err != nil {
			return err
		}
		if r.blocking != nil || r.win != nil && r.win.passed {
			continue
		}
		if len(r.said) > 0 { // they wait for nothing: the stream may be idle
			if r.end != "" && !r.greeting {
				b.End = r.mark()
			}
			r.attach(b)
			return nil
		}
		err := r.nextOfStream(ctx, b)
		switch {
		case err == nil:
			if err := r.scan(ctx, b); err != nil {
				return err
			}
			r.attach(b)
			if b.End != "" {
				r.end = b.End
				b.End = r.mark()
			}
			return nil
		case ctx.Err() == nil && errors.Is(err, context.Canceled): // by a signal
		default:
			return err
		}
	}
}

// start begins to take signals from outside the stream.
func (r *onDemand) start() {
	if r.started {
		return
	}
	r.started = true
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	if r.o.Signals != nil {
		r.taking.Go(func() { // Close waits for it
			for {
				select {
				case s := <-r.o.Signals:
					r.queue(s)
				case <-ctx.Done():
					return
				}
			}
		})
	}
	if r.o.File != "" {
		r.taking.Go(func() { watchFile(ctx, r.o.File, r.o.Poll, r.o.Log, r.queue) }) // and for it
	}
}

// queue keeps a signal for the goroutine that calls Next, and wakes it.
func (r *onDemand) queue(s capture.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queued = append(r.queued, s)
	if r.wake != nil {
		r.wake()
	}
}

// nextOfStream waits for the stream, or for a signal, which ends it with context.Canceled.
func (r *onDemand) nextOfStream(ctx context.Context, b *change.Batch) error {
	if r.o.Signals == nil && r.o.File == "" {
		return r.stream.Next(ctx, b)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.mu.Lock()
	if len(r.queued) > 0 {
		cancel()
	}
	r.wake = cancel
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.wake = nil
		r.mu.Unlock()
	}()
	return r.stream.Next(ctx, b)
}

// scan looks through a batch of the stream: for signals, and for changes of rows that a window has read.
func (r *onDemand) scan(ctx context.Context, b *change.Batch) error {
	if n := len(b.Changes); b.SnapshotEnd || n == 0 && b.End != "" || n > 0 && b.Changes[n-1].Snapshot == change.NoSnapshot {
		r.streaming = true
	}
	for i := range b.Changes {
		c := &b.Changes[i]
		r.at = i + 1 // what a signal brings about comes behind its row
		if c.Table == nil || c.Op == change.Message {
			continue
		}
		if r.win != nil {
			r.win.changed(b, c)
		}
		if s, ok := r.q.Signal(b, c); ok {
			if r.end == "" {
				r.end = b.End
			}
			if err := r.signal(ctx, s); err != nil {
				return err
			}
		}
	}
	if r.win != nil && r.win.Passed(b) {
		r.win.passed = true
	}
	return nil
}

// attach puts what was said into a batch.
func (r *onDemand) attach(b *change.Batch) {
	b.Notices = append(b.Notices, r.said...)
	slices.SortStableFunc(b.Notices, func(x, y change.Notice) int { return x.Before - y.Before })
	r.said, r.at, r.greeting = nil, 0, false
}

// mark is the position of the stream with the state of jobs.
func (r *onDemand) mark() change.Position {
	members := r.state.members()
	if members == nil {
		return r.end
	}
	p := r.end.With(members)
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.inside); n == 0 || r.inside[n-1].with != p {
		r.inside = append(r.inside, marked{p, r.end})
	}
	return p
}

// work begins the next piece of the first job, if there is one and nothing is at work.
func (r *onDemand) work(ctx context.Context) error {
	if len(r.state.Jobs) == 0 || r.win != nil || r.state.Paused || !r.streaming || r.end == "" {
		return nil
	}
	j := r.state.Jobs[0]
	if !j.Blocking {
		return r.openWindow(ctx, j)
	}
	var err error
	r.mu.Lock()
	r.scanned, r.scanning = nil, time.Now()
	r.mu.Unlock()
	r.o.Log.Info("blocking snapshot begins: the stream waits", "id", j.ID, "tables", j.tables())
	r.track(j, StateRunning, "")
	if r.blocking, err = r.q.Blocking(ctx, j.Parts, r.blockingProgress); err != nil {
		return fmt.Errorf("begin the blocking snapshot %q: %w", j.ID, err)
	}
	return nil
}

// nextOfBlocking hands out a batch of a blocking snapshot. Until its end a restart reads it from the beginning.
func (r *onDemand) nextOfBlocking(ctx context.Context, b *change.Batch) error {
	if err := r.blocking.Next(ctx, b); err != nil {
		return err
	}
	j := r.state.Jobs[0]
	j.count(len(b.Changes))
	r.mu.Lock()
	j.scanned = slices.Clone(r.scanned)
	r.mu.Unlock()
	if !b.SnapshotEnd {
		r.track(j, StateRunning, "")
	} else {
		r.state.Jobs = r.state.Jobs[1:]
		if err := r.blocking.Close(ctx); err != nil {
			return fmt.Errorf("end the blocking snapshot %q: %w", j.ID, err)
		}
		r.blocking = nil
		r.track(j, StateCompleted, "")
		r.o.Log.Info("blocking snapshot is complete: the stream goes on", "id", j.ID)
	}
	if r.end != "" {
		b.End = r.mark()
	}
	return nil
}

// Commit tells the stream of its own positions.
func (r *onDemand) Commit(ctx context.Context, p change.Position) error {
	r.mu.Lock()
	for i := range r.inside {
		if r.inside[i].with == p {
			p = r.inside[i].plain
			r.inside = slices.Delete(r.inside, 0, i+1)
			break
		}
	}
	r.mu.Unlock()
	if p == "" {
		return nil
	}
	return r.stream.Commit(ctx, p)
}

// Lag is the stream's.
func (r *onDemand) Lag() (unread, undurable int64) {
	if l, ok := r.stream.(capture.Lagger); ok {
		return l.Lag()
	}
	return -1, -1
}

// Beat is the stream's.
func (r *onDemand) Beat(ctx context.Context) error {
	if s, ok := r.stream.(capture.Beater); ok {
		return s.Beat(ctx)
	}
	return nil
}

// Failed is the stream's.
func (r *onDemand) Failed() <-chan struct{} {
	if s, ok := r.stream.(capture.Failing); ok {
		return s.Failed()
	}
	return nil
}

// Failure is the stream's, and called after Failed is closed only.
func (r *onDemand) Failure() error {
	if s, ok := r.stream.(capture.Failing); ok {
		return s.Failure()
	}
	return nil
}

// Observe is the stream's.
func (r *onDemand) Observe() capture.Observation {
	if s, ok := r.stream.(capture.Observer); ok {
		return s.Observe()
	}
	return capture.Observation{Unread: -1, Undurable: -1}
}

// Unwrap is the Reader of the stream.
func (r *onDemand) Unwrap() capture.Reader { return r.stream }

// Close ends all.
func (r *onDemand) Close(ctx context.Context) error {
	if r.closed {
		return nil
	}
	r.closed = true
	if r.started {
		r.stop()
		r.taking.Wait()
	}
	var err error
	if r.blocking != nil {
		err = r.blocking.Close(ctx)
	}
	return errors.Join(err, r.q.Close(ctx), r.stream.Close(ctx))
}
