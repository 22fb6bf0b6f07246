// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
)

// A server that was put back to an older copy of its files has the same system identifier and timeline. Once its log has grown
// beyond the stored position, the position looks like any other, and what lies at it is another history. What contradicts it is
// the last transaction that the position knows: its number, its time and the place of its commit.

const anotherHistory = ", so this is another history: the server, or its files, were restored from a backup"

// streamedXID is the number of the last transaction that came over the stream; 0 where the position knows none. Only such one is
// certain to be in the server's log: that of a snapshot may be gone after a crash. Offsets of Debezium mean other things by it.
func (p position) streamedXID() uint32 {
	if p.System == 0 || p.Commit == 0 && !p.inTransaction() {
		return 0
	}
	return uint32(p.TxID)
}

// checkHistory says whether the server knows the transaction of a position: its number was given, and, where the server keeps
// the times of commits, it has its time. The error is a *gapError where it does not. A standby cannot be asked.
func checkHistory(ctx context.Context, conn *pgconn.PgConn, from position, slot *slotState, end lsn) (gap, err error) {
	xid := from.streamedXID()
	if xid == 0 || slot == nil || inRecovery(conn) {
		return nil, nil
	}
	another := func(format string, args ...any) *gapError {
		return &gapError{from: slot.Confirmed, to: max(from.start(), end), why: fmt.Sprintf(format, args...) + anotherHistory}
	}
	// A number is taken: one that is in use, and whose commit is in the log and waits for a standby, is in no snapshot.
	rows, err := query(ctx, conn, `SELECT pg_current_xact_id()::text::numeric % 4294967296, current_setting('track_commit_timestamp')`)
	if err != nil {
		return nil, wrapError("read", "the transaction numbers of the server", err)
	}
	next, err := strconv.ParseUint(string(rows[0][0]), 10, 32)
	if err != nil {
		return nil, fmt.Errorf("number of the next transaction: %w", err)
	}
	if int32(xid-uint32(next)) >= 0 { // as the server compares them
		return another("the position knows transaction %d, and the server has only come to %d", xid, next), nil
	}
	if string(rows[0][1]) != "on" || from.Micros == 0 {
		return nil, nil
	}
	rows, err = query(ctx, conn, `SELECT (extract(epoch FROM pg_xact_commit_timestamp($1::xid)) * 1000000)::bigint`, strconv.FormatUint(uint64(xid), 10))
	if err != nil {
		return nil, wrapError("read", "the time of transaction "+strconv.FormatUint(uint64(xid), 10), err)
	}
	at, err := strconv.ParseInt(string(rows[0][0]), 10, 64)
	if err != nil || at == from.Micros { // NULL: it has forgotten it
		return nil, nil //nolint:nilerr // see above
	}
	return another("transaction %d was committed at %d µs where the position was taken, and at %d µs on the server", xid, from.Micros, at), nil
}

// passer passes over messages that lie before a position, as the server would.
type passer struct {
	start lsn
	skip  bool // the transaction that is open
}

// passes says whether a message lies before the position. Relations never do: they are described once for all that follows.
func (p *passer) passes(at lsn, data []byte) bool {
	c := &cursor{p: data}
	switch kind := c.byte(); kind {
	case msgBegin:
		p.skip = parseBegin(c).Final < p.start
	case msgCommit:
		skip := p.skip
		p.skip = false
		return skip
	case msgMessage:
		return p.skip || c.byte()&1 == 0 && at < p.start
	case msgRelation, msgType:
		return false
	}
	return p.skip
}

// witness looks at transactions before the stored position. Where the slot was confirmed less than that (the connector or the
// server crashed), the stream is begun at the slot's place: what lies between comes again, is passed over, and must agree with
// what the position knows. It costs the server nothing: it decodes that part in any case.
type witness struct {
	passer
	from position
	slot lsn    // where it begins
	xid  uint32 // of the transaction that is open
}

// mostWitnessed is how much of the log may come again for it.
const mostWitnessed = 1 << 30

// newWitness makes the witness of a position; nil where the slot has nothing to tell, or too much.
func newWitness(from position, slot *slotState) *witness {
	if slot == nil || from.streamedXID() == 0 || slot.Confirmed >= from.Commit || from.Commit-slot.Confirmed > mostWitnessed {
		return nil
	}
	return &witness{passer: passer{start: from.start()}, from: from, slot: slot.Confirmed}
}

// take looks at a message, and says whether it lies before the position. The error is a *gapError where it contradicts it.
func (w *witness) take(at lsn, data []byte) (pass bool, err error) {
	commit, whole := w.from.Commit, w.from.Type == typeCommit
	c := &cursor{p: data}
	switch c.byte() {
	case msgBegin:
		m := parseBegin(c)
		if w.xid = m.XID; whole && m.XID == uint32(w.from.TxID) && m.Final >= commit {
			return false, w.another("transaction %d was committed before %s where the position was taken, and at %s on the server", m.XID, commit, m.Final)
		}
	case msgCommit:
		m := parseCommit(c)
		known := whole && w.xid == uint32(w.from.TxID)
		if known != (whole && m.End == commit) || m.LSN < commit && commit < m.End {
			return false, w.another("the commit of transaction %d ended at %s where the position was taken, and that of %d goes from %s to %s on the server",
				w.from.TxID, commit, w.xid, m.LSN, m.End)
		}
	}
	return w.passes(at, data), nil
}

func (w *witness) another(format string, args ...any) error {
	return &gapError{from: w.slot, to: w.start, why: fmt.Sprintf(format, args...) + anotherHistory}
}
