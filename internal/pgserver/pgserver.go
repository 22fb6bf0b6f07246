// SPDX-License-Identifier: Apache-2.0

// Package pgserver finds, installs and runs real PostgreSQL servers for the demo and for tests: on a free port, in a
// folder of their own, set up for logical decoding, and gone when the process that started them is gone.
//
// PostgreSQL refuses to run as root, so a root caller's servers run as "nobody". A server never outlives its starter:
// the kernel signals it when the starting process dies, however it dies.
package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// User is the superuser of every server started here.
const User = "postgres"

// Options say which server to start. The zero value is a server of any version on a free port with a random folder.
type Options struct {
	Bin          string            // folder of initdb and postgres; "" is what Find finds
	MinVersion   int               // for Find, when Bin is ""; 0 is 14
	Dir          string            // folder for data and log, made when missing; "" is a temporary one that Close removes
	Template     string            // folder that keeps initialised data folders to copy from; "" initialises each time
	Port         int               // 0 is a free one, found anew when it is taken before the server has it
	Password     string            // of User; required
	PasswordAuth bool              // ask User for the password too, not only the other roles
	Settings     map[string]string // postgresql.conf, over the defaults of conf
	StandbyOf    *Server           // a copy of its files, which follows it; it is stopped for a moment to be copied
	Log          *slog.Logger      // nil is silent
}

// Mode is how a server stops.
type Mode int

// The modes, as pg_ctl names them.
const (
	Smart     Mode = iota // waits until every client has gone
	Fast                  // rolls back and disconnects, with a checkpoint
	Immediate             // no checkpoint: the next start recovers
)

// Server is a running (or stopped, to be started again) PostgreSQL. Its methods are for one goroutine at a time.
type Server struct {
	opt     Options
	bin     string
	dir     string // holds data/ and server.log
	ownsDir func() // lets go of the temporary folder's lock; nil where the folder is the caller's
	port    int
	proc    *process // nil while stopped
}

// The waits are generous, for loaded machines: a server is ready after 0.1 s, and 20 times that is still no error.
const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
	pollEvery    = 5 * time.Millisecond
)

var errPortTaken = errors.New("the port is taken")

// New initialises a server's folder and starts the server. The caller owns it and must Close it.
func New(ctx context.Context, o Options) (*Server, error) {
	if o.Password == "" {
		return nil, errors.New("start postgres: the option Password is empty")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	bin := o.Bin
	if bin == "" {
		var err error
		if bin, err = Find(ctx, Want{Min: o.MinVersion, Log: o.Log}); err != nil {
			return nil, err
		}
	}
	s := &Server{opt: o, bin: bin, dir: o.Dir}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.firstStart(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepare makes the folder and the data folder in it, with the settings that do not depend on the port.
func (s *Server) prepare(ctx context.Context) error {
	if s.dir == "" {
		var err error
		if s.dir, s.ownsDir, err = temporaryDir(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return fmt.Errorf("create the server's folder: %w", err)
	}
	if err := giveToServer(s.dir); err != nil {
		return err
	}
	if err := s.makeData(ctx); err != nil {
		return err
	}
	return s.writeHBA()
}

// firstStart picks the port. Between picking and binding somebody else may take it: then with another one.
func (s *Server) firstStart(ctx context.Context) error {
	const attempts = 10
	for n := 1; ; n++ {
		s.port = s.opt.Port
		if s.port == 0 {
			var err error
			if s.port, err = freePort(); err != nil {
				return err
			}
		}
		err := s.Start(ctx)
		if errors.Is(err, errPortTaken) && s.opt.Port == 0 && n < attempts {
			continue
		}
		return err
	}
}

// Start starts a stopped server on the port it had, and waits until it accepts connections.
func (s *Server) Start(ctx context.Context) error {
	if s.proc != nil {
		return errors.New("start postgres: it is running")
	}
	if err := s.writeConf(); err != nil {
		return err
	}
	logFile, err := os.OpenFile(s.LogPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open the server's log: %w", err)
	}
	defer func() { _ = logFile.Close() }() // the child has its own copy
	from, err := logFile.Seek(0, 2)
	if err != nil {
		return fmt.Errorf("open the server's log: %w", err)
	}
	// A status of "ready" left by a killed server must not be taken for the new one's.
	if err := os.Remove(s.pidFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the killed server's pid file: %w", err)
	}
	p, err := spawn(filepath.Join(s.bin, "postgres"), []string{"-D", s.DataDir()}, logFile)
	if err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	if err := s.awaitReady(ctx, p); err != nil {
		p.kill()
		<-p.done
		tail := s.logFrom(from)
		if strings.Contains(tail, "Address already in use") {
			err = errPortTaken
		}
		return fmt.Errorf("start postgres on port %d: %w; its log says:\n%s", s.port, err, tail)
	}
	s.proc = p
	s.opt.Log.Debug("postgres started", "port", s.port, "data", s.DataDir(), "pid", p.pid)
	return nil
}

// awaitReady waits for the line in postmaster.pid that the server writes once it accepts connections.
func (s *Server) awaitReady(ctx context.Context, p *process) error {
	const statusLine = 7 // lines are pid, data folder, start time, port, socket folder, address, shared memory, status
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		text, err := os.ReadFile(s.pidFile())
		if lines := strings.Split(string(text), "\n"); err == nil && len(lines) > statusLine &&
			lines[0] == strconv.Itoa(p.pid) && strings.TrimSpace(lines[statusLine]) == "ready" {
			return nil
		}
		select {
		case <-p.done:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("wait until it is ready: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// Stop ends the server in the given mode and keeps its data. Stopping a stopped server does nothing.
func (s *Server) Stop(m Mode) error {
	if s.proc == nil {
		return nil
	}
	if err := s.proc.stop(m); err != nil {
		return fmt.Errorf("stop postgres: %w", err)
	}
	select {
	case <-s.proc.done:
		s.proc = nil
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("stop postgres: still running after %v; its log is %s", stopTimeout, s.LogPath())
	}
}

// Kill ends all processes of the server at once, as a power cut would, and keeps what is on disk.
func (s *Server) Kill() {
	if s.proc == nil {
		return
	}
	s.proc.kill()
	<-s.proc.done
	s.proc = nil
}

// Freeze stops every process of the server in its tracks (SIGSTOP): clients hang without an error. Thaw lets them go on.
func (s *Server) Freeze() error { return s.freeze(true) }

// Thaw ends Freeze.
func (s *Server) Thaw() error { return s.freeze(false) }

func (s *Server) freeze(on bool) error {
	if s.proc == nil {
		return errors.New("freeze postgres: it is not running")
	}
	return s.proc.freeze(on)
}

// Close stops the server without a checkpoint and removes its folder if New made it. It may be called twice.
func (s *Server) Close() error {
	if s.proc != nil {
		_ = s.proc.freeze(false) // a frozen process would not see the signal
	}
	err := s.Stop(Immediate)
	if err != nil {
		s.Kill()
	}
	if s.ownsDir != nil {
		err = errors.Join(err, os.RemoveAll(s.dir), os.Remove(s.dir+lockSuffix))
		s.ownsDir()
		s.ownsDir = nil
	}
	return err
}

// Host is the address the server listens on.
func (s *Server) Host() string { return "127.0.0.1" }

// Port is the same over restarts.
func (s *Server) Port() int { return s.port }

// DataDir is the data folder.
func (s *Server) DataDir() string { return filepath.Join(s.dir, "data") }

// LogPath is the file with the server's messages.
func (s *Server) LogPath() string { return filepath.Join(s.dir, "server.log") }

// Bin is the folder of the server's programs.
func (s *Server) Bin() string { return s.bin }

// DSN is the URL of a database of the server, for User.
func (s *Server) DSN(database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(User, s.opt.Password), Path: "/" + database,
		Host: net.JoinHostPort(s.Host(), strconv.Itoa(s.port)), RawQuery: "sslmode=disable",
	}
	return u.String()
}

func (s *Server) pidFile() string { return filepath.Join(s.DataDir(), "postmaster.pid") }

// logFrom returns what the server has said since byte from, at most the last 4 KB of it.
func (s *Server) logFrom(from int64) string {
	const most = 4 << 10
	text, err := os.ReadFile(s.LogPath())
	if err != nil {
		return err.Error()
	}
	text = text[min(from, int64(len(text))):]
	return string(text[max(0, len(text)-most):])
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // listens and closes: nothing to cancel
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port, nil
}
