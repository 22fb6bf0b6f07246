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

// visible says whether a transaction, which is known to have ended in the log, has ended for new snapshots. The stream
// tells the lower half of transaction numbers only.
func visible(ctx context.Context, conn *pgconn.PgConn, xid uint32) (bool, error) {
	rows, err := query(ctx, conn, `
SELECT (pg_snapshot_xmax(s)::text::bigint - $1::bigint) & 4294967295 BETWEEN 1 AND 2147483647
  AND NOT EXISTS (SELECT FROM pg_snapshot_xip(s) x WHERE x::text::bigint & 4294967295 = $1::bigint)
FROM pg_current_snapshot() s`, strconv.FormatUint(uint64(xid), 10))
	if err != nil {
		return false, wrapError("look for", "transaction "+strconv.FormatUint(uint64(xid), 10), err)
	}
	return isTrue(rows[0][0]), nil
}
