// SPDX-License-Identifier: Apache-2.0

package local

import (
	"encoding/binary"

	"github.com/minio/minlz"

	"freshet/internal/store"
)

// A packed chunk has the prefix of a plain one, with packedVersion for its version, and then the plain one's records as
// one block of MinLZ, which tells its own length.
const (
	packedVersion = 3
	// Fewer bytes than minPacked are stored as they are: a lone change gains nothing. More than maxPacked are, too: the
	// copy would be as large again.
	minPacked = 1 << 10
	maxPacked = 4 << 20
)

// pack compresses the records where that makes them smaller. Nothing may be added afterwards.
func (c *chunk) pack() {
	c.packed = c.packed[:0]
	n := len(c.records)
	if n < minPacked || n > maxPacked || c.large != nil {
		return
	}
	if need := minlz.MaxEncodedLen(n); cap(c.packed) < need { // of many tables, many chunks are short
		c.packed = make([]byte, 0, need+need/2)
	}
	if b := minlz.TryEncode(c.packed, c.records, minlz.LevelFastest); b != nil {
		c.packed = b
	}
}

// stored is what of the chunk is stored behind its prefix.
func (c *chunk) stored() []byte {
	if len(c.packed) > 0 {
		return c.packed
	}
	return c.records
}

// unpack appends a chunk to dst as a plain one.
func unpack(dst, value []byte) ([]byte, error) {
	if len(value) == 0 || value[0] != packedVersion {
		return append(dst, value...), nil
	}
	at, ok := recordsAt(value)
	if !ok {
		return dst, store.ErrCorrupt
	}
	dst = append(dst, chunkVersion)
	dst = append(dst, value[1:at]...)
	dst, err := minlz.AppendDecoded(dst, value[at:])
	if err != nil {
		return dst, store.ErrCorrupt
	}
	return dst, nil
}

// unpackedLen is how long a chunk is as a plain one, and false where it cannot be one.
func unpackedLen(value []byte) (int, bool) {
	if len(value) == 0 || value[0] != packedVersion {
		return len(value), true
	}
	at, ok := recordsAt(value)
	if !ok {
		return 0, false
	}
	packed, n, err := minlz.IsMinLZ(value[at:])
	return at + n, err == nil && packed && n <= maxPacked
}

// recordsAt is where the prefix of a chunk ends.
func recordsAt(value []byte) (int, bool) {
	at := 1
	for range 2 { // the number of records, the time: both end with the first byte below 0x80
		_, n := binary.Uvarint(value[at:])
		if n <= 0 {
			return 0, false
		}
		at += n
	}
	heads, n := binary.Uvarint(value[at:])
	if n <= 0 || heads > maxChunkHeads {
		return 0, false
	}
	at += n + 8*int(heads)
	return at, at < len(value)
}
