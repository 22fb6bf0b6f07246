// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"syscall"
	"testing"

	"freshet/internal/testdb"
)

// TestWorkerIsSuspended: a worker that stood still for longer than wal_sender_timeout has lost its session, makes a new one
// by itself, and goes on where it was.
func TestWorkerIsSuspended(t *testing.T) {
	t.Parallel()
	source := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{"wal_sender_timeout": "300ms"}})
	target := testdb.Postgres(t)
	source.Exec(t, itemsDDL+"insert into items values (1, 0, 'snapshot')")
	s := pair(t, source, target)
	w := s.start(t)
	w.streaming(t, source)
	source.Exec(t, "update items set n = n + 1")
	equal(t, source, target)
	w.signal(t, syscall.SIGSTOP)
	t.Cleanup(func() { _ = w.cmd.Process.Signal(syscall.SIGCONT) }) // it may have ended
	source.Exec(t, "update items set n = n + 1")
	w.awaitSlot(t, source, "f")
	source.Exec(t, "update items set n = n + 1")
	w.signal(t, syscall.SIGCONT)
	w.awaitSlot(t, source, "t")
	w.awaitHistory(t, map[string]string{"1": "r0 u1 u2 u3"})
	equal(t, source, target)
	w.stop(t)
}
