// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"slices"
	"unicode/utf16"
)

// JavaOrder sorts texts in the order in which a java.util.HashMap that got them in the given order is iterated: the
// order that maps have in Debezium's records. keys is sorted in place and returned.
func JavaOrder(keys []string) []string {
	buckets := 16
	for len(keys)*4 > buckets*3 {
		buckets *= 2
	}
	return javaOrder(keys, buckets)
}

// JavaCopyOrder is the same for a HashMap that was made as a copy of a map: it has only as many buckets as it needs.
func JavaCopyOrder(keys []string) []string {
	buckets := 1
	for buckets < len(keys)*4/3+1 {
		buckets *= 2
	}
	return javaOrder(keys, buckets)
}

func javaOrder(keys []string, buckets int) []string {
	mask := uint32(buckets - 1)
	slices.SortStableFunc(keys, func(a, b string) int { return int(javaHash(a)&mask) - int(javaHash(b)&mask) })
	return keys
}

// javaHash is String.hashCode, spread as HashMap does it.
func javaHash(s string) uint32 {
	var h uint32
	for _, r := range s {
		if hi, lo := utf16.EncodeRune(r); hi != '\uFFFD' {
			h = (h*31+uint32(hi))*31 + uint32(lo)
			continue
		}
		h = h*31 + uint32(r)
	}
	return h ^ h>>16
}
