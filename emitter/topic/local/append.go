// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"fmt"
	"sync"

	"freshet/emitter/topic"
	"freshet/internal/store"
)

// item is one entry of the writer's queue: an encoded unit, or something to be done in its turn.
type item struct {
	chunks []*chunk
	parts  []*partition // written to, as put tells
	mark   topic.Mark
	op     func(b *store.Batch) error // adds to the batch; adds nothing where it returns an error
	after  func()                     // called once the batch is durable, before done
	reopen bool
	size   int    // encoded, bytes
	cost   int64  // taken from the budget
	epoch  uint64 // of encoding; 0 for items that are no units
	err    error  // why it cannot be written
	done   func(error)
}

// source is what the log knows of the units of one mark.
type source struct {
	epoch uint64 // in which LoadMark or the first unit was
	err   error  // of a unit that failed by itself
}

// Append queues a unit. It encodes the unit's records in the caller's goroutine, so that the writer only copies.
func (l *Log) Append(ctx context.Context, u topic.Unit, done func(error)) {
	it := &item{mark: u.Mark, done: done, cost: min(costOf(&u), l.o.MaxBytes)}
	if it.err = ctx.Err(); it.err == nil {
		it.err = l.budget.Acquire(ctx, it.cost)
	}
	if it.err != nil {
		it.cost = 0
	} else {
		l.mu.Lock()
		it.epoch = l.epoch // before encoding: references of heads are of an epoch
		l.mu.Unlock()
		it.err = l.encode(it, u.Records)
	}
	l.push(it)
}

// costOf is about what a unit takes up once encoded, and at least 1.
func costOf(u *topic.Unit) int64 {
	const perRecord = 16
	n := 1 + len(u.Mark.Key) + len(u.Mark.Value)
	for i := range u.Records {
		r := &u.Records[i]
		n += perRecord + len(r.Key.Body) + len(r.Value.Body)
		for j := range r.Headers {
			n += 4 + len(r.Headers[j].Key) + len(r.Headers[j].Value)
		}
	}
	return int64(n)
}

// encoder is what encoding a unit needs besides the unit.
type encoder struct {
	open map[*partition]*chunk // the chunk that the partition's next record goes to
}

var (
	encoders = sync.Pool{New: func() any { return &encoder{open: make(map[*partition]*chunk)} }}
	chunks   = sync.Pool{New: func() any { return new(chunk) }}
)

// encode makes chunks of records.
func (l *Log) encode(it *item, records []topic.Record) error {
	e := encoders.Get().(*encoder)
	defer func() {
		clear(e.open)
		encoders.Put(e)
	}()
	now := l.o.Now().UnixMilli()
	var (
		t    *topicState
		p    *partition
		c    *chunk
		turn = -1 // of this unit's null keys
		err  error
	)
	for i := range records {
		r := &records[i]
		if t == nil || t.name != r.Topic {
			if t, err = l.topicFor(r.Topic); err != nil {
				return err
			}
		}
		to, err := l.choose(t, r, &turn)
		if err != nil {
			return err
		}
		if to != p {
			p, c = to, e.open[to]
		}
		if c == nil || !c.fits(r) {
			c = chunks.Get().(*chunk)
			c.part = p
			e.open[p] = c
			it.chunks = append(it.chunks, c)
		}
		millis := r.TimeMillis
		if millis == 0 {
			millis = now
		}
		if err := c.add(r, millis, l.heads.ref); err != nil {
			return err
		}
	}
	for _, c := range it.chunks {
		c.pack()
		it.size += c.size()
	}
	return nil
}

// choose is the partition of a record: the one it names, the one of its key's hash (I6), or for null keys one for all
// of the unit, each unit another.
func (l *Log) choose(t *topicState, r *topic.Record, turn *int) (*partition, error) {
	n := len(t.parts)
	switch {
	case r.Partition >= 0 && int(r.Partition) < n:
		return t.parts[r.Partition], nil
	case r.Partition != topic.AnyPartition:
		return nil, fmt.Errorf("append to %s-%d: %w: the topic has %d partitions", r.Topic, r.Partition, ErrUnknownTopic, n)
	case n == 1:
		return t.parts[0], nil
	case !r.Key.IsNull():
		return t.parts[partitionOf(r.Key, n)], nil
	}
	if *turn < 0 {
		*turn = int(l.turn.Add(1) - 1)
	}
	return t.parts[*turn%n], nil
}

// push queues an item, also one that failed already, because done is called in order and never from inside Append.
func (l *Log) push(it *item) {
	l.mu.Lock()
	if it.err == nil {
		it.err = l.refusalLocked(it)
	}
	l.noteLocked(it)
	l.queue = append(l.queue, it)
	if !l.running { // after Close: only to call done
		l.running = true
		go l.write()
	}
	l.mu.Unlock()
	l.signal()
}

// refusalLocked is why an item cannot be queued. The caller holds mu.
func (l *Log) refusalLocked(it *item) error {
	switch {
	case l.closing:
		return topic.ErrClosed
	case it.reopen:
		return nil
	case l.failed != nil:
		return l.failed
	case it.epoch != 0 && it.epoch != l.epoch:
		return l.staleLocked()
	}
	if s, ok := l.sources[it.mark.Key]; ok && it.mark.Key != "" {
		if s.err != nil {
			return fmt.Errorf("%w: %w", errStale, s.err)
		}
		if s.epoch != l.epoch {
			return l.staleLocked()
		}
	}
	for _, c := range it.chunks {
		if c.part.topic.deleted {
			t := l.topicLocked(topic.Spec{Name: c.part.topic.name, Partitions: int32(len(c.part.topic.parts))})
			c.part = t.parts[int(c.part.number)%len(t.parts)]
		}
	}
	return nil
}

// staleLocked is the error of a unit from before the log was reopened. The caller holds mu.
func (l *Log) staleLocked() error { return fmt.Errorf("%w: %w", errStale, l.lastErr) }

// noteLocked remembers of which sources units are queued. I3: once one of a source's units has failed, even by its own
// context, later ones must fail too until the source has begun again. The caller holds mu.
func (l *Log) noteLocked(it *item) {
	if it.mark.Key == "" {
		return
	}
	s, ok := l.sources[it.mark.Key]
	if !ok {
		s.epoch = l.epoch
	}
	if it.err != nil && s.err == nil {
		s.err = it.err
	}
	l.sources[it.mark.Key] = s
}

// signal tells the writer that there is something in the queue.
func (l *Log) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// release gives the memory of a unit's chunks back.
func (it *item) release() {
	const keep = 2 * chunkBytes
	for _, c := range it.chunks {
		if cap(c.records) <= keep && cap(c.packed) <= keep {
			c.reset()
			chunks.Put(c)
		}
	}
	it.chunks = nil
}
