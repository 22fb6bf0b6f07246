// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/change"
	"freshet/emitter/topic"
	"freshet/emitter/topic/local"
	"freshet/internal/store"
	"freshet/internal/store/storetest"
)

// newSpoolLog is a log for spools.
func newSpoolLog(t *testing.T) *local.Log {
	t.Helper()
	db, err := store.Open("data", store.Options{FS: storetest.New()})
	require.NoError(t, err)
	log, err := local.Open(db, local.Options{})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, log.Close(context.Background()))
		require.NoError(t, db.Close())
	})
	return log
}

// spoolEnd is the durable mark of a spool.
func spoolEnd(t *testing.T, s *capture.Spool, database string) lsn {
	t.Helper()
	got, err := loadSpool(t.Context(), s, database)
	require.NoError(t, err)
	return got.end
}

func topics(t *testing.T, log topic.Log) []string {
	t.Helper()
	infos, err := log.List(t.Context())
	require.NoError(t, err)
	var out []string
	for _, info := range infos {
		out = append(out, info.Name)
	}
	return out
}

// spoolWrites are transactions that are hard to resume in: several rows on one LSN, a TOAST value that an update leaves
// out, a key that changes, a table that changes inside of a transaction.
var spoolWrites = []string{
	`insert into t values (10, 'a'), (11, 'b'), (12, 'c')`,
	`begin; update t set v = 'first' where id = 1; insert into t values (13, 'd'); delete from t where id = 2; commit`,
	`update wide set n = n + 1`,
	`update t set id = 20 where id = 10`,
	`begin; insert into t values (14, 'e'); alter table t add w int default 7; insert into t values (15, 'f', 8); commit`,
	`update t set v = 'last', w = 9 where id = 1`,
}

// spooledFixture is a database whose snapshot has three rows; wide has a value stored out of line.
func spooledFixture(t *testing.T, log *local.Log, properties ...string) *fixture {
	t.Helper()
	f := newFixture(t, append([]string{"max.batch.size", "2"}, properties...)...)
	f.spool = capture.NewSpool(log, "src")
	f.Exec(t, `create table t(id int primary key, v text); insert into t values (1, 'x'), (2, 'y');
		create table wide(id int primary key, n int, v text); alter table wide alter v set storage external;
		insert into wide values (1, 0, repeat('0123456789', 1000))`)
	return f
}

// readRows reads the rows of a snapshot and returns the position behind it.
func (s *session) readRows(n int) change.Position {
	s.t.Helper()
	s.events(n)
	p, err := parsePosition(s.end)
	require.NoError(s.t, err)
	require.True(s.t, p.Completed, "the end of the snapshot")
	return s.end
}

// TestSpoolKeepsTheServerFree: while a snapshot waits, the server hears of the stream what is durable in the spool, and
// need not keep its log. Nothing is lost or doubled on the way into the live stream, and then the spool is gone.
func TestSpoolKeepsTheServerFree(t *testing.T) {
	log := newSpoolLog(t)
	f := spooledFixture(t, log)
	s := f.open("")
	first, _ := s.next() // the snapshot is not over
	begin := f.confirmed()
	for _, sql := range spoolWrites {
		f.Exec(t, sql)
	}
	written, err := parseLSN([]byte(f.Text(t, `select pg_current_wal_insert_lsn()`)))
	require.NoError(t, err)
	waitFor(t, "the slot to be confirmed during the snapshot", func() bool { return f.confirmed() >= written })
	require.Greater(t, f.confirmed(), begin)
	require.GreaterOrEqual(t, spoolEnd(t, f.spool, f.Database), f.confirmed(), "I2: only what is durable in the spool")
	require.Contains(t, topics(t, log), "__freshet-spool.src")

	s.readRows(3 - len(first))
	want := f.Rows(t, `select count(*) from t`)
	got := s.read(11)
	require.Equal(t, "c t {id=10} -> {id=10 v=a}", got[0])
	require.Contains(t, got[6], "v=unavailable", "the value that the update left out")
	require.Equal(t, "u t {id=1} -> {id=1 v=last w=9}", got[10])
	require.Len(t, want, 1)
	f.Exec(t, `insert into t values (30, 'live', 1)`)
	require.Equal(t, []string{"c t {id=30} -> {id=30 v=live w=1}"}, s.read(1))
	s.commit(s.untilCommit())
	require.Empty(t, topics(t, log), "the spool is gone once all of it is durable")
	require.Zero(t, spoolEnd(t, f.spool, f.Database))
	f.Exec(t, `insert into t values (31, 'live', 1)`)
	require.Equal(t, []string{"c t {id=31} -> {id=31 v=live w=1}"}, s.read(1))
	s.commit(s.untilCommit())
}

// TestResumeInTheSpool opens anew at every position in the spool and behind it. The slot was confirmed beyond them all.
func TestResumeInTheSpool(t *testing.T) {
	log := newSpoolLog(t)
	f := spooledFixture(t, log, "max.batch.size", "1")
	s := f.open("")
	s.next()
	for _, sql := range spoolWrites {
		f.Exec(t, sql)
	}
	written, err := parseLSN([]byte(f.Text(t, `select pg_current_wal_insert_lsn()`)))
	require.NoError(t, err)
	waitFor(t, "the spool", func() bool { return f.confirmed() >= written })
	positions := []change.Position{s.readRows(2)}
	var all []string
	for len(all) < 11 {
		events, end := s.next()
		for _, e := range events {
			all = append(all, e.String())
			positions = append(positions, end)
		}
	}
	s.close()
	f.Exec(t, `insert into t values (30, 'while away', 1)`)
	all = append(all, "c t {id=30} -> {id=30 v=while away w=1}")
	for i, p := range positions {
		s := f.open(p)
		require.Equal(t, all[i:], s.read(len(all)-i), "from %s", p)
		s.close()
	}

	f.spool = nil
	_, err = f.tryOpen(positions[0])
	require.ErrorContains(t, err, "no longer available on the server", "without the spool it is a gap")
}

// TestPositionBeforeTheSpool: a position that was set by hand, or a spool that was deleted with its connector, is a gap like any
// other: what the slot no longer has and the spool does not hold is lost, and said (R13).
func TestPositionBeforeTheSpool(t *testing.T) {
	log := newSpoolLog(t)
	f := spooledFixture(t, log)
	early, err := parseLSN([]byte(f.Text(t, `select pg_current_wal_lsn()`)))
	require.NoError(t, err)
	f.Exec(t, `insert into t values (9, 'before the slot')`)
	s := f.open("")
	s.next()
	f.Exec(t, spoolWrites[0])
	written, err := parseLSN([]byte(f.Text(t, `select pg_current_wal_insert_lsn()`)))
	require.NoError(t, err)
	waitFor(t, "the spool", func() bool { return f.confirmed() >= written })
	inside := s.readRows(2)
	s.close()
	f.refused(position{LSN: early, Proc: early, Commit: early, Type: typeCommit}.Position(), "are lost")
	require.NoError(t, capture.NewSpool(log, "src").Delete(t.Context()))
	f.refused(inside, "are lost")
}

// spoolMessages takes a spool apart.
func spoolMessages(t *testing.T, s *capture.Spool) (out [][]byte) {
	t.Helper()
	_, n, err := s.State(t.Context())
	require.NoError(t, err)
	r, err := s.Read(t.Context(), n)
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close(t.Context())) }()
	for range n {
		entry, err := r.Next(t.Context())
		require.NoError(t, err)
		for len(entry) > 0 {
			size := 12 + int(binary.BigEndian.Uint32(entry[8:]))
			out = append(out, append([]byte{}, entry[:size]...))
			entry = entry[size:]
		}
	}
	return out
}

// TestSpoolCutAnywhere: the process dies with the first messages in the spool, in the middle of transactions too, and the
// slot confirmed at its mark, or not yet. The stream begins again at the mark, and every change comes once.
func TestSpoolCutAnywhere(t *testing.T) {
	log := newSpoolLog(t)
	f := spooledFixture(t, log)
	s := f.open("")
	s.next()
	f.Exec(t, fmt.Sprintf(`select pg_copy_logical_replication_slot('%s', '%[1]s_kept')`, f.raw["slot.name"]))
	for _, sql := range spoolWrites[:4] {
		f.Exec(t, sql)
	}
	written, err := parseLSN([]byte(f.Text(t, `select pg_current_wal_insert_lsn()`)))
	require.NoError(t, err)
	waitFor(t, "the spool", func() bool { return f.confirmed() >= written })
	from := s.readRows(1)
	all := s.read(8)
	s.close()
	begin, err := parsePosition(from)
	require.NoError(t, err)

	messages := spoolMessages(t, f.spool)
	require.Greater(t, len(messages), 16)
	end := begin.start()
	for k, m := range messages {
		cut := fmt.Sprintf("%s_cut%d", f.Database, k)
		f.Exec(t, fmt.Sprintf(`select pg_copy_logical_replication_slot('%s_kept', '%s')`, f.raw["slot.name"], cut))
		if k%2 == 0 { // else it died before it told the server
			f.Exec(t, fmt.Sprintf(`select pg_replication_slot_advance('%s', '%s')`, cut, end))
		}
		g := f.with("slot.name", cut)
		g.spool = capture.NewSpool(log, fmt.Sprintf("cut %d", k))
		require.NoError(t, g.spool.Create(t.Context()))
		mark, err := json.Marshal(spoolMark{Version: 1, Database: f.Database, LSN: end})
		require.NoError(t, err)
		for _, m := range messages[:k] {
			done := make(chan error, 1)
			g.spool.Append(t.Context(), m, string(mark), func(err error) { done <- err })
			require.NoError(t, <-done)
		}
		s := g.open(from)
		require.Equal(t, all, s.read(len(all)), "cut before message %d", k)
		if k == len(messages)-1 {
			s.commit(s.untilCommit())
			require.Zero(t, spoolEnd(t, g.spool, f.Database), "the spool is gone")
		}
		s.close()
		f.Exec(t, fmt.Sprintf(`select pg_drop_replication_slot('%s')`, cut))
		if m[12] == msgCommit {
			end = parseCommit(&cursor{p: m[13:]}).End
		}
	}
	f.Exec(t, fmt.Sprintf(`select pg_drop_replication_slot('%s_kept')`, f.raw["slot.name"]))
}

// TestSpoolWithABrokenConnection: the walsender goes away during the snapshot.
func TestSpoolWithABrokenConnection(t *testing.T) {
	log := newSpoolLog(t)
	f := spooledFixture(t, log)
	s := f.open("")
	s.next()
	f.Exec(t, spoolWrites[0])
	waitFor(t, "an entry", func() bool {
		_, n, err := f.spool.State(t.Context())
		return err == nil && n > 0
	})
	f.Exec(t, `select pg_terminate_backend(`+f.walsender(t)+`)`)
	f.Exec(t, spoolWrites[1])
	waitFor(t, "the end of the walsender", func() bool {
		return f.Text(t, `select count(*) from pg_replication_slots where active and slot_name = '`+f.raw["slot.name"]+`'`) == "0"
	})
	s.readRows(1)
	require.Len(t, s.read(6), 6)
	require.Contains(t, f.log.String(), "broke; it is opened again")
	s.commit(s.untilCommit())
	require.Empty(t, topics(t, log))
}

// TestSpoolIsOpenedAgainAtOnce: the walsender goes away again and again while the snapshot waits, in the middle of transactions
// too. The slot moves on all the same, and every change comes once.
func TestSpoolIsOpenedAgainAtOnce(t *testing.T) {
	log := newSpoolLog(t)
	f := spooledFixture(t, log)
	s := f.open("")
	first, _ := s.next()
	open := sqlConn{t, f.Connect(t)}
	for n, sql := range spoolWrites[:4] {
		open.run("begin; " + strings.TrimSuffix(strings.TrimPrefix(sql, "begin; "), "; commit"))
		f.Exec(t, fmt.Sprintf(`insert into wide values (%d, 0, 'w')`, 100+n))
		pid := f.walsender(t)
		f.Exec(t, `select pg_terminate_backend(`+pid+`)`)
		open.run("commit")
		written, err := parseLSN([]byte(f.Text(t, `select pg_current_wal_insert_lsn()`)))
		require.NoError(t, err)
		waitFor(t, "the slot to be confirmed during the snapshot", func() bool { return f.confirmed() >= written })
		require.NotEqual(t, pid, f.walsender(t))
	}
	s.readRows(3 - len(first))
	require.Len(t, s.read(14), 14)
	f.Exec(t, `insert into t values (30, 'live')`)
	require.Equal(t, []string{"c t {id=30} -> {id=30 v=live}"}, s.read(1))
	s.commit(s.untilCommit())
	require.Equal(t, 4, strings.Count(f.log.String(), "broke; it is opened again"))
	require.Empty(t, topics(t, log))
}

// TestSnapshotOverLostChangesFails: what makes the stream impossible fails the task while the snapshot is read, and not when it
// is over. The guard sees it, or the stream that goes into the spool.
func TestSnapshotOverLostChangesFails(t *testing.T) {
	for _, spool := range []bool{false, true} {
		t.Run(fmt.Sprintf("spool %t", spool), func(t *testing.T) {
			f := newFixture(t, "max.batch.size", "1", "slot.guard.interval.ms", "200")
			if spool {
				f = f.with("slot.guard.interval.ms", "0")
				f.spool = capture.NewSpool(newSpoolLog(t), "src")
			}
			f.Exec(t, `create table a(id int primary key); insert into a select generate_series(1, 100000)`)
			s := f.open("")
			s.next()
			waitFor(t, "the slot to be dropped", func() bool {
				f.Exec(t, `select pg_terminate_backend(active_pid) from pg_replication_slots where active and slot_name = $1`, f.raw["slot.name"])
				f.Exec(t, `select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active and slot_name = $1`, f.raw["slot.name"])
				return f.Text(t, `select count(*) from pg_replication_slots where slot_name = '`+f.raw["slot.name"]+`'`) == "0"
			})
			dropped := time.Now()
			var err error
			for err == nil {
				_, _, err = s.tryNext(deadline)
			}
			require.False(t, retriable(err), "%v", err)
			require.ErrorContains(t, err, "the slot does not exist", "our words: the server's lack the range")
			var gap *gapError
			require.ErrorAs(t, err, &gap)
			require.Less(t, time.Since(dropped), 30*time.Second)
			p, err := parsePosition(s.end)
			require.NoError(t, err)
			require.False(t, p.Completed, "the snapshot was not over")
			s.close()
		})
	}
}

// TestSpoolThatIsOfNoUse is deleted at the start: behind it lies the position, or a new snapshot.
func TestSpoolThatIsOfNoUse(t *testing.T) {
	log := newSpoolLog(t)
	f := spooledFixture(t, log)
	s := f.open("")
	s.next()
	f.Exec(t, spoolWrites[0])
	waitFor(t, "an entry", func() bool {
		_, n, err := f.spool.State(t.Context())
		return err == nil && n > 0
	})
	p, err := parsePosition(s.end)
	require.NoError(t, err)
	p.Finished = "" // it cannot go on
	inside := p.Position()
	s.close()
	require.Contains(t, topics(t, log), "__freshet-spool.src", "a crash in the snapshot leaves it")

	s = f.open(inside)
	got := s.events(6)
	require.Equal(t, "r", got[5].op, "the snapshot is repeated, with what was in the spool")
	end := s.end
	s.close()
	s = f.open(end) // its spool may be there still, empty
	f.Exec(t, spoolWrites[1])
	require.Len(t, s.read(3), 3)
	s.commit(s.untilCommit())
	s.close()
	require.Empty(t, topics(t, log))

	require.NoError(t, f.spool.Create(t.Context()))
	done := make(chan error, 1)
	f.spool.Append(t.Context(), []byte("x"), `{"v":2}`, func(err error) { done <- err })
	require.NoError(t, <-done)
	_, err = f.tryOpen(s.end)
	require.ErrorContains(t, err, `unknown mark {"v":2}`)
}

// TestSpoolFailsWithItsLog: a log that cannot write ends the stream, and nothing was confirmed that is not durable.
func TestSpoolFailsWithItsLog(t *testing.T) {
	log := newSpoolLog(t)
	f := spooledFixture(t, log)
	broken := &brokenLog{Log: log}
	f.spool = capture.NewSpool(broken, "src")
	s := f.open("")
	s.next()
	before := f.confirmed()
	f.Exec(t, spoolWrites[0])
	waitFor(t, "the stream to notice", func() bool {
		return f.Text(t, `select count(*) from pg_replication_slots where active and slot_name = '`+f.raw["slot.name"]+`'`) == "0"
	})
	require.Equal(t, before, f.confirmed())
	s.readRows(1)
	require.Len(t, s.read(3), 3, "the server has it all")
}

// brokenLog takes no unit.
type brokenLog struct{ *local.Log }

func (l *brokenLog) Append(_ context.Context, _ topic.Unit, done func(error)) {
	go done(fmt.Errorf("no space left"))
}
