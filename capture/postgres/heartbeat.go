// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/capture"
)

var _ capture.Beater = (*Reader)(nil)

// Beat runs heartbeat.action.query. Where the query fails, the next heartbeat tries again; only a server that goes away
// and a table that does not exist end the task.
func (r *Reader) Beat(ctx context.Context) error {
	if r.o.HeartbeatQuery == "" {
		return nil
	}
	r.beating.Lock()
	defer r.beating.Unlock()
	err := r.beats.do(ctx, func(conn *pgconn.PgConn) error { return conn.Exec(ctx, r.o.HeartbeatQuery).Close() })
	switch sqlState(err) {
	case "":
		if err == nil {
			return nil
		}
	case "42P01":
		return permanentf("run", "heartbeat.action.query", "create the table, or correct the statement", "%w", err)
	case "57P01", "57P03":
		return wrapError("run", "heartbeat.action.query", err)
	}
	if ctx.Err() == nil {
		r.log.Warn("heartbeat.action.query failed and is run again with the next heartbeat", "error", err)
	}
	return nil
}
