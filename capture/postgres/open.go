// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/capture"
	"freshet/change"
	"freshet/schema"
	"freshet/snapshot"
)

// opening is one Open: what it was given, and what it found.
type opening struct {
	o    *options
	log  *slog.Logger
	env  capture.Env
	conn dialer

	from   position // env.From, zero where there is none
	server cluster
	types  *Registry
	tables int        // that are captured
	slot   *slotState // nil where it does not exist
	// spooled is what the spool holds behind from.
	spooled spooled
	said    []change.Notice // to begin with
	owed    *snapshot.Job   // of a snapshot that goes on, nil for none
	lost    string          // what offset.mismatch.strategy gave up, for the status; "" for nothing
}

// plan is what the snapshot mode makes of the stored position.
type plan struct {
	snapshot bool
	stream   bool
	why      string // for the log
}

// open is Connector.Open.
func (op *opening) open(ctx context.Context) (capture.Reader, error) {
	if op.env.From != "" && op.env.From != "{}" {
		var err error
		if op.from, err = parsePosition(op.env.From); err != nil {
			return nil, err
		}
	}
	conn, err := op.conn.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if inClear(conn.Conn()) {
		op.log.Warn("the connection to the source is not encrypted: everybody on the way can read the data", "server", op.o.address(),
			"next step", "set database.sslmode=verify-full and database.sslrootcert")
	}
	if op.types, err = LoadRegistry(ctx, conn); err != nil {
		return nil, wrapError("prepare", op.conn.subject(), err)
	}
	if err := op.guardrail(ctx, conn); err != nil {
		return nil, err
	}
	if !op.o.streams() {
		return op.withoutStream(), nil
	}
	if err := op.prepare(ctx, conn); err != nil {
		return nil, err
	}
	if op.server, err = lookupCluster(ctx, conn, op.conn); err != nil {
		return nil, err
	}
	if op.spooled, err = loadSpool(ctx, op.env.Spool, op.o.Database); err != nil {
		return nil, err
	}
	p, err := op.decide(ctx, conn)
	if err != nil {
		return nil, err
	}
	if err := op.dropSpool(ctx, p); err != nil {
		return nil, err
	}
	op.log.Info("starting", "snapshot", p.snapshot, "because", p.why, "slot", op.o.SlotName, "position", string(op.env.From))
	r := newReader(op.o, op.log, op.conn, op.types, op.from)
	r.spool, r.spooled = op.env.Spool, op.spooled
	if op.spooled.end == 0 && !p.snapshot && !op.o.FlushManual {
		r.witness = newWitness(op.from, op.slot)
	}
	r.cluster, r.tables = op.server, op.tables
	r.guard.lost = op.lost
	if r.senderTimeout, err = senderTimeout(ctx, conn); err != nil {
		return nil, err
	}
	var stream capture.Reader = r
	if p.snapshot {
		stream, err = op.withSnapshot(ctx, conn, r)
	} else {
		if op.owed == nil {
			op.said = append(op.said, snapshot.Skipped(op.o.TopicPrefix))
		}
		err = op.withoutSnapshot(ctx, conn)
	}
	if err != nil {
		return nil, err
	}
	reader, err := op.onDemand(stream, r)
	if err == nil {
		r.guard.start(ctx)
	}
	return reader, err
}

// onDemand lets signals ask for snapshots.
func (op *opening) onDemand(stream capture.Reader, r *Reader) (capture.Reader, error) {
	from, at := op.env.From, change.Position("")
	if from == "{}" {
		from = ""
	}
	if stream == capture.Reader(r) && from != "" && op.from != (position{}) { // else the slot's place counts
		at = op.from.Position()
	}
	q := &windows{side: side{dialer: op.conn}, types: op.types, log: op.log, recent: &r.recent, chase: r.chase, notices: op.env.Notices, clock: time.Now}
	out, err := snapshot.OnDemand(stream, q, snapshot.DemandOptions{
		Name: op.o.TopicPrefix, From: from, At: at, Rows: op.o.ChunkRows, Signals: op.env.Signals,
		File: op.o.SignalFile, Poll: op.o.SignalPoll, Notices: op.env.Notices, Said: op.said, Jobs: op.env.Jobs,
		First: op.first(), Log: op.log,
	})
	if err != nil {
		return nil, permanentf("resume", "the snapshots on demand", "correct the connector's offset: take the member freshet_snapshots out of it", "%w", err)
	}
	return out, nil
}

// prepare checks what streaming needs of the server, makes the publication, and waits for the slot to be free: before a
// row of the snapshot is read.
func (op *opening) prepare(ctx context.Context, conn *pgconn.PgConn) error {
	rows, err := query(ctx, conn, `SELECT current_setting('wal_level')`)
	if err != nil {
		return wrapError("prepare", op.conn.subject(), err)
	}
	if level := string(rows[0][0]); level != "logical" {
		return permanentf("prepare", op.conn.subject(), "ALTER SYSTEM SET wal_level = logical; then restart the server",
			"wal_level is %q, and logical replication needs \"logical\"", level)
	}
	tables, err := capturedTables(ctx, conn, op.o)
	if err != nil {
		return err
	}
	if op.tables = len(tables); op.tables == 0 {
		op.log.Warn("no table is captured: check table.include.list and schema.include.list", "database", op.o.Database)
	}
	if err := setReplicaIdentities(ctx, conn, op.o, tables, op.log); err != nil {
		return err
	}
	if err := ensurePublication(ctx, conn, op.o, tables, op.log); err != nil {
		return err
	}
	if op.slot, err = lookupSlot(ctx, conn, op.o.SlotName); err != nil || op.slot == nil {
		return err
	}
	if err := usableSlot(op.o, op.slot); err != nil {
		return err
	}
	if op.o.SlotFailover && op.slot.Failover == "false" {
		op.log.Warn("slot.failover is set, but standbys do not keep the slot: it was created without it", "slot", op.o.SlotName,
			"next step", "stop the connector and run ALTER_REPLICATION_SLOT "+schema.QuoteName(op.o.SlotName)+" (FAILOVER true) on a replication connection")
	}
	op.slot, err = waitInactive(ctx, conn, op.o, op.log)
	return err
}

// decide follows snapshot.mode, and never goes on over a gap in silence (R13).
func (op *opening) decide(ctx context.Context, conn *pgconn.PgConn) (plan, error) {
	stored := op.env.From != "" && op.env.From != "{}"
	mode, again := op.o.SnapshotMode, false
	switch mode {
	case "when_needed":
		mode, again = "initial", true
	case "configuration_based":
		mode, again = "no_data", op.o.SnapshotOnDataError
		if op.o.SnapshotData {
			mode = "initial"
		}
	}
	switch {
	case mode == "always":
		return plan{true, true, "snapshot.mode=always"}, nil
	case mode == "no_data" && op.from.unfinishedSnapshot():
		return plan{}, permanentf("resume at", strconv.Quote(string(op.env.From)), "set snapshot.mode=initial to take the snapshot again, or delete the connector's offset",
			"the stored snapshot is not finished, and snapshot.mode=%s takes none", op.o.SnapshotMode)
	case mode == "initial" && !stored:
		return plan{true, true, "there is no stored position"}, nil
	case mode == "initial" && op.from.unfinishedSnapshot():
		resumed, err := op.resume(ctx, conn)
		if err != nil || resumed {
			return plan{false, true, "the stored snapshot goes on"}, err
		}
		return plan{true, true, "the stored snapshot is not finished"}, nil
	case !stored:
		return plan{false, true, "snapshot.mode=" + op.o.SnapshotMode}, nil
	}
	gap, err := op.gap(ctx, conn)
	if err == nil {
		gap, err = op.reconcile(ctx, conn, gap)
	}
	switch {
	case err != nil:
		return plan{}, err
	case gap == nil && op.from.start() == 0:
		return plan{false, true, "the slot's position counts, as offset.mismatch.strategy wants"}, nil
	case gap == nil:
		return plan{false, true, "the stored position is on the server"}, nil
	case again:
		op.log.Warn("changes are gone from the server; the snapshot that the mode asks for is taken again", "error", gap)
		return plan{true, true, "changes are gone from the server"}, nil
	case !op.o.CheckPosition:
		op.log.Error("going on in spite of lost changes, because internal.log.position.check.enable is false", "error", gap)
		op.from = position{} // the slot's own
		return plan{false, true, "the position check is off"}, nil
	}
	return plan{}, lostError(op.o, op.env.Connector, gap)
}

// gap returns the *gapError of the stored position, nil for none.
func (op *opening) gap(ctx context.Context, conn *pgconn.PgConn) (gap, err error) {
	end, err := currentLSN(ctx, conn)
	if err != nil {
		return nil, err
	}
	if op.spooled.begin > op.from.start() { // the position was set by hand
		op.spooled = spooled{}
	}
	gap = checkCluster(op.from, op.server, end, func(timeline int64) (string, error) { return op.conn.timelineHistory(ctx, timeline) })
	var lost *gapError
	switch {
	case gap == nil:
		// A slot that was confirmed behind the position is no gap where the spool has what lies between.
		if gap = checkPosition(max(op.from.start(), op.spooled.end), op.slot, end); gap == nil {
			return checkHistory(ctx, conn, op.from, op.slot, end)
		}
	case !errors.As(gap, &lost):
		return nil, gap
	}
	return gap, nil
}

// dropSpool deletes a spool that is of no use: its snapshot is taken again, or the position lies behind it.
func (op *opening) dropSpool(ctx context.Context, p plan) error {
	if op.env.Spool == nil || !p.snapshot && op.from.start() > 0 && op.spooled.end > op.from.start() {
		return nil
	}
	op.spooled = spooled{}
	return op.env.Spool.Delete(ctx)
}

// withSnapshot puts a snapshot in front of the stream. A slot that is made now exports the state that it begins at. One
// that was there keeps what it holds until the stream has begun behind the snapshot; the Querier fixes a state of its own.
func (op *opening) withSnapshot(ctx context.Context, conn *pgconn.PgConn, stream *Reader) (capture.Reader, error) {
	if op.slot != nil && op.slot.lost() {
		op.log.Warn("dropping the slot, which has lost its log, to make it anew", "slot", op.o.SlotName)
		if err := dropSlot(ctx, conn, op.o.SlotName); err != nil {
			return nil, err
		}
		op.slot = nil
	}
	var state snapshotState
	var holder *pgconn.PgConn
	if op.slot != nil {
		state.At = op.slot.Confirmed
	} else {
		var created createdSlot
		var err error
		if created, holder, err = op.create(ctx, conn); err != nil {
			return nil, err
		}
		state = snapshotState{Exported: created.Snapshot, At: created.Point}
	}
	q := &heldCopier{copier: newCopier(op.conn, op.types, state, op.log), holder: holder, begun: stream.spoolFrom, share: func(t map[schema.ID]*schema.Table) { stream.snapshotted = t }}
	// The stream begins where the state was taken, which the Querier knows once the snapshot has begun (I7).
	stream.origin = func() (position, error) { return parsePosition(q.Position(true)) }
	return snapshot.Initial(q, stream, op.snapshotOptions()), nil
}

// slotAttempts is how often a slot is made while tables are altered.
const slotAttempts = 3

// create makes the slot on a connection of its own, which holds the exported snapshot.
//
// A server that makes a slot does not see what is altered before it has found its first state of the catalog, while it waits for
// transactions that were open: those that begin then and end when the slot is there are decoded with tables as they were, without
// a new column, or not at all (I5). So a slot is not used where the catalog has changed meanwhile.
func (op *opening) create(ctx context.Context, conn *pgconn.PgConn) (createdSlot, *pgconn.PgConn, error) {
	for attempt := 1; ; attempt++ {
		before, err := catalogVersion(ctx, conn)
		if err != nil {
			return createdSlot{}, nil, err
		}
		created, repl, err := op.createOnce(ctx)
		if err != nil {
			return createdSlot{}, nil, err
		}
		after, err := catalogVersion(ctx, conn)
		switch {
		case err == nil && before == after:
			return created, repl, nil
		case err == nil && attempt == slotAttempts:
			op.log.Warn("tables were altered while the slot was made, again and again; it is used all the same, and the server may decode "+
				"transactions that were open meanwhile wrongly", "slot", op.o.SlotName, "next step", "start the connector while no table is altered")
			return created, repl, nil
		}
		_ = repl.Close(context.WithoutCancel(ctx))
		if err == nil {
			op.log.Warn("tables were altered while the slot was made, which the server may not see; it is made again", "slot", op.o.SlotName)
			err = dropSlot(ctx, conn, op.o.SlotName)
		}
		if err != nil {
			return createdSlot{}, nil, err
		}
	}
}

func (op *opening) createOnce(ctx context.Context) (createdSlot, *pgconn.PgConn, error) {
	repl, _, err := op.conn.connectReplication(ctx)
	if err != nil {
		return createdSlot{}, nil, err
	}
	created, err := createSlot(ctx, repl, newSlot{Name: op.o.SlotName, Failover: op.o.SlotFailover}, op.log)
	if err != nil {
		_ = repl.Close(context.WithoutCancel(ctx))
		return createdSlot{}, nil, err
	}
	op.log.Info("slot created", "slot", op.o.SlotName, "at", created.Point.String())
	return created, repl, nil
}

// withoutSnapshot makes a missing slot, where no stored position depends on one.
func (op *opening) withoutSnapshot(ctx context.Context, conn *pgconn.PgConn) error {
	if op.slot != nil {
		return nil
	}
	_, repl, err := op.create(ctx, conn)
	if err != nil {
		return err
	}
	return repl.Close(ctx)
}

// withoutStream is the Reader of a connector that takes a snapshot and no more: no slot, no publication.
func (op *opening) withoutStream() capture.Reader {
	stored := op.env.From != "" && op.env.From != "{}"
	take := op.o.SnapshotMode == "initial_only" || op.o.SnapshotData
	if !take || stored && !op.from.unfinishedSnapshot() {
		op.log.Info("nothing to do: the snapshot is done, and nothing is streamed", "snapshot.mode", op.o.SnapshotMode)
		if op.env.Notices {
			return snapshot.Idle(snapshot.Skipped(op.o.TopicPrefix))
		}
		return snapshot.Idle()
	}
	return snapshot.Initial(newCopier(op.conn, op.types, snapshotState{}, op.log), nil, op.snapshotOptions())
}

func (op *opening) snapshotOptions() snapshot.Options {
	return snapshot.Options{
		Threads: op.o.SnapshotThreads, Multiplier: op.o.SnapshotMultiplier, WholeTables: op.o.LegacyThreads,
		BatchRows: op.o.MaxBatchSize, BatchBytes: batchBytes,
		Delay: op.o.SnapshotDelay, StreamDelay: op.o.StreamingDelay, Progress: op.env.Progress,
		Notices: op.env.Notices, Connector: op.o.TopicPrefix,
	}
}

// heldCopier is a Querier whose state lives as long as a connection is open.
type heldCopier struct {
	*copier
	holder *pgconn.PgConn // nil where the copier holds its state itself
	begun  func(ctx context.Context, completed position)
	share  func(map[schema.ID]*schema.Table)
}

// Tables begins the snapshot, and the stream behind it.
func (q *heldCopier) Tables(ctx context.Context) ([]snapshot.Table, error) {
	tables, err := q.copier.Tables(ctx)
	if err != nil {
		return nil, err
	}
	completed, err := parsePosition(q.Position(true))
	if err != nil {
		return nil, err
	}
	shared := make(map[schema.ID]*schema.Table, len(tables))
	for _, t := range tables {
		shared[t.ID] = t.Table
	}
	q.share(shared)
	q.begun(ctx, completed)
	return tables, nil
}

// Close ends the snapshot, then the connection that exported it.
func (q *heldCopier) Close(ctx context.Context) error {
	err := q.copier.Close(ctx)
	if q.holder != nil {
		err = errors.Join(err, q.holder.Close(ctx))
	}
	return err
}

// senderTimeout reads the server's wal_sender_timeout.
func senderTimeout(ctx context.Context, conn *pgconn.PgConn) (time.Duration, error) {
	rows, err := query(ctx, conn, `SELECT setting FROM pg_settings WHERE name = 'wal_sender_timeout'`)
	if err != nil {
		return 0, wrapError("read", "wal_sender_timeout", err)
	}
	ms, err := strconv.ParseInt(string(rows[0][0]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("wal_sender_timeout: %w", err)
	}
	return time.Duration(ms) * time.Millisecond, nil
}
