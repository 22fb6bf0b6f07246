// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/connect"
	"freshet/emitter/topic"
	"freshet/emitter/topic/kafka"
	"freshet/internal/failpoint"
	"freshet/internal/testdb"
)

// foreign is a transactional producer of somebody else.
func foreign(t testing.TB, broker, id string) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.TransactionalID(id), kgo.DisableClientMetrics())
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// A position that was committed behind a transaction which is still open is not passed over: whoever asks for it waits.
func TestPositionBehindAnOpenTransaction(t *testing.T) {
	broker := testdb.Kafka(t).Address()
	o := optionsFor("behind", broker)
	o.Committed, o.Offsets.Partitions = true, 1
	s := startOffsets(t, o)
	other := foreign(t, broker, "behind-other")
	require.NoError(t, other.BeginTransaction())
	require.NoError(t, other.ProduceSync(t.Context(), &kgo.Record{Topic: o.Offsets.Name, Key: []byte(`["other",{"s":"1"}]`), Value: []byte(`{"N":9}`)}).FirstErr())
	require.NoError(t, s.PutMarks(t.Context(), []topic.Mark{{Key: sourceKey, Value: `{"N":1}`}}))
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := s.LoadMark(short, sourceKey)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, other.EndTransaction(t.Context(), kgo.TryAbort))
	value, err := s.LoadMark(t.Context(), sourceKey)
	require.NoError(t, err)
	require.JSONEq(t, `{"N":1}`, value)
	value, err = s.LoadMark(t.Context(), `["other",{"s":"1"}]`)
	require.NoError(t, err)
	require.Empty(t, value, "it was aborted")
}

// Positions of an exactly-once source change in one transaction of its first task: who reads what is committed sees all or none.
func TestAlterMarks(t *testing.T) {
	broker := testdb.Kafka(t).Address()
	key := func(n string) string { return `["c",{"s":"` + n + `"}]` }
	before := map[string]string{key("1"): `{"N":1}`, key("2"): `{"N":1}`, key("3"): `{"N":1}`}
	after := map[string]string{key("1"): `{"N":2}`, key("2"): `{"N":2}`}
	change := []topic.Mark{{Key: key("1"), Value: `{"N":2}`}, {Key: key("2"), Value: `{"N":2}`}, {Key: `["c", {"s":"3"}]`}}
	for _, c := range []struct {
		name string
		own  bool
	}{{"worker's topic", false}, {"own topic", true}} {
		t.Run(c.name, func(t *testing.T) {
			group := "alter"
			if c.own {
				group = "alter-own"
			}
			o := optionsFor(group, broker)
			o.Committed = true
			worker := startOffsets(t, o)
			var store Alterable = worker
			read := o.Offsets.Name
			if c.own {
				own := o
				own.Offsets.Name = group + "-own"
				s := NewOwnOffsets(own, worker)
				t.Cleanup(func() { s.Close(context.Background()) })
				store, read = s, own.Offsets.Name
			}
			id := TaskTransactionalID(group, connect.TaskID{Connector: "c"})
			clients := kafka.Options{Producer: o.Client, Transactions: &kafka.Transactions{ID: id}}
			for k, v := range before {
				require.NoError(t, store.PutMarks(t.Context(), []topic.Mark{{Key: k, Value: v}}))
			}
			committed := func() map[string]string {
				out := map[string]string{}
				for _, r := range raw(t, read, broker) {
					if r.Value == nil {
						delete(out, string(r.Key))
						continue
					}
					out[string(r.Key)] = string(r.Value)
				}
				return out
			}
			require.Equal(t, before, committed())

			// A task that was left behind has sent a position, and can commit it no more.
			zombie := foreign(t, broker, id)
			require.NoError(t, zombie.BeginTransaction())
			require.NoError(t, zombie.ProduceSync(t.Context(), &kgo.Record{Topic: read, Key: []byte(key("1")), Value: []byte(`{"N":7}`)}).FirstErr())

			// What is given up half way never happened.
			ctx, cancel := context.WithCancel(t.Context())
			restore := failpoint.Set(func(step string) {
				if step == "positions: sent" {
					require.Equal(t, before, committed())
					cancel()
				}
			})
			require.ErrorIs(t, AlterMarks(ctx, clients, store, change), context.Canceled)
			restore()
			require.Equal(t, before, committed())
			require.Error(t, zombie.EndTransaction(t.Context(), kgo.TryCommit))

			if !c.own { // in an own topic the worker's copy of what goes is forgotten first, and stands behind it
				marks, err := store.Marks(t.Context(), `["c",`)
				require.NoError(t, err)
				require.Len(t, marks, 3)
			}
			sent := 0
			defer failpoint.Set(func(step string) {
				if step == "positions: sent" {
					sent++
					require.Equal(t, before, committed())
				}
			})()
			require.NoError(t, AlterMarks(t.Context(), clients, store, change))
			require.Equal(t, 1, sent)
			require.Equal(t, after, committed(), "seen once the call has returned")
			marks, err := store.Marks(t.Context(), `["c",`)
			require.NoError(t, err)
			require.Equal(t, []topic.Mark{{Key: key("1"), Value: `{"N":2}`}, {Key: key("2"), Value: `{"N":2}`}}, marks)
			copied, err := worker.Marks(t.Context(), `["c",`)
			require.NoError(t, err)
			require.Equal(t, marks, copied)
		})
	}
}
