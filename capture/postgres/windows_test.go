// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
)

// demanding opens a Reader that takes signals from a table, and from a channel.
func demanding(f *fixture, more ...string) (*session, chan capture.Signal) {
	f.t.Helper()
	f.Exec(f.t, `create table if not exists signals(id varchar(42) primary key, type varchar(32) not null, data varchar(2048))`)
	signals := make(chan capture.Signal, 10)
	g := f.with(append([]string{"snapshot.mode", "no_data", "signal.data.collection", "public.signals", "incremental.snapshot.chunk.size", "2"}, more...)...)
	g.signals = signals
	return g.open(""), signals
}

// rows reads until the rows of a snapshot, without those of the signal table, are n.
func snapshotRows(s *session, n int) []string {
	s.t.Helper()
	var out []string
	for len(out) < n {
		got, _ := s.next()
		for _, e := range got {
			if text := e.String(); strings.HasPrefix(text, "r ") {
				out = append(out, text)
			}
		}
	}
	return out
}

func TestSnapshotBySignalTable(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table a(id int primary key, v text); insert into a select g, 'v'||g from generate_series(1,5) g`)
	s, _ := demanding(f)
	f.Exec(t, `insert into signals values ('s1','execute-snapshot','{"data-collections":["public.a"]}')`)
	require.Equal(t, []string{"r a {id=1} -> {id=1 v=v1}", "r a {id=2} -> {id=2 v=v2}", "r a {id=3} -> {id=3 v=v3}", "r a {id=4} -> {id=4 v=v4}", "r a {id=5} -> {id=5 v=v5}"}, snapshotRows(s, 5))
}

func TestSnapshotWithoutWatermarksInTables(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table k(v text, n int); insert into k values ('x',1),('x',1),('y',2),(null,3),(null,4); create table a(id int primary key, at timestamptz)`)
	f.Exec(t, `insert into a select g, '2026-01-01' from generate_series(1,3) g`)
	s, signals := demanding(f, "read.only", "true")
	t.Cleanup(func() { t.Log(f.log.String()) })
	signals <- capture.Signal{ID: "1", Type: "execute-snapshot", Data: `{"data-collections":["public\\.k"],"surrogate-key":"v"}`}
	require.ElementsMatch(t, []string{"r k  -> {v=x n=1}", "r k  -> {v=x n=1}", "r k  -> {v=y n=2}", "r k  -> {v=null n=3}", "r k  -> {v=null n=4}"}, snapshotRows(s, 5),
		"every row, also where the surrogate is neither unique nor not null")
	signals <- capture.Signal{ID: "2", Type: "execute-snapshot", Data: `{"data-collections":["public.a"],"additional-conditions":[{"data-collection":"public.a","filter":"id <> 2"}]}`}
	t.Log(f.log.String())
	require.Len(t, snapshotRows(s, 2), 2)
	require.Equal(t, "0", f.Text(t, `select count(*) from signals`), "nothing is written")
}

// ddl_inside_incremental_snapshot: a table that is altered between two windows, or in one, is emitted as it is then.
func Test_ddl_inside_incremental_snapshot(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table a(id int primary key, v text); insert into a select g, 'v' from generate_series(1,4) g`)
	s, _ := demanding(f)
	f.Exec(t, `insert into signals values ('s1','execute-snapshot','{"data-collections":["public.a"]}')`)
	first := snapshotRows(s, 2)
	require.Equal(t, "r a {id=1} -> {id=1 v=v}", first[0])
	f.Exec(t, `alter table a add column w int default 7; update a set v = 'new' where id = 4`)
	rest := strings.Join(snapshotRows(s, 2), "\n")
	require.Contains(t, rest, "w=7")
}

// Rows that change while they are read: whatever the order, the last event of a key tells its last state.
func TestSnapshotRacesWithChanges(t *testing.T) {
	f := newFixture(t)
	const keys = 40
	f.Exec(t, fmt.Sprintf(`create table a(id int primary key, n int not null, big text); alter table a alter big set storage external;
insert into a select g, 0, repeat('x', 3000) from generate_series(1,%d) g`, keys))
	s, _ := demanding(f, "incremental.snapshot.chunk.size", "7")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	conn := f.Connect(t)
	written := make(chan error, 1)
	go func() {
		var err error
		for i := 0; ctx.Err() == nil && err == nil; i++ {
			k := i*13%keys + 1
			switch i % 5 {
			case 3:
				_, err = conn.Exec(context.WithoutCancel(ctx), `delete from a where id = $1`, k)
			case 4:
				_, err = conn.Exec(context.WithoutCancel(ctx), `insert into a values ($1, $2, repeat('y', 3000)) on conflict (id) do update set n = excluded.n`, k, i)
			default:
				_, err = conn.Exec(context.WithoutCancel(ctx), `update a set n = n + 1 where id = $1`, k)
			}
		}
		written <- err
	}()
	f.Exec(t, `insert into signals values ('s1','execute-snapshot','{"data-collections":["public.a"]}')`)
	state, reads := map[string]string{}, 0
	deadline := time.Now().Add(time.Minute)
	for stopped := false; ; {
		got, end := s.next()
		for _, e := range got {
			text := e.String()
			op, rest, _ := strings.Cut(text, " ")
			if !strings.HasPrefix(rest, "a ") {
				continue
			}
			key := rest[strings.Index(rest, "{id=") : strings.Index(rest, "}")+1]
			switch op {
			case "d":
				delete(state, key)
			case "r":
				reads++
				fallthrough
			default:
				after := rest[strings.LastIndex(rest, "-> ")+3:]
				if strings.Contains(after, "big=unavailable") {
					if old, known := state[key]; known { // else a row of the snapshot comes later
						after = strings.Replace(after, "big=unavailable", old[strings.Index(old, "big="):len(old)-1], 1)
					}
				}
				state[key] = after
			}
		}
		if !stopped && reads > 0 && !strings.Contains(string(end), "freshet_snapshots") {
			stop()
			require.NoError(t, <-written)
			f.Exec(t, `insert into signals values ('end','log','{"message":"end"}')`)
			stopped = true
		}
		if stopped && strings.Contains(fmt.Sprint(got), "end") {
			break
		}
		require.True(t, time.Now().Before(deadline), "the snapshot does not end")
	}
	want := map[string]string{}
	for _, row := range f.Rows(t, `select id, n, big from a`) {
		want["{id="+row[0]+"}"] = fmt.Sprintf("{id=%s n=%s big=%s}", row[0], row[1], row[2])
	}
	require.Equal(t, want, state)
}

func TestBlockingSnapshot(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table a(id int primary key); insert into a values (1),(2),(3)`)
	s, _ := demanding(f)
	f.Exec(t, `insert into signals values ('b','execute-snapshot','{"data-collections":["public.a"],"type":"blocking","additional-conditions":[{"data-collection":"public.a","filter":"select * from a where id < 3"}]}')`)
	require.Equal(t, []string{"r a {id=1} -> {id=1}", "r a {id=2} -> {id=2}"}, snapshotRows(s, 2))
	f.Exec(t, `insert into a values (9)`)
	for {
		got, _ := s.next()
		if len(got) > 0 && strings.Contains(got[0].String(), "id=9") {
			return
		}
	}
}

// said are the types of the notices that have come.
func (s *session) said() (out []string) {
	for _, n := range s.notices {
		out = append(out, n.Type)
	}
	return out
}

// The phases of snapshots come with the batches that they belong to: SKIPPED first, those of a blocking snapshot around
// its rows, COMPLETED with the position from which it is not taken again.
func TestNoticesOfSnapshots(t *testing.T) {
	f := newFixture(t)
	f.notices = true
	f.Exec(t, `create table a(id int primary key); insert into a values (1),(2)`)
	s := f.open("")
	require.Len(t, s.events(2), 2)
	require.Equal(t, []string{"STARTED", "IN_PROGRESS", "TABLE_SCAN_COMPLETED", "COMPLETED"}, s.said())
	end := s.end
	s.close()

	f.signals = make(chan capture.Signal, 1)
	s = f.open(end)
	events, moved := s.next()
	require.Empty(t, events)
	require.Equal(t, []string{"SKIPPED"}, s.said(), "it waits for no change")
	require.Empty(t, moved, "and moves no position")
	f.signals <- capture.Signal{ID: "b", Type: "execute-snapshot", Data: `{"data-collections":["public.a"],"type":"blocking"}`}
	var rows int
	for s.notices[len(s.notices)-1].Type != "COMPLETED" {
		before := len(s.notices)
		events, end := s.next()
		rows += len(events)
		if slices.Contains(s.said()[before:], "COMPLETED") {
			require.NotContains(t, string(end), "freshet_snapshots")
		} else if len(s.notices) > before {
			require.Contains(t, string(end), "freshet_snapshots")
		}
	}
	require.Equal(t, 2, rows)
	require.Equal(t, []string{"SKIPPED", "STARTED", "IN_PROGRESS", "TABLE_SCAN_COMPLETED", "COMPLETED"}, s.said())
	s.close()

	s = f.open(s.end)
	f.Exec(t, `insert into a values (9)`)
	require.Equal(t, []string{"c a {id=9} -> {id=9}"}, s.read(1))
	require.Equal(t, []string{"SKIPPED"}, s.said())
}
