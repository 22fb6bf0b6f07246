// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"fmt"

	"freshet/emitter/topic"
	"freshet/internal/store"
)

// What follows is for administration and tools; it is no part of topic.Log.

// Marks returns the marks whose key begins with prefix, by key: durable ones, whose records List knows of. Unlike
// LoadMark it changes nothing.
func (l *Log) Marks(ctx context.Context, prefix string) ([]topic.Mark, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []topic.Mark
	err := l.db.Marks(prefix, func(key, value string) { out = append(out, topic.Mark{Key: key, Value: value}) })
	if err != nil {
		return nil, err
	}
	// I1: the store shows a batch before it is on disk, and the log shows its records after. Whoever waits for a turn
	// behind that batch sees both.
	if err := l.do(ctx, &item{}); err != nil {
		return nil, err
	}
	return out, nil
}

// SetMark sets a mark by hand. The source should be stopped: one that runs will overwrite it.
func (l *Log) SetMark(ctx context.Context, m topic.Mark) error {
	return l.change(ctx, func(b *store.Batch) { b.PutMark(m.Key, m.Value) })
}

// DeleteMark deletes a mark, so that its source begins from the beginning.
func (l *Log) DeleteMark(ctx context.Context, key string) error {
	return l.change(ctx, func(b *store.Batch) { b.DeleteMark(key) })
}

// change makes one change durable in its turn.
func (l *Log) change(ctx context.Context, f func(b *store.Batch)) error {
	if err := l.ensure(ctx); err != nil {
		return err
	}
	return l.do(ctx, &item{op: func(b *store.Batch) error { f(b); return nil }})
}

// Groups returns the committed offsets of all groups that have any.
func (l *Log) Groups(ctx context.Context) (map[string]map[topic.Partition]int64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]map[topic.Partition]int64)
	for _, t := range l.topics {
		for _, p := range t.parts {
			for name, g := range l.groups {
				at, ok := g.committed[p.id]
				if !ok {
					continue
				}
				if out[name] == nil {
					out[name] = make(map[topic.Partition]int64)
				}
				out[name][p.name()] = at
			}
		}
	}
	return out, nil
}

// GroupOffsets returns the committed offsets of a group.
func (l *Log) GroupOffsets(ctx context.Context, group string) (map[topic.Partition]int64, error) {
	groups, err := l.Groups(ctx)
	return groups[group], err
}

// SetGroupOffset makes offset the one at which a group goes on, or forgets the group's offset where offset is < 0. The
// group must have no members: they would not notice.
func (l *Log) SetGroupOffset(ctx context.Context, name string, p topic.Partition, offset int64) error {
	if err := l.ensure(ctx); err != nil {
		return err
	}
	part, err := l.partitionFor(p)
	if err != nil {
		return fmt.Errorf("set the offset of group %q: %w", name, err)
	}
	l.mu.Lock()
	g := l.groupLocked(name)
	members := len(g.members)
	l.mu.Unlock()
	if members > 0 {
		return fmt.Errorf("set the offset of group %q: it has %d running tasks; stop them first", name, members)
	}
	it := l.commitItem(g, []groupOffset{{part, offset}})
	if offset < 0 {
		it.op = func(b *store.Batch) error { b.DeleteGroupOffset(name, part.id); return nil }
		it.after = func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			delete(g.committed, part.id)
			delete(g.begin, part.id)
		}
	}
	return l.do(ctx, it)
}

// ReadFrom returns up to limit records of a partition from offset on, or from the first one kept. It does not wait. The
// records are the caller's.
func (l *Log) ReadFrom(ctx context.Context, p topic.Partition, offset int64, limit int) ([]topic.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	part, err := l.partitionFor(p)
	if err != nil {
		return nil, err
	}
	c := cursor{log: l, reader: reader{log: l, max: limit, maxBytes: l.o.PollBytes}}
	b := part.bounds()
	o := &owned{p: part, pos: min(max(offset, b.Start), b.End)}
	if err := c.read(o); err != nil {
		return nil, err
	}
	return c.reader.records, nil
}
