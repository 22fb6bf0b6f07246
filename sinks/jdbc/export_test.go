// SPDX-License-Identifier: Apache-2.0

package jdbc

import (
	"freshet/sinks"
	"freshet/sinks/jdbc/dialect"
)

// SetLaneRows lets small batches go over several connections, until undo.
func SetLaneRows(n int) (undo func()) {
	was := laneRows
	laneRows = n
	return func() { laneRows = was }
}

// LanesAt says where lanes go on that find stored offsets of a partition: by the number of lanes they were written with, by
// lane. It is -1 for nowhere.
func LanesAt(n int, stored map[int]map[int]int64) (at int64, lanes []int64) {
	out, found, moved := laneOffsets{{}: stored}.current(n)
	at = -1
	for _, next := range out {
		at = next
	}
	lanes = make([]int64, n)
	for i := range found {
		lanes[i] = -1
		for _, next := range found[i] {
			lanes[i] = next
		}
		for _, next := range moved {
			lanes[i] = next
		}
	}
	return at, lanes
}

// SessionOf is the session of a writer of this package.
func SessionOf(w sinks.Writer) dialect.Session { return w.(*writer).session }
