// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/change"
)

func TestStatsOfABatch(t *testing.T) {
	s := &Stats{}
	now := time.UnixMicro(10_000_000)
	b := &change.Batch{Changes: []change.Change{{SourceMicros: 1}, {SourceMicros: now.UnixMicro() - 3000}}}
	s.settled(ageOf(b), now)
	c := s.Counts()
	require.Equal(t, 3*time.Millisecond, c.Behind)
	require.Equal(t, 3*time.Millisecond, c.LatencySum)
	require.EqualValues(t, 1, c.Latency[2], "up to 5 ms")
	require.True(t, now.Equal(c.Last))
	b.Changes[1].SourceMicros = 1
	s.settled(ageOf(b), now.Add(time.Hour))
	require.EqualValues(t, 1, s.Counts().Latency[len(LatencyBounds)], "above all bounds")

	rows := &Stats{}
	b.Changes[1].Snapshot = change.SnapshotInner
	rows.settled(ageOf(b), now)
	require.True(t, rows.Counts().Newest.IsZero(), "the age of a snapshot's row is no delay")
	require.False(t, rows.Counts().Last.IsZero())
	(&Stats{}).settled(ageOf(&change.Batch{}), now)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		s.count(change.Create)
		s.settled(ageOf(b), now)
	}))
}

func TestQuantilesOfLatency(t *testing.T) {
	s := &Stats{}
	none := s.Counts()
	require.Zero(t, none.Quantile(0.5))
	now := time.Now()
	for _, age := range []time.Duration{3 * time.Millisecond, 30 * time.Millisecond, 30 * time.Millisecond, 400 * time.Second} {
		b := &change.Batch{Changes: []change.Change{{SourceMicros: now.Add(-age).UnixMicro()}}}
		s.settled(ageOf(b), now)
	}
	c := s.Counts()
	require.EqualValues(t, 4, c.Latencies())
	require.InDelta(t, 3, c.LatencyMin.Milliseconds(), 1)
	require.InDelta(t, 400, c.LatencyMax.Seconds(), 1)
	require.InDelta(t, 37, c.Quantile(0.5).Milliseconds(), 13, "within its bucket")
	require.Equal(t, c.LatencyMax, c.Quantile(0.99), "above all buckets")
	require.Equal(t, c.LatencyMin, c.Quantile(0), "never below what was measured")
}
