// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// pool keeps the memory of polled records for those polled later. A cursor gives it back with its next Poll: until then its
// records are valid. The collector takes what nobody uses.
type pool struct{ bytes, records sync.Pool }

var (
	_ kgo.PoolDecompressBytes = (*pool)(nil)
	_ kgo.PoolRecords         = (*pool)(nil)
)

const (
	// keptBytes is the largest buffer that is kept.
	keptBytes = 4 << 20
	// wasteful is how many times the compressed bytes a buffer may be: all of it is cleared after use.
	wasteful = 100
)

// GetDecompressBytes returns a buffer, which is a guess.
func (p *pool) GetDecompressBytes(compressed []byte, _ kgo.CompressionCodecType) []byte {
	b, _ := p.bytes.Get().(*[]byte)
	if b == nil || cap(*b) > wasteful*len(compressed) {
		return nil
	}
	return (*b)[:0]
}

// PutDecompressBytes takes a buffer back.
func (p *pool) PutDecompressBytes(b []byte) {
	if cap(b) <= keptBytes {
		p.bytes.Put(&b)
	}
}

// GetRecords returns room for n records.
func (p *pool) GetRecords(n int) []kgo.Record {
	if r, _ := p.records.Get().(*[]kgo.Record); r != nil && cap(*r) >= n {
		return (*r)[:0]
	}
	return make([]kgo.Record, 0, n)
}

// PutRecords takes room back.
func (p *pool) PutRecords(r []kgo.Record) { p.records.Put(&r) }
