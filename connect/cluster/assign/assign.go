// SPDX-License-Identifier: Apache-2.0

// Package assign divides connectors and tasks among the workers of a group, as Kafka Connect's leader does: Eager deals
// everything anew each time, an Incremental moves as little as it can.
//
// It is pure: no I/O, no goroutines, time comes from the caller. The rules are those of Kafka Connect 4.1's EagerAssignor
// and IncrementalCooperativeAssignor (KIP-415), so that a group may change its leader between the two programs.
package assign

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"freshet/connect"
)

// Instance is the task number that stands for the connector itself.
const Instance = -1

// Work is a list of tasks and, by the number Instance, of connectors.
type Work []connect.TaskID

// ConnectorID is the connector itself as a piece of work.
func ConnectorID(name string) connect.TaskID {
	return connect.TaskID{Connector: name, Task: Instance}
}

// Compare orders pieces of work: connectors first, then by name and number.
func Compare(x, y connect.TaskID) int {
	return cmp.Or(cmp.Compare(kind(x), kind(y)), strings.Compare(x.Connector, y.Connector), cmp.Compare(x.Task, y.Task))
}

func kind(id connect.TaskID) int {
	if id.Task == Instance {
		return 0
	}
	return 1
}

// Minus is what is in w and in none of the others, in the order of w.
func (w Work) Minus(others ...Work) Work {
	out := make(Work, 0, len(w))
	taken := setOf(others...)
	for _, id := range w {
		if !taken[id] {
			out = append(out, id)
		}
	}
	return out
}

// Plus is all of w and others once, sorted.
func (w Work) Plus(others ...Work) Work {
	all := setOf(others...)
	for _, id := range w {
		all[id] = true
	}
	return all.sorted()
}

// Has says whether a piece is in w.
func (w Work) Has(id connect.TaskID) bool { return slices.Contains(w, id) }

// of are the pieces of one kind.
func (w Work) of(kindOf int) Work {
	out := make(Work, 0, len(w))
	for _, id := range w {
		if kind(id) == kindOf {
			out = append(out, id)
		}
	}
	return out
}

type set map[connect.TaskID]bool

func setOf(lists ...Work) set {
	s := set{}
	for _, l := range lists {
		for _, id := range l {
			s[id] = true
		}
	}
	return s
}

func (s set) sorted() Work {
	return slices.SortedFunc(maps.Keys(s), Compare)
}

// Eager deals everything anew: connectors by name, then tasks by name and number, to the members by id, in turn.
func Eager(members []string, configured Work) map[string]Work {
	members = slices.Sorted(slices.Values(members))
	out := make(map[string]Work, len(members))
	for _, m := range members {
		out[m] = Work{}
	}
	for n, id := range configured.Plus() {
		m := members[n%len(members)]
		out[m] = append(out[m], id)
	}
	return out
}
