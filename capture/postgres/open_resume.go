// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/capture"
	"freshet/snapshot"
)

// resume makes a job of what the stored snapshot owes, and says whether the snapshot can go on so: the stream begins at the
// place of its state, which is gone, and what is missing is read by windows meanwhile. So the deletes since then come
// too, which a snapshot that is taken again would never tell of.
func (op *opening) resume(ctx context.Context, conn *pgconn.PgConn) (resumed bool, err error) {
	f := parseFinished(op.from.Finished)
	if f == nil {
		return false, nil // another program's, or of a state without a place in the stream
	}
	stored := op.from
	op.from.Last, op.from.Completed, op.from.Finished = true, true, ""
	defer func() {
		if !resumed {
			op.from = stored
		}
	}()
	gap, err := op.gap(ctx, conn)
	if err != nil {
		return false, err
	}
	if gap != nil {
		op.log.Warn("the interrupted snapshot cannot go on and is taken again", "error", gap)
		return false, nil
	}
	catalog, err := capturedTables(ctx, conn, op.o)
	if err != nil {
		return false, err
	}
	tables := snapshotTables(catalog, op.o)
	if err := readFiles(ctx, conn, tables); err != nil {
		return false, err
	}
	parts, ok := f.remaining(tables, op.o)
	if !ok {
		op.log.Warn("the interrupted snapshot is taken again: its tables are not those of then, or one is read by a statement, or is large and has no key")
		return false, nil
	}
	op.owed = &snapshot.Job{ID: capture.InitialSnapshot, Initial: true}
	for _, p := range parts {
		op.owed.Parts = append(op.owed.Parts, &snapshot.Part{Table: p.ID, Condition: p.condition, Whole: p.keyless})
	}
	op.log.Info("the interrupted snapshot goes on: what is missing is read by windows, beside the stream", "id", capture.InitialSnapshot,
		"tables_finished", len(tables)-len(parts), "tables_left", len(parts))
	return true, nil
}

// first are the jobs that come before those of signals.
func (op *opening) first() []*snapshot.Job {
	if op.owed == nil {
		return nil
	}
	return []*snapshot.Job{op.owed}
}
