// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"freshet/capture"
	"freshet/change"
	"freshet/internal/failpoint"
)

// Initial returns a Reader that yields all rows of q, then what stream yields. stream must begin at the state that q
// reads; its Next is not called before the snapshot is over. A nil stream yields nothing, for ever. The Reader owns both:
// it closes q when the last row is read, and stream when it is closed itself.
//
// Batches of the snapshot end at q.Position(false), which says what of it is finished, the last one at q.Position(true); a
// snapshot without rows is one empty batch with that end. An error in the snapshot is final: what was not finished is read
// again when the Reader is opened anew.
func Initial(q Querier, stream capture.Reader, o Options) capture.Reader {
	o.ensureDefaults()
	if stream == nil {
		stream = Idle()
	}
	i := &initial{run: newRun(q, o), q: q, stream: stream, streamDelay: o.StreamDelay}
	i.behind, _ = stream.(capture.Failing)
	return i
}

// initial is the Reader of Initial. The fields of the first group belong to the goroutine that calls Next.
type initial struct {
	started  bool
	held     filled          // read, not yet handed out: the last row of the last batch is marked; without a batch at first
	position change.Position // that the last batch ended at
	aborted  bool            // the notice of an error was handed out
	over     bool            // the last batch of the snapshot was handed out
	streamAt time.Time       // when the stream may be read, set with over

	run         *run // nil once it is over, as is the next
	q           Querier
	stream      capture.Reader
	behind      capture.Failing // the stream, where it is one; else nil. No snapshot is read in vain
	streamDelay time.Duration

	cancel context.CancelFunc // of run; set with started
	done   chan struct{}      // closed when run has ended; set with started
	closed bool

	mu sync.Mutex // guards what follows
	// streamed lets Commit through to the stream: only positions from the end of the snapshot on mean something to it.
	streamed bool
	inside   []change.Position // of the snapshot: handed out and not yet committed, each once
}

var (
	_ capture.Reader = (*initial)(nil)
	_ capture.Lagger = (*initial)(nil)
	_ capture.Beater = (*initial)(nil)

	_ capture.Observer = (*initial)(nil)
	_ capture.Failing  = (*initial)(nil)
)

// Next yields the snapshot, then the stream.
func (i *initial) Next(ctx context.Context, b *change.Batch) error {
	if !i.over {
		return i.nextOfSnapshot(ctx, b)
	}
	if err := pause(ctx, time.Until(i.streamAt)); err != nil {
		return err
	}
	return i.stream.Next(ctx, b)
}

// nextOfSnapshot hands out the batch before the one that was read last.
func (i *initial) nextOfSnapshot(ctx context.Context, b *change.Batch) error {
	i.start(ctx)
	failed := i.Failed()
	for {
		select {
		case <-failed:
			return i.Failure()
		case next, ok := <-i.run.full:
			held := i.held
			switch {
			case !ok && i.run.err != nil:
				return i.failed(b)
			case !ok:
				i.finish(b)
				return nil
			case next.batch == nil:
				b.Notices = append(b.Notices, i.run.told.notice("STARTED"))
				return nil
			}
			i.held = next
			if held.batch != nil {
				i.handOut(held, b)
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// start runs the snapshot in the background, detached from ctx: a Next that is canceled loses nothing.
func (i *initial) start(ctx context.Context) {
	if i.started {
		return
	}
	i.started = true
	ctx, i.cancel = context.WithCancel(context.WithoutCancel(ctx))
	i.done = make(chan struct{})
	go func() { // Close waits for done
		defer close(i.done)
		i.run.read(ctx)
	}()
}

// failed hands out what was read before an error and the notice of it, then the error.
func (i *initial) failed(b *change.Batch) error {
	if held := i.held; held.batch != nil {
		i.held = filled{}
		i.handOut(held, b)
		return nil
	}
	if i.aborted || !i.run.o.Notices {
		return i.run.err
	}
	i.aborted = true
	b.Notices = append(b.Notices, i.run.told.notice("ABORTED"))
	return nil
}

// handOut gives the content of a batch to the caller's, whose empty one is filled next.
func (i *initial) handOut(from filled, to *change.Batch) {
	i.swap(from.batch, to)
	// I1: batches come here in the order they are handed out in, so no chunk counts as finished before its last row.
	ended := i.pass(from.marks, to)
	if i.position == "" || ended {
		i.moved(i.q.Position(false))
	}
	to.End = i.position
	if ended {
		failpoint.Hit("snapshot.block.finished")
	}
}

// pass takes the marks of a batch that is handed out, and says whether a chunk ended in it. Notices come where the first
// chunk of a table begins, and where the last one that was not handed out yet ends.
func (i *initial) pass(marks []mark, to *change.Batch) (ended bool) {
	say := func(n change.Notice, at int) {
		if n.Before = at; i.run.o.Notices {
			to.Notices = append(to.Notices, n)
		}
	}
	for _, m := range marks {
		t := m.table
		switch {
		case m.end:
			ended = true
			i.q.Finished(m.Chunk)
			if t.unhanded--; t.unhanded == 0 {
				say(i.run.told.scanned(t.ID, t.seen(i.run)), m.at)
			}
		case !t.begun:
			t.begun = true
			say(i.run.told.reading(t.ID), m.at)
		}
	}
	return ended
}

// moved notes a position inside of the snapshot.
func (i *initial) moved(p change.Position) {
	if p == i.position {
		return
	}
	i.position = p
	i.mu.Lock()
	defer i.mu.Unlock()
	i.inside = append(i.inside, p)
}

// swap exchanges the content of a batch with the caller's empty one.
func (i *initial) swap(from, to *change.Batch) {
	seq := to.Seq
	*from, *to = *to, *from
	to.Seq = seq
	from.Reset()
	i.run.free <- from // never blocks: it came from there
}

// finish hands out the last batch: the rows held back, the last of them marked, and the position of a completed snapshot.
func (i *initial) finish(b *change.Batch) {
	if i.held.batch != nil {
		i.swap(i.held.batch, b)
		b.Changes[len(b.Changes)-1].Snapshot = change.SnapshotLast
	}
	i.pass(i.held.marks, b)
	i.held = filled{}
	for m := range i.run.spare {
		i.run.spare[m].at = len(b.Changes)
	}
	i.pass(i.run.spare, b)
	if i.run.o.Notices {
		n := i.run.told.notice("COMPLETED")
		n.Before = len(b.Changes)
		b.Notices = append(b.Notices, n)
	}
	b.End, b.SnapshotEnd = i.q.Position(true), true
	i.over = true
	i.streamAt = time.Now().Add(i.streamDelay)
	i.mu.Lock()
	i.streamed = true
	i.mu.Unlock()
	i.q, i.run = nil, nil // what was known of its tables goes, and its batches
	failpoint.Hit("snapshot.completed")
}

// Commit tells the stream of positions from the end of the snapshot on (I2). Those inside of it free nothing: the changes
// since its state are still to come.
func (i *initial) Commit(ctx context.Context, p change.Position) error {
	i.mu.Lock()
	inside := slices.Index(i.inside, p)
	if inside > 0 {
		i.inside = i.inside[inside:] // positions come in order; the same one may come again
	}
	pass := i.streamed && inside < 0
	i.mu.Unlock()
	if !pass {
		return nil
	}
	return i.stream.Commit(ctx, p)
}

// Lag is the stream's.
func (i *initial) Lag() (unread, undurable int64) {
	if l, ok := i.stream.(capture.Lagger); ok {
		return l.Lag()
	}
	return -1, -1
}

// Failed is the stream's.
func (i *initial) Failed() <-chan struct{} {
	if i.behind == nil {
		return nil
	}
	return i.behind.Failed()
}

// Failure is the stream's.
func (i *initial) Failure() error { return i.behind.Failure() }

// Observe is the stream's once the snapshot is over. Until then the snapshot explains that the stream stands.
func (i *initial) Observe() capture.Observation {
	o := capture.Observation{Unread: -1, Undurable: -1}
	if s, ok := i.stream.(capture.Observer); ok {
		o = s.Observe()
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.streamed {
		o.Phase = "snapshot"
	}
	return o
}

// Beat is the stream's.
func (i *initial) Beat(ctx context.Context) error {
	if s, ok := i.stream.(capture.Beater); ok {
		return s.Beat(ctx)
	}
	return nil
}

// Close stops the snapshot where it is and waits for it, as long as ctx lets it; then it closes the stream.
func (i *initial) Close(ctx context.Context) error {
	if i.closed {
		return nil
	}
	i.closed = true
	var err error
	if !i.started {
		err = i.q.Close(ctx)
	} else {
		i.cancel()
		select {
		case <-i.done:
		case <-ctx.Done():
			err = fmt.Errorf("stop the snapshot: %w", ctx.Err())
		}
	}
	return errors.Join(err, i.stream.Close(ctx))
}

// Idle returns a Reader without changes: Next blocks until its context ends, once it has handed out the notices. It is
// what remains of a connector that only takes a snapshot.
func Idle(said ...change.Notice) capture.Reader { return &idle{said} }

type idle struct{ said []change.Notice }

func (i *idle) Next(ctx context.Context, b *change.Batch) error {
	if len(i.said) > 0 {
		b.Notices, i.said = i.said, nil
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (*idle) Commit(context.Context, change.Position) error { return nil }

func (*idle) Close(context.Context) error { return nil }
