// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/snapshot"
)

// replica is what a consumer has of the tables: rows by table and key, values by column.
type replica map[string]map[string]string

// apply takes an event as a sink does. A value that the database left out stays as it was.
func (r replica) apply(e event) {
	id := e.table + e.key
	if e.op == "d" {
		delete(r, id)
		return
	}
	if e.oldKey != "" && e.oldKey != e.key {
		r[id] = r[e.table+e.oldKey]
		delete(r, e.table+e.oldKey)
	}
	row := map[string]string{}
	for field := range strings.FieldsSeq(strings.Trim(e.after, "{}")) {
		name, v, _ := strings.Cut(field, "=")
		if v == "unavailable" && r[id] != nil { // else a window tells it later
			v = r[id][name]
		}
		row[name] = v
	}
	r[id] = row
}

// table is the replica's rows as text.
func (r replica) table(name string) map[string]string {
	out := map[string]string{}
	for id, row := range r {
		if strings.HasPrefix(id, name+"{") {
			out[row["id"]] = row["n"] + " " + row["v"]
		}
	}
	return out
}

func (f *fixture) table(name string) map[string]string {
	f.t.Helper()
	out := map[string]string{}
	for _, row := range f.Rows(f.t, `select id, n, v from `+name) {
		out[row[0]] = row[1] + " " + row[2]
	}
	return out
}

// TestSnapshotGoesOnAfterACrash kills the reader at every batch of a snapshot, while rows change, move and go. What is left
// comes by windows beside the stream, and in the end a consumer has what the source has: deleted rows are gone, and values
// that an update left out are there.
func TestSnapshotGoesOnAfterACrash(t *testing.T) {
	for _, spool := range []bool{false, true} {
		t.Run(fmt.Sprintf("spool %t", spool), func(t *testing.T) {
			for stop := 1; ; stop++ {
				if goesOn(t, stop, spool) {
					require.Greater(t, stop, 4)
					return
				}
			}
		})
	}
}

// goesOn kills after stop batches. It returns true where the snapshot was over by then.
func goesOn(t *testing.T, stop int, spool bool) (over bool) {
	t.Helper()
	f := newFixture(t, "max.batch.size", "40", "snapshot.max.threads.multiplier", "6", "incremental.snapshot.chunk.size", "50")
	if spool {
		f.spool = capture.NewSpool(newSpoolLog(t), "src")
	}
	f.Exec(t, `
		create table a(id int primary key, n int, v text); insert into a select g, 0, 'a' from generate_series(1, 20) g;
		create table b(id int primary key, n int, v text) with (fillfactor = 50); alter table b alter v set storage external;
		insert into b select g, 0, 'b' || g || repeat('x', case when g % 40 = 0 then 3000 else 300 end) from generate_series(1, 160) g;
		create table c(id int primary key, n int, v text); insert into c select g, 0, 'c' from generate_series(1, 20) g;
		create table k(id int, n int, v text); alter table k replica identity full; insert into k values (1, 0, 'k'), (2, 0, 'k')`)
	rng := rand.New(rand.NewPCG(uint64(stop), 7))
	change := func() {
		f.Exec(t, fmt.Sprintf(`update b set n = n + 1 where id %% 5 = %d; delete from b where id = %d; insert into b values (%d, 0, 'new')`,
			rng.IntN(5), 1+rng.IntN(160), 1000+rng.IntN(1_000_000)))
		f.Exec(t, fmt.Sprintf(`update b set id = id + 2000 where id = %d; update c set n = n + 1; delete from a where id = %d`, 1+rng.IntN(160), 1+rng.IntN(20)))
	}
	got := replica{}
	s := f.open("")
	for range stop {
		events, _ := s.next()
		for _, e := range events {
			got.apply(e)
		}
		change()
	}
	end := s.end
	p, err := parsePosition(end)
	require.NoError(t, err)
	s.close()
	if p.Completed {
		return true
	}
	require.NotEmpty(t, p.Finished)
	change()
	if stop%3 == 0 {
		f.Exec(t, `vacuum full b`)
	}
	for turn := 0; ; turn++ {
		s = f.open(end)
		require.Contains(t, f.log.String(), "the interrupted snapshot goes on")
		done := false
		for n := 0; !done && (turn > 2 || n < 3); n++ { // killed again, twice
			events, at := s.next()
			for _, e := range events {
				got.apply(e)
			}
			end = at
			if n == 1 {
				change()
			}
			done = !strings.Contains(string(at), "freshet_snapshots") && !strings.Contains(string(at), "freshet_blocks")
		}
		if !done {
			s.close()
			if turn == 1 && stop%2 == 0 {
				f.Exec(t, `vacuum full b`)
			}
			continue
		}
		break
	}
	f.Exec(t, `insert into a values (99, 0, 'end')`)
	for got.table("a")["99"] == "" {
		events, _ := s.next()
		for _, e := range events {
			got.apply(e)
		}
	}
	for _, name := range []string{"a", "b", "c"} {
		require.Equal(t, f.table(name), got.table(name), "table %s after %d batches", name, stop)
	}
	s.close()
	return false
}

// TestSnapshotOfAnotherProgramIsRepeated: Debezium's offsets do not say what is finished.
func TestSnapshotOfAnotherProgramIsRepeated(t *testing.T) {
	f := newFixture(t, "max.batch.size", "1")
	f.Exec(t, `create table t(id int primary key); insert into t values (1), (2)`)
	s := f.open("")
	s.next()
	p, err := parsePosition(s.end)
	require.NoError(t, err)
	s.close()
	p.Finished = ""
	s = f.open(p.Position())
	events := s.events(2)
	require.Equal(t, []string{"first", "last"}, []string{events[0].snapshot, events[1].snapshot})
	require.Contains(t, f.log.String(), "the stored snapshot is not finished")
}

// TestSnapshotWhoseTablesAreOthersIsRepeated, and so is one whose changes are gone from the server.
func TestSnapshotWhoseTablesAreOthersIsRepeated(t *testing.T) {
	f := newFixture(t, "max.batch.size", "1")
	f.Exec(t, `create table a(id int primary key); insert into a values (1), (2); create table b(id int primary key); insert into b values (1), (2)`)
	s := f.open("")
	for range 3 {
		s.next()
	}
	end := s.end
	require.Contains(t, string(end), `"tables":1`)
	s.close()
	f.Exec(t, `drop table a`)
	s = f.open(end)
	require.Len(t, s.events(2), 2)
	require.Contains(t, f.log.String(), "the interrupted snapshot is taken again")
	s.close()

	f.Exec(t, `create table a(id int primary key); insert into a values (1), (2)`)
	f.Exec(t, `select pg_replication_slot_advance('`+f.raw["slot.name"]+`', pg_current_wal_lsn())`)
	s = f.open(end)
	require.Equal(t, "r", s.events(4)[0].op)
	require.Contains(t, f.log.String(), "cannot go on and is taken again")
}

// A snapshot that goes on tells so, of the tables that are left and of its end, which is told with the position from which
// nothing is read again. Its rows carry the marker of windows (ADR 13).
func TestNoticesOfASnapshotThatGoesOn(t *testing.T) {
	f := newFixture(t, "max.batch.size", "10")
	f.notices = true
	f.Exec(t, `create table a(id int primary key); insert into a select generate_series(1, 20);
		create table b(id int primary key); insert into b select generate_series(1, 20);
		create table c(id int primary key)`)
	s := f.open("")
	for !strings.Contains(string(s.end), "freshet_blocks") || !slices.Contains(s.said(), "TABLE_SCAN_COMPLETED") {
		s.next()
	}
	require.NotContains(t, s.said(), "COMPLETED", "the snapshot is over, or this test proves nothing")
	end := s.end
	s.close()

	var jobs []capture.SnapshotJob
	f.jobs = func(all []capture.SnapshotJob) { jobs = all }
	s = f.open(end)
	rows := 0
	for !slices.Contains(s.said(), "COMPLETED") {
		events, _ := s.next()
		for _, e := range events {
			require.Equal(t, "incremental", e.snapshot)
			rows++
		}
	}
	require.Equal(t, 20, rows)
	var said []string
	for _, n := range s.notices {
		require.Equal(t, "Initial Snapshot", n.Aggregate)
		said = append(said, n.Type)
	}
	require.Equal(t, []string{"STARTED", "IN_PROGRESS", "TABLE_SCAN_COMPLETED", "TABLE_SCAN_COMPLETED", "COMPLETED"}, said)
	require.NotContains(t, string(s.end), "freshet_")
	require.Len(t, jobs, 1)
	require.Equal(t, "initial", jobs[0].Type)
	require.Equal(t, snapshot.StateCompleted, jobs[0].State)
	end = s.end
	s.close()

	s = f.open(end)
	events, _ := s.next()
	require.Empty(t, events)
	require.Equal(t, []string{"SKIPPED"}, s.said())
}
