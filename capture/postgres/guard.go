// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/capture"
)

const (
	// guardPatience bounds one look: a frozen server does not answer, and the next look opens a connection of its own.
	guardPatience = 8 * time.Second
	// guardReminder is how long the guard keeps silent about what it has warned of.
	guardReminder = 10 * time.Minute
	// guardSmoothing is the weight of the newest look in the rate.
	guardSmoothing = 0.2
)

// guard looks at the slot every few seconds, on a connection of its own: it goes on while the stream waits for a slow
// consumer, and can hold up nothing. It warns before the slot is lost, and fails the Reader once it is: where changes are
// gone, trying again for ever would be silence (R13).
type guard struct {
	r    *Reader
	o    guardOptions
	log  *slog.Logger
	side side // of the goroutine, and of close after it

	cancel  context.CancelFunc
	done    chan struct{} // closed when the goroutine has ended
	failing sync.Once
	failed  chan struct{} // closed after err is set
	err     error

	// What follows belongs to the goroutine.
	lost   string         // what the status says of changes that were given up at the start, "" for none
	known  *pgconn.PgConn // leads to the server that the Reader was opened on
	faults int            // looks in a row that found changes gone
	blind  bool           // the last look failed, and was told
	warned time.Time      // of the last warning; zero where all is well
	safe   int64          // of the look before, -1 for none
	at     time.Time      // of the look before
	wrote  time.Time      // the last logical message
	mute   bool           // the last one failed, and was told
	rate   float64        // bytes of safe_wal_size that go in a second

	mu    sync.Mutex // guards what follows
	state *capture.SlotState
	sent  lsn // the walsender has worked through the log up to here; 0 is unknown
	// ending says why the server cannot go on before the replication connection ends, "" where nothing waits for that; since is
	// when that was seen first.
	ending string
	since  time.Time
}

func newGuard(r *Reader) *guard {
	return &guard{
		r: r, o: r.o.Guard, log: r.log, side: side{dialer: r.conn}, safe: -1,
		done: make(chan struct{}), failed: make(chan struct{}),
	}
}

// start begins to look. close ends the goroutine.
func (g *guard) start(ctx context.Context) {
	if g.o.Interval <= 0 || g.cancel != nil {
		return
	}
	ctx, g.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go func() { // close waits for done
		defer close(g.done)
		g.run(ctx)
	}()
}

func (g *guard) close(ctx context.Context) error {
	if g.cancel == nil {
		return nil
	}
	g.cancel()
	<-g.done // at once: every question ends with the context
	return g.side.close(ctx)
}

func (g *guard) run(ctx context.Context) {
	for {
		seen, err := g.look(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			g.cannotLook(err)
			if strings.HasPrefix(sqlState(err), "57P") {
				g.ends("the server shuts down")
			}
		default:
			g.ends(seen.ending())
			g.blind = false
			if err := g.judge(seen); err != nil {
				g.fail(err)
				return
			}
			g.write(ctx)
		}
		if pause(ctx, g.o.Interval) != nil {
			return
		}
	}
}

// fail fails the Reader, also while a snapshot in front of it is read. The first error counts.
func (g *guard) fail(err error) {
	g.failing.Do(func() {
		g.err = err
		close(g.failed)
	})
}

// The server waits for the end of a walsender, in the middle of a checkpoint too, and that waits for its client: to send its
// last words where it was told to end, or what is left where the server shuts down. As the client may have no room for them, it
// has to let go: nothing is lost by it that was not lost before, as nothing was confirmed.

// goodbyePatience is how long a server that shuts down waits for a client that is slow.
const goodbyePatience = 10 * time.Second

// ends notes why the server waits for the end of the replication connection, "" for nothing.
func (g *guard) ends(why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ending = why; why == "" {
		g.since = time.Time{}
	} else if g.since.IsZero() {
		g.since = time.Now()
	}
}

// ended is an error once the replication connection has to be given up. unread says that nobody reads it.
func (g *guard) ended(unread bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.ending == "", g.ending != lastWords && time.Since(g.since) < goodbyePatience, g.ending == lastWords && !unread:
		return nil
	}
	return fmt.Errorf("the connection is given up: %s, and waits for it, and what was read cannot be written yet", g.ending)
}

// lastWords is a walsender that was told to end.
const lastWords = "the server ends its process"

// ending says why the server waits for the end of the replication connection. A walsender at work waits for room in its socket
// as WalSenderWriteData; as ClientWrite only with the error that it ends with.
func (s *sighting) ending() string {
	if s.event == "ClientWrite" {
		return lastWords
	}
	return ""
}

// write writes a logical message when one is due. The decoder leaves it out, and the position moves behind it.
func (g *guard) write(ctx context.Context) {
	now := time.Now()
	if g.o.Message <= 0 || now.Sub(g.wrote) < g.o.Message {
		return
	}
	g.wrote = now
	ctx, cancel := context.WithTimeout(ctx, guardPatience)
	defer cancel()
	err := g.side.do(ctx, func(conn *pgconn.PgConn) error {
		_, err := query(ctx, conn, `SELECT pg_logical_emit_message(false, $1, '')`, internalPrefix)
		return err
	})
	if err != nil && ctx.Err() == nil && !g.mute {
		g.log.Warn("the message of slot.message.interval.ms cannot be written", "slot", g.r.o.SlotName, "error", err)
	}
	g.mute = err != nil
}

// cannotLook tells once that the guard sees nothing. What the stream sees decides then.
func (g *guard) cannotLook(err error) {
	level := slog.LevelDebug
	if !g.blind {
		level = slog.LevelWarn
	}
	g.blind = true
	g.log.Log(context.Background(), level, "the state of the slot cannot be read now", "slot", g.r.o.SlotName, "error", err)
}

// sighting is what one look found.
type sighting struct {
	slot    *slotState // nil where there is none
	reason  string     // why the slot is invalid, where the version tells
	safe    int64      // safe_wal_size, -1 for none
	max     int64      // max_slot_wal_keep_size in bytes, -1 for none
	sent    lsn
	end     lsn
	event   string // what the walsender waits for
	cluster cluster
	at      time.Time
}

// look asks the server.
func (g *guard) look(ctx context.Context) (seen sighting, err error) {
	ctx, cancel := context.WithTimeout(ctx, guardPatience)
	defer cancel()
	err = g.side.do(ctx, func(conn *pgconn.PgConn) error {
		if seen.slot, err = lookupSlot(ctx, conn, g.r.o.SlotName); err != nil {
			return err
		}
		if seen.end, err = currentLSN(ctx, conn); err != nil {
			return err
		}
		if g.known != conn { // a connection stays with its server
			if seen.cluster, err = lookupCluster(ctx, conn, g.r.conn); err != nil {
				return err
			}
			if seen.cluster.System == g.r.cluster.System {
				g.known = conn
			}
		}
		return seen.details(ctx, conn, g.r.o.SlotName)
	})
	seen.at = time.Now()
	return seen, err
}

// details reads what not every version and not every role can see.
func (s *sighting) details(ctx context.Context, conn *pgconn.PgConn, slot string) error {
	rows, err := query(ctx, conn, `
SELECT to_jsonb(s) ->> 'invalidation_reason', to_jsonb(s) ->> 'conflicting', to_jsonb(s) ->> 'safe_wal_size',
  (SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size'), r.sent_lsn, a.wait_event
FROM pg_replication_slots s LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid
  LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
WHERE s.slot_name = $1`, slot)
	if err != nil {
		return wrapError("look at", "slot "+strconv.Quote(slot), err)
	}
	s.safe, s.max = -1, -1
	if len(rows) == 0 {
		return nil
	}
	r := rows[0]
	if s.reason = string(r[0]); s.reason == "" && string(r[1]) == "true" {
		s.reason = "conflict with recovery"
	}
	if r[2] != nil {
		if s.safe, err = strconv.ParseInt(string(r[2]), 10, 64); err != nil {
			return fmt.Errorf("safe_wal_size: %w", err)
		}
		s.safe = max(s.safe, 0)
	}
	if megabytes, err := strconv.ParseInt(string(r[3]), 10, 64); err == nil && megabytes >= 0 {
		s.max = megabytes << 20
	}
	s.event = string(r[5])
	s.sent, err = parseLSN(r[4])
	return err
}

// judge keeps what was seen, warns, and returns an error once changes are gone. One look is not believed: a server that
// takes over may not have its slots yet.
func (g *guard) judge(seen sighting) error {
	g.r.shared.end.Store(uint64(seen.end))
	if gap := g.gap(seen); gap != nil {
		g.faults++
		if g.faults < 2 {
			g.log.Warn("changes seem to be gone from the server; looking again", "slot", g.r.o.SlotName, "error", gap)
			return nil
		}
		return lostError(g.r.o, g.r.conn.name, gap)
	}
	g.faults = 0
	state := g.describe(seen)
	state.Warning = g.warning(state)
	g.tell(state, seen.at)
	state.Warning = cmp.Or(state.Warning, g.lost)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state, g.sent = state, seen.sent
	return nil
}

// gap is the *gapError of what is not on the server any more, nil for none.
func (g *guard) gap(seen sighting) error {
	// After the look: the slot cannot have been told more than this.
	at := position{Proc: max(lsn(g.r.shared.flush.Load()), lsn(g.r.began.Load()))}
	if at.Proc == 0 {
		at.Proc = seen.end // nothing was read yet, and nothing can be missing but the slot
		if seen.slot != nil {
			at.Proc = max(seen.slot.Restart, seen.slot.Confirmed)
		}
	}
	if g.r.cluster.System != 0 && seen.cluster.System != 0 && g.r.cluster.System != seen.cluster.System {
		at.System = g.r.cluster.System
		return checkCluster(at, seen.cluster, seen.end, nil)
	}
	if seen.slot != nil && seen.reason != "" {
		return &gapError{from: at.start(), to: seen.end, why: "the server has invalidated the slot: " + seen.reason}
	}
	if seen.slot != nil && seen.slot.Active {
		seen.end = max(seen.end, at.Proc) // a standby's own log may end before what it streams
	}
	return checkPosition(at.Proc, seen.slot, seen.end)
}

// describe makes the state that is shown.
func (g *guard) describe(seen sighting) *capture.SlotState {
	s := seen.slot
	state := &capture.SlotState{
		Name: g.r.o.SlotName, Status: s.WALStatus, Active: s.Active, Confirmed: s.Confirmed.String(), Restart: s.Restart.String(),
		End: seen.end.String(), Retained: distance(uint64(s.Restart), uint64(seen.end)), Safe: seen.safe, Max: seen.max,
		HoursLeft: g.forecast(seen), Timeline: g.r.cluster.Timeline,
	}
	if g.r.cluster.System != 0 {
		state.System = strconv.FormatInt(g.r.cluster.System, 10)
	}
	return state
}

// forecast is the number of hours until safe_wal_size is used up at the present rate, -1 where it does not shrink.
func (g *guard) forecast(seen sighting) float64 {
	defer func() { g.safe, g.at = seen.safe, seen.at }()
	if seen.safe < 0 {
		return -1
	}
	if seconds := seen.at.Sub(g.at).Seconds(); g.safe >= 0 && seconds > 0 {
		now := float64(g.safe-seen.safe) / seconds
		g.rate += guardSmoothing * (now - g.rate)
	}
	if g.rate <= 0 {
		return -1
	}
	return float64(seen.safe) / g.rate / 3600
}

// warning says what is below a threshold, "" for nothing.
func (g *guard) warning(s *capture.SlotState) string {
	switch {
	case s.Status == "unreserved":
		return "the server may remove log files that the slot needs at its next checkpoint"
	case s.Safe >= 0 && s.Max > 0 && float64(s.Safe) < float64(s.Max)*float64(g.o.SafePercent)/100:
		return fmt.Sprintf("only %d of %d bytes of max_slot_wal_keep_size are left", s.Safe, s.Max)
	case s.HoursLeft >= 0 && s.HoursLeft < float64(g.o.Hours):
		return fmt.Sprintf("the slot is lost in %.1f hours at the present rate", s.HoursLeft)
	case g.o.Retained > 0 && s.Retained > g.o.Retained:
		return fmt.Sprintf("the server keeps %d bytes of its log for the slot", s.Retained)
	}
	return ""
}

// tell logs a warning, not more than once in a while, and that it is over.
func (g *guard) tell(s *capture.SlotState, now time.Time) {
	switch {
	case s.Warning == "" && !g.warned.IsZero():
		g.warned = time.Time{}
		g.log.Info("the slot is well again", "slot", s.Name, "retained_bytes", s.Retained, "safe_wal_bytes", s.Safe)
	case s.Warning != "" && (g.warned.IsZero() || now.Sub(g.warned) >= guardReminder):
		g.warned = now
		g.log.Warn("the slot is in danger", "slot", s.Name, "cause", s.Warning, "wal_status", s.Status, "retained_bytes", s.Retained,
			"safe_wal_bytes", s.Safe, "hours_left", s.HoursLeft, "next step", "see that the connector keeps up, or raise max_slot_wal_keep_size")
	}
}

// seen is what the last look found, nil and 0 before the first.
func (g *guard) seen() (*capture.SlotState, lsn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state, g.sent
}

// lostError is the failure of a connector whose changes are gone from the server: it names the range and the way back.
func lostError(o *options, connector string, gap error) error {
	var g *gapError
	if !errors.As(gap, &g) {
		return gap
	}
	return &Error{
		Op: "stream from", Subject: "slot " + strconv.Quote(o.SlotName), Err: g, permanent: true,
		Hint: lostHint(o, connector),
	}
}

// lostHint is the way back where changes are gone.
func lostHint(o *options, connector string) string {
	return "set snapshot.mode=when_needed to read all tables again. " + repairHint(o, connector)
}

// repairHint is how to read only the tables again that lack changes.
func repairHint(o *options, connector string) string {
	return "Or, to repair only what is lost: stop the connector, DELETE /connectors/" + connector +
		"/offsets, SELECT pg_drop_replication_slot(" + quoteLiteral(o.SlotName) + "), set snapshot.mode=no_data, resume it, and " +
		`POST /connectors/` + connector + `/snapshots {"data-collections": ["schema.table"]} for the tables that changed meanwhile`
}

// Observe is what the stream and the guard know. See capture.Observer.
func (r *Reader) Observe() capture.Observation {
	o := capture.Observation{
		Phase: "streaming", Connected: r.streaming.Load(), Asked: r.asking.Load(),
		Received: r.shared.read.Load(), Tables: r.tables, Transactions: r.recent.count(),
	}
	o.Unread, o.Undurable = r.Lag()
	var sent lsn
	o.Slot, sent = r.guard.seen()
	o.Sent = uint64(sent)
	return o
}
