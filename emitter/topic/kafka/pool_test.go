// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/emitter/topic"
)

func TestPoolKeepsWhatFits(t *testing.T) {
	var p pool
	p.PutDecompressBytes(make([]byte, keptBytes+1))
	require.Nil(t, p.GetDecompressBytes(make([]byte, keptBytes), kgo.CodecZstd), "too large to be kept")
	p.PutDecompressBytes(make([]byte, 1<<20))
	require.Nil(t, p.GetDecompressBytes(make([]byte, 100), kgo.CodecZstd), "too large for so little")
	p.PutRecords(make([]kgo.Record, 10))
	require.Len(t, p.GetRecords(11)[:11], 11)
	require.Len(t, p.GetRecords(3)[:3], 3)
}

// Memory is used again only for what is polled later: batches are polled in parts, and each part stays as it is until the next.
func TestPolledRecordsKeepTheirMemory(t *testing.T) {
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		t.Run(name, func(t *testing.T) {
			fake := newFake(t, kfake.SeedTopics(2, "t"))
			producer, err := kgo.NewClient(kgo.SeedBrokers(fake.ListenAddrs()...), kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(kgo.ManualPartitioner()))
			require.NoError(t, err)
			defer producer.Close()
			const batches, records = 20, 30
			text := func(p int32, n int64) string { return fmt.Sprintf("%d %d %s", p, n, strings.Repeat("x", int(n%7)*100)) }
			for b := range batches {
				var sent []*kgo.Record
				for n := range records {
					for p := range int32(2) {
						v := []byte(text(p, int64(b*records+n)))
						sent = append(sent, &kgo.Record{Topic: "t", Partition: p, Key: v, Value: v, Headers: []kgo.RecordHeader{{Key: "h", Value: v}}})
					}
				}
				require.NoError(t, producer.ProduceSync(t.Context(), sent...).FirstErr())
			}
			o := optionsFor(newMemory(), fake.ListenAddrs()...)
			o.Consumer = append(o.Consumer, kgo.FetchMaxPartitionBytes(20<<10))
			cursor, err := openLog(t, o).Subscribe(t.Context(), topic.Subscription{Topics: []string{"t"}, Group: "g"})
			require.NoError(t, err)
			defer cursor.Close(t.Context())
			next := map[int32]int64{}
			for n := 0; n < 2*batches*records; {
				got, err := cursor.Poll(t.Context(), 17)
				require.NoError(t, err)
				for i := range got {
					r := &got[i]
					require.Equal(t, next[r.Partition], r.Offset)
					want := text(r.Partition, r.Offset)
					require.Equal(t, want, string(r.Key.Body))
					require.Equal(t, want, string(r.Value.Body))
					require.Equal(t, "h="+want, r.Headers[0].Key+"="+string(r.Headers[0].Value))
					next[r.Partition]++
				}
				require.NoError(t, cursor.Commit(t.Context()))
				n += len(got)
			}
		})
	}
}
