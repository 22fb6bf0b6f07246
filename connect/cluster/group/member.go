// SPDX-License-Identifier: Apache-2.0

// Package group is membership of a group of workers through Kafka's group coordinator, exactly as Kafka Connect's workers
// have it (protocol type "connect", its protocols and bytes), so that its workers and ours may be members of one group.
//
// Its main type is Member. Its owner, one goroutine, calls Join whenever Wanted says so; Beat runs beside it, gives signs of
// life, and finds out when others want a rebalance or the coordinator is away. The leader of a round decides by package
// assign.
package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"freshet/connect"
	"freshet/connect/cluster/assign"
)

// protocolType is what Kafka Connect's groups call themselves.
const protocolType = "connect"

// Config is what a member knows of the cluster's configuration.
type Config struct {
	Offset int64 // of the config topic, as in Metadata
	Work   assign.Work
}

// Options is what a Member needs.
type Options struct {
	// Client asks the brokers. Its client id begins the ids of members: connect-HOST:PORT. The Member does not close it.
	Client *kgo.Client
	Group  string
	URL    string // of this worker's REST API, as others reach it, with a slash at the end
	Mode   Version
	// SessionTimeout is after which the coordinator gives a silent member up, RebalanceTimeout how long a round may wait
	// for members that stop their work, HeartbeatInterval the time between signs of life.
	SessionTimeout, RebalanceTimeout, HeartbeatInterval time.Duration
	MaxDelay                                            time.Duration // scheduled.rebalance.max.delay.ms
	// Config is asked at every round.
	Config func() Config
	Log    *slog.Logger // nil discards
	Now    func() time.Time
}

// Round is the outcome of a rebalance for this member.
type Round struct {
	Generation int32
	Version    Version
	Leader     bool // this member leads
	LeaderURL  string
	Offset     int64 // of the config topic, which the leader decided by
	// Failed says that the leader could not decide, because it had not read the config topic far enough.
	Failed  bool
	Revoked assign.Work // to be stopped, before the member joins again
	Owned   assign.Work // all that the member has from now on
	Delay   time.Duration
}

// Member is a member of a group. One goroutine, the owner, calls its methods; Beat runs beside it.
//
// The owner joins when Wanted says so, and keeps away from the work that a Round revokes. Work that is not revoked goes on
// while a cooperative group rebalances; in an eager one it must have been stopped before Join.
type Member struct {
	o        Options
	assignor *assign.Incremental

	// Of the owner.
	completed  int32       // the last generation that it took part in to the end
	assignment *Assignment // the last one, Assigned being all that the member has; nil before

	changed chan struct{} // has one element once what follows has changed behind the owner's back

	mu         sync.Mutex // guards what follows
	id         string     // given by the coordinator, "" before
	generation int32      // -1 outside of the group
	version    Version    // of the group
	wanted     string     // why it must join, "" where it need not
	lost       bool       // the coordinator has not answered for so long that others may have its work
	alive      time.Time  // when the coordinator last took a sign of life, by the time that it was sent
	touched    time.Time  // when the owner was last seen
	owners     map[connect.TaskID]string
	abort      context.CancelFunc // ends the Join that goes on; nil without one
}

// NewClient makes the client of a member: its brokers and logins are those of the options, its id is made of the worker's,
// as Kafka Connect's are. It gives up soon, as its owner has to know that no broker answers.
func NewClient(brokers []kgo.Opt, workerID string, heartbeat time.Duration) (*kgo.Client, error) {
	return kgo.NewClient(slices.Concat(brokers, []kgo.Opt{
		kgo.ClientID("connect-" + workerID), kgo.DisableClientMetrics(), kgo.RequestRetries(2), kgo.RetryTimeout(heartbeat),
	})...)
}

// New makes a member that is in no group.
func New(o Options) *Member {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Member{
		o: o, assignor: assign.NewIncremental(o.MaxDelay, o.Now), completed: -1, changed: make(chan struct{}, 1),
		generation: -1, version: o.Mode, wanted: "it has just started", touched: o.Now(),
	}
}

// Changed has an element whenever Wanted or Lost may have changed.
func (m *Member) Changed() <-chan struct{} { return m.changed }

func (m *Member) signal() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// Wanted is why the member must join, "" where it need not.
func (m *Member) Wanted() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wanted
}

// Want makes it join.
func (m *Member) Want(reason string) {
	m.mu.Lock()
	m.wanted = reason
	m.mu.Unlock()
	m.signal()
}

// Lost says, once, that the coordinator was silent for so long that it may have given the member up: all work must stop. The
// member then owns nothing.
func (m *Member) Lost() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	lost := m.lost
	if m.lost = false; lost {
		m.assignment = nil
	}
	return lost
}

// Alive says whether the coordinator has taken a sign of life lately enough that nobody else has this member's work. It may
// be on its way into another round.
func (m *Member) Alive() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.id != "" && m.o.Now().Sub(m.alive) < m.lease()
}

// Touch says that the owner is alive. Once it was not for the rebalance time-out, the member leaves.
func (m *Member) Touch() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.touched = m.o.Now()
}

// Owner is the URL of the worker that has a piece of work, "" where that is not known: only the leader knows, and only
// between rounds.
func (m *Member) Owner(id connect.TaskID) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wanted != "" {
		return ""
	}
	return m.owners[id]
}

// Version is that of the group, or the best that this member speaks before it has joined.
func (m *Member) Version() Version {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.version
}

// Owned is all that the member has.
func (m *Member) Owned() assign.Work {
	if m.assignment == nil {
		return nil
	}
	return m.assignment.Assigned
}

// Disown makes the member own nothing: its work was stopped.
func (m *Member) Disown() { m.assignment = nil }

// FatalError is why a member can never be in the group; the operator must act.
type FatalError struct{ Err error }

// Error is the cause with the next step.
func (e *FatalError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *FatalError) Unwrap() error { return e.Err }

// Join takes part in a round, and in another where the first came to nothing. An error other than a *FatalError means that
// the coordinator did not answer: Join may be called again.
func (m *Member) Join(ctx context.Context) (Round, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m.mu.Lock()
	reason := m.wanted
	m.owners, m.abort = nil, cancel
	m.mu.Unlock()
	round, err := m.rounds(ctx, reason)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.abort = nil
	var fatal *FatalError
	if err != nil && !errors.As(err, &fatal) && m.assignment != nil && m.o.Now().Sub(m.alive) >= m.lease() {
		m.generation, m.wanted, m.lost = -1, "the coordinator was away", true
	}
	return round, err
}

// lease is how long the member may keep its work after a sign of life that the coordinator took: less than the time after
// which another worker may get it.
func (m *Member) lease() time.Duration { return m.o.SessionTimeout - m.o.HeartbeatInterval }

// rounds makes rounds until one comes to something.
func (m *Member) rounds(ctx context.Context, reason string) (Round, error) {
	m.o.Log.Info("joining the group of workers", "group", m.o.Group, "reason", reason)
	for {
		round, err := m.round(ctx, reason)
		switch {
		case err == nil:
			return round, nil
		case ctx.Err() != nil:
			return Round{}, fmt.Errorf("join group %q: %w", m.o.Group, err)
		case errors.Is(err, kerr.UnknownMemberID):
			m.forget(true)
		case errors.Is(err, kerr.IllegalGeneration):
			m.forget(false)
		case errors.Is(err, kerr.MemberIDRequired), errors.Is(err, kerr.RebalanceInProgress):
		case errors.Is(err, kerr.InconsistentGroupProtocol):
			return Round{}, &FatalError{fmt.Errorf("join group %q: %w; another kind of client uses this group.id, or a worker with connect.protocol=eager only: "+
				"choose another group.id, or the same connect.protocol on all workers", m.o.Group, err)}
		case errors.Is(err, kerr.GroupAuthorizationFailed):
			return Round{}, &FatalError{fmt.Errorf("join group %q: %w; allow this worker's user READ and DESCRIBE on the group", m.o.Group, err)}
		case errors.Is(err, kerr.InvalidSessionTimeout):
			return Round{}, &FatalError{fmt.Errorf("join group %q: %w; choose session.timeout.ms within the brokers' group.min.session.timeout.ms and group.max.session.timeout.ms",
				m.o.Group, err)}
		case errors.Is(err, kerr.InvalidGroupID), errors.Is(err, kerr.GroupMaxSizeReached):
			return Round{}, &FatalError{fmt.Errorf("join group %q: %w", m.o.Group, err)}
		default:
			return Round{}, fmt.Errorf("join group %q: %w", m.o.Group, err)
		}
	}
}

// round is one attempt: join, decide where this member leads, and learn the outcome.
func (m *Member) round(ctx context.Context, reason string) (Round, error) {
	joined, err := m.join(ctx, reason)
	if err != nil {
		return Round{}, err
	}
	version := m.o.Mode
	if joined.Protocol != nil {
		if version, err = versionOf(*joined.Protocol); err != nil {
			return Round{}, &FatalError{err}
		}
	}
	m.entered(joined, version)
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.MemberID, sync.Generation = m.o.Group, joined.MemberID, joined.Generation
	sync.ProtocolType, sync.Protocol = new(protocolType), joined.Protocol
	leads := joined.LeaderID == joined.MemberID
	var owners map[connect.TaskID]string
	if leads {
		if sync.GroupAssignment, owners, err = m.decide(joined, version); err != nil {
			return Round{}, &FatalError{err}
		}
	}
	resp, err := sync.RequestWith(ctx, m.o.Client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return Round{}, err
	}
	told, err := ParseAssignment(resp.MemberAssignment)
	if err != nil {
		return Round{}, &FatalError{err}
	}
	return m.told(joined.Generation, version, leads, told, owners), nil
}

func (m *Member) join(ctx context.Context, reason string) (*kmsg.JoinGroupResponse, error) {
	m.mu.Lock()
	id := m.id
	m.mu.Unlock()
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.ProtocolType = m.o.Group, id, protocolType
	req.SessionTimeoutMillis = int32(m.o.SessionTimeout.Milliseconds())
	req.RebalanceTimeoutMillis = int32(m.o.RebalanceTimeout.Milliseconds())
	req.Reason = &reason
	offset := m.o.Config().Offset
	for _, v := range m.o.Mode.offered() {
		metadata := Metadata{Version: v, URL: m.o.URL, Offset: offset}
		if m.assignment != nil {
			has := *m.assignment
			if has.Version = v; v == Eager {
				has.Version = Compatible // not part of the bytes
			}
			metadata.Has = &has
		}
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = names[v], metadata.Append(nil)
		req.Protocols = append(req.Protocols, p)
	}
	resp, err := req.RequestWith(ctx, m.o.Client)
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		if errors.Is(err, kerr.MemberIDRequired) {
			m.mu.Lock()
			m.id = resp.MemberID
			m.mu.Unlock()
		}
		return nil, err
	}
	return resp, nil
}

// entered notes that the member is in the group, from when on it must give signs of life.
func (m *Member) entered(joined *kmsg.JoinGroupResponse, version Version) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.id, m.generation, m.version, m.wanted = joined.MemberID, joined.Generation, version, ""
	m.alive, m.touched = m.o.Now(), m.o.Now() // the coordinator has just answered
}

// told takes over what the leader decided.
func (m *Member) told(generation int32, version Version, leads bool, a Assignment, owners map[connect.TaskID]string) Round {
	round := Round{
		Generation: generation, Version: version, Leader: leads, LeaderURL: a.LeaderURL, Offset: a.Offset, Failed: a.Failed(),
		Revoked: a.Revoked, Delay: time.Duration(a.DelayMs) * time.Millisecond,
	}
	if version != Eager && m.assignment != nil {
		a.Assigned = m.assignment.Assigned.Minus(a.Revoked).Plus(a.Assigned)
	}
	a.Assigned, a.Revoked = a.Assigned.Plus(), assign.Work{}
	round.Owned = a.Assigned
	m.assignment, m.completed = &a, generation
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owners = owners
	if a.Failed() {
		m.wanted = "the leader had not read the config topic far enough"
	}
	return round
}

// decide is the leader's work.
func (m *Member) decide(joined *kmsg.JoinGroupResponse, version Version) ([]kmsg.SyncGroupRequestGroupAssignment, map[connect.TaskID]string, error) {
	members := make(map[string]Metadata, len(joined.Members))
	has := make(map[string]assign.Work, len(joined.Members))
	newest := int64(-1)
	for _, jm := range joined.Members {
		metadata, err := ParseMetadata(jm.ProtocolMetadata)
		if err != nil {
			return nil, nil, fmt.Errorf("member %q of group %q: %w", jm.MemberID, m.o.Group, err)
		}
		members[jm.MemberID], has[jm.MemberID] = metadata, assign.Work{}
		if metadata.Has != nil {
			has[jm.MemberID] = metadata.Has.Assigned
		}
		newest = max(newest, metadata.Offset)
	}
	config := m.o.Config()
	template := Assignment{Version: version, Leader: joined.LeaderID, LeaderURL: members[joined.LeaderID].URL, Offset: config.Offset}
	var result assign.Result
	switch {
	case config.Offset < newest:
		m.o.Log.Info("this leader has not read the config topic far enough; the group tries again", "offset", config.Offset, "newest", newest)
		template.Error, template.Offset = configMismatch, newest
	case version == Eager:
		ids := make([]string, 0, len(members))
		for id := range members {
			ids = append(ids, id)
		}
		result.Assigned = assign.Eager(ids, config.Work)
		result.Owned = result.Assigned
	default:
		result = m.assignor.Assign(assign.Round{Completed: m.completed, Generation: joined.Generation, Configured: config.Work, Members: has})
	}
	template.DelayMs = int32(result.Delay.Milliseconds())
	m.o.Log.Info("this worker leads the group", "generation", joined.Generation, "members", len(members), "connectors_and_tasks", len(config.Work), "delay", result.Delay)
	out := make([]kmsg.SyncGroupRequestGroupAssignment, 0, len(members))
	owners := map[connect.TaskID]string{}
	for id, metadata := range members {
		a := template
		a.Assigned, a.Revoked = result.Assigned[id], result.Revoked[id]
		for _, piece := range result.Owned[id] {
			owners[piece] = metadata.URL
		}
		g := kmsg.NewSyncGroupRequestGroupAssignment()
		g.MemberID, g.MemberAssignment = id, a.Append(nil)
		out = append(out, g)
	}
	return out, owners, nil
}

// forget makes the member one that is not in the group; with id, one that never was.
func (m *Member) forget(id bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.generation = -1
	if id {
		m.id = ""
	}
}

// Leave tells the coordinator that the member goes. The member owns nothing afterwards, and may join again.
func (m *Member) Leave(ctx context.Context) error {
	m.mu.Lock()
	id := m.id
	m.id, m.generation, m.wanted, m.owners = "", -1, "it has left", nil
	m.mu.Unlock()
	m.assignment = nil
	return m.leave(ctx, id)
}

func (m *Member) leave(ctx context.Context, id string) error {
	if id == "" {
		return nil
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group, req.MemberID = m.o.Group, id
	lm := kmsg.NewLeaveGroupRequestMember()
	lm.MemberID = id
	req.Members = append(req.Members, lm)
	resp, err := req.RequestWith(ctx, m.o.Client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil && !errors.Is(err, kerr.UnknownMemberID) {
		return fmt.Errorf("leave group %q: %w", m.o.Group, err)
	}
	return nil
}
