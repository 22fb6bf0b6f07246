// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"net"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/stretchr/testify/require"

	"freshet/internal/pgserver"
	"freshet/internal/testdb"
)

// to leads the network to another server, as a virtual address does. Connections that are there end.
func (n network) to(t *testing.T, server *testdb.Server) {
	t.Helper()
	require.NoError(t, n.proxy.Update(&toxiproxy.Proxy{
		Listen: n.proxy.Listen, Upstream: net.JoinHostPort(server.Host, strconv.Itoa(server.Port)), Enabled: true,
	}))
}

// load changes rows of a server until stop is called or the server is gone; done counts its transactions.
func load(t *testing.T, server *testdb.Server, done *atomic.Int64) (stop func()) {
	t.Helper()
	conn := server.Connect(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ctx.Err() == nil; i++ {
			_, err := conn.Exec(ctx, `with d as (delete from items where id = $1 returning id)
insert into items select $2, 1, 'new' from (select count(*) from d) c on conflict (id) do update set n = items.n + 1`, i%97, i*31%101)
			if err != nil {
				return // the end of ctx, or of the server
			}
			done.Add(1)
		}
	}()
	return func() { cancel(); <-ended }
}

// TestFailoverUnderLoad: the primary dies while its rows change, and a standby with the slot takes over. The topics tell what the
// new primary has committed: every change, once, in its order, also those of before.
func TestFailoverUnderLoad(t *testing.T) {
	t.Parallel()
	primary, standby := testdb.NewPrimaryStandby(t, testdb.Options{Version: "17"})
	target := testdb.Postgres(t)
	primary.Exec(t, itemsDDL+"insert into items select g, 0, 'snapshot' from generate_series(1, 200) g")
	s := pair(t, primary, target)
	s.source = standby // which has the journal of both
	s.connectors[sourceName] = s.connectors[sourceName].with(properties{"slot.failover": "true", "slot.max.retries": "100"})
	network := s.over(t, primary)
	w := s.start(t)
	w.streaming(t, primary)

	standby.SyncSlots(t, primary, "e2e_"+primary.Database, nil)
	var done atomic.Int64
	stop := load(t, primary, &done)
	waitFor(t, "transactions", func() bool { return done.Load() > 150 })
	standby.Exec(t, "select pg_sync_replication_slots()")
	waitFor(t, "transactions behind the place where the standby has the slot", func() bool { return done.Load() > 400 })
	primary.Stop(t, pgserver.Immediate)
	stop()
	standby.Promote(t)
	network.to(t, standby)

	before := done.Load()
	stop = load(t, standby, &done)
	waitFor(t, "transactions of the new primary", func() bool { return done.Load() > before+300 })
	stop()
	w.streaming(t, standby)
	equal(t, standby, target)
	require.NotContains(t, w.err.String(), "snapshot is taken again")
	w.stop(t)
}
