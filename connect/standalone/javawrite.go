// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"encoding/binary"

	"freshet/emitter/topic"
)

// AppendJavaOffsets appends an offsets file with positions, as Kafka Connect's standalone worker reads it. ParseJavaOffsets is
// its inverse.
func AppendJavaOffsets(dst []byte, marks []topic.Mark) []byte {
	const loadFactor = "\x3f\x40\x00\x00" // 0.75
	buckets := uint32(16)
	for int(buckets)*3/4 < len(marks) {
		buckets *= 2
	}
	dst = append(dst, javaHashMap+loadFactor...)
	dst = binary.BigEndian.AppendUint32(dst, buckets*3/4)
	dst = append(dst, javaBlock...)
	dst = binary.BigEndian.AppendUint32(dst, buckets)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(marks)))
	class := uint32(0)
	handle := uint32(javaFirstHandle)
	array := func(text string) {
		dst = append(dst, javaArray)
		if class == 0 {
			class = handle
			handle++
			dst = append(dst, javaByteArray...)
		} else {
			dst = binary.BigEndian.AppendUint32(append(dst, javaReference), class)
		}
		handle++
		dst = append(binary.BigEndian.AppendUint32(dst, uint32(len(text))), text...)
	}
	for _, m := range marks {
		array(m.Key)
		array(m.Value)
	}
	return append(dst, javaEndBlock)
}
