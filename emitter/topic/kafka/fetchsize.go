// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// fetchSize keeps what an answer of a broker takes in memory below what the consumer's properties allow on the wire. A client says
// how many bytes it wants as they are stored, and events with schemas have been seen to be compressed to a thirtieth.
type fetchSize struct {
	stored, plain atomic.Int64 // bytes of the batches read of late, as stored and decompressed; the client's goroutines add

	// Used by the one goroutine that polls.
	whole, partition int32 // the most bytes of an answer, and of a partition in it
	inflation        int64 // the last answers' plain bytes by stored ones that was acted upon, in percent; 0 before the first
}

var _ kgo.HookFetchBatchRead = (*fetchSize)(nil)

const (
	// firstFetch is how much is asked for before it is known how much becomes of it.
	firstFetch = 128 << 10
	// leastFetch is how much is asked for however much becomes of it.
	leastFetch = 16 << 10
	// enoughRead is how many stored bytes tell how much becomes of them.
	enoughRead = 8 << 10
)

// OnFetchBatchRead counts a batch.
func (f *fetchSize) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.FetchBatchMetrics) {
	f.stored.Add(int64(m.CompressedBytes))
	f.plain.Add(int64(m.UncompressedBytes))
}

// begin is called with a new client.
func (f *fetchSize) begin(client *kgo.Client) {
	f.whole, _ = client.OptValue(kgo.FetchMaxBytes).(int32)
	f.partition, _ = client.OptValue(kgo.FetchMaxPartitionBytes).(int32)
	client.UpdateFetchMaxBytes(min(f.whole, firstFetch), min(f.partition, firstFetch))
}

// adapt is called after each answer.
func (f *fetchSize) adapt(client *kgo.Client) {
	stored, plain := f.stored.Load(), f.plain.Load()
	if stored < enoughRead {
		return
	}
	f.stored.Add(-stored)
	f.plain.Add(-plain)
	inflation := max(100, 100*plain/stored)
	if d := inflation - f.inflation; 4*max(d, -d) < f.inflation {
		return
	}
	f.inflation = inflation
	of := func(most int32) int32 {
		return min(most, max(leastFetch, int32(100*int64(most)/inflation)))
	}
	client.UpdateFetchMaxBytes(of(f.whole), of(f.partition))
}
