// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/internal/pgserver"
	"freshet/internal/testdb"
)

// outages are the ways in which a server goes and comes back.
var outages = []struct {
	name string
	down func(*testing.T, *testdb.Server)
}{
	{"fast stop", func(t *testing.T, s *testdb.Server) { t.Helper(); s.Stop(t, pgserver.Fast) }},
	{"immediate stop", func(t *testing.T, s *testdb.Server) { t.Helper(); s.Stop(t, pgserver.Immediate) }},
	{"kill", func(t *testing.T, s *testdb.Server) { t.Helper(); s.Kill(t) }},
}

// TestSourceRestarts: the connector says that the server is away, and goes on by itself when it is back.
func TestSourceRestarts(t *testing.T) {
	t.Parallel()
	source, target := testdb.NewPostgres(t, testdb.Options{}), testdb.Postgres(t)
	source.Exec(t, itemsDDL+"insert into items values (1, 0, 'snapshot')")
	s := pair(t, source, target)
	w := s.start(t)
	w.streaming(t, source)
	want := "r0"
	n := 0
	count := func() {
		n++
		source.Exec(t, "update items set n = n + 1")
		want += " u" + strconv.Itoa(n)
	}
	for _, o := range outages {
		count() // may be on its way when the server goes
		o.down(t, source)
		trace := w.await(t, sourceName, connect.Restarting)
		requireWords(t, trace, "An exception occurred in the change event producer")
		trace = w.awaitTrace(t, sourceName, connect.Restarting, "connection refused")
		requireWords(t, trace, "127.0.0.1:"+strconv.Itoa(source.Port), "check that the hostname and port are correct and that the server is accepting TCP/IP connections")
		source.Start(t)
		count()
		w.streaming(t, source)
		count()
		w.awaitHistory(t, map[string]string{"1": want})
		equal(t, source, target)
	}
	w.stop(t)
}

// TestSourceDiesInSnapshot: a snapshot that was interrupted is begun anew.
func TestSourceDiesInSnapshot(t *testing.T) {
	t.Parallel()
	source, target := testdb.NewPostgres(t, testdb.Options{}), testdb.Postgres(t)
	source.Exec(t, itemsDDL+"insert into items select g, 0, repeat('x', 200) from generate_series(1, 50000) g")
	s := pair(t, source, target)
	// Small batches, and a sink that is not there yet, so that the snapshot takes its time.
	s.connectors[sourceName] = s.connectors[sourceName].with(properties{"max.batch.size": "10"})
	w := s.start(t)
	waitFor(t, "the snapshot to be under way", func() bool { return len(w.records(t, itemsTopic)) > 0 })
	source.Kill(t)
	w.await(t, sourceName, connect.Restarting)
	source.Start(t)
	source.Exec(t, "update items set n = 1 where id <= 10")
	w.streaming(t, source)
	equal(t, source, target)
	w.stop(t)
}

// TestSourceFreezes: a server that says nothing for longer than wal_sender_timeout is given up, and taken up again.
func TestSourceFreezes(t *testing.T) {
	t.Parallel()
	source := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{"wal_sender_timeout": "300ms"}})
	target := testdb.Postgres(t)
	source.Exec(t, itemsDDL+"insert into items values (1, 0, 'snapshot')")
	s := pair(t, source, target)
	w := s.start(t)
	w.streaming(t, source)
	source.Exec(t, "update items set n = n + 1")
	equal(t, source, target)
	source.Freeze(t)
	t.Cleanup(func() { source.Thaw(t) })
	trace := w.await(t, sourceName, connect.Restarting)
	requireWords(t, trace, "no byte from the server for", `slot "e2e_test"`)
	source.Thaw(t)
	source.Exec(t, "update items set n = n + 1")
	w.streaming(t, source)
	w.awaitHistory(t, map[string]string{"1": "r0 u1 u2"})
	equal(t, source, target)

	// A worker that is asked to stop does not wait for a frozen server.
	source.Freeze(t)
	begin := time.Now()
	w.stop(t)
	require.Less(t, time.Since(begin), 20*time.Second)
	source.Thaw(t)
	source.Exec(t, "update items set n = n + 1")
	w = s.start(t)
	w.awaitHistory(t, map[string]string{"1": "r0 u1 u2 u3"})
	equal(t, source, target)
	w.stop(t)
}

// TestTargetRestarts: the same at the other end. A batch that was being written is written again, to the same effect.
func TestTargetRestarts(t *testing.T) {
	t.Parallel()
	source, target := testdb.Postgres(t), testdb.NewPostgres(t, testdb.Options{})
	source.Exec(t, itemsDDL+"insert into items values (1, 0, 'snapshot')")
	s := pair(t, source, target)
	w := s.start(t)
	equal(t, source, target)
	for n, o := range outages {
		// What is committed is progress, after which the waits are short again.
		waitFor(t, "the sink to commit", func() bool {
			return strings.Contains(w.do(t, "GET", "/connectors/"+sinkName+"/offsets", nil), fmt.Sprintf(`"kafka_offset":%d`, 1+2*n))
		})
		source.Exec(t, "update items set n = n + 1") // may be on its way when the server goes
		o.down(t, target)
		source.Exec(t, "update items set n = n + 1")
		trace := w.await(t, sinkName, connect.Restarting)
		requireWords(t, trace, "Exiting WorkerSinkTask due to unrecoverable exception")
		trace = w.awaitTrace(t, sinkName, connect.Restarting, "connection refused")
		requireWords(t, trace, "127.0.0.1:"+strconv.Itoa(target.Port), "check host and port in connection.url, that the server runs")
		require.Equal(t, connect.Running, w.status(t, sourceName).Tasks[0].State, "the source goes on")
		target.Start(t)
		w.await(t, sinkName, connect.Running)
		equal(t, source, target)
	}
	w.awaitHistory(t, map[string]string{"1": "r0 u1 u2 u3 u4 u5 u6"})
	w.stop(t)
}

// frozenTarget is a worker whose target has stopped in its tracks, and which may take so many milliseconds to end its tasks.
func frozenTarget(t *testing.T, graceful string) (source, target *testdb.Server, s *setup, w *worker) {
	t.Helper()
	source, target = testdb.Postgres(t), testdb.NewPostgres(t, testdb.Options{})
	source.Exec(t, itemsDDL+"insert into items values (1, 0, 'snapshot')")
	s = pair(t, source, target)
	s.worker = properties{"task.shutdown.graceful.timeout.ms": graceful}
	w = s.start(t)
	equal(t, source, target)
	target.Freeze(t)
	t.Cleanup(func() { target.Thaw(t) })
	return source, target, s, w
}

// TestTargetFreezes: nothing is lost, and a worker that is asked to stop waits no longer than it is allowed to.
func TestTargetFreezes(t *testing.T) {
	t.Parallel()
	source, target, s, w := frozenTarget(t, "500")
	source.Exec(t, "update items set n = n + 1")
	w.awaitHistory(t, map[string]string{"1": "r0 u1"})
	target.Thaw(t)
	equal(t, source, target)

	target.Freeze(t)
	source.Exec(t, "update items set n = n + 1")
	w.awaitHistory(t, map[string]string{"1": "r0 u1 u2"})
	begin := time.Now()
	w.stop(t)
	require.Less(t, time.Since(begin), 20*time.Second)
	target.Thaw(t)
	w = s.start(t)
	equal(t, source, target)
	w.awaitHistory(t, map[string]string{"1": "r0 u1 u2"})
	w.stop(t)
}
