// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"errors"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/internal/testdb"
)

// untilFailed reads on, opening anew after errors that may pass, until the connector fails for good.
func (f *fixture) untilFailed(s *session, within time.Duration) error {
	f.t.Helper()
	end := s.end
	for until := time.Now().Add(within); time.Now().Before(until); {
		_, _, err := s.tryNext(within)
		if err == nil {
			end = s.end
			s.commit(end)
			continue
		}
		if !retriable(err) {
			return err
		}
		s.close()
		r, err := f.tryOpen(end)
		if err != nil {
			if !retriable(err) {
				return err
			}
			continue
		}
		s = &session{t: f.t, r: r}
		f.t.Cleanup(s.close)
	}
	f.t.Fatal("not failed within", within)
	return nil
}

// lost wants an error with the range of lost positions and the commands that repair it.
func lost(t *testing.T, err error, words ...string) {
	t.Helper()
	require.False(t, retriable(err), "%v", err)
	for _, w := range append(words, "next step: ", "snapshot.mode=when_needed", "POST /connectors/src/snapshots", "changes from ") {
		require.ErrorContains(t, err, w)
	}
	var gap *gapError
	require.ErrorAs(t, err, &gap)
}

func TestSlotDroppedWhileStreamingFailsWithin30s(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	f.Exec(t, `insert into a values (1)`)
	s.read(1)
	s.commit(s.untilCommit())
	waitFor(t, "the slot to be dropped", func() bool {
		f.Exec(t, `select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '`+f.Database+`' and active`)
		f.Exec(t, `select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '`+f.Database+`' and not active`)
		return f.Text(t, `select count(*) from pg_replication_slots where slot_name = '`+f.Database+`'`) == "0"
	})
	f.Exec(t, `insert into a values (2)`)
	lost(t, f.untilFailed(s, 30*time.Second), "the slot does not exist")
}

func TestSlotInvalidatedWhileStreamingFailsWithin30s(t *testing.T) {
	db := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{
		"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "1GB", "wal_keep_size": "0", // no checkpoint but ours
	}})
	f := fixtureOn(t, db, "snapshot.mode", "no_data", "slot.guard.interval.ms", "100")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	f.Exec(t, `insert into a values (1)`)
	s.read(1)
	s.untilCommit()
	waitFor(t, "a warning", func() bool { // nothing is committed meanwhile, and nobody reads here: the socket is full
		f.Exec(t, `select pg_logical_emit_message(false, 'x', repeat('x', 8000000))`)
		f.Exec(t, `select pg_switch_wal()`)
		return strings.Contains(f.log.String(), "the slot is in danger")
	})
	waitFor(t, "the slot to be lost", func() bool {
		f.Exec(t, `checkpoint`)
		return f.Text(t, `select wal_status from pg_replication_slots`) == "lost"
	})
	lost(t, f.untilFailed(s, 30*time.Second), "lost")
}

// A snapshot may take hours: the guard watches all the while, and the Reader says that it is the snapshot.
func TestGuardWatchesDuringTheSnapshot(t *testing.T) {
	f := newFixture(t, "slot.guard.interval.ms", "50")
	f.Exec(t, `create table a(id int primary key); insert into a values (1)`)
	s := f.open("")
	o := s.r.(capture.Observer)
	waitFor(t, "a look at the slot", func() bool { return o.Observe().Slot != nil })
	seen := o.Observe()
	require.Equal(t, "snapshot", seen.Phase)
	require.False(t, seen.Connected)
	require.Equal(t, "reserved", seen.Slot.Status)
	require.Equal(t, f.Text(t, `select system_identifier from pg_control_system()`), seen.Slot.System)
	s.read(1)
	f.Exec(t, `insert into a values (2)`)
	s.read(1)
	seen = o.Observe()
	require.Equal(t, "streaming", seen.Phase)
	require.True(t, seen.Connected)
	waitFor(t, "the walsender's progress", func() bool {
		seen := o.Observe()
		return seen.Slot.Active && seen.Sent != 0 && seen.Slot.Retained >= 0
	})
}

// The position of another server says nothing here, even where a slot of that name reaches it.
func TestAnotherClusterFails(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	f.Exec(t, `insert into a values (1)`)
	s.read(1)
	from := s.untilCommit()
	s.close()
	p, err := parsePosition(from)
	require.NoError(t, err)
	require.Equal(t, f.Text(t, `select system_identifier from pg_control_system()`), f.Text(t, `select `+lsnText(p.System)))
	require.EqualValues(t, 1, p.Timeline)

	p.System++
	_, err = f.tryOpen(p.Position())
	lost(t, err, "this is another cluster")
	f.Exec(t, `insert into a values (2)`)
	again := f.with("snapshot.mode", "when_needed").open(p.Position())
	require.Equal(t, []string{"r a {id=1} -> {id=1}", "r a {id=2} -> {id=2}"}, again.read(2))
}

func TestPositionsOfOtherTimelines(t *testing.T) {
	const history = "1\t0/3000000\tno recovery target specified\n\n2\t0/5000000\tbefore 2026-01-01\n"
	read := func(int64) (string, error) { return history, nil }
	at := func(timeline int64, proc lsn) position { return position{System: 7, Timeline: timeline, Proc: proc} }
	for name, c := range map[string]struct {
		from position
		now  cluster
		want string
	}{
		"same":                         {at(1, 0x2000000), cluster{7, 1}, ""},
		"another cluster":              {at(1, 0x2000000), cluster{8, 1}, "another cluster"},
		"nothing remembered":           {position{Proc: 0x2000000}, cluster{8, 3}, ""},
		"a standby":                    {at(1, 0x2000000), cluster{7, 0}, ""},
		"promoted with the log":        {at(1, 0x3000000), cluster{7, 3}, ""},
		"promoted without the last":    {at(1, 0x3000001), cluster{7, 3}, "changes from 0/3000000 to 0/6000000 are lost"},
		"the second promotion":         {at(2, 0x5000000), cluster{7, 3}, ""},
		"behind the second promotion":  {at(2, 0x5000008), cluster{7, 3}, "left timeline 2 at 0/5000000"},
		"the primary of before":        {at(4, 0x5000000), cluster{7, 3}, "the later timeline 4"},
		"a timeline of another branch": {at(3, 0x5000000), cluster{7, 5}, "does not descend"},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkCluster(c.from, c.now, 0x6000000, read)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
	broken := errors.New("gone")
	require.ErrorIs(t, checkCluster(at(1, 1), cluster{7, 2}, 2, func(int64) (string, error) { return "", broken }), broken)
}

// The guard believes one look that finds changes gone only when the next one finds it too.
func TestGuardLooksTwice(t *testing.T) {
	f := newFixture(t)
	o, err := parseOptions(f.values())
	require.NoError(t, err)
	r := newReader(&o, discard(), dialer{o: &o, name: "src"}, nil, position{})
	r.began.Store(100)
	good := sighting{slot: &slotState{Restart: 50, Confirmed: 100, WALStatus: "reserved", Active: true}, safe: -1, max: -1, end: 200}
	gone := sighting{end: 200}
	require.NoError(t, r.guard.judge(gone))
	require.NoError(t, r.guard.judge(good))
	require.NoError(t, r.guard.judge(gone))
	lost(t, r.guard.judge(gone), "changes from 0/64 to 0/C8 are lost")

	moved := good
	moved.slot = &slotState{Restart: 50, Confirmed: 150, WALStatus: "reserved"}
	r.guard.faults = 1
	lost(t, r.guard.judge(moved), "the slot was advanced to 0/96 by somebody else")
	r.guard.faults = 1
	invalid := good
	invalid.reason = "idle_timeout"
	lost(t, r.guard.judge(invalid), "invalidated the slot: idle_timeout")
}

func TestGuardForecastsAndWarns(t *testing.T) {
	f := newFixture(t)
	o, err := parseOptions(f.values())
	require.NoError(t, err)
	log := f.logger()
	r := newReader(&o, log, dialer{o: &o, name: "src"}, nil, position{})
	at := time.Unix(1000, 0)
	see := func(safe int64) *capture.SlotState {
		at = at.Add(10 * time.Second)
		s := sighting{slot: &slotState{Restart: 50, Confirmed: 100, WALStatus: "extended"}, safe: safe, max: 1 << 30, end: 200, at: at}
		require.NoError(t, r.guard.judge(s))
		state, _ := r.guard.seen()
		return state
	}
	require.Equal(t, -1.0, see(1<<30).HoursLeft, "one look tells no rate")
	for i := range 40 {
		see(1<<30 - int64(i+1)*10_000)
	}
	s := see(1<<30 - 41*10_000)
	require.InEpsilon(t, float64(1<<30)/1000/3600, s.HoursLeft, 0.02)
	require.Empty(t, s.Warning)
	require.Contains(t, see(1<<27).Warning, "max_slot_wal_keep_size are left")
	see(1<<27 - 1)
	require.Equal(t, 1, countOf(f.log.String(), "the slot is in danger"), "not twice in a while")
	at = at.Add(guardReminder)
	see(1<<27 - 2)
	require.Equal(t, 2, countOf(f.log.String(), "the slot is in danger"))
	for range 100 {
		see(1 << 30)
	}
	require.Contains(t, f.log.String(), "the slot is well again")
	require.False(t, math.IsInf(see(1<<30).HoursLeft, 0))
}

// A position that was never handed out is not confirmed, whoever asks.
func TestInvariantConfirmedIsHandedOut(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	f.Exec(t, `insert into a values (1)`)
	s.read(1)
	end := s.untilCommit()
	p, err := parsePosition(end)
	require.NoError(t, err)
	p.Proc += 1 << 30
	var broken *capture.InvariantError
	require.ErrorAs(t, s.r.Commit(t.Context(), p.Position()), &broken)
	require.False(t, broken.Retriable())
	require.NoError(t, s.r.Commit(t.Context(), end))
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (f *fixture) logger() *slog.Logger { return slog.New(slog.NewTextHandler(f.log, nil)) }

func countOf(s, part string) int { return strings.Count(s, part) }

func lsnText(n int64) string { return strconv.FormatInt(n, 10) }
