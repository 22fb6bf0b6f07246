// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/internal/testdb"
)

// refused wants Open to fail for good, with all of these words.
func (f *fixture) refused(from change.Position, words ...string) {
	f.t.Helper()
	r, err := f.tryOpen(from)
	if err == nil {
		_ = r.Close(f.t.Context())
	}
	require.Error(f.t, err)
	require.False(f.t, retriable(err), "%v", err)
	for _, w := range words {
		require.Contains(f.t, err.Error(), w)
	}
	require.Contains(f.t, err.Error(), "next step: ")
	require.NotContains(f.t, err.Error(), f.Password)
}

// taken reads a table's snapshot and one change, and returns the position behind them.
func (f *fixture) taken() change.Position {
	f.t.Helper()
	f.Exec(f.t, `create table a(id int primary key); insert into a values (1)`)
	s := f.open("")
	require.Equal(f.t, []string{"r a {id=1} -> {id=1}"}, s.read(1))
	f.Exec(f.t, `insert into a values (2)`)
	s.read(1)
	end := s.untilCommit()
	s.commit(end)
	s.close()
	return end
}

const unavailable = "The connector is trying to read change stream starting at "

func TestSlotDroppedFails(t *testing.T) {
	f := newFixture(t)
	from := f.taken()
	p, err := parsePosition(from)
	require.NoError(t, err)
	f.Exec(t, `select pg_drop_replication_slot('`+f.Database+`')`)
	f.Exec(t, `insert into a values (3)`)
	for _, mode := range []string{"initial", "no_data"} {
		f.with("snapshot.mode", mode).refused(from, unavailable, p.start().String(), "the slot does not exist", "are lost",
			"Reconfigure the connector to use a snapshot mode when needed.", "snapshot.mode=when_needed")
	}
	require.Equal(t, "0", f.Text(t, `select count(*) from pg_replication_slots where slot_name = '`+f.Database+`'`), "nothing was made in its place")
}

func Test_slot_recreated_must_fail(t *testing.T) {
	f := newFixture(t)
	from := f.taken()
	f.Exec(t, `select pg_drop_replication_slot('`+f.Database+`'); insert into a values (3)`)
	f.Exec(t, `select pg_create_logical_replication_slot('`+f.Database+`', 'pgoutput')`)
	f.refused(from, unavailable, "created anew", "are lost")
}

func TestSlotAdvancedBySomebodyElseFails(t *testing.T) {
	f := newFixture(t)
	from := f.taken()
	f.Exec(t, `insert into a values (3)`)
	f.Exec(t, `select pg_replication_slot_advance('`+f.Database+`', pg_current_wal_lsn())`)
	f.refused(from, unavailable, "are lost")
}

func TestOldOffsetFails(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table a(id int primary key)`)
	s := f.with("snapshot.mode", "no_data").open("")
	f.Exec(t, `insert into a values (1)`)
	s.read(1)
	old := s.untilCommit()
	for i := range 50 { // until the server need not keep the log for old any more
		f.Exec(t, `insert into a values (`+strconv.Itoa(2+i)+`)`)
		s.read(1)
	}
	s.commit(s.untilCommit())
	s.close()
	f.refused(old, unavailable, "are lost")
}

func TestServerBehindTheOffsetFails(t *testing.T) {
	f := newFixture(t)
	from := f.taken()
	p, err := parsePosition(from)
	require.NoError(t, err)
	p.LSN, p.Proc, p.Commit = p.LSN+1<<40, p.Proc+1<<40, p.Commit+1<<40
	f.refused(p.Position(), unavailable, "another server, or one restored from a backup")
}

func Test_slot_lost_fails_fast(t *testing.T) {
	db := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{
		"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB", "wal_keep_size": "0",
	}})
	f := fixtureOn(t, db)
	from := f.taken()
	waitFor(t, "the slot to be lost", func() bool {
		f.Exec(t, `select pg_logical_emit_message(false, 'x', repeat('x', 8000000))`)
		f.Exec(t, `select pg_switch_wal()`)
		f.Exec(t, `checkpoint`)
		return f.Text(t, `select wal_status from pg_replication_slots`) == "lost"
	})
	f.Exec(t, `insert into a values (3)`)
	f.refused(from, unavailable, "removed log files", `wal_status is "lost"`)
	s := f.with("snapshot.mode", "when_needed").open(from)
	require.Equal(t, []string{"r a {id=1} -> {id=1}", "r a {id=2} -> {id=2}", "r a {id=3} -> {id=3}"}, s.read(3))
	f.Exec(t, `insert into a values (4)`)
	require.Equal(t, []string{"c a {id=4} -> {id=4}"}, s.read(1))
}

func TestWhenNeededSnapshotsAgainAndSaysSo(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "when_needed")
	from := f.taken()
	f.open(from).nothing(100 * time.Millisecond) // not needed
	f = f.with("slot.name", f.Database+"_2")
	f.Exec(t, `insert into a values (3)`)
	s := f.open(from)
	require.Equal(t, []string{"r a {id=1} -> {id=1}", "r a {id=2} -> {id=2}", "r a {id=3} -> {id=3}"}, s.read(3))
	require.Contains(t, f.log.String(), "changes are gone from the server")
	require.Contains(t, f.log.String(), "are lost")
}

func TestPositionCheckMayBeTurnedOff(t *testing.T) {
	f := newFixture(t)
	from := f.taken()
	f.Exec(t, `select pg_drop_replication_slot('`+f.Database+`')`)
	s := f.with("internal.log.position.check.enable", "false").open(from)
	f.Exec(t, `insert into a values (3)`)
	require.Equal(t, []string{"c a {id=3} -> {id=3}"}, s.read(1))
	require.Contains(t, f.log.String(), "level=ERROR")
}

func TestSnapshotModes(t *testing.T) {
	const unfinished = change.Position(`{"last_snapshot_record":false,"lsn":100,"txId":5,"ts_usec":1,"snapshot":"INITIAL","snapshot_completed":false}`)
	based := func(flags ...string) []string {
		out := []string{"snapshot.mode", "configuration_based"}
		for _, flag := range flags {
			out = append(out, "snapshot.mode.configuration.based."+flag, "true")
		}
		return out
	}
	for _, c := range []struct {
		name                    string
		properties              []string
		fresh, restart, crashed bool // a snapshot is taken at first, after it, and after one that was not finished
		streams                 bool
		crashRefused            bool
	}{
		{"initial", []string{"snapshot.mode", "initial"}, true, false, true, true, false},
		{"always", []string{"snapshot.mode", "always"}, true, true, true, true, false},
		{"when_needed", []string{"snapshot.mode", "when_needed"}, true, false, true, true, false},
		{"no_data", []string{"snapshot.mode", "no_data"}, false, false, false, true, true},
		{"initial_only", []string{"snapshot.mode", "initial_only"}, true, false, true, false, false},
		{"configuration_based with data and stream", based("snapshot.data", "start.stream"), true, false, true, true, false},
		{"configuration_based with stream", based("start.stream"), false, false, false, true, true},
		{"configuration_based with data", based("snapshot.data"), true, false, true, false, false},
		{"configuration_based with nothing", based(), false, false, false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, c.properties...)
			f.Exec(t, `create table a(id int primary key); insert into a values (1)`)
			expect := func(s *session, snapshot bool, id string) {
				t.Helper()
				if snapshot {
					rows, err := strconv.Atoi(f.Text(t, `select count(*) from a`))
					require.NoError(t, err)
					for _, e := range s.read(rows) {
						require.True(t, strings.HasPrefix(e, "r a "), e)
					}
				}
				f.Exec(t, `insert into a values (`+id+`)`)
				if !c.streams {
					s.nothing(100 * time.Millisecond)
					return
				}
				require.Equal(t, []string{"c a {id=" + id + "} -> {id=" + id + "}"}, s.read(1))
				s.commit(s.untilCommit())
			}
			s := f.open("")
			expect(s, c.fresh, "2")
			s.close()
			s2 := f.open(s.end)
			s2.end = s.end
			expect(s2, c.restart, "3")
			s2.close()
			if c.crashRefused {
				f.refused(unfinished, "snapshot")
				return
			}
			expect(f.open(unfinished), c.crashed, "4")
			if !c.streams {
				require.Equal(t, "0", f.Text(t, `select count(*) from pg_replication_slots where database = current_database()`), "no slot")
				require.Equal(t, "0", f.Text(t, `select count(*) from pg_publication`), "no publication")
			}
		})
	}
}

func TestEmptySnapshotIsRemembered(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	events, end := s.next()
	require.Empty(t, events)
	require.Contains(t, string(end), `"snapshot_completed":true`)
	s.commit(end)
	s.close()
	f.Exec(t, `insert into a values (1)`)
	require.Equal(t, []string{"c a {id=1} -> {id=1}"}, f.open(end).read(1), "not a row of a second snapshot")
}

// R6: a crash in mid-snapshot begins it again, exactly, where the position does not say what is finished: no change is
// lost, none comes twice.
func TestCrashInSnapshotBeginsAgain(t *testing.T) {
	f := newFixture(t, "max.batch.size", "2")
	f.Exec(t, `create table a(id int primary key); insert into a select generate_series(1,10)`)
	s := f.open("")
	s.next()
	end := repeating(t, s.end)
	s.close()
	f.Exec(t, `insert into a values (11); delete from a where id=1`)
	for _, from := range []change.Position{end, ""} { // the position of the first batch was stored, or not
		s = f.open(from)
		var ids []string
		for _, e := range s.events(10) {
			require.Equal(t, "r", e.op)
			ids = append(ids, strings.Trim(e.key, "{id=}"))
		}
		require.Equal(t, []string{"2", "3", "4", "5", "6", "7", "8", "9", "10", "11"}, ids)
		s.nothing(100 * time.Millisecond)
		s.close()
	}
	require.Equal(t, "1", f.Text(t, `select count(*) from pg_replication_slots where database = current_database()`), "temporary slots are gone")
}

// I7: changes while the snapshot is read are streamed behind it.
func TestChangesDuringTheSnapshot(t *testing.T) {
	f := newFixture(t, "max.batch.size", "3", "snapshot.max.threads", "2")
	f.Exec(t, `create table a(id int primary key, v int); insert into a select g, 0 from generate_series(1,5000) g`)
	s := f.open("")
	state := map[string]string{}
	take := func() int {
		events, _ := s.next()
		for _, e := range events {
			state[e.key] = e.after
		}
		return len(events)
	}
	seen := take()
	stop := make(chan struct{})
	writer := make(chan error, 1)
	conn := f.Connect(t)
	ctx := t.Context()
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				writer <- nil
				return
			default:
			}
			if _, err := conn.Exec(ctx, `update a set v=v+1 where id=$1`, 1+i%5000); err != nil {
				writer <- err
				return
			}
		}
	}()
	for seen < 5000 {
		seen += take()
	}
	close(stop)
	require.NoError(t, <-writer)
	f.Exec(t, `insert into a values (6000,-1)`)
	for state["{id=6000}"] == "" {
		take()
	}
	for _, row := range f.Rows(t, `select id, v from a`) {
		require.Equal(t, "{id="+row[0]+" v="+row[1]+"}", state["{id="+row[0]+"}"])
	}
}

func TestExistingSlotKeepsWhatNoDataNeeds(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data", "publication.autocreate.mode", "disabled")
	f.Exec(t, `create table a(id int primary key); create publication pub_`+f.Database+` for all tables`)
	f.Exec(t, `select pg_create_logical_replication_slot('`+f.Database+`', 'pgoutput')`)
	f.Exec(t, `insert into a values (1)`)
	require.Equal(t, []string{"c a {id=1} -> {id=1}"}, f.open("").read(1))
}

func TestSlotInUseFailsBeforeARowIsRead(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table a(id int primary key); insert into a values (1)`)
	first := f.open("")
	first.read(1)
	f.Exec(t, `insert into a values (2)`)
	first.read(1)
	second := f.with("topic.prefix", "other", "slot.max.retries", "1", "slot.retry.delay.ms", "200")
	second.refused("", `replication slot "`+f.Database+`" is active for PID `, "127.0.0.1:", "freshet:src",
		"please make sure to use a distinct replication slot name for each", "give each connector its own slot.name")
}

func Test_restart_while_walsender_lingers(t *testing.T) {
	f := newFixture(t)
	from := f.taken()
	first := f.open(from)
	f.Exec(t, `insert into a values (3)`)
	first.read(1)
	opened := make(chan error, 1)
	go func() {
		second, err := f.tryOpen(from)
		if err == nil {
			err = second.Close(context.WithoutCancel(t.Context()))
		}
		opened <- err
	}()
	waitFor(t, "the second reader to wait", func() bool { return strings.Contains(f.log.String(), "slot is in use, waiting for it") })
	first.close()
	require.NoError(t, <-opened)
}

func TestSlotOfSomethingElse(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `select pg_create_logical_replication_slot('`+f.Database+`', 'test_decoding')`)
	f.refused("", "Creation of replication slot failed; when setting up multiple connectors", `replication slot "`+f.Database+`" already exists`, "test_decoding")

	other := newFixture(t)
	other.Exec(t, `select pg_create_logical_replication_slot('`+other.Database+`', 'pgoutput')`)
	f.with("slot.name", other.Database).refused("", "already exists, in the database")
}

func TestNoFreeSlot(t *testing.T) {
	db := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{"max_replication_slots": "1"}})
	f := fixtureOn(t, db)
	f.Exec(t, `create table a(id int primary key); insert into a values (1)`)
	f.Exec(t, `select pg_create_logical_replication_slot('other', 'pgoutput')`)
	f.refused("", "Creation of replication slot failed", "all replication slots are in use", "raise max_replication_slots")

	// One slot is enough, also after a crash in the snapshot.
	f.Exec(t, `select pg_drop_replication_slot('other')`)
	s := f.open("")
	s.read(1)
	s.close()
	s = f.open("")
	require.Equal(t, []string{"r a {id=1} -> {id=1}"}, s.read(1))
	f.Exec(t, `insert into a values (2)`)
	require.Equal(t, []string{"c a {id=2} -> {id=2}"}, s.read(1))
}

func TestWalLevel(t *testing.T) {
	db := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{"wal_level": "replica"}})
	f := fixtureOn(t, db)
	f.refused("", `wal_level is "replica"`, "ALTER SYSTEM SET wal_level = logical")
	require.Equal(t, "0", f.Text(t, `select count(*) from pg_publication`))
	f.Exec(t, `create table a(id int primary key); insert into a values (1)`)
	require.Len(t, f.with("snapshot.mode", "initial_only").open("").read(1), 1, "a snapshot alone needs no log")
}

func TestRolesWithoutRights(t *testing.T) {
	f := newFixture(t)
	role := f.Database + "_r"
	f.Exec(t, `create role `+role+` login password 'Secret-0815'`)
	t.Cleanup(func() { f.Exec(t, `drop owned by `+role+`; drop role `+role) })
	f.Exec(t, `create table a(id int primary key)`)
	weak := f.with("database.user", role, "database.password", "Secret-0815")
	weak.refused("", "permission denied for database", "CREATE on the database")
	f.Exec(t, `create publication pub_`+f.Database+` for all tables`)
	weak.refused("", "grant the role what is missing: REPLICATION")
	f.Exec(t, `alter role `+role+` replication; insert into a values (1)`)
	r, err := weak.tryOpen("")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	err = r.Next(ctx, &change.Batch{})
	require.NoError(t, r.Close(ctx))
	require.ErrorContains(t, err, "permission denied for table a")
	require.ErrorContains(t, err, "SELECT on captured tables")
	require.False(t, retriable(err))
	f.Exec(t, `grant select on a to `+role)
	require.Equal(t, []string{"r a {id=1} -> {id=1}"}, weak.open("").read(1))
}

func TestSlotDropOnStop(t *testing.T) {
	f := newFixture(t, "slot.drop.on.stop", "true", "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key)`)
	slots := func() string {
		return f.Text(t, `select count(*) from pg_replication_slots where slot_name = '`+f.Database+`'`)
	}
	s := f.open("")
	f.Exec(t, `insert into a values (1)`)
	s.read(1)
	s.untilCommit()
	s.close()
	require.Equal(t, "1", slots(), "what was read is not durable: the slot stays")
	require.Contains(t, f.log.String(), "slot is kept in spite of slot.drop.on.stop")

	s = f.open("")
	s.read(1)
	end := s.untilCommit()
	s.commit(end)
	s.close()
	require.Equal(t, "0", slots())
	f.refused(end, unavailable)
}

func TestPartitionAndSplit(t *testing.T) {
	v := newFixtureless(map[string]string{"topic.prefix": `a"b`})
	require.Equal(t, `{"server":"a\"b"}`, New().Partition(v))
	parts, err := New().Split(v, 7)
	require.NoError(t, err)
	require.Len(t, parts, 1)
}

func TestDescription(t *testing.T) {
	d := New().Describe()
	require.Equal(t, "source", d.Kind)
	require.True(t, d.Matches("io.debezium.connector.postgresql.PostgresConnector"))
	require.True(t, d.Matches("PostgresConnector"))
	var names []string
	fromRow := 0
	for _, f := range d.Source.Fields {
		names = append(names, f.Name)
		if f.From == 0 {
			fromRow++
		}
	}
	require.Equal(t, "version connector name ts_ms snapshot db sequence ts_us ts_ns schema table txId lsn xmin origin origin_lsn", strings.Join(names, " "))
	require.Equal(t, sourceFields, fromRow)
}
