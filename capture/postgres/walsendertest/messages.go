// SPDX-License-Identifier: Apache-2.0

package walsendertest

import "encoding/binary"

// XLogData is the body of a piece of the log: a pgoutput message and its place.
func XLogData(start, end uint64, clock int64, data []byte) []byte {
	out := []byte{'w'}
	out = binary.BigEndian.AppendUint64(out, start)
	out = binary.BigEndian.AppendUint64(out, end)
	out = binary.BigEndian.AppendUint64(out, uint64(clock))
	return append(out, data...)
}

// KeepAlive says that everything up to end was sent.
func KeepAlive(end uint64, clock int64, reply bool) []byte {
	out := binary.BigEndian.AppendUint64([]byte{'k'}, end)
	out = binary.BigEndian.AppendUint64(out, uint64(clock))
	if reply {
		return append(out, 1)
	}
	return append(out, 0)
}

// Begin opens a transaction that commits at final.
func Begin(final uint64, micros int64, xid uint32) []byte {
	out := binary.BigEndian.AppendUint64([]byte{'B'}, final)
	out = binary.BigEndian.AppendUint64(out, uint64(micros))
	return binary.BigEndian.AppendUint32(out, xid)
}

// Commit ends it.
func Commit(at, end uint64, micros int64) []byte {
	out := binary.BigEndian.AppendUint64([]byte{'C', 0}, at)
	out = binary.BigEndian.AppendUint64(out, end)
	return binary.BigEndian.AppendUint64(out, uint64(micros))
}

// Column is a column of a relation.
type Column struct {
	Name     string
	Key      bool
	Type     uint32
	Modifier int32
}

// Relation describes a table; identity is d, n, f or i.
func Relation(oid uint32, schema, name string, identity byte, columns ...Column) []byte {
	out := binary.BigEndian.AppendUint32([]byte{'R'}, oid)
	out = append(append(out, schema...), 0)
	out = append(append(out, name...), 0, identity)
	out = binary.BigEndian.AppendUint16(out, uint16(len(columns)))
	for _, c := range columns {
		flags := byte(0)
		if c.Key {
			flags = 1
		}
		out = append(append(append(out, flags), c.Name...), 0)
		out = binary.BigEndian.AppendUint32(out, c.Type)
		out = binary.BigEndian.AppendUint32(out, uint32(c.Modifier))
	}
	return out
}

// Insert is a new row, all values as texts.
func Insert(oid uint32, values ...string) []byte {
	out := binary.BigEndian.AppendUint32([]byte{'I'}, oid)
	out = binary.BigEndian.AppendUint16(append(out, 'N'), uint16(len(values)))
	for _, v := range values {
		out = binary.BigEndian.AppendUint32(append(out, 't'), uint32(len(v)))
		out = append(out, v...)
	}
	return out
}
