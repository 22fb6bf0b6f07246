// SPDX-License-Identifier: Apache-2.0

package kafkaclient

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"

	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

// lz4Header begins a frame of independent blocks of up to 256 KiB without checksums, as Kafka's own producer sends them
// (its blocks are 64 KiB): the magic number, the flags, the size of blocks, and the checksum of these two, which is the
// second byte of their xxh32. Source: the LZ4 frame format 1.6, and KafkaLZ4BlockOutputStream, which has no checksum of the
// content: the batch's CRC covers it.
var lz4Header = []byte{0x04, 0x22, 0x4d, 0x18, 0b01_1_0_0_0_0_0, 5 << 4, 0xfb}

const (
	lz4BlockBytes = 256 << 10
	lz4Plain      = 1 << 31 // in a block's length: it is not compressed
)

// lz4Frames compresses batches. It does what franz-go's own compressor does for lz4 without the checksum of the content,
// which takes as long as the compression.
type lz4Frames struct {
	pool sync.Pool // of *lz4.Compressor
}

var _ kgo.Compressor = (*lz4Frames)(nil)

func newLZ4() *lz4Frames {
	return &lz4Frames{pool: sync.Pool{New: func() any { return new(lz4.Compressor) }}}
}

// Compress returns src as a frame, or as it is if that is no shorter.
func (f *lz4Frames) Compress(dst *bytes.Buffer, src []byte, _ ...kgo.CompressFlag) ([]byte, kgo.CompressionCodecType) {
	c := f.pool.Get().(*lz4.Compressor)
	defer f.pool.Put(c)
	const lengths = 4
	blocks := (len(src) + lz4BlockBytes - 1) / lz4BlockBytes
	dst.Grow(len(lz4Header) + len(src) + lengths*(blocks+1)) // a block that does not shrink is not compressed
	out := append(dst.AvailableBuffer(), lz4Header...)
	for block := range slices.Chunk(src, lz4BlockBytes) {
		at := len(out)
		room := out[at+lengths : at+lengths+len(block)]
		n, err := c.CompressBlock(block, room)
		if err != nil || n == 0 || n >= len(block) {
			out = binary.LittleEndian.AppendUint32(out, uint32(len(block))|lz4Plain)
			out = append(out, block...)
			continue
		}
		out = binary.LittleEndian.AppendUint32(out, uint32(n))
		out = out[:at+lengths+n]
	}
	out = binary.LittleEndian.AppendUint32(out, 0) // the end
	if len(out) >= len(src) {
		return src, kgo.CodecNone
	}
	return out, kgo.CodecLz4
}
