// SPDX-License-Identifier: Apache-2.0

package topiccopy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"freshet/emitter/topic"
	"freshet/emitter/topic/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is a data folder in memory.
type source struct {
	partitions map[string][][]topic.Record // with the offset of the first one kept in each
	starts     map[string][]int64
	groups     map[string]map[topic.Partition]int64
	notes      map[string][]byte
}

var (
	_ Source = (*source)(nil)
	_ Notes  = (*source)(nil)
)

// newSource has topic a with two partitions, the second one cut at the head, and topic b without records.
func newSource(n int) *source {
	s := &source{
		partitions: map[string][][]topic.Record{"a": {nil, nil}, "b": {nil}, "__freshet-own": {nil}},
		starts:     map[string][]int64{"a": {0, 100}, "b": {0}, "__freshet-own": {0}},
		groups:     map[string]map[topic.Partition]int64{}, notes: map[string][]byte{},
	}
	s.grow("a", n)
	s.grow("__freshet-own", 1)
	return s
}

// grow appends records to each partition of a topic.
func (s *source) grow(name string, n int) {
	for p, records := range s.partitions[name] {
		for range n {
			at := s.starts[name][p] + int64(len(records))
			r := topic.Record{
				Topic: name, Partition: int32(p), Offset: at, TimeMillis: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).UnixMilli() + at,
				Key: topic.Data{Body: fmt.Appendf(nil, "k%d", at)}, Value: topic.Data{Head: &topic.Head{Bytes: []byte("head ")}, Body: fmt.Appendf(nil, "v%d", at)},
				Headers: []topic.Header{{Key: "h", Value: []byte("x")}, {Key: "null"}},
			}
			if at%3 == 0 {
				r.Key, r.Value = topic.Data{}, topic.Data{}
			}
			records = append(records, r)
		}
		s.partitions[name][p] = records
	}
}

func (s *source) List(context.Context) ([]topic.Info, error) {
	var out []topic.Info
	for _, name := range slices.Sorted(maps.Keys(s.partitions)) {
		info := topic.Info{Name: name}
		for p, records := range s.partitions[name] {
			start := s.starts[name][p]
			info.Partitions = append(info.Partitions, topic.Range{Start: start, End: start + int64(len(records))})
		}
		out = append(out, info)
	}
	return out, nil
}

func (s *source) ReadFrom(_ context.Context, p topic.Partition, offset int64, limit int) ([]topic.Record, error) {
	records := s.partitions[p.Topic][p.Partition]
	from := offset - s.starts[p.Topic][p.Partition]
	return slices.Clone(records[from:min(from+int64(min(limit, 7)), int64(len(records)))]), nil
}

func (s *source) Groups(context.Context) (map[string]map[topic.Partition]int64, error) {
	return s.groups, nil
}

func (s *source) Status(key string) ([]byte, error) { return s.notes[key], nil }

func (s *source) PutStatus(key string, value []byte) error {
	s.notes[key] = value
	return nil
}

// cut deletes the first records of a partition, as retention does.
func (s *source) cut(name string, p, n int) {
	s.partitions[name][p] = s.partitions[name][p][n:]
	s.starts[name][p] += int64(n)
}

func newTarget(t *testing.T, seed ...kfake.Opt) *kafka.Log {
	t.Helper()
	fake, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.ClusterID("the-cluster")}, seed...)...)
	require.NoError(t, err)
	t.Cleanup(fake.Close)
	seeds := []kgo.Opt{kgo.SeedBrokers(fake.ListenAddrs()...), kgo.MetadataMinAge(20 * time.Millisecond)}
	l, err := kafka.Open(kafka.Options{
		Brokers: fake.ListenAddrs(), Producer: seeds, Consumer: seeds, Admin: seeds, Marks: nothing{},
		Creation: func(string) (kafka.Creation, bool) { return kafka.Creation{Partitions: -1, Replication: 1}, true },
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close(context.Background())) })
	require.NoError(t, l.Connect(t.Context(), nil))
	return l
}

// requireCopied wants all records of the source in Kafka, once, each at its place.
func requireCopied(t *testing.T, s *source, to *kafka.Log, name string) {
	t.Helper()
	infos, err := to.List(t.Context())
	require.NoError(t, err)
	at := slices.IndexFunc(infos, func(i topic.Info) bool { return i.Name == name })
	require.GreaterOrEqual(t, at, 0)
	want := s.partitions[name]
	require.Len(t, infos[at].Partitions, len(want))
	left := 0
	for p, records := range want {
		require.Equal(t, topic.Range{End: int64(len(records))}, infos[at].Partitions[p])
		left += len(records)
	}
	c, err := to.Subscribe(t.Context(), topic.Subscription{Topics: []string{name}})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close(t.Context())) }()
	for left > 0 {
		got, err := c.Poll(t.Context(), 1000)
		require.NoError(t, err)
		for i := range got {
			w := want[got[i].Partition][got[i].Offset]
			require.True(t, same(&w, &got[i]), "partition %d, offset %d", got[i].Partition, got[i].Offset)
			require.Equal(t, w.Headers, got[i].Headers)
			left--
		}
	}
}

func TestCopyIsContinued(t *testing.T) {
	to, s := newTarget(t), newSource(200)
	group := topic.Partition{Topic: "a", Partition: 1}
	s.groups = map[string]map[topic.Partition]int64{
		"connect-x": {{Topic: "a"}: 13, group: 150}, "connect-y": {group: 20, {Topic: "b"}: 0},
	}
	r, err := Run(t.Context(), Options{From: s, Notes: s, To: to, DryRun: true})
	require.NoError(t, err)
	want := Result{Topics: []Topic{{Name: "a", Copied: 400}, {Name: "b"}}, Offsets: 4}
	require.Equal(t, want, r)
	require.Empty(t, s.notes)
	infos, err := to.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, infos)

	// Each run is interrupted after some records, until one comes through.
	var copied atomic.Int64
	runs := 0
	for done := false; !done; runs++ {
		ctx, cancel := context.WithCancel(t.Context())
		var calls atomic.Int32
		before := copied.Load()
		_, err := Run(ctx, Options{From: s, Notes: s, To: to, Progress: func(now, total int64) {
			require.Equal(t, int64(400), total)
			require.GreaterOrEqual(t, now, before, "it goes on where it was")
			if calls.Add(1) == 9 {
				copied.Store(now)
				cancel()
			}
		}})
		done = err == nil
		cancel()
	}
	require.Greater(t, runs, 2)
	requireCopied(t, s, to, "a")
	requireCopied(t, s, to, "b")
	for name, offsets := range map[string]map[topic.Partition]int64{
		"connect-x": {{Topic: "a"}: 13, group: 50}, "connect-y": {group: 0, {Topic: "b"}: 0},
	} {
		got, err := to.GroupOffsets(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, offsets, got)
	}

	// Again: nothing is done. What came since is copied; a group that went on in Kafka stays there.
	r, err = Run(t.Context(), Options{From: s, Notes: s, To: to})
	require.NoError(t, err)
	require.Equal(t, Result{Topics: []Topic{{Name: "a", Already: 400}, {Name: "b"}}}, r)
	s.grow("a", 5)
	s.cut("a", 1, 50)
	require.NoError(t, to.SetGroupOffset(t.Context(), "connect-x", topic.Partition{Topic: "a"}, 100))
	s.groups["connect-x"] = map[topic.Partition]int64{{Topic: "a"}: 14, group: 152}
	r, err = Run(t.Context(), Options{From: s, Notes: s, To: to, Topics: []string{"a"}})
	require.NoError(t, err)
	require.Equal(t, Result{Topics: []Topic{{Name: "a", Copied: 10, Already: 400}}, Offsets: 1}, r)
	got, err := to.GroupOffsets(t.Context(), "connect-x")
	require.NoError(t, err)
	require.Equal(t, map[topic.Partition]int64{{Topic: "a"}: 100, group: 52}, got)

	// The topic is written to in Kafka from now on. That is no reason to refuse, and nothing to copy.
	appendTo(t, to, topic.Record{Topic: "a", Partition: 0, Value: topic.Data{Body: []byte("new")}})
	r, err = Run(t.Context(), Options{From: s, Notes: s, To: to, Topics: []string{"a"}})
	require.NoError(t, err)
	require.Equal(t, int64(0), r.Topics[0].Copied)
}

func appendTo(t *testing.T, to *kafka.Log, r topic.Record) {
	t.Helper()
	done := make(chan error, 1)
	to.Append(t.Context(), topic.Unit{Records: []topic.Record{r}}, func(err error) { done <- err })
	require.NoError(t, <-done)
}

func TestCopiesThatAreRefused(t *testing.T) {
	partial := func(t *testing.T, s *source, to *kafka.Log) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Run(ctx, Options{From: s, Notes: s, To: to, Topics: []string{"a"}, Progress: func(int64, int64) { cancel() }})
		require.ErrorIs(t, err, context.Canceled)
	}
	for _, c := range []struct {
		name, want string
		topics     []string
		prepare    func(t *testing.T, s *source, to *kafka.Log)
	}{
		{"no such topic", `there is no topic "c" in the data folder`, []string{"c"}, func(*testing.T, *source, *kafka.Log) {}},
		{"other records", `topic "a" holds records in Kafka that are not copied from this data folder`, nil, func(t *testing.T, _ *source, to *kafka.Log) {
			require.NoError(t, to.Create(t.Context(), topic.Spec{Name: "a", Partitions: 2}))
			appendTo(t, to, topic.Record{Topic: "a", Partition: 1})
		}},
		{"other partitions", `topic "a" has 3 partition(s) in Kafka and 2 in the data folder`, nil, func(t *testing.T, _ *source, to *kafka.Log) {
			require.NoError(t, to.Create(t.Context(), topic.Spec{Name: "a", Partitions: 3}))
		}},
		{"retention was quicker", "were not copied and are deleted by now", nil, func(t *testing.T, s *source, to *kafka.Log) {
			partial(t, s, to)
			s.cut("a", 0, 150)
			s.cut("a", 1, 150)
		}},
		{"somebody writes to it", "in Kafka is no copy of the one at offset", nil, func(t *testing.T, s *source, to *kafka.Log) {
			partial(t, s, to)
			appendTo(t, to, topic.Record{Topic: "a", Partition: 0, Value: topic.Data{Body: []byte("new")}})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			to, s := newTarget(t), newSource(200)
			c.prepare(t, s, to)
			_, err := Run(t.Context(), Options{From: s, Notes: s, To: to, Topics: c.topics})
			var refused *RefusedError
			require.ErrorAs(t, err, &refused)
			require.ErrorContains(t, err, c.want)
		})
	}
}

// Once the topic is deleted in Kafka, the copy begins anew with what the folder has then.
func TestCopyBeginsAnew(t *testing.T) {
	to, s := newTarget(t), newSource(20)
	_, err := Run(t.Context(), Options{From: s, Notes: s, To: to, Topics: []string{"a"}})
	require.NoError(t, err)
	require.NoError(t, to.DeleteTopic(t.Context(), "a"))
	s.cut("a", 0, 10)
	s.groups = map[string]map[topic.Partition]int64{"connect-x": {{Topic: "a"}: 13}}
	r, err := Run(t.Context(), Options{From: s, Notes: s, To: to, Topics: []string{"a"}})
	require.NoError(t, err)
	require.Equal(t, Result{Topics: []Topic{{Name: "a", Copied: 30}}, Offsets: 1}, r)
	requireCopied(t, s, to, "a")
	got, err := to.GroupOffsets(t.Context(), "connect-x")
	require.NoError(t, err)
	require.Equal(t, map[topic.Partition]int64{{Topic: "a"}: 3}, got)
}
