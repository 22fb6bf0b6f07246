// SPDX-License-Identifier: Apache-2.0

// Package serverproc runs servers as child processes of tests: Start waits until one answers, and it dies with this
// process. Beside it is what packages of single servers share: folders, free ports, locks between processes, and the
// cache of programs that were fetched.
package serverproc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startTimeout = 90 * time.Second
	pollEvery    = 50 * time.Millisecond
)

// Server is a process that runs.
type Server struct {
	process *process
	log     string
}

// Start runs a command and waits until it answers at an address, host:port. Its output is appended to the file log.
func Start(ctx context.Context, cmd *exec.Cmd, address, log string) (*Server, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the server's log: %w", err)
	}
	defer func() { _ = out.Close() }()
	cmd.Stdout, cmd.Stderr = out, out
	s := &Server{log: log}
	if s.process, err = spawn(cmd); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	if err := s.answers(ctx, address); err != nil {
		s.Kill()
		return nil, err
	}
	return s, nil
}

func (s *Server) answers(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-s.process.done:
			return fmt.Errorf("the server ended: %s", s.Tail())
		case <-ctx.Done():
			return fmt.Errorf("the server does not answer: %w: %s", ctx.Err(), s.Tail())
		}
	}
}

// Tail is the end of the server's output.
func (s *Server) Tail() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return tail(text)
}

func tail(text []byte) string { return string(text[max(0, len(text)-2000):]) }

// Kill ends the server at once, as a power cut would.
func (s *Server) Kill() {
	if s == nil {
		return
	}
	s.process.kill()
	<-s.process.done
}

// Stop asks the server to end, and kills it where it does not within a time.
func (s *Server) Stop(patience time.Duration) {
	_ = s.process.cmd.Process.Signal(syscall.SIGTERM)
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-s.process.done:
	case <-late.C:
		s.Kill()
	}
}

// Folder makes a folder for a server of this process; its name begins with prefix. Those that processes left that are gone are
// removed: one that is killed cannot clean up.
func Folder(prefix string) (string, error) {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	for _, dir := range dirs {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		if n, err := strconv.Atoi(pid); err == nil && errors.Is(syscall.Kill(n, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir)
		}
	}
	dir, err := os.MkdirTemp("", prefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return "", fmt.Errorf("create the folder of a server: %w", err)
	}
	return dir, nil
}

// FreePorts are ports of 127.0.0.1 that nobody listens on.
func FreePorts(n int) ([]int, error) {
	var out []int
	for range n {
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer func() { _ = l.Close() }()
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	return out, nil
}

// CacheDir is where fetched server programs are kept: the folder in FRESHET_TEST_SERVERS, else the user's cache folder.
// A root caller's is the system's, since its servers run as another user, who may not look into root's own.
func CacheDir() string {
	if dir := os.Getenv("FRESHET_TEST_SERVERS"); dir != "" {
		return dir
	}
	if os.Geteuid() == 0 {
		return "/var/cache/freshet/servers"
	}
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, "freshet", "servers")
	}
	return filepath.Join(os.TempDir(), "freshet-servers-"+strconv.Itoa(os.Getuid()))
}
