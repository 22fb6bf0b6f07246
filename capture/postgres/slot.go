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
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"freshet/schema"
)

// slotState is a row of pg_replication_slots, and who uses the slot now.
type slotState struct {
	Plugin, Database string
	Active           bool
	PID              string // of the walsender that uses it; its address and application_name follow
	Client, App      string
	Restart          lsn // the server keeps its log from here
	Confirmed        lsn // and sends what commits after this
	WALStatus        string
	CatalogXmin      int64
	Failover         string // true or false; "" before PostgreSQL 17
}

// lookupSlot reads the state of a slot; nil if there is none.
func lookupSlot(ctx context.Context, conn *pgconn.PgConn, name string) (*slotState, error) {
	rows, err := query(ctx, conn, `
SELECT s.plugin, s.database, s.active, s.active_pid, host(a.client_addr) || ':' || a.client_port, a.application_name,
  s.restart_lsn, s.confirmed_flush_lsn, to_jsonb(s) ->> 'wal_status', s.catalog_xmin, to_jsonb(s) ->> 'failover'
FROM pg_replication_slots s LEFT JOIN pg_stat_activity a ON a.pid = s.active_pid
WHERE s.slot_name = $1`, name)
	if err != nil || len(rows) == 0 {
		return nil, wrapError("look up", "slot "+strconv.Quote(name), err)
	}
	r := rows[0]
	s := &slotState{
		Plugin: string(r[0]), Database: string(r[1]), Active: isTrue(r[2]), PID: string(r[3]), Client: string(r[4]), App: string(r[5]),
		WALStatus: string(r[8]), Failover: string(r[10]),
	}
	if s.Restart, err = parseLSN(r[6]); err != nil {
		return nil, err
	}
	if s.Confirmed, err = parseLSN(r[7]); err != nil {
		return nil, err
	}
	if r[9] != nil {
		xmin, err := parseOID(r[9])
		if err != nil {
			return nil, fmt.Errorf("catalog_xmin of slot %q: %w", name, err)
		}
		s.CatalogXmin = int64(xmin)
	}
	return s, nil
}

// user names who holds the slot, for messages.
func (s *slotState) user() string {
	out := "PID " + s.PID
	if s.Client != "" {
		out += " from " + s.Client
	}
	if s.App != "" {
		out += " (" + s.App + ")"
	}
	return out
}

// lost says whether the server has given up what the slot stood for.
func (s *slotState) lost() bool { return s.WALStatus == "lost" || s.Restart == 0 }

// currentLSN is the end of the server's log; on a standby, of what it has received.
func currentLSN(ctx context.Context, conn *pgconn.PgConn) (lsn, error) {
	rows, err := query(ctx, conn, `SELECT CASE WHEN pg_is_in_recovery()
THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) ELSE pg_current_wal_lsn() END`)
	if err != nil {
		return 0, wrapError("read", "the end of the server's log", err)
	}
	return parseLSN(rows[0][0])
}

// oneSlotEach is the reference's advice, which people search for.
const oneSlotEach = "when setting up multiple connectors for the same database host, please make sure to use a distinct replication slot name for each."

// usableSlot refuses a slot that belongs to something else.
func usableSlot(o *options, s *slotState) error {
	subject := "slot " + strconv.Quote(o.SlotName)
	const hint = "set slot.name to a name of its own, or drop the slot if nothing uses it"
	switch {
	case s.Plugin != o.PluginName:
		return permanentf("use", subject, hint, "Creation of replication slot failed; %s replication slot %q already exists, with the plugin %q",
			oneSlotEach, o.SlotName, s.Plugin)
	case s.Database != o.Database:
		return permanentf("use", subject, hint, "Creation of replication slot failed; %s replication slot %q already exists, in the database %q",
			oneSlotEach, o.SlotName, s.Database)
	}
	return nil
}

// waitInactive waits until nobody uses the slot, for slot.max.retries times slot.retry.delay.ms in all: a walsender whose
// client is gone ends soon, another connector's does not. It asks more often at first, so that a quick restart is quick.
// nil is a slot that is gone.
func waitInactive(ctx context.Context, conn *pgconn.PgConn, o *options, log *slog.Logger) (*slotState, error) {
	until := time.Now().Add(time.Duration(max(o.SlotMaxRetries, 0)) * o.SlotRetryDelay)
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, max(o.SlotRetryDelay, 50*time.Millisecond)) {
		s, err := lookupSlot(ctx, conn, o.SlotName)
		if err != nil || s == nil || !s.Active {
			return s, err
		}
		if time.Now().After(until) {
			return s, activeError(o, fmt.Errorf("replication slot %q is active for %s", o.SlotName, s.user()))
		}
		log.Info("slot is in use, waiting for it", "slot", o.SlotName, "user", s.user(), "until", until)
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// activeError is the failure of a slot that stays in use. It is permanent: the waiting is over.
func activeError(o *options, err error) error {
	return permanentf("start replication from", "slot "+strconv.Quote(o.SlotName),
		"stop the other consumer, or give each connector its own slot.name", "Failed to start replication stream; %s %w", oneSlotEach, err)
}

// createdSlot is a new slot and the state that it begins at.
type createdSlot struct {
	Point    lsn    // every transaction that commits after it is streamed
	Snapshot string // exported: what the transactions before it left; valid while the connection is open and idle
}

// slowSlot is how long the creation of a slot may take before the log says what it waits for.
const slowSlot = 10 * time.Second

// newSlot is a slot to be created.
type newSlot struct {
	Name      string
	Temporary bool
	Failover  bool // standbys keep it; left out where the server has no such slots
}

const firstFailover = 17 // the first major version with failover slots

// createSlot creates a slot on a replication connection and exports its snapshot. The server waits for the end of all
// transactions that are open now; a standby hears of them from its primary.
func createSlot(ctx context.Context, repl *pgconn.PgConn, n newSlot, log *slog.Logger) (createdSlot, error) {
	name, standby := n.Name, inRecovery(repl)
	slow := time.AfterFunc(slowSlot, func() {
		if standby {
			log.Warn("creating the slot waits for the primary to tell of its transactions; run SELECT pg_log_standby_snapshot() there", "slot", name)
			return
		}
		log.Warn("creating the slot waits for transactions that were open before; see xact_start in pg_stat_activity", "slot", name)
	})
	defer slow.Stop()
	sql := "CREATE_REPLICATION_SLOT " + schema.QuoteName(name)
	if n.Temporary {
		sql += " TEMPORARY"
	}
	sql += " LOGICAL pgoutput"
	switch {
	case n.Failover && !standby && majorVersion(repl) >= firstFailover:
		sql += " (SNAPSHOT 'export', FAILOVER)"
	default:
		sql += " EXPORT_SNAPSHOT"
		if n.Failover {
			log.Warn("slot.failover has no effect: failover slots are created on a primary of PostgreSQL 17 or later", "slot", name,
				"server", repl.ParameterStatus("server_version"), "standby", standby)
		}
	}
	res, err := pglogrepl.ParseCreateReplicationSlot(repl.Exec(ctx, sql))
	if err != nil {
		return createdSlot{}, wrapError("create", "slot "+strconv.Quote(name), fmt.Errorf("Creation of replication slot failed: %w", err)) //nolint:staticcheck // the reference's words
	}
	point, err := parseLSN([]byte(res.ConsistentPoint))
	return createdSlot{point, res.SnapshotName}, err
}

// inRecovery says whether a connection leads to a standby, which servers tell since 14.
func inRecovery(conn *pgconn.PgConn) bool { return conn.ParameterStatus("in_hot_standby") == "on" }

// majorVersion is the server's, 0 where it is not known.
func majorVersion(conn *pgconn.PgConn) int {
	text := conn.ParameterStatus("server_version")
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	n, err := strconv.Atoi(text[:digits])
	if err != nil {
		return 0
	}
	return n
}

// dropSlot drops a slot; one that is gone is fine.
func dropSlot(ctx context.Context, conn *pgconn.PgConn, name string) error {
	_, err := query(ctx, conn, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1`, name)
	if sqlState(err) == "42704" {
		return nil
	}
	return wrapError("drop", "slot "+strconv.Quote(name), err)
}

// gapError says that changes between the stored position and what the server still has are gone (R13).
type gapError struct {
	from, to lsn // the range that is lost; to 0 is unknown
	why      string
	moved    bool // the slot is there, and was moved beyond from
}

func (e *gapError) Error() string {
	lost := fmt.Sprintf("changes from %s on may be lost", e.from)
	if e.to > e.from {
		lost = fmt.Sprintf("changes from %s to %s are lost", e.from, e.to)
	}
	return fmt.Sprintf("The connector is trying to read change stream starting at LSN{%s}, but this is no longer available on the server. "+
		"Reconfigure the connector to use a snapshot mode when needed. (%s: %s)", e.from, e.why, lost)
}

// checkPosition says whether the slot can go on at start without a gap; the error is a *gapError. That is where the stored
// position lies, or behind it the end of the spool. end is the end of the server's log.
func checkPosition(start lsn, s *slotState, end lsn) error {
	switch {
	case s == nil:
		return &gapError{from: start, to: end, why: "the slot does not exist"}
	case s.lost():
		return &gapError{from: start, to: end, why: "the server has removed log files that the slot needed: its wal_status is " + strconv.Quote(s.WALStatus)}
	case s.Restart > start:
		return &gapError{from: start, to: s.Restart, why: fmt.Sprintf("the slot begins at %s: it was created anew or advanced by somebody else", s.Restart), moved: true}
	case s.Confirmed > start:
		return &gapError{from: start, to: s.Confirmed, why: fmt.Sprintf("the slot was advanced to %s by somebody else, or the stored offset is an old one", s.Confirmed), moved: true}
	case start > end:
		return &gapError{from: end, to: start, why: fmt.Sprintf("the server's log ends at %s, before the stored position %s: this is another server, or one restored from a backup", end, start)}
	}
	return nil
}

// startReplication opens the stream at start, on a connection of its own. A slot that is still in use is waited for.
func (r *Reader) startReplication(ctx context.Context, start lsn) (*pgconn.PgConn, *wire, error) {
	for {
		if err := r.side.do(ctx, func(conn *pgconn.PgConn) error {
			s, err := waitInactive(ctx, conn, r.o, r.log)
			if err == nil && s == nil {
				err = r.streamError(start, &gapError{from: r.from.start(), to: 0, why: "the slot does not exist"})
			}
			return err
		}); err != nil {
			return nil, nil, err
		}
		pg, w, err := r.conn.connectReplication(ctx)
		if err != nil {
			return nil, nil, err
		}
		err = pglogrepl.StartReplication(ctx, pg, schema.QuoteName(r.o.SlotName), pglogrepl.LSN(start),
			pglogrepl.StartReplicationOptions{Mode: pglogrepl.LogicalReplication, PluginArgs: append([]string{
				"proto_version '1'", "publication_names " + quoteLiteral(schema.QuoteName(r.o.Publication)), "messages 'true'",
			}, r.o.StreamParams...)})
		if err == nil {
			return pg, w, nil
		}
		_ = pg.Close(ctx)
		if sqlState(err) != "55006" && !gone(err, r.o.SlotName) { // taken, or dropped, between the look and the start: look again
			return nil, nil, r.streamError(start, err)
		}
	}
}

// streamError words an error of the stream that was begun at start. Those that say that the log is gone are gaps.
func (r *Reader) streamError(start lsn, err error) error {
	var gap *gapError
	switch {
	case errors.As(err, &gap):
	case sqlState(err) == "58P01", sqlState(err) == "55000", sqlState(err) == "42704" && gone(err, r.o.SlotName):
		err = fmt.Errorf("%w: %w", &gapError{from: r.from.start(), to: 0, why: "the slot can no longer be read"}, err)
	case mayRepeat(err):
		return r.undecodable(start, err)
	default:
		return wrapError("stream from", r.slotSubject(), err)
	}
	return &Error{Op: "stream from", Subject: r.slotSubject(), Err: err, Hint: lostHint(r.o, r.conn.name), permanent: true}
}

// undecodable is the error of a server that may not be able to decode its log behind start: then it says so each time.
func (r *Reader) undecodable(start lsn, err error) error {
	err = wrapError("stream from", r.slotSubject(), err)
	var e *Error
	if errors.As(err, &e) && !e.permanent {
		e.repeats = fmt.Sprintf("%s %s %v", r.from.Position(), start, e.Err)
		e.Hint = cmp.Or(e.Hint, "if this comes back, the server cannot decode its log here, as where tables were altered or truncated while the "+
			"slot was made. To read all tables again: stop the connector, SELECT pg_drop_replication_slot("+quoteLiteral(r.o.SlotName)+
			"), set snapshot.mode=when_needed, and resume it. "+repairHint(r.o, r.conn.name))
	}
	return err
}

// another words the error of a witness.
func (r *Reader) another(err error) error {
	if err == nil {
		return nil
	}
	return lostError(r.o, r.conn.name, err)
}

// notice takes a notice of the stream. Since 18 a publication that does not exist is one, and the changes that it would have
// published are left out; before it was an error, and so it is here (I5).
func (r *Reader) notice(n *pgproto3.ErrorResponse) error {
	if n.Code == "55000" && n.Routine == "LoadPublications" {
		return permanentf("stream from", r.slotSubject(), "check publication.name, and create the publication; what was changed while there was none is not in the stream",
			"publication %q does not exist: %s", r.o.Publication, n.Message)
	}
	r.log.Info("notice of the server", "slot", r.o.SlotName, "severity", n.Severity, "code", n.Code, "message", n.Message)
	return nil
}

// gone says whether an undefined object is the slot, rather than the publication.
func gone(err error, slot string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Message == fmt.Sprintf("replication slot %q does not exist", slot)
}
