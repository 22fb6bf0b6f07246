// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// visibleTimeout bounds awaitVisible: a commit that waits for a synchronous standby is not seen until that answers, and
// the standby may be us.
const visibleTimeout = 3 * time.Second

// awaitVisible waits until other sessions see what a transaction did. Its commit is in the log, and so in the stream, a
// moment before that; who asks the catalog in between is told of the tables before an ALTER that the stream is behind of.
func awaitVisible(ctx context.Context, conn *pgconn.PgConn, xid uint32, log *slog.Logger) error {
	until := time.Now().Add(visibleTimeout)
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		ok, err := visible(ctx, conn, xid)
		if err != nil || ok {
			return err
		}
		if time.Now().After(until) {
			log.Warn("transaction is in the log, but not yet to be seen by others: defaults and nullability of a table that it changed may be those from before",
				"transaction", xid, "waited", visibleTimeout)
			return nil
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// visible says whether a transaction, which is known to have ended in the log, has ended for new snapshots.
func visible(ctx context.Context, conn *pgconn.PgConn, xid uint32) (bool, error) {
	open, err := invisible(ctx, conn, []uint32{xid})
	return len(open) == 0, err
}

// invisible are the transactions among xids that have not ended for new snapshots. The stream tells the lower half of
// transaction numbers only.
func invisible(ctx context.Context, conn *pgconn.PgConn, xids []uint32) (open []uint32, err error) {
	list := []byte{'{'}
	for i, xid := range xids {
		if i > 0 {
			list = append(list, ',')
		}
		list = strconv.AppendUint(list, uint64(xid), 10)
	}
	rows, err := query(ctx, conn, `
SELECT n FROM unnest($1::bigint[]) n, pg_current_snapshot() s
WHERE (pg_snapshot_xmax(s)::text::bigint - n) & 4294967295 NOT BETWEEN 1 AND 2147483647
  OR EXISTS (SELECT FROM pg_snapshot_xip(s) x WHERE x::text::bigint & 4294967295 = n)`, string(append(list, '}')))
	if err != nil {
		return nil, wrapError("look for", "transactions "+string(list[1:]), err)
	}
	for _, r := range rows {
		xid, err := strconv.ParseUint(string(r[0]), 10, 32)
		if err != nil {
			return nil, err
		}
		open = append(open, uint32(xid))
	}
	return open, nil
}
