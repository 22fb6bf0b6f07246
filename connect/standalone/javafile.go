// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"freshet/emitter/topic"
)

// Offsets files of Kafka Connect's standalone worker are a HashMap<byte[], byte[]> in Java's serialization: the key is
// ["connector",{partition}], the value {offset}, both JSON. That is what marks are, too.

// ParseJavaOffsets reads the positions of an offsets file. A file without bytes has none.
func ParseJavaOffsets(file []byte) ([]topic.Mark, error) {
	if len(file) == 0 {
		return nil, nil
	}
	r := &javaReader{rest: file}
	n, err := r.begin()
	if err != nil {
		return nil, err
	}
	var marks []topic.Mark
	for range n {
		key, err := r.bytes()
		if err != nil {
			return nil, err
		}
		value, err := r.bytes()
		if err != nil {
			return nil, err
		}
		if len(value) == 0 {
			continue // a position that was reset
		}
		var parts []json.RawMessage
		if err := json.Unmarshal(key, &parts); err != nil || len(parts) != 2 || !json.Valid(value) {
			return nil, fmt.Errorf("the entry %.100q is no position of a connector", key)
		}
		marks = append(marks, topic.Mark{Key: string(key), Value: string(value)})
	}
	if end, err := r.take(1); err != nil || end[0] != javaEndBlock {
		return nil, errJava
	}
	return marks, nil
}

// Tags of Java's serialization.
const (
	javaNull      = 0x70
	javaReference = 0x71
	javaArray     = 0x75
	javaEndBlock  = 0x78

	// javaFirstHandle is that of the first class behind the map's: the map and its class have the two before.
	javaFirstHandle = 0x7e0002
)

// What a map and a byte array begin with.
const (
	javaHashMap   = "\xac\xed\x00\x05\x73\x72\x00\x11java.util.HashMap\x05\x07\xda\xc1\xc3\x16\x60\xd1\x03\x00\x02F\x00\x0aloadFactorI\x00\x09threshold\x78\x70"
	javaBlock     = "\x77\x08"
	javaByteArray = "\x72\x00\x02[B\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\x00\x00\x78\x70"
)

var errJava = errors.New("it is no HashMap of byte arrays in Java's serialization")

// javaReader reads a HashMap<byte[], byte[]>.
type javaReader struct {
	rest   []byte
	arrays map[uint32][]byte // by handle, for entries that refer to the same array
	handle uint32            // of the next class or object
	class  uint32            // handle of the class of byte arrays, 0 before it came
}

func (r *javaReader) take(n int) ([]byte, error) {
	if n < 0 || n > len(r.rest) {
		return nil, fmt.Errorf("%w: it ends early", errJava)
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out, nil
}

// expect reads exactly these bytes.
func (r *javaReader) expect(want string) error {
	got, err := r.take(len(want))
	if err == nil && !bytes.Equal(got, []byte(want)) {
		err = errJava
	}
	return err
}

func (r *javaReader) uint32() (uint32, error) {
	b, err := r.take(4)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint32(b), nil
}

// begin reads up to the first entry, and returns the number of entries.
func (r *javaReader) begin() (int, error) {
	if err := r.expect(javaHashMap); err != nil {
		return 0, err
	}
	if _, err := r.take(8); err != nil { // the two fields
		return 0, err
	}
	if err := r.expect(javaBlock); err != nil {
		return 0, err
	}
	if _, err := r.take(4); err != nil { // the number of buckets
		return 0, err
	}
	n, err := r.uint32()
	r.handle, r.arrays = javaFirstHandle, map[uint32][]byte{} // the class and the map have the two before
	return int(n), err
}

// bytes reads a byte array.
func (r *javaReader) bytes() ([]byte, error) {
	tag, err := r.take(1)
	if err != nil {
		return nil, err
	}
	switch tag[0] {
	case javaNull:
		return nil, nil
	case javaReference:
		h, err := r.uint32()
		if err != nil {
			return nil, err
		}
		a, ok := r.arrays[h]
		if !ok {
			return nil, errJava
		}
		return a, nil
	case javaArray:
	default:
		return nil, errJava
	}
	if err := r.arrayClass(); err != nil {
		return nil, err
	}
	own := r.handle
	r.handle++
	n, err := r.uint32()
	if err != nil {
		return nil, err
	}
	a, err := r.take(int(n))
	r.arrays[own] = a
	return a, err
}

// arrayClass reads the class of byte arrays: described the first time, referred to later.
func (r *javaReader) arrayClass() error {
	if r.class == 0 {
		r.class = r.handle
		r.handle++
		return r.expect(javaByteArray)
	}
	if err := r.expect("\x71"); err != nil {
		return err
	}
	h, err := r.uint32()
	if err == nil && h != r.class {
		err = errJava
	}
	return err
}
