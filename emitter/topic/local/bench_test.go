// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
	"freshet/internal/store"
)

// benchUnit is a unit of n records with values of about 700 bytes of JSON.
func benchUnit(n int) topic.Unit {
	head := &topic.Head{ID: 1, Bytes: make([]byte, 4000)}
	rng := rand.New(rand.NewPCG(1, 2))
	u := topic.Unit{Mark: topic.Mark{Key: `{"server":"s"}`, Value: `{"lsn":1234567}`}}
	for i := range n {
		body := fmt.Appendf(nil, `{"before":null,"after":{"id":%d,"customer_id":%d,"status":"NEW","amount":"`, i, i%5000)
		for len(body) < 660 {
			body = fmt.Appendf(body, `%d","note":"note for row number %d with some padding text",`, rng.Uint64(), rng.IntN(1e6))
		}
		u.Records = append(u.Records, topic.Record{
			Topic: "server.bench.orders", Partition: topic.AnyPartition, TimeMillis: 1700000000000,
			Key:   topic.Data{Head: head, Body: fmt.Appendf(nil, `{"id":%d}}`, i)},
			Value: topic.Data{Head: head, Body: body},
		})
	}
	return u
}

func openBench(b *testing.B, o Options) *Log {
	b.Helper()
	db, err := store.Open(b.TempDir(), store.Options{})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	l, err := Open(db, o)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, l.Close(context.Background())) })
	return l
}

// BenchmarkAppend has one producer that appends as fast as the log takes its units. rec/s is of durable records.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 512, 2048} {
		b.Run(fmt.Sprintf("records=%d", n), func(b *testing.B) {
			l := openBench(b, Options{RetentionInterval: -1})
			u := benchUnit(n)
			size := costOf(&u)
			b.SetBytes(size)
			b.ReportAllocs()
			var wg sync.WaitGroup
			cpu := cpuMicros(b)
			for b.Loop() {
				wg.Add(1)
				l.Append(context.Background(), u, func(err error) {
					if err != nil {
						b.Error(err)
					}
					wg.Done()
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "rec/s")
			b.ReportMetric(rssMiB(), "MiB-RSS")
			b.ReportMetric((cpuMicros(b)-cpu)/float64(b.N*n), "cpu-µs/rec")
		})
	}
}

// BenchmarkAppendLatency is the time from Append to done of a lone record.
func BenchmarkAppendLatency(b *testing.B) {
	l := openBench(b, Options{RetentionInterval: -1})
	u := benchUnit(1)
	done := make(chan error, 1)
	var worst time.Duration
	for b.Loop() {
		begin := time.Now()
		l.Append(context.Background(), u, func(err error) { done <- err })
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		worst = max(worst, time.Since(begin))
	}
	b.ReportMetric(float64(worst.Microseconds())/1000, "worst-ms")
}

// BenchmarkPoll reads a topic of a million records.
func BenchmarkPoll(b *testing.B) {
	l := openBench(b, Options{RetentionInterval: -1})
	u := benchUnit(512)
	const units = 1000
	var wg sync.WaitGroup
	for range units {
		wg.Add(1)
		l.Append(context.Background(), u, func(error) { wg.Done() })
	}
	wg.Wait()
	c, err := l.Subscribe(context.Background(), topic.Subscription{Topics: []string{u.Records[0].Topic}})
	require.NoError(b, err)
	p := topic.Partition{Topic: u.Records[0].Topic}
	b.ReportAllocs()
	got, read := 0, 0
	for b.Loop() {
		if got >= units*512 {
			c.Seek(p, 0)
			got = 0
		}
		rs, err := c.Poll(context.Background(), 2000)
		if err != nil {
			b.Fatal(err)
		}
		got += len(rs)
		read += len(rs)
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "rec/s")
}

// cpuMicros is the CPU time that this process has used, in microseconds. It tells more than the wall clock where other
// processes share the machine.
func cpuMicros(b *testing.B) float64 {
	var ru syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &ru))
	return float64(ru.Utime.Sec+ru.Stime.Sec)*1e6 + float64(ru.Utime.Usec+ru.Stime.Usec)
}

// rssMiB is the resident memory of this process.
func rssMiB() float64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, rss int64
	if _, err := fmt.Sscan(string(b), &size, &rss); err != nil {
		return 0
	}
	return float64(rss*int64(os.Getpagesize())) / (1 << 20)
}
