// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// A connection on which nothing comes is broken, or its server works. TCP tells the first from the second only where the
// other machine is gone, and late. So who waits longer than silencePatience asks over another connection, and wants an
// answer within probePatience: all in all a broken connection is told well within 30 s.
const (
	silencePatience = 6 * time.Second
	probePatience   = 6 * time.Second
)

// silentError says that a connection is broken although nothing told so.
type silentError struct {
	err error
	all bool // no connection to the server works
}

// serverSilent says whether an error is that the server answers on no connection.
func serverSilent(err error) bool {
	var s *silentError
	return errors.As(err, &s) && s.all
}

func (e *silentError) Error() string { return e.err.Error() }
func (e *silentError) Unwrap() error { return e.err }

// Server processes that wait for their client are in one of these events; who waits for them in turn waits for ever. A
// walsender waits in the others too, also for an answer's question that never came.
var (
	waitsForClient = []string{"ClientRead", "ClientWrite"}
	waitsAsSender  = []string{
		"ClientRead", "ClientWrite", "WalSenderMain", "WalSenderWriteData", "WalSenderWaitForWAL", "WalSenderWaitForWal",
	}
)

// probe asks over a new connection what the server process of a silent one does. It returns a *silentError where the server
// does not answer there either, and where the process is one of waits: it has nothing to say, or what it said did not come.
// A process that works on is no error, nor is one that cannot be seen: some poolers give processes numbers of their own.
func (c dialer) probe(ctx context.Context, pid uint32, waits []string) error {
	c.unwatched = true
	asked, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	var event string
	conn, err := c.connect(asked)
	if err == nil {
		var rows [][][]byte
		rows, err = query(asked, conn, `SELECT wait_event FROM pg_stat_activity WHERE pid = $1`, strconv.FormatUint(uint64(pid), 10))
		if err == nil && len(rows) == 1 {
			event = string(rows[0][0])
		}
		_ = conn.Close(asked) // it has told what it knows
	}
	var answered *pgconn.PgError
	switch {
	case ctx.Err() != nil || errors.As(err, &answered):
		return nil
	case err != nil:
		return &silentError{fmt.Errorf("and the server does not answer on a new connection: %w", err), true}
	case slices.Contains(waits, event):
		return &silentError{fmt.Errorf("and the server's process waits for this client (%s)", event), false}
	}
	return nil
}

// watchedConn is a connection whose reads do not wait for a broken one: see probe. It watches from watch on. Reads with a
// deadline shorter than silencePatience are as they are.
type watchedConn struct {
	net.Conn
	timer *time.Timer // runs while a read waits

	mu      sync.Mutex // guards what follows
	probe   func() error
	end     context.CancelFunc // of probes; set with probe
	closed  bool
	reads   int  // so many have begun
	waiting bool // the last one has not ended
	cause   error
	probes  sync.WaitGroup // Close waits for it
}

var _ syscall.Conn = (*watchedConn)(nil)

// watch begins to look at waiting reads.
func (c *watchedConn) watch(probe func(ctx context.Context) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background()) // Close ends it
	c.probe, c.end = func() error { return probe(ctx) }, cancel
	c.timer = time.AfterFunc(time.Hour, c.suspect)
	c.timer.Stop()
}

// Read is that of the connection, with the cause where a probe has closed it.
func (c *watchedConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	c.reads++
	c.waiting = c.probe != nil
	if c.waiting {
		c.timer.Reset(silencePatience)
	}
	c.mu.Unlock()
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting {
		c.waiting = false
		c.timer.Stop()
	}
	if err != nil && c.cause != nil {
		err = c.cause
	}
	return n, err
}

// suspect asks about a read that waits, again and again as long as the server works.
func (c *watchedConn) suspect() {
	c.mu.Lock()
	read := c.reads
	if !c.waiting || c.closed {
		c.mu.Unlock()
		return
	}
	c.probes.Add(1)
	c.mu.Unlock()
	defer c.probes.Done()
	err := c.probe()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.waiting || c.reads != read: // something came
	case err == nil:
		c.timer.Reset(silencePatience)
	default:
		c.cause = &silentError{fmt.Errorf("no byte from the server for %s, %w", silencePatience, err), serverSilent(err)}
		_ = c.Conn.Close()
	}
}

// Close ends probes too.
func (c *watchedConn) Close() error {
	c.mu.Lock()
	if c.closed = true; c.end != nil {
		c.timer.Stop()
		c.end()
	}
	c.mu.Unlock()
	err := c.Conn.Close()
	c.probes.Wait()
	return err
}

// SyscallConn is that of the connection.
func (c *watchedConn) SyscallConn() (syscall.RawConn, error) {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return sc.SyscallConn()
}

// suspect asks about a stream that is silent although an answer was asked for. An error ends it.
func (s *stream) suspect(ctx context.Context, quiet time.Duration) error {
	last := s.lastByte
	var verdict error
	err := s.await(ctx, func(ctx context.Context) error {
		verdict = s.r.conn.probe(ctx, s.pg.PID(), waitsAsSender)
		return nil
	})
	s.lastByte, s.pinged, s.lastProbe = last, true, time.Now() // the silence is the server's
	if err != nil || verdict == nil {
		return err
	}
	if got, err := s.fill(10 * time.Millisecond); got || err != nil {
		return err // it has come meanwhile
	}
	return wrapError("read", "the replication stream of "+s.r.slotSubject(),
		fmt.Errorf("no byte from the server for %s, not even the answer that was asked for, %w", quiet.Round(time.Second), verdict))
}
