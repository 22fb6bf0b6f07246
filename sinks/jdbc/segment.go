// SPDX-License-Identifier: Apache-2.0

package jdbc

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math"
	"slices"

	"freshet/change"
	"freshet/sinks/jdbc/dialect"
)

// segment is the part of a batch that goes into one transaction: its operations in source order, reduced to the last one
// of each key. It is reused; nothing in it is allocated per row once it has grown.
type segment struct {
	insert bool // insert mode: nothing is reduced, because every record is a row
	lanes  int  // that keys are dealt out to
	// stale, if not nil, says that an operation's effect is in the target already.
	stale  func(o op) bool
	update bool // update mode: a deleted row stays deleted, whatever follows

	ops  []op
	slab []change.Value // values of rows; op.row is an offset
	keys []byte         // canonical keys of operations

	seed    maphash.Seed
	buckets []int32 // open addressing: index of an op plus one; len is a power of two
	targets []*target
	// moves are deletes by the key that their row moves to, whose create is still to come.
	moves map[string]int32
	// ordered says that the reduced operations would not do the same as all of them in order.
	ordered bool
	deletes bool
	whole   bool // a truncate is among the operations

	groups     []dialect.Group
	laneGroups [][]dialect.Group
	bits       []byte
}

// op is one operation.
type op struct {
	kind    dialect.Kind // Insert, Upsert, Update, Delete or Truncate; Patch comes of missing values
	dead    bool         // a later operation of the same key, or a truncate, makes it void
	fresh   bool         // the row is most likely not in the table
	partial bool         // values are missing
	lane    uint8        // of the key
	plan    *rowPlan
	row     int32
	record  int32 // index in the batch
	key     int32 // offset in keys
	keyEnd  int32
	// A delete that may be a move: its row of both keys, the new key in it, and whether it is one.
	mayMove, isMove bool
	move, moveTo    int32
}

// segmentTarget is what a segment holds of a target.
type segmentTarget struct {
	used      bool
	truncated int32          // operations of the target before this index are void
	groups    []segmentGroup // reused
	n         int            // groups in use
}

// segmentGroup collects operations for one dialect.Group: indexes of operations first, offsets of rows at the end.
type segmentGroup struct {
	kind  dialect.Kind
	set   *dialect.Set
	fresh bool
	rows  []int32
}

func newSegment(mode string, lanes int) *segment {
	return &segment{insert: mode == insertMode, update: mode == updateMode, lanes: lanes, seed: maphash.MakeSeed(), moves: map[string]int32{}}
}

func (s *segment) reset() {
	for _, t := range s.targets {
		t.segment.used, t.segment.truncated, t.segment.n = false, 0, 0
	}
	s.ops, s.slab, s.keys, s.targets, s.groups = s.ops[:0], s.slab[:0], s.keys[:0], s.targets[:0], s.groups[:0]
	s.ordered, s.deletes, s.whole = false, false, false
	clear(s.buckets)
	clear(s.moves)
}

// finish decides on deletes whose creates did not come: they may come in the next segment.
func (s *segment) finish() {
	for _, i := range s.moves {
		s.ops[i].isMove, s.ordered = true, true
	}
	clear(s.moves)
}

// truncate makes everything before it void.
func (s *segment) truncate(p *rowPlan, record int) {
	t := p.target
	s.use(t)
	at := int32(len(s.ops))
	for i := range s.ops {
		if s.ops[i].plan.target == t && !s.insert {
			s.ops[i].dead = true
		}
	}
	t.segment.truncated = at
	s.ops = append(s.ops, op{kind: dialect.Truncate, plan: p, record: int32(record)})
	s.deletes, s.whole = true, true
}

// add appends an operation, whose row's values are the last of the slab, and reduces.
func (s *segment) add(o op, data *change.Batch) {
	s.use(o.plan.target)
	o.key = int32(len(s.keys))
	s.appendKey(&o, o.row, data)
	o.keyEnd = int32(len(s.keys))
	o.lane = laneOf(s.keys[o.key:o.keyEnd], s.lanes)
	if s.stale != nil && s.stale(o) {
		return
	}
	s.deletes = s.deletes || o.kind == dialect.Delete
	if s.insert || o.plan.plan.NKeys == 0 {
		if last := len(s.ops) - 1; o.kind == dialect.Delete && last >= 0 && s.ops[last].kind == dialect.Delete && s.sameKey(&s.ops[last], &o) {
			return // H5: the tombstone of a delete
		}
		s.ops = append(s.ops, o)
		return
	}
	bucket := s.find(&o)
	if found := s.buckets[bucket]; found > 0 && !s.follow(&s.ops[found-1], &o) {
		return
	}
	s.ops = append(s.ops, o)
	s.buckets[bucket] = int32(len(s.ops))
	if o.mayMove {
		mark := len(s.keys)
		s.appendKey(&o, o.moveTo, data)
		s.moves[string(s.keys[mark:])] = int32(len(s.ops) - 1)
		s.keys = s.keys[:mark]
	}
	if len(s.moves) == 0 || o.kind == dialect.Delete {
		return
	}
	if i, ok := s.moves[string(s.keys[o.key:o.keyEnd])]; ok {
		s.ops[i].isMove = o.partial
		s.ordered = s.ordered || o.partial
		delete(s.moves, string(s.keys[o.key:o.keyEnd]))
	}
}

func (s *segment) use(t *target) {
	if !t.segment.used {
		t.segment.used = true
		s.targets = append(s.targets, t)
	}
}

// follow reduces an earlier operation of a key and the one that follows it; false drops the follower.
func (s *segment) follow(prev, next *op) bool {
	next.fresh = prev.fresh && next.kind != dialect.Delete
	switch {
	case prev.kind == dialect.Delete && (next.kind == dialect.Delete || s.update):
		return false // H5; and an update after a delete finds no row
	case prev.kind == dialect.Delete && next.partial:
		s.ordered = true // what is missing must not be taken from the row that the delete removes
		return true
	case prev.kind != dialect.Delete && next.kind != dialect.Delete && prev.plan.plan != next.plan.plan:
		s.ordered = true // another schema: it may not write all that the earlier one wrote
		return true
	case next.partial && next.kind != dialect.Delete:
		s.fill(prev, next)
	}
	prev.dead = true
	return true
}

// fill takes values that are missing in next from prev, which has the same plan.
func (s *segment) fill(prev, next *op) {
	width := int32(len(next.plan.sources))
	from, to := s.slab[prev.row:prev.row+width], s.slab[next.row:next.row+width]
	next.partial = false
	for i := range to {
		if to[i].Kind() == change.Unavailable {
			to[i] = from[i]
			next.partial = next.partial || to[i].Kind() == change.Unavailable
		}
	}
}

// targetIDLen is how many bytes the target takes in a key.
const targetIDLen = 8

// appendKey appends the target and the key's values in canonical order, in a form whose byte order is that of integers.
func (s *segment) appendKey(o *op, row int32, data *change.Batch) {
	s.keys = binary.BigEndian.AppendUint64(s.keys, o.plan.target.id)
	for _, i := range o.plan.canonical {
		s.appendKeyValue(s.slab[row+int32(i)], data)
	}
}

func (s *segment) appendKeyValue(v change.Value, data *change.Batch) {
	s.keys = append(s.keys, byte(v.Kind()))
	switch v.Kind() {
	case change.Int:
		s.keys = binary.BigEndian.AppendUint64(s.keys, uint64(v.Int())^1<<63)
	case change.Float:
		s.keys = binary.BigEndian.AppendUint64(s.keys, math.Float64bits(v.Float()))
	case change.Bool:
		s.keys = append(s.keys, 0)
		if v.Bool() {
			s.keys[len(s.keys)-1] = 1
		}
	case change.Text, change.Bytes:
		// Ended by 0, 1, with 0 as 0, 255: no text is the beginning of another, and the order stays.
		for p := data.Bytes(v); ; {
			zero := bytes.IndexByte(p, 0)
			if zero < 0 {
				s.keys = append(append(s.keys, p...), 0, 1)
				return
			}
			s.keys = append(append(s.keys, p[:zero]...), 0, 255)
			p = p[zero+1:]
		}
	case change.Struct, change.Array, change.Map:
		row := data.RowOf(v)
		for i := range row.Len() {
			s.appendKeyValue(data.At(row, i), data)
		}
	}
}

func (s *segment) sameKey(x, y *op) bool {
	return bytes.Equal(s.keys[x.key:x.keyEnd], s.keys[y.key:y.keyEnd])
}

// find is the bucket of an operation's key: one that holds a live operation of it, or a free one to use.
func (s *segment) find(o *op) int {
	if 2*(len(s.ops)+1) > len(s.buckets) {
		s.grow()
	}
	mask := len(s.buckets) - 1
	for i := int(maphash.Bytes(s.seed, s.keys[o.key:o.keyEnd])) & mask; ; i = (i + 1) & mask {
		found := s.buckets[i]
		if found == 0 {
			return i
		}
		if e := &s.ops[found-1]; s.sameKey(e, o) {
			if found-1 < e.plan.target.segment.truncated {
				s.buckets[i] = 0 // void since a truncate; the caller puts the new operation here at once
			}
			return i
		}
	}
}

func (s *segment) grow() {
	old := s.buckets
	s.buckets = make([]int32, max(64, 2*len(old)))
	mask := len(s.buckets) - 1
	for _, found := range old {
		if found == 0 {
			continue
		}
		e := &s.ops[found-1]
		i := int(maphash.Bytes(s.seed, s.keys[e.key:e.keyEnd])) & mask
		for s.buckets[i] != 0 {
			i = (i + 1) & mask
		}
		s.buckets[i] = found
	}
}

// mustKeepOrder says whether the operations have to be applied one by one, in order.
func (s *segment) mustKeepOrder() bool {
	if s.ordered {
		return true
	}
	return slices.ContainsFunc(s.targets, func(t *target) bool {
		return t.table != nil && (s.deletes && t.table.Cascades || len(t.table.Unique) > 1)
	})
}

// inOrder is every operation as a group of its own, in source order, void ones too. Group i is operation i.
func (s *segment) inOrder() []dialect.Group {
	s.groups = s.groups[:0]
	rows := make([]int32, len(s.ops))
	for i := range s.ops {
		o := &s.ops[i]
		kind, set := s.form(o)
		rows[i] = o.row
		if kind == dialect.Move {
			rows[i] = o.move
		}
		s.groups = append(s.groups, dialect.Group{Kind: kind, Set: set, Slab: s.slab, Rows: rows[i : i+1 : i+1]})
	}
	return s.groups
}

// form is what an operation does, with which fields.
func (s *segment) form(o *op) (dialect.Kind, *dialect.Set) {
	plan := o.plan.plan
	switch {
	case o.kind == dialect.Truncate:
		return o.kind, plan.Full
	case o.isMove:
		return dialect.Move, o.plan.move.Full
	case o.kind == dialect.Delete:
		return o.kind, plan.Keys
	case !o.partial:
		return o.kind, plan.Full
	}
	if n := len(plan.Fields)/8 + 1; len(s.bits) < n {
		s.bits = make([]byte, n)
	}
	set := plan.Present(s.slab[o.row:int(o.row)+len(plan.Fields)], s.bits[:len(plan.Fields)/8+1])
	if o.kind == dialect.Upsert && set != plan.Full {
		return dialect.Patch, set
	}
	return o.kind, set
}

// reduced is the live operations in groups: by table in the order of first use; in each table a truncate, then deletes,
// then rows, each sorted by key. In insert mode the order of a table's operations is kept.
func (s *segment) reduced() []dialect.Group {
	s.groups = s.groups[:0]
	for i := range s.ops {
		if o := &s.ops[i]; !o.dead {
			s.collect(o, int32(i))
		}
	}
	for _, t := range s.targets {
		groups := t.segment.groups[:t.segment.n]
		if s.insert {
			for i := range groups {
				s.emit(&groups[i])
			}
			continue
		}
		for _, first := range [...]dialect.Kind{dialect.Truncate, dialect.Delete} {
			for i := range groups {
				if groups[i].kind == first {
					s.emit(&groups[i])
				}
			}
		}
		for i := range groups {
			if k := groups[i].kind; k != dialect.Truncate && k != dialect.Delete {
				s.emit(&groups[i])
			}
		}
	}
	return s.groups
}

// collect puts an operation into a group of its target.
func (s *segment) collect(o *op, index int32) {
	kind, set := s.form(o)
	t := &o.plan.target.segment
	from := 0
	if s.insert && t.n > 0 {
		from = t.n - 1
	}
	for i := from; i < t.n; i++ {
		if g := &t.groups[i]; g.kind == kind && g.set == set && kind != dialect.Truncate {
			g.rows = append(g.rows, index)
			g.fresh = g.fresh && o.fresh
			return
		}
	}
	if t.n == len(t.groups) {
		t.groups = append(t.groups, segmentGroup{})
	}
	g := &t.groups[t.n]
	t.n++
	g.kind, g.set, g.fresh, g.rows = kind, set, o.fresh, append(g.rows[:0], index)
}

func (s *segment) emit(g *segmentGroup) {
	if !s.insert {
		byKey := func(x, y int32) int {
			return bytes.Compare(s.keys[s.ops[x].key:s.ops[x].keyEnd], s.keys[s.ops[y].key:s.ops[y].keyEnd])
		}
		if !slices.IsSortedFunc(g.rows, byKey) {
			slices.SortFunc(g.rows, byKey) // writers of the same rows meet them in one order, and indexes are walked once
		}
	}
	for i, index := range g.rows {
		g.rows[i] = s.ops[index].row
	}
	s.groups = append(s.groups, dialect.Group{Kind: g.kind, Set: g.set, Slab: s.slab, Rows: g.rows, Fresh: g.fresh})
}
