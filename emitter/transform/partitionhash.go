// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
	"unicode/utf8"

	"freshet/change"
	"freshet/change/java"
	"freshet/schema"
)

// The hash functions of PartitionRouting: Java's hashCode of the values as Connect holds them, and murmur.

// javaHash is what Object.hashCode of a value gives. Of a Struct, whose hash in Java differs from process to process, it
// is that of the list of its fields.
func javaHash(b *change.Batch, t *schema.Type, v change.Value) int32 {
	switch v.Kind() {
	case change.Bool:
		if v.Bool() {
			return 1231
		}
		return 1237
	case change.Int:
		if t.Kind == schema.Int64 || t.Name == schema.ConnectDate || t.Name == schema.ConnectTime || t.Name == schema.ConnectTimestamp {
			return longHash(javaMillis(t, v.Int()))
		}
		return int32(v.Int())
	case change.Float:
		if t.Kind == schema.Float32 {
			return int32(math.Float32bits(float32(v.Float())))
		}
		return longHash(int64(math.Float64bits(v.Float())))
	case change.Text:
		return textHash(b.Bytes(v))
	case change.Bytes:
		if t.Name == schema.Decimal {
			return decimalHash(t, b.Bytes(v))
		}
		h := int32(1) // of a ByteBuffer
		for i := len(b.Bytes(v)) - 1; i >= 0; i-- {
			h = 31*h + int32(int8(b.Bytes(v)[i]))
		}
		return h
	case change.Struct, change.Array:
		h := int32(1)
		for i, e := range b.Elems(v) {
			h *= 31
			if !e.IsNull() {
				h += javaHash(b, memberType(t, i), e)
			}
		}
		return h
	case change.Map:
		h, entries := int32(0), b.Elems(v)
		for i := 0; i+1 < len(entries); i += 2 {
			k, e := int32(0), int32(0)
			if !entries[i].IsNull() {
				k = javaHash(b, t.Key, entries[i])
			}
			if !entries[i+1].IsNull() {
				e = javaHash(b, t.Elem, entries[i+1])
			}
			h += k ^ e
		}
		return h
	}
	return 0
}

func memberType(t *schema.Type, i int) *schema.Type {
	if t.Kind == schema.Struct {
		return t.Fields[i].Type
	}
	return t.Elem
}

// javaMillis is the number behind a value of 64 bits: that of a java.util.Date for Connect's dates and times.
func javaMillis(t *schema.Type, n int64) int64 {
	if t.Name == schema.ConnectDate {
		return n * 24 * 60 * 60 * 1000
	}
	return n
}

func longHash(n int64) int32 { return int32(n ^ int64(uint64(n)>>32)) }

// textHash is String.hashCode: over UTF-16.
func textHash(p []byte) int32 {
	h := int32(0)
	for len(p) > 0 {
		r, n := utf8.DecodeRune(p)
		p = p[n:]
		if r >= 0x10000 {
			r -= 0x10000
			h = 31*h + 0xd800 + r>>10
			r = 0xdc00 + r&0x3ff
		}
		h = 31*h + r
	}
	return h
}

// unscaled is the number in the bytes of a Decimal: big-endian, in two's complement.
func unscaled(p []byte) *big.Int {
	n := new(big.Int).SetBytes(p)
	if len(p) > 0 && p[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(p))))
	}
	return n
}

// decimalHash is BigDecimal.hashCode.
func decimalHash(t *schema.Type, p []byte) int32 {
	n := unscaled(p)
	digits, _ := java.Scale(t)
	scale := int32(digits)
	if n.IsInt64() && n.Int64() != math.MinInt64 { // held as a long
		m := n.Int64()
		if m < 0 {
			m = -m
		}
		h := 31*int32(m>>32) + int32(m)
		if n.Sign() < 0 {
			h = -h
		}
		return 31*h + scale
	}
	h := int32(0)
	var words [4]byte
	magnitude := new(big.Int).Abs(n).Bytes()
	for i := (4 - len(magnitude)%4) % 4; len(magnitude) > 0; i = 0 {
		words = [4]byte{}
		k := copy(words[i:], magnitude)
		magnitude = magnitude[k:]
		h = 31*h + int32(binary.BigEndian.Uint32(words[:]))
	}
	if n.Sign() < 0 {
		h = -h
	}
	return 31*h + scale
}

// murmurHash is MurmurHash3's 64 bits as Debezium (and Infinispan before it) computes them: of texts over UTF-8, of
// everything else over javaHash.
func murmurHash(b *change.Batch, t *schema.Type, v change.Value) int32 {
	if v.Kind() == change.Text {
		return murmur(b.Bytes(v))
	}
	var p [4]byte
	binary.LittleEndian.PutUint32(p[:], uint32(javaHash(b, t, v)))
	return murmur(p[:])
}

// murmurState is that of the computation; the multipliers change from block to block.
type murmurState struct{ h1, h2, c1, c2 uint64 }

func (s *murmurState) mix(k1, k2 uint64) {
	s.h1 ^= bits.RotateLeft64(k1*s.c1, 23) * s.c2
	s.h1 += s.h2
	s.h2 = bits.RotateLeft64(s.h2, 41)
	s.h2 ^= bits.RotateLeft64(k2*s.c2, 23) * s.c1
	s.h2 += s.h1
	s.h1 = s.h1*3 + 0x52dce729
	s.h2 = s.h2*3 + 0x38495ab5
	s.c1 = s.c1*5 + 0x7b7d159c
	s.c2 = s.c2*5 + 0x6bce6396
}

func murmur(p []byte) int32 {
	const seed = 9001
	s := murmurState{0x9368e53c2f6af274 ^ seed, 0x586dcd208f7cd3fd ^ seed, 0x87c37b91114253d5, 0x4cf5ad432745937f}
	tail := p
	for ; len(tail) >= 16; tail = tail[16:] {
		s.mix(binary.LittleEndian.Uint64(tail), binary.LittleEndian.Uint64(tail[8:]))
	}
	if len(tail) > 0 {
		var k [2]uint64
		for i, c := range tail { // signed, and so not the published algorithm
			k[i/8] ^= uint64(int64(int8(c))) << (8 * (i % 8))
		}
		s.mix(k[0], k[1])
	}
	s.h2 ^= uint64(len(p))
	s.h1 += s.h2
	s.h2 += s.h1
	return int32((finish(s.h1) + finish(s.h2)) >> 32)
}

func finish(k uint64) uint64 {
	k ^= k >> 33
	k *= 0xff51afd7ed558ccd
	k ^= k >> 33
	k *= 0xc4ceb9fe1a85ec53
	return k ^ k>>33
}
