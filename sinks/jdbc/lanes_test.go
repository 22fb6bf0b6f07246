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
	"freshet/emitter/topic"
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
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	f := newFeed("lanes", 1, fieldOf("id", schema.Int64), fieldOf("n", schema.Int64))
	p := topic.Partition{Topic: "lanes"}
	const records = 3000
	properties := upsert(s, "offsets.table.name", "freshet_offsets", "write.connections", "3")
	s.Exec(t, "create table lanes(id bigint primary key, n bigint)")
	blocker := s.Connect(t)
	split := false
	for {
		w := open(t, properties, nil)
		positions, err := w.(sinks.Positioner).Positions(t.Context())
		require.NoError(t, err)
		at := positions[p]
		if at == records {
			require.NoError(t, w.Close(t.Context()))
			break
		}
		for crashed := false; !crashed && at < records; at = f.next {
			b := newBatch()
			f.next = at
			for n := min(records-at, 50+r.Int64N(200)); n > 0; n-- {
				f.change(b, change.Create, f.next, f.next)
			}
			step := []string{"", "sink.commit.before", "sink.commit.after"}[r.IntN(3)]
			if step == "sink.commit.after" { // holds up the lane of this key
				_, err := blocker.Exec(t.Context(), "begin; insert into lanes values ("+strconv.FormatInt(at, 10)+") on conflict do nothing")
				require.NoError(t, err)
			}
			crashed = !survives(t, w, b, step, func() { breakWriters(s) })
			_, err := blocker.Exec(t.Context(), "rollback")
			require.NoError(t, err)
		}
		breakWriters(s)
		_ = w.Close(context.WithoutCancel(t.Context())) // its connections are gone
		split = split || s.Text(t, "select count(distinct next_offset) from freshet_offsets") > "1"
	}
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
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	f := newFeed("lanes", 1, fieldOf("id", schema.Int64), fieldOf("n", schema.Int64))
	p := topic.Partition{Topic: "lanes"}
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
	for {
		w := open(t, upsert(s, "offsets.table.name", "freshet_offsets", "write.connections", strconv.Itoa(1+r.IntN(4))), nil)
		positions, err := w.(sinks.Positioner).Positions(t.Context())
		require.NoError(t, err)
		at := positions[p]
		if at == records {
			require.NoError(t, w.Close(t.Context()))
			break
		}
		for crashed := false; !crashed && at < records; at = f.next {
			b := newBatch()
			f.next = at
			for n := min(records-at, 1+r.Int64N(100)); n > 0; n-- {
				if f.next%7 == 0 {
					f.change(b, change.Delete, key(f.next), int64(0))
				} else {
					f.change(b, change.Update, key(f.next), f.next)
				}
			}
			step := []string{"", "", "sink.commit.before", "sink.commit.after"}[r.IntN(4)]
			crashed = !survives(t, w, b, step, func() { breakWriters(s) })
		}
		breakWriters(s)
		_ = w.Close(context.WithoutCancel(t.Context()))
	}
	got := map[string]string{}
	for _, row := range s.Rows(t, "select id, n from lanes") {
		got[row[0]] = row[1]
	}
	require.Equal(t, model, got)
}

// TestDependentRowsGoOverOneConnection: what would fail or lock out of order is in the target all the same.
func TestDependentRowsGoOverOneConnection(t *testing.T) {
	defer jdbc.SetLaneRows(1)()
	for _, extra := range []string{
		"alter table items add unique (n)",
		"create table child(id bigint references items on delete cascade)",
		"create function f() returns trigger language plpgsql as 'begin return new; end'; create trigger t before insert on items for each row execute function f()",
	} {
		t.Run(extra, func(t *testing.T) {
			s := testdb.Postgres(t)
			s.Exec(t, "create table items(id bigint primary key, n bigint)")
			require.NoError(t, s.Script(t, extra))
			w := open(t, upsert(s, "write.connections", "4", "collection.name.format", "items"), nil)
			defer w.Close(t.Context())
			f := newFeed("items", 1, fieldOf("id", schema.Int64), fieldOf("n", schema.Int64))
			write(t, w, func(b *sinks.Batch) {
				for i := range int64(400) {
					f.change(b, change.Create, i, i)
				}
			})
			require.Equal(t, "1", s.Text(t, "select count(distinct xmin::text) from items"), "one transaction")
		})
	}
	s := testdb.Postgres(t)
	s.Exec(t, "create table items(id bigint primary key, n bigint)")
	w := open(t, upsert(s, "write.connections", "4", "collection.name.format", "items"), nil)
	defer w.Close(t.Context())
	f := newFeed("items", 1, fieldOf("id", schema.Int64), fieldOf("n", schema.Int64))
	write(t, w, func(b *sinks.Batch) {
		for i := range int64(400) {
			f.change(b, change.Create, i, i)
		}
	})
	require.Equal(t, "4", s.Text(t, "select count(distinct xmin::text) from items"), "four transactions")
}

// TestKeysThatAreTheSameToTheTargetGoOverOneConnection, whose order is theirs.
func TestKeysThatAreTheSameToTheTargetGoOverOneConnection(t *testing.T) {
	defer jdbc.SetLaneRows(1)()
	for typ, want := range map[string]string{"text": "4", "char(9)": "1", "text collate folded": "1"} {
		t.Run(typ, func(t *testing.T) {
			s := testdb.Postgres(t)
			s.Exec(t, "create collation folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
			s.Exec(t, "create table items(id "+typ+" primary key, n bigint)")
			w := open(t, upsert(s, "write.connections", "4", "collection.name.format", "items"), nil)
			defer w.Close(t.Context())
			f := newFeed("items", 1, fieldOf("id", schema.String), fieldOf("n", schema.Int64))
			write(t, w, func(b *sinks.Batch) {
				for i := range int64(400) {
					f.change(b, change.Create, strconv.FormatInt(i, 10), i)
				}
			})
			require.Equal(t, want, s.Text(t, "select count(distinct xmin::text) from items"))
		})
	}
}
