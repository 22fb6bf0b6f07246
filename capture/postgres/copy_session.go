// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/change"
	"freshet/snapshot"
)

// copyAttempts is how often a chunk is read at most, copyPause how long a session waits before its next connection, times
// the number of attempts.
const (
	copyAttempts = 4
	copyPause    = 250 * time.Millisecond
)

// copySession reads chunks on one connection. It belongs to one goroutine.
type copySession struct {
	q      *copier
	conn   *pgconn.PgConn
	source change.Row // the source block that the rows of the current batch share
	// unescaped is where a value with escapes is written out; reused.
	unescaped []byte
	warned    map[*relationColumn]bool
	// checked are tables whose file is known to be the one that was divided into blocks. The connection's lock keeps it.
	checked map[*copyTable]bool
}

// Read copies the rows of a chunk. Where the connection breaks it opens another one on the same state, as long as that is
// there, and reads the chunk again.
func (s *copySession) Read(ctx context.Context, c snapshot.Chunk, rows *snapshot.Rows) error {
	for attempt := 1; ; attempt++ {
		own, err := s.read(ctx, c, rows)
		if err == nil || own || attempt == copyAttempts || serverSilent(err) || !s.lost(ctx) {
			return s.q.c.o.pass(err)
		}
		s.q.log.Warn("a connection of the snapshot broke; its block is read again in the same snapshot",
			"table", c.Table.ID.String(), "block", c.Part, "attempt", attempt, "error", err)
		if attempt, err = s.reopen(ctx, attempt, err); err != nil {
			return err
		}
		rows.Again()
	}
}

// reopen imports the snapshot into a new connection, which may break as well: each counts as an attempt.
func (s *copySession) reopen(ctx context.Context, attempt int, cause error) (int, error) {
	for ; ; attempt++ {
		if err := pause(ctx, time.Duration(attempt)*copyPause); err != nil {
			return attempt, err
		}
		conn, err := s.q.importing(ctx)
		if err == nil {
			s.conn, s.checked = conn, nil
			return attempt, nil
		}
		if attempt >= copyAttempts-1 || !connectionLost(err) {
			return attempt, errors.Join(cause, err)
		}
	}
}

// connectionLost says whether an error is known to be of the connection, or of a server that ends it, and not of what was asked.
func connectionLost(err error) bool {
	if state := sqlState(err); state != "" {
		return strings.HasPrefix(state, "08") || slices.Contains(endedStates, state)
	}
	var refused *tls.CertificateVerificationError
	if errors.As(err, &refused) {
		return false // by us, and the next time too
	}
	var network net.Error // also a limit of time that was reached
	var silent *silentError
	var unmade *pgconn.ConnectError
	return errors.As(err, &network) || errors.As(err, &silent) || errors.As(err, &unmade) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err) // the last: it was closed before
}

// endedStates are the SQLSTATEs of a server that ends a session, or takes none now: shutdown, crash, start, idle sessions.
var endedStates = []string{"57P01", "57P02", "57P03", "57P05", "25P03"}

// lost says whether another connection may go on in place of this one. The locks of snapshot.locking.mode went with it.
func (s *copySession) lost(ctx context.Context) bool {
	return s.conn.IsClosed() && ctx.Err() == nil && s.q.exported != "" && !s.q.c.o.SnapshotLock
}

// read copies once. own says that the error is not the connection's.
func (s *copySession) read(ctx context.Context, c snapshot.Chunk, rows *snapshot.Rows) (own bool, err error) {
	t := s.q.tables[c.Table]
	if t.override != "" { // the operator's statement may name tables without their schema
		if err := exec(ctx, s.conn, `SET LOCAL search_path = "$user", public`); err != nil {
			return false, wrapError("set search_path on", s.q.c.subject(), err)
		}
	}
	n := 0
	_, err = s.conn.CopyTo(ctx, rowWriter(func(line []byte) error {
		n++
		err := s.add(ctx, t, line, rows)
		own = own || err != nil
		return err
	}), copySQL(t, c.Part))
	if err != nil {
		return own, wrapError("copy table", strconv.Quote(t.ID.String()), err)
	}
	if n == 0 || c.Part != "" && !s.checked[t] {
		return false, s.checkRewritten(ctx, t)
	}
	return false, nil
}

// checkRewritten is an error where a table was rewritten since the snapshot was taken, and its rows would be lost (I5): an
// ALTER TABLE that changes a type leaves it empty to older snapshots, a VACUUM FULL moves rows between blocks. COPY holds a
// lock on the table by now, which keeps it as it is.
func (s *copySession) checkRewritten(ctx context.Context, t *copyTable) error {
	if t.file == "" {
		return nil
	}
	rows, err := query(ctx, s.conn, `SELECT pg_relation_filenode($1::oid)`, strconv.FormatUint(uint64(t.OID), 10))
	if err != nil {
		return wrapError("read the storage of table", strconv.Quote(t.ID.String()), err)
	}
	if string(rows[0][0]) == t.file {
		if s.checked == nil {
			s.checked = map[*copyTable]bool{}
		}
		s.checked[t] = true
		return nil
	}
	return &Error{
		Op: "copy table", Subject: strconv.Quote(t.ID.String()), Err: errors.New("it was rewritten after the snapshot was taken, which hides its rows"),
		Hint: "the snapshot is taken again by itself; set snapshot.locking.mode=shared to keep tables as they are meanwhile",
	}
}

// Close ends the transaction with the connection.
func (s *copySession) Close(ctx context.Context) error { return s.conn.Close(ctx) }
