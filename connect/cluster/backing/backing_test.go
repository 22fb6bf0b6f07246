// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"freshet/internal/testdb"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		runChild()
		return
	}
	goleak.VerifyTestMain(m, testdb.IgnoreKafka())
}

// waitFor waits until cond is true.
func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, 20*time.Second, 5*time.Millisecond, what)
}

// optionsFor are those of a worker of a group of its own, with few partitions.
func optionsFor(group string, brokers ...string) Options {
	return Options{
		Client: []kgo.Opt{kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(50 * time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond })},
		Log:    slog.New(slog.DiscardHandler), ClientID: group, Group: group,
		Config:   Topic{Name: group + "-configs", Replication: 1},
		Offsets:  Topic{Name: group + "-offsets", Partitions: 25, Replication: 1},
		Statuses: Topic{Name: group + "-status", Partitions: 5, Replication: 1},
	}
}

// newFake starts a cluster in this process.
func newFake(t testing.TB, o ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.DefaultNumPartitions(1)}, o...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// adminOf is a client of the test's own.
func adminOf(t testing.TB, brokers ...string) *kadm.Client {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(20*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return kadm.NewClient(c)
}

// raw are all records of a topic, by partition, then offset.
func raw(t testing.TB, name string, brokers ...string) []*kgo.Record {
	t.Helper()
	admin := adminOf(t, brokers...)
	ends, err := admin.ListCommittedOffsets(t.Context(), name)
	require.NoError(t, err)
	c, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	require.NoError(t, err)
	defer c.Close()
	at := map[int32]int64{}
	var out []*kgo.Record
	for {
		done := true
		ends.Each(func(o kadm.ListedOffset) { done = done && at[o.Partition] >= o.Offset })
		if done {
			break
		}
		f := c.PollFetches(t.Context())
		require.NoError(t, f.Err())
		f.EachRecord(func(r *kgo.Record) {
			at[r.Partition] = r.Offset + 1
			if !r.Attrs.IsControl() {
				out = append(out, r)
			}
		})
	}
	slices.SortStableFunc(out, func(a, b *kgo.Record) int { return int(a.Partition) - int(b.Partition) })
	return out
}

// events collects what a store tells.
type events struct {
	mu  sync.Mutex // guards all
	all []Event
}

func (e *events) add(ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

// take returns the events since the last time.
func (e *events) take() []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.all
	e.all = nil
	return out
}

func startConfigs(t testing.TB, o Options) (*Configs, *events) {
	t.Helper()
	c, seen := NewConfigs(o), &events{}
	require.NoError(t, c.Start(t.Context(), seen.add))
	t.Cleanup(func() { c.Close(context.Background()) })
	return c, seen
}

func startStatuses(t testing.TB, o Options) *Statuses {
	t.Helper()
	s := NewStatuses(o)
	require.NoError(t, s.Start(t.Context()))
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

func startOffsets(t testing.TB, o Options) *Offsets {
	t.Helper()
	s := NewOffsets(o)
	require.NoError(t, s.Start(t.Context()))
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}
