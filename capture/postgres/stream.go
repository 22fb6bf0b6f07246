// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"freshet/change"
	"freshet/internal/failpoint"
)

const (
	batchBytes = 512 << 10 // a batch of this size is full
	// tick is the longest sleep of the stream: a Commit is told to the server at most this much later.
	tick = time.Second
	// commitLinger is how long changes wait for the commit of their transaction, which the server sends right behind them.
	commitLinger = 2 * time.Millisecond
	// moveInterval is how often a position that moved without changes is handed over.
	moveInterval = time.Second
	// Reads that follow within burst of one another are put off for a nap, so that each brings many messages: the server
	// sends every row by itself, and waking up for each costs more than decoding it.
	burst = time.Millisecond
	nap   = 500 * time.Microsecond
	// chaseEvery is how often an idle server is asked how far it is, while somebody waits for it.
	chaseEvery = 20 * time.Millisecond
	// goodbyeTimeout bounds the orderly end of a stream, which frees the slot at once.
	goodbyeTimeout = 2 * time.Second
)

// stream is the goroutine that owns the replication connection. It reads, answers keep-alives, acknowledges, and fills
// one batch. While it waits for the server it parks that batch in out: Next may take it from there, and puts an empty one
// in free; what Next did not take the stream takes back and goes on filling. A full batch stays parked until it is taken,
// and the stream does not read on, but keeps telling the server that it lives.
type stream struct {
	r    *Reader
	pg   *pgconn.PgConn
	wire *wire
	dec  *decoder
	// batch is nil while it is parked.
	batch *change.Batch
	// spooling is not nil as long as the stream goes into the spool; behind is the spool that comes before the stream.
	spooling *spooling
	behind   spooled
	// witness looks at what comes before the position; nil once that is over.
	witness *witness

	statusEvery time.Duration // also a third of wal_sender_timeout at most
	silence     time.Duration // after so long without a byte the connection is dead

	view       *catalogView
	start      lsn // that was asked for
	received   lsn // all of the log up to here has come
	sentFlush  lsn // the last confirmation
	lastStatus time.Time
	lastByte   time.Time
	lastProbe  time.Time // another connection was asked about this one
	pinged     bool      // an answer was asked for since lastByte
	moved      bool      // the position moved since the last handing over
	idle       bool      // it moved by keep-alives only
	lastGiven  time.Time
	lastXmin   time.Time
	lastAsked  time.Time // the server was asked for the end of its log, for Lag
}

// parcel is a batch with the position behind it.
type parcel struct {
	batch   *change.Batch
	pos     position
	rereads []reread // of the batch; they go with it
}

func (s *stream) parcel() parcel { return parcel{s.batch, s.dec.pos, s.dec.rereads} }

// shared is what the stream's goroutine shares with the callers of its Reader.
type shared struct {
	out  chan parcel        // holds at most the one parked parcel
	free chan *change.Batch // and its empty successor
	stop chan struct{}      // closed by Close
	live chan struct{}      // closed when a stream that spools is to go on to Next
	done chan struct{}      // closed when the goroutine has ended; err is set before
	err  error

	// I2: flush is the highest position that was committed, or is durable in the spool. Nothing else is ever confirmed.
	flush    atomic.Uint64
	read     atomic.Uint64 // end of the log that has come
	end      atomic.Uint64 // end of the server's log, as far as known
	lagAsked atomic.Bool
	// goal is a place in the log that somebody waits for the position to come to. An idle server is asked how far it is.
	goal atomic.Uint64
}

// renew makes the channels anew, for a goroutine after one that has ended.
func (sh *shared) renew() {
	sh.out, sh.free = make(chan parcel, 1), make(chan *change.Batch, 1)
	sh.stop, sh.live, sh.done = make(chan struct{}), make(chan struct{}), make(chan struct{})
	sh.err = nil
}

// confirm raises what may be confirmed. I2: nothing else does.
func (sh *shared) confirm(durable lsn) {
	for {
		old := sh.flush.Load()
		if uint64(durable) <= old || sh.flush.CompareAndSwap(old, uint64(durable)) {
			return
		}
	}
}

// run is the goroutine.
func (s *stream) run(ctx context.Context) {
	sh := &s.r.shared
	err := s.loop(ctx)
	for err != nil && s.spooling != nil {
		next, cause := s.reopen(ctx, err)
		if err = cause; next != nil {
			s = next
			err = s.loop(ctx)
		} else {
			break
		}
	}
	if s.batch != nil && len(s.batch.Changes) > 0 {
		sh.out <- s.parcel() // whole changes that came before the error
	}
	s.goodbye(ctx, err == nil)
	sh.err = err
	s.r.streaming.Store(false)
	close(sh.done)
}

// loop returns nil after stop.
func (s *stream) loop(ctx context.Context) error {
	if s.behind.end > 0 {
		if err := s.replay(ctx, s.behind); err != nil {
			return s.unlessStopped(err)
		}
	}
	for {
		select {
		case <-s.r.shared.stop: // before drain: a batch that was never taken is gone by now
			return nil
		default:
		}
		full, err := s.drain(ctx)
		if err != nil {
			return err
		}
		if err := s.keepUp(ctx); err != nil {
			return err
		}
		switch {
		case s.spooling != nil:
			err = s.unlessStopped(s.spoolOn(ctx))
		case full:
			err = s.untilTaken()
		default:
			err = s.untilRead()
		}
		if err != nil {
			return err
		}
	}
}

// unlessStopped drops an error that Close made.
func (s *stream) unlessStopped(err error) error {
	select {
	case <-s.r.shared.stop:
		return nil
	default:
		return err
	}
}

// drain takes the messages that are here, until the batch is full.
func (s *stream) drain(ctx context.Context) (full bool, err error) {
	for {
		if s.batchFull() {
			return true, nil
		}
		if s.spooling != nil && s.spooling.full() {
			return true, nil
		}
		kind, body, ok, err := s.wire.next()
		if err != nil || !ok {
			return false, wrapError("read", "the replication stream", err)
		}
		if err := s.message(ctx, kind, body); err != nil {
			return false, err
		}
		s.wire.trim()
	}
}

func (s *stream) batchFull() bool {
	return len(s.batch.Changes) >= s.r.o.MaxBatchSize || s.batch.Size() >= batchBytes || len(s.dec.rereads) >= rereadsPerBatch
}

// message takes one message of the server.
func (s *stream) message(ctx context.Context, kind byte, body []byte) error {
	switch kind {
	case 'd':
		return s.copyData(ctx, body)
	case 'E':
		var e pgproto3.ErrorResponse
		if err := e.Decode(body); err != nil {
			return wrapError("read", "the server's error", err)
		}
		return s.r.streamError(s.start, pgconn.ErrorResponseToPgError(&e))
	case 'N':
		var n pgproto3.NoticeResponse
		if err := n.Decode(body); err != nil {
			return wrapError("read", "the server's notice", err)
		}
		return s.r.notice((*pgproto3.ErrorResponse)(&n))
	case 'c', 'C', 'Z':
		return wrapError("stream from", s.r.slotSubject(), errors.New("the server ended the stream"))
	}
	return nil // parameters
}

// copyData takes a piece of the log or a keep-alive.
func (s *stream) copyData(ctx context.Context, p []byte) error {
	const dataHead, keepAlive = 1 + 8 + 8 + 8, 1 + 8 + 8 + 1
	switch {
	case len(p) >= dataHead && p[0] == 'w':
		at := lsn(binary.BigEndian.Uint64(p[1:]))
		s.received = max(s.received, at)
		if s.spooling != nil {
			return s.spooling.add(at, p[dataHead:])
		}
		if s.witness != nil {
			if pass, err := s.witness.take(at, p[dataHead:]); pass || err != nil {
				return s.r.another(err)
			}
			if p[dataHead] == msgBegin {
				s.witness = nil // from here on nothing lies before the position
			}
		}
		before := s.dec.pos.Proc
		if err := s.dec.message(ctx, s.batch, at, p[dataHead:]); err != nil {
			return err
		}
		if s.dec.pos.Proc != before {
			s.moved, s.idle = true, false
			s.received = max(s.received, s.dec.pos.Proc)
		}
		return nil
	case len(p) == keepAlive && p[0] == 'k':
		end := lsn(binary.BigEndian.Uint64(p[1:]))
		s.advance(end)
		if p[17] != 0 {
			return s.status(false)
		}
		return nil
	}
	return wrapError("read", "the replication stream", fmt.Errorf("copy data of kind %q with %d bytes", p[:min(1, len(p))], len(p)))
}

// advance takes a keep-alive: every transaction that commits before end has been sent. Between transactions the position
// may move there, so that a database where nothing is captured does not make the server keep its log for ever. The server
// hears of it like of any other position, after it was committed (I2).
func (s *stream) advance(end lsn) {
	s.received = max(s.received, end)
	if s.spooling != nil {
		s.spooling.advance(end)
		return
	}
	pos := &s.dec.pos
	if s.dec.tx.open || s.dec.taken.rows > 0 || end <= pos.start() {
		return
	}
	pos.LSN, pos.Proc, pos.Type, pos.Events, pos.Floor = end, end, typeCommit, 0, 0
	if !s.moved {
		s.moved, s.idle = true, true
	}
}

// untilRead parks the batch and waits for bytes or a tick.
func (s *stream) untilRead() error {
	if s.dec.tx.open && len(s.batch.Changes) > 0 {
		if got, err := s.fill(commitLinger); got || err != nil {
			return err
		}
	}
	parked := s.park()
	_, err := s.fill(tick)
	if parked {
		select {
		case p := <-s.r.shared.out:
			s.batch = p.batch
		case s.batch = <-s.r.shared.free:
			s.given()
		}
	}
	return err
}

// park offers the batch to Next if there is anything to hand over.
func (s *stream) park() bool {
	if len(s.batch.Changes) == 0 {
		every := moveInterval
		if s.idle {
			every = s.r.o.StatusInterval
		}
		if goal := s.r.shared.goal.Load(); goal != 0 && uint64(s.dec.pos.start()) >= goal {
			s.r.shared.goal.CompareAndSwap(goal, 0)
			every = 0
		}
		if !s.moved || time.Since(s.lastGiven) < every {
			return false
		}
	}
	s.r.shared.out <- s.parcel() // room is certain: there is one batch
	s.batch = nil
	return true
}

// given notes that Next has taken the batch.
func (s *stream) given() {
	if s.dec.tx.open {
		failpoint.Hit("pg.transaction.read")
	}
	s.moved = false
	s.dec.rereads = nil
	s.lastGiven = time.Now()
}

// untilTaken parks a full batch until Next has taken it, and keeps the connection alive meanwhile.
func (s *stream) untilTaken() error {
	s.r.shared.out <- s.parcel()
	s.batch = nil
	timer := time.NewTimer(tick)
	defer timer.Stop()
	for {
		select {
		case s.batch = <-s.r.shared.free:
			s.given()
			s.lastByte, s.pinged = time.Now(), false // silence was ours
			return nil
		case <-s.r.shared.stop:
			return nil
		case <-timer.C:
			if err := s.holdOn(); err != nil {
				return err
			}
			timer.Reset(min(tick, s.statusEvery))
		}
	}
}

// fill reads once, for d at most. Nothing read is no error.
func (s *stream) fill(d time.Duration) (got bool, err error) {
	if time.Since(s.lastByte) < burst {
		lowWater(s.wire.conn, wireBytes)
		time.Sleep(nap)
		lowWater(s.wire.conn, 1)
	}
	if s.r.shared.goal.Load() != 0 {
		d = min(d, chaseEvery)
	}
	if err := s.wire.conn.SetReadDeadline(time.Now().Add(min(d, s.statusEvery))); err != nil {
		return false, wrapError("read", "the replication stream", err)
	}
	live := s.r.shared.live
	if s.spooling == nil {
		live = nil
	}
	select {
	case <-s.r.shared.stop: // who closes one of these sets a deadline in the past after it: one of the two is seen
		return false, nil
	case <-live:
		return false, nil
	default:
	}
	err = s.wire.fill()
	switch {
	case err == nil:
		s.lastByte, s.pinged = time.Now(), false
		return true, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false, nil
	case errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed):
		err = errors.New("the server closed the connection")
	}
	return false, wrapError("read", "the replication stream of "+s.r.slotSubject(), err)
}

// slotSubject names the slot for messages.
func (r *Reader) slotSubject() string { return "slot " + strconv.Quote(r.o.SlotName) }
