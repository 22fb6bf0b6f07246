// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/internal/testdb"
	"freshet/schema"
	"freshet/sinks"
	"freshet/sinks/jdbc"
)

// TestLanesGoOnWhereEachOfThemIs holds the rule for offsets that were written by other numbers of connections.
func TestLanesGoOnWhereEachOfThemIs(t *testing.T) {
	type lanes = map[int]map[int]int64
	for _, c := range []struct {
		name   string
		n      int
		stored lanes
		at     int64
		want   []int64
	}{
		{"nothing", 2, lanes{}, -1, []int64{-1, -1}},
		{"one", 1, lanes{1: {0: 7}}, 7, []int64{7}},
		{"all the same", 2, lanes{2: {0: 7, 1: 7}}, 7, []int64{7, 7}},
		{"one ahead", 2, lanes{2: {0: 9, 1: 7}}, 7, []int64{9, 7}},
		{"first batch, one of two", 2, lanes{2: {1: 7}}, -1, []int64{-1, 7}},
		{"was one, never two", 2, lanes{1: {0: 7}}, 7, []int64{7, 7}},
		{"was two, then one", 2, lanes{1: {0: 30}, 2: {0: 9, 1: 7}}, 30, []int64{30, 30}},
		{"was one, then two", 2, lanes{1: {0: 7}, 2: {0: 30, 1: 9}}, 9, []int64{30, 9}},
		{"was one, first batch of two", 2, lanes{1: {0: 7}, 2: {0: 30}}, 7, []int64{7, 7}},
		{"was three", 1, lanes{1: {0: 2}, 3: {0: 5, 1: 4, 2: 6}}, 4, []int64{4}},
		{"as far", 2, lanes{1: {0: 7}, 2: {0: 8, 1: 7}}, 7, []int64{8, 7}},
	} {
		t.Run(c.name, func(t *testing.T) {
			at, got := jdbc.LanesAt(c.n, c.stored)
			require.Equal(t, c.at, at)
			require.Equal(t, c.want, got)
		})
	}
}

// TestLanesApplyEveryRecordOnce: new rows by a task of three connections that is broken when one of them has committed and one
// is held up. What is then read again must find no row of its own: no row is ever updated.
func TestLanesApplyEveryRecordOnce(t *testing.T) {
	defer jdbc.SetLaneRows(1)()
	s := testdb.Postgres(t)
	r, _ := newRand(t)
	f := newFeed("lanes", 1, fieldOf("id", schema.Int64), fieldOf("n", schema.Int64))
	const records = 3000
	properties := upsert(s, "offsets.table.name", "freshet_offsets", "write.connections", "3")
	s.Exec(t, "create table lanes(id bigint primary key, n bigint)")
	blocker := s.Connect(t)
	release := func() { _, _ = blocker.Exec(context.Background(), "rollback") } // a warning where nothing is held
	split := false
	m := mortal{
		rand: r, feed: f, records: records, least: 50, most: 250, steps: []string{"", "sink.commit.before", "sink.commit.after"},
		open: func() sinks.Writer { return open(t, properties, nil) },
		breakWriters: func() {
			breakWriters(s)
			release() // a lane that connects only now is not broken, and must not wait for ever
		},
		add: func(b *sinks.Batch) { f.change(b, change.Create, f.next, f.next) },
		before: func(step string, at int64) (after func()) {
			if step == "sink.commit.after" { // holds up the lane of this key
				_, err := blocker.Exec(t.Context(), "begin; insert into lanes values ("+strconv.FormatInt(at, 10)+") on conflict do nothing")
				require.NoError(t, err)
			}
			return release
		},
		died: func() { split = split || s.Text(t, "select count(distinct next_offset) from freshet_offsets") > "1" },
	}
	m.run(t)
	require.True(t, split, "a crash came between the commits of lanes")
	require.Equal(t, fmt.Sprint(records, " ", records-1), rows(t, s, "select count(*), max(id) from lanes"))
	require.Eventually(t, func() bool { // the server counts when its processes have ended
		n, err := strconv.Atoi(s.Text(t, "select n_tup_ins from pg_stat_user_tables where relname = 'lanes'"))
		return err == nil && n >= records
	}, 10*time.Second, 20*time.Millisecond)
	require.Equal(t, "0", s.Text(t, "select n_tup_upd from pg_stat_user_tables where relname = 'lanes'"))
}

// TestLanesOfChangingNumber: random changes of few keys, crashes, and another number of connections each time leave what the
// changes in order leave.
func TestLanesOfChangingNumber(t *testing.T) {
	defer jdbc.SetLaneRows(1)()
	s := testdb.Postgres(t)
	r, seed := newRand(t)
	f := newFeed("lanes", 1, fieldOf("id", schema.Int64), fieldOf("n", schema.Int64))
	const records, keys = 2000, 60
	s.Exec(t, "create table lanes(id bigint primary key, n bigint)")
	// The record at an offset is always the same one.
	key := func(at int64) int64 { return int64(rand.New(rand.NewPCG(seed, uint64(at))).IntN(keys)) }
	model := map[string]string{}
	for at := range int64(records) {
		if at%7 == 0 {
			delete(model, fmt.Sprint(key(at)))
		} else {
			model[fmt.Sprint(key(at))] = fmt.Sprint(at)
		}
	}
	m := mortal{
		rand: r, feed: f, records: records, least: 1, most: 101, steps: []string{"", "", "sink.commit.before", "sink.commit.after"},
		open: func() sinks.Writer {
			return open(t, upsert(s, "offsets.table.name", "freshet_offsets", "write.connections", strconv.Itoa(1+r.IntN(4))), nil)
		},
		breakWriters: func() { breakWriters(s) },
		add: func(b *sinks.Batch) {
			if f.next%7 == 0 {
				f.change(b, change.Delete, key(f.next), int64(0))
			} else {
				f.change(b, change.Update, key(f.next), f.next)
			}
		},
	}
	m.run(t)
	got := map[string]string{}
	for _, row := range s.Rows(t, "select id, n from lanes") {
		got[row[0]] = row[1]
	}
	require.Equal(t, model, got)
}

// transactionsOf is in how many transactions 400 new rows come, which may go over four connections.
func transactionsOf(t *testing.T, s *testdb.Server, key schema.Kind, value func(i int64) any) string {
	t.Helper()
	w := open(t, upsert(s, "write.connections", "4", "collection.name.format", "items"), nil)
	f := newFeed("items", 1, fieldOf("id", key), fieldOf("n", schema.Int64))
	write(t, w, func(b *sinks.Batch) {
		for i := range int64(400) {
			f.change(b, change.Create, value(i), i)
		}
	})
	require.NoError(t, w.Close(t.Context()))
	return s.Text(t, "select count(distinct xmin::text) from items")
}

// TestDependentRowsGoOverOneConnection: what would fail or lock out of order is in the target all the same.
func TestDependentRowsGoOverOneConnection(t *testing.T) {
	defer jdbc.SetLaneRows(1)()
	for extra, want := range map[string]string{
		"":                                 "4",
		"alter table items add unique (n)": "1",
		"create table child(id bigint references items on delete cascade)":                                                                                           "1",
		"create function f() returns trigger language plpgsql as 'begin return new; end'; create trigger t before insert on items for each row execute function f()": "1",
	} {
		t.Run(extra, func(t *testing.T) {
			s := testdb.Postgres(t)
			s.Exec(t, "create table items(id bigint primary key, n bigint)")
			script(t, s, extra)
			require.Equal(t, want, transactionsOf(t, s, schema.Int64, func(i int64) any { return i }))
		})
	}
}

// TestKeysThatAreTheSameToTheTargetGoOverOneConnection, whose order is theirs.
func TestKeysThatAreTheSameToTheTargetGoOverOneConnection(t *testing.T) {
	defer jdbc.SetLaneRows(1)()
	for typ, want := range map[string]string{"text": "4", "char(9)": "1", "text collate folded": "1"} {
		t.Run(typ, func(t *testing.T) {
			s := testdb.Postgres(t)
			s.Exec(t, "create collation folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
			s.Exec(t, "create table items(id "+typ+" primary key, n bigint)")
			require.Equal(t, want, transactionsOf(t, s, schema.String, func(i int64) any { return strconv.FormatInt(i, 10) }))
		})
	}
}
