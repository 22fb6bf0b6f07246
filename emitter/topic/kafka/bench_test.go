// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"freshet/emitter/topic"
	"freshet/internal/testdb"
)

// unitOf is a unit of n records with heads, 700 bytes each.
func unitOf(name string, n int) topic.Unit {
	head := &topic.Head{ID: 1, Bytes: []byte(`{"schema":{"type":"struct"},"payload":`)}
	u := topic.Unit{Mark: topic.Mark{Key: "src", Value: "1"}}
	for i := range n {
		u.Records = append(u.Records, topic.Record{
			Topic: name, Partition: topic.AnyPartition, TimeMillis: 1, Key: topic.Data{Head: head, Body: fmt.Appendf(nil, "%d}", i)},
			Value: topic.Data{Head: head, Body: make([]byte, 660)}, Headers: []topic.Header{{Key: "h", Value: []byte("v")}},
		})
	}
	return u
}

// Making the client's records allocates nothing once the memory of a parcel is there.
func TestLoadAllocatesNothing(t *testing.T) {
	l := openLog(t, optionsFor(newMemory(), "127.0.0.1:1"))
	l.topics.put("t", &known{partitions: 1, maxBytes: 1 << 20})
	in, p := unitOf("t", 512), l.parcels.newParcel()
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if err := l.allow(context.Background(), in.Records); err != nil {
			t.Error(err)
		}
		p.empty()
		l := measure(in.Records)
		p.load(in.Records[:l.records], l)
	}))
	require.Equal(t, in.Records[511].Key.Bytes(), p.records[511].Key)
	require.Equal(t, in.Records[511].Value.Bytes(), p.records[511].Value)
}

// A parcel takes what fits, and a record that is larger than any parcel alone.
func TestParcelsAreBounded(t *testing.T) {
	in := unitOf("t", 5000)
	in.Records[4000].Value.Body = make([]byte, 5*parcelBytes)
	p, total, alone := newDispatcher().newParcel(), 0, false
	for total < len(in.Records) {
		l := measure(in.Records[total:])
		n := l.records
		p.load(in.Records[total:total+n], l)
		if large := total == 4000; large {
			require.Equal(t, 1, n)
			require.Greater(t, cap(p.arena), 5*parcelBytes)
			alone = true
		} else {
			require.LessOrEqual(t, len(p.arena), parcelBytes)
			require.LessOrEqual(t, l.size, parcelBytes)
		}
		require.Equal(t, in.Records[total].Value.Bytes(), p.records[0].Value)
		require.Equal(t, in.Records[total+n-1].Value.Bytes(), p.records[n-1].Value)
		total += n
		p.empty()
	}
	require.True(t, alone)
}

// BenchmarkAppend appends units of 512 records of 700 bytes, eight in flight.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct {
		name   string
		broker func() string
	}{
		{"fake", func() string { return newFake(b, kfake.BlackholeProduce()).ListenAddrs()[0] }},
		{"kafka", func() string { return testdb.Kafka(b).Address() }},
	} {
		b.Run(c.name, func(b *testing.B) {
			o := optionsFor(newMemory(), c.broker())
			o.MaxRequestBytes = 1 << 20
			l := openLog(b, o)
			const records = 512
			u := unitOf("bench", records)
			flying := make(chan struct{}, 8)
			var open sync.WaitGroup
			b.ReportAllocs()
			for b.Loop() {
				flying <- struct{}{}
				open.Add(1)
				l.Append(b.Context(), u, func(err error) {
					if err != nil {
						b.Error(err)
					}
					<-flying
					open.Done()
				})
			}
			open.Wait()
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*records), "ns/record")
		})
	}
}
