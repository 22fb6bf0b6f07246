// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"math/rand/v2"
	"time"
)

// DefaultBackoff is the wait between attempts where a connector's configuration says nothing else.
var DefaultBackoff = Backoff{Min: time.Second, Max: time.Minute}

// awayWait is the longest wait where the server takes no connections: it is back at a moment that nobody tells, and who is
// refused burdens nobody. So the first change comes within five seconds of it, however long it was away.
const awayWait = 3 * time.Second

// delays is the state of a Backoff. It belongs to one supervisor's goroutine.
type delays struct {
	Backoff
	attempts int // failures since the last success
}

// next is the wait before the next attempt. Jitter keeps tasks that failed together from coming back together.
func (d *delays) next() time.Duration {
	wait := d.Min
	for range d.attempts {
		if wait *= 2; wait >= d.Max || wait <= 0 {
			wait = d.Max
			break
		}
	}
	d.attempts++
	return time.Duration(float64(wait) * (0.8 + 0.4*rand.Float64()))
}

// nextAfter is next, bounded where err says that the server is away and the configuration leaves the wait to us.
func (d *delays) nextAfter(err error) time.Duration {
	wait := d.next()
	if d.Min < d.Max && away(err) {
		wait = min(wait, awayWait)
	}
	return wait
}

// reset makes the next wait the shortest again.
func (d *delays) reset() { d.attempts = 0 }
