// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"freshet/emitter/topic"
	"freshet/emitter/topic/topictest"
	"freshet/internal/testdb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testdb.IgnoreKafka()) }

// memory is a MarkStore that outlives its logs.
type memory struct {
	mu    sync.Mutex // guards the others
	marks map[string]string
	fail  error // of the next puts
	puts  [][]topic.Mark
}

var _ MarkStore = (*memory)(nil)

func newMemory() *memory { return &memory{marks: map[string]string{}} }

func (m *memory) PutMarks(_ context.Context, marks []topic.Mark) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.puts = append(m.puts, slices.Clone(marks))
	for _, k := range marks {
		m.marks[k.Key] = k.Value
	}
	return nil
}

func (m *memory) LoadMark(_ context.Context, key string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.marks[key], nil
}

func (m *memory) Marks(_ context.Context, prefix string) ([]topic.Mark, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []topic.Mark
	for _, k := range slices.Sorted(maps.Keys(m.marks)) {
		if strings.HasPrefix(k, prefix) {
			out = append(out, topic.Mark{Key: k, Value: m.marks[k]})
		}
	}
	return out, nil
}

func (m *memory) DeleteMark(_ context.Context, key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.marks, key)
	return nil
}

// optionsFor are options for brokers, with groups that notice changes soon.
func optionsFor(marks MarkStore, brokers ...string) Options {
	seeds := []kgo.Opt{
		kgo.SeedBrokers(brokers...), kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
	}
	return Options{
		Brokers: brokers, Producer: seeds, Admin: seeds,
		Consumer: []kgo.Opt{
			kgo.SeedBrokers(brokers...), kgo.HeartbeatInterval(10 * time.Millisecond), kgo.Balancers(kgo.RangeBalancer(), kgo.CooperativeStickyBalancer()),
			kgo.FetchMaxWait(100 * time.Millisecond),
		},
		Marks: marks, MaxRequestBytes: 10 << 20, Log: slog.New(slog.DiscardHandler),
		Creation: func(string) (Creation, bool) {
			return Creation{Partitions: 1, Replication: -1, Configs: map[string]string{"max.message.bytes": "11000000"}}, true
		},
	}
}

// cluster is a topictest.Store on brokers.
type cluster struct {
	brokers []string
	marks   *memory
}

func (c *cluster) Open(t testing.TB) topic.Log {
	t.Helper()
	l, err := Open(optionsFor(c.marks, c.brokers...))
	require.NoError(t, err)
	require.NoError(t, l.Connect(t.Context(), nil))
	return l
}

func newFake(t testing.TB, o ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, o...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestConformanceOnFake(t *testing.T) {
	topictest.Run(t, func(t testing.TB) topictest.Store {
		return &cluster{newFake(t).ListenAddrs(), newMemory()}
	})
}
