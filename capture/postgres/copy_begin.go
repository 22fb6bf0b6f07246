// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/snapshot"
)

// snapshotState says which state of the database a snapshot reads.
type snapshotState struct {
	// Exported is the snapshot that the creation of the slot exported, "" for none. The connection that created the slot
	// must stay idle until the snapshot is over, or the server forgets it.
	Exported string
	// At is the consistent point of the slot with Exported; else the position confirmed to the slot that is there, 0
	// where there is none because nothing will be streamed.
	At lsn
}

// begin decides which state is read, and opens the first transaction on it. There are three cases:
//
// The slot was just created: its exported snapshot is the state, its consistent point the position. Both fit exactly.
//
// The slot was there before: a temporary slot gives such a pair again. The log position that the server tells does not do:
// a transaction may have its commit in the log and still be invisible to a snapshot taken later, and would be lost.
//
// There is no slot, because nothing is streamed: snapshot.isolation.mode says how to read; the position is only told.
func (q *copier) begin(ctx context.Context) error {
	q.exported, q.position = q.state.Exported, position{Snapshot: "INITIAL", LSN: q.state.At}
	if q.exported == "" && q.state.At != 0 {
		if err := q.holdState(ctx); err != nil {
			return err
		}
	}
	conn, err := q.c.connect(ctx)
	if err != nil {
		return err
	}
	q.anchor = conn
	if err := q.readClock(ctx); err != nil {
		return err
	}
	if q.exported != "" {
		return q.importInto(ctx, conn)
	}
	mode := isolationClause(q.c.o.SnapshotIsolation)
	if inRecovery(conn) { // a standby has no SERIALIZABLE
		mode = isolationClause("repeatable_read")
	}
	if err := exec(ctx, conn, "BEGIN TRANSACTION ISOLATION LEVEL "+mode+"; SET LOCAL statement_timeout = 0"); err != nil {
		return wrapError("begin the snapshot on", q.c.subject(), err)
	}
	if q.c.o.SnapshotThreads == 1 {
		return nil
	}
	rows, err := query(ctx, conn, `SELECT pg_export_snapshot(), pg_current_snapshot()`)
	if err != nil {
		return wrapError("export the snapshot of", q.c.subject(), err)
	}
	q.exported, q.seen = string(rows[0][0]), string(rows[0][1])
	return nil
}

// readClock reads the time of the snapshot, a transaction id, and the place in the log where nothing gave one. It runs in
// a transaction of its own: with an id, that of the snapshot would keep others from making slots as long as it lasts.
func (q *copier) readClock(ctx context.Context) error {
	rows, err := query(ctx, q.anchor, `
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
  CASE WHEN pg_is_in_recovery() THEN NULL ELSE txid_current() END,
  CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END`)
	if err != nil {
		return wrapError("read the position of", q.c.subject(), err)
	}
	r := rows[0]
	if q.position.Micros, err = strconv.ParseInt(string(r[0]), 10, 64); err != nil {
		return fmt.Errorf("clock of the server: %w", err)
	}
	if r[1] != nil {
		if q.position.TxID, err = strconv.ParseInt(string(r[1]), 10, 64); err != nil {
			return fmt.Errorf("transaction id: %w", err)
		}
	}
	if q.position.LSN == 0 {
		q.position.LSN, err = parseLSN(r[2])
	}
	return err
}

// isolationClause is the transaction mode of snapshot.isolation.mode.
func isolationClause(mode string) string {
	if mode == "serializable" {
		return "SERIALIZABLE READ ONLY DEFERRABLE"
	}
	return strings.ToUpper(strings.ReplaceAll(mode, "_", " ")) + " READ ONLY"
}

// holdState makes a temporary slot for its consistent point and its exported snapshot. Where no slot is free, the state is
// read at the position that was confirmed to the connector's own slot: changes since then come again in the stream.
func (q *copier) holdState(ctx context.Context) error {
	conn, _, err := q.c.connectReplication(ctx)
	if err != nil {
		return err
	}
	q.holder = conn
	name := "freshet_snapshot_" + strconv.FormatUint(uint64(conn.PID()), 10)
	created, err := createSlot(ctx, conn, newSlot{Name: name, Temporary: true}, q.log)
	if sqlState(err) == "53400" {
		q.log.Info("no replication slot is free for the snapshot's state; changes that it has already come again in the stream",
			"slot", q.c.o.SlotName, "from", q.state.At.String())
		q.holder = nil
		return conn.Close(ctx)
	}
	q.exported, q.position.LSN = created.Snapshot, created.Point
	return err
}

// importing opens a connection whose transaction sees the exported snapshot.
func (q *copier) importing(ctx context.Context) (*pgconn.PgConn, error) {
	conn, err := q.c.connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := q.importInto(ctx, conn); err != nil {
		_ = conn.Close(ctx)
		return nil, err
	}
	return conn, nil
}

// importInto begins a transaction that sees the exported snapshot. It fails where the snapshot is no longer there, and
// where the transaction does not see what the first one sees: a session can never read another state.
func (q *copier) importInto(ctx context.Context, conn *pgconn.PgConn) error {
	sql := "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT " + quoteLiteral(q.exported) +
		"; SET LOCAL statement_timeout = 0"
	op := "import snapshot " + strconv.Quote(q.exported) + " on"
	if err := exec(ctx, conn, sql); err != nil {
		return wrapError(op, q.c.subject(), err)
	}
	rows, err := query(ctx, conn, `SELECT pg_current_snapshot()`)
	if err != nil {
		return wrapError(op, q.c.subject(), err)
	}
	seen := string(rows[0][0])
	if q.seen == "" {
		q.seen = seen
	}
	if seen != q.seen {
		return permanentf(op, q.c.subject(), "connect to the server directly, without a pooler or a balancer in between, or set snapshot.max.threads=1",
			"the connection sees the snapshot %s, and the first one saw %s", seen, q.seen)
	}
	return nil
}

// lock keeps the structure of the tables as it is until the snapshot is over, where snapshot.locking.mode asks for it.
func (q *copier) lock(ctx context.Context, tables []snapshot.Table) error {
	if !q.c.o.SnapshotLock || len(tables) == 0 {
		return nil
	}
	timeout := strconv.FormatInt(q.c.o.SnapshotLockTimeout.Milliseconds(), 10)
	if err := exec(ctx, q.anchor, "SET LOCAL lock_timeout = "+timeout); err != nil {
		return wrapError("set lock_timeout on", q.c.subject(), err)
	}
	for _, t := range tables {
		if err := exec(ctx, q.anchor, "LOCK TABLE "+t.ID.Quoted()+" IN ACCESS SHARE MODE"); err != nil {
			return wrapError("lock table", strconv.Quote(t.ID.String()), err)
		}
	}
	return nil
}

// orderTables follows snapshot.tables.order.by.row.count; tables of unknown size count as empty.
func orderTables(tables []*copyTable, order string) {
	direction := map[string]int{"ascending": 1, "descending": -1}[order]
	slices.SortStableFunc(tables, func(x, y *copyTable) int {
		return direction * cmp.Compare(max(x.estimated(), 0), max(y.estimated(), 0))
	})
}

// exec runs statements without a result.
func exec(ctx context.Context, conn *pgconn.PgConn, sql string) error {
	return conn.Exec(ctx, sql).Close()
}
