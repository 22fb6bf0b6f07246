// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"freshet/capture"
	"freshet/internal/failpoint"
)

const (
	// spoolBytes is the size of an entry. spoolLinger is how long messages wait for more of them.
	spoolBytes  = 256 << 10
	spoolLinger = 200 * time.Millisecond
	// spoolBuffers is how many entries may be on their way to the log; a buffer that a large row made bigger than
	// spoolKeep is given back.
	spoolBuffers = 4
	spoolKeep    = 4 << 20
)

// Between attempts to open the stream of a spool again. The last of these waits goes on.
var spoolWaits = []time.Duration{100 * time.Millisecond, time.Second, 5 * time.Second}

// mostAnswers is how often a server may give the same answer behind the first, before it is believed.
const mostAnswers = 6

// spoolMark is what is durable in a spool, the mark of its entries. Version is 1.
type spoolMark struct {
	Version  int    `json:"v"`
	Database string `json:"database"`
	// Every transaction that commits from Begin on and before LSN is in the spool, if it was to be streamed. Begin is 0 where
	// an earlier version wrote it.
	Begin lsn `json:"begin,omitempty"`
	LSN   lsn `json:"lsn"`
}

// spooled is what was found in a spool, or put there.
type spooled struct {
	begin   lsn   // of the mark; 0 is unknown
	end     lsn   // of the mark; 0 for an empty spool
	entries int64 // behind the mark there may be the first part of a transaction
}

// loadSpool reads what a spool holds for a database. One of another database holds nothing.
func loadSpool(ctx context.Context, s *capture.Spool, database string) (spooled, error) {
	if s == nil {
		return spooled{}, nil
	}
	text, entries, err := s.State(ctx)
	if err != nil || text == "" {
		return spooled{}, err
	}
	var m spoolMark
	if err := json.Unmarshal([]byte(text), &m); err != nil || m.Version != 1 {
		return spooled{}, permanentf("read the spool of", "database "+strconv.Quote(database),
			"start the version that wrote it, or snapshot again with the connector's offset deleted", "unknown mark %s", text)
	}
	if m.Database != database {
		return spooled{}, nil
	}
	return spooled{m.Begin, m.LSN, entries}, nil
}

// spooling is the stream while it only reads into the spool, so that the server need not keep its log until the snapshot
// is over. Entries are pieces of the stream: messages of pgoutput, each behind its LSN (8 bytes) and its length (4).
// A stream that began anew goes on with the transaction that the one before broke off in.
type spooling struct {
	spool   *capture.Spool
	buf     []byte
	free    chan []byte // buffers that are not on their way
	open    bool        // inside of a transaction
	begin   lsn         // of the spool
	end     lsn         // every transaction that commits before it is in buf or was saved
	saved   lsn         // end of the last save
	last    time.Time   // of it
	entries int64       // saved
	failed  atomic.Pointer[error]
}

func newSpooling(s *capture.Spool, begin lsn) *spooling {
	p := &spooling{spool: s, free: make(chan []byte, spoolBuffers), begin: begin, end: begin, saved: begin, last: time.Now()}
	for range spoolBuffers - 1 {
		p.free <- nil
	}
	return p
}

// add takes a message of pgoutput.
func (p *spooling) add(at lsn, data []byte) error {
	p.buf = binary.BigEndian.AppendUint64(p.buf, uint64(at))
	p.buf = binary.BigEndian.AppendUint32(p.buf, uint32(len(data)))
	p.buf = append(p.buf, data...)
	c := &cursor{p: data}
	switch c.byte() {
	case msgBegin:
		p.open = true
	case msgCommit:
		p.open = false
		p.end = max(p.end, parseCommit(c).End)
	}
	if c.err != nil {
		return permanentf("spool", "a message at "+at.String(), "report this with the server's version", "%w", c.err)
	}
	return nil
}

// advance takes a keep-alive: between transactions, all that commits before end has been sent.
func (p *spooling) advance(end lsn) {
	if !p.open {
		p.end = max(p.end, end)
	}
}

// full says whether there is enough for an entry.
func (p *spooling) full() bool { return len(p.buf) >= spoolBytes }

// due says whether what there is has waited long enough.
func (p *spooling) due(now time.Time) bool {
	since := now.Sub(p.last)
	return len(p.buf) > 0 && since >= spoolLinger || p.end > p.saved && since >= moveInterval
}

// spoolOn is a step of the stream that spools: it saves what is due, and goes over to decoding when the Reader asks for it.
func (s *stream) spoolOn(ctx context.Context) error {
	p := s.spooling
	if err := p.failed.Load(); err != nil {
		return wrapError("spool the stream of", s.r.slotSubject(), *err)
	}
	select {
	case <-s.r.shared.live:
		return s.goLive(ctx)
	default:
	}
	if p.full() || p.due(time.Now()) {
		return s.save(ctx)
	}
	_, err := s.fill(min(tick, spoolLinger))
	return err
}

// save gives what was read to the log. The server is told of it when it is durable there.
func (s *stream) save(ctx context.Context) error {
	p := s.spooling
	mark, err := json.Marshal(spoolMark{Version: 1, Database: s.r.o.Database, Begin: p.begin, LSN: p.end})
	if err != nil {
		return err
	}
	buf, end := p.buf, p.end
	if len(buf) > 0 {
		p.entries++
	}
	done := func(err error) {
		if err == nil {
			failpoint.Hit("spool.durable")
			s.r.shared.confirm(end) // I2: all that commits before it is durable here
		} else if !errors.Is(err, context.Canceled) { // else it was not wanted any more
			p.failed.Store(&err)
		}
		if cap(buf) > spoolKeep {
			buf = nil
		}
		p.free <- buf[:0] // never blocks: there is room for every buffer
	}
	p.saved, p.last = end, time.Now()
	return s.await(ctx, func(ctx context.Context) error {
		entry := buf
		if len(entry) == 0 {
			entry = nil
		}
		failpoint.Hit("spool.append")
		p.spool.Append(ctx, entry, string(mark), done)
		select {
		case p.buf = <-p.free:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// goLive ends spooling at a message's end: what was spooled is decoded first, then what comes over the connection. It is
// the same stream, so nothing lies in between.
func (s *stream) goLive(ctx context.Context) error {
	p := s.spooling
	if err := s.save(ctx); err != nil {
		return err
	}
	err := s.await(ctx, func(ctx context.Context) error {
		for range spoolBuffers - 1 { // all but the empty one that is here
			select {
			case <-p.free:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := p.failed.Load(); err != nil {
		return wrapError("spool the stream of", s.r.slotSubject(), *err)
	}
	s.spooling = nil
	s.r.log.Info("streaming", "slot", s.r.o.SlotName, "publication", s.r.o.Publication, "from", s.r.from.start().String())
	return s.replay(ctx, spooled{p.begin, p.end, p.entries})
}

// replay decodes a spool. The connection waits meanwhile; what comes over it lies behind the spool.
func (s *stream) replay(ctx context.Context, from spooled) error {
	s.r.log.Info("reading changes from the spool", "slot", s.r.o.SlotName, "entries", from.entries, "until", from.end.String())
	s.r.spoolEnd.Store(uint64(max(from.end, 1)))
	reader, err := s.r.spool.Read(ctx, from.entries)
	if err != nil {
		return err
	}
	defer func() { _ = reader.Close(context.WithoutCancel(ctx)) }()
	for p := (replay{stream: s, passer: passer{start: s.r.from.start()}}); ; {
		var entry []byte
		err := s.await(ctx, func(ctx context.Context) (err error) {
			entry, err = reader.Next(ctx)
			return err
		})
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			failpoint.Hit("spool.replay")
			err = p.entry(ctx, entry)
		}
		if err != nil || s.batch == nil {
			return err
		}
	}
	s.moved, s.idle = true, false
	s.r.replayed.Store(true)
	failpoint.Hit("spool.replayed")
	return nil
}

// replay decodes the entries of a spool, and passes over what commits before a position, as the server would.
type replay struct {
	*stream
	passer
}

// entry decodes one entry. The stream's batch is nil afterwards where the Reader was closed meanwhile.
func (p *replay) entry(ctx context.Context, entry []byte) error {
	c := &cursor{p: entry}
	for len(c.p) > 0 {
		at, data := lsn(c.uint64()), c.take(int(c.uint32()))
		if c.err != nil || len(data) == 0 {
			return permanentf("read", "the spool", "restore the data folder from a backup, or snapshot again", "an entry of %d bytes is damaged", len(entry))
		}
		if p.passes(at, data) {
			continue
		}
		if err := p.dec.message(ctx, p.batch, at, data); err != nil {
			return err
		}
		if !p.batchFull() {
			continue
		}
		if err := p.untilTaken(); err != nil || p.batch == nil {
			return err
		}
		if err := p.keepUp(ctx); err != nil {
			return err
		}
	}
	return p.keepUp(ctx)
}

// spoolFrom begins to read the stream into the spool, from the position of a snapshot that has begun. Where that does not
// work, the server keeps its log until the snapshot is over, and nothing else is different.
func (r *Reader) spoolFrom(ctx context.Context, from position) {
	if r.spool == nil {
		return
	}
	r.starting.Lock()
	defer r.starting.Unlock()
	if r.stopped || r.cancel != nil {
		return
	}
	r.from = from
	err := r.spool.Create(ctx)
	if err == nil {
		_, _, err = r.spool.State(ctx)
	}
	if err == nil {
		err = r.begin(ctx, func(s *stream) { s.spooling = newSpooling(r.spool, from.start()) })
	}
	if err != nil {
		r.log.Warn("the stream cannot be read during the snapshot; the server keeps its log until it is over", "slot", r.o.SlotName, "error", err)
		return
	}
	r.spooling, r.origin = true, nil
	r.log.Info("the stream goes into a spool while the snapshot runs", "slot", r.o.SlotName, "from", from.start().String())
}

// reopen opens the stream that goes into the spool again, whose connection broke with cause: so the slot moves on, however
// long the snapshot takes. It tries until the snapshot is over; nil is returned with the error where that was first, the
// Reader was closed, or the log cannot write. Where trying cannot help, the Reader fails.
func (s *stream) reopen(ctx context.Context, cause error) (*stream, error) {
	r := s.r
	if s.spooling.failed.Load() != nil {
		return nil, cause // the server keeps its log, as without a spool
	}
	_ = s.pg.Close(ctx)
	r.streaming.Store(false)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // until the return
		select {
		case <-r.shared.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	last, same := "", 0
	for attempt := 0; ; attempt++ {
		var e *Error
		if errors.As(cause, &e) {
			if e.repeats == "" || e.repeats != last {
				last, same = e.repeats, 0
			} else if same++; same == mostAnswers {
				e.permanent = true
			}
			if e.permanent {
				r.guard.fail(cause)
				return nil, cause
			}
		}
		r.log.Warn("the connection that reads the stream during the snapshot broke; it is opened again", "slot", r.o.SlotName, "error", cause)
		live := r.waitUnlessLive(ctx, spoolWaits[min(attempt, len(spoolWaits)-1)])
		if ctx.Err() != nil {
			return nil, cause
		}
		next, err := r.respool(ctx)
		if err == nil || live {
			return next, err
		}
		cause = err
	}
}

// waitUnlessLive waits for d, and says whether the snapshot is over.
func (r *Reader) waitUnlessLive(ctx context.Context, d time.Duration) (live bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-r.shared.live:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// respool opens a stream behind what is durable in the spool.
func (r *Reader) respool(ctx context.Context) (*stream, error) {
	found, err := loadSpool(ctx, r.spool, r.o.Database) // what was on its way is durable, or never will be
	if err != nil {
		return nil, err
	}
	start := max(r.from.start(), found.end)
	s, err := r.newStream(ctx, start)
	if err != nil {
		return nil, err
	}
	s.spooling = newSpooling(r.spool, start)
	s.spooling.begin, s.spooling.entries = r.from.start(), found.entries
	return s, nil
}

// live lets a stream that spools go on to Next. One that has ended, because the log could not write, is opened again behind
// its spool.
func (r *Reader) live(ctx context.Context) error {
	select {
	case <-r.shared.done:
	default:
		r.spooling = false
		close(r.shared.live)
		r.wake()
		return nil
	}
	r.log.Warn("the stream could not be read during the snapshot; it is opened again", "slot", r.o.SlotName, "error", r.shared.err)
	var err error
	if r.spooled, err = loadSpool(ctx, r.spool, r.o.Database); err != nil {
		return err
	}
	r.cancel()
	r.cancel, r.spooling = nil, false
	r.shared.renew()
	return nil
}

// tidySpool deletes the spool once a position behind it is durable: nothing in it will be read again.
func (r *Reader) tidySpool(ctx context.Context, durable lsn) {
	end := lsn(r.spoolEnd.Load())
	if end == 0 || durable < end || !r.replayed.Load() {
		return
	}
	if err := r.spool.Delete(ctx); err != nil {
		r.log.Warn("the spool cannot be deleted now; it is tried again", "error", err)
		return
	}
	failpoint.Hit("spool.deleted")
	r.spoolEnd.Store(0)
	r.log.Info("the spool is read and deleted", "slot", r.o.SlotName, "until", fmt.Sprint(end))
}
