// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/internal/testdb"
)

// TestShutdownDrains: SIGTERM in the middle of the work ends it soon, with exit code 0. What was read is acknowledged, and
// the next start repeats nothing: the sink only inserts, into a table without a key, so every repeat would show.
func TestShutdownDrains(t *testing.T) {
	t.Parallel()
	source, target := testdb.Postgres(t), testdb.Postgres(t)
	source.Exec(t, itemsDDL)
	target.Exec(t, "create table events(id int, n int, note text, op text)")
	s := pair(t, source, target)
	s.connectors[sourceName] = s.connectors[sourceName].with(properties{"max.batch.size": "100", "snapshot.mode": "no_data"})
	s.connectors[sinkName] = s.connectors[sinkName].with(properties{
		"insert.mode": "insert", "primary.key.mode": "none", "delete.enabled": "false", "truncate.enabled": "false",
		"collection.name.format": "events", "offsets.table.name": "freshet_offsets", "batch.size": "100",
		"transforms": "unwrap", "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState",
	})

	const rounds, rows = 5, 2000
	for round := range rounds {
		w := s.start(t)
		w.streaming(t, source)
		source.Exec(t, "insert into items select g, 0, 'x' from generate_series($1::int, $2::int) g", round*rows+1, (round+1)*rows)
		// Somewhere in the middle of the round.
		waitFor(t, "some of the round to be applied", func() bool {
			n, err := strconv.Atoi(target.Text(t, "select count(*) from events"))
			return err == nil && n > round*rows
		})
		begin := time.Now()
		w.stop(t)
		require.Less(t, time.Since(begin), 15*time.Second)
		require.Len(t, w.logged("task has stopped"), 2)
		require.Len(t, w.logged("worker has stopped"), 1)
		require.Empty(t, w.logged("task ended with an error while it was being stopped"))
		require.Equal(t, "f", source.Text(t, "select active from pg_replication_slots where slot_name = 'e2e_"+source.Database+"'"), "the slot is free at once")
	}
	w := s.start(t)
	waitFor(t, "all to be applied", func() bool { return target.Text(t, "select count(*) from events") == strconv.Itoa(rounds*rows) })
	require.Equal(t, strconv.Itoa(rounds*rows), target.Text(t, "select count(distinct id) from events"))
	require.Len(t, w.records(t, itemsTopic), rounds*rows, "nothing is twice in the topic either")
	require.Equal(t, connect.Running, w.status(t, sinkName).Tasks[0].State)

	// Everything is acknowledged once the worker is idle: another start has nothing to read.
	end := source.Text(t, "select pg_current_wal_lsn()")
	waitFor(t, "the slot to be at the end", func() bool {
		return source.Text(t, "select confirmed_flush_lsn >= '"+end+"' from pg_replication_slots where slot_name = 'e2e_"+source.Database+"'") == "t"
	})
	w.stop(t)
}

// TestSecondSignal: who is in a hurry sends the signal again.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	source, target, s, w := frozenTarget(t, "600000")
	source.Exec(t, "update items set n = 1")
	w.awaitHistory(t, map[string]string{"1": "r0 u1"})
	waitFor(t, "the worker to end at a second signal", func() bool {
		_ = w.cmd.Process.Signal(os.Interrupt) // it may have ended
		return w.ended()
	})
	require.NotZero(t, w.cmd.ProcessState.ExitCode())
	target.Thaw(t)
	w = s.start(t)
	equal(t, source, target)
	w.stop(t)
}
