// SPDX-License-Identifier: Apache-2.0

package testdb

import (
	"context"
	"maps"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// standbySlot is the physical slot that the primary keeps its log for the standby with.
const standbySlot = "standby"

// firstFailover is the first version whose standbys keep logical slots.
const firstFailover = 17

// NewPrimaryStandby starts a primary and a hot standby that follows it, for this test alone. From PostgreSQL 17 on no
// logical slot with failover runs ahead of the standby, and SyncSlots copies such slots to it. Version is the server's.
func NewPrimaryStandby(t testing.TB, o Options) (primary, standby *Server) {
	t.Helper()
	primary = NewPostgres(t, o)
	primary.Exec(t, `select pg_create_physical_replication_slot($1, true)`, standbySlot)
	settings := map[string]string{
		"primary_conninfo": "host=" + primary.Host + " port=" + strconv.Itoa(primary.Port) + " user=" + primary.User +
			" password=" + primary.Password + " dbname=" + primary.Database + " application_name=" + standbySlot,
		"primary_slot_name":            standbySlot,
		"hot_standby_feedback":         "on",
		"wal_receiver_status_interval": "1s",
	}
	maps.Copy(settings, o.Settings)
	o.Settings = settings
	standby, err := startLike(o, primary)
	require.NoError(t, err)
	standby.Database = primary.Database
	t.Cleanup(func() {
		if err := standby.pg.Close(); err != nil {
			t.Errorf("close the standby: %v", err)
		}
	})
	if primary.Version(t) >= firstFailover {
		primary.Exec(t, `alter system set synchronized_standby_slots = '`+standbySlot+`'`)
		primary.Exec(t, `select pg_reload_conf()`)
	}
	standby.CatchUp(t, primary)
	return primary, standby
}

// Version is the server's major version.
func (s *Server) Version(t testing.TB) int {
	t.Helper()
	n, err := strconv.Atoi(s.Text(t, `select current_setting('server_version_num')::int / 10000`))
	require.NoError(t, err)
	return n
}

// CatchUp waits until a standby has replayed what its primary has written by now.
func (s *Server) CatchUp(t testing.TB, primary *Server) {
	t.Helper()
	end := primary.Text(t, `select pg_current_wal_flush_lsn()`)
	s.until(t, `select pg_last_wal_replay_lsn() >= '`+end+`'`)
}

// SyncSlots copies the primary's failover slots to this standby until the named one is there for good. The server refuses
// one that lies before what the standby still has, and one that nothing was confirmed to behind the place where its decoding
// starts: then the slot must move. step, if not nil, is called until that is so, and lets the slot's reader confirm what has
// come; it does not wait for more.
func (s *Server) SyncSlots(t testing.TB, primary *Server, slot string, step func()) {
	t.Helper()
	s.CatchUp(t, primary)
	s.poll(t, "slot "+slot+" on the standby", func(ctx context.Context, c *pgx.Conn) (bool, error) {
		if _, err := c.Exec(ctx, `select pg_sync_replication_slots()`); err != nil {
			return false, err
		}
		var ok bool
		err := c.QueryRow(ctx, `select exists (select from pg_replication_slots where slot_name = $1 and synced and not temporary)`, slot).Scan(&ok)
		if err != nil || ok {
			return ok, err
		}
		primary.Exec(t, `select pg_log_standby_snapshot()`)
		end := primary.Text(t, `select pg_current_wal_flush_lsn()`)
		confirmed := `select confirmed_flush_lsn >= '` + end + `' from pg_replication_slots where slot_name = '` + slot + `'`
		for step != nil && ctx.Err() == nil && primary.Text(t, confirmed) != "t" {
			step()
		}
		return false, ctx.Err()
	})
}

// Promote makes a standby a primary and waits until it takes writes. The old primary stays as it is.
func (s *Server) Promote(t testing.TB) {
	t.Helper()
	require.Equal(t, "t", s.Text(t, `select pg_promote(true, 60)`))
	s.until(t, `select not pg_is_in_recovery()`)
}

// until waits for a query to say true.
func (s *Server) until(t testing.TB, sql string) {
	t.Helper()
	s.poll(t, sql, func(ctx context.Context, c *pgx.Conn) (ok bool, err error) {
		err = c.QueryRow(ctx, sql).Scan(&ok)
		return ok, err
	})
}

func (s *Server) poll(t testing.TB, what string, done func(context.Context, *pgx.Conn) (bool, error)) {
	t.Helper()
	s.on(t, s.Database, func(ctx context.Context, c *pgx.Conn) {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			ok, err := done(ctx, c)
			require.NoError(t, err, "wait for %s", what)
			if ok {
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("waited in vain for %s", what)
			}
		}
	})
}
