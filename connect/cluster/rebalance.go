// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"time"

	"freshet/connect"
	"freshet/connect/cluster/assign"
	"freshet/connect/cluster/backing"
	"freshet/connect/cluster/group"
)

const (
	// joinPause is the pause before another attempt where the coordinator did not answer.
	joinPause = 500 * time.Millisecond
	// mostUnsynced is how often a member of a cooperative group may fail to read the config topic before it gives up its
	// work; the pauses grow up to a tenth of the group's delay, as in Kafka Connect.
	mostUnsynced = 5
)

// rebalance takes part in a round and does what its outcome says.
func (h *Herder) rebalance(ctx context.Context) error {
	h.balance(true)
	defer h.balance(false)
	if h.member.Version() == group.Eager {
		h.stop(ctx, h.running())
		h.member.Disown()
	}
	round, err := h.member.Join(ctx)
	if err != nil {
		if fatal(err) {
			return err
		}
		h.mu.Lock()
		h.joined = false
		h.mu.Unlock()
		if ctx.Err() == nil {
			h.log.Warn("the worker could not join its group; trying again", "error", err)
			h.joinAfter = time.Now().Add(joinPause)
		}
		return nil
	}
	h.entered(round)
	h.log.Info("the group has rebalanced", "generation", round.Generation, "protocol", round.Version.String(), "leader", round.LeaderURL, "connectors_and_tasks",
		len(round.Owned), "revoked", len(round.Revoked), "delay", round.Delay, "failed", round.Failed)
	h.stop(ctx, h.running().Minus(round.Owned))
	if round.Failed || round.Offset > h.o.Configs.Snapshot().Offset {
		if !h.sync(ctx) {
			return nil
		}
		if h.o.Configs.Snapshot().Offset < round.Offset {
			h.member.Want("the config topic has changed during the rebalance")
		}
	}
	h.unsynced, h.rejoinAt = 0, time.Time{}
	if round.Failed {
		return nil // the member wants another round already
	}
	h.run(ctx, round.Owned)
	if round.Leader {
		h.cleanStatuses()
	}
	switch {
	case len(round.Revoked) > 0:
		h.member.Want("work was revoked, which others wait for")
	case round.Delay > 0:
		h.rejoinAt = time.Now().Add(round.Delay)
	}
	return nil
}

func (h *Herder) entered(round group.Round) {
	h.mu.Lock()
	defer h.mu.Unlock()
	round.Owned, round.Revoked = nil, nil
	h.round, h.joined = round, true
	select {
	case <-h.ready:
	default:
		close(h.ready)
	}
}

// sync reads the config topic to its end. Where that takes too long, the worker stays away from the group for a while; it
// gives its work up where it is eager, or has failed several times.
func (h *Herder) sync(ctx context.Context) bool {
	reading, cancel := context.WithTimeout(ctx, h.o.SyncTimeout)
	defer cancel()
	err := h.o.Configs.Refresh(reading)
	if err == nil {
		return true
	}
	if ctx.Err() != nil {
		return false
	}
	h.unsynced++
	pause := h.o.UnsyncBackoff
	if left := mostUnsynced - h.unsynced; h.member.Version() != group.Eager && left > 0 {
		pause = min(pause, h.o.Group.MaxDelay/10/time.Duration(left))
	} else {
		h.left(ctx)
		if err := h.member.Leave(ctx); err != nil {
			h.log.Warn("the coordinator was not told that this worker leaves; it will find out by itself", "error", err)
		}
	}
	h.log.Warn("reading the config topic takes too long", "limit", h.o.SyncTimeout, "error", err, "pause", pause)
	h.member.Want("the config topic could not be read to its end")
	h.joinAfter = time.Now().Add(max(pause, joinPause))
	return false
}

// left stops everything: this worker is not in the group.
func (h *Herder) left(ctx context.Context) {
	h.mu.Lock()
	h.joined = false
	h.mu.Unlock()
	h.stop(ctx, h.running())
	h.member.Disown()
}

// cleanStatuses forgets states of what is not configured any more. For the leader.
func (h *Herder) cleanStatuses() {
	s := h.o.Configs.Snapshot()
	for _, name := range h.o.Statuses.Connectors() {
		if _, ok := s.Connectors[name]; !ok {
			h.forgetStatuses(name)
			continue
		}
		for _, st := range h.o.Statuses.Tasks(name) {
			if !assign.Work(s.Tasks(name)).Has(st.ID) {
				h.o.Statuses.Delete(st.ID)
			}
		}
	}
}

// forgetStatuses forgets all states of a connector that was deleted.
func (h *Herder) forgetStatuses(name string) {
	for _, t := range h.o.Statuses.Topics(name) {
		h.o.Statuses.DeleteTopic(name, t.Topic)
	}
	for _, st := range h.o.Statuses.Tasks(name) {
		h.o.Statuses.Delete(st.ID)
	}
	h.o.Statuses.Delete(assign.ConnectorID(name))
}

// apply does what the config topic has told since it was last asked.
func (h *Herder) apply(ctx context.Context) {
	for {
		h.mu.Lock()
		events := h.events
		h.events = nil
		h.mu.Unlock()
		if len(events) == 0 {
			return
		}
		for _, e := range events {
			h.applyOne(ctx, e)
		}
	}
}

func (h *Herder) applyOne(ctx context.Context, e backing.Event) {
	switch e.Kind {
	case backing.ConnectorPut:
		if !h.known[e.Connector] {
			h.known[e.Connector] = true
			h.member.Want("connector " + e.Connector + " is new")
			return
		}
		if h.instance(e.Connector) != nil {
			h.restartConnector(ctx, e.Connector)
		}
	case backing.ConnectorRemoved:
		delete(h.known, e.Connector)
		h.stop(ctx, h.runningOf(e.Connector))
		h.member.Want("connector " + e.Connector + " is deleted")
	case backing.TasksCommitted:
		h.stop(ctx, intersection(h.running(), e.Tasks))
		h.member.Want("the tasks of connector " + e.Connector + " have changed")
	case backing.TargetChanged:
		h.retarget(ctx, e.Connector)
	case backing.RestartRequested:
		h.restart(ctx, e.Restart)
	case backing.LoggerLevelPut:
		if h.o.SetLevel != nil {
			h.o.SetLevel(e.Logger, e.Level)
		}
	case backing.SessionKeyPut: // the snapshot has it
	}
}

func intersection(w, others assign.Work) assign.Work {
	return w.Minus(w.Minus(others))
}

// retry is another attempt to make task configurations.
type retry struct {
	at       time.Time
	attempts int
}

const (
	firstRetry   = 250 * time.Millisecond
	longestRetry = time.Minute
)

// reconfigure makes the task configurations of connectors that were started or changed, and has the leader store them where
// they are new.
func (h *Herder) reconfigure(ctx context.Context) {
	for name, r := range h.due {
		if time.Now().Before(r.at) {
			continue
		}
		delete(h.due, name)
		i := h.instance(name)
		if i == nil || i.made == nil || i.state != connect.Running {
			continue
		}
		configs := i.made.StoredTaskConfigs()
		if !tasksChanged(h.o.Configs.Snapshot(), name, configs) {
			continue
		}
		err := h.lead(ctx)
		var elsewhere *connect.ElsewhereError
		switch {
		case errors.As(err, &elsewhere):
			h.send(ctx, elsewhere.URL, name, configs, r.attempts)
			continue
		case err == nil:
			err = h.o.Configs.PutTasks(ctx, name, configs)
		}
		if err != nil && ctx.Err() == nil {
			h.log.Warn("the tasks of a connector could not be stored; trying again", "connector", name, "error", err)
			h.later(name, r.attempts)
		}
	}
}

// later makes another attempt due.
func (h *Herder) later(name string, attempts int) {
	wait := min(firstRetry<<min(attempts, 10), longestRetry)
	h.due[name] = retry{time.Now().Add(wait), attempts + 1}
}

// send asks the leader to store task configurations, beside the loop: the leader may be waiting for this worker in a
// rebalance.
func (h *Herder) send(ctx context.Context, leader, name string, configs []map[string]string, attempts int) {
	s, err := h.sign(configs)
	if err != nil {
		h.log.Warn("the tasks of a connector cannot be sent to the leader yet", "connector", name, "error", err)
		h.later(name, attempts)
		return
	}
	h.sending.Go(func() {
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		err := h.o.Peers.PutTaskConfigs(asking, leader, name, s)
		if err == nil || ctx.Err() != nil {
			return
		}
		h.log.Warn("the leader did not store the tasks of a connector; trying again", "connector", name, "leader", leader, "error", err)
		_ = h.do(ctx, func(context.Context) error { // an error is the end of this worker
			h.later(name, attempts)
			return nil
		})
	})
}

// askTimeout bounds a request to the leader.
const askTimeout = 30 * time.Second
