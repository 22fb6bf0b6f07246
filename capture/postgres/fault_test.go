// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/internal/testdb"
)

// ids are the keys of events of a table with the one key column id.
func ids(events []event) []int {
	out := make([]int, len(events))
	for i, e := range events {
		out[i], _ = strconv.Atoi(strings.Trim(e.key, "{id=}"))
	}
	return out
}

// A connection that breaks inside of a transaction, again and again, loses and repeats nothing.
func TestConnectionsBreakInsideOfATransaction(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data", "max.batch.size", "700")
	f.Exec(t, `create table a(id int primary key, v text)`)
	f.open("").close()
	const rows = 20000
	f.Exec(t, `insert into a select g, repeat('x', 200) from generate_series(1,20000) g`)
	s := f.open("")
	var got []int
	breaks := 0
	for len(got) < rows {
		events, end, err := s.tryNext(deadline)
		if err != nil {
			require.True(t, retriable(err), "%v", err)
			s.close()
			from := s.end
			s = f.open(from)
			s.end = from
			continue
		}
		s.end = end
		got = append(got, ids(events)...)
		if len(got)/4000 > breaks && len(got) < rows {
			breaks++
			f.Exec(t, `select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '`+f.Database+`' and active`)
		}
	}
	require.Equal(t, 4, breaks)
	for i, id := range got {
		require.Equal(t, i+1, id)
	}
	require.Len(t, got, rows)
}

// The questions to the catalog may take long; the replication connection lives on meanwhile.
func TestSlowCatalogKeepsTheConnection(t *testing.T) {
	db := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{"wal_sender_timeout": "1s"}})
	f := fixtureOn(t, db, "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	s.connect(f)
	pid := f.walsender(t)
	lock := sqlConn{t, f.Connect(t)}
	lock.run(`begin; lock table pg_description in access exclusive mode`)
	f.Exec(t, `insert into a values (1)`)
	locked := time.Now()
	s.nothing(3 * time.Second)
	require.Greater(t, time.Since(locked), 2*time.Second)
	lock.run(`commit`)
	require.Equal(t, []string{"c a {id=1} -> {id=1}"}, s.read(1))
	require.Equal(t, pid, f.Text(t, `select active_pid from pg_replication_slots`), "the walsender is the same")
}

func TestCloseWhileTheCatalogIsSlow(t *testing.T) {
	db := testdb.NewPostgres(t, testdb.Options{})
	f := fixtureOn(t, db, "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	s.connect(f)
	lock := sqlConn{t, f.Connect(t)}
	lock.run(`begin; lock table pg_description in access exclusive mode`)
	f.Exec(t, `insert into a values (1)`)
	waitFor(t, "the question to the catalog", func() bool {
		return f.Text(t, `select count(*) from pg_locks where relation = 'pg_description'::regclass and not granted`) == "1"
	})
	began := time.Now()
	s.close()
	require.Less(t, time.Since(began), 10*time.Second)
	lock.run(`commit`)
	require.Equal(t, []string{"c a {id=1} -> {id=1}"}, f.open("").read(1))
}

func TestCloseInMidTransactionIsQuick(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data", "max.batch.size", "100")
	f.Exec(t, `create table a(id int primary key, v text)`)
	s := f.open("")
	f.Exec(t, `insert into a select g, repeat('x', 1000) from generate_series(1,50000) g`)
	require.Len(t, s.events(100), 100)
	began := time.Now()
	s.close()
	require.Less(t, time.Since(began), 10*time.Second)
	again := f.open(s.end).events(100) // the slot is free soon
	require.Equal(t, 101, ids(again)[0])
}

// Many small transactions, while the consumer is slow and then quick.
func TestSlowThenQuickConsumer(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data", "max.batch.size", "64")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	conn := f.Connect(t)
	ctx := t.Context()
	writer := make(chan error, 1)
	go func() {
		for i := 1; i <= 3000; i++ {
			if _, err := conn.Exec(ctx, `insert into a values ($1)`, i); err != nil {
				writer <- err
				return
			}
		}
		writer <- nil
	}()
	var got []int
	for len(got) < 3000 {
		events, end := s.next()
		got = append(got, ids(events)...)
		if len(got) < 500 {
			s.commit(end)
			f.Text(t, `select 1`) // a slow consumer
		}
	}
	require.NoError(t, <-writer)
	for i, id := range got {
		require.Equal(t, i+1, id)
	}
}
