// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"sync/atomic"
	"time"

	"freshet/change"
)

// Stats counts what Pipelines did, one after the other. It is safe for concurrent use. Rows cost an atomic addition each,
// everything else is counted by batch.
type Stats struct {
	create, update, remove, read, truncate, message, filtered, unchanged, failed, bytes, durable atomic.Int64

	batches  atomic.Int64 // read
	held     atomic.Int64 // read, and not yet durable
	heldSize atomic.Int64 // bytes of them
	capacity atomic.Int64 // of held
	waiting  atomic.Int64 // units that the log has and has not made durable
	newest   atomic.Int64 // SourceMicros of the newest streamed change that is durable
	behind   atomic.Int64 // its age then, in µs
	last     atomic.Int64 // when the last batch with changes was durable, ns since the epoch
	latency  [len(LatencyBounds) + 1]atomic.Int64
	sum      atomic.Int64 // of the latencies, in µs
	least    atomic.Int64 // of them, plus 1; 0 before the first
	most     atomic.Int64
}

// LatencyBounds are the upper bounds, in seconds, of the histogram from commit at the source to durable in the topic. Of
// each batch its newest change counts.
var LatencyBounds = [...]float64{0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300}

// Counts are the counters at one moment.
type Counts struct {
	Creates, Updates, Deletes, Reads, Truncates, Messages int64 // events written
	Filtered                                              int64 // changes that configuration or a transform left out
	Unchanged                                             int64 // of them: updates that changed nothing
	Failed                                                int64 // events dropped because they could not be encoded
	Bytes                                                 int64 // wire bytes without heads
	Durable                                               int64 // records the log has made durable

	Batches        int64     // read from the source
	Held, Capacity int64     // batches that were read and that the log needs, and how many of them there may be
	HeldBytes      int64     // of these batches
	Waiting        int64     // units that the log has not made durable
	Newest         time.Time // commit of the newest streamed change that is durable; zero for none
	Behind         time.Duration
	Last           time.Time // when a batch with changes was last durable; zero for none
	// Latency counts batches by LatencyBounds, the last those above all of them. LatencySum is the sum.
	Latency    [len(LatencyBounds) + 1]int64
	LatencySum time.Duration
	// LatencyMin and LatencyMax are meaningless before the first.
	LatencyMin, LatencyMax time.Duration
}

// Latencies is how many batches Latency counts.
func (c *Counts) Latencies() (n int64) {
	for _, k := range c.Latency {
		n += k
	}
	return n
}

// Quantile estimates the latency that a share of the batches did not exceed, as far as the buckets tell.
func (c *Counts) Quantile(share float64) time.Duration {
	rank, below := share*float64(c.Latencies()), 0.0
	lower := 0.0
	for i, bound := range LatencyBounds {
		n := float64(c.Latency[i])
		if n > 0 && below+n >= rank {
			at := time.Duration((lower + (bound-lower)*(rank-below)/n) * float64(time.Second))
			return min(max(at, c.LatencyMin), c.LatencyMax)
		}
		below, lower = below+n, bound
	}
	return c.LatencyMax
}

// Counts returns the counters.
func (s *Stats) Counts() Counts {
	c := Counts{
		Creates: s.create.Load(), Updates: s.update.Load(), Deletes: s.remove.Load(), Reads: s.read.Load(),
		Truncates: s.truncate.Load(), Messages: s.message.Load(), Filtered: s.filtered.Load(), Unchanged: s.unchanged.Load(), Failed: s.failed.Load(),
		Bytes: s.bytes.Load(), Durable: s.durable.Load(), Batches: s.batches.Load(), Held: s.held.Load(), Capacity: s.capacity.Load(),
		Waiting: s.waiting.Load(), Behind: time.Duration(s.behind.Load()) * time.Microsecond,
		LatencySum: time.Duration(s.sum.Load()) * time.Microsecond, HeldBytes: s.heldSize.Load(),
		LatencyMin: time.Duration(max(s.least.Load()-1, 0)) * time.Microsecond, LatencyMax: time.Duration(s.most.Load()) * time.Microsecond,
	}
	for i := range s.latency {
		c.Latency[i] = s.latency[i].Load()
	}
	if t := s.newest.Load(); t != 0 {
		c.Newest = time.UnixMicro(t)
	}
	if t := s.last.Load(); t != 0 {
		c.Last = time.Unix(0, t)
	}
	return c
}

// begin is called by each pipeline: what an earlier one held is gone.
func (s *Stats) begin(capacity int) {
	s.held.Store(0)
	s.heldSize.Store(0)
	s.waiting.Store(0)
	s.capacity.Store(int64(capacity))
}

// age tells how old a batch is.
type age struct {
	nothing bool  // it has no changes
	micros  int64 // of its newest change since 1970, 0 where that does not count: of a snapshot, or not known
}

func ageOf(b *change.Batch) age {
	if len(b.Changes) == 0 {
		return age{nothing: true}
	}
	if newest := &b.Changes[len(b.Changes)-1]; newest.Snapshot == change.NoSnapshot {
		return age{micros: newest.SourceMicros}
	}
	return age{}
}

// settled notes that a batch is durable.
func (s *Stats) settled(a age, now time.Time) {
	if a.nothing {
		return
	}
	s.last.Store(now.UnixNano())
	if a.micros == 0 {
		return
	}
	age := max(now.UnixMicro()-a.micros, 0)
	s.newest.Store(a.micros)
	s.behind.Store(age)
	s.sum.Add(age)
	s.most.Store(max(s.most.Load(), age))
	if least := s.least.Load(); least == 0 || age < least-1 {
		s.least.Store(age + 1)
	}
	bucket := 0
	for bucket < len(LatencyBounds) && float64(age) > LatencyBounds[bucket]*1e6 {
		bucket++
	}
	s.latency[bucket].Add(1)
}

func (s *Stats) count(op change.Op) {
	switch op {
	case change.Create:
		s.create.Add(1)
	case change.Update:
		s.update.Add(1)
	case change.Delete:
		s.remove.Add(1)
	case change.Read:
		s.read.Add(1)
	case change.Truncate:
		s.truncate.Add(1)
	case change.Message:
		s.message.Add(1)
	}
}
