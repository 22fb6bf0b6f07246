// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"fmt"

	"freshet/emitter/topic"
)

// cursor is a topic.Cursor. Its fields are used by the one goroutine that calls its methods, but for wake, and for what
// Log.mu guards.
type cursor struct {
	log    *Log
	sub    topic.Subscription
	topics map[string]bool
	group  *group
	wake   chan struct{} // holds one; there may be records, or partitions to take or to give up

	parts     []*owned
	turn      int // of parts, where the next Poll begins
	reader    reader
	seeks     map[topic.Partition]int64 // to be done by the next Poll
	dirty     bool                      // polled since the last Commit
	seen      uint64                    // group.version that parts were made from
	seenDirty bool
	closed    bool
}

// Subscribe opens a cursor. Where the log has failed, it is reopened.
func (l *Log) Subscribe(ctx context.Context, s topic.Subscription) (topic.Cursor, error) {
	if err := l.ensure(ctx); err != nil {
		return nil, err
	}
	c := &cursor{
		log: l, sub: s, topics: make(map[string]bool), wake: make(chan struct{}, 1),
		seeks: make(map[topic.Partition]int64), reader: reader{log: l},
	}
	for _, name := range s.Topics {
		c.topics[name] = true
	}
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		return nil, topic.ErrClosed
	}
	c.group = newGroup("")
	if s.Group != "" {
		c.group = l.groupLocked(s.Group)
	}
	l.cursors[c] = struct{}{}
	c.group.join(c)
	l.mu.Unlock()
	c.sync()
	return c, nil
}

// Poll returns records as soon as there are any.
func (c *cursor) Poll(ctx context.Context, limit int) ([]topic.Record, error) {
	c.reader.begin()
	for first := true; ; first = false {
		if err := c.check(ctx); err != nil {
			return nil, err
		}
		c.sync()
		if first {
			c.seek()
		}
		err := c.fill(limit)
		if len(c.reader.records) > 0 {
			// Positions are behind these records, so they are given out before any error, which will come again.
			c.dirty = true
			return c.reader.records, nil
		}
		if err != nil {
			return nil, err
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// check says why there can be no Poll.
func (c *cursor) check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	if c.closed || c.log.closing {
		return topic.ErrClosed
	}
	return c.log.failed
}

// seek does what Seek asked for, for the partitions that are here.
func (c *cursor) seek() {
	if len(c.seeks) == 0 {
		return
	}
	for _, o := range c.parts {
		if at, ok := c.seeks[o.p.name()]; ok {
			c.reader.drop(o.p)
			o.pos = at
		}
	}
	clear(c.seeks)
}

// fill reads up to limit records: first what is left of the chunk that the last Poll ended in, then the partitions in
// turn.
func (c *cursor) fill(limit int) error {
	r := &c.reader
	r.max, r.maxBytes = max(limit, 1), c.log.o.PollBytes
	if err := r.decode(); err != nil {
		return err
	}
	n := len(c.parts)
	for k := 0; k < n && r.room(); k++ {
		i := (c.turn + k) % n
		o := c.parts[i]
		had := len(r.records)
		if err := c.read(o); err != nil {
			return err
		}
		if len(r.records) > had && !r.room() {
			c.turn = i + 1 // the others first, next time
		}
	}
	return nil
}

// read reads one partition from its position on.
func (c *cursor) read(o *owned) error {
	for c.reader.room() {
		c.clamp(o)
		end := o.p.end.Load()
		if o.pos >= end {
			return nil
		}
		found, err := c.reader.load(o, end)
		if err != nil {
			return err
		}
		if err := c.reader.decode(); err != nil {
			return err
		}
		if found || o.pos < o.p.start.Load() {
			continue
		}
		to := o.p.cut.Load()
		if o.pos >= to {
			return &DamageError{Partition: o.p.String(), Offset: o.pos}
		}
		// Retention has deleted them at this moment: Pebble shows a batch before it is synced, and start tells it after.
		c.skipped(o, to)
		o.pos = to
	}
	return nil
}

// clamp brings a position back to what is there, and says so.
func (c *cursor) clamp(o *owned) {
	b := o.p.bounds()
	switch {
	case o.pos < b.Start:
		c.skipped(o, b.Start)
		o.pos = b.Start
	case o.pos > b.End:
		// As auto.offset.reset of Kafka: there never was such a record here, so the offset is another log's.
		to := b.Start
		if c.sub.FromEnd {
			to = b.End
		}
		c.log.o.Log.Warn("offset is beyond the end of the partition", "group", c.sub.Group, "topic", o.p.topic.name,
			"partition", o.p.number, "offset", o.pos, "end", b.End, "to", to)
		o.pos = to
	}
}

// skipped says that records are gone before they were read.
func (c *cursor) skipped(o *owned, to int64) {
	c.log.o.Log.Warn("records were deleted by retention before they were read", "group", c.sub.Group,
		"topic", o.p.topic.name, "partition", o.p.number, "skipped", to-max(o.pos, 0), "from", o.pos, "to", to)
}

// Seek makes the next Poll read the partition from offset. A partition that another member has is left alone.
func (c *cursor) Seek(p topic.Partition, offset int64) { c.seeks[p] = offset }

// Committed returns the group's committed offset, or -1.
func (c *cursor) Committed(ctx context.Context, p topic.Partition) (int64, error) {
	if err := c.check(ctx); err != nil {
		return -1, err
	}
	part, err := c.log.partitionFor(p)
	if err != nil {
		return -1, nil // it may be created later
	}
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	if at, ok := c.group.committed[part.id]; ok {
		return at, nil
	}
	return -1, nil
}

// Commit makes the positions after all polled records the group's. Then partitions may move to other members.
func (c *cursor) Commit(ctx context.Context) error {
	if err := c.check(ctx); err != nil {
		return err
	}
	var offsets []groupOffset
	for _, o := range c.parts {
		if o.pos != o.saved {
			offsets = append(offsets, groupOffset{o.p, o.pos})
		}
	}
	if len(offsets) > 0 && c.sub.Group != "" {
		if err := c.log.do(ctx, c.log.commitItem(c.group, offsets)); err != nil {
			return fmt.Errorf("commit the offsets of group %q: %w", c.sub.Group, err)
		}
	}
	for _, o := range c.parts {
		o.saved = o.pos
	}
	c.dirty = false
	c.sync()
	return nil
}

// Close leaves the group. What was polled and not committed is polled again by whoever has the partition next. The memory of
// what was read is let go of, whoever still knows the cursor.
func (c *cursor) Close(context.Context) error {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	delete(c.log.cursors, c)
	c.group.leave(c)
	c.parts, c.reader = nil, reader{}
	return nil
}
