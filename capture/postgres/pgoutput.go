// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// The kinds of pgoutput messages, protocol version 1. Version 2 without streaming sends the same.
const (
	msgBegin    = 'B'
	msgCommit   = 'C'
	msgOrigin   = 'O'
	msgRelation = 'R'
	msgType     = 'Y'
	msgInsert   = 'I'
	msgUpdate   = 'U'
	msgDelete   = 'D'
	msgTruncate = 'T'
	msgMessage  = 'M'
)

// The tags of tuples and the kinds of their columns.
const (
	tupleNew = 'N'
	tupleKey = 'K' // the columns of the replica identity; the others are null
	tupleOld = 'O' // the whole old row

	columnNull      = 'n'
	columnUnchanged = 'u' // TOAST value that the update did not touch, not sent
	columnText      = 't'
)

// postgresEpochMicros is 2000-01-01, where the server's clock begins, in µs since 1970.
const postgresEpochMicros = 946_684_800_000_000

// errShort is the one error of reading beyond a message's end; the caller names the message.
var errShort = errors.New("message is too short")

// cursor reads a message in place: strings and tuples alias it. After an error every read gives zero values, so that a
// message is read to its end and err looked at once.
type cursor struct {
	p   []byte
	err error
}

func (c *cursor) take(n int) []byte {
	if c.err != nil || n < 0 || n > len(c.p) {
		if c.err == nil {
			c.err = errShort
		}
		return nil
	}
	out := c.p[:n:n]
	c.p = c.p[n:]
	return out
}

func (c *cursor) byte() byte {
	if p := c.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if p := c.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	if p := c.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (c *cursor) uint64() uint64 {
	if p := c.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

func (c *cursor) micros() int64 { return int64(c.uint64()) + postgresEpochMicros }

// string reads a text that ends with a zero byte.
func (c *cursor) string() string {
	i := bytes.IndexByte(c.p, 0)
	if i < 0 {
		i = len(c.p) // one too many
	}
	p := c.take(i + 1)
	if p == nil {
		return ""
	}
	return string(p[:i])
}

// column reads one column of a tuple: its kind, and its text where it has one.
func (c *cursor) column() (kind byte, text []byte) {
	switch kind = c.byte(); kind {
	case columnText:
		return kind, c.take(int(c.uint32()))
	case columnNull, columnUnchanged:
	default:
		if c.err == nil {
			c.err = fmt.Errorf("column of unknown kind %q", kind)
		}
	}
	return kind, nil
}

// beginMessage opens a transaction.
type beginMessage struct {
	Final  lsn // of the commit record
	Micros int64
	XID    uint32
}

func parseBegin(c *cursor) beginMessage {
	return beginMessage{Final: lsn(c.uint64()), Micros: c.micros(), XID: c.uint32()}
}

// commitMessage closes it.
type commitMessage struct {
	LSN, End lsn // of the commit record, and behind it
	Micros   int64
}

func parseCommit(c *cursor) commitMessage {
	c.byte() // flags, unused
	return commitMessage{LSN: lsn(c.uint64()), End: lsn(c.uint64()), Micros: c.micros()}
}

// originMessage tells where a replicated transaction comes from.
type originMessage struct {
	LSN  lsn
	Name string
}

func parseOrigin(c *cursor) originMessage {
	return originMessage{LSN: lsn(c.uint64()), Name: c.string()}
}

// relationMessage describes a table before its first row, and again after it was altered.
type relationMessage struct {
	OID          uint32
	Schema, Name string
	Identity     byte // d, n, f or i, as in pg_class.relreplident
	Columns      []relationMessageColumn
}

// relationMessageColumn is a column of it. Key columns belong to the replica identity.
type relationMessageColumn struct {
	Key    bool
	Name   string
	Type   uint32
	Typmod int32
}

func parseRelation(c *cursor) relationMessage {
	m := relationMessage{OID: c.uint32(), Schema: c.string(), Name: c.string(), Identity: c.byte()}
	if m.Schema == "" {
		m.Schema = "pg_catalog" // the message leaves it out
	}
	n := int(c.uint16())
	const least = 1 + 1 + 4 + 4 // bytes of a column, so that a broken count allocates nothing
	if c.err != nil || n*least > len(c.p) {
		c.take(len(c.p) + 1)
		return m
	}
	m.Columns = make([]relationMessageColumn, n)
	for i := range m.Columns {
		m.Columns[i] = relationMessageColumn{Key: c.byte()&1 != 0, Name: c.string(), Type: c.uint32(), Typmod: int32(c.uint32())}
	}
	return m
}

// parseTruncate reads the tables of a TRUNCATE.
func parseTruncate(c *cursor) []uint32 {
	n := int(c.uint32())
	c.byte() // CASCADE, RESTART IDENTITY
	if c.err != nil || n < 0 || n*4 > len(c.p) {
		c.take(len(c.p) + 1)
		return nil
	}
	oids := make([]uint32, n)
	for i := range oids {
		oids[i] = c.uint32()
	}
	return oids
}
