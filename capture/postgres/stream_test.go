// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/change"
	"freshet/internal/failpoint"
	"freshet/internal/testdb"
)

// I2: the server is told what Commit brought, and nothing else.
func Test_skipped_records_do_not_commit(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data", "status.update.interval.ms", "20")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	start := f.confirmed()
	f.Exec(t, `insert into a values (1)`)
	s.read(1)
	first := s.untilCommit()
	f.Exec(t, `insert into a values (2)`)
	s.read(1)
	s.untilCommit()
	// Many status updates go out meanwhile, and keep-alives come in.
	updates := 0
	unset := failpoint.Set(func(step string) { updates++ })
	s.nothing(500 * time.Millisecond)
	unset()
	require.Zero(t, updates, "nothing was committed, so nothing is confirmed")
	require.Equal(t, start, f.confirmed())

	s.commit(first)
	p, err := parsePosition(first)
	require.NoError(t, err)
	waitFor(t, "the confirmation", func() bool { return f.confirmed() != start })
	require.Equal(t, p.Commit, f.confirmed(), "not more than was committed")
	s.close()
	require.Equal(t, p.Commit, f.confirmed())
}

func TestCloseConfirmsWhatWasCommitted(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data", "status.update.interval.ms", "60000")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	f.Exec(t, `insert into a values (1)`)
	s.read(1)
	end := s.untilCommit()
	var mu sync.Mutex
	var steps []string
	defer failpoint.Set(func(step string) {
		mu.Lock()
		defer mu.Unlock()
		steps = append(steps, step)
	})()
	s.commit(end)
	s.close()
	p, err := parsePosition(end)
	require.NoError(t, err)
	require.Equal(t, p.Commit, f.confirmed())
	require.Equal(t, []string{"pg.confirm.before", "pg.confirm.after"}, steps)
	require.Equal(t, "f", f.Text(t, `select active from pg_replication_slots where slot_name = '`+f.Database+`'`), "the slot is free at once")
}

func TestCommitOfAnOlderPositionConfirmsNothing(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	f.Exec(t, `insert into a values (1)`)
	s.read(1)
	old := s.untilCommit()
	f.Exec(t, `insert into a values (2)`)
	s.read(1)
	s.commit(s.untilCommit())
	s.commit(old)
	s.close()
	p, err := parsePosition(s.end)
	require.NoError(t, err)
	require.Equal(t, p.Commit, f.confirmed())
	require.Error(t, s.r.Commit(t.Context(), "not a position"))
}

// A consumer that takes nothing for longer than wal_sender_timeout loses neither the connection nor a change.
func TestBlockedConsumerKeepsTheConnection(t *testing.T) {
	db := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{"wal_sender_timeout": "2s"}})
	f := fixtureOn(t, db, "snapshot.mode", "no_data", "max.batch.size", "10")
	f.Exec(t, `create table a(id int primary key, v text)`)
	s := f.open("")
	f.Exec(t, `insert into a select g, repeat('x', 1000) from generate_series(1,40000) g`) // more than the sockets hold
	s.next()
	pid := f.walsender(t)
	blocked := time.Now()
	waitFor(t, "three times wal_sender_timeout", func() bool { return time.Since(blocked) > 6*time.Second })
	require.Equal(t, pid, f.Text(t, `select coalesce(active_pid::text,'gone') from pg_replication_slots`), "the walsender is the same")
	seen := 10
	for seen < 40000 {
		events, _ := s.next()
		seen += len(events)
	}
	require.Equal(t, 40000, seen)
}

func TestIdleConnectionSurvivesSenderTimeout(t *testing.T) {
	db := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{"wal_sender_timeout": "1s"}})
	f := fixtureOn(t, db, "snapshot.mode", "no_data", "status.update.interval.ms", "60000")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	s.nothing(3 * time.Second)
	f.Exec(t, `insert into a values (1)`)
	require.Equal(t, []string{"c a {id=1} -> {id=1}"}, s.read(1))
}

func TestServerThatFallsSilentIsAnError(t *testing.T) {
	db := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{"wal_sender_timeout": "500ms"}})
	f := fixtureOn(t, db, "snapshot.mode", "no_data", "status.update.interval.ms", "200")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	waitFor(t, "the stream", func() bool { // which the first call of Next starts
		s.nothing(300 * time.Millisecond)
		return f.Text(t, "select count(*) from pg_stat_replication where state = 'streaming'") == "1"
	})
	db.Freeze(t)
	var err error
	for err == nil { // positions may move before
		_, _, err = s.tryNext(deadline)
	}
	db.Thaw(t)
	require.ErrorContains(t, err, "no byte from the server for 1s")
	require.True(t, retriable(err))
}

func TestKilledServerIsARetriableError(t *testing.T) {
	db := testdb.NewPostgres(t, testdb.Options{})
	f := fixtureOn(t, db, "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	f.Exec(t, `insert into a values (1)`)
	s.read(1)
	end := s.untilCommit()
	db.Kill(t)
	var err error
	for err == nil {
		_, _, err = s.tryNext(deadline)
	}
	require.True(t, retriable(err), "%v", err)
	require.Contains(t, err.Error(), `slot "`+f.raw["slot.name"]+`"`)
	_, again, err2 := s.tryNext(deadline)
	require.Empty(t, again)
	require.Equal(t, err, err2, "the error stays")
	s.close()
	_, err = f.tryOpen(end)
	require.True(t, retriable(err), "%v", err)
	db.Start(t)
	f.Exec(t, `insert into a values (2)`)
	s = f.open(end)
	require.Equal(t, []string{"c a {id=2} -> {id=2}"}, s.read(1))
}

// retriable is what the worker asks of an error.
func retriable(err error) bool {
	var r interface{ Retriable() bool }
	return !errors.As(err, &r) || r.Retriable()
}

func TestRowOf64Megabytes(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key, v text)`)
	s := f.open("")
	f.Exec(t, `insert into a select 1, repeat('0123456789abcdef', 4 << 20); insert into a values (2,'small')`)
	events := s.events(2)
	require.Len(t, events[0].after, 64<<20+len("{id=1 v=}"))
	require.Equal(t, strings.Repeat("0123456789abcdef", 4), events[0].after[8:72])
	require.Equal(t, "{id=2 v=small}", events[1].after)
	f.Exec(t, `delete from a`)
	require.Equal(t, []string{"d a {id=1} {id=1 v=null}", "d a {id=2} {id=2 v=null}"}, s.read(2))
}

func TestBatchesAreBounded(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data", "max.batch.size", "50")
	f.Exec(t, `create table a(id int primary key, v text)`)
	s := f.open("")
	f.Exec(t, `insert into a select g, 'x' from generate_series(1,500) g`)
	f.Exec(t, `insert into a select g, repeat('x', 500000) from generate_series(501,510) g`)
	full := 0
	for n := 0; n < 510; {
		var b change.Batch
		require.NoError(t, s.r.Next(t.Context(), &b))
		require.LessOrEqual(t, len(b.Changes), 50)
		require.LessOrEqual(t, b.Size(), batchBytes+600_000, "one row beyond the limit at most")
		if len(b.Changes) == 50 {
			full++
		}
		n += len(b.Changes)
	}
	require.NotZero(t, full)
}

func TestNextEndsWithItsContext(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	_, _, err := s.tryNext(50 * time.Millisecond)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	f.Exec(t, `insert into a values (1)`)
	require.Equal(t, []string{"c a {id=1} -> {id=1}"}, s.read(1), "nothing is lost by a canceled Next")
	s.close()
	_, _, err = s.tryNext(time.Second)
	require.ErrorContains(t, err, "closed")
	require.NoError(t, s.r.Close(t.Context()), "Close may be called again")
}

func TestCloseOfAReaderThatNeverRead(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table a(id int primary key)`)
	f.open("").close()
	require.Equal(t, "f", f.Text(t, `select active from pg_replication_slots where slot_name = '`+f.Database+`'`))
}

func TestLag(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key, v text)`)
	s := f.open("")
	lagger, ok := s.r.(capture.Lagger)
	require.True(t, ok)
	unread, undurable := lagger.Lag()
	require.Equal(t, []int64{-1, -1}, []int64{unread, undurable}, "unknown before the stream began")
	f.Exec(t, `insert into a select g, repeat('x', 100) from generate_series(1,1000) g`)
	for n := 0; n < 1000; {
		events, _ := s.next()
		n += len(events)
	}
	waitFor(t, "the server's answer", func() bool {
		_, undurable = lagger.Lag()
		return undurable > 100_000
	})
	s.untilCommit()
	s.commit(s.end)
	waitFor(t, "the lag to go away", func() bool {
		unread, undurable = lagger.Lag()
		return unread == 0 && undurable < 10_000
	})
}

// The side connection may be cut while nobody uses it.
func TestLostSideConnectionIsOpenedAgain(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key); create table b(id int primary key)`)
	s := f.open("")
	f.Exec(t, `insert into a values (1)`)
	s.read(1)
	f.Exec(t, `select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and application_name = 'freshet:src' and backend_type = 'client backend'`)
	f.Exec(t, `insert into b values (1)`)
	require.Equal(t, []string{"c b {id=1} -> {id=1}"}, s.read(1))
}

func TestReplicationConnectionTerminatedByTheServer(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	f.Exec(t, `insert into a values (1)`)
	s.read(1)
	end := s.untilCommit()
	f.Exec(t, `select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '`+f.Database+`'`)
	var err error
	for err == nil {
		_, _, err = s.tryNext(deadline)
	}
	require.Equal(t, "57P01", sqlState(err), "%v", err)
	require.True(t, retriable(err))
	s.close()
	f.Exec(t, `insert into a values (2)`)
	require.Equal(t, []string{"c a {id=2} -> {id=2}"}, f.open(end).read(1))
}

// wire

func TestWireNeverReadsBeyondOneMessageForTheDriver(t *testing.T) {
	msg := func(kind byte, body string) string {
		n := len(body) + 4
		return string([]byte{kind, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + body
	}
	input := msg('R', "login") + msg('Z', "I") + msg('W', "") + msg('d', "first") + msg('d', strings.Repeat("long", wireBytes)) + msg('d', "")
	for _, piece := range []int{1, 2, 5, 7, 64, len(input)} {
		x := newWire(&pieces{text: input, n: piece})
		for _, want := range []string{msg('R', "login"), msg('Z', "I"), msg('W', "")} {
			var got []byte
			for len(got) < len(want) {
				p := make([]byte, 8192)
				n, err := x.Read(p)
				require.NoError(t, err)
				got = append(got, p[:n]...)
			}
			require.Equal(t, want, string(got), "pieces of %d", piece)
		}
		for _, want := range []string{"first", strings.Repeat("long", wireBytes), ""} {
			kind, body, ok, err := x.next()
			for !ok {
				require.NoError(t, err)
				require.NoError(t, x.fill())
				kind, body, ok, err = x.next()
			}
			require.Equal(t, byte('d'), kind)
			require.Len(t, body, len(want))
			require.Equal(t, want, string(body))
		}
		require.ErrorIs(t, x.fill(), io.EOF)
	}
}

func TestWireRefusesImpossibleLengths(t *testing.T) {
	for _, input := range []string{"d\x00\x00\x00\x03", "d\xff\xff\xff\xff", "d\x7f\x00\x00\x00"} {
		x := newWire(strings.NewReader(input))
		require.NoError(t, x.fill())
		_, _, ok, err := x.next()
		require.False(t, ok)
		require.ErrorContains(t, err, "impossible length")
		x = newWire(strings.NewReader(input))
		_, err = x.Read(make([]byte, 10))
		require.ErrorContains(t, err, "impossible length")
	}
}

func TestWireGivesBackTheBufferOfALargeMessage(t *testing.T) {
	n := 2 * wireMaxBytes
	x := newWire(io.MultiReader(strings.NewReader(string([]byte{'d', byte((n + 4) >> 24), byte((n + 4) >> 16), byte((n + 4) >> 8), byte(n + 4)})+strings.Repeat("x", n)),
		strings.NewReader("d\x00\x00\x00\x05y")))
	for _, want := range []int{n, 1} {
		_, body, ok, err := x.next()
		for !ok {
			require.NoError(t, err)
			require.NoError(t, x.fill())
			_, body, ok, err = x.next()
		}
		require.Len(t, body, want)
	}
	require.LessOrEqual(t, len(x.buf), wireBytes)
}

// pieces reads n bytes at a time.
type pieces struct {
	text string
	n    int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.text == "" {
		return 0, io.EOF
	}
	n := copy(b, p.text[:min(p.n, len(p.text))])
	p.text = p.text[n:]
	return n, nil
}
