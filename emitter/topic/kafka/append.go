// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/emitter/topic"
)

// unit is a topic.Unit on its way. Its records stay those of whoever appended it, until done: parcels are what is sent.
type unit struct {
	records []topic.Record
	free    func() // says that records are not needed any more; nil where nobody wants to know
	mark    topic.Mark
	cost    int64 // taken from the budget
	done    func(error)
	barrier bool            // carries nothing: settles in its turn
	ctx     context.Context //nolint:containedctx // of whoever appended it, who waits for done

	left  atomic.Int64 // parcels on their way, and one for whoever sends
	acked chan struct{}
	// err is why the unit fails. It is written by whoever sends until it lets go, then by whoever settles.
	err error
	// failure is the first that the client told, culprit the record it is about. They are written by the client's
	// promises, which come one at a time, and read once acked has come.
	failure error
	culprit *kgo.Record
}

// errStale is why units fail whose source has not asked for its mark since an earlier one failed.
var errStale = errors.New("an earlier unit of the source failed; it must begin again at its mark")

func newUnit() *unit {
	u := &unit{acked: make(chan struct{}, 1)}
	u.left.Store(1)
	return u
}

// letGo counts down; the last one tells.
func (u *unit) letGo() {
	if u.left.Add(-1) > 0 {
		return
	}
	if u.free != nil && u.err == nil && u.failure == nil {
		u.records = nil
		u.free()
	}
	u.acked <- struct{}{}
}

// Append queues a unit and hands its records to the producer.
func (l *Log) Append(ctx context.Context, in topic.Unit, done func(error)) {
	u := l.units.Get().(*unit)
	u.records, u.mark, u.done, u.cost, u.ctx = in.Records, in.Mark, done, min(costOf(&in), l.o.MaxBytes), ctx
	if l.txn == nil { // else it is sent when its transaction's turn comes
		u.free = in.Free
	}
	if u.err = ctx.Err(); u.err == nil {
		u.err = l.acquire(ctx, u.cost)
	}
	if u.err != nil {
		u.cost = 0
	} else if u.err = l.check(ctx); u.err == nil {
		u.err = l.allow(ctx, in.Records)
	}
	if l.push(u) && l.txn == nil {
		u.err = l.parcels.send(ctx, l.producer, u)
	}
	u.letGo()
}

// acquire waits for room. A transaction that waits for more units ends for it.
func (l *Log) acquire(ctx context.Context, n int64) error {
	if l.budget.TryAcquire(n) {
		return nil
	}
	if l.txn == nil {
		return l.budget.Acquire(ctx, n)
	}
	l.txn.starved.Add(1)
	defer l.txn.starved.Add(-1)
	l.txn.stir()
	return l.budget.Acquire(ctx, n)
}

// costOf is about what a unit takes up, and at least 1.
func costOf(u *topic.Unit) int64 {
	n := 1 + len(u.Mark.Key) + len(u.Mark.Value)
	for i := range u.Records {
		r := &u.Records[i]
		n += recordOverhead + len(r.Key.Body) + len(r.Value.Body)
		for j := range r.Headers {
			n += len(r.Headers[j].Key) + len(r.Headers[j].Value)
		}
	}
	return int64(n)
}

// allow says why a unit cannot be appended. An error refuses it as a whole: nothing of it is sent.
func (l *Log) allow(ctx context.Context, records []topic.Record) error {
	name, k := "", (*known)(nil)
	for i := range records {
		r := &records[i]
		if k == nil || name != r.Topic {
			var err error
			if k, err = l.topicFor(ctx, r.Topic); err != nil {
				return err
			}
			name = r.Topic
		}
		if err := l.allowed(ctx, k, r); err != nil {
			return err
		}
	}
	return nil
}

// allowed says why a record cannot be appended to its topic.
func (l *Log) allowed(ctx context.Context, k *known, r *topic.Record) error {
	if size, limit := recordBytes(r), min(l.o.MaxRequestBytes, k.maxBytes); size > int64(limit) {
		return tooLarge(r.Topic, r.Key.Bytes(), size, l.o.MaxRequestBytes, k.maxBytes)
	}
	if r.Partition == topic.AnyPartition {
		return nil
	}
	if r.Partition < 0 || r.Partition >= k.partitions && r.Partition >= l.refresh(ctx, r.Topic, k) {
		return fmt.Errorf("append to %s-%d: the topic has %d partitions", r.Topic, r.Partition, k.partitions)
	}
	return nil
}

// recordBytes is about the size of a record alone in a batch, as Kafka's own producer counts it.
func recordBytes(r *topic.Record) int64 {
	const batch, record, header = 61, 21, 10
	n := batch + record + r.Key.Len() + r.Value.Len()
	for i := range r.Headers {
		n += header + len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return int64(n)
}

// push queues a unit, also one that failed already, because done is called in order and never from inside Append. It says
// whether the records are to be sent.
func (l *Log) push(u *unit) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if u.err == nil && !u.barrier {
		u.err = l.refusalLocked(u)
	}
	if u.err != nil && u.mark.Key != "" && l.refused[u.mark.Key] == nil {
		l.refused[u.mark.Key] = u.err
	}
	send := u.err == nil
	l.queue = append(l.queue, u)
	if !l.settling {
		l.settling, l.idle = true, make(chan struct{})
		if l.txn != nil {
			go l.transact()
		} else {
			go l.settle()
		}
	} else if l.txn != nil {
		l.txn.stir()
	}
	return send
}

// refusalLocked is why a unit cannot be sent. The caller holds mu.
func (l *Log) refusalLocked(u *unit) error {
	if l.closing {
		return topic.ErrClosed
	}
	if cause := l.refused[u.mark.Key]; cause != nil {
		return fmt.Errorf("%w: %w", errStale, cause)
	}
	return nil
}

// failLocked remembers that a unit of a source has failed, in its turn. I3: later ones must fail too until the source has
// begun again, also those whose records Kafka has taken already. The caller holds mu.
func (l *Log) failLocked(u *unit, err error) {
	for _, m := range []map[string]error{l.refused, l.failed} {
		if u.mark.Key != "" && m[u.mark.Key] == nil {
			m[u.mark.Key] = err
		}
	}
}

// markInterval is the least time between two writes of marks while units follow each other closely: each write takes a
// round trip to a disk or a broker, which the units behind it can share.
const markInterval = 5 * time.Millisecond

// settle settles units in order until there is none: it waits for the acknowledgements of the first, takes those behind
// it that have theirs too, stores their marks at once, and calls done.
func (l *Log) settle() {
	var taken []*unit
	var marks []topic.Mark
	for {
		l.mu.Lock()
		if len(l.queue) == 0 {
			l.settling = false
			close(l.idle)
			l.idle = nil
			l.mu.Unlock()
			return
		}
		first, pause := l.queue[0], time.Until(l.marked.Add(markInterval))
		hurry := l.closing || first.barrier
		l.mu.Unlock()
		<-first.acked
		if pause > 0 && !hurry {
			time.Sleep(pause)
		}
		taken = append(taken[:0], first)
		l.mu.Lock()
		n := 1
		for n < len(l.queue) && l.queue[n].hasAcked() {
			taken = append(taken, l.queue[n])
			n++
		}
		l.queue = append(l.queue[:0], l.queue[n:]...)
		l.mu.Unlock()
		if marks = l.conclude(taken, marks[:0]); len(marks) > 0 {
			l.mu.Lock()
			l.marked = time.Now()
			l.mu.Unlock()
		}
		clear(taken)
	}
}

// hasAcked takes the word that all is acknowledged, if it has come.
func (u *unit) hasAcked() bool {
	select {
	case <-u.acked:
		return true
	default:
		return false
	}
}

// conclude decides what becomes of units whose acknowledgements have come, in order. I1: a mark is stored only here, after
// the acknowledgements of its unit and of all before it.
func (l *Log) conclude(units []*unit, marks []topic.Mark) []topic.Mark {
	l.mu.Lock()
	for _, u := range units {
		switch cause := l.failed[u.mark.Key]; {
		case u.barrier:
		case u.failure != nil:
			u.err = l.sendError(u.culprit, u.failure)
			l.failLocked(u, u.err)
		case u.err != nil:
			l.failLocked(u, u.err)
		case cause != nil:
			u.err = fmt.Errorf("%w: %w", errStale, cause)
		case u.mark.Key != "":
			marks = appendMark(marks, u.mark)
		}
	}
	l.mu.Unlock()
	if len(marks) > 0 {
		if err := l.o.Marks.PutMarks(context.Background(), marks); err != nil {
			err = fmt.Errorf("store the positions: %w", err)
			l.mu.Lock()
			for _, u := range units {
				if u.err == nil && u.mark.Key != "" {
					u.err = err
					l.failLocked(u, err)
				}
			}
			l.mu.Unlock()
		}
	}
	for _, u := range units {
		l.finish(u)
	}
	return marks
}

// appendMark adds a mark, in the place of an earlier one of its key: units settled together become durable together.
func appendMark(marks []topic.Mark, m topic.Mark) []topic.Mark {
	for i := range marks {
		if marks[i].Key == m.Key {
			marks[i].Value = m.Value
			return marks
		}
	}
	return append(marks, m)
}

// finish calls done, and keeps the unit for another one.
func (l *Log) finish(u *unit) {
	cost, err, done := u.cost, u.err, u.done
	if err == nil && !u.barrier { // else a promise of the client may still come
		u.records, u.free, u.mark, u.done, u.cost, u.ctx = nil, nil, topic.Mark{}, nil, 0, nil
		u.left.Store(1)
		l.units.Put(u)
	}
	if cost > 0 {
		l.budget.Release(cost)
	}
	done(err)
}
