// SPDX-License-Identifier: Apache-2.0

// Package walsendertest stands between a Reader and a PostgreSQL server. It passes everything on, records what the server
// streams and every status update that the client sends, and serves a script instead of the server's stream where a test
// wants a server that is slow, silent or gone at an exact place.
//
// Its main type is Server. Its messages are built by the functions of messages.go, which a test holds against the bytes of
// the real server.
package walsendertest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Status is a Standby Status Update.
type Status struct {
	Written, Flushed, Applied uint64
	Reply                     bool
}

// Server listens where clients connect to.
type Server struct {
	Host string
	Port int

	upstream string
	listener net.Listener
	group    sync.WaitGroup

	mu       sync.Mutex // guards what follows
	conns    map[net.Conn]bool
	onStatus func(Status)
	statuses []Status
	recorded [][]byte // CopyData bodies of the server
	script   []Step
}

// Step is a part of a script. It returns an error where the connection is to end.
type Step func(s *Session) error

// errHangup ends a session.
var errHangup = errors.New("hang up")

// Serve listens in front of the server at upstream, until the test ends.
func Serve(t testing.TB, upstream string) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // ends with the test
	require.NoError(t, err)
	s := &Server{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, upstream: upstream, listener: l, conns: map[net.Conn]bool{}}
	s.group.Go(s.accept)
	t.Cleanup(s.close)
	return s
}

// OnStatus is called with every status update, before anybody acts on it, one at a time.
func (s *Server) OnStatus(f func(Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onStatus = f
}

// Statuses are the updates so far.
func (s *Server) Statuses() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Status(nil), s.statuses...)
}

// Recorded are the bodies of what the real server streamed so far: WAL data and keep-alives.
func (s *Server) Recorded() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]byte(nil), s.recorded...)
}

// Script serves the next START_REPLICATION, instead of the real server.
func (s *Server) Script(steps ...Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = steps
}

func (s *Server) takeScript() []Step {
	s.mu.Lock()
	defer s.mu.Unlock()
	steps := s.script
	s.script = nil
	return steps
}

func (s *Server) status(u Status) {
	s.mu.Lock()
	s.statuses = append(s.statuses, u)
	f := s.onStatus
	s.mu.Unlock()
	if f != nil {
		f(u)
	}
}

func (s *Server) record(body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recorded = append(s.recorded, bytes.Clone(body))
}

func (s *Server) close() {
	_ = s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	s.group.Wait()
}

// track makes close end the connection; false after close.
func (s *Server) track(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		_ = c.Close()
		return false
	}
	s.conns[c] = true
	return true
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		s.group.Go(func() { s.serve(c) })
	}
}

// serve is one connection of a client.
func (s *Server) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	start, err := startup(client)
	if err != nil || !s.track(client) {
		return
	}
	server, err := net.Dial("tcp", s.upstream) //nolint:noctx // ends with the test
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	if !s.track(server) {
		return
	}
	if _, err := server.Write(start); err != nil {
		return
	}
	x := &Session{s: s, client: client, server: server, changed: make(chan struct{}, 1), done: make(chan struct{})}
	x.replication = bytes.Contains(start, []byte("replication\x00database\x00"))
	s.group.Go(func() { x.fromServer() })
	x.fromClient()
}

// startup reads the first message of a client; encryption is refused.
func startup(c net.Conn) ([]byte, error) {
	const sslRequest, gssRequest = 80877103, 80877104
	for {
		head := make([]byte, 8)
		if _, err := io.ReadFull(c, head); err != nil {
			return nil, err
		}
		code := binary.BigEndian.Uint32(head[4:])
		if code == sslRequest || code == gssRequest {
			if _, err := c.Write([]byte{'N'}); err != nil {
				return nil, err
			}
			continue
		}
		n := int(binary.BigEndian.Uint32(head))
		if n < 8 || n > 1<<16 {
			return nil, errors.New("startup message of " + strconv.Itoa(n) + " bytes")
		}
		out := append(head, make([]byte, n-8)...)
		_, err := io.ReadFull(c, out[8:])
		return out, err
	}
}
