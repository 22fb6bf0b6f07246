// SPDX-License-Identifier: Apache-2.0

package local

import (
	"errors"
	"fmt"

	"freshet/emitter/topic"
	"freshet/internal/store"
)

// reader reads chunks into buffers and decodes them there. Its records are valid until begin; buffers are used again.
type reader struct {
	log      *Log
	max      int   // records of a Poll
	maxBytes int64 // of a Poll

	records []topic.Record
	headers headerSlab
	bytes   int64    // read since begin
	chunks  []loaded // read and not yet decoded; after a Poll at most the rest of one
	used    [][]byte // buffers of records
	free    [][]byte // buffers to be used again
	dec     chunkReader
	current bool // dec is in the middle of chunks[0]
}

// loaded is a chunk in a buffer.
type loaded struct {
	o    *owned
	base int64
	buf  []byte
}

const (
	// keepBuffers and keepBytes bound the memory that a cursor keeps between Polls.
	keepBuffers = 32
	keepBytes   = 2 * chunkBytes
)

// begin ends the validity of the records and takes their memory back.
func (r *reader) begin() {
	clear(r.records)
	r.records = r.records[:0]
	r.headers.reset()
	r.dec.same = nil
	r.bytes = 0
	for _, b := range r.used {
		r.recycle(b)
	}
	clear(r.used)
	r.used = r.used[:0]
}

func (r *reader) recycle(b []byte) {
	if cap(b) <= keepBytes && len(r.free) < keepBuffers {
		r.free = append(r.free, b[:0])
	}
}

// room says whether the Poll may return more.
func (r *reader) room() bool {
	return len(r.records) < r.max && (r.bytes < r.maxBytes || len(r.records) == 0)
}

// load copies chunks of a partition into buffers: from its position on, below end, about as many as there is room for.
// Decoding is done later, because it may ask the store for a head.
func (r *reader) load(o *owned, end int64) (found bool, err error) {
	want := int64(r.max - len(r.records))
	err = r.log.db.Chunks(o.p.id, o.pos, func(base int64, value []byte) (bool, error) {
		if base >= end {
			return false, nil
		}
		count, size, ok := chunkCount(value)
		if !ok {
			return false, &DamageError{Partition: o.p.String(), Offset: base}
		}
		if base+count <= o.pos {
			return true, nil // ends before the position: what followed it was deleted
		}
		buf, err := unpack(r.buffer(size), value)
		if err != nil {
			r.recycle(buf)
			return false, damaged(o.p, base, err)
		}
		found = true
		r.chunks = append(r.chunks, loaded{o: o, base: base, buf: buf})
		r.bytes += int64(size)
		want -= base + count - max(base, o.pos)
		return want > 0 && r.bytes < r.maxBytes, nil
	})
	return found, err
}

func (r *reader) buffer(size int) []byte {
	for i, b := range r.free {
		if cap(b) >= size {
			last := len(r.free) - 1
			r.free[i], r.free[last] = r.free[last], nil
			r.free = r.free[:last]
			return b[:0]
		}
	}
	return make([]byte, 0, size)
}

// decode makes records of the loaded chunks, until there are max.
func (r *reader) decode() error {
	for len(r.chunks) > 0 && len(r.records) < r.max {
		c := r.chunks[0]
		o := c.o
		if !r.current {
			if err := r.dec.start(c.base, c.buf, r.log.heads.head); err != nil {
				return damaged(o.p, c.base, err)
			}
			r.current = true
			o.pos = max(o.pos, c.base)
		}
		for r.dec.left > 0 && len(r.records) < r.max {
			r.records = append(r.records, topic.Record{Topic: o.p.topic.name, Partition: o.p.number})
			rec := &r.records[len(r.records)-1]
			if err := r.dec.read(rec, &r.headers); err != nil {
				r.records = r.records[:len(r.records)-1]
				r.current = false // decoding begins anew, whatever is asked next
				return damaged(o.p, r.dec.next, err)
			}
			if rec.Offset < o.pos {
				r.records = r.records[:len(r.records)-1] // the position is in the middle of the chunk
				continue
			}
			o.pos = rec.Offset + 1
		}
		if r.dec.left > 0 {
			// The rest is for the next Poll, but its buffer is that of records given out now; it is used again when the
			// chunk is done.
			return nil
		}
		r.used = append(r.used, c.buf)
		r.pop()
	}
	return nil
}

// pop forgets the first loaded chunk.
func (r *reader) pop() {
	copy(r.chunks, r.chunks[1:])
	r.chunks[len(r.chunks)-1] = loaded{}
	r.chunks = r.chunks[:len(r.chunks)-1]
	r.current = false
}

// drop forgets what was loaded of a partition that has moved or been sought in. Records given out stay valid until
// begin, so the buffer waits for that.
func (r *reader) drop(p *partition) {
	for i := len(r.chunks) - 1; i >= 0; i-- {
		if r.chunks[i].o.p != p {
			continue
		}
		r.used = append(r.used, r.chunks[i].buf)
		r.chunks = append(r.chunks[:i], r.chunks[i+1:]...)
		if i == 0 {
			r.current = false
		}
	}
}

// DamageError is a record that should be there and cannot be read.
type DamageError struct {
	Partition string
	Offset    int64
}

// Error names the record and the next step.
func (e *DamageError) Error() string {
	return fmt.Sprintf("read %s at offset %d: %v; restore the data folder from a copy, or let the group go on behind it",
		e.Partition, e.Offset, store.ErrCorrupt)
}

// Unwrap is store.ErrCorrupt.
func (e *DamageError) Unwrap() error { return store.ErrCorrupt }

// Retriable is false: the disk says the same again.
func (e *DamageError) Retriable() bool { return false }

// damaged makes an error of one of decoding.
func damaged(p *partition, offset int64, err error) error {
	if errors.Is(err, store.ErrCorrupt) {
		return &DamageError{Partition: p.String(), Offset: offset}
	}
	return fmt.Errorf("read %s at offset %d: %w", p, offset, err)
}
