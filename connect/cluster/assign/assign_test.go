// SPDX-License-Identifier: Apache-2.0

package assign_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/connect/cluster/assign"
)

// parse reads work such as "a a-0 a-1 b": connectors and their tasks.
func parse(text string) assign.Work {
	var w assign.Work
	for item := range strings.FieldsSeq(text) {
		name, number, task := strings.Cut(item, "-")
		id := assign.ConnectorID(name)
		if task {
			n, err := strconv.Atoi(number)
			if err != nil {
				panic(err)
			}
			id = connect.TaskID{Connector: name, Task: n}
		}
		w = append(w, id)
	}
	return w
}

func text(w assign.Work) string {
	var items []string
	for _, id := range w.Plus() {
		item := id.Connector
		if id.Task != assign.Instance {
			item += "-" + strconv.Itoa(id.Task)
		}
		items = append(items, item)
	}
	return strings.Join(items, " ")
}

func TestEagerDealsInTurn(t *testing.T) {
	got := assign.Eager([]string{"w2", "w1", "w3"}, parse("b-1 b a a-0 b-0 c"))
	require.Equal(t, "a a-0", text(got["w1"]))
	require.Equal(t, "b b-0", text(got["w2"]))
	require.Equal(t, "c b-1", text(got["w3"]))
	require.Empty(t, assign.Eager([]string{"w1"}, nil)["w1"])
}

// group is a group of members that do what they are told.
type group struct {
	t          testing.TB
	assignor   *assign.Incremental
	now        time.Time
	generation int32
	completed  int32
	configured assign.Work
	owned      map[string]assign.Work
	last       assign.Result
}

const maxDelay = 5 * time.Minute

func newGroup(t testing.TB, delay time.Duration, members ...string) *group {
	g := &group{t: t, now: time.UnixMilli(1_700_000_000_000), completed: -1, owned: map[string]assign.Work{}}
	g.assignor = assign.NewIncremental(delay, func() time.Time { return g.now })
	g.join(members...)
	return g
}

func (g *group) join(members ...string) {
	for _, m := range members {
		g.owned[m] = assign.Work{}
	}
}

// decide makes the leader decide a round that the members then learn of.
func (g *group) decide() assign.Result {
	g.generation++
	g.last = g.assignor.Assign(assign.Round{Completed: g.completed, Generation: g.generation, Configured: g.configured, Members: maps.Clone(g.owned)})
	return g.last
}

// take applies the answer to a member.
func (g *group) take(member string) {
	for _, id := range g.last.Revoked[member] {
		require.True(g.t, g.owned[member].Has(id), "%s must stop %v, which it does not have", member, id)
	}
	g.owned[member] = g.owned[member].Minus(g.last.Revoked[member]).Plus(g.last.Assigned[member])
	require.Equal(g.t, text(g.last.Owned[member]), text(g.owned[member]))
}

// round decides a round, and all members take their part.
func (g *group) round() assign.Result {
	g.decide()
	for m := range g.owned {
		g.take(m)
	}
	g.completed = g.generation
	return g.last
}

// settle makes rounds until nobody has a reason for another, waiting where there is a delay.
func (g *group) settle() {
	for n := range 100 {
		r := g.round()
		again := false
		for _, w := range r.Revoked {
			again = again || len(w) > 0
		}
		if !again && r.Delay == 0 && n > 0 {
			return
		}
		g.now = g.now.Add(r.Delay)
	}
	g.t.Fatal("the group does not come to rest")
}

// state is what everybody has, such as "w1: a a-0 | w2: b".
func (g *group) state() string {
	var out []string
	for _, m := range slices.Sorted(maps.Keys(g.owned)) {
		out = append(out, strings.TrimSpace(m+": "+text(g.owned[m])))
	}
	return strings.Join(out, " | ")
}

func (g *group) leave(members ...string) {
	for _, m := range members {
		delete(g.owned, m)
	}
}

// The scenarios are those of Kafka Connect's own tests of its assignor.
func TestIncremental(t *testing.T) {
	for _, c := range []struct {
		name  string
		delay time.Duration
		steps func(g *group)
	}{
		{"one member has all", maxDelay, func(g *group) {
			g.configured = parse("a a-0 a-1 b b-0 b-1")
			g.round()
			require.Equal(g.t, "w1: a b a-0 a-1 b-0 b-1", g.state())
			r := g.round()
			require.Empty(g.t, r.Assigned["w1"], "what a member has is not new")
			require.Zero(g.t, r.Delay)
		}},
		{"a new member gets its share in the second round", maxDelay, func(g *group) {
			g.configured = parse("a a-0 a-1 a-2 a-3 b b-0 b-1 b-2 b-3")
			g.round()
			g.join("w2")
			r := g.round()
			require.Equal(g.t, "w1: b b-0 b-1 b-2 b-3 | w2:", g.state())
			require.Equal(g.t, "a a-0 a-1 a-2 a-3", text(r.Revoked["w1"]))
			require.Zero(g.t, r.Delay, "members that revoke join again by themselves")
			g.round()
			require.Equal(g.t, "w1: b b-0 b-1 b-2 b-3 | w2: a a-0 a-1 a-2 a-3", g.state())
			r = g.round()
			require.Empty(g.t, r.Revoked["w1"])
			require.Empty(g.t, r.Assigned["w2"])
		}},
		{"work that does not divide", maxDelay, func(g *group) {
			g.configured = parse("a a-0 a-1 a-2 a-3")
			g.join("w2", "w3")
			g.settle()
			require.Equal(g.t, "w1: a a-0 a-3 | w2: a-1 | w3: a-2", g.state())
		}},
		{"a member that leaves is waited for", maxDelay, func(g *group) {
			g.join("w2")
			g.configured = parse("a a-0 b b-0")
			g.settle()
			require.Equal(g.t, "w1: a a-0 | w2: b b-0", g.state())
			g.leave("w2")
			require.Equal(g.t, maxDelay, g.round().Delay)
			require.Equal(g.t, "w1: a a-0", g.state(), "nobody has the lost work")
			g.now = g.now.Add(time.Minute)
			require.Equal(g.t, 4*time.Minute, g.round().Delay)
			g.now = g.now.Add(4 * time.Minute)
			require.Zero(g.t, g.round().Delay)
			require.Equal(g.t, "w1: a b a-0 b-0", g.state())
		}},
		{"a member that comes back empty gets the lost work when the delay ends", maxDelay, func(g *group) {
			g.join("w2", "w3")
			g.configured = parse("a a-0 b b-0 c c-0")
			g.settle()
			g.leave("w2")
			g.round()
			g.now = g.now.Add(time.Minute)
			g.join("w2b")
			r := g.round()
			require.Equal(g.t, 4*time.Minute, r.Delay)
			require.Empty(g.t, g.owned["w2b"], "it waits")
			g.now = g.now.Add(4 * time.Minute)
			require.Zero(g.t, g.round().Delay)
			require.Equal(g.t, "w1: a a-0 | w2b: b b-0 | w3: c c-0", g.state())
		}},
		{"two members that come back share it in turn", maxDelay, func(g *group) {
			g.join("w2")
			g.configured = parse("a a-0 b b-0 c c-0 d d-0")
			g.settle()
			g.leave("w2")
			g.round()
			g.join("w3", "w4")
			g.round()
			g.now = g.now.Add(maxDelay)
			g.round()
			require.Equal(g.t, "w1: a c a-0 c-0 | w3: b b-0 | w4: d d-0", g.state())
		}},
		{"a candidate that has gone too is passed over", maxDelay, func(g *group) {
			g.join("w2")
			g.configured = parse("a a-0 b b-0")
			g.settle()
			g.leave("w2")
			g.round()
			g.join("w3")
			g.round()
			g.leave("w3")
			g.round()
			g.now = g.now.Add(maxDelay)
			g.round()
			require.Equal(g.t, "w1: a b a-0 b-0", g.state())
		}},
		{"a member that comes back with its work ends the delay", maxDelay, func(g *group) {
			g.join("w2")
			g.configured = parse("a a-0 b b-0")
			g.settle()
			has := g.owned["w2"]
			g.leave("w2")
			require.Equal(g.t, maxDelay, g.round().Delay)
			g.owned["w2"] = has
			require.Zero(g.t, g.round().Delay)
			require.Equal(g.t, "w1: a a-0 | w2: b b-0", g.state())
		}},
		{"without a delay lost work moves at once", 0, func(g *group) {
			g.join("w2")
			g.configured = parse("a a-0 b b-0")
			g.settle()
			g.leave("w2")
			require.Zero(g.t, g.round().Delay)
			require.Equal(g.t, "w1: a b a-0 b-0", g.state())
		}},
		{"assignments that did not arrive are given again", maxDelay, func(g *group) {
			g.join("w2")
			g.configured = parse("a a-0 b b-0")
			g.decide()
			g.take("w1")
			g.completed = g.generation
			r := g.round()
			require.Zero(g.t, r.Delay, "nobody has gone")
			require.Equal(g.t, "w1: a a-0 | w2: b b-0", g.state())
		}},
		{"a round that the leader did not see the end of is forgotten", maxDelay, func(g *group) {
			g.join("w2")
			g.configured = parse("a a-0 b b-0")
			g.decide() // and nobody learns of it
			g.leave("w2")
			r := g.round()
			require.Zero(g.t, r.Delay, "nothing is lost that nobody had")
			require.Equal(g.t, "w1: a b a-0 b-0", g.state())
		}},
		{"a revocation that did not arrive is repeated", maxDelay, func(g *group) {
			g.configured = parse("a a-0 b b-0")
			g.round()
			g.join("w2")
			g.decide()
			g.take("w2")
			g.completed = g.generation
			g.settle()
			require.Equal(g.t, "w1: b b-0 | w2: a a-0", g.state())
		}},
		{"a deleted connector is revoked", maxDelay, func(g *group) {
			g.join("w2")
			g.configured = parse("a a-0 b b-0")
			g.settle()
			g.configured = parse("a a-0")
			r := g.round()
			require.Equal(g.t, "b b-0", text(r.Revoked["w2"]))
			require.Equal(g.t, "w1: a a-0 | w2:", g.state())
		}},
		{"a deleted connector whose owner has gone is not waited for", maxDelay, func(g *group) {
			g.join("w2")
			g.configured = parse("a a-0 b b-0")
			g.settle()
			g.configured = parse("a a-0")
			g.leave("w2")
			require.Zero(g.t, g.round().Delay)
			require.Equal(g.t, "w1: a a-0", g.state())
		}},
		{"what two members have is taken from both", maxDelay, func(g *group) {
			g.join("w2")
			g.configured = parse("a a-0 b b-0")
			g.settle()
			g.owned["w1"] = parse("a a-0 b-0") // it came back after its work had gone to another
			r := g.round()
			require.Equal(g.t, "b-0", text(r.Revoked["w1"]))
			require.Equal(g.t, "b-0", text(r.Revoked["w2"]))
			g.settle()
			require.Equal(g.t, "w1: a a-0 | w2: b b-0", g.state())
		}},
		{"new work goes to whoever has the least", maxDelay, func(g *group) {
			g.configured = parse("a a-0 a-1 a-2")
			g.round()
			g.join("w2")
			g.configured = parse("a a-0 a-1 a-2 b b-0 b-1")
			g.settle()
			require.Equal(g.t, "w1: a a-0 a-1 a-2 | w2: b b-0 b-1", g.state())
		}},
		{"nothing is revoked while lost work waits", maxDelay, func(g *group) {
			g.join("w2")
			g.configured = parse("a a-0 b b-0 c c-0 d d-0")
			g.settle()
			g.leave("w2")
			g.join("w3")
			r := g.round()
			require.Equal(g.t, maxDelay, r.Delay)
			require.Empty(g.t, r.Revoked["w1"])
			require.Empty(g.t, g.owned["w3"])
		}},
		{"rounds that revoke keep growing pauses", maxDelay, func(g *group) {
			g.configured = parse("a-0 a-1 a-2 a-3 a-4 a-5 a-6 a-7 a-8 a-9 a-10 a-11")
			g.round()
			var pauses []time.Duration
			for n := range 4 {
				g.join(fmt.Sprintf("n%d", n))
				r := g.round() // each time somebody comes before the group has come to rest
				if r.Delay > 0 {
					pauses = append(pauses, r.Delay)
					require.Empty(g.t, r.Revoked["w1"], "nothing is revoked in the pause")
					g.now = g.now.Add(r.Delay)
					g.round()
				}
			}
			require.Equal(g.t, []time.Duration{40 * time.Millisecond, 1600 * time.Millisecond, 64 * time.Second}, pauses)
			g.settle()
			g.join("z")
			require.Zero(g.t, g.round().Delay, "a round at rest makes the next pause the shortest")
		}},
		{"the pause is not above the delay", time.Second, func(g *group) {
			g.configured = parse("a-0 a-1 a-2 a-3 a-4 a-5 a-6 a-7")
			g.round()
			var longest time.Duration
			for n := range 6 {
				g.join(fmt.Sprintf("n%d", n))
				if r := g.round(); r.Delay > 0 {
					longest = max(longest, r.Delay)
					g.now = g.now.Add(r.Delay)
					g.round()
				}
			}
			require.Equal(g.t, time.Second, longest)
		}},
	} {
		t.Run(c.name, func(t *testing.T) { c.steps(newGroup(t, c.delay, "w1")) })
	}
}
