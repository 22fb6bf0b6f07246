// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/capture"
	"freshet/change"
	"freshet/internal/failpoint"
	"freshet/schema"
)

// Reader streams the changes of one slot. The replication connection is opened by the first Next, when a snapshot in
// front of it has been read. See stream for the goroutine behind it.
type Reader struct {
	o    *options
	log  *slog.Logger
	conn dialer
	side side // used by the stream's goroutine, and by Close after it

	guard   *guard
	cluster cluster // that was found when the Reader was opened
	tables  int     // captured then

	beating sync.Mutex // guards beats
	beats   side       // used by Beat, and by Close after it
	again   rereads    // used by Next, and by Close after it

	// from is where to begin; witness looks at what the slot has before it, nil for nothing.
	from    position
	witness *witness
	types   *Registry
	// senderTimeout is the server's wal_sender_timeout, 0 for none.
	senderTimeout time.Duration

	// spool is where the stream goes during a snapshot, nil for nowhere; spooled is what it holds that comes before the
	// stream.
	spool    *capture.Spool
	spooled  spooled
	spooling bool          // the goroutine runs, and Next was not called yet
	spoolEnd atomic.Uint64 // once behind the spool, it is deleted; 0 for none
	replayed atomic.Bool   // all of the spool was decoded
	starting sync.Mutex    // guards stopped, and the start of spooling against Close
	stopped  bool

	origin func() (position, error) // asked for from when the first Next comes; nil where from is known before
	// snapshotted are the tables that the snapshot in front emits, for the first stream.
	snapshotted map[schema.ID]*schema.Table
	cancel      context.CancelFunc   // of the goroutine; nil before the first Next
	wired       atomic.Pointer[wire] // of the stream, for wake
	shared      shared
	recent      recentXIDs // whose ends the stream has brought
	closed      sync.Once

	asking    atomic.Bool   // Next waits
	streaming atomic.Bool   // the stream is open
	began     atomic.Uint64 // where it began
	most      atomic.Uint64 // start of the last position handed out
	// given and committed are the last positions handed out and taken back, for slot.drop.on.stop. mu guards them.
	mu               sync.Mutex
	given, committed change.Position
}

var (
	_ capture.Reader = (*Reader)(nil)
	_ capture.Lagger = (*Reader)(nil)

	_ capture.Observer = (*Reader)(nil)
	_ capture.Failing  = (*Reader)(nil)
)

func newReader(o *options, log *slog.Logger, c dialer, types *Registry, from position) *Reader {
	r := &Reader{
		o: o, log: log, conn: c, side: side{dialer: c}, beats: side{dialer: c}, from: from, types: types,
		again: rereads{side: side{dialer: c}, said: map[schema.ID]bool{}},
	}
	r.shared.renew()
	r.guard = newGuard(r)
	return r
}

// Next hands over what has come. See capture.Reader.
func (r *Reader) Next(ctx context.Context, b *change.Batch) error {
	if len(r.again.todo) > 0 {
		return r.resume(ctx, b)
	}
	if r.spooling {
		if err := r.live(ctx); err != nil {
			return err
		}
	}
	if r.cancel == nil {
		if err := r.start(ctx); err != nil {
			return err
		}
	}
	select {
	case p := <-r.shared.out:
		return r.take(ctx, b, p)
	default:
	}
	r.asking.Store(true)
	defer r.asking.Store(false)
	select {
	case p := <-r.shared.out:
		return r.take(ctx, b, p)
	case <-ctx.Done():
		return ctx.Err()
	case <-r.guard.failed:
		return r.Failure()
	case <-r.shared.done:
	}
	select {
	case p := <-r.shared.out:
		return r.take(ctx, b, p)
	default:
		if r.shared.err == nil {
			return errors.New("read changes: the reader is closed")
		}
		return r.o.pass(r.shared.err)
	}
}

// Failed is closed once changes are gone, or the stream that spools cannot go on. See capture.Failing.
func (r *Reader) Failed() <-chan struct{} { return r.guard.failed }

// Failure is why.
func (r *Reader) Failure() error { return r.o.pass(r.guard.err) }

// take swaps the contents of the two batches, so that nothing is copied, and gives the empty one back. Then it reads what
// the batch lacks.
func (r *Reader) take(ctx context.Context, b *change.Batch, p parcel) error {
	*b, *p.batch = *p.batch, *b
	b.End = p.pos.Position()
	p.batch.Reset()
	r.shared.free <- p.batch
	r.most.Store(max(r.most.Load(), uint64(p.pos.start())))
	r.mu.Lock()
	r.given = b.End
	r.mu.Unlock()
	return r.complete(ctx, b, p.rereads)
}

// Commit lets the server release its log up to p. The stream tells it within a second. See capture.Reader.
func (r *Reader) Commit(ctx context.Context, p change.Position) error {
	pos, err := parsePosition(p)
	if err != nil {
		return err
	}
	if most := r.most.Load(); most != 0 && uint64(pos.start()) > most {
		return &capture.InvariantError{Rule: "I2", Detail: fmt.Sprintf("%s is to be confirmed, but only %s was handed out", pos.start(), lsn(most))}
	}
	if pos.inTransaction() {
		failpoint.Hit("pg.transaction.durable")
	}
	r.shared.confirm(pos.start())
	r.tidySpool(ctx, pos.start())
	r.mu.Lock()
	r.committed = p
	r.mu.Unlock()
	return nil
}

// chase makes the stream hand over a position as soon as it has come to a place in the log, also where the server is idle.
func (r *Reader) chase(l lsn) {
	r.shared.goal.Store(uint64(l))
	r.wake()
}

// wake interrupts the stream's read, if there is one. Of two streams in a row the second looks at what the first was woken
// for before it reads.
func (r *Reader) wake() {
	if w := r.wired.Load(); w != nil {
		_ = w.conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// Lag is how far the stream is behind the server's log. See capture.Lagger.
func (r *Reader) Lag() (unread, undurable int64) {
	r.shared.lagAsked.Store(true)
	read, end, flush := r.shared.read.Load(), r.shared.end.Load(), r.shared.flush.Load()
	if end == 0 || read == 0 {
		return -1, -1
	}
	return distance(read, end), distance(flush, max(read, end))
}

func distance(from, to uint64) int64 {
	if from >= to {
		return 0
	}
	return int64(to - from)
}

// Close ends the stream. What was committed is confirmed to the server on the way out.
func (r *Reader) Close(ctx context.Context) (err error) {
	r.closed.Do(func() { err = r.close(ctx) })
	return err
}

func (r *Reader) close(ctx context.Context) error {
	r.starting.Lock()
	r.stopped = true
	streaming := r.cancel != nil
	r.starting.Unlock()
	if streaming {
		close(r.shared.stop)
		r.wake()
		select {
		case <-r.shared.done:
		case <-ctx.Done():
			r.cancel()
			<-r.shared.done
		}
		r.cancel()
	}
	var errs []error
	if streaming && !r.spooling && r.o.SlotDropOnStop {
		errs = append(errs, r.dropOnStop(ctx))
	}
	r.beating.Lock()
	defer r.beating.Unlock()
	errs = append(errs, r.guard.close(ctx))
	if r.again.failed > 0 {
		r.log.Warn("rows could not be read again", "rows", r.again.failed)
	}
	return errors.Join(append(errs, r.side.close(ctx), r.beats.close(ctx), r.again.close(ctx))...)
}

// dropOnStop drops the slot after an orderly stop. A stop after an error, or with changes that are not durable yet, keeps
// it: they are still to come.
func (r *Reader) dropOnStop(ctx context.Context) error {
	if !r.orderly() {
		r.log.Warn("slot is kept in spite of slot.drop.on.stop: changes read from it are not durable yet", "slot", r.o.SlotName)
		return nil
	}
	err := r.side.do(ctx, func(conn *pgconn.PgConn) error { return dropSlot(ctx, conn, r.o.SlotName) })
	if err == nil {
		r.log.Warn("slot dropped because of slot.drop.on.stop: changes from now on are lost", "slot", r.o.SlotName)
	}
	return err
}

// orderly says whether the stream ended without an error and all that it brought is durable.
func (r *Reader) orderly() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.shared.err == nil && (r.given == "" || r.given == r.committed)
}

// start opens the replication connection and begins to stream.
func (r *Reader) start(ctx context.Context) error {
	if r.origin != nil {
		from, err := r.origin()
		if err != nil {
			return err
		}
		r.from, r.origin = from, nil
	}
	return r.begin(ctx, func(s *stream) {
		s.behind = r.spooled
		r.log.Info("streaming", "slot", r.o.SlotName, "publication", r.o.Publication, "from", s.received.String())
	})
}

// begin opens the replication connection at the end of the spool, or at from without one, and starts the goroutine that
// reads it, after prepare.
func (r *Reader) begin(ctx context.Context, prepare func(*stream)) error {
	start := max(r.from.start(), r.spooled.end)
	r.from.System, r.from.Timeline = r.cluster.System, r.cluster.Timeline
	r.began.Store(uint64(start))
	at := start
	if r.witness != nil {
		at = 0 // the slot's own place
	}
	s, err := r.newStream(ctx, at)
	if err != nil {
		return err
	}
	s.witness, s.received = r.witness, start
	prepare(s)
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.cancel = cancel
	go s.run(run) // Close waits for shared.done
	return nil
}

// newStream opens the replication connection at start.
func (r *Reader) newStream(ctx context.Context, start lsn) (*stream, error) {
	pg, w, err := r.startReplication(ctx, start)
	if err != nil {
		return nil, err
	}
	every := max(r.o.StatusInterval, 10*time.Millisecond)
	silence := max(r.senderTimeout, every)
	if r.senderTimeout > 0 {
		every = min(every, r.senderTimeout/3)
	} else {
		silence = max(silence, time.Minute)
	}
	now := time.Now()
	s := &stream{
		r: r, pg: pg, wire: w, batch: new(change.Batch), statusEvery: every, silence: 2 * silence,
		lastStatus: now, lastByte: now, lastGiven: now, received: start,
		start: start,
	}
	s.dec = newDecoder(r.o, r.log, r.types, r.from)
	s.dec.snapshotted, r.snapshotted = r.snapshotted, nil
	view := &catalogView{o: r.o, log: r.log}
	s.view = view
	s.dec.lookup = func(ctx context.Context, oid uint32) (t *catalogTable, err error) {
		xid := s.dec.tx.XID
		if t := view.known(xid, oid); t != nil {
			return t, nil
		}
		err = s.await(ctx, func(ctx context.Context) error {
			return r.side.do(ctx, func(conn *pgconn.PgConn) (err error) {
				t, err = view.ask(ctx, conn, xid, oid)
				return err
			})
		})
		return t, err
	}
	s.dec.committed = r.recent.add
	s.dec.refresh = func(ctx context.Context) error {
		return s.await(ctx, func(ctx context.Context) error {
			return r.side.do(ctx, func(conn *pgconn.PgConn) error { return r.types.Refresh(ctx, conn) })
		})
	}
	r.wired.Store(w)
	r.guard.ends("") // what was seen was of the connection before
	r.streaming.Store(true)
	return s, nil
}

// slotXmin reads the slot's catalog_xmin.
func (r *Reader) slotXmin(ctx context.Context) (xmin int64, err error) {
	err = r.side.do(ctx, func(conn *pgconn.PgConn) error {
		s, err := lookupSlot(ctx, conn, r.o.SlotName)
		if err == nil && s != nil {
			xmin = s.CatalogXmin
		}
		return err
	})
	return xmin, err
}

// logEnd reads the end of the server's log.
func (r *Reader) logEnd(ctx context.Context) (end lsn, err error) {
	err = r.side.do(ctx, func(conn *pgconn.PgConn) (err error) {
		end, err = currentLSN(ctx, conn)
		return err
	})
	return end, err
}

// side is an ordinary connection for questions beside the stream. It is opened when needed and again when it was lost.
// Not safe for concurrent use.
type side struct {
	dialer
	conn *pgconn.PgConn
}

// do runs f, a second time where the connection turned out to be lost: it may have been idle for days.
func (s *side) do(ctx context.Context, f func(*pgconn.PgConn) error) error {
	fresh := false
	for {
		if s.conn == nil || s.conn.IsClosed() {
			conn, err := s.connect(ctx)
			if err != nil {
				return err
			}
			s.conn, fresh = conn, true
		}
		err := f(s.conn)
		if err == nil || fresh || !s.conn.IsClosed() || ctx.Err() != nil || serverSilent(err) {
			return err
		}
	}
}

func (s *side) close(ctx context.Context) error {
	if s.conn == nil {
		return nil
	}
	if err := s.conn.Close(ctx); err != nil {
		return fmt.Errorf("close the connection to %s: %w", s.subject(), err)
	}
	return nil
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
