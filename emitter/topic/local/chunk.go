// SPDX-License-Identifier: Apache-2.0

package local

import (
	"bytes"
	"encoding/binary"

	"freshet/emitter/topic"
	"freshet/internal/store"
)

// A chunk holds records of one partition whose offsets follow each other. Its value is
//
//	byte     2, the version of this form; 1 is the same without flagSameHeaders, 3 is packed
//	uvarint  number of records
//	varint   time of the first record, ms since the epoch
//	uvarint  number of heads, then their references, 8 bytes each, little-endian
//	records
//
// and a record is
//
//	byte     flags
//	varint   ms since the time of the chunk
//	byte     which of the chunk's heads the key has, with flagKeyHead
//	bytes    body of the key, without flagKeyNull
//	byte     which of the chunk's heads the value has, with flagValueHead
//	bytes    body of the value, without flagValueNull
//	headers  with flagHeaders: uvarint number, then each key as bytes, and its value as bytes with 1 added to the
//	         length, or 0 for null; with flagSameHeaders nothing: they are those of the last record with flagHeaders
//
// where bytes are a uvarint length and that many bytes. Offsets are not in it: the key has the first one.
const (
	chunkVersion    = 2
	oldChunkVersion = 1
	// chunkBytes is where a chunk ends and the next one begins. A larger record has a chunk of its own. Pebble uses its
	// buffers again for values up to 256 KiB only.
	chunkBytes = 128 << 10
	// maxChunkHeads is what a byte can number.
	maxChunkHeads = 256

	flagKeyNull     = 1 << 0
	flagKeyHead     = 1 << 1
	flagValueNull   = 1 << 2
	flagValueHead   = 1 << 3
	flagHeaders     = 1 << 4
	flagSameHeaders = 1 << 5
)

// chunk is one being encoded. It belongs to the unit it is of, and its memory is used again.
type chunk struct {
	part    *partition
	count   int64
	first   int64 // ms, time of the first record
	newest  int64 // ms
	heads   []*topic.Head
	refs    []uint64       // of heads
	headers []topic.Header // of the last record that has its own: most records share a few headers of some length
	records []byte
	packed  []byte // the records compressed, empty where they are stored as they are
	// large is the body of a large value, which is not copied: it stands between records and after. The chunk is full then.
	large, after []byte
}

func (c *chunk) reset() {
	clear(c.heads)
	*c = chunk{heads: c.heads[:0], refs: c.refs[:0], records: c.records[:0], packed: c.packed[:0], after: c.after[:0]}
}

// size is how long what is stored behind the prefix is.
func (c *chunk) size() int { return len(c.stored()) + len(c.large) + len(c.after) }

// fits says whether the record can go into the chunk.
func (c *chunk) fits(r *topic.Record) bool {
	return c.count == 0 || c.large == nil && len(c.records)+len(r.Value.Body) <= chunkBytes && len(c.heads) <= maxChunkHeads-2
}

// add encodes a record. ref gives the reference under which a head is stored.
func (c *chunk) add(r *topic.Record, millis int64, ref func(*topic.Head) (uint64, error)) error {
	if c.count == 0 {
		c.first, c.newest = millis, millis
	}
	var flags byte
	var key, value int
	var err error
	if flags, key, err = c.flags(flags, r.Key, flagKeyNull, flagKeyHead, ref); err != nil {
		return err
	}
	if flags, value, err = c.flags(flags, r.Value, flagValueNull, flagValueHead, ref); err != nil {
		return err
	}
	if len(r.Headers) > 0 {
		flags |= flagHeaders
		if sameHeaders(c.headers, r.Headers) {
			flags ^= flagHeaders | flagSameHeaders
		}
	}
	b := append(c.records, flags)
	b = binary.AppendVarint(b, millis-c.first)
	b = appendData(b, r.Key, key)
	if c.count == 0 && len(r.Value.Body) > maxPacked {
		c.large = r.Value.Body
		b = appendSize(b, r.Value, value)
		c.records, b = b, c.after[:0]
	} else {
		b = appendData(b, r.Value, value)
	}
	if flags&flagHeaders != 0 {
		b = appendHeaders(b, r.Headers)
		c.headers = r.Headers
	}
	if c.large != nil {
		c.after = b
	} else {
		c.records = b
	}
	c.count++
	c.newest = max(c.newest, millis)
	return nil
}

// flags tells how d is stored: with which flags, and which head of the chunk it has.
func (c *chunk) flags(flags byte, d topic.Data, null, withHead byte, ref func(*topic.Head) (uint64, error)) (
	byte, int, error,
) {
	if d.Head == nil {
		if d.Body == nil {
			flags |= null
		}
		return flags, 0, nil
	}
	for i, h := range c.heads {
		if h == d.Head {
			return flags | withHead, i, nil
		}
	}
	r, err := ref(d.Head)
	c.heads, c.refs = append(c.heads, d.Head), append(c.refs, r)
	return flags | withHead, len(c.heads) - 1, err
}

func appendData(dst []byte, d topic.Data, head int) []byte {
	if d.Head == nil && d.Body == nil {
		return dst
	}
	return append(appendSize(dst, d, head), d.Body...)
}

// appendSize appends what comes before a body.
func appendSize(dst []byte, d topic.Data, head int) []byte {
	if d.Head != nil {
		dst = append(dst, byte(head))
	}
	return binary.AppendUvarint(dst, uint64(len(d.Body)))
}

// sameHeaders compares headers, quickly where they are one slice, as those that a connector gives all its records.
func sameHeaders(a, b []topic.Header) bool {
	if len(a) != len(b) {
		return false
	}
	if &a[0] == &b[0] {
		return true
	}
	for i := range a {
		if a[i].Key != b[i].Key || (a[i].Value == nil) != (b[i].Value == nil) || !bytes.Equal(a[i].Value, b[i].Value) {
			return false
		}
	}
	return true
}

func appendHeaders(dst []byte, hs []topic.Header) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(hs)))
	for i := range hs {
		dst = binary.AppendUvarint(dst, uint64(len(hs[i].Key)))
		dst = append(dst, hs[i].Key...)
		if hs[i].Value == nil {
			dst = append(dst, 0)
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(len(hs[i].Value))+1)
		dst = append(dst, hs[i].Value...)
	}
	return dst
}

// appendPrefix appends what comes before the records.
func (c *chunk) appendPrefix(dst []byte) []byte {
	version := byte(chunkVersion)
	if len(c.packed) > 0 {
		version = packedVersion
	}
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, uint64(c.count))
	dst = binary.AppendVarint(dst, c.first)
	dst = binary.AppendUvarint(dst, uint64(len(c.refs)))
	for _, r := range c.refs {
		dst = binary.LittleEndian.AppendUint64(dst, r)
	}
	return dst
}

// chunkReader decodes a chunk in place: what it returns is in the chunk's bytes.
type chunkReader struct {
	rest  []byte
	left  int64 // records not yet read
	next  int64 // offset of the next one
	first int64 // ms
	heads []*topic.Head
	same  []topic.Header // of the last record that has its own, for as long as headers is
	own   []byte         // where they stand in the chunk, to be read again once headers is gone
}

// start begins to read a plain chunk. head gives the head of a reference.
func (d *chunkReader) start(base int64, value []byte, head func(uint64) (*topic.Head, error)) error {
	d.left, d.next = 0, base
	clear(d.heads)
	d.heads, d.same, d.own = d.heads[:0], nil, nil
	if !knownChunk(value) || value[0] == packedVersion {
		return store.ErrCorrupt
	}
	d.rest = value[1:]
	count, ok := d.uvarint()
	if !ok || count > uint64(len(value)) { // a record has more than one byte
		return store.ErrCorrupt
	}
	first, n := binary.Varint(d.rest)
	if n <= 0 {
		return store.ErrCorrupt
	}
	d.first, d.rest = first, d.rest[n:]
	heads, ok := d.uvarint()
	if !ok || heads > maxChunkHeads || uint64(len(d.rest)) < 8*heads {
		return store.ErrCorrupt
	}
	for range heads {
		h, err := head(binary.LittleEndian.Uint64(d.rest))
		if err != nil {
			return err
		}
		d.heads, d.rest = append(d.heads, h), d.rest[8:]
	}
	d.left = int64(count)
	return nil
}

// read decodes the next record into r, but for its topic and partition. headers is where its headers are appended.
func (d *chunkReader) read(r *topic.Record, headers *headerSlab) error {
	if len(d.rest) == 0 {
		return store.ErrCorrupt
	}
	flags := d.rest[0]
	delta, n := binary.Varint(d.rest[1:])
	if n <= 0 {
		return store.ErrCorrupt
	}
	d.rest = d.rest[1+n:]
	r.Offset, r.TimeMillis, r.Headers = d.next, d.first+delta, nil
	var ok bool
	if r.Key, ok = d.data(flags&flagKeyNull != 0, flags&flagKeyHead != 0); !ok {
		return store.ErrCorrupt
	}
	if r.Value, ok = d.data(flags&flagValueNull != 0, flags&flagValueHead != 0); !ok {
		return store.ErrCorrupt
	}
	switch {
	case flags&flagHeaders != 0:
		d.own = d.rest
		if d.same, ok = d.headers(headers); !ok {
			return store.ErrCorrupt
		}
		r.Headers = d.same
	case flags&flagSameHeaders != 0:
		if r.Headers, ok = d.sameHeaders(headers); !ok {
			return store.ErrCorrupt
		}
	}
	d.next++
	d.left--
	return nil
}

func (d *chunkReader) data(null, withHead bool) (topic.Data, bool) {
	if null {
		return topic.Data{}, !withHead
	}
	var out topic.Data
	if withHead {
		if len(d.rest) == 0 || int(d.rest[0]) >= len(d.heads) {
			return out, false
		}
		out.Head, d.rest = d.heads[d.rest[0]], d.rest[1:]
	}
	n, ok := d.uvarint()
	if !ok {
		return out, false
	}
	out.Body, ok = d.bytes(n)
	return out, ok
}

func (d *chunkReader) headers(slab *headerSlab) ([]topic.Header, bool) {
	n, ok := d.uvarint()
	if !ok || n > uint64(len(d.rest)) {
		return nil, false
	}
	begin := len(slab.headers)
	for range n {
		size, ok := d.uvarint()
		if !ok {
			return nil, false
		}
		key, ok := d.bytes(size)
		if !ok {
			return nil, false
		}
		h := topic.Header{Key: slab.name(key)}
		if size, ok = d.uvarint(); !ok {
			return nil, false
		}
		if size > 0 {
			if h.Value, ok = d.bytes(size - 1); !ok {
				return nil, false
			}
		}
		slab.headers = append(slab.headers, h)
	}
	return slab.headers[begin:len(slab.headers):len(slab.headers)], true
}

// sameHeaders are the headers of the last record that has its own. They are read again where that was for another Poll.
func (d *chunkReader) sameHeaders(slab *headerSlab) ([]topic.Header, bool) {
	if d.same == nil {
		if d.own == nil {
			return nil, false
		}
		rest := d.rest
		d.rest = d.own
		var ok bool
		d.same, ok = d.headers(slab)
		d.rest = rest
		return d.same, ok
	}
	return d.same, true
}

func (d *chunkReader) uvarint() (uint64, bool) {
	u, n := binary.Uvarint(d.rest)
	if n <= 0 {
		return 0, false
	}
	d.rest = d.rest[n:]
	return u, true
}

// bytes takes n bytes, never nil. Their capacity ends with them, so that nobody appends over what follows.
func (d *chunkReader) bytes(n uint64) ([]byte, bool) {
	if n > uint64(len(d.rest)) {
		return nil, false
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b, true
}

// headerSlab holds the headers of the records of one Poll, and the few names that headers have.
type headerSlab struct {
	headers []topic.Header
	names   map[string]string
}

// maxHeaderNames bounds the names kept, in case they are not few.
const maxHeaderNames = 1000

func (s *headerSlab) reset() {
	clear(s.headers)
	s.headers = s.headers[:0]
}

func (s *headerSlab) name(b []byte) string {
	if n, ok := s.names[string(b)]; ok {
		return n
	}
	if s.names == nil || len(s.names) >= maxHeaderNames {
		s.names = make(map[string]string)
	}
	n := string(b)
	s.names[n] = n
	return n
}

// knownChunk says whether the chunk is of a version that can be read.
func knownChunk(value []byte) bool {
	return len(value) > 0 && value[0] >= oldChunkVersion && value[0] <= packedVersion
}

// chunkCount is the number of records of a chunk, and how many bytes it has as a plain one.
func chunkCount(value []byte) (count int64, size int, ok bool) {
	if !knownChunk(value) {
		return 0, 0, false
	}
	if size, ok = unpackedLen(value); !ok {
		return 0, 0, false
	}
	n, w := binary.Uvarint(value[1:])
	return int64(n), size, w > 0 && n <= uint64(size)
}
