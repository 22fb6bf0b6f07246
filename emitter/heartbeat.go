// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"time"

	"freshet/change"
)

// pulse says when heartbeats are due: once at the end of a snapshot, and whenever the interval has passed while changes
// are streamed, also when none come. It belongs to the encoding goroutine, but for act.
type pulse struct {
	o        Heartbeat
	timer    *time.Timer // nil without heartbeats
	last     time.Time
	snapshot bool          // one is being taken
	acts     chan struct{} // holds one: the action is to be taken
}

func newPulse(o Heartbeat) *pulse {
	p := &pulse{o: o, last: time.Now(), acts: make(chan struct{}, 1)}
	if o.Interval > 0 {
		p.timer = time.NewTimer(o.Interval)
	}
	return p
}

// idle is ready when nothing has given occasion for a heartbeat for an interval.
func (p *pulse) idle() <-chan time.Time {
	if p.timer == nil {
		return nil
	}
	return p.timer.C
}

// beats says whether a heartbeat is due behind a batch, which is empty where none came, and begins a new interval then.
func (p *pulse) beats(b *change.Batch) bool {
	if p.timer == nil {
		return false
	}
	if n := len(b.Changes); n > 0 {
		s := b.Changes[n-1].Snapshot
		p.snapshot = s != change.NoSnapshot && s != change.SnapshotIncremental
	}
	now := time.Now()
	if b.SnapshotEnd {
		p.snapshot = false
	} else if p.snapshot || now.Sub(p.last) < p.o.Interval {
		if p.snapshot {
			p.timer.Reset(p.o.Interval)
		}
		return false
	}
	p.last = now
	p.timer.Reset(p.o.Interval)
	select {
	case p.acts <- struct{}{}:
	default: // the last action is still at work
	}
	return true
}

// act takes the action of each heartbeat until ctx ends.
func (p *pulse) act(ctx context.Context) error {
	for {
		select {
		case <-p.acts:
			if err := p.o.Beat(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}
