// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
	"freshet/internal/testdb"
)

var largeRows = flag.Int("tx-rows", defaultTxRows, "rows of the large transaction")

// mostMemory is what a worker may take, whatever the size of a transaction.
const mostMemory = 512 << 20

// Test_tx_10m_rows_fixed_memory: one transaction of very many rows needs no more memory than many small ones. A million
// rows here, ten by make chaos.
func Test_tx_10m_rows_fixed_memory(t *testing.T) {
	db := testdb.Postgres(t)
	s := &shape{batch: 2048, threads: 1, sinkBatch: 1000}
	db.Exec(t, "create table counters(id int primary key, n bigint not null, note text); insert into counters values (0, 0, 'snapshot')")
	env := newWorkerEnv(t, db, s)
	env.files = env.files[:2] // without the sink
	p := env.start(t, "")
	waitFor(t, "the stream", p.streamed, p.stderr)
	db.Exec(t, "insert into counters select g, g, 'a note that is not very long' from generate_series(1, $1::int) g", *largeRows)
	db.Exec(t, "insert into counters values (-1, 0, 'the end')")
	waitForEnd(t, db, p)
	used := peakMemory(t, p.cmd.Process.Pid)
	p.stop(t)
	t.Logf("%d rows, %d MB at most", *largeRows, used>>20)
	require.Less(t, used, int64(memoryFactor*mostMemory))
	next := 0
	eachRecord(t, env.data, "kill.public.counters", func(r *topic.Record) {
		if want := fmt.Sprintf(`"payload":{"id":%d}}`, next); next <= *largeRows {
			require.Contains(t, string(r.Key.Bytes()), want)
		}
		next++
	})
	require.Equal(t, *largeRows+2, next)
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
