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

// unit is a topic.Unit on its way: its records as the client wants them, in memory that is used again once it is settled.
// The client keeps pointers into it until it has called acknowledge for each record.
type unit struct {
	records []kgo.Record
	headers []kgo.RecordHeader
	arena   []byte // keys and values that had a head, joined
	mark    topic.Mark
	cost    int64 // taken from the budget
	done    func(error)
	barrier bool            // carries nothing: settles in its turn
	ctx     context.Context //nolint:containedctx // of whoever appended it, who waits for done

	left        atomic.Int64 // acknowledgements to come, and one for whoever sends
	acked       chan struct{}
	acknowledge func(*kgo.Record, error)
	// err is why the unit fails. It is written by whoever sends until it lets go, then by the client's promises, which
	// come one at a time; read once acked has come.
	err     error
	culprit *kgo.Record // the record that err is about, nil for none
}

// errStale is why units fail whose source has not asked for its mark since an earlier one failed.
var errStale = errors.New("an earlier unit of the source failed; it must begin again at its mark")

func newUnit() *unit {
	u := &unit{acked: make(chan struct{}, 1)}
	u.left.Store(1)
	u.acknowledge = func(r *kgo.Record, err error) {
		if err != nil && u.err == nil {
			u.err, u.culprit = err, r
		}
		u.letGo()
	}
	return u
}

// letGo counts down; the last one tells.
func (u *unit) letGo() {
	if u.left.Add(-1) == 0 {
		u.acked <- struct{}{}
	}
}

// Append queues a unit and hands its records to the producer.
func (l *Log) Append(ctx context.Context, in topic.Unit, done func(error)) {
	u := l.units.Get().(*unit)
	u.mark, u.done, u.cost, u.ctx = in.Mark, done, min(costOf(&in), l.o.MaxBytes), ctx
	if u.err = ctx.Err(); u.err == nil {
		u.err = l.acquire(ctx, u.cost)
	}
	if u.err != nil {
		u.cost = 0
	} else if u.err = l.check(ctx); u.err == nil {
		u.err = l.prepare(ctx, u, in.Records)
	}
	if l.push(u) && l.txn == nil {
		u.left.Add(int64(len(u.records)))
		for i := range u.records {
			l.producer.Produce(ctx, &u.records[i], u.acknowledge)
		}
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
	const perRecord = 200 // the client's own
	n := 1 + len(u.Mark.Key) + len(u.Mark.Value)
	for i := range u.Records {
		r := &u.Records[i]
		n += perRecord + r.Key.Len() + r.Value.Len()
		for j := range r.Headers {
			n += len(r.Headers[j].Key) + len(r.Headers[j].Value)
		}
	}
	return int64(n)
}

// prepare makes the client's records. An error refuses the unit as a whole: nothing of it is sent.
func (l *Log) prepare(ctx context.Context, u *unit, records []topic.Record) error {
	joined, headers := 0, 0
	for i := range records {
		r := &records[i]
		headers += len(r.Headers)
		if r.Key.Head != nil {
			joined += r.Key.Len()
		}
		if r.Value.Head != nil {
			joined += r.Value.Len()
		}
	}
	// All of it at once: the records keep slices of both.
	if cap(u.arena) < joined || u.arena == nil {
		u.arena = make([]byte, 0, max(joined, 1))
	}
	if cap(u.headers) < headers {
		u.headers = make([]kgo.RecordHeader, 0, headers)
	}
	if cap(u.records) < len(records) {
		u.records = make([]kgo.Record, 0, len(records))
	}
	u.arena, u.headers, u.records = u.arena[:0], u.headers[:0], u.records[:len(records)]
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
		u.fill(&u.records[i], r)
	}
	return nil
}

// fill makes out the record r.
func (u *unit) fill(out *kgo.Record, r *topic.Record) {
	*out = kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: u.join(r.Key), Value: u.join(r.Value)}
	if r.TimeMillis != 0 {
		out.Timestamp = time.UnixMilli(r.TimeMillis)
	}
	if len(r.Headers) == 0 {
		return
	}
	from := len(u.headers)
	for _, h := range r.Headers {
		u.headers = append(u.headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	out.Headers = u.headers[from:len(u.headers):len(u.headers)]
}

// join is the wire form of d: its own bytes where it has no head, else a part of the arena.
func (u *unit) join(d topic.Data) []byte {
	if d.Head == nil {
		return d.Body
	}
	from := len(u.arena)
	u.arena = d.AppendTo(u.arena)
	return u.arena[from:len(u.arena):len(u.arena)]
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
		first := l.queue[0]
		l.mu.Unlock()
		<-first.acked
		taken = append(taken[:0], first)
		l.mu.Lock()
		n := 1
		for n < len(l.queue) && l.queue[n].hasAcked() {
			taken = append(taken, l.queue[n])
			n++
		}
		l.queue = append(l.queue[:0], l.queue[n:]...)
		l.mu.Unlock()
		marks = l.conclude(taken, marks[:0])
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
		case u.err != nil:
			if u.culprit != nil {
				u.err = l.sendError(u.culprit, u.err)
			}
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

// finish calls done, and keeps the unit's memory for another one where the client is sure to have let go of it.
func (l *Log) finish(u *unit) {
	const keep = 16 << 20
	cost, err, done := u.cost, u.err, u.done
	clear(u.records)
	clear(u.headers)
	again := err == nil && !u.barrier && cap(u.arena) <= keep
	if again {
		u.mark, u.done, u.cost, u.ctx = topic.Mark{}, nil, 0, nil
		u.records, u.headers = u.records[:0], u.headers[:0]
		u.left.Store(1)
		l.units.Put(u)
	}
	if cost > 0 {
		l.budget.Release(cost)
	}
	done(err)
}
