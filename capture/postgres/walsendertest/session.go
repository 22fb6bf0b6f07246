// SPDX-License-Identifier: Apache-2.0

package walsendertest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
)

// Session is one connection, and what a script acts on.
type Session struct {
	s           *Server
	client      net.Conn
	server      net.Conn
	replication bool
	from        uint64 // where START_REPLICATION asked to begin

	write   sync.Mutex    // held for each message to the client
	changed chan struct{} // a status update came
	done    chan struct{} // closed when the client is gone
}

// frame reads a message: its kind and its body.
func frame(r io.Reader) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	body = make([]byte, int(binary.BigEndian.Uint32(head[1:]))-4)
	_, err = io.ReadFull(r, body)
	return head[0], body, err
}

// message is the wire form.
func message(kind byte, body []byte) []byte {
	out := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))
	return append(out, body...)
}

// fromServer passes on what the real server says.
func (x *Session) fromServer() {
	defer func() { _ = x.client.Close() }()
	for {
		kind, body, err := frame(x.server)
		if err != nil {
			return
		}
		if x.replication && kind == 'd' && len(body) > 0 && (body[0] == 'w' || body[0] == 'k') {
			x.s.record(body)
		}
		if x.send(message(kind, body)) != nil {
			return
		}
	}
}

// fromClient passes on what the client says, and takes START_REPLICATION where there is a script for it.
func (x *Session) fromClient() {
	defer close(x.done)
	scripted := false
	for {
		kind, body, err := frame(x.client)
		if err != nil {
			return
		}
		switch {
		case x.replication && kind == 'd' && len(body) == 34 && body[0] == 'r':
			x.s.status(Status{
				binary.BigEndian.Uint64(body[1:]), binary.BigEndian.Uint64(body[9:]), binary.BigEndian.Uint64(body[17:]), body[33] == 1,
			})
			select {
			case x.changed <- struct{}{}:
			default:
			}
		case x.replication && kind == 'Q' && bytes.HasPrefix(body, []byte("START_REPLICATION")):
			if steps := x.s.takeScript(); steps != nil {
				scripted, x.from = true, startOf(string(body))
				x.s.group.Go(func() { x.play(steps) })
			}
		case scripted && kind == 'c':
			_ = x.send(append(message('c', nil), append(message('C', []byte("COPY 0\x00")), message('Z', []byte("I"))...)...))
		}
		if scripted {
			continue
		}
		if _, err := x.server.Write(message(kind, body)); err != nil {
			return
		}
	}
}

// play runs a script. A session whose script is over stays open.
func (x *Session) play(steps []Step) {
	if x.send(message('W', []byte{0, 0, 0})) != nil { // CopyBothResponse
		return
	}
	for _, step := range steps {
		if step(x) != nil {
			_ = x.client.Close()
			return
		}
	}
}

func (x *Session) send(text []byte) error {
	x.write.Lock()
	defer x.write.Unlock()
	_, err := x.client.Write(text)
	return err
}

// Send sends CopyData messages with these bodies.
func Send(bodies ...[]byte) Step {
	return func(x *Session) error {
		var out []byte
		for _, b := range bodies {
			out = append(out, message('d', b)...)
		}
		return x.send(out)
	}
}

// startOf is the place in START_REPLICATION SLOT "x" LOGICAL 0/1A2B (...).
func startOf(query string) uint64 {
	var hi, lo uint64
	_, place, _ := strings.Cut(query, " LOGICAL ")
	_, _ = fmt.Sscanf(place, "%X/%X", &hi, &lo) // 0 begins at the beginning
	return hi<<32 | lo
}

// Stream sends recorded messages as a server does: transactions that committed before the place that was asked for are
// left out, and what they described is described in the next one.
func Stream(bodies ...[]byte) Step {
	const data = 1 + 8 + 8 + 8
	return func(x *Session) error {
		skip := false
		var relations [][]byte
		for _, b := range bodies {
			if b[0] == 'w' && b[data] == 'B' {
				skip = binary.BigEndian.Uint64(b[data+1:]) < x.from
			}
			send := [][]byte{b}
			switch {
			case skip && b[0] == 'w' && b[data] == 'R':
				relations = append(relations, b)
				continue
			case skip && b[0] == 'w':
				continue
			case b[0] == 'w' && b[data] == 'B':
				send, relations = append(send, relations...), nil
			}
			if err := Send(send...)(x); err != nil {
				return err
			}
		}
		return nil
	}
}

// Dribble sends them in pieces of n bytes.
func Dribble(n int, bodies ...[]byte) Step {
	return func(x *Session) error {
		for _, b := range bodies {
			for text := message('d', b); len(text) > 0; {
				k := min(n, len(text))
				if err := x.send(text[:k]); err != nil {
					return err
				}
				text = text[k:]
			}
		}
		return nil
	}
}

// Fail sends an error, as a server does that cannot go on.
func Fail(state, text string) Step {
	return func(x *Session) error {
		return x.send(message('E', []byte("SERROR\x00VERROR\x00C"+state+"\x00M"+text+"\x00\x00")))
	}
}

// Hangup ends the connection.
func Hangup(*Session) error { return errHangup }

// Await waits for a status update that is as wanted, or for the end of the client.
func Await(want func(Status) bool) Step {
	return func(x *Session) error {
		for {
			if slices.ContainsFunc(x.s.Statuses(), want) {
				return nil
			}
			select {
			case <-x.changed:
			case <-x.done:
				return errHangup
			}
		}
	}
}
