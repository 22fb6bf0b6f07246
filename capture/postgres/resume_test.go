// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/change"
)

// streaming opens a Reader that streams from a new slot.
func (f *fixture) streaming() *session {
	f.t.Helper()
	return f.with("snapshot.mode", "no_data").open("")
}

// recording reads n events in batches of size, and returns them with the position behind each batch.
func recording(t *testing.T, s *session, n int) (events []string, ends []change.Position, counts []int) {
	t.Helper()
	for len(events) < n {
		got, end := s.next()
		for _, e := range got {
			events = append(events, e.String()+" "+e.source)
		}
		ends, counts = append(ends, end), append(counts, len(events))
	}
	require.Len(t, events, n)
	return events, ends, counts
}

// I4: resuming at any position yields exactly what came after it, in the same words.
func resumeEverywhere(t *testing.T, f *fixture, n int) {
	t.Helper()
	resumeEverywhereAs(t, f, n, func(p change.Position) change.Position { return p })
}

// resumeEverywhereAs resumes at another form of each position.
func resumeEverywhereAs(t *testing.T, f *fixture, n int, form func(change.Position) change.Position) {
	t.Helper()
	f = f.with("max.batch.size", "1", "snapshot.mode", "no_data")
	s := f.open("")
	events, ends, counts := recording(t, s, n)
	s.close()
	for i, end := range ends {
		if counts[i] == n {
			continue
		}
		t.Run(fmt.Sprintf("after %d at %s", counts[i], end), func(t *testing.T) {
			g := *f
			g.t = t
			r := g.open(form(end))
			got, _, _ := recording(t, r, n-counts[i])
			require.Equal(t, events[counts[i]:], got)
			r.close()
		})
	}
}

func Test_restart_between_events_same_lsn(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table c(id int primary key, v text)`)
	f.streaming().close()
	require.NoError(t, f.Script(t, "copy c from stdin;\n1\ta\n2\tb\n3\tc\n4\td\n5\te\n6\tf\n\\.\n"))
	f.Exec(t, `insert into c values (7,'g'),(8,'h')`)

	s := f.with("snapshot.mode", "no_data").open("")
	events := s.events(8)
	s.close()
	require.Equal(t, events[0].source, events[4].source, "rows of one COPY share their LSN, or this test proves nothing")
	resumeEverywhere(t, f, 8)
}

func Test_begin_and_dml_same_lsn(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table c(id int primary key, v text)`)
	f.streaming().close()
	// Each transaction's first row begins where the one before ended: their LSNs are those of BEGIN and of the last COMMIT.
	conn := f.Connect(t)
	for i := range 5 {
		_, err := conn.Exec(t.Context(), `insert into c values ($1,'x')`, i)
		require.NoError(t, err)
	}
	s := f.with("snapshot.mode", "no_data").open("")
	var same int
	var commit string
	for _, e := range s.events(5) {
		seq, at, _ := strings.Cut(strings.Trim(strings.Fields(e.source)[0], "[]"), ",")
		if seq == at {
			same++
		}
		commit = seq
	}
	s.close()
	require.NotZero(t, same, "no row shares the LSN of the commit before it (%s)", commit)
	resumeEverywhere(t, f, 5)
}

func TestResumeAtEveryPosition(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table a(id int primary key, v text); create table b(id int primary key, a int[]);
create table hidden(id int); alter table b replica identity full`)
	f.streaming().close()
	x, y := sqlConn{t, f.Connect(t)}, sqlConn{t, f.Connect(t)}
	// Two transactions overlap: the first row of x lies before those of y in the log, and comes after them.
	x.run(`begin; insert into a values (1,'x1')`)
	y.run(`begin; insert into a values (2,'y1'),(3,'y2'); insert into hidden values (1); update a set v='y3' where id=2; commit`)
	x.run(`savepoint s; insert into a values (4,'gone'); rollback to s; insert into b values (1,'{1,2}'); commit`)
	y.run(`begin; update b set id=2; delete from a where id=3; truncate a, b; commit`)
	x.run(`insert into hidden values (2)`)
	y.run(`insert into a values (9,'end')`)
	resumeEverywhere(t, f.with("table.exclude.list", "public.hidden"), 10)
}

func TestResumeIsExactWhenFiltersChange(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table a(id int primary key); create table b(id int primary key)`)
	f.streaming().close()
	f.Exec(t, `insert into b values (1); insert into a values (1); insert into b values (2); insert into a values (2); insert into a values (3)`)
	s := f.with("snapshot.mode", "no_data", "max.batch.size", "1", "table.exclude.list", "public.b").open("")
	require.Equal(t, []string{"c a {id=1} -> {id=1}"}, s.read(1))
	s.close()
	s = f.open(s.end)
	require.Equal(t, []string{"c b {id=2} -> {id=2}", "c a {id=2} -> {id=2}", "c a {id=3} -> {id=3}"}, s.read(3))
}

// Debezium's own offsets have no count of events.
func TestResumeAtForeignOffset(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table a(id int primary key)`)
	f.streaming().close()
	f.Exec(t, `insert into a values (1),(2),(3)`)
	require.NoError(t, f.Script(t, "copy a from stdin;\n4\n5\n6\n\\.\n"))
	s := f.with("snapshot.mode", "no_data", "max.batch.size", "1").open("")
	_, ends, _ := recording(t, s, 6)
	s.close()
	foreign := func(i int, change func(*position)) change.Position {
		p, err := parsePosition(ends[i])
		require.NoError(t, err)
		p.Events = 0
		change(&p)
		return p.Position()
	}
	keep := func(*position) {}
	for _, c := range []struct {
		name string
		from change.Position
		want []string
	}{
		{"rows with LSNs of their own resume exactly", foreign(1, keep), []string{"3", "4", "5", "6"}},
		{"at the last row of a transaction", foreign(2, keep), []string{"4", "5", "6"}},
		{"without lsn_commit", foreign(1, func(p *position) { p.Commit = 0 }), []string{"3", "4", "5", "6"}},
		{"rows that share an LSN are repeated rather than lost", foreign(4, keep), []string{"5", "6"}},
		{"the count of later versions", foreign(4, func(p *position) { p.Events = 2 }), []string{"6"}},
		{"without txId the transaction is repeated", foreign(1, func(p *position) { p.TxID = 0 }), []string{"1", "2", "3", "4", "5", "6"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := *f
			g.t = t
			r := g.open(c.from)
			var got []string
			for _, e := range r.events(len(c.want)) {
				got = append(got, strings.Trim(e.after, "{id=}"))
			}
			require.Equal(t, c.want, got)
			r.close()
		})
	}
}

func TestPositionsOfManyRowsInOneTransactionMoveOn(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table a(id int primary key)`)
	s := f.with("snapshot.mode", "no_data", "max.batch.size", "100").open("")
	f.Exec(t, `insert into a select generate_series(1,1000)`)
	seen := map[change.Position]bool{}
	for n := 0; n < 1000; {
		events, end := s.next()
		require.False(t, seen[end], "position %s came twice", end)
		seen[end] = true
		n += len(events)
	}
	last, err := parsePosition(s.untilCommit())
	require.NoError(t, err)
	require.Equal(t, typeCommit, last.Type)
	require.NotZero(t, last.Commit)
	// A keep-alive that comes before the batch is taken moves lsn_proc on; nothing but the transaction itself moves lsn_commit.
	require.GreaterOrEqual(t, last.Proc, last.Commit)
	require.Zero(t, last.Events)
}

func TestPositionAtRestHasTheRecordedMembers(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table a(id int primary key); insert into a values (1)`)
	s := f.open("")
	s.read(1)
	require.Regexp(t, `^\{"last_snapshot_record":true,"lsn":\d+,"txId":\d+,"ts_usec":\d+,"snapshot":"INITIAL","snapshot_completed":true\}$`, string(s.end))
	f.Exec(t, `insert into a values (2)`)
	s.read(1)
	require.Regexp(t, `^\{"lsn_proc":(\d+),"messageType":"COMMIT","lsn_commit":\d+,"lsn":\d+,"txId":\d+,"ts_usec":\d+,"system_id":\d+,"timeline":1\}$`, string(s.untilCommit()))
}

func TestIdleDatabaseMovesItsPosition(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data", "table.include.list", "public.a")
	f.Exec(t, `create table a(id int primary key); create table other(id int)`)
	s := f.open("")
	f.Exec(t, `insert into a values (1)`)
	s.read(1)
	s.commit(s.untilCommit())
	before := f.confirmed()
	f.Exec(t, `insert into other select generate_series(1,1000); drop table other`)
	end := lsn(0)
	for end <= before {
		events, at := s.next() // comes without a change of a captured table
		require.Empty(t, events)
		s.commit(at)
		p, err := parsePosition(at)
		require.NoError(t, err)
		end = p.start()
	}
	waitFor(t, "the slot to move", func() bool { return f.confirmed() >= end })
	s.close()
	f.Exec(t, `insert into a values (2)`)
	s = f.open(s.end)
	require.Equal(t, []string{"c a {id=2} -> {id=2}"}, s.read(1))
}

func TestSourceBlockOfStream(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	before := time.Now()
	f.Exec(t, `insert into a values (1); select pg_current_xact_id()`)
	e := s.events(1)[0]
	require.Equal(t, "false", e.snapshot)
	require.WithinDuration(t, before, time.UnixMicro(e.micros), 5*time.Second)
	fields := strings.Fields(e.source)
	require.Len(t, fields, sourceFields)
	require.Equal(t, `[null,"`+fields[sourceLSN]+`"]`, fields[sourceSequence])
	require.Equal(t, []string{"null", "null", "null"}, fields[sourceXmin:])
	f.Exec(t, `insert into a values (2)`)
	next := strings.Fields(s.events(1)[0].source)
	p, err := parsePosition(s.untilCommit())
	require.NoError(t, err)
	require.Equal(t, strconv.FormatInt(p.TxID, 10), next[sourceTxID])
	require.Regexp(t, `^\["\d+","`+next[sourceLSN]+`"\]$`, next[sourceSequence])
}

func TestOriginMessages(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	f.Exec(t, `select pg_replication_origin_create('`+f.Database+`')`)
	t.Cleanup(func() { f.Exec(t, `select pg_replication_origin_drop('`+f.Database+`')`) })
	c := sqlConn{t, f.Connect(t)}
	c.run(`select pg_replication_origin_session_setup('` + f.Database + `')`)
	c.run(`begin; select pg_replication_origin_xact_setup('0/ABCD', now()); insert into a values (1); commit`)
	c.run(`select pg_replication_origin_session_reset()`)
	f.Exec(t, `insert into a values (2)`)
	events := s.events(2)
	require.Equal(t, []string{f.Database, "43981"}, strings.Fields(events[0].source)[sourceOrigin:])
	require.Equal(t, []string{"null", "null"}, strings.Fields(events[1].source)[sourceOrigin:])
}

func TestXminIsReadWhenAskedFor(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data", "xmin.fetch.interval.ms", "1")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	f.Exec(t, `insert into a values (1)`)
	s.read(1)
	f.Exec(t, `insert into a values (2)`)
	require.Regexp(t, `^\d+$`, strings.Fields(s.events(1)[0].source)[sourceXmin])
	require.Contains(t, string(s.end), `"xmin":`)
}

// A message that belongs to no transaction comes at its place in the log, before rows that lie before it there.
func TestResumeAtLogicalMessages(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table a(id int primary key)`)
	f.streaming().close()
	writeMessages(t, f)
	f = f.with("message.prefix.exclude.list", "hid.*")
	t.Run("positions of ours", func(t *testing.T) { resumeEverywhere(t, f, 9) })
	t.Run("offsets of Debezium", func(t *testing.T) { resumeEverywhereAs(t, f, 9, offsetOfDebezium(t)) })
}

// The offset that Debezium has stored last names a message, or what came behind one, and nothing follows until the restart.
func TestMessageDoesNotComeAgain(t *testing.T) {
	for _, transactional := range []string{"true", "false"} {
		t.Run("transactional="+transactional, func(t *testing.T) {
			f := newFixture(t, "snapshot.mode", "no_data")
			f.Exec(t, `create table a(id int primary key)`)
			s := f.open("")
			f.Exec(t, `select pg_logical_emit_message(`+transactional+`, 'x', 'm1')`)
			require.Equal(t, []string{"m  {prefix=x} -> {prefix=x content=6d31}"}, s.read(1))
			end := offsetOfDebezium(t)(s.end)
			s.commit(s.end)
			s.close()
			s = f.open(end)
			f.Exec(t, `select pg_logical_emit_message(`+transactional+`, 'x', 'm2'); insert into a values (1)`)
			require.Equal(t, []string{"m  {prefix=x} -> {prefix=x content=6d32}", "c a {id=1} -> {id=1}"}, s.read(2))
		})
	}
}

// offsetOfDebezium leaves of a position what Debezium stores. Its versions up to 3.6 have no count; it is left where a
// message is not the only one at its LSN, since the ones before it would come again.
func offsetOfDebezium(t *testing.T) func(change.Position) change.Position {
	return func(p change.Position) change.Position {
		var all map[string]any
		d := json.NewDecoder(strings.NewReader(string(p)))
		d.UseNumber()
		require.NoError(t, d.Decode(&all))
		maps.DeleteFunc(all, func(name string, _ any) bool {
			if name == "lsn_events_processed" {
				return all[name] == json.Number("1")
			}
			return !slices.Contains([]string{"lsn_proc", "messageType", "lsn_commit", "lsn", "txId", "ts_usec"}, name)
		})
		text, err := json.Marshal(all)
		require.NoError(t, err)
		return change.Position(text)
	}
}

// writeMessages writes messages within and between transactions: nine events, the hidden prefix left out.
func writeMessages(t *testing.T, f *fixture) {
	t.Helper()
	x, y := sqlConn{t, f.Connect(t)}, sqlConn{t, f.Connect(t)}
	x.run(`begin; insert into a values (1)`)
	y.run(`select pg_logical_emit_message(false, 'now', 'm1')`)
	x.run(`select pg_logical_emit_message(true, 'later', 'm2'); insert into a values (2); select pg_logical_emit_message(false, 'now', 'm3')`)
	y.run(`select pg_logical_emit_message(false, 'now', 'm4'), pg_logical_emit_message(false, 'freshet', 'internal'), pg_logical_emit_message(false, 'hidden', 'h')`)
	x.run(`insert into a values (3); commit`)
	y.run(`begin; select pg_logical_emit_message(true, 'later', 'gone'), pg_logical_emit_message(false, 'now', 'm5'); rollback`)
	y.run(`insert into a values (4)`)
}

// A transaction may write its first row before a place up to which everything was confirmed: a keep-alive's, or the
// snapshot's. A position inside of it still says that all before that place was taken (R5), and the slot can go on there.
func Test_keep_alive_confirms_past_an_open_transaction(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data", "max.batch.size", "1", "status.update.interval.ms", "20")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	x := sqlConn{t, f.Connect(t)}
	x.run(`begin; insert into a values (1)`)
	written, err := parseLSN([]byte(f.Text(t, `select pg_current_wal_insert_lsn()`)))
	require.NoError(t, err)
	moved := position{}
	for moved.start() <= written {
		f.Exec(t, `begin; create table gone(id int); rollback`) // the log grows, and no commit comes of it
		events, at := s.next()
		require.Empty(t, events)
		s.commit(at)
		moved, err = parsePosition(at)
		require.NoError(t, err)
	}
	waitFor(t, "the confirmation", func() bool { return f.confirmed() >= moved.start() })
	x.run(`insert into a values (2),(3); commit`)
	require.Equal(t, []string{"c a {id=1} -> {id=1}"}, s.read(1))
	inside, err := parsePosition(s.end)
	require.NoError(t, err)
	require.True(t, inside.inTransaction())
	require.Less(t, inside.Proc, moved.start(), "the row is in the log before the place, or this test proves nothing")
	require.GreaterOrEqual(t, inside.start(), moved.start(), "what was taken stays taken")
	s.commit(s.end)
	s.close()
	s = f.open(s.end)
	require.Equal(t, []string{"c a {id=2} -> {id=2}", "c a {id=3} -> {id=3}"}, s.read(2))
	last, err := parsePosition(s.untilCommit())
	require.NoError(t, err)
	require.Zero(t, last.Floor)
}
