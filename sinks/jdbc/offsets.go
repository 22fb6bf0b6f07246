// SPDX-License-Identifier: Apache-2.0

package jdbc

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/sinks"
	"freshet/sinks/jdbc/dialect"
)

// positions are the offsets to go on at.
type positions = map[topic.Partition]int64

// offsets keeps the consumed offsets in a table of the target, in the transaction of the rows (I1 at the target): a
// commit whose answer was lost is read back by the next writer. Each lane of several has rows of its own, with the group
// GROUP#LANE/LANES. The methods of a nil *offsets do nothing.
type offsets struct {
	groups  []string // of the lanes
	plan    *dialect.Plan
	scratch []offsetRows // of the lanes
	// from are the offsets that each lane has reached in the target before this writer; nil for a single lane.
	from []positions
}

// offsetRows is the memory of a lane's group of offsets.
type offsetRows struct {
	rows []int32
	slab []change.Value
}

// offsetFields are the columns of the table; the first three are its key.
var offsetFields = []struct {
	name string
	typ  *schema.Type
}{
	{"connector_group", &schema.Type{Kind: schema.String}},
	{"topic", &schema.Type{Kind: schema.String}},
	{"partition", &schema.Type{Kind: schema.Int32}},
	{"next_offset", &schema.Type{Kind: schema.Int64}},
}

// groupIn is the consumer group as the table has it: with the log that the offsets are of. A data folder that was made
// anew counts from 0 again, and must not be read from where the old one ended.
func groupIn(env sinks.Env) string {
	if env.Origin == "" {
		return env.Group
	}
	return env.Group + "@" + env.Origin
}

// openOffsets finds or creates the table. A lock that ends with the session makes it the only writer of its task: one
// that lost its connection may still be committing on the server.
func (w *writer) openOffsets(ctx context.Context) error {
	lock := "freshet " + w.opt.offsetsTable + " " + w.env.Group + " " + strconv.Itoa(w.env.Task)
	if err := w.session.Lock(ctx, lock); err != nil {
		return w.targetProblem(err)
	}
	t, err := w.targetOf(ctx, w.opt.offsetsTable)
	if err != nil {
		return err
	}
	var fields []wanted
	for i, f := range offsetFields {
		fields = append(fields, wanted{field: f.name, column: w.storedName(f.name), typ: f.typ, key: i < 3})
	}
	if t.table == nil {
		create, err := w.createTable(t.name, fields)
		if err != nil {
			return err
		}
		if err := w.define(ctx, t, create); err != nil {
			return err
		}
	}
	if missing := w.missingFields(t, fields); len(missing) > 0 {
		return refuse(fmt.Errorf("offsets.table.name: table %q has no column %q", t.shown, missing[0].field), "drop it or name another table")
	}
	p, err := w.match(t, fields)
	if err != nil {
		return err
	}
	w.offsets = &offsets{groups: laneGroups(groupIn(w.env), w.opt.connections), plan: p.plan, scratch: make([]offsetRows, w.opt.connections)}
	return w.lockLanes(ctx, lock)
}

// lockLanes does for the other lanes what openOffsets does for the first. The lanes of the last writer may have been more:
// the first session holds the locks that are left.
func (w *writer) lockLanes(ctx context.Context, lock string) error {
	stored, err := w.storedOffsets(ctx)
	if err != nil {
		return w.targetProblem(fmt.Errorf("read offsets: %w", err))
	}
	for lane := 1; lane < max(w.opt.connections, stored.lanes()); lane++ {
		s := w.session
		if lane < len(w.sessions) {
			s = w.sessions[lane]
		}
		if err := s.Lock(ctx, lock+" lane "+strconv.Itoa(lane)); err != nil {
			return w.targetProblem(err)
		}
	}
	return nil
}

// laneGroups are the groups of n lanes; a single one has the plain name.
func laneGroups(group string, n int) []string {
	if n == 1 {
		return []string{group}
	}
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s#%d/%d", group, i, n)
	}
	return out
}

// laneOfGroup reads what laneGroups wrote; false for the group of something else.
func laneOfGroup(name, group string) (lane, lanes int, ok bool) {
	if name == group {
		return 0, 1, true
	}
	rest, ok := strings.CutPrefix(name, group+"#")
	if !ok {
		return 0, 0, false
	}
	first, second, _ := strings.Cut(rest, "/")
	lane, err := strconv.Atoi(first)
	lanes, err2 := strconv.Atoi(second)
	return lane, lanes, err == nil && err2 == nil && lane >= 0 && lane < lanes && lanes <= maxLanes
}

// of are the positions behind records.
func (o *offsets) of(records []sinks.Record) positions {
	if o == nil {
		return nil
	}
	next := positions{}
	for i := range records {
		next[records[i].Source] = records[i].Offset + 1
	}
	return next
}

// withAll appends the group that stores positions of all lanes.
func (o *offsets) withAll(groups []dialect.Group, b *change.Batch, next positions) []dialect.Group {
	if o == nil {
		return groups
	}
	return o.with(groups, b, next, 0, len(o.groups))
}

// with appends the group that stores positions of the lanes from and before to. It comes last, so that its rows are locked
// shortly. What it appends is the lane's own until the next call for it.
func (o *offsets) with(groups []dialect.Group, b *change.Batch, next positions, from, to int) []dialect.Group {
	if o == nil || len(next) == 0 {
		return groups
	}
	m := &o.scratch[from]
	m.rows, m.slab = m.rows[:0], m.slab[:0]
	for lane := from; lane < to; lane++ {
		group := b.Text(o.groups[lane])
		for p, at := range next {
			if o.from != nil { // a lane that was ahead stays so
				at = max(at, o.from[lane][p])
			}
			m.rows = append(m.rows, int32(len(m.slab)))
			m.slab = append(m.slab, group, b.Text(p.Topic), change.IntValue(int64(p.Partition)), change.IntValue(at))
		}
	}
	return append(groups, dialect.Group{Kind: dialect.Upsert, Set: o.plan.Full, Slab: m.slab, Rows: m.rows})
}

// Positions reads the stored offsets; none without a table for them. Of several lanes the position is that of the last one;
// what the others have beyond it is left out as it comes.
func (w *writer) Positions(ctx context.Context) (map[topic.Partition]int64, error) {
	if w.offsets == nil {
		return nil, nil
	}
	stored, err := w.storedOffsets(ctx)
	if err != nil {
		return nil, w.targetProblem(fmt.Errorf("read offsets: %w", err))
	}
	out, lanes, moved := stored.current(w.opt.connections)
	if w.opt.connections == 1 {
		return out, nil
	}
	w.offsets.from = lanes
	if len(moved) > 0 {
		// The rows of this number of lanes are older than those of another one: they must not be taken for the newest later.
		var b change.Batch
		if err := w.session.Apply(ctx, w.offsets.withAll(nil, &b, moved), &b); err != nil {
			return nil, w.targetProblem(fmt.Errorf("write offsets: %w", err))
		}
	}
	return out, nil
}

// storedOffsets reads all rows of the group.
func (w *writer) storedOffsets(ctx context.Context) (laneOffsets, error) {
	x := w.opt.dialect
	columns := w.offsets.plan.Full.Columns(x)
	sql := "SELECT " + strings.Join(columns, ", ") + " FROM " + dialect.QuoteTable(x, w.offsets.plan.Table.Name)
	group, out := groupIn(w.env), laneOffsets{}
	err := w.session.Query(ctx, sql, func(c [][]byte) error {
		lane, lanes, ok := laneOfGroup(string(c[0]), group)
		if !ok {
			return nil
		}
		partition, err := strconv.ParseInt(string(c[2]), 10, 32)
		if err != nil {
			return err
		}
		next, err := strconv.ParseInt(string(c[3]), 10, 64)
		if err != nil {
			return err
		}
		out.add(topic.Partition{Topic: string(c[1]), Partition: int32(partition)}, lane, lanes, next)
		return nil
	})
	return out, err
}

// laneOffsets are stored offsets: by partition, by the number of lanes they were written with, by lane.
type laneOffsets map[topic.Partition]map[int]map[int]int64

func (l laneOffsets) add(p topic.Partition, lane, lanes int, next int64) {
	if l[p] == nil {
		l[p] = map[int]map[int]int64{}
	}
	if l[p][lanes] == nil {
		l[p][lanes] = map[int]int64{}
	}
	l[p][lanes][lane] = next
}

// lanes is the most lanes that rows were written with.
func (l laneOffsets) lanes() int {
	most := 0
	for _, sets := range l {
		for n := range sets {
			most = max(most, n)
		}
	}
	return most
}

// current finds where to go on with n lanes: out is where all of the newest lanes are, lanes is how far each of n is. moved
// are partitions whose newest offsets were written by another number of lanes: all n begin at their least one, so that the
// last batch before a crash may be applied again.
func (l laneOffsets) current(n int) (out positions, lanes []positions, moved positions) {
	out, moved, lanes = positions{}, positions{}, make([]positions, n)
	for i := range lanes {
		lanes[i] = positions{}
	}
	for p, sets := range l {
		newest, at := 0, int64(-1)
		for k, set := range sets {
			if least := leastOf(set); len(set) == k && (least > at || least == at && k == n) {
				newest, at = k, least
			}
		}
		if newest > 0 {
			out[p] = at
		}
		if newest != n && newest > 0 {
			moved[p] = at
			continue
		}
		for lane, next := range sets[n] {
			lanes[lane][p] = next
		}
	}
	return out, lanes, moved
}

func leastOf(set map[int]int64) int64 {
	least := int64(math.MaxInt64)
	for _, next := range set {
		least = min(least, next)
	}
	return least
}
