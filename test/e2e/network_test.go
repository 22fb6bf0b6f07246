// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/internal/testdb"
)

// network is a proxy between the worker and the source, whose faults are toxics.
type network struct{ proxy *toxiproxy.Proxy }

// over puts a network between the setup's worker and the source.
func (s *setup) over(t *testing.T, source *testdb.Server) network {
	t.Helper()
	zerolog.SetGlobalLevel(zerolog.Disabled) // some toxics have loggers of their own
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := toxiproxy.NewProxy(server, "source", "127.0.0.1:0", net.JoinHostPort(source.Host, strconv.Itoa(source.Port)))
	require.NoError(t, p.Start())
	t.Cleanup(p.Stop)
	_, port, err := net.SplitHostPort(p.Listen)
	require.NoError(t, err)
	s.connectors[sourceName] = s.connectors[sourceName].with(properties{"database.hostname": "127.0.0.1", "database.port": port})
	return network{p}
}

// fault begins one on all connections, also on those that are made later. end ends it.
func (n network) fault(t *testing.T, toxic, stream, attributes string) (end func()) {
	t.Helper()
	name := toxic + "_" + stream
	_, err := n.proxy.Toxics.AddToxicJson(strings.NewReader(
		fmt.Sprintf(`{"name": %q, "type": %q, "stream": %q, "attributes": {%s}}`, name, toxic, stream, attributes)))
	require.NoError(t, err)
	return func() {
		t.Helper()
		require.NoError(t, n.proxy.Toxics.RemoveToxic(t.Context(), name))
	}
}

// reopened is how often the source's task was given up.
func (w *worker) reopened() int {
	n := 0
	for _, line := range w.logged("task stopped and will be opened again") {
		if line["connector"] == sourceName {
			n++
		}
	}
	return n
}

// manyItems fills the table: longer than what connections have in their buffers.
const manyItems = itemsDDL + "insert into items select g, 0, repeat('x', 400) from generate_series(1, 20000) g"

// cuts are places at which connections end, counted in bytes: within the login, within the description of a table, within rows.
var cuts = []int{300, 1500, 9001, 70_003, 300_007}

// TestNetworkCutsConnectionsInTheStream: connections that end within rows lose nothing and repeat nothing.
func TestNetworkCutsConnectionsInTheStream(t *testing.T) {
	t.Parallel()
	source, target := testdb.Postgres(t), testdb.Postgres(t)
	source.Exec(t, itemsDDL+"insert into items values (0, 0, 'snapshot')")
	s := pair(t, source, target)
	network := s.over(t, source)
	w := s.start(t)
	w.streaming(t, source)
	for i, bytes := range cuts {
		before := w.reopened()
		end := network.fault(t, "limit_data", "downstream", fmt.Sprintf(`"bytes": %d`, bytes))
		source.Exec(t, fmt.Sprintf("insert into items select %d + g, 0, repeat('y', g) from generate_series(1, 1500) g; update items set n = n + 1 where id %% 7 = 0", i*10_000))
		waitFor(t, "connections to be cut", func() bool { return w.reopened() > before+1 })
		end()
		reset := network.fault(t, "reset_peer", "downstream", `"timeout": 0`)
		source.Exec(t, fmt.Sprintf("update items set n = n + 1 where id between %d and %[1]d + 300", i*10_000))
		waitFor(t, "connections to be reset", func() bool { return w.reopened() > before+3 })
		reset()
		source.Exec(t, "update items set n = n + 1 where id = 0")
		w.await(t, sourceName, connect.Running)
		equal(t, source, target)
	}
	w.stop(t)
}

// TestNetworkCutsConnectionsInTheSnapshot: the same while tables are read and the stream goes into the spool.
func TestNetworkCutsConnectionsInTheSnapshot(t *testing.T) {
	t.Parallel()
	source, target := testdb.Postgres(t), testdb.Postgres(t)
	source.Exec(t, manyItems)
	s := pair(t, source, target)
	network := s.over(t, source)
	end := network.fault(t, "limit_data", "downstream", `"bytes": 500000`)
	w := s.start(t)
	for n := range 3 {
		waitFor(t, "connections to be cut", func() bool { return w.reopened() > n })
		source.Exec(t, fmt.Sprintf("update items set n = n + 1 where id %% 1000 = %d; delete from items where id = %d", n, 100*n))
	}
	end()
	w.await(t, sourceName, connect.Running)
	equal(t, source, target)
	source.Exec(t, "update items set n = n + 1 where id < 50")
	equal(t, source, target)
	w.stop(t)
}

// mostSilence is how long a black hole may stay unnoticed.
const mostSilence = 30 * time.Second

// holes are what a worker does when the network begins to swallow everything.
var holes = []struct {
	name  string
	table string
	ready func(*testing.T, *worker, *testdb.Server)
}{
	{"stream", itemsDDL + "insert into items values (1, 0, 'snapshot')", func(t *testing.T, w *worker, source *testdb.Server) {
		t.Helper()
		w.streaming(t, source)
		w.awaitRecords(t, itemsTopic, 1)
	}},
	{"snapshot", manyItems, func(t *testing.T, w *worker, _ *testdb.Server) {
		t.Helper()
		waitFor(t, "the snapshot to be under way", func() bool { return len(w.records(t, itemsTopic)) > 0 })
	}},
}

// TestNetworkSwallowsEverything: nothing tells of a connection whose packets are dropped. It is noticed all the same, with
// the usual settings of server and connector, and said.
func TestNetworkSwallowsEverything(t *testing.T) {
	t.Parallel()
	for _, h := range holes {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			source := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{"wal_sender_timeout": "60s"}})
			target := testdb.Postgres(t)
			source.Exec(t, h.table)
			s := pair(t, source, target)
			network := s.over(t, source)
			faster := network.fault(t, "bandwidth", "downstream", `"rate": 1000`) // KB/s: the snapshot takes a while
			w := s.start(t)
			h.ready(t, w, source)
			up := network.fault(t, "timeout", "upstream", `"timeout": 0`)
			down := network.fault(t, "timeout", "downstream", `"timeout": 0`)
			began := time.Now()
			source.Exec(t, "update items set n = n + 1 where id < 10")
			waitWithin(t, mostSilence, "the task to be given up", func() bool { return w.reopened() > 0 })
			t.Logf("noticed after %s", time.Since(began).Round(100*time.Millisecond))
			said := w.logged("task stopped and will be opened again")[0]["error"]
			requireWords(t, said.(string), "no byte from the server for", "the server does not answer on a new connection")
			up()
			down()
			faster()
			w.await(t, sourceName, connect.Running)
			equal(t, source, target)
			source.Exec(t, "update items set n = n + 1 where id < 10")
			equal(t, source, target)
			w.stop(t)
		})
	}
}

// TestNetworkIsSlow: the server's process waits for the network, with what it wants to send and with its keep-alives. It
// hears of the client in time, so it is the same one all the while, and nothing is lost.
func TestNetworkIsSlow(t *testing.T) {
	t.Parallel()
	source := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{"wal_sender_timeout": "1s"}})
	target := testdb.Postgres(t)
	source.Exec(t, itemsDDL+"insert into items values (0, 0, 'snapshot')")
	s := pair(t, source, target)
	s.connectors[sourceName] = s.connectors[sourceName].with(properties{"status.update.interval.ms": "10000"})
	network := s.over(t, source)
	w := s.start(t)
	w.streaming(t, source)
	const process = "select active_pid from pg_replication_slots where slot_name = 'e2e_test'"
	pid := source.Text(t, process)
	end := network.fault(t, "bandwidth", "downstream", `"rate": 500`) // KB/s
	source.Exec(t, "insert into items select g, 0, repeat('y', 600) from generate_series(1, 3000) g; update items set n = n + 1")
	equal(t, source, target)
	end()
	require.Equal(t, pid, source.Text(t, process), "the server's process is the same")
	require.Zero(t, w.reopened())
	w.stop(t)
}

// TestNetworkIsFar: answers take their time, and not always the same.
func TestNetworkIsFar(t *testing.T) {
	t.Parallel()
	source, target := testdb.Postgres(t), testdb.Postgres(t)
	source.Exec(t, itemsDDL+"insert into items select g, 0, 'snapshot' from generate_series(1, 3000) g")
	s := pair(t, source, target)
	network := s.over(t, source)
	network.fault(t, "latency", "upstream", `"latency": 60, "jitter": 40`)
	network.fault(t, "latency", "downstream", `"latency": 60, "jitter": 40`)
	w := s.start(t)
	equal(t, source, target)
	for range 3 {
		source.Exec(t, "update items set n = n + 1 where id % 10 = 0; delete from items where id % 1000 = 7")
		equal(t, source, target)
	}
	require.Zero(t, w.reopened())
	w.stop(t)
}

// TestFirstEventSoonAfterTheSourceIsBack: with the usual waits between attempts, and after an outage that was long enough
// for them to grow.
func TestFirstEventSoonAfterTheSourceIsBack(t *testing.T) {
	t.Parallel()
	source, target := testdb.NewPostgres(t, testdb.Options{}), testdb.Postgres(t)
	source.Exec(t, itemsDDL+"insert into items values (1, 0, 'snapshot')")
	s := pair(t, source, target)
	s.connectors[sourceName] = s.connectors[sourceName].with(properties{"retriable.restart.connector.wait.ms": "", "slot.retry.delay.ms": ""})
	w := s.start(t)
	w.streaming(t, source)
	w.awaitRecords(t, itemsTopic, 1)
	source.Stop(t, pgFast)
	waitFor(t, "five attempts", func() bool { return w.reopened() >= 5 })
	source.Start(t)
	back := time.Now()
	source.Exec(t, "update items set n = n + 1")
	w.awaitHistory(t, map[string]string{"1": "r0 u1"})
	took := time.Since(back)
	t.Logf("the first event came after %s", took.Round(100*time.Millisecond))
	require.Less(t, took, 5*time.Second)
	equal(t, source, target)
	w.stop(t)
}
