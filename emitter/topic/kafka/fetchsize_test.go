// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"freshet/emitter/topic"
)

// asks are the most bytes of an answer, and of a partition in it, that consumers have asked for.
type asks struct {
	mu               sync.Mutex // guards the others
	whole, partition []int32
}

// watch notes what the consumers of a cluster ask for.
func (a *asks) watch(fake *kfake.Cluster) {
	fake.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		req := r.(*kmsg.FetchRequest)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.whole = append(a.whole, req.MaxBytes)
		for _, t := range req.Topics {
			for _, p := range t.Partitions {
				a.partition = append(a.partition, p.PartitionMaxBytes)
			}
		}
		return nil, nil, false
	})
}

func (a *asks) first() (whole, partition int32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.whole[0], a.partition[0]
}

func (a *asks) last() (whole, partition int32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.whole[len(a.whole)-1], a.partition[len(a.partition)-1]
}

// What is asked for is what the properties allow where records are stored as they are, and less the more they are compressed.
func TestFetchesAreSizedByWhatBecomesOfThem(t *testing.T) {
	const whole, partition, records = 4 << 20, 2 << 20, 3000
	for _, c := range []struct {
		name        string
		codec       kgo.CompressionCodec
		least, most int32 // of a partition in the end
	}{
		{"plain", kgo.NoCompression(), partition, partition},
		{"compressed", kgo.ZstdCompression(), leastFetch, partition / 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := newFake(t, kfake.SeedTopics(1, "t"))
			var asked asks
			asked.watch(fake)
			producer, err := kgo.NewClient(kgo.SeedBrokers(fake.ListenAddrs()...), kgo.ProducerBatchCompression(c.codec))
			require.NoError(t, err)
			defer producer.Close()
			var sent []*kgo.Record
			for n := range records {
				sent = append(sent, &kgo.Record{Topic: "t", Value: fmt.Appendf(nil, "%d %s", n, strings.Repeat("schema", 300))})
			}
			require.NoError(t, producer.ProduceSync(t.Context(), sent...).FirstErr())

			o := optionsFor(newMemory(), fake.ListenAddrs()...)
			o.Consumer = append(o.Consumer, kgo.FetchMaxBytes(whole), kgo.FetchMaxPartitionBytes(partition))
			cursor, err := openLog(t, o).Subscribe(t.Context(), topic.Subscription{Topics: []string{"t"}})
			require.NoError(t, err)
			defer cursor.Close(t.Context())
			for n := 0; n < records; {
				got, err := cursor.Poll(t.Context(), 500)
				require.NoError(t, err)
				for i := range got {
					require.Equal(t, string(sent[n].Value), string(got[i].Value.Body))
					n++
				}
			}
			w, p := asked.first()
			require.EqualValues(t, firstFetch, w)
			require.EqualValues(t, firstFetch, p)
			require.Eventually(t, func() bool { // the next question is asked once the last answer is taken
				w, p := asked.last()
				return p >= c.least && p <= c.most && w >= p && (c.codec != kgo.NoCompression() || w == whole)
			}, 10*time.Second, time.Millisecond)
		})
	}
}
