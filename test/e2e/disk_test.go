// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/internal/testdb"
)

// disk is a place for a data folder that becomes full.
type disk struct {
	dir   string
	words []string // what is said when it is full
	// limit is called with each worker that uses the disk. stay keeps it full once it is full: a worker finds room by
	// itself where only the size of a file is limited. grow makes room while workers run.
	limit, stay, grow func(t *testing.T, w *worker)
}

// megabyte is a text of that size.
const megabyte = "(select string_agg(md5(random()::text), '') from generate_series(1, 32768))"

// TestDiskFull: the work stops, what was acknowledged stays, and the work goes on by itself when there is room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	for _, d := range disks(t) {
		t.Run(d.words[0], func(t *testing.T) {
			t.Parallel()
			diskFull(t, d)
		})
	}
}

func diskFull(t *testing.T, d disk) {
	t.Helper()
	source, target := testdb.Postgres(t), testdb.Postgres(t)
	source.Exec(t, itemsDDL+"insert into items values (0, 0, 'snapshot')")
	s := pair(t, source, target)
	s.data = d.dir
	w := s.start(t)
	d.limit(t, w)
	equal(t, source, target)

	rows, trace := 0, ""
	waitFor(t, "the disk to be full", func() bool {
		rows++
		source.Exec(t, "insert into items values ($1, 0, "+megabyte+")", rows)
		task := w.status(t, sourceName).Tasks[0]
		trace = task.Trace
		return task.State == connect.Restarting && strings.Contains(trace, d.words[0])
	})
	d.stay(t, w)
	requireWords(t, trace, d.dir, "nothing acknowledged is lost", "work goes on at the next retry")
	requireWords(t, trace, d.words...)
	end := source.Text(t, "select pg_current_wal_lsn()")
	rows++
	source.Exec(t, "insert into items values ($1, 0, 'while it is full')", rows)

	// A worker can be stopped while the disk is full, with a word where its folder could not be closed, and started: it waits, or
	// says why it does not start.
	w.signal(t, syscall.SIGTERM)
	if code := w.wait(t); code != 0 {
		require.Equal(t, 1, code)
		requireWords(t, w.err.String(), append(d.words, d.dir)...)
	}
	require.Equal(t, "t", source.Text(t, "select confirmed_flush_lsn <= '"+end+"' from pg_replication_slots where slot_name = 'e2e_"+source.Database+"'"),
		"what is not stored is not confirmed")
	p := s.launch(t)
	waitFor(t, "the worker to be ready or to give up", func() bool { return p.ended() || len(p.logged("worker is ready")) > 0 })
	if p.ended() {
		require.Equal(t, 2, p.cmd.ProcessState.ExitCode())
		requireWords(t, p.err.String(), append(d.words, d.dir)...)
		d.grow(t, nil)
		w = s.start(t)
	} else {
		w = ready(t, p)
		d.grow(t, w)
	}
	w.await(t, sourceName, connect.Running)
	equal(t, source, target)
	want := map[string]string{"0": "r0"}
	for i := 1; i <= rows; i++ {
		want[strconv.Itoa(i)] = "c0"
	}
	w.awaitHistory(t, want)
	w.stop(t)
}
