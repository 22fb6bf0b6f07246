// SPDX-License-Identifier: Apache-2.0

package sinktest_test

import (
	"testing"

	"freshet/sinks"
	"freshet/sinks/sinktest"
)

// The suite must hold for the writer in memory, which the tests of the task loop rely on.
func TestMemory(t *testing.T) {
	sinktest.Run(t, func(*testing.T) sinktest.Target {
		store := sinktest.NewStore()
		return sinktest.Target{
			Open:   func(testing.TB) sinks.Writer { return store.Open() },
			Rows:   func(testing.TB) map[int64]string { return store.Rows() },
			Break:  store.Break,
			Poison: sinktest.MemoryPoison, KeepsOffsets: true,
		}
	})
}
