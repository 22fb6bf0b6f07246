// SPDX-License-Identifier: Apache-2.0

package group

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Beat gives signs of life until ctx ends, and tells the owner by Changed what it learns from the answers.
func (m *Member) Beat(ctx context.Context) {
	ticker := time.NewTicker(m.o.HeartbeatInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			m.beat(ctx)
		}
	}
}

func (m *Member) beat(ctx context.Context) {
	now := m.o.Now()
	m.mu.Lock()
	id, generation := m.id, m.generation
	idle := now.Sub(m.touched)
	m.mu.Unlock()
	if generation < 0 {
		return
	}
	if idle > m.o.RebalanceTimeout {
		// Others would wait for this member in vain, and it keeps its work from them.
		m.o.Log.Warn("this worker is stuck and leaves the group until it goes on", "for", idle.Round(time.Second), "limit", m.o.RebalanceTimeout)
		m.rejoin(generation, "it was stuck", true)
		asking, cancel := context.WithTimeout(ctx, m.o.HeartbeatInterval)
		defer cancel()
		if err := m.leave(asking, id); err != nil {
			m.o.Log.Warn("the coordinator was not told that this worker leaves; it will find out by itself", "error", err)
		}
		return
	}
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = m.o.Group, id, generation
	asking, cancel := context.WithTimeout(ctx, m.o.HeartbeatInterval)
	defer cancel()
	resp, err := req.RequestWith(asking, m.o.Client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	switch {
	case err == nil:
		m.beaten(now)
	case ctx.Err() != nil:
	case errors.Is(err, kerr.RebalanceInProgress):
		m.beaten(now)
		m.mu.Lock()
		fresh := m.generation == generation && m.wanted == ""
		if fresh {
			m.wanted = "the group rebalances"
		}
		m.mu.Unlock()
		if fresh {
			m.signal()
		}
	case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.FencedInstanceID):
		m.rejoin(generation, "the coordinator has given it up", true)
	case errors.Is(err, kerr.IllegalGeneration):
		m.rejoin(generation, "it missed a rebalance", false)
	default:
		m.silent(generation, err)
	}
}

// beaten notes a sign of life that the coordinator took.
func (m *Member) beaten(sent time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.alive = sent
}

// rejoin makes the member of a generation one that must join, with forget as a new one.
func (m *Member) rejoin(generation int32, reason string, forget bool) {
	m.mu.Lock()
	if m.generation == generation {
		m.generation, m.wanted, m.owners = -1, reason, nil
		if forget {
			m.id = ""
		}
	}
	m.mu.Unlock()
	m.signal()
}

// silent is called while the coordinator does not answer. A heartbeat before it may give this member up, all work must
// stop: another worker may get it.
func (m *Member) silent(generation int32, cause error) {
	m.mu.Lock()
	silence := m.o.Now().Sub(m.alive)
	lost := m.generation == generation && silence >= m.lease()
	if lost {
		m.generation, m.wanted, m.lost, m.owners = -1, "the coordinator was away", true, nil
		if m.abort != nil {
			m.abort()
		}
	}
	m.mu.Unlock()
	if !lost {
		m.o.Log.Warn("the coordinator of the group does not answer", "group", m.o.Group, "error", cause)
		return
	}
	m.o.Log.Error("the coordinator of the group is away; all work stops until it is back", "group", m.o.Group, "silent", silence.Round(time.Millisecond), "error", cause)
	m.signal()
}
