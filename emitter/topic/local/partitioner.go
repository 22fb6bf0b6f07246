// SPDX-License-Identifier: Apache-2.0

package local

import (
	"encoding/binary"

	"freshet/emitter/topic"
)

// partitionOf is the partition that Kafka's default partitioner gives a key.
func partitionOf(key topic.Data, partitions int) int {
	return int(murmur2(key)&0x7fffffff) % partitions
}

// murmur2 is Kafka's variant of MurmurHash2 over the wire form of d, head and body without joining them.
func murmur2(d topic.Data) uint32 {
	const (
		m    = 0x5bd1e995
		seed = 0x9747b28c
	)
	var head []byte
	if d.Head != nil {
		head = d.Head.Bytes
	}
	h := uint32(seed) ^ uint32(len(head)+len(d.Body))
	mix := func(k uint32) {
		k *= m
		k ^= k >> 24
		k *= m
		h *= m
		h ^= k
	}
	for ; len(head) >= 4; head = head[4:] {
		mix(binary.LittleEndian.Uint32(head))
	}
	body := d.Body
	if len(head) > 0 { // the word that is part head and part body
		var word [4]byte
		n := copy(word[:], head)
		n += copy(word[n:], body)
		body = body[min(4-len(head), len(body)):]
		if n < 4 {
			body = word[:n] // all that is left
		} else {
			mix(binary.LittleEndian.Uint32(word[:]))
		}
	}
	for ; len(body) >= 4; body = body[4:] {
		mix(binary.LittleEndian.Uint32(body))
	}
	if len(body) > 0 {
		for i := len(body) - 1; i >= 0; i-- {
			h ^= uint32(body[i]) << (8 * i)
		}
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h
}
