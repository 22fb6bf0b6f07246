// SPDX-License-Identifier: Apache-2.0

package store

import "encoding/binary"

// The key layout. Every key begins with one byte that names its space; integers in keys are big-endian, so that keys
// sort as numbers do. Spaces of small, often overwritten values come first and record chunks last: a flush then has
// one table of small values and tables of chunks alone, which compaction can move without rewriting them.
//
//	0x00 "format"                       1 byte: version of this layout
//	'c' name                            configuration of a connector (JSON)
//	'g' len(group) group partition      uvarint: committed offset of a consumer group
//	'h' ref                             a head: 8 bytes id, then its content
//	'i' partition base                  what is known of a chunk: varint newest time, uvarint count, uvarint bytes
//	'm' key                             a mark: position of a source partition
//	'n'                                 uvarint: partition ids given so far
//	'p' partition                       uvarint: first offset kept
//	's' key                             status values of the worker
//	't' topic                           a topic (JSON): partition ids, retention
//	'w' name                            target state of a connector
//	'x' partition base                  a chunk of records
//	'x' partition base part             a part of a chunk that is too large for one value
//
// partition is the 4-byte id of a partition (never reused), base the 8-byte offset of a chunk's first record, ref the
// 8-byte reference of a head, part the 2-byte number of a part from 0 on, with lastPart in the last one's. A change of this layout raises Version and adds an upgrade.
const (
	spaceFormat    = 0x00
	spaceConnector = 'c'
	spaceGroup     = 'g'
	spaceHead      = 'h'
	spaceInfo      = 'i'
	spaceMark      = 'm'
	spaceNextID    = 'n'
	spaceStart     = 'p'
	spaceStatus    = 's'
	spaceTopic     = 't'
	spaceTarget    = 'w'
	spaceChunk     = 'x'
)

var (
	formatKey = []byte("\x00format")
	nextIDKey = []byte{spaceNextID}
)

// appendName appends the key of a named thing.
func appendName(dst []byte, space byte, name string) []byte {
	return append(append(dst, space), name...)
}

// appendPartition appends the key of a partition's only value, which is also the prefix of its chunks.
func appendPartition(dst []byte, space byte, partition uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, space), partition)
}

// appendBase appends the key of a chunk, or of what is known of it.
func appendBase(dst []byte, space byte, partition uint32, base int64) []byte {
	return binary.BigEndian.AppendUint64(appendPartition(dst, space, partition), uint64(base))
}

const baseKeyLen = 1 + 4 + 8

// appendPart appends the key of a part of a chunk.
func appendPart(dst []byte, partition uint32, base int64, part uint16) []byte {
	return binary.BigEndian.AppendUint16(appendBase(dst, spaceChunk, partition, base), part)
}

const (
	partKeyLen = baseKeyLen + 2
	lastPart   = 1 << 15
)

// partOf is the number of a part, with lastPart, and false for the key of a whole chunk.
func partOf(key []byte) (uint16, bool) {
	if len(key) != partKeyLen {
		return 0, false
	}
	return binary.BigEndian.Uint16(key[baseKeyLen:]), true
}

// baseOf is the base offset in a key made by appendBase.
func baseOf(key []byte) int64 { return int64(binary.BigEndian.Uint64(key[5:])) }

// appendHead appends the key of a head.
func appendHead(dst []byte, ref uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, spaceHead), ref)
}

// appendGroup appends the prefix of a group's offsets. The length keeps groups apart whose names begin alike.
func appendGroup(dst []byte, group string) []byte {
	dst = binary.AppendUvarint(append(dst, spaceGroup), uint64(len(group)))
	return append(dst, group...)
}

func appendGroupOffset(dst []byte, group string, partition uint32) []byte {
	return binary.BigEndian.AppendUint32(appendGroup(dst, group), partition)
}

// splitGroupOffset takes a key made by appendGroupOffset apart.
func splitGroupOffset(key []byte) (group string, partition uint32, ok bool) {
	n, w := binary.Uvarint(key[1:])
	rest := key[min(1+max(w, 0), len(key)):]
	if w <= 0 || uint64(len(rest)) != n+4 {
		return "", 0, false
	}
	return string(rest[:n]), binary.BigEndian.Uint32(rest[n:]), true
}

// after is the first key that does not begin with prefix; nil if there is none.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
