// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// burst tells p of n collections, each after gap, and returns the last percentage.
func burst(p *pacing, now *time.Time, n int, gap time.Duration, live uint64) (percent int) {
	for range n {
		*now = now.Add(gap)
		percent = p.collected(*now, live)
	}
	return percent
}

func TestHeapGetsRoomOnlyUnderLastingLoad(t *testing.T) {
	const live = 12 << 20
	now := time.Now()
	p := pacing{last: now}
	require.Equal(t, gcPercent, burst(&p, &now, 20, 10*time.Millisecond, live), "a process that starts gets no room")
	require.Equal(t, gcPercent, burst(&p, &now, 20, time.Second, live), "collections far apart cost little")
	require.Equal(t, 100*roomAtMost/live, burst(&p, &now, 100, 10*time.Millisecond, live))
	require.Equal(t, 100*roomAtMost/live, burst(&p, &now, 5, time.Second, live), "the room that keeps them apart stays while they come")
	require.Equal(t, gcPercent, p.collected(now, 1<<30), "a large heap has room by itself")

	require.False(t, p.rested(now.Add(restAfter/2)))
	require.True(t, p.rested(now.Add(restAfter)))
	now = now.Add(time.Minute)
	require.Equal(t, gcPercent, p.collected(now, live))
	require.Equal(t, gcPercent, burst(&p, &now, 20, 10*time.Millisecond, live), "and again only what lasts counts")
}

func TestPacerHearsOfEachCollectionAndGivesRoomBack(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	p := newPacer()
	percent := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.percent
	}
	deadline := time.Now().Add(30 * time.Second)
	for percent() == gcPercent { // collections without a pause are a load
		require.True(t, time.Now().Before(deadline), "no room was given")
		runtime.GC()
	}
	set := debug.SetGCPercent(gcPercent)
	require.Greater(t, set, gcPercent)

	p.mu.Lock()
	p.pacing.last = p.pacing.last.Add(-2 * restAfter)
	p.mu.Unlock()
	p.settle()
	require.Equal(t, gcPercent, percent())
}
