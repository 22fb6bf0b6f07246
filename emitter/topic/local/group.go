// SPDX-License-Identifier: Apache-2.0

package local

import (
	"freshet/emitter/topic"
	"freshet/internal/store"
)

// group is a consumer group: who of its members has which partition, and where the group has got to. A cursor without a
// group has one of its own, with no name, that nobody else joins. All of it is guarded by Log.mu.
type group struct {
	name      string
	members   []*cursor // in the order of joining
	committed map[uint32]int64
	// begin is where FromEnd members begin that found no committed offset: the end at the time they joined.
	begin map[uint32]int64
	// wanted is who shall have a partition; owner is who has it. They differ while the owner has polled records of it
	// that are not yet committed.
	wanted map[*partition]*cursor
	owner  map[*partition]*cursor
	topics uint64 // Log.version that wanted was made from
	// version counts changes that members have to look at.
	version uint64
}

func newGroup(name string) *group {
	return &group{
		name: name, committed: make(map[uint32]int64), begin: make(map[uint32]int64),
		owner: make(map[*partition]*cursor),
	}
}

// groupLocked returns a group, made if it does not exist. The caller holds mu.
func (l *Log) groupLocked(name string) *group {
	g := l.groups[name]
	if g == nil {
		g = newGroup(name)
		l.groups[name] = g
	}
	return g
}

// join adds a member. The caller holds Log.mu.
func (g *group) join(c *cursor) {
	g.members = append(g.members, c)
	if c.sub.FromEnd {
		for _, t := range c.log.topics {
			for _, p := range t.parts {
				if _, ok := g.begin[p.id]; !ok && c.wants(t.name) {
					g.begin[p.id] = p.end.Load()
				}
			}
		}
	}
	g.assign(c.log)
}

// leave takes a member away; what it had is free. The caller holds Log.mu.
func (g *group) leave(c *cursor) {
	for i, m := range g.members {
		if m == c {
			g.members = append(g.members[:i:i], g.members[i+1:]...)
			break
		}
	}
	for p, owner := range g.owner {
		if owner == c {
			delete(g.owner, p)
		}
	}
	g.assign(c.log)
}

// assign deals the partitions that any member wants to the members in turn. The caller holds Log.mu.
func (g *group) assign(l *Log) {
	g.topics = l.version.Load()
	g.version++
	g.wanted = make(map[*partition]*cursor)
	turn := 0
	for _, t := range l.sortedLocked() {
		var able []bool
		for _, m := range g.members {
			able = append(able, m.wants(t.name))
		}
		for _, p := range t.parts {
			for k := range g.members {
				if i := (turn + k) % len(g.members); able[i] {
					g.wanted[p] = g.members[i]
					turn = i + 1
					break
				}
			}
		}
	}
	l.wakeCursorsLocked()
}

// position is where the group goes on in a partition. The caller holds Log.mu.
func (g *group) position(p *partition) int64 {
	if at, ok := g.committed[p.id]; ok {
		return at
	}
	if at, ok := g.begin[p.id]; ok {
		return at
	}
	return p.start.Load()
}

// wants says whether the cursor's subscription selects a topic.
func (c *cursor) wants(name string) bool {
	return c.topics[name] || c.sub.Pattern != nil && c.sub.Pattern(name)
}

// owned is a partition that a cursor reads.
type owned struct {
	p     *partition
	pos   int64 // of the next record to be polled
	saved int64 // last committed, or begun at
}

// sync brings the cursor's partitions in line with what the group wants. Partitions are given up only when clean, that is
// between a Commit and the next Poll; they are taken at any time.
func (c *cursor) sync() {
	l, g := c.log, c.group
	l.mu.Lock()
	defer l.mu.Unlock()
	if g.topics != l.version.Load() {
		g.assign(l)
	}
	if c.seen == g.version && c.seenDirty == c.dirty {
		return
	}
	c.seen, c.seenDirty = g.version, c.dirty
	freed := false
	kept := c.parts[:0]
	for _, o := range c.parts {
		if o.p.topic.deleted || g.wanted[o.p] != c && !c.dirty {
			delete(g.owner, o.p)
			c.reader.drop(o.p)
			freed = true
			continue
		}
		kept = append(kept, o)
	}
	clear(c.parts[len(kept):])
	c.parts = kept
	for _, t := range l.sortedLocked() {
		for _, p := range t.parts {
			if g.wanted[p] == c && g.owner[p] == nil {
				at := g.position(p)
				g.owner[p] = c
				c.parts = append(c.parts, &owned{p: p, pos: at, saved: at})
			}
		}
	}
	if freed {
		g.version++
		c.seen = g.version
		l.wakeCursorsLocked()
	}
}

// commitItem is the item that makes offsets the group's. Through the writer, commits of many cursors share its syncs.
func (l *Log) commitItem(g *group, offsets []groupOffset) *item {
	return &item{
		op: func(b *store.Batch) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, o := range offsets {
				if !o.p.topic.deleted {
					b.PutGroupOffset(g.name, o.p.id, o.at)
				}
			}
			return nil
		},
		after: func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, o := range offsets {
				if !o.p.topic.deleted {
					g.committed[o.p.id] = o.at
				}
			}
		},
	}
}

type groupOffset struct {
	p  *partition
	at int64
}

// name is the partition as the interface has it.
func (p *partition) name() topic.Partition {
	return topic.Partition{Topic: p.topic.name, Partition: p.number}
}
