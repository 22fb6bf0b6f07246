// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
	"freshet/internal/testdb"
)

var (
	largeRows   = flag.Int("tx-rows", defaultTxRows, "rows of the large transaction")
	largeTables = flag.Int("tables", defaultTables, "tables of the source that has very many")
)

// mostMemory is what a worker may take, whatever the size of a transaction. tableMemory is what it may take for ten thousand tables.
const (
	mostMemory  = 512 << 20
	tableMemory = 350 << 20
)

// large is a worker with the source alone, whose memory is watched.
type large struct {
	t   *testing.T
	db  *testdb.Server
	env workerEnv
	p   *child
}

// newLarge starts the worker and waits for the stream.
func newLarge(t *testing.T, db *testdb.Server, threads int) *large {
	t.Helper()
	l := &large{t: t, db: db, env: newWorkerEnv(t, db, &shape{batch: 2048, threads: threads, blocks: 1, sinkBatch: 1000})}
	l.env.files = l.env.files[:2]
	l.p = l.env.start(t, "")
	waitFor(t, "the stream", l.p.streamed, l.p.stderr)
	return l
}

// finish waits until all is durable, stops the worker, and checks what it took at most.
func (l *large) finish(what string, most int64) {
	l.t.Helper()
	end := l.db.Text(l.t, "select pg_current_wal_lsn()")
	waitFor(l.t, "the slot to be at the end", func() bool {
		return l.db.Text(l.t, "select confirmed_flush_lsn >= '"+end+"' from pg_replication_slots where slot_name = 'kill_"+l.db.Database+"'") == "t"
	}, l.p.stderr)
	used := peakMemory(l.t, l.p.cmd.Process.Pid)
	l.p.stop(l.t)
	l.t.Logf("%s: %d MB at most", what, used>>20)
	require.Less(l.t, used, memoryFactor*most)
}

// Test_tx_10m_rows_fixed_memory: one transaction of very many rows needs no more memory than many small ones. A million
// rows here, ten by make chaos.
func Test_tx_10m_rows_fixed_memory(t *testing.T) {
	db := testdb.Postgres(t)
	db.Exec(t, "create table counters(id int primary key, n bigint not null, note text); insert into counters values (0, 0, 'snapshot')")
	l := newLarge(t, db, 1)
	db.Exec(t, "insert into counters select g, g, 'a note that is not very long' from generate_series(1, $1::int) g", *largeRows)
	db.Exec(t, "insert into counters values (-1, 0, 'the end')")
	l.finish(fmt.Sprintf("%d rows", *largeRows), mostMemory)
	next := 0
	eachRecord(t, l.env.data, "kill.public.counters", func(r *topic.Record) {
		if want := fmt.Sprintf(`"payload":{"id":%d}}`, next); next <= *largeRows {
			require.Contains(t, string(r.Key.Bytes()), want)
		}
		next++
	})
	require.Equal(t, *largeRows+2, next)
}

// Test_10k_tables_fixed_memory: what has to be known of very many captured tables fits as well. Fewer of them here, ten
// thousand by make chaos.
func Test_10k_tables_fixed_memory(t *testing.T) {
	db := testdb.NewPostgres(t, testdb.Options{}) // to drop a database with so many files takes a minute
	each := func(statement string) {              // a hundred in a transaction, because each table has a lock
		for first := 1; first <= *largeTables; first += 100 {
			db.Exec(t, fmt.Sprintf("do $$ begin for t in %d..%d loop %s end loop; end $$", first, min(first+99, *largeTables), statement))
		}
	}
	each(`execute format('create table t%s(id bigint primary key, customer int not null, status text not null, amount numeric(12,2), at timestamptz)', t);
execute format('insert into t%s values (1, 1, ''NEW'', 1.25, now())', t);`)
	l := newLarge(t, db, 2)
	each(`execute format('insert into t%s values (2, 2, ''NEW'', 2.25, now())', t);`)
	l.finish(fmt.Sprintf("%d tables", *largeTables), tableMemory)
	for _, n := range []int{1, *largeTables / 2, *largeTables} {
		var keys []string
		eachRecord(t, l.env.data, fmt.Sprintf("kill.public.t%d", n), func(r *topic.Record) { keys = append(keys, string(r.Key.Body)) })
		require.Equal(t, []string{`{"id":1}}`, `{"id":2}}`}, keys)
	}
}

// Test_1600_columns: the widest table that the server has, changed column by column.
func Test_1600_columns(t *testing.T) {
	const columns, rows = 1600, 100
	db := testdb.Postgres(t)
	var ddl, values strings.Builder
	for i := range columns - 1 {
		fmt.Fprintf(&ddl, ", c%d int", i)
		fmt.Fprintf(&values, ", g+%d", i)
	}
	db.Exec(t, "create table wide(id int primary key"+ddl.String()+"); alter table wide replica identity full")
	db.Exec(t, "insert into wide select g"+values.String()+" from generate_series(1, "+strconv.Itoa(rows)+") g")
	l := newLarge(t, db, 1)
	for i := range 200 {
		db.Exec(t, fmt.Sprintf("update wide set c%d = -1 where id = %d", i*7, i%rows+1))
	}
	l.finish("1,600 columns", mostMemory)
	n := 0
	eachRecord(t, l.env.data, "kill.public.wide", func(r *topic.Record) {
		if i := n - rows; i >= 0 {
			require.Contains(t, string(r.Value.Body), fmt.Sprintf(`"c%d":-1,`, i*7))
		}
		require.Contains(t, string(r.Value.Body), `"c1598":`)
		n++
	})
	require.Equal(t, rows+200, n)
}

var peak = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// peakMemory is the most that a process ever had in memory, in bytes.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	require.NoError(t, err)
	m := peak.FindSubmatch(text)
	require.NotNil(t, m, "%s", text)
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	require.NoError(t, err)
	return n << 10
}
