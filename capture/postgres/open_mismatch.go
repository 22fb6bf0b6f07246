// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// reconcile follows offset.mismatch.strategy, where the stored position and the slot's differ. It takes the *gapError of
// the stored position, nil for none, and returns the one that is left. A gap is given up only where the strategy trusts
// the slot and the slot is alive and ahead: then the lost range is said in the log and stays in the status (R13).
func (op *opening) reconcile(ctx context.Context, conn *pgconn.PgConn, gap error) (left, err error) {
	start, strategy := op.from.start(), op.o.Mismatch
	switch strategy {
	case "trust_offset", "trust_slot", "trust_greater_lsn":
	case "no_validation":
		return gap, nil
	default: // the original does not refuse it either
		op.log.Warn("offset.mismatch.strategy is not known, and has no effect", "strategy", strategy)
		return gap, nil
	}
	switch {
	case op.spooled.end > start: // what is in the spool belongs to the stored position
		return gap, nil
	case gap == nil && op.slot.Confirmed >= start:
		return nil, nil
	case gap == nil && strategy == "trust_slot":
		op.log.Warn("the slot's position counts: changes behind it that are stored already come again", "slot", op.o.SlotName,
			"from", op.slot.Confirmed.String(), "stored", start.String())
		op.from = position{}
		return nil, nil
	case gap == nil:
		return nil, op.advanceSlot(ctx, conn)
	case strategy == "trust_offset" || !op.slotAhead(gap, start):
		return gap, nil
	}
	op.lost = fmt.Sprintf("changes from %s to %s were given up, by offset.mismatch.strategy=%s", start, op.slot.Confirmed, strategy)
	op.log.Warn("going on at the slot's position, behind lost changes", "slot", op.o.SlotName, "strategy", strategy,
		"lost_from", start.String(), "lost_to", op.slot.Confirmed.String(), "error", gap)
	op.from = position{}
	return nil, nil
}

// slotAhead says whether the slot is alive, and all that is wrong is that it was moved beyond start.
func (op *opening) slotAhead(gap error, start lsn) bool {
	var g *gapError
	return errors.As(gap, &g) && g.moved && op.slot != nil && !op.slot.lost() && op.slot.Confirmed > start
}

// advanceSlot moves the slot to the stored position, which is durable (I2). The stream would do so a moment later: where
// the server does not let us, nothing is lost.
func (op *opening) advanceSlot(ctx context.Context, conn *pgconn.PgConn) error {
	if op.o.FlushManual {
		return nil
	}
	to := op.from.start()
	_, err := query(ctx, conn, `SELECT pg_replication_slot_advance($1, $2::pg_lsn)`, op.o.SlotName, to.String())
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused):
		op.log.Warn("the slot cannot be advanced to the stored position now; the stream does it", "slot", op.o.SlotName, "to", to.String(), "error", err)
		return nil
	case err != nil:
		return wrapError("advance", "slot "+op.o.SlotName, err)
	}
	op.log.Info("slot advanced to the stored position", "slot", op.o.SlotName, "from", op.slot.Confirmed.String(), "to", to.String())
	return nil
}
