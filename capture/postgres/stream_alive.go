// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"freshet/internal/failpoint"
)

// What keeps the replication connection alive, tells the server what is durable, and ends the connection.

// keepUp does what the clock asks for: status updates, the watch for silence, and what the side connection is for.
func (s *stream) keepUp(ctx context.Context) error {
	now := time.Now()
	s.view.forget(now)
	s.r.shared.read.Store(uint64(s.received))
	quiet := now.Sub(s.lastByte)
	switch {
	case quiet > s.silence:
		return wrapError("read", "the replication stream of "+s.r.slotSubject(),
			fmt.Errorf("no byte from the server for %s, not even the answer that was asked for", quiet.Round(time.Second)))
	case quiet > min(s.silence/2, silencePatience) && !s.pinged:
		s.pinged = true
		if err := s.status(true); err != nil {
			return err
		}
	case quiet > 2*silencePatience && now.Sub(s.lastProbe) > silencePatience:
		if err := s.suspect(ctx, quiet); err != nil {
			return err
		}
	}
	if err := s.r.guard.ended(false); err != nil {
		return wrapError("stream from", s.r.slotSubject(), err)
	}
	if s.r.shared.goal.Load() != 0 && now.Sub(s.lastStatus) >= chaseEvery {
		if err := s.status(true); err != nil {
			return err
		}
	}
	if err := s.statusIfDue(now); err != nil {
		return err
	}
	if s.pinged { // the stream itself is in doubt
		return nil
	}
	return s.ask(ctx, now)
}

// ask reads from the side connection what is due: the slot's xmin, and the end of the log for Lag. Neither is worth the
// stream, unless the server does not answer at all: what cannot be read stays unknown.
func (s *stream) ask(ctx context.Context, now time.Time) (err error) {
	if every := s.r.o.XminInterval; every > 0 && now.Sub(s.lastXmin) >= every {
		s.lastXmin = now
		err = s.tryAwait(ctx, "xmin of the slot", func(ctx context.Context) (err error) {
			s.dec.pos.Xmin, err = s.r.slotXmin(ctx)
			return err
		})
	}
	const lagEvery = 2 * time.Second
	if err == nil && now.Sub(s.lastAsked) >= lagEvery && s.r.shared.lagAsked.Swap(false) {
		s.lastAsked = now
		err = s.tryAwait(ctx, "end of the log", func(ctx context.Context) error {
			end, err := s.r.logEnd(ctx)
			s.r.shared.end.Store(uint64(end))
			return err
		})
	}
	return err
}

// tryAwait logs what await returns, and passes on that the server is silent.
func (s *stream) tryAwait(ctx context.Context, what string, f func(ctx context.Context) error) error {
	err := s.await(ctx, f)
	switch {
	case serverSilent(err):
		return wrapError("read", what, err)
	case err != nil && !errors.Is(err, context.Canceled):
		s.r.log.Warn("cannot be read from the server now", "what", what, "error", err)
	}
	return nil
}

// await runs f, which asks the server over another connection, and keeps this one alive meanwhile.
func (s *stream) await(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- f(ctx) }()
	defer func() { s.lastByte, s.pinged = time.Now(), false }() // silence was ours
	timer := time.NewTimer(min(tick, s.statusEvery))
	defer timer.Stop()
	stop := s.r.shared.stop
	for {
		select {
		case err := <-answer:
			return err
		case <-stop:
			cancel()
			stop = nil // the answer comes all the same
		case <-timer.C:
			if err := s.holdOn(); err != nil {
				cancel()
				<-answer
				return err
			}
			timer.Reset(min(tick, s.statusEvery))
		}
	}
}

// holdOn keeps the connection alive while nobody reads it, unless the server waits for its end.
func (s *stream) holdOn() error {
	if err := s.r.guard.ended(true); err != nil {
		return wrapError("stream from", s.r.slotSubject(), err)
	}
	return s.statusIfDue(time.Now())
}

// statusIfDue sends a status update when one is due, or when there is something new to confirm.
func (s *stream) statusIfDue(now time.Time) error {
	since := now.Sub(s.lastStatus)
	if since >= s.statusEvery || since >= tick && s.confirmable() > s.sentFlush {
		return s.status(false)
	}
	return nil
}

// confirmable is what may be confirmed: what was committed (I2), and nothing where others move the slot.
func (s *stream) confirmable() lsn {
	if s.r.o.FlushManual {
		return 0
	}
	return lsn(s.r.shared.flush.Load())
}

// status tells the server how far the stream has come, and confirms what was committed.
func (s *stream) status(reply bool) error {
	flush := s.confirmable()
	news := flush > s.sentFlush
	if news {
		failpoint.Hit("pg.confirm.before")
	}
	now := time.Now()
	u := statusUpdate{Written: max(s.received, flush), Flushed: flush, Reply: reply}
	if err := u.send(s.wire.conn, now); err != nil {
		return wrapError("acknowledge to", s.r.slotSubject(), err)
	}
	s.lastStatus, s.sentFlush = now, flush
	if news {
		failpoint.Hit("pg.confirm.after")
	}
	return nil
}

// goodbye ends the stream. After an orderly one the slot has the last confirmation and is free for the next reader.
func (s *stream) goodbye(ctx context.Context, orderly bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbyeTimeout)
	defer cancel()
	if orderly && s.status(false) == nil {
		_, _ = s.wire.conn.Write([]byte{'c', 0, 0, 0, 4}) // CopyDone
		s.discard()
	}
	_ = s.pg.Close(ctx)
}

// discard reads to the server's ReadyForQuery. A server in the middle of a large transaction does not answer in time and
// notices the closed connection instead.
func (s *stream) discard() {
	if s.wire.conn.SetReadDeadline(time.Now().Add(goodbyeTimeout)) != nil {
		return
	}
	for {
		kind, _, ok, err := s.wire.next()
		if err == nil && !ok {
			err = s.wire.fill()
		}
		if err != nil || kind == 'Z' {
			return
		}
	}
}
