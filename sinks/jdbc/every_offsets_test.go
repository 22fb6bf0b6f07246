// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/sinks"
)

// mortal is a task that writes records until all are applied, dies at random steps, and each time goes on where the target says.
type mortal struct {
	rand         *rand.Rand
	feed         *feed
	records      int64
	least, most  int64    // records of a batch
	steps        []string // of a batch, of which one is the end of the task; "" is not
	open         func() sinks.Writer
	breakWriters func()
	add          func(b *sinks.Batch) // the record at feed.next; always the same one
	// before is called before a batch is written that begins at an offset, nil for nothing. What it returns is called behind.
	before func(step string, at int64) (after func())
	died   func()
}

// run writes until all are applied, and returns how often the task died.
func (m *mortal) run(t *testing.T) (deaths int) {
	t.Helper()
	for ; ; deaths++ {
		require.Less(t, deaths, 1000)
		w := m.open()
		positions, err := w.(sinks.Positioner).Positions(t.Context())
		require.NoError(t, err)
		at := positions[topic.Partition{Topic: m.feed.topic}]
		if at == m.records {
			require.NoError(t, w.Close(t.Context()))
			return deaths
		}
		for alive := true; alive && at < m.records; at = m.feed.next {
			b := newBatch()
			m.feed.next = at
			for n := min(m.records-at, m.least+m.rand.Int64N(m.most-m.least)); n > 0; n-- {
				m.add(b)
			}
			step := m.steps[m.rand.IntN(len(m.steps))]
			after := func() {}
			if m.before != nil {
				after = m.before(step, at)
			}
			alive = survives(t, w, b, step, m.breakWriters)
			after()
		}
		m.breakWriters()
		_ = w.Close(context.WithoutCancel(t.Context())) // its connections are gone
		if m.died != nil {
			m.died()
		}
	}
}

// newRand tells its seed.
func newRand(t *testing.T) (r *rand.Rand, seed uint64) {
	t.Helper()
	seed = uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0)), seed
}

// TestOffsetsApplyEveryRecordOnce: rows without any key, inserted by a task that dies before and after commits, and in
// between, and each time goes on where the target says.
func TestOffsetsApplyEveryRecordOnce(t *testing.T) {
	eachServer(t, func(t *testing.T, s server) {
		r, _ := newRand(t)
		f := newFeed("log", 0, fieldOf("n", schema.Int64))
		const records = 2000
		properties := s.upsert("insert.mode", "insert", "primary.key.mode", "none", "delete.enabled", "false", "offsets.table.name", "freshet_offsets")
		m := mortal{
			rand: r, feed: f, records: records, least: 1, most: 151, steps: []string{"", "sink.commit.before", "sink.commit.after"},
			open: func() sinks.Writer { return open(t, properties, nil) }, breakWriters: s.breakWriters,
			add: func(b *sinks.Batch) { f.change(b, change.Create, f.next) },
		}
		require.Positive(t, m.run(t))
		require.Equal(t, fmt.Sprint(records, " ", records, " ", records-1), rows(t, s, "select count(*), count(distinct n), max(n) from log"))
		require.Equal(t, "connect-c log 0 2000", rows(t, s, "select * from freshet_offsets"))
	})
}

// TestOneWriterAtATime: a writer whose client is gone may still be committing; the next one waits for its session. The lock of a
// task is its own database's, not the server's.
func TestOneWriterAtATime(t *testing.T) {
	for kind, newServer := range servers {
		t.Run(kind, func(t *testing.T) {
			s, other := newServer(t), newServer(t)
			first := open(t, s.upsert("offsets.table.name", "freshet_offsets"), nil)
			require.NoError(t, open(t, other.upsert("offsets.table.name", "freshet_offsets"), nil).Close(t.Context()))
			opened := make(chan error, 1)
			go func() {
				second, err := tryOpen(t, s.upsert("offsets.table.name", "freshet_offsets"), nil)
				if err == nil {
					err = second.Close(t.Context())
				}
				opened <- err
			}()
			require.Eventually(t, func() bool { return s.Text(t, s.waiting) == "1" }, 10*time.Second, 10*time.Millisecond, "the second writer waits")
			select {
			case err := <-opened:
				t.Fatalf("two writers at once: %v", err)
			default:
			}
			require.NoError(t, first.Close(t.Context()))
			require.NoError(t, <-opened)
		})
	}
}
