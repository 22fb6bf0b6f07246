// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// catalogView answers the stream's questions about tables. One question takes the server some milliseconds, which is too
// much where thousands of tables come one after the other; then it reads the catalog's facts of all captured tables at
// once. What was read serves every transaction that was visible then: the catalog is as far ahead of it as it would be
// by asking now. It belongs to the stream's goroutine.
type catalogView struct {
	o   *options
	log *slog.Logger

	tables map[uint32]*catalogTable // nil where nothing was read, or too long ago
	at     visibleSet
	read   time.Time
	took   time.Duration // to read all

	misses int // in this second
	second time.Time
}

const (
	viewAge    = 30 * time.Second // a view older than this is forgotten, for its memory
	viewMisses = 8                // single questions within a second before all is read
	viewRest   = 10               // times as long as reading all took is nothing read again
)

// known is what was read of a table when transaction xid was visible; nil for nothing.
func (v *catalogView) known(xid, oid uint32) *catalogTable {
	v.forget(time.Now())
	if !v.at.has(xid) {
		return nil
	}
	return v.tables[oid]
}

// forget drops what is too old.
func (v *catalogView) forget(now time.Time) {
	if v.tables != nil && now.Sub(v.read) > viewAge {
		v.tables = nil
	}
}

// ask asks the catalog for a table once transaction xid is visible; nil if the table is gone.
func (v *catalogView) ask(ctx context.Context, conn *pgconn.PgConn, xid, oid uint32) (*catalogTable, error) {
	now := time.Now()
	if err := awaitVisible(ctx, conn, xid, v.log); err != nil {
		return nil, err
	}
	if now.Sub(v.second) > time.Second {
		v.second, v.misses = now, 0
	}
	if v.misses++; v.misses > viewMisses && now.Sub(v.read) > viewRest*v.took {
		if err := v.readAll(ctx, conn); err != nil {
			return nil, err
		}
		if t := v.tables[oid]; t != nil {
			return t, nil
		}
	}
	return describeTable(ctx, conn, v.o.Database, oid)
}

// readAll reads the facts of all captured tables. The view is as of the moment before.
func (v *catalogView) readAll(ctx context.Context, conn *pgconn.PgConn) error {
	start := time.Now()
	rows, err := query(ctx, conn, `SELECT pg_current_snapshot()`)
	if err != nil {
		return wrapError("read", "the server's running transactions", err)
	}
	at, err := parseVisibleSet(string(rows[0][0]))
	if err != nil {
		return err
	}
	tables, err := capturedTables(ctx, conn, v.o)
	if err != nil {
		return err
	}
	v.tables, v.at = make(map[uint32]*catalogTable, len(tables)), at
	for _, t := range tables {
		v.tables[t.OID] = t
	}
	v.read = time.Now()
	v.took = v.read.Sub(start)
	return nil
}

// visibleSet is a pg_snapshot: which transactions had ended when it was taken.
type visibleSet struct {
	xmin, xmax uint64
	running    []uint64 // between the two
}

// parseVisibleSet reads the form that the server prints, xmin:xmax:xip,xip.
func parseVisibleSet(text string) (visibleSet, error) {
	var s visibleSet
	parts := strings.Split(text, ":")
	bad := len(parts) != 3
	number := func(text string) uint64 {
		n, err := strconv.ParseUint(text, 10, 64)
		bad = bad || err != nil
		return n
	}
	if !bad {
		s.xmin, s.xmax = number(parts[0]), number(parts[1])
		for x := range strings.SplitSeq(parts[2], ",") {
			if x != "" {
				s.running = append(s.running, number(x))
			}
		}
	}
	if bad {
		return visibleSet{}, fmt.Errorf("snapshot %q: want the form xmin:xmax:xip", text)
	}
	return s, nil
}

// has says whether a transaction, which is known to have ended in the log, had ended for the snapshot. The stream tells
// the lower half of transaction numbers only.
func (s visibleSet) has(xid uint32) bool {
	before := int32(uint32(s.xmax) - xid)
	if before < 1 {
		return false
	}
	full := s.xmax - uint64(before)
	return full < s.xmin || !slices.Contains(s.running, full)
}
