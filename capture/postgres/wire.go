// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	wireBytes    = 256 << 10 // read at once where so much has come
	wireMaxBytes = 4 << 20   // a buffer that a large row made bigger than this is given back
	// wireMaxMessage is the longest message the server can send: a row of 1 GB and what is around it.
	wireMaxMessage = 1<<30 + 1<<20
)

// wire reads the server's messages in large pieces, where pgconn reads 8 KB at a time. It first serves pgconn as its
// reader: then it never hands out bytes of more than one message, so that after START_REPLICATION nothing of the stream
// is left in pgconn's own buffer. From then on the stream takes messages with next and reads with fill. Not safe for
// concurrent use.
type wire struct {
	src  io.Reader // conn, through pgconn's background reader
	conn net.Conn
	buf  []byte
	r, w int // what is read and not yet taken is buf[r:w]
	left int // of the message that pgconn reads now
}

func newWire(src io.Reader) *wire { return &wire{src: src, buf: make([]byte, wireBytes)} }

// Read serves pgconn: bytes of one message at most.
func (x *wire) Read(p []byte) (int, error) {
	for x.left == 0 {
		if x.w-x.r >= 5 {
			n, err := x.length()
			if err != nil {
				return 0, err
			}
			x.left = n
			break
		}
		if err := x.fill(); err != nil {
			return 0, err
		}
	}
	if x.r == x.w {
		if err := x.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, x.buf[x.r:min(x.w, x.r+x.left)])
	x.r += n
	x.left -= n
	return n, nil
}

// length is the length of the next message with its kind byte.
func (x *wire) length() (int, error) {
	n := int(binary.BigEndian.Uint32(x.buf[x.r+1:]))
	if n < 4 || n > wireMaxMessage {
		return 0, fmt.Errorf("message of kind %q has the impossible length %d", x.buf[x.r], n)
	}
	return n + 1, nil
}

// next takes the next message if it is here as a whole. body is valid until the next fill.
func (x *wire) next() (kind byte, body []byte, ok bool, err error) {
	if x.w-x.r < 5 {
		return 0, nil, false, nil
	}
	n, err := x.length()
	if err != nil || x.w-x.r < n {
		return 0, nil, false, err
	}
	m := x.buf[x.r : x.r+n]
	x.r += n
	return m[0], m[5:], true, nil
}

// fill reads once from the connection, after making room.
func (x *wire) fill() error {
	x.trim()
	switch {
	case x.r == x.w:
		x.r, x.w = 0, 0
	case len(x.buf)-x.w < len(x.buf)/4 && x.r > 0:
		x.w = copy(x.buf, x.buf[x.r:x.w])
		x.r = 0
	}
	if x.w == len(x.buf) { // one message fills it: grow with what really comes, not with what its length says alone
		size := 2 * len(x.buf)
		if n, err := x.length(); err == nil && n > len(x.buf) && n <= 8*len(x.buf) {
			size = n
		}
		grown := make([]byte, size)
		copy(grown, x.buf)
		x.buf = grown
	}
	n, err := x.src.Read(x.buf[x.w:])
	x.w += n
	if n > 0 {
		return nil
	}
	return err
}

// trim gives a large buffer back once all of it is taken. What next has returned stays valid for whoever holds it.
func (x *wire) trim() {
	if x.r == x.w && len(x.buf) > wireMaxBytes {
		x.buf, x.r, x.w = make([]byte, wireBytes), 0, 0
	}
}

// statusUpdate is a Standby Status Update in a CopyData message.
type statusUpdate struct {
	Written lsn // received
	// Flushed is durable here, and all that the server needs to keep nothing for (I2). Unlike the library's function of
	// this purpose, 0 stays 0: the server takes it for "unchanged".
	Flushed lsn
	Reply   bool // asks for an answer
}

// send writes it to the server.
func (u statusUpdate) send(conn net.Conn, now time.Time) error {
	var m [1 + 4 + 1 + 4*8 + 1]byte
	m[0] = 'd'
	binary.BigEndian.PutUint32(m[1:], uint32(len(m)-1))
	m[5] = 'r'
	binary.BigEndian.PutUint64(m[6:], uint64(u.Written))
	binary.BigEndian.PutUint64(m[14:], uint64(u.Flushed))
	binary.BigEndian.PutUint64(m[22:], uint64(u.Flushed)) // applied
	binary.BigEndian.PutUint64(m[30:], uint64(now.UnixMicro()-postgresEpochMicros))
	if u.Reply {
		m[38] = 1
	}
	if err := conn.SetWriteDeadline(now.Add(writeTimeout)); err != nil {
		return err
	}
	_, err := conn.Write(m[:])
	return err
}

// writeTimeout bounds the few bytes that are ever written; a server that does not read them is gone.
const writeTimeout = 30 * time.Second
