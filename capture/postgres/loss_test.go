// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/internal/testdb"
)

// The known losses of this field, by their names in the reliability rules; those that other files have are not repeated.

// A value that was not sent stays one that was not sent, at whatever place the stream is taken up again.
func Test_toast_placeholder_after_restart(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table a(id int primary key, n int, v text); alter table a alter v set storage external`)
	f.streaming().close()
	f.Exec(t, `insert into a values (1, 0, repeat('x', 5000)), (2, 0, repeat('y', 5000))`)
	f.Exec(t, `begin; update a set n = 1; update a set n = 2 where id = 1; update a set v = repeat('z', 5000) where id = 2; commit`)
	f.Exec(t, `update a set n = 3`)
	s := f.streaming()
	var unsent []int
	for i, e := range s.events(8) {
		if strings.Contains(e.after, "v=unavailable") {
			unsent = append(unsent, i)
		}
	}
	s.close()
	require.Equal(t, []int{2, 3, 4, 6, 7}, unsent)
	resumeEverywhere(t, f, 8)
}

// A table that is altered inside of a transaction that also writes it: each row comes with the columns that it had.
func Test_relation_change_inside_a_transaction(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table a(id int primary key, v text)`)
	f.streaming().close()
	f.Exec(t, `begin;
insert into a values (1, 'x');
alter table a add c int default 7; insert into a values (2, 'y', 8); update a set c = 9 where id = 1;
alter table a drop v; insert into a values (3, 10);
alter table a alter c type text; insert into a values (4, 'eleven');
commit; insert into a values (5, 'twelve')`)
	s := f.streaming()
	require.Equal(t, []string{
		"c a {id=1} -> {id=1 v=x}",
		"c a {id=2} -> {id=2 v=y c=8}",
		"u a {id=1} -> {id=1 v=x c=9}",
		"c a {id=3} -> {id=3 c=10}",
		"c a {id=4} -> {id=4 c=eleven}",
		"c a {id=5} -> {id=5 c=twelve}",
	}, s.read(6))
	s.close()
	resumeEverywhere(t, f, 6)
}

// A stop keeps the slot, and so what is committed until the next start.
func Test_no_slot_drop_on_stop(t *testing.T) {
	f := newFixture(t)
	f.Exec(t, `create table a(id int primary key); insert into a values (1)`)
	s := f.open("")
	s.read(1)
	s.close() // within the snapshot's end: nothing was streamed
	f.Exec(t, `insert into a values (2)`)
	from := s.end
	s = f.open(from)
	require.Equal(t, []string{"c a {id=2} -> {id=2}"}, s.read(1))
	end := s.untilCommit()
	s.commit(end)
	s.close()
	f.Exec(t, `insert into a values (3)`)
	require.Equal(t, []string{"c a {id=3} -> {id=3}"}, f.open(end).read(1))
}

// Rows that are deleted while the snapshot is read come as rows and then as deletes.
func Test_deletes_during_snapshot(t *testing.T) {
	f := newFixture(t, "max.batch.size", "2")
	f.Exec(t, `create table a(id int primary key); insert into a select generate_series(1,10)`)
	s := f.open("")
	rows, _ := s.next()
	f.Exec(t, `delete from a where id in (1, 10); update a set id = 20 where id = 5`)
	for len(rows) < 10 {
		events, _ := s.next()
		rows = append(rows, events...)
	}
	for i, e := range rows {
		require.Equal(t, "r", e.op)
		require.Equal(t, i+1, ids(rows)[i])
	}
	require.Equal(t, []string{
		"d a {id=1} {id=1}", "d a {id=10} {id=10}", "u a {id=20} was {id=5} {id=5} -> {id=20}",
	}, s.read(3))
}

// A server that was put back to an older state has lost what was read from it since, and says so.
func Test_restored_backup_behind_the_position(t *testing.T) {
	f := fixtureOn(t, testdb.NewPostgres(t, testdb.Options{}))
	from := f.taken()
	restore := f.Backup(t)
	s := f.open(from)
	f.Exec(t, `insert into a select generate_series(100, 5000)`)
	s.events(4901)
	end := s.untilCommit()
	s.commit(end)
	s.close()
	restore()
	require.Equal(t, "2", f.Text(t, `select count(*) from a`))
	f.Exec(t, `insert into a values (3)`)
	f.refused(end, unavailable, "another server, or one restored from a backup")
}

// A server that was put back to older files, and whose log has grown beyond the stored position since: system identifier and
// timeline are the same, and the slot is alive. Its transactions are others.
func Test_restored_backup_that_has_grown_beyond_the_position(t *testing.T) {
	for _, c := range []struct {
		name     string
		settings map[string]string
		after    string // what is written after the restoration
		says     string
	}{
		{"few transactions", nil, `insert into a select generate_series(10000, 30000)`, "the server has only come to"},
		{
			"many transactions", nil, `do $$ begin for i in 10000 .. 10200 loop insert into a values (i); commit; end loop; end $$`,
			"where the position was taken, and",
		},
		{
			"many transactions of other tables",
			map[string]string{"track_commit_timestamp": "on"},
			`do $$ begin for i in 1 .. 200 loop insert into b values (repeat('x', 2000)); commit; end loop; end $$`,
			"µs where the position was taken, and at",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := fixtureOn(t, testdb.NewPostgres(t, testdb.Options{Settings: c.settings}), "table.include.list", "public.a")
			from := f.taken()
			f.Exec(t, `create table b(v text)`)
			restore := f.Backup(t)
			s := f.open(from)
			for n := range 20 {
				f.Exec(t, `insert into a values ($1), ($1 + 1)`, 100+2*n)
			}
			s.events(40)
			end := s.untilCommit()
			s.commit(end)
			s.close()
			s = f.open(end) // as long as nothing happens to the server
			s.connect(f)
			s.close()
			restore()
			require.Equal(t, "2", f.Text(t, `select count(*) from a`))
			f.Exec(t, c.after)
			p, err := parsePosition(end)
			require.NoError(t, err)
			require.Equal(t, "t", f.Text(t, `select pg_current_wal_lsn() > '`+p.start().String()+`'`), "the log has grown beyond it")
			r, err := f.tryOpen(end)
			if err == nil {
				s := &session{t: t, r: r}
				t.Cleanup(s.close)
				_, _, err = s.tryNext(deadline)
			}
			require.Error(t, err)
			require.False(t, retriable(err), "%v", err)
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, "restored from a backup")
			require.ErrorContains(t, err, "are lost")
		})
	}
}

// After a crash of the server its slot may be behind what was confirmed. What comes again agrees with the stored position.
func Test_slot_behind_the_position_agrees(t *testing.T) {
	f := fixtureOn(t, testdb.NewPostgres(t, testdb.Options{}))
	from := f.taken()
	s := f.open(from)
	for n := range 20 {
		f.Exec(t, `insert into a values ($1), ($1 + 1)`, 100+2*n)
		f.Exec(t, `create temp table x(id int)`)
		f.Exec(t, `drop table if exists x`)
	}
	s.events(40)
	end := s.untilCommit()
	s.close()
	p, err := parsePosition(end)
	require.NoError(t, err)
	require.Less(t, f.confirmed(), p.Commit)
	f.Kill(t)
	f.Start(t)
	f.Exec(t, `insert into a values (1000)`)
	require.Equal(t, []string{"c a {id=1000} -> {id=1000}"}, f.open(end).read(1))
}
