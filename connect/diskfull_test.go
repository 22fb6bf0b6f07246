// SPDX-License-Identifier: Apache-2.0

package connect_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/change"
	"freshet/config"
	"freshet/connect"
	"freshet/connect/connecttest"
	"freshet/internal/store"
	"freshet/internal/store/storetest"
	"freshet/internal/topicio"
	"freshet/schema"
)

// counter yields the numbers after its position, as fast as they are durable.
type counter struct {
	next      int
	committed atomic.Int64
}

var numbers = &schema.Table{
	ID: schema.ID{Schema: "s", Name: "t"}, Columns: []schema.Column{{Name: "n", Type: &schema.Type{Kind: schema.Int64}}},
}

func (c *counter) Next(ctx context.Context, b *change.Batch) error {
	for int64(c.next) > c.committed.Load()+3 { // a few on their way
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	c.next++
	row := b.NewRow(1)
	b.Set(row, 0, change.IntValue(int64(c.next)))
	b.Changes = append(b.Changes, change.Change{Table: numbers, Op: change.Create, After: row})
	b.End = change.Position(`{"n":` + strconv.Itoa(c.next) + `}`)
	return nil
}

func (c *counter) Commit(_ context.Context, p change.Position) error {
	n, err := strconv.Atoi(string(p[5 : len(p)-1]))
	c.committed.Store(int64(n))
	return err
}

func (c *counter) Close(context.Context) error { return nil }

// On a full disk the task stops and keeps everything; it goes on by itself when there is room, and every number is in
// the topic, once, in order.
func TestDiskFull(t *testing.T) {
	fs := storetest.New()
	_, log := connecttest.NewLogOn(t, fs)
	source := &connecttest.Source{OnOpen: func(_ int, env capture.Env, _ config.Values) (capture.Reader, error) {
		c := &counter{}
		if env.From != "" {
			n, err := strconv.Atoi(string(env.From[5 : len(env.From)-1]))
			if err != nil {
				return nil, err
			}
			c.next = n
			c.committed.Store(int64(n))
		}
		return c, nil
	}}
	w := connecttest.NewWorker(t, log, source, nil, nil)
	_, s := newTask(t, w, with(sourceConfig, "retriable.restart.connector.wait.ms", "5"))
	written := func() int64 {
		topics, err := topicio.List(t.Context(), log)
		if err != nil || len(topics) == 0 {
			return 0
		}
		return topics[0].Partitions[0].End
	}
	waitFor(t, "the first records", func() bool { return written() > 20 })
	fs.FailAt(1, true, syscall.ENOSPC)
	fs.SetRoom(0)
	waitFor(t, "the task to stop", inState(s, connect.Restarting))
	_, trace := s.State()
	require.Contains(t, trace, store.ErrNoSpace.Error())
	before := written()
	waitFor(t, "attempts that are of no use", func() bool { return inState(s, connect.Restarting)() })
	fs.FailAt(0, false, nil)
	fs.SetRoom(1 << 30)
	waitFor(t, "the task to go on", func() bool { return inState(s, connect.Running)() && written() > before+20 })

	at, err := log.ReadFrom(t.Context(), partition(".s.t"), 0, 1<<20)
	require.NoError(t, err)
	for i := range at {
		require.Contains(t, string(at[i].Value.Bytes()), `"after":{"n":`+strconv.Itoa(i+1)+`}`, "record %d", i)
	}
}
