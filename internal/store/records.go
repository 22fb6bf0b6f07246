// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// Topic is a topic as it is kept.
type Topic struct {
	Name            string   `json:"name"`
	Partitions      []uint32 `json:"partitions"` // ids, by partition number
	RetentionMillis int64    `json:"retention.ms"`
	RetentionBytes  int64    `json:"retention.bytes"`
}

// ChunkInfo is what is known of a chunk without reading it.
type ChunkInfo struct {
	Base      int64 // offset of its first record
	Count     int64 // of records; their offsets follow each other
	MaxMillis int64 // newest time of its records, ms since the epoch
	Bytes     int64 // size of its value; given by the store
}

// scan calls f with each key that has the prefix and its value, in order, until f says no. Both are valid until f
// returns. from, if not nil, is where to begin.
func (db *DB) scan(op string, prefix, from []byte, f func(key, value []byte) (more bool, err error)) error {
	return db.read(op, func(p *pebble.DB) error {
		it, err := p.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
		if err != nil {
			return err
		}
		defer func() { _ = it.Close() }()
		ok := it.SeekGE(maxKey(prefix, from))
		for ; ok; ok = it.Next() {
			v, err := it.ValueAndErr()
			if err != nil {
				return err
			}
			if more, err := f(it.Key(), v); err != nil || !more {
				return err
			}
		}
		return it.Error()
	})
}

func maxKey(prefix, from []byte) []byte {
	if from == nil {
		return prefix
	}
	return from
}

// get calls f with the value of a key, which is valid until f returns. found says whether there is one.
func (db *DB) get(op string, key []byte, f func(value []byte) error) (found bool, err error) {
	err = db.read(op, func(p *pebble.DB) error {
		v, closer, err := p.Get(key)
		if isNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		defer func() { _ = closer.Close() }()
		found = true
		return f(v)
	})
	return found && err == nil, err
}

// Topics returns all topics by name.
func (db *DB) Topics() ([]Topic, error) {
	var out []Topic
	err := db.scan("read topics", []byte{spaceTopic}, nil, func(k, v []byte) (bool, error) {
		var t Topic
		if err := json.Unmarshal(v, &t); err != nil {
			return false, errValue("topic", k)
		}
		out = append(out, t)
		return true, nil
	})
	return out, err
}

// NextPartition is the id that the next partition gets, 1 in an empty folder.
func (db *DB) NextPartition() (uint32, error) {
	id := uint64(1)
	_, err := db.get("read partition ids", nextIDKey, func(v []byte) error { return uvarint(nextIDKey, v, &id) })
	return uint32(id), err
}

// Range returns the first offset kept of a partition and the next one to be written.
func (db *DB) Range(partition uint32) (start, end int64, err error) {
	key := appendPartition(nil, spaceStart, partition)
	var first uint64
	if _, err := db.get("read a start offset", key, func(v []byte) error { return uvarint(key, v, &first) }); err != nil {
		return 0, 0, err
	}
	start, end = int64(first), int64(first)
	err = db.read("read an end offset", func(p *pebble.DB) error {
		prefix := appendPartition(nil, spaceInfo, partition)
		it, err := p.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
		if err != nil {
			return err
		}
		defer func() { _ = it.Close() }()
		if !it.Last() {
			return it.Error()
		}
		c, err := chunkInfo(it.Key(), it.Value())
		end = max(end, c.Base+c.Count)
		return err
	})
	return start, end, err
}

// Chunks calls f with the chunks of a partition from the one that holds offset on, in order, until f says no. value is
// valid until f returns.
func (db *DB) Chunks(partition uint32, offset int64, f func(base int64, value []byte) (more bool, err error)) error {
	return db.read("read records", func(p *pebble.DB) error {
		var lower, upper, seek [baseKeyLen]byte
		prefix := appendPartition(lower[:0], spaceChunk, partition)
		it, err := p.NewIter(&pebble.IterOptions{
			LowerBound: prefix, UpperBound: appendPartition(upper[:0], spaceChunk, partition+1),
		})
		if err != nil {
			return err
		}
		defer func() { _ = it.Close() }()
		// The chunk that holds offset is the last one that begins at or before it; without one, reading begins at the
		// first.
		ok := it.SeekLT(appendBase(seek[:0], spaceChunk, partition, offset+1))
		if !ok {
			ok = it.First()
		}
		if _, isPart := partOf(it.Key()); ok && isPart { // the last one
			ok = it.SeekGE(appendBase(seek[:0], spaceChunk, partition, baseOf(it.Key())))
		}
		for ; ok; ok = it.Next() {
			base := baseOf(it.Key())
			v, err := chunkAt(it)
			if err != nil {
				return err
			}
			if more, err := f(base, v); err != nil || !more {
				return err
			}
		}
		return it.Error()
	})
}

// chunkAt is the chunk that begins at the iterator's place, which moves to its last part where it has parts.
func chunkAt(it *pebble.Iterator) ([]byte, error) {
	v, err := it.ValueAndErr()
	part, parts := partOf(it.Key())
	if err != nil || !parts {
		return v, err
	}
	base, whole := baseOf(it.Key()), append([]byte{}, v...)
	for want := uint16(0); ; want++ {
		if part&^lastPart != want || baseOf(it.Key()) != base {
			return nil, errValue("part of a chunk", it.Key())
		}
		if want > 0 {
			if v, err = it.ValueAndErr(); err != nil {
				return nil, err
			}
			whole = append(whole, v...)
		}
		if part&lastPart != 0 {
			return whole, nil
		}
		if !it.Next() {
			return nil, errors.Join(it.Error(), errValue("chunk", appendBase(nil, spaceChunk, 0, base)))
		}
		if part, parts = partOf(it.Key()); !parts {
			return nil, errValue("part of a chunk", it.Key())
		}
	}
}

// ChunkInfos calls f with what is known of a partition's chunks from offset on, in order, until f says no.
func (db *DB) ChunkInfos(partition uint32, offset int64, f func(ChunkInfo) (more bool)) error {
	prefix := appendPartition(nil, spaceInfo, partition)
	from := appendBase(nil, spaceInfo, partition, offset)
	return db.scan("read the index", prefix, from, func(k, v []byte) (bool, error) {
		c, err := chunkInfo(k, v)
		return err == nil && f(c), err
	})
}

func chunkInfo(key, value []byte) (ChunkInfo, error) {
	t, n := binary.Varint(value)
	count, m := binary.Uvarint(value[max(n, 0):])
	size, k := binary.Uvarint(value[max(n, 0)+max(m, 0):])
	if n <= 0 || m <= 0 || k <= 0 || len(key) != baseKeyLen {
		return ChunkInfo{}, errValue("index entry", key)
	}
	return ChunkInfo{Base: baseOf(key), Count: int64(count), MaxMillis: t, Bytes: int64(size)}, nil
}

// Head returns the id and a copy of the content of a head. found says whether there is one.
func (db *DB) Head(ref uint64) (id uint64, content []byte, found bool, err error) {
	key := appendHead(nil, ref)
	found, err = db.get("read a head", key, func(v []byte) error {
		if len(v) < 8 {
			return errValue("head", key)
		}
		id = binary.BigEndian.Uint64(v)
		content = append([]byte{}, v[8:]...)
		return nil
	})
	return id, content, found, err
}

// Mark returns a mark, "" if there is none.
func (db *DB) Mark(key string) (string, error) {
	return db.text("read a mark", spaceMark, key)
}

// Marks calls f with the marks whose key begins with prefix, by key.
func (db *DB) Marks(prefix string, f func(key, value string)) error {
	return db.scan("read marks", appendName(nil, spaceMark, prefix), nil, func(k, v []byte) (bool, error) {
		f(string(k[1:]), string(v))
		return true, nil
	})
}

// GroupOffsets calls f with all committed offsets.
func (db *DB) GroupOffsets(f func(group string, partition uint32, offset int64)) error {
	return db.scan("read group offsets", []byte{spaceGroup}, nil, func(k, v []byte) (bool, error) {
		group, partition, ok := splitGroupOffset(k)
		var offset uint64
		if !ok {
			return false, errValue("group offset", k)
		}
		if err := uvarint(k, v, &offset); err != nil {
			return false, err
		}
		f(group, partition, int64(offset))
		return true, nil
	})
}

func (db *DB) text(op string, space byte, name string) (string, error) {
	var s string
	_, err := db.get(op, appendName(nil, space, name), func(v []byte) error {
		s = string(v)
		return nil
	})
	return s, err
}

func uvarint(key, value []byte, to *uint64) error {
	u, n := binary.Uvarint(value)
	if n <= 0 {
		return errValue("number", key)
	}
	*to = u
	return nil
}
