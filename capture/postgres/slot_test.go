// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/change"
	"freshet/config"
	"freshet/internal/pgserver"
	"freshet/internal/testdb"
)

// slotIs is one column of the connector's slot.
func (f *fixture) slotIs(column string) string {
	f.t.Helper()
	return f.Text(f.t, `select to_jsonb(s) ->> '`+column+`' from pg_replication_slots s where slot_name = '`+f.raw["slot.name"]+`'`)
}

func TestSlotFailover(t *testing.T) {
	f := newFixture(t, "slot.failover", "true")
	f.taken()
	if f.Version(t) < firstFailover {
		require.Contains(t, f.log.String(), "slot.failover has no effect")
		return
	}
	require.Equal(t, "true", f.slotIs("failover"))
	require.NotContains(t, f.log.String(), "slot.failover")
}

func TestFailoverSlotFollowsThePromotion(t *testing.T) {
	primary, standby := testdb.NewPrimaryStandby(t, testdb.Options{Version: "17"})
	f := fixtureOn(t, primary, "slot.name", "s", "slot.failover", "true", "status.update.interval.ms", "20")
	stored := f.taken()
	s := f.open(stored)
	standby.SyncSlots(t, primary, "s", func() {
		events, end, err := s.tryNext(50 * time.Millisecond)
		if errors.Is(err, context.DeadlineExceeded) {
			return
		}
		require.NoError(t, err)
		require.Empty(t, events)
		if end != "" {
			stored = end
			s.commit(stored)
		}
	})
	s.close()
	f.Exec(t, `insert into a values (3)`)
	standby.CatchUp(t, primary)
	primary.Stop(t, pgserver.Immediate)
	standby.Promote(t)
	standby.Exec(t, `insert into a values (4)`)

	g := fixtureOn(t, standby, "slot.name", "s", "publication.name", f.raw["publication.name"])
	s = g.open(stored)
	require.Equal(t, []string{"c a {id=3} -> {id=3}", "c a {id=4} -> {id=4}"}, s.read(2), "nothing is lost, and no snapshot is taken")
}

func TestStreamParams(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data", "slot.stream.params", " origin = none;")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	f.Exec(t, `insert into a values (1)`)
	const firstOrigin = 16
	if f.Version(t) < firstOrigin {
		_, _, err := s.tryNext(deadline)
		require.ErrorContains(t, err, "unrecognized pgoutput option: origin")
		return
	}
	require.Len(t, s.read(1), 1)
	f.Exec(t, `select pg_replication_origin_create('o'); select pg_replication_origin_session_setup('o'); insert into a values (2)`)
	t.Cleanup(func() { f.Exec(t, `select pg_replication_origin_drop('o')`) })
	f.Exec(t, `insert into a values (3)`)
	require.Equal(t, []string{"c a {id=3} -> {id=3}"}, s.read(1), "what comes from another origin is left out")
}

func TestStreamParamsAreChecked(t *testing.T) {
	require.Equal(t, []string{`"origin" 'none'`, `"a""b" 'it''s=1'`}, streamParams(`origin=none; a"b = it's=1 ;;`))
	for value, reason := range map[string]string{
		"": "", "origin=none;": "", "origin": "name=value is expected", "=x": "name=value is expected",
		"Proto_Version=2": "connector's own", "origin=any; streaming = on": "connector's own",
	} {
		require.Contains(t, checkStreamParams(value, config.Values{}), reason, value)
		require.Equal(t, reason == "", checkStreamParams(value, config.Values{}) == "", value)
	}
}

func TestFlushModes(t *testing.T) {
	for _, c := range []struct {
		properties []string
		manual     bool
	}{
		{nil, false},
		{[]string{"lsn.flush.mode", "connector_and_driver"}, false},
		{[]string{"lsn.flush.mode", "MANUAL"}, true},
		{[]string{"flush.lsn.source", "false"}, true},
		{[]string{"flush.lsn.source", "false", "lsn.flush.mode", "connector"}, false},
	} {
		f := &fixture{t: t, raw: map[string]string{
			"name": "src", "topic.prefix": "p", "database.hostname": "h", "database.dbname": "d", "database.user": "u", "plugin.name": "pgoutput",
		}}
		o, err := parseOptions(f.with(c.properties...).values())
		require.NoError(t, err)
		require.Equal(t, c.manual, o.FlushManual, c.properties)
	}
}

// TestManualFlushConfirmsNothing has somebody else who moves the slot.
func TestManualFlushConfirmsNothing(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data", "lsn.flush.mode", "manual", "status.update.interval.ms", "20")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	start := f.confirmed()
	f.Exec(t, `insert into a values (1)`)
	s.read(1)
	stored := s.untilCommit()
	s.commit(stored)
	p, err := parsePosition(stored)
	require.NoError(t, err)
	f.Exec(t, `insert into a values (2)`) // is read, and told as written, after the commit
	s.read(1)
	waitFor(t, "a status update", func() bool {
		return f.Text(t, `select coalesce(bool_or(write_lsn > '`+p.start().String()+`'), false) from pg_stat_replication r
			join pg_replication_slots s on s.active_pid = r.pid where s.slot_name = '`+f.Database+`'`) == "t"
	})
	s.close()
	require.Equal(t, start, f.confirmed())

	f.Exec(t, `select pg_replication_slot_advance('`+f.Database+`', '`+p.start().String()+`')`)
	require.Equal(t, []string{"c a {id=2} -> {id=2}"}, f.open(stored).read(1))
}

func TestMismatchSlotAhead(t *testing.T) {
	f := newFixture(t, "slot.guard.interval.ms", "20")
	stored := f.taken()
	p, err := parsePosition(stored)
	require.NoError(t, err)
	f.Exec(t, `insert into a values (3)`)
	f.Exec(t, `select pg_replication_slot_advance('`+f.Database+`', pg_current_wal_lsn())`)
	moved := f.confirmed()
	f.Exec(t, `insert into a values (4)`)
	for _, strategy := range []string{"no_validation", "trust_offset", "x"} {
		f.with("offset.mismatch.strategy", strategy).refused(stored, unavailable, "are lost")
	}
	require.Contains(t, f.log.String(), "offset.mismatch.strategy is not known")
	for _, strategy := range []string{"trust_slot", "Trust_Greater_LSN"} {
		g := f.with("offset.mismatch.strategy", strategy)
		g.log = &logBuffer{}
		s := g.open(stored)
		require.Equal(t, []string{"c a {id=4} -> {id=4}"}, s.read(1))
		require.Contains(t, g.log.String(), "level=WARN")
		require.Contains(t, g.log.String(), "lost_from="+p.start().String()+" lost_to="+moved.String())
		waitFor(t, "the loss in the status", func() bool {
			seen := s.r.(capture.Observer).Observe().Slot
			return seen != nil && strings.Contains(seen.Warning, "changes from "+p.start().String()+" to "+moved.String()+" were given up")
		})
		s.close()
	}
}

func TestMismatchSlotBehind(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.with("lsn.flush.mode", "manual").open("")
	f.Exec(t, `insert into a values (1)`)
	s.read(1)
	stored := s.untilCommit()
	s.close()
	p, err := parsePosition(stored)
	require.NoError(t, err)
	behind := f.confirmed()
	require.Less(t, behind, p.start())
	f.Exec(t, `insert into a values (2)`)

	read := func(strategy string, n int) []string {
		s := f.with("offset.mismatch.strategy", strategy).open(stored)
		defer s.close()
		return s.read(n)
	}
	one, two := "c a {id=1} -> {id=1}", "c a {id=2} -> {id=2}"
	require.Equal(t, []string{one, two}, read("trust_slot", 2), "the slot's position counts: 1 comes again")
	require.Contains(t, f.log.String(), "the slot's position counts")
	f.notices = true // SKIPPED is no position, least of all where there is none
	require.Equal(t, []string{one, two}, read("trust_slot", 2))
	f.notices = false
	require.Equal(t, []string{two}, read("no_validation", 1))
	require.Equal(t, behind, f.confirmed())
	require.Equal(t, []string{two}, f.with("lsn.flush.mode", "manual", "offset.mismatch.strategy", "trust_offset").open(stored).closing(1))
	require.Equal(t, behind, f.confirmed(), "others move the slot")
	require.Equal(t, []string{two}, read("trust_greater_lsn", 1))
	require.Equal(t, p.start(), f.confirmed(), "the slot was advanced")
	require.Equal(t, []string{two}, read("trust_offset", 1))
}

// closing reads and closes.
func (s *session) closing(n int) []string {
	s.t.Helper()
	defer s.close()
	return s.read(n)
}

// TestMismatchGivesUpNothingElse has gaps that no strategy may pass over.
func TestMismatchGivesUpNothingElse(t *testing.T) {
	f := newFixture(t)
	stored := f.taken()
	p, err := parsePosition(stored)
	require.NoError(t, err)
	other := p
	other.System++
	far := p
	far.LSN, far.Proc, far.Commit = far.LSN+1<<40, far.Proc+1<<40, far.Commit+1<<40
	f.Exec(t, `select pg_replication_slot_advance('`+f.Database+`', pg_current_wal_lsn())`)
	for _, strategy := range []string{"trust_slot", "trust_greater_lsn"} {
		g := f.with("offset.mismatch.strategy", strategy)
		g.refused(other.Position(), "this is another cluster")
		g.refused(far.Position(), "another server, or one restored from a backup")
	}
	f.Exec(t, `select pg_drop_replication_slot('`+f.Database+`')`)
	for _, strategy := range []string{"trust_slot", "trust_greater_lsn"} {
		f.with("offset.mismatch.strategy", strategy).refused(stored, "the slot does not exist")
	}
}

// TestIdleDatabaseReleasesTheLog captures a database where nothing happens, beside one where much is written, without
// heartbeats: the slot must follow.
func TestIdleDatabaseReleasesTheLog(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data", "status.update.interval.ms", "50")
	f.Exec(t, `create table a(id int primary key)`)
	busy := testdb.Postgres(t)
	s := f.open("")
	busy.Exec(t, `create table b(v text); insert into b select repeat('x', 1000) from generate_series(1, 20000)`)
	end := busy.Text(t, `select pg_current_wal_lsn()`)
	target, err := parseLSN([]byte(end))
	require.NoError(t, err)
	var at change.Position
	follow := func() { // as the pipeline does: what comes is durable at once
		events, end, err := s.tryNext(100 * time.Millisecond)
		if errors.Is(err, context.DeadlineExceeded) {
			return // the server is idle, and all of it has come
		}
		require.NoError(t, err)
		require.Empty(t, events)
		at = end
		s.commit(at)
	}
	waitFor(t, "the slot to follow", func() bool {
		follow()
		return f.confirmed() >= target
	})
	restart := func() string { return f.slotIs("restart_lsn") }
	before := restart()
	waitFor(t, "the server's log to be let go", func() bool {
		busy.Exec(t, `insert into b values ('y'); checkpoint`) // logs the running transactions, from which restart_lsn moves
		follow()
		return restart() != before
	})
	s.close()
	f.Exec(t, `insert into a values (1)`)
	require.Equal(t, []string{"c a {id=1} -> {id=1}"}, f.open(at).read(1), "what comes next is not passed over")
}

func TestDecodingOnAStandby(t *testing.T) {
	primary, standby := testdb.NewPrimaryStandby(t, testdb.Options{Version: "17"})
	f := fixtureOn(t, standby, "slot.name", "s", "snapshot.max.threads", "2")
	primary.Exec(t, `create table a(id int primary key); insert into a values (1)`)
	standby.CatchUp(t, primary)
	f.refused("", "publication", "create it on the primary")

	primary.Exec(t, `create publication `+f.raw["publication.name"]+` for all tables`)
	standby.CatchUp(t, primary)
	stop := running(t, primary)
	s := f.open("")
	require.Equal(t, []string{"r a {id=1} -> {id=1}"}, s.read(1))
	primary.Exec(t, `insert into a values (2)`)
	require.Equal(t, []string{"c a {id=2} -> {id=2}"}, s.read(1))
	primary.Exec(t, `alter table a add v text default 'd'; insert into a values (3)`)
	require.Equal(t, []string{"c a {id=3} -> {id=3 v=d}"}, s.read(1))
	end := s.untilCommit()
	s.commit(end)
	s.close()
	stop()
	primary.Exec(t, `insert into a values (4, 'e')`)
	standby.CatchUp(t, primary)
	s = f.open(end)
	require.Equal(t, []string{"c a {id=4} -> {id=4 v=e}"}, s.read(1))

	standby.Promote(t)
	standby.Exec(t, `insert into a values (5, 'f')`)
	require.Equal(t, []string{"c a {id=5} -> {id=5 v=f}"}, s.read(1), "the slot lives through the promotion")
}

// running makes a primary tell its standbys of running transactions again and again, as a busy one does.
func running(t *testing.T, primary *testdb.Server) (stop func()) {
	t.Helper()
	c := sqlConn{t, primary.Connect(t)}
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-end:
				return
			default:
				if _, err := c.c.PgConn().Exec(t.Context(), `select pg_log_standby_snapshot(), pg_sleep(0.05)`).ReadAll(); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	return func() { close(end); <-done }
}

func TestSnapshotAloneOnAStandby(t *testing.T) {
	primary, standby := testdb.NewPrimaryStandby(t, testdb.Options{})
	primary.Exec(t, `create table a(id int primary key); insert into a values (1)`)
	standby.CatchUp(t, primary)
	f := fixtureOn(t, standby, "snapshot.mode", "initial_only")
	require.Len(t, f.open("").read(1), 1)
}
