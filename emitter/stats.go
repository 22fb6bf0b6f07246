// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"sync/atomic"

	"freshet/change"
)

// Stats counts what a Pipeline did. It is safe for concurrent use.
type Stats struct {
	create, update, remove, read, truncate, message, filtered, failed, bytes, durable atomic.Int64
}

// Counts are the counters at one moment.
type Counts struct {
	Creates, Updates, Deletes, Reads, Truncates, Messages int64 // events written
	Filtered                                              int64 // changes that configuration or a transform left out
	Failed                                                int64 // events dropped because they could not be encoded
	Bytes                                                 int64 // wire bytes without heads
	Durable                                               int64 // records the log has made durable
}

// Counts returns the counters.
func (s *Stats) Counts() Counts {
	return Counts{
		s.create.Load(), s.update.Load(), s.remove.Load(), s.read.Load(), s.truncate.Load(), s.message.Load(),
		s.filtered.Load(), s.failed.Load(), s.bytes.Load(), s.durable.Load(),
	}
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
