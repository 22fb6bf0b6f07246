// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// MaxBatchBytes is the size from which on a batch should be committed rather than filled further. A single value may
// make it larger. Pebble keeps batches of more than half a write buffer outside of it, which is slower.
const MaxBatchBytes = 1 << 20

// Batch collects writes that become durable at once. It is used by one goroutine. Its methods copy what they are given.
type Batch struct {
	db    *DB
	b     *pebble.Batch
	epoch uint64
	key   []byte // reused
	val   []byte // reused
	err   error  // the first one, returned by Commit
	n     int    // writes collected, also where the DB is failed and takes none
}

// NewBatch makes an empty batch. On a failed DB Commit returns why.
func (db *DB) NewBatch() *Batch {
	b := &Batch{db: db}
	b.Reset()
	return b
}

// Reset empties the batch for new use and keeps its memory. A batch from before a Reopen is made new.
func (b *Batch) Reset() {
	b.err, b.n = nil, 0
	b.db.mu.RLock()
	defer b.db.mu.RUnlock()
	if b.b != nil && b.epoch == b.db.epoch {
		b.b.Reset()
		return
	}
	// A batch of a closed Pebble is left to the garbage collector.
	b.b, b.epoch = nil, b.db.epoch
	b.open(4 << 10)
}

// Reserve makes room for about n bytes in an empty batch, so that a large one does not grow in steps, each a copy.
func (b *Batch) Reserve(n int) {
	if n <= 2*MaxBatchBytes || !b.Empty() {
		return
	}
	b.db.mu.RLock()
	defer b.db.mu.RUnlock()
	if b.b != nil && b.epoch == b.db.epoch {
		b.open(n + 4<<10)
	}
}

// open makes a batch of Pebble's.
func (b *Batch) open(size int) {
	if b.db.p != nil {
		b.b = b.db.p.NewBatch(pebble.WithInitialSizeBytes(size), pebble.WithMaxRetainedSizeBytes(2*MaxBatchBytes))
	}
}

// flushedBatch is from where on a batch does not wait in memory for being written to tables: the next one may be as large.
const flushedBatch = 16 << 20

// Empty says whether nothing was collected.
func (b *Batch) Empty() bool { return b.n == 0 }

// Commit makes the batch durable: when it returns nil, all of it is on disk. After an error the DB is failed, and after
// Reopen all of the batch is there or nothing of it.
func (b *Batch) Commit() error {
	db := b.db
	db.mu.RLock()
	defer db.mu.RUnlock()
	if err := db.errLocked(); err != nil {
		return err
	}
	if b.err != nil {
		return b.err
	}
	if b.epoch != db.epoch {
		return fmt.Errorf("commit to data folder %q: the batch is from before it was opened again", db.dir)
	}
	large := b.b.Len() > flushedBatch
	if err := db.p.Apply(b.b, pebble.Sync); err != nil {
		db.fence.fail("commit", err)
	}
	if large && db.fence.err.Load() == nil {
		if err := db.p.Flush(); err != nil {
			db.fence.fail("flush", err)
		}
	}
	// Pebble says that it worked even where its writes were swallowed; the fence knows.
	if e := db.fence.err.Load(); e != nil {
		return e
	}
	return nil
}

// put adds a key and its value. They are usually b.key and b.val.
func (b *Batch) put(key, value []byte) {
	b.key, b.val = key[:0], value[:0]
	b.n++
	if b.b == nil {
		return // Commit will say why
	}
	if err := b.b.Set(key, value, nil); err != nil && b.err == nil {
		b.err = err
	}
}

func (b *Batch) delete(key []byte) {
	b.key = key[:0]
	b.n++
	if b.b == nil {
		return
	}
	if err := b.b.Delete(key, nil); err != nil && b.err == nil {
		b.err = err
	}
}

func (b *Batch) deleteRange(from, to []byte) {
	b.n++
	if b.b == nil {
		return
	}
	if err := b.b.DeleteRange(from, to, nil); err != nil && b.err == nil {
		b.err = err
	}
}

// partBytes is how much of a chunk one value holds. Pebble copies a value several times over when it writes a table.
const partBytes = 4 << 20

// PutChunk adds a chunk of records and what is known of it. Its value is made of pieces; nothing is copied twice.
func (b *Batch) PutChunk(partition uint32, c ChunkInfo, pieces ...[]byte) {
	b.n++
	if b.b == nil {
		return
	}
	size := 0
	for _, p := range pieces {
		size += len(p)
	}
	in := pieceReader{pieces: pieces}
	if size <= partBytes {
		b.putPieces(appendBase(b.key[:0], spaceChunk, partition, c.Base), &in, size)
	} else {
		for part, left := uint16(0), size; left > 0; part++ {
			n := min(left, partBytes)
			if left -= n; left == 0 {
				part |= lastPart
			}
			b.putPieces(appendPart(b.key[:0], partition, c.Base, part), &in, n)
		}
	}
	v := binary.AppendVarint(b.val[:0], c.MaxMillis)
	v = binary.AppendUvarint(v, uint64(c.Count))
	v = binary.AppendUvarint(v, uint64(size))
	b.put(appendBase(b.key[:0], spaceInfo, partition, c.Base), v)
}

// putPieces sets a key to the next n bytes of in.
func (b *Batch) putPieces(key []byte, in *pieceReader, n int) {
	op := b.b.SetDeferred(len(key), n)
	copy(op.Key, key)
	in.read(op.Value)
	b.key = key[:0]
	if err := op.Finish(); err != nil && b.err == nil {
		b.err = err
	}
}

// pieceReader reads pieces one after another.
type pieceReader struct {
	pieces [][]byte
	at     int // of the first piece
}

// read fills dst.
func (r *pieceReader) read(dst []byte) {
	for len(dst) > 0 {
		n := copy(dst, r.pieces[0][r.at:])
		dst, r.at = dst[n:], r.at+n
		if r.at == len(r.pieces[0]) {
			r.pieces, r.at = r.pieces[1:], 0
		}
	}
}

// DeleteChunks deletes the chunks of a partition that begin before offset to, and makes to its first offset.
func (b *Batch) DeleteChunks(partition uint32, to int64) {
	for _, space := range []byte{spaceChunk, spaceInfo} {
		b.deleteRange(appendBase(nil, space, partition, 0), appendBase(nil, space, partition, to))
	}
	b.put(appendPartition(b.key[:0], spaceStart, partition), binary.AppendUvarint(b.val[:0], uint64(to)))
}

// PutTopic adds a topic or changes it.
func (b *Batch) PutTopic(t Topic) {
	v, err := json.Marshal(t)
	if err != nil && b.err == nil {
		b.err = err
	}
	b.put(appendName(b.key[:0], spaceTopic, t.Name), v)
}

// DeleteTopic deletes a topic and all chunks of it. Offsets of groups are deleted by DeleteGroupOffset.
func (b *Batch) DeleteTopic(t Topic) {
	b.delete(appendName(b.key[:0], spaceTopic, t.Name))
	for _, id := range t.Partitions {
		for _, space := range []byte{spaceChunk, spaceInfo} {
			from := appendPartition(nil, space, id)
			b.deleteRange(from, after(from))
		}
		b.delete(appendPartition(b.key[:0], spaceStart, id))
	}
}

// PutNextPartition keeps the id that the next partition will get.
func (b *Batch) PutNextPartition(id uint32) {
	b.put(append(b.key[:0], nextIDKey...), binary.AppendUvarint(b.val[:0], uint64(id)))
}

// PutHead adds a head under a reference.
func (b *Batch) PutHead(ref, id uint64, content []byte) {
	v := binary.BigEndian.AppendUint64(b.val[:0], id)
	b.put(appendHead(b.key[:0], ref), append(v, content...))
}

// PutMark sets a mark.
func (b *Batch) PutMark(key, value string) {
	b.put(appendName(b.key[:0], spaceMark, key), append(b.val[:0], value...))
}

// DeleteMark deletes a mark.
func (b *Batch) DeleteMark(key string) { b.delete(appendName(b.key[:0], spaceMark, key)) }

// PutGroupOffset sets the offset at which a group goes on.
func (b *Batch) PutGroupOffset(group string, partition uint32, offset int64) {
	b.put(appendGroupOffset(b.key[:0], group, partition), binary.AppendUvarint(b.val[:0], uint64(offset)))
}

// DeleteGroupOffset deletes a group's offset.
func (b *Batch) DeleteGroupOffset(group string, partition uint32) {
	b.delete(appendGroupOffset(b.key[:0], group, partition))
}

// errValue says that a stored value is not of its form.
func errValue(what string, key []byte) error {
	return joined{fmt.Errorf("%s at key %q cannot be read", what, key), ErrCorrupt}
}

// isNotFound tells a key without a value.
func isNotFound(err error) bool { return errors.Is(err, pebble.ErrNotFound) }
