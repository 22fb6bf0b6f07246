// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"

	"freshet/emitter/topic"
)

const (
	// parcelBytes is about what a parcel takes up, unless one record does more. A request has no more either.
	parcelBytes = 1 << 20
	// smallBytes is the most that a small parcel takes up.
	smallBytes = 32 << 10
	// windowBytes is about what the parcels of a Log take up together: five requests on their way, as many as an idempotent
	// producer may have, and what waits for them.
	windowBytes = 8 * parcelBytes
	// recordOverhead is about what the client needs for a record beside its bytes.
	recordOverhead = 200
)

// parcel is a part of a unit as the client wants it: each record in one piece, where those of a unit share their heads. The
// memory is used again as soon as its records are acknowledged; until then the client keeps pointers into it. Together they
// are bounded, so that values with schemas, which are mostly head, take up little however many units are under way.
type parcel struct {
	unit    *unit
	size    int64 // taken from the window
	records []kgo.Record
	headers []kgo.RecordHeader
	arena   []byte // keys and values that had a head, joined

	left        atomic.Int64 // acknowledgements to come
	failed      bool
	acknowledge func(*kgo.Record, error)
}

// dispatcher hands out parcels.
type dispatcher struct {
	window       *semaphore.Weighted
	small, large sync.Pool // of *parcel
}

func newDispatcher() *dispatcher {
	d := &dispatcher{window: semaphore.NewWeighted(windowBytes)}
	d.small.New = func() any { return d.newParcel() }
	d.large.New = func() any { return d.newParcel() }
	return d
}

// pool is where parcels of a size come from. Those that hold little are many: they may not keep much memory.
func (d *dispatcher) pool(size int) *sync.Pool {
	if size <= smallBytes {
		return &d.small
	}
	return &d.large
}

func (d *dispatcher) newParcel() *parcel {
	p := &parcel{}
	p.acknowledge = func(r *kgo.Record, err error) {
		if err != nil {
			p.failed = true
			if p.unit.failure == nil {
				p.unit.failure, p.unit.culprit = err, r
			}
		}
		if p.left.Add(-1) == 0 {
			d.takeBack(p)
		}
	}
	return p
}

// takeBack keeps the memory of a parcel for another one, unless it failed: then the client may still look at it, and so does
// who reports the culprit.
func (d *dispatcher) takeBack(p *parcel) {
	u, size := p.unit, p.size
	if !p.failed {
		p.empty()
		if cap(p.arena) <= 2*parcelBytes {
			d.pool(int(size)).Put(p)
		}
	}
	d.window.Release(min(size, windowBytes))
	u.letGo()
}

func (p *parcel) empty() {
	clear(p.records)
	clear(p.headers)
	p.unit, p.records, p.headers, p.arena = nil, p.records[:0], p.headers[:0], p.arena[:0]
}

// send hands a unit to a client, as there is room. Each parcel that is on its way holds the unit. An error says that the
// rest was not sent.
func (d *dispatcher) send(ctx context.Context, client *kgo.Client, u *unit) error {
	for rest := u.records; len(rest) > 0; {
		l := measure(rest)
		if err := d.window.Acquire(ctx, min(int64(l.size), windowBytes)); err != nil {
			return err
		}
		p := d.pool(l.size).Get().(*parcel)
		p.load(rest[:l.records], l)
		rest = rest[l.records:]
		p.unit, p.size = u, int64(l.size)
		p.left.Store(int64(l.records))
		u.left.Add(1)
		for i := range p.records {
			client.Produce(ctx, &p.records[i], p.acknowledge)
		}
	}
	return nil
}

// load is what goes into a parcel.
type load struct {
	records, headers int
	joined, size     int // bytes
}

// measure finds how many of the first of records fit into a parcel, at least one.
func measure(records []topic.Record) load {
	var l load
	for i := range records {
		r := &records[i]
		key, value := r.Key.Len(), r.Value.Len()
		size := recordOverhead + key + value
		if i > 0 && l.size+size > parcelBytes {
			break
		}
		l.size += size
		l.records++
		l.headers += len(r.Headers)
		if r.Key.Head != nil {
			l.joined += key
		}
		if r.Value.Head != nil {
			l.joined += value
		}
	}
	return l
}

// load fills the parcel with records.
func (p *parcel) load(records []topic.Record, l load) {
	// All of it at once: the records keep slices of both.
	p.arena, p.headers, p.records = slices.Grow(p.arena, l.joined), slices.Grow(p.headers, l.headers), slices.Grow(p.records, l.records)[:l.records]
	for i := range p.records {
		p.fill(&p.records[i], &records[i])
	}
}

// fill makes out the record r.
func (p *parcel) fill(out *kgo.Record, r *topic.Record) {
	out.Topic, out.Partition, out.Key, out.Value = r.Topic, r.Partition, p.join(r.Key), p.join(r.Value)
	if r.TimeMillis != 0 {
		out.Timestamp = time.UnixMilli(r.TimeMillis)
	}
	if len(r.Headers) == 0 {
		return
	}
	from := len(p.headers)
	for _, h := range r.Headers {
		p.headers = append(p.headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	out.Headers = p.headers[from:len(p.headers):len(p.headers)]
}

// join is the wire form of d: its own bytes where it has no head, else a part of the arena.
func (p *parcel) join(d topic.Data) []byte {
	if d.Head == nil {
		return d.Body
	}
	from := len(p.arena)
	p.arena = d.AppendTo(p.arena)
	return p.arena[from:len(p.arena):len(p.arena)]
}
