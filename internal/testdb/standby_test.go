// SPDX-License-Identifier: Apache-2.0

package testdb_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/internal/pgserver"
	"freshet/internal/testdb"
)

func TestStandbyFollowsAndIsPromoted(t *testing.T) {
	primary, standby := testdb.NewPrimaryStandby(t, testdb.Options{})
	primary.Exec(t, `create table x (i int); insert into x values (7)`)
	standby.CatchUp(t, primary)
	require.Equal(t, "7", standby.Text(t, `select i from x`))
	require.Equal(t, "t", standby.Text(t, `select pg_is_in_recovery()`))
	require.Equal(t, primary.Text(t, `select system_identifier from pg_control_system()`), standby.Text(t, `select system_identifier from pg_control_system()`))

	primary.Stop(t, pgserver.Immediate)
	standby.Promote(t)
	standby.Exec(t, `insert into x values (8)`)
	require.Equal(t, "15", standby.Text(t, `select sum(i) from x`))
	primary.Start(t) // as the old primary that nobody told
	require.Equal(t, "7", primary.Text(t, `select sum(i) from x`))
}

func TestFailoverSlotsAreCopied(t *testing.T) {
	primary, standby := testdb.NewPrimaryStandby(t, testdb.Options{Version: "17"})
	primary.Exec(t, `select pg_create_logical_replication_slot('s', 'pgoutput', false, false, true)`)
	standby.SyncSlots(t, primary, "s", nil)
	require.Equal(t, "f", standby.Text(t, `select active from pg_replication_slots where slot_name = 's'`))
}
