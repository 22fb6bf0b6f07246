// SPDX-License-Identifier: Apache-2.0

package assign_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/connect/cluster/assign"
)

// Whatever happens to a group: no round gives one piece of work to two members, and once it is left alone all work is
// with one member each, and nobody has more than one piece above another.
func TestIncrementalAtRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for n := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, n))
		delay := []time.Duration{0, time.Second, maxDelay}[random.IntN(3)]
		g := newGroup(t, delay, "w0")
		connectors, members := map[string]int{}, 1
		for range 40 {
			switch random.IntN(9) {
			case 0, 1:
				g.join(fmt.Sprintf("w%d", members))
				members++
			case 2:
				if gone := someone(random, g); gone != "" {
					g.leave(gone)
				}
			case 3, 4:
				connectors[fmt.Sprintf("c%d", random.IntN(12))] = random.IntN(6)
			case 5:
				delete(connectors, fmt.Sprintf("c%d", random.IntN(12)))
			case 6:
				g.now = g.now.Add(time.Duration(random.Int64N(int64(2 * maxDelay))))
			case 7: // a member loses all it had, as after a loss of the coordinator
				g.owned[someone(random, g)] = assign.Work{}
			case 8: // a round whose outcome only some members learn
				g.decide()
				for m := range g.owned {
					if random.IntN(2) == 0 {
						g.take(m)
					}
				}
				if random.IntN(2) == 0 {
					g.completed = g.generation
				}
			}
			if len(g.owned) == 0 {
				g.join("again")
			}
			g.configured = nil
			for c, tasks := range connectors {
				g.configured = append(g.configured, assign.ConnectorID(c))
				for n := range tasks {
					g.configured = append(g.configured, connect.TaskID{Connector: c, Task: n})
				}
			}
			if random.IntN(2) == 0 {
				g.round()
				requireNewWorkOnce(t, g)
			}
		}
		g.settle()
		requireBalanced(t, g)
	}
}

func someone(random *rand.Rand, g *group) string {
	members := slices.Sorted(maps.Keys(g.owned))
	return members[random.IntN(len(members))]
}

// requireNewWorkOnce checks that what a round gives away was with nobody.
func requireNewWorkOnce(t *testing.T, g *group) {
	t.Helper()
	seen := map[connect.TaskID]string{}
	for m, w := range g.last.Assigned {
		for _, id := range w {
			require.Empty(t, seen[id], "%v is assigned to %s and %s", id, m, seen[id])
			seen[id] = m
			for other, has := range g.last.Owned {
				require.True(t, other == m || !has.Has(id), "%v is assigned to %s and is with %s", id, m, other)
			}
		}
	}
}

func requireBalanced(t *testing.T, g *group) {
	t.Helper()
	var all assign.Work
	most, least := map[bool]int{}, map[bool]int{true: 1 << 30, false: 1 << 30}
	for _, w := range g.owned {
		count := map[bool]int{}
		for _, id := range w {
			count[id.Task == assign.Instance]++
		}
		for _, k := range []bool{true, false} {
			most[k], least[k] = max(most[k], count[k]), min(least[k], count[k])
		}
		all = append(all, w...)
	}
	require.Equal(t, text(g.configured), text(all), "%s", g.state())
	require.Len(t, all, len(g.configured), "each once: %s", g.state())
	for _, k := range []bool{true, false} {
		require.LessOrEqual(t, most[k]-least[k], 1, "%s", g.state())
	}
}
