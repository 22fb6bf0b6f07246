// SPDX-License-Identifier: Apache-2.0

package kafkaclient

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/pierrec/lz4/v4"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/internal/testdb"
)

// repetitive is text as events with schemas are: a long head again and again, with little between.
func repetitive(n int) []byte {
	head := make([]byte, 3000)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range head {
		head[i] = byte('a' + r.IntN(20))
	}
	var out []byte
	for i := 0; len(out) < n; i++ {
		out = strconv.AppendInt(append(out, head...), int64(i), 10)
	}
	return out[:n]
}

func random(n int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(r.Uint32())
	}
	return out
}

func TestLZ4(t *testing.T) {
	f := newLZ4()
	dst := new(bytes.Buffer)
	for _, c := range []struct {
		name       string
		src        []byte
		compressed bool
	}{
		{"nothing", nil, false},
		{"a byte", []byte("a"), false},
		{"random", random(700_000), false},
		{"text", repetitive(1_000_000), true},
		{"one block", repetitive(lz4BlockBytes), true},
		{"one block and a byte", repetitive(lz4BlockBytes + 1), true},
		{"a random block between", append(append(repetitive(lz4BlockBytes), random(lz4BlockBytes)...), repetitive(lz4BlockBytes)...), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dst.Reset()
			out, codec := f.Compress(dst, c.src)
			if !c.compressed {
				require.Equal(t, kgo.CodecNone, codec)
				require.Equal(t, c.src, out)
				return
			}
			require.Equal(t, kgo.CodecLz4, codec)
			require.Less(t, len(out), len(c.src))
			got, err := io.ReadAll(lz4.NewReader(bytes.NewReader(out)))
			require.NoError(t, err)
			require.True(t, bytes.Equal(c.src, got))
		})
	}
}

// The brokers read each batch that is compressed before they take it, with Kafka's own reader of lz4.
func TestLZ4IsTakenByKafka(t *testing.T) {
	w, problems := NewWorker(map[string]string{"bootstrap.servers": testdb.Kafka(t).Address(), "producer.linger.ms": "50"})
	require.Empty(t, problems)
	o, err := w.Options(nil, "")
	require.NoError(t, err)
	client, err := kgo.NewClient(append(o.Producer, kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("lz4"), kgo.ConsumeTopics("lz4"))...)
	require.NoError(t, err)
	defer client.Close()
	values := [][]byte{random(400_000)}
	for i := range 300 {
		values = append(values, repetitive(3000+i))
	}
	records := make([]*kgo.Record, len(values))
	for i := range values {
		records[i] = &kgo.Record{Value: values[i]}
	}
	require.NoError(t, client.ProduceSync(t.Context(), records...).FirstErr())
	compressed := 0
	for i := 0; i < len(values); {
		fetches := client.PollFetches(t.Context())
		require.NoError(t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			require.True(t, bytes.Equal(values[i], r.Value), "record %d", i)
			if r.Attrs.CompressionType() == uint8(kgo.CodecLz4) {
				compressed++
			}
			i++
		})
	}
	require.GreaterOrEqual(t, compressed, 290)
}

func BenchmarkLZ4(b *testing.B) {
	src, f, dst := repetitive(1_000_000), newLZ4(), new(bytes.Buffer)
	own, err := kgo.DefaultCompressor(kgo.Lz4Compression())
	require.NoError(b, err)
	for _, c := range []struct {
		name string
		c    kgo.Compressor
	}{{"ours", f}, {"franz-go", own}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				dst.Reset()
				out, _ := c.c.Compress(dst, src)
				b.ReportMetric(float64(len(src))/float64(len(out)), "ratio")
			}
		})
	}
}
