// SPDX-License-Identifier: Apache-2.0

// Package cluster is the herder of a worker that shares its connectors with others: a member of a group through Kafka, with
// configurations and states in Kafka's topics, as Kafka Connect's distributed workers have them.
//
// Its main type is Herder. One goroutine, the loop in Run, owns the membership, the connectors and tasks that run here, and
// every change: requests of REST wait in a queue for their turn, what the config topic tells waits in another. Reads are
// answered from what has been read of the topics. The leader writes configurations; requests that need it, or the worker that
// runs a task, fail with *connect.ElsewhereError, and REST passes them on. DESIGN.md tells the rest.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"freshet/connect"
	"freshet/connect/cluster/assign"
	"freshet/connect/cluster/backing"
	"freshet/connect/cluster/group"
)

// Peers asks other workers of the group. Errors of theirs are *connect.Error.
type Peers interface {
	PutTaskConfigs(ctx context.Context, leaderURL, connector string, s connect.Signature) error
	FenceZombies(ctx context.Context, leaderURL, connector string, s connect.Signature) error
}

// Options is what a Herder needs.
type Options struct {
	Worker *connect.Worker
	// Configs and Statuses are started and closed by Run.
	Configs  *backing.Configs
	Statuses *backing.Statuses
	// Group says which group, and how to be in it; the Herder sets Config.
	Group group.Options
	// WorkerID is the advertised address, host:port, as statuses show it.
	WorkerID string
	Peers    Peers
	Session  Session
	// SyncTimeout is how long reading the config topic to its end may take, UnsyncBackoff how long the worker stays away from
	// the group where it took longer.
	SyncTimeout, UnsyncBackoff time.Duration
	// StopTimeout is how long tasks may take to end, all together, before they are left behind.
	StopTimeout time.Duration
	// Patience is how long a request waits for the end of a rebalance before it is answered 409. Default 10 s.
	Patience time.Duration
	// Fence keeps the first so many tasks of a connector, those of before, from writing; nil where sources are not exactly-once.
	Fence func(ctx context.Context, connector string, tasks int, cfg map[string]string) error
	// SetLevel sets the level of a logger of this process; nil ignores such requests.
	SetLevel func(logger, level string)
	Log      *slog.Logger
}

// Herder runs this worker's part of the connectors of a group.
type Herder struct {
	o      Options
	log    *slog.Logger
	member *group.Member
	wake   chan struct{} // has one element once there is something to do for the loop
	ready  chan struct{} // closed once there has been a round

	// Of the loop.
	known     map[string]bool // connectors whose configuration has been noticed
	rejoinAt  time.Time       // when the group's delay has passed; zero for none
	joinAfter time.Time       // no attempt to join before
	unsynced  int             // readings of the config topic in a row that took too long
	due       map[string]retry
	sending   sync.WaitGroup // requests to the leader that are under way

	mu        sync.Mutex // guards what follows
	queue     []*request
	events    []backing.Event
	round     group.Round // the last one; Owned is not kept here
	joined    bool        // the round counts
	closed    bool
	balancing bool                 // a round is under way
	instances map[string]*instance // connectors that run here; written by the loop only
	tasks     map[connect.TaskID]*task
}

var (
	_ connect.Herder = (*Herder)(nil)
	_ connect.Group  = (*Herder)(nil)
)

// New makes a Herder that is in no group.
func New(o Options) *Herder {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = 15 * time.Second
	}
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	h := &Herder{
		o: o, log: o.Log, wake: make(chan struct{}, 1), ready: make(chan struct{}), known: map[string]bool{}, due: map[string]retry{},
		instances: map[string]*instance{}, tasks: map[connect.TaskID]*task{},
	}
	o.Group.Config, o.Group.Log = h.config, o.Log
	h.member = group.New(o.Group)
	return h
}

// config is what the group is told of the configuration.
func (h *Herder) config() group.Config {
	s := h.o.Configs.Snapshot()
	c := group.Config{Offset: s.Offset}
	for name := range s.Connectors {
		c.Work = append(c.Work, assign.ConnectorID(name))
		c.Work = append(c.Work, s.Tasks(name)...)
	}
	c.Work = c.Work.Plus()
	return c
}

// tick is the longest that the loop sleeps: it must show that it is alive.
const tick = time.Second

// Run is a worker of the group until ctx ends: then its tasks drain, and it leaves. An error is one that only the operator
// can mend.
func (h *Herder) Run(ctx context.Context) error {
	closing, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	err := h.start(ctx)
	if err == nil {
		var beats sync.WaitGroup
		beating, stop := context.WithCancel(closing)
		beats.Go(func() { h.member.Beat(beating) })
		err = h.loop(ctx)
		h.shutdown(closing)
		stop()
		beats.Wait()
	}
	h.refuse()
	h.o.Configs.Close(closing)
	h.o.Statuses.Close(closing)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (h *Herder) start(ctx context.Context) error {
	if err := h.o.Statuses.Start(ctx); err != nil {
		return err
	}
	return h.o.Configs.Start(ctx, func(e backing.Event) {
		h.mu.Lock()
		h.events = append(h.events, e)
		h.mu.Unlock()
		h.poke()
	})
}

// poke wakes the loop.
func (h *Herder) poke() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func (h *Herder) loop(ctx context.Context) error {
	for name := range h.o.Configs.Snapshot().Connectors {
		h.known[name] = true
	}
	timer := time.NewTimer(tick)
	defer timer.Stop()
	for ctx.Err() == nil {
		h.member.Touch()
		h.apply(ctx)
		if h.member.Lost() {
			h.left(ctx)
		}
		if !h.rejoinAt.IsZero() && !time.Now().Before(h.rejoinAt) {
			h.rejoinAt = time.Time{}
			h.member.Want("the delay of the last rebalance has passed")
		}
		if h.member.Wanted() != "" && !time.Now().Before(h.joinAfter) {
			if err := h.rebalance(ctx); err != nil {
				return err
			}
			continue
		}
		h.keepSessionKey(ctx)
		h.reconfigure(ctx)
		if h.serve() {
			continue
		}
		timer.Reset(h.sleep())
		select {
		case <-ctx.Done():
		case <-h.wake:
		case <-h.member.Changed():
		case <-timer.C:
		}
	}
	return ctx.Err()
}

// sleep is how long there is nothing to do unless something happens.
func (h *Herder) sleep() time.Duration {
	d := tick
	for _, at := range []time.Time{h.rejoinAt, h.joinAfter} {
		if until := time.Until(at); !at.IsZero() && until > 0 {
			d = min(d, until)
		}
	}
	for _, r := range h.due {
		d = min(d, max(time.Until(r.at), 0))
	}
	return d
}

// shutdown stops what runs here, says so, and leaves the group.
func (h *Herder) shutdown(ctx context.Context) {
	h.stop(ctx, h.running())
	h.sending.Wait()
	ctx, cancel := context.WithTimeout(ctx, leaveTimeout)
	defer cancel()
	if err := h.o.Statuses.Flush(ctx); err != nil {
		h.log.Warn("not all states were written before the end", "error", err)
	}
	if err := h.member.Leave(ctx); err != nil {
		h.log.Warn("the coordinator was not told that this worker leaves; it will find out by itself", "error", err)
	}
}

// leaveTimeout bounds what a worker that ends does after its tasks have ended.
const leaveTimeout = 5 * time.Second

// request is a request that waits for its turn.
type request struct {
	ctx  context.Context //nolint:containedctx // of the request, which waits in a queue
	run  func(ctx context.Context) error
	done chan error
}

var errClosed = &connect.Error{Code: 503, Message: "The worker is shutting down"}

// do runs f in the loop, while the group does not rebalance. A rebalance that takes longer than Patience is the client's to wait
// for.
func (h *Herder) do(ctx context.Context, f func(ctx context.Context) error) error {
	r := &request{ctx, f, make(chan error, 1)}
	h.mu.Lock()
	closed := h.closed
	if !closed {
		h.queue = append(h.queue, r)
	}
	h.mu.Unlock()
	if closed {
		return errClosed
	}
	h.poke()
	patience := time.NewTicker(h.o.Patience)
	defer patience.Stop()
	for {
		select {
		case err := <-r.done:
			return err
		case <-ctx.Done():
			return &connect.Error{Code: 500, Message: "Request timed out"}
		case <-patience.C:
			if h.withdraw(r) {
				return connect.StaleConfiguration()
			}
		}
	}
}

// withdraw takes a request out of the queue where it waits for the end of a rebalance.
func (h *Herder) withdraw(r *request) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := slices.Index(h.queue, r)
	if at < 0 || !h.balancing {
		return false
	}
	h.queue = slices.Delete(h.queue, at, at+1)
	return true
}

// balance notes that a round begins or has ended.
func (h *Herder) balance(now bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.balancing = now
}

// serve runs the first request of the queue, if there is one.
func (h *Herder) serve() bool {
	h.mu.Lock()
	if len(h.queue) == 0 {
		h.mu.Unlock()
		return false
	}
	r := h.queue[0]
	h.queue = h.queue[1:]
	h.mu.Unlock()
	if r.ctx.Err() == nil { // else nobody waits any more, and nothing may happen behind its back
		r.done <- r.run(r.ctx)
	}
	return true
}

// refuse answers what is still queued.
func (h *Herder) refuse() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, r := range h.queue {
		r.done <- errClosed
	}
	h.queue = nil
}

// Starting is what a worker that has just begun waits for, "" once it has been in the group.
func (h *Herder) Starting() string {
	select {
	case <-h.ready:
		return ""
	default:
		return fmt.Sprintf("The worker has not joined the group %s yet.", h.o.Group.Group)
	}
}

// Joined is closed once the worker has been in the group.
func (h *Herder) Joined() <-chan struct{} { return h.ready }

// Alive says whether this worker is in its group for certain, and so has what it was given.
func (h *Herder) Alive() bool { return h.member.Alive() }

// lead fails unless this worker may write as the leader.
func (h *Herder) lead(ctx context.Context) error {
	h.mu.Lock()
	joined, round := h.joined, h.round
	h.mu.Unlock()
	switch {
	case !joined:
		return connect.NoKnownLeader()
	case !round.Leader:
		return &connect.ElsewhereError{URL: round.LeaderURL}
	}
	return h.o.Configs.Claim(ctx)
}

// owner is the error that leads to the worker that runs a piece of work, which is not this one.
func (h *Herder) owner(ctx context.Context, id connect.TaskID) error {
	if err := h.lead(ctx); err != nil {
		return err
	}
	url := h.member.Owner(id)
	if url == "" || url == h.o.Group.URL {
		return connect.NoKnownLeader()
	}
	return &connect.ElsewhereError{URL: url}
}

// generation is that of the last round.
func (h *Herder) generation() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return int(h.round.Generation)
}

// fatal says whether an error ends the worker.
func fatal(err error) bool {
	var f *group.FatalError
	return errors.As(err, &f)
}
