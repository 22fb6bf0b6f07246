// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/internal/failpoint"
	"freshet/internal/testdb"
	"freshet/schema"
	"freshet/sinks"
)

// TestOffsetsApplyEveryRecordOnce: rows without any key, inserted by a task that dies before and after commits, and in
// between, and each time goes on where the target says.
func TestOffsetsApplyEveryRecordOnce(t *testing.T) {
	s := testdb.Postgres(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	f := newFeed("log", 0, fieldOf("n", schema.Int64))
	p := topic.Partition{Topic: "log"}
	const records = 2000
	properties := map[string]string{
		"connection.url": s.DSN(), "insert.mode": "insert", "schema.evolution": "basic", "offsets.table.name": "freshet_offsets",
	}
	for crashes := 0; ; {
		w := open(t, properties, nil)
		positions, err := w.(sinks.Positioner).Positions(t.Context())
		require.NoError(t, err)
		at := positions[p]
		if at == records {
			require.NoError(t, w.Close(t.Context()))
			break
		}
		for crashed := false; !crashed && at < records; {
			b := newBatch()
			f.next = at
			for n := min(records-at, 1+r.Int64N(150)); n > 0; n-- {
				f.change(b, change.Create, f.next)
			}
			step := []string{"", "sink.commit.before", "sink.commit.after"}[r.IntN(3)]
			crashed = !survives(t, w, b, step, func() { breakWriters(s) })
			at = f.next
			if crashed {
				crashes++
			}
		}
		breakWriters(s)
		_ = w.Close(context.WithoutCancel(t.Context())) // its connection is gone
		require.Less(t, crashes, 1000)
	}
	require.Equal(t, fmt.Sprint(records, " ", records, " ", records-1), rows(t, s, "select count(*), count(distinct n), max(n) from log"))
	require.Equal(t, "connect-c log 0 2000", rows(t, s, "select * from freshet_offsets"))
}

// survives writes a batch and breaks the connection at a step; false if the writer is to be given up.
func survives(t *testing.T, w sinks.Writer, b *sinks.Batch, step string, broken func()) bool {
	t.Helper()
	var hit sync.Once
	reached := false
	defer failpoint.Set(func(at string) {
		if at == step {
			hit.Do(func() {
				reached = true
				broken()
			})
		}
	})()
	err := w.Write(t.Context(), b)
	if step == "" {
		require.NoError(t, err)
		return true
	}
	require.True(t, reached)
	return false
}

// TestOneWriterAtATime: a writer whose client is gone may still be committing; the next one waits for its session.
func TestOneWriterAtATime(t *testing.T) {
	s := testdb.Postgres(t)
	properties := upsert(s, "offsets.table.name", "freshet_offsets")
	first := open(t, properties, nil)
	opened := make(chan error, 1)
	go func() {
		second, err := tryOpen(t, properties, nil)
		if err == nil {
			err = second.Close(t.Context())
		}
		opened <- err
	}()
	waiting := "select count(*) from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())"
	require.Eventually(t, func() bool { return s.Text(t, waiting) == "1" }, 10*time.Second, 10*time.Millisecond, "the second writer waits")
	select {
	case err := <-opened:
		t.Fatalf("two writers at once: %v", err)
	default:
	}
	require.NoError(t, first.Close(t.Context()))
	require.NoError(t, <-opened)
}

func TestOffsetsTableOfAnotherShapeIsRefused(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, "create table mine(id int)")
	_, err := tryOpen(t, upsert(s, "offsets.table.name", "mine"), nil)
	require.ErrorContains(t, err, `table "mine" has no column "connector_group": drop it or name another table`)
}
