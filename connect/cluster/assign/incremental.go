// SPDX-License-Identifier: Apache-2.0

package assign

import (
	"maps"
	"math"
	"slices"
	"time"
)

// Incremental is the assignor of cooperative groups, as one leader has it: it remembers the round before. It is used by one
// goroutine.
//
// What a member has goes on unless the answer revokes it. Work whose owner has gone is lost: it stays with nobody until
// the delay has passed, in case the owner comes back. What is revoked to balance the load is given away in a later round,
// once its owner has stopped it.
type Incremental struct {
	maxDelay time.Duration
	now      func() time.Time

	previous       Work // what was assigned, and what was lost
	previousRound  int32
	members        map[string]bool // of the round before
	revocation     Work            // of the round before
	delay          time.Duration
	scheduled      time.Time // when lost work is given away; zero is never
	candidates     []string  // members that came without work while there was lost work, in the order of their coming
	revokedBefore  bool      // the round before revoked to balance
	revokingRounds int       // that wanted to revoke, one after the other
}

// NewIncremental makes the assignor of a member that has led no round yet. maxDelay is scheduled.rebalance.max.delay.ms.
func NewIncremental(maxDelay time.Duration, now func() time.Time) *Incremental {
	return &Incremental{maxDelay: maxDelay, now: now, previousRound: -1}
}

// Round is what the leader knows of a rebalance.
type Round struct {
	// Completed is the last generation that the leader has taken part in to its end, -1 for none; Generation is that of
	// this round.
	Completed, Generation int32
	Configured            Work
	Members               map[string]Work // what each member says it has
}

// Result is the outcome of a round.
type Result struct {
	Assigned map[string]Work // new to the member
	Revoked  map[string]Work // that the member must stop
	Owned    map[string]Work // all that the member has after the round
	Delay    time.Duration   // after which everybody must join again; 0 is not at all
}

// Assign decides a round.
func (a *Incremental) Assign(r Round) Result {
	if a.previousRound != r.Completed {
		a.previous = nil // it was decided in a round that never took effect
	}
	var active Work
	for _, has := range r.Members {
		active = append(active, has...)
	}
	active = active.Plus()
	if len(a.revocation.Minus(active)) < len(a.revocation) {
		a.previous = active // members did not take notice of the revocation
	}
	a.revocation = nil

	deleted := a.previous.Minus(r.Configured)
	lost := a.previous.Minus(active, deleted)
	created := r.Configured.Plus().Minus(a.previous, active)
	revoked := map[string]Work{}
	g := newLoads(r.Members)
	g.revoke(revoked, g.shares(deleted))
	g.revoke(revoked, g.shares(duplicated(r.Members)))
	created = created.Plus(a.lostWork(lost, g))
	created = created.Plus(a.balance(r, g, revoked))
	g.deal(created.of(0), 0)
	g.deal(created.of(1), 1)

	result := Result{Assigned: map[string]Work{}, Revoked: map[string]Work{}, Owned: map[string]Work{}, Delay: a.delay}
	var owned Work
	for _, l := range g {
		result.Owned[l.member] = l.work.Plus()
		result.Assigned[l.member] = l.work.Minus(r.Members[l.member]).Plus()
		result.Revoked[l.member] = revoked[l.member].Plus()
		owned = append(owned, l.work...)
		a.revocation = append(a.revocation, revoked[l.member]...)
	}
	a.previous = owned.Minus(a.revocation).Plus(lost)
	a.previousRound = r.Generation
	a.members = map[string]bool{}
	for m := range r.Members {
		a.members[m] = true
	}
	return result
}

// duplicated is what several members have: all of them must stop it.
func duplicated(members map[string]Work) Work {
	seen, twice := set{}, set{}
	for _, has := range members {
		for id := range setOf(has) {
			if seen[id] {
				twice[id] = true
			}
			seen[id] = true
		}
	}
	return twice.sorted()
}

// lostWork decides about work whose owner has gone, and returns what is given to whoever has the least. Members that came
// empty-handed meanwhile are given it at once.
func (a *Incremental) lostWork(lost Work, g loads) Work {
	if len(lost) == 0 && !a.revokedBefore {
		a.reset()
		return nil
	}
	if a.scheduled.IsZero() && a.allHere(g) || a.maxDelay == 0 {
		// Nobody has gone: members did not get what they were assigned.
		return lost
	}
	now := a.now()
	if a.scheduled.IsZero() || now.Before(a.scheduled) {
		for _, l := range g {
			if len(l.work) == 0 && !slices.Contains(a.candidates, l.member) {
				a.candidates = append(a.candidates, l.member)
			}
		}
		a.delay = a.maxDelay
		if !a.scheduled.IsZero() {
			a.delay = min(a.scheduled.Sub(now), a.maxDelay)
		}
		a.scheduled = now.Add(a.delay)
		return nil
	}
	var takers []*load
	for _, m := range a.candidates {
		if l := g.of(m); l != nil {
			takers = append(takers, l)
		}
	}
	a.reset()
	a.revokedBefore = false
	if len(takers) == 0 {
		return lost
	}
	for k := range 2 {
		for n, id := range lost.of(k) {
			taker := takers[n%len(takers)]
			taker.work = append(taker.work, id)
		}
	}
	return nil
}

func (a *Incremental) reset() {
	a.candidates, a.scheduled, a.delay = nil, time.Time{}, 0
}

// allHere says whether all members of the round before are in this one.
func (a *Incremental) allHere(g loads) bool {
	for m := range a.members {
		if g.of(m) == nil {
			return false
		}
	}
	return true
}

// backoffFactor is by how much the pause between two rounds that revoke grows, from a millisecond on.
const backoffFactor = 40

// balance revokes what members have above their share. Rounds that want to revoke one after the other are kept apart by
// pauses that grow: else a group whose members come and go would do nothing but move work. It returns what a member was to
// be given above its share in this very round: that is free for others.
func (a *Incremental) balance(r Round, g loads, revoked map[string]Work) Work {
	if a.delay > 0 {
		a.revokedBefore = false
		return nil
	}
	surplus := g.surplus(r.Configured.Plus())
	free := g.unstarted(surplus, r.Members)
	if len(surplus) == 0 {
		a.revokedBefore, a.revokingRounds = false, 0
		return free
	}
	if a.revokedBefore {
		a.revokingRounds++
		if a.delay = a.pause(); a.delay > 0 {
			a.scheduled = a.now().Add(a.delay)
			return free
		}
	}
	a.revokedBefore = true
	g.revoke(revoked, surplus)
	return free
}

func (a *Incremental) pause() time.Duration {
	ms := math.Pow(backoffFactor, float64(a.revokingRounds))
	return time.Duration(min(ms, float64(a.maxDelay.Milliseconds()))) * time.Millisecond
}

// load is the work that a member will have.
type load struct {
	member string
	work   Work
}

// loads are all members, by id.
type loads []*load

func newLoads(members map[string]Work) loads {
	g := make(loads, 0, len(members))
	for _, m := range slices.Sorted(maps.Keys(members)) {
		g = append(g, &load{m, members[m].Plus()})
	}
	return g
}

func (g loads) of(member string) *load {
	for _, l := range g {
		if l.member == member {
			return l
		}
	}
	return nil
}

// shares tells who has what of some work.
func (g loads) shares(w Work) map[string]Work {
	out := map[string]Work{}
	wanted := setOf(w)
	for _, l := range g {
		for _, id := range l.work {
			if wanted[id] {
				out[l.member] = append(out[l.member], id)
			}
		}
	}
	return out
}

// revoke takes work away and notes it in revoked.
func (g loads) revoke(revoked, shares map[string]Work) {
	for _, l := range g {
		l.work = l.work.Minus(shares[l.member])
		revoked[l.member] = append(revoked[l.member], shares[l.member]...)
	}
}

// surplus is what members have above their share, of connectors and of tasks.
func (g loads) surplus(configured Work) map[string]Work {
	out := map[string]Work{}
	if len(configured) == 0 || !slices.ContainsFunc(g, func(l *load) bool { return len(l.work) > 0 }) {
		return out
	}
	for k := range 2 {
		least, extras := len(configured.of(k))/len(g), len(configured.of(k))%len(g)
		if g.balanced(k, least, extras) {
			continue
		}
		for _, l := range g {
			have, most := l.work.of(k), least
			if len(have) <= least {
				continue
			}
			if extras > 0 {
				extras--
				most++
			}
			if len(have) > most {
				out[l.member] = append(out[l.member], have[:len(have)-most]...)
			}
		}
	}
	return out
}

// unstarted takes from shares, and from the members, what these do not have yet.
func (g loads) unstarted(shares, members map[string]Work) (free Work) {
	for _, l := range g {
		fresh := shares[l.member].Minus(members[l.member])
		l.work = l.work.Minus(fresh)
		free = append(free, fresh...)
		if shares[l.member] = shares[l.member].Minus(fresh); len(shares[l.member]) == 0 {
			delete(shares, l.member)
		}
	}
	return free
}

// balanced says whether extras members have one more than the least share, and all others the least.
func (g loads) balanced(k, least, extras int) bool {
	for _, l := range g {
		switch len(l.work.of(k)) {
		case least:
		case least + 1:
			extras--
		default:
			return false
		}
	}
	return extras == 0
}

// deal gives work of one kind to whoever has the least of it, in turn.
func (g loads) deal(w Work, k int) {
	order := slices.Clone(g)
	have := func(l *load) int { return len(l.work.of(k)) }
	slices.SortStableFunc(order, func(x, y *load) int { return have(x) - have(y) })
	for len(w) > 0 {
		least := have(order[0])
		for _, l := range order {
			if len(w) == 0 || have(l) > least {
				break
			}
			l.work = append(l.work, w[0])
			w = w[1:]
		}
	}
}
