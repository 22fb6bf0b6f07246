// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// A small heap with little room to grow is collected hundreds of times a second where something must allocate for each change, as
// the client of Kafka does for each answer of a broker: that took a third of the CPU time of a sink. So the room grows while
// collections follow each other closely, and is given back with the load.
const (
	roomAtMost    = 24 << 20               // bytes that may be allocated between two collections
	closeTogether = 150 * time.Millisecond // collections that are no further apart
	lasting       = 500 * time.Millisecond // how long they are before the room grows: starting is no load
	restAfter     = 3 * time.Second        // without a collection the room is small again
)

// pacing decides how much the heap may grow until the next collection.
type pacing struct {
	last  time.Time // the last collection
	since time.Time // since when collections are close together, zero while they are not
	room  uint64    // bytes; 0 for gcPercent alone
}

// collected is told of a collection that has left live bytes, and returns the percentage from now on.
func (p *pacing) collected(now time.Time, live uint64) int {
	if now.Sub(p.last) > closeTogether {
		if p.room == 0 {
			p.since = time.Time{}
		}
	} else {
		if p.since.IsZero() {
			p.since = p.last
		}
		if now.Sub(p.since) >= lasting {
			p.room = min(max(2*p.room, live/2), roomAtMost)
		}
	}
	p.last = now
	return max(gcPercent, int(100*p.room/max(live, 1)))
}

// rested is asked some time after a collection, and says that there was none since then.
func (p *pacing) rested(now time.Time) bool {
	if now.Sub(p.last) < restAfter {
		return false
	}
	p.room, p.since = 0, time.Time{}
	return true
}

// pacer applies a pacing to the collector of this process.
type pacer struct {
	mu      sync.Mutex
	pacing  pacing
	percent int         // as it is set
	rest    *time.Timer // runs while there is room to give back
}

// newPacer paces the collector of this process from now on, until it ends.
func newPacer() *pacer {
	p := &pacer{percent: gcPercent, pacing: pacing{last: time.Now()}}
	p.rest = time.AfterFunc(restAfter, p.settle)
	p.rest.Stop()
	p.await()
	return p
}

// await has collected called after the next collection, which finds that nobody holds the object made here.
func (p *pacer) await() {
	type sentinel struct{ _ *byte } // with a pointer, so that it shares no block with others
	runtime.AddCleanup(&sentinel{}, (*pacer).collected, p)
}

func (p *pacer) collected() {
	p.await()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(p.pacing.collected(time.Now(), live[0].Value.Uint64()))
	if p.percent != gcPercent {
		p.rest.Reset(restAfter)
	}
}

// settle takes the room back when the load is over.
func (p *pacer) settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pacing.rested(time.Now()) {
		p.set(gcPercent)
	}
}

// set changes the percentage; small changes are not worth the stop of the world that one costs.
func (p *pacer) set(percent int) {
	if d := percent - p.percent; d == 0 || percent != gcPercent && 8*max(d, -d) < p.percent {
		return
	}
	p.percent = percent
	debug.SetGCPercent(percent)
}
