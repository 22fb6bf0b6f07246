// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/stretchr/testify/require"
)

// TestChunkInParts keeps a chunk larger than one value between small ones, and finds it from each of its offsets.
func TestChunkInParts(t *testing.T) {
	db, err := Open(t.TempDir(), Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	large := make([]byte, 2*partBytes+12345)
	_, _ = rand.NewChaCha8([32]byte{}).Read(large)
	b := db.NewBatch()
	b.Reserve(len(large))
	b.PutChunk(1, ChunkInfo{Base: 0, Count: 1}, []byte("a"))
	b.PutChunk(1, ChunkInfo{Base: 1, Count: 10}, large[:3], nil, large[3:partBytes+1], large[partBytes+1:], []byte{})
	b.PutChunk(1, ChunkInfo{Base: 11, Count: 1}, []byte("b"))
	b.PutChunk(2, ChunkInfo{Base: 0, Count: 1}, []byte("other"))
	require.NoError(t, b.Commit())
	read := func(offset int64) (bases []int64, values [][]byte) {
		require.NoError(t, db.Chunks(1, offset, func(base int64, value []byte) (bool, error) {
			bases, values = append(bases, base), append(values, bytes.Clone(value))
			return true, nil
		}))
		return bases, values
	}
	for _, flushed := range []bool{false, true} {
		if flushed {
			require.NoError(t, db.p.Flush())
		}
		bases, values := read(0)
		require.Equal(t, []int64{0, 1, 11}, bases)
		require.Equal(t, "b", string(values[2]))
		require.True(t, bytes.Equal(large, values[1]))
		for _, offset := range []int64{1, 2, 10} {
			bases, values = read(offset)
			require.Equal(t, []int64{1, 11}, bases, "from offset %d", offset)
			require.True(t, bytes.Equal(large, values[0]))
		}
	}
	b = db.NewBatch()
	b.DeleteChunks(1, 11)
	require.NoError(t, b.Commit())
	bases, _ := read(0)
	require.Equal(t, []int64{11}, bases)
}

// TestPartIsMissing reads a chunk that has lost a part: that is damage, never a shorter record.
func TestPartIsMissing(t *testing.T) {
	for _, lost := range []uint16{0, 1, 2 | lastPart} {
		db, err := Open(t.TempDir(), Options{})
		require.NoError(t, err)
		b := db.NewBatch()
		b.PutChunk(1, ChunkInfo{Base: 5, Count: 1}, make([]byte, 2*partBytes+1))
		require.NoError(t, b.Commit())
		require.NoError(t, db.p.Delete(appendPart(nil, 1, 5, lost), pebble.Sync))
		err = db.Chunks(1, 5, func(int64, []byte) (bool, error) { return true, nil })
		require.ErrorIs(t, err, ErrCorrupt, "part %x", lost)
		require.NoError(t, db.Close())
	}
}
