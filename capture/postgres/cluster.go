// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
)

// cluster says which log a position belongs to. Two servers with one system identifier come from one initdb; the timeline
// tells what happened since: each promotion and each recovery of a backup begins a new one.
type cluster struct {
	System   int64 // 0 when unknown
	Timeline int64 // 0 when unknown, as on a standby, which follows its primary's
}

// lookupCluster reads what the server is. A role that may not read it here may by the replication command.
func lookupCluster(ctx context.Context, conn *pgconn.PgConn, d dialer) (cluster, error) {
	rows, err := query(ctx, conn, `SELECT system_identifier, CASE WHEN NOT pg_is_in_recovery()
THEN ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END FROM pg_control_system()`)
	if sqlState(err) == "42501" {
		return d.identifySystem(ctx)
	}
	if err != nil {
		return cluster{}, wrapError("identify", d.subject(), err)
	}
	return parseCluster(string(rows[0][0]), string(rows[0][1]))
}

func parseCluster(system, timeline string) (c cluster, err error) {
	if c.System, err = strconv.ParseInt(system, 10, 64); err != nil {
		return cluster{}, fmt.Errorf("system identifier: %w", err)
	}
	if timeline == "" {
		return c, nil
	}
	if c.Timeline, err = strconv.ParseInt(timeline, 10, 64); err != nil {
		return cluster{}, fmt.Errorf("timeline: %w", err)
	}
	return c, nil
}

// identifySystem asks by the replication command. Its timeline is not taken: on a standby it is another thing.
func (c dialer) identifySystem(ctx context.Context) (cluster, error) {
	repl, _, err := c.connectReplication(ctx)
	if err != nil {
		return cluster{}, err
	}
	defer func() { _ = repl.Close(context.WithoutCancel(ctx)) }()
	sys, err := pglogrepl.IdentifySystem(ctx, repl)
	if err != nil {
		return cluster{}, wrapError("identify", c.subject(), err)
	}
	return parseCluster(sys.SystemID, "")
}

// timelineHistory reads how a timeline came to be.
func (c dialer) timelineHistory(ctx context.Context, timeline int64) (string, error) {
	repl, _, err := c.connectReplication(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = repl.Close(context.WithoutCancel(ctx)) }()
	h, err := pglogrepl.TimelineHistory(ctx, repl, int32(timeline))
	if err != nil {
		return "", wrapError("read", fmt.Sprintf("the history of timeline %d", timeline), err)
	}
	return string(h.Content), nil
}

// checkCluster says whether a position lies in the log of this server; the error is a *gapError where it does not. A
// promoted standby that had all of the log up to the position goes on. end is the end of the server's log.
func checkCluster(from position, now cluster, end lsn, history func(timeline int64) (string, error)) error {
	if from.System != 0 && now.System != 0 && from.System != now.System {
		return &gapError{from: from.start(), to: 0, why: fmt.Sprintf("this is another cluster: its system identifier is %d, the position belongs to %d", now.System, from.System)}
	}
	if from.Timeline == 0 || now.Timeline == 0 || from.Timeline == now.Timeline {
		return nil
	}
	start := from.start()
	if now.Timeline < from.Timeline {
		return &gapError{from: start, to: max(start, end), why: fmt.Sprintf("the server is on timeline %d, the position is on the later timeline %d: "+
			"this is a restored backup, or the primary of before a failover", now.Timeline, from.Timeline)}
	}
	text, err := history(now.Timeline)
	if err != nil {
		return err
	}
	left, ok := switchPoint(text, from.Timeline)
	switch {
	case !ok:
		return &gapError{from: start, to: max(start, end), why: fmt.Sprintf("timeline %d of the server does not descend from timeline %d of the position", now.Timeline, from.Timeline)}
	case left < start:
		return &gapError{from: left, to: max(start, end), why: fmt.Sprintf("the server left timeline %d at %s, before the stored position %s: "+
			"it was promoted without the last changes, or restored from a backup", from.Timeline, left, start)}
	}
	return nil
}

// switchPoint is where a history left a timeline.
func switchPoint(history string, timeline int64) (lsn, bool) {
	for line := range strings.Lines(history) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != strconv.FormatInt(timeline, 10) {
			continue
		}
		at, err := parseLSN([]byte(f[1]))
		return at, err == nil
	}
	return 0, false
}
