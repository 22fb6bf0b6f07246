// SPDX-License-Identifier: Apache-2.0

package jdbc

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sync/errgroup"

	"freshet/sinks"
	"freshet/sinks/jdbc/dialect"
)

// A task may write through several sessions (write.connections). Keys are dealt out to lanes by their hash, and a segment
// whose rows are independent of each other is applied lane by lane, at the same time, each lane in a transaction of its
// own. A segment that is not (a truncate, a key that changes, tables whose rows refer to each other) goes through the first
// session as if there were no other. Either way a lane's offsets say what of its keys is in the target, whichever session
// wrote it: what is read again after a crash is applied only for the lanes that lack it.

const maxLanes = 64

// laneRows is how many rows a lane must have on average for a segment to be worth several transactions. Tests lower it.
var laneRows = 50

// laneOf is the lane of a canonical key, the same in every process.
func laneOf(key []byte, lanes int) uint8 {
	if lanes < 2 {
		return 0
	}
	return uint8(xxhash.Sum64(key[targetIDLen:]) % uint64(lanes)) //nolint:gosec // below maxLanes
}

// independent says whether the live operations may be applied in any order and by several sessions.
func (s *segment) independent() bool {
	if s.insert || s.ordered || s.whole || len(s.ops) < laneRows*s.lanes {
		return false
	}
	return !slices.ContainsFunc(s.targets, func(t *target) bool { return t.table == nil || !t.table.Independent })
}

// byLane is what reduced is, split by lanes.
func (s *segment) byLane() [][]dialect.Group {
	for len(s.laneGroups) < s.lanes {
		s.laneGroups = append(s.laneGroups, nil)
	}
	for i := range s.laneGroups {
		s.laneGroups[i] = s.laneGroups[i][:0]
	}
	for i := range s.ops {
		if o := &s.ops[i]; !o.dead {
			s.collect(o, int32(i))
		}
	}
	for _, t := range s.targets {
		groups := t.segment.groups[:t.segment.n]
		for _, deletes := range [...]bool{true, false} {
			for i := range groups {
				if (groups[i].kind == dialect.Delete) == deletes {
					s.deal(&groups[i])
				}
			}
		}
	}
	return s.laneGroups
}

// deal cuts a group into one for each lane, each sorted by key.
func (s *segment) deal(g *segmentGroup) {
	slices.SortFunc(g.rows, func(x, y int32) int {
		a, b := &s.ops[x], &s.ops[y]
		if a.lane != b.lane {
			return int(a.lane) - int(b.lane)
		}
		return bytes.Compare(s.keys[a.key:a.keyEnd], s.keys[b.key:b.keyEnd])
	})
	for from := 0; from < len(g.rows); {
		lane, to := s.ops[g.rows[from]].lane, from
		for ; to < len(g.rows) && s.ops[g.rows[to]].lane == lane; to++ {
			g.rows[to] = s.ops[g.rows[to]].row
		}
		s.laneGroups[lane] = append(s.laneGroups[lane], dialect.Group{Kind: g.kind, Set: g.set, Slab: s.slab, Rows: g.rows[from:to:to], Fresh: g.fresh})
		from = to
	}
}

// applyLanes applies an independent segment. An error may leave some lanes applied.
func (w *writer) applyLanes(ctx context.Context, b *sinks.Batch, next positions) error {
	var all errgroup.Group
	var failed []error
	lanes := w.segment.byLane()
	for i := range lanes {
		lanes[i] = w.offsets.with(lanes[i], &b.Data, next, i, i+1)
	}
	failed = make([]error, len(lanes))
	for i, groups := range lanes {
		if len(groups) > 0 {
			all.Go(func() error {
				failed[i] = w.sessions[i].Apply(ctx, groups, &b.Data)
				return nil
			})
		}
	}
	_ = all.Wait() // its functions return nil: every lane is waited for, and every error counts
	return w.worst(failed)
}

// worst is the error that decides: trouble with a connection goes before refused rows, which are tried again in order.
func (w *writer) worst(failed []error) error {
	var refused error
	for _, err := range failed {
		if err == nil {
			continue
		}
		if class, _ := w.opt.dialect.Classify(err); class != dialect.Refuse {
			return err
		}
		refused = errors.Join(refused, err)
	}
	return refused
}

// openLanes opens the sessions beyond the first.
func (w *writer) openLanes(ctx context.Context) error {
	for len(w.sessions) < w.opt.connections {
		s, err := w.opt.dialect.Open(ctx, w.opt.session)
		if err != nil {
			return w.targetProblem(err)
		}
		w.sessions = append(w.sessions, s)
	}
	return nil
}

// isStale says whether the target has an operation already: its record is before the offset of its lane.
func (w *writer) isStale(o op) bool {
	if w.offsets == nil || w.offsets.from == nil {
		return false
	}
	r := &w.batch.Records[o.record]
	at, ok := w.offsets.from[o.lane][r.Source]
	return ok && r.Offset < at
}
