// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/internal/testdb"
)

// leastPrivilege gives a new role what docs/operations/postgresql.md says, and no more: the same statements with other
// names. The owner made the publication. It is a fixture of that role.
func leastPrivilege(t *testing.T, properties ...string) *fixture {
	t.Helper()
	f := newFixture(t)
	role := f.Database + "_cdc"
	f.Exec(t, strings.ReplaceAll(`
create schema shop; create table shop.orders(id int primary key, v text); create table shop.beat(at timestamptz);
create table shop.signals(id varchar(42) primary key, type varchar(32) not null, data varchar(2048));
revoke all on schema public from public;

create role cdc with login replication password 'Canary-Least-1';
grant usage on schema shop to cdc;
grant select on shop.orders, shop.signals, shop.beat to cdc;
create publication `+f.raw["publication.name"]+` for table shop.orders, shop.signals, shop.beat;`, "cdc", role))
	t.Cleanup(func() { f.Exec(t, `drop owned by `+role+`; drop role `+role) })
	return f.with(append([]string{
		"database.user", role, "database.password", "Canary-Least-1", "publication.autocreate.mode", "disabled",
		"signal.data.collection", "shop.signals", "incremental.snapshot.chunk.size", "2", "slot.guard.interval.ms", "20",
	}, properties...)...)
}

func TestLeastPrivilegeCaptures(t *testing.T) {
	f := leastPrivilege(t, "snapshot.max.threads", "2", "xmin.fetch.interval.ms", "1")
	f.Exec(t, `insert into shop.orders values (1, 'a')`)
	o, err := parseOptions(f.values())
	require.NoError(t, err)
	requireNoFail(t, examined(t, f.Server, &o))

	s := f.open("")
	require.Equal(t, []string{"r orders {id=1} -> {id=1 v=a}"}, s.read(1))
	f.Exec(t, `insert into shop.orders values (2, 'b')`)
	s.read(1)
	f.Exec(t, `alter table shop.orders add w int default 7; insert into shop.orders values (3, 'c')`)
	require.Equal(t, []string{"c orders {id=3} -> {id=3 v=c w=7}"}, s.read(1), "the catalog can be asked")
	stored := s.untilCommit()
	s.commit(stored)
	waitFor(t, "the guard to see the slot", func() bool {
		seen := s.r.(capture.Observer).Observe().Slot
		return seen != nil && seen.Active && seen.Retained >= 0
	})
	s.close()
	f.Exec(t, `insert into shop.orders values (4, 'd')`)
	s = f.with("slot.drop.on.stop", "true").open(stored)
	require.Equal(t, []string{"c orders {id=4} -> {id=4 v=d w=7}"}, s.read(1))
	s.commit(s.untilCommit())
	s.close()
	require.Equal(t, "0", f.Text(t, `select count(*) from pg_replication_slots where slot_name = '`+f.Database+`'`), "it may drop its slot")
	require.NotContains(t, f.log.String(), "permission denied")
}

// TestLeastPrivilegeSignals: read-only snapshots need nothing more; watermarks in the table need INSERT.
func TestLeastPrivilegeSignals(t *testing.T) {
	f := leastPrivilege(t, "snapshot.mode", "no_data")
	f.Exec(t, `insert into shop.orders select g, 'v' from generate_series(1, 3) g`)
	s := f.with("read.only", "true").open("")
	f.Exec(t, `insert into shop.signals values ('1', 'execute-snapshot', '{"data-collections": ["shop.orders"]}')`)
	require.Len(t, snapshotRows(s, 3), 3)
	s.close()

	f.Exec(t, `grant insert on shop.signals to `+f.raw["database.user"])
	f.Exec(t, `select pg_drop_replication_slot('`+f.Database+`')`)
	s = f.open("")
	f.Exec(t, `insert into shop.signals values ('2', 'execute-snapshot', '{"data-collections": ["shop.orders"]}')`)
	require.Len(t, snapshotRows(s, 3), 3)
	require.NotContains(t, f.log.String(), "permission denied")
}

func TestLeastPrivilegeHeartbeat(t *testing.T) {
	f := leastPrivilege(t, "snapshot.mode", "no_data", "heartbeat.action.query", "insert into shop.beat values (now())")
	s := f.open("")
	beater := s.r.(capture.Beater)
	require.NoError(t, beater.Beat(t.Context()), "a query that may not run is told, and tried again")
	require.Contains(t, f.log.String(), "permission denied for table beat")
	f.Exec(t, `grant insert on shop.beat to `+f.raw["database.user"])
	require.NoError(t, beater.Beat(t.Context()))
	require.Equal(t, "1", f.Text(t, `select count(*) from shop.beat`))
	events, _ := s.next()
	require.Len(t, events, 1)
}

// TestLeastPrivilegeOnAStandby: nothing else is needed where the log is decoded on a standby.
func TestLeastPrivilegeOnAStandby(t *testing.T) {
	primary, standby := testdb.NewPrimaryStandby(t, testdb.Options{Version: "17"})
	primary.Exec(t, `create table a(id int primary key); insert into a values (1); create publication p for table a;
		create role cdc login replication password 'Canary-Least-1'; grant select on a to cdc`)
	standby.CatchUp(t, primary)
	stop := running(t, primary)
	defer stop()
	s := fixtureOn(t, standby, "database.user", "cdc", "database.password", "Canary-Least-1", "slot.name", "s",
		"publication.name", "p", "publication.autocreate.mode", "disabled").open("")
	require.Len(t, s.read(1), 1)
	primary.Exec(t, `insert into a values (2)`)
	require.Equal(t, []string{"c a {id=2} -> {id=2}"}, s.read(1))
}
