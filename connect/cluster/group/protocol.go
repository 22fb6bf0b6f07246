// SPDX-License-Identifier: Apache-2.0

package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"freshet/connect"
	"freshet/connect/cluster/assign"
)

// Version of the metadata and assignments that members exchange.
type Version int16

// The versions. Sessioned members sign what they ask of each other; the bytes are those of Compatible.
const (
	Eager      Version = 0
	Compatible Version = 1
	Sessioned  Version = 2
)

// names are those of the protocols that members offer to the coordinator.
var names = map[Version]string{Eager: "default", Compatible: "compatible", Sessioned: "sessioned"}

// ParseVersion reads the property connect.protocol: eager, compatible or sessioned.
func ParseVersion(s string) (Version, error) {
	switch s {
	case "eager":
		return Eager, nil
	case "compatible":
		return Compatible, nil
	case "sessioned":
		return Sessioned, nil
	}
	return 0, fmt.Errorf("connect.protocol %q is none of eager, compatible, sessioned", s)
}

// String is the value of connect.protocol.
func (v Version) String() string {
	if v == Eager {
		return "eager"
	}
	return names[v]
}

// offered are the versions that a member of a mode speaks, the best first. The coordinator takes one that all speak.
func (v Version) offered() []Version {
	switch v {
	case Sessioned:
		return []Version{Sessioned, Compatible, Eager}
	case Compatible:
		return []Version{Compatible, Eager}
	}
	return []Version{Eager}
}

func versionOf(protocol string) (Version, error) {
	for v, name := range names {
		if name == protocol {
			return v, nil
		}
	}
	return 0, fmt.Errorf("the group speaks the unknown protocol %q", protocol)
}

// Metadata is what a member tells the leader of itself.
type Metadata struct {
	Version Version
	URL     string // of its REST API, with a slash at the end
	// Offset is how far it has read the config topic: the offset of the last record + 1, -1 before the first.
	Offset int64
	// Has is what it has, as it was told at last and with what it had before; nil where it has nothing. Not with Eager.
	Has *Assignment
}

// Assignment is what a member has to do.
type Assignment struct {
	Version   Version
	Error     int16  // 0, or configMismatch
	Leader    string // member id
	LeaderURL string
	Offset    int64 // of the config topic, which the assignment was made of
	Assigned  assign.Work
	Revoked   assign.Work
	DelayMs   int32 // after which every member joins again; 0 is not at all
}

// configMismatch says that the leader has not read the config topic as far as others have.
const configMismatch = 1

// Failed says whether the round made no assignment and must be repeated.
func (a *Assignment) Failed() bool { return a.Error != 0 }

// Append appends the metadata. The format is that of Kafka Connect's ConnectProtocol and
// IncrementalCooperativeConnectProtocol: big-endian, texts with 16-bit lengths, lists with 32-bit counts.
func (m *Metadata) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(m.Version))
	dst = appendText(dst, m.URL)
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.Offset))
	if m.Version == Eager {
		return dst
	}
	if m.Has == nil {
		return binary.BigEndian.AppendUint32(dst, math.MaxUint32)
	}
	at := len(dst)
	dst = m.Has.Append(append(dst, 0, 0, 0, 0))
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// Append appends the assignment.
func (a *Assignment) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(a.Version))
	dst = binary.BigEndian.AppendUint16(dst, uint16(a.Error))
	dst = appendText(dst, a.Leader)
	dst = appendText(dst, a.LeaderURL)
	dst = binary.BigEndian.AppendUint64(dst, uint64(a.Offset))
	dst = appendWork(dst, a.Assigned)
	if a.Version == Eager {
		return dst
	}
	dst = appendWork(dst, a.Revoked)
	return binary.BigEndian.AppendUint32(dst, uint32(a.DelayMs))
}

func appendText(dst []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

// appendWork appends a list of connectors, each with its tasks; -1 is the connector itself.
func appendWork(dst []byte, w assign.Work) []byte {
	var order []string
	tasks := map[string][]int{}
	for _, id := range w {
		if tasks[id.Connector] == nil {
			order = append(order, id.Connector)
		}
		tasks[id.Connector] = append(tasks[id.Connector], id.Task)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(order)))
	for _, name := range order {
		dst = appendText(dst, name)
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(tasks[name])))
		for _, n := range tasks[name] {
			dst = binary.BigEndian.AppendUint32(dst, uint32(int32(n)))
		}
	}
	return dst
}

// ParseMetadata reads metadata. Bytes of a newer version that follow are passed over.
func ParseMetadata(b []byte) (Metadata, error) {
	r := reader{b: b}
	m := Metadata{Version: Version(r.int16()), URL: r.text(), Offset: r.int64()}
	if m.Version != Eager && len(r.b) > 0 {
		if n := r.int32(); n >= 0 && r.err == nil {
			has, err := ParseAssignment(r.take(int(n)))
			if err != nil {
				return m, fmt.Errorf("metadata of a member: %w", err)
			}
			m.Has = &has
		}
	}
	return m, r.failure("metadata of a member")
}

// ParseAssignment reads an assignment. What is missing at the end counts as nothing: older members leave it out.
func ParseAssignment(b []byte) (Assignment, error) {
	r := reader{b: b}
	a := Assignment{Version: Version(r.int16()), Error: r.int16(), Leader: r.text(), LeaderURL: r.text(), Offset: r.int64(), Assigned: r.work()}
	if a.Version != Eager {
		if len(r.b) > 0 {
			a.Revoked = r.work()
		}
		if len(r.b) > 0 {
			a.DelayMs = r.int32()
		}
	}
	return a, r.failure("assignment")
}

// reader reads fields; the first failure sticks.
type reader struct {
	b   []byte
	err error
}

var errShort = errors.New("it ends too early")

func (r *reader) failure(what string) error {
	if r.err != nil {
		return fmt.Errorf("read the %s: %w", what, r.err)
	}
	return nil
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.err, r.b = errShort, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) int16() int16 {
	if b := r.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (r *reader) int32() int32 {
	if b := r.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (r *reader) int64() int64 {
	if b := r.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (r *reader) text() string { return string(r.take(int(r.int16()))) }

// work reads a list; a null one is empty.
func (r *reader) work() assign.Work {
	w := assign.Work{}
	for n := r.int32(); n > 0 && r.err == nil; n-- {
		name := r.text()
		for tasks := r.int32(); tasks > 0 && r.err == nil; tasks-- {
			w = append(w, connect.TaskID{Connector: name, Task: int(r.int32())})
		}
	}
	return w
}
