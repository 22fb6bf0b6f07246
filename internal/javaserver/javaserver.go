// SPDX-License-Identifier: Apache-2.0

// Package javaserver runs servers that are written in Java for tests, from the jars of Maven Central.
//
// Jars are found or fetched once, into the user's cache folder; Start runs a server with them, which dies with this process.
// The packages of single servers stand on it, such as internal/kafkaserver.
package javaserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// Programs are what a server is started with.
type Programs struct {
	Java string // the program
	Libs string // folder of jars
}

// Jars are what a server needs, as a project of Maven names it.
type Jars struct {
	Name    string // of the folder, such as kafka-4.1.1
	Project []byte // pom.xml
	// Goals are run in the project's folder; the last one fills target/libs. None copies the dependencies there.
	Goals [][]string
}

// Find makes sure that Java and the jars are there. Where this is root and there is apt-get, what is missing is installed.
func (j Jars) Find(ctx context.Context, log *slog.Logger) (Programs, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return Programs{}, fmt.Errorf("find the cache folder: %w", err)
	}
	p := Programs{Libs: filepath.Join(cache, "freshet", j.Name)}
	if p.Java, err = program(ctx, log, "java", "default-jre-headless"); err != nil {
		return Programs{}, err
	}
	if _, err := os.Stat(p.Libs); err == nil {
		return p, nil
	}
	mvn, err := program(ctx, log, "mvn", "maven")
	if err != nil {
		return Programs{}, err
	}
	log.Info("fetching by Maven", "what", j.Name)
	return p, j.fetch(ctx, mvn, p.Libs)
}

// program looks for a program, and installs the package of it where that can be done.
func program(ctx context.Context, log *slog.Logger, name, pkg string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return "", fmt.Errorf("%s is not on PATH: install it (package %s)", name, pkg)
	}
	log.Info("installing by apt-get", "package", pkg)
	for _, args := range [][]string{
		{"-qq", "update"},
		{"-qq", "-y", "-o", "DPkg::Lock::Timeout=300", "--no-install-recommends", "install", pkg},
	} {
		cmd := exec.CommandContext(ctx, apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("install %s: %w: %s", pkg, err, tail(out))
		}
	}
	return exec.LookPath(name)
}

// fetch fills a folder with the jars: in a folder beside it first, so that it is complete or not there.
func (j Jars) fetch(ctx context.Context, mvn, libs string) error {
	if err := os.MkdirAll(filepath.Dir(libs), 0o755); err != nil {
		return fmt.Errorf("create the folder of %s: %w", j.Name, err)
	}
	work, err := os.MkdirTemp(filepath.Dir(libs), "fetch-")
	if err != nil {
		return fmt.Errorf("create the folder of %s: %w", j.Name, err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), j.Project, 0o600); err != nil {
		return fmt.Errorf("write the project of %s: %w", j.Name, err)
	}
	goals := j.Goals
	if goals == nil {
		goals = [][]string{{"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=target/libs"}}
	}
	for _, goal := range goals {
		cmd := exec.CommandContext(ctx, mvn, append([]string{"-q", "-B"}, goal...)...)
		cmd.Dir = work
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("fetch %s by Maven: %w: %s", j.Name, err, tail(out))
		}
	}
	if err := os.Rename(filepath.Join(work, "target", "libs"), libs); err != nil && !errors.Is(err, os.ErrExist) {
		if _, there := os.Stat(libs); there != nil { // another process was faster
			return fmt.Errorf("keep the jars of %s: %w", j.Name, err)
		}
	}
	return nil
}

// Command runs a class of the jars, with at most so many megabytes of heap and a quick start.
func (p Programs) Command(ctx context.Context, heapMB int, args ...string) *exec.Cmd {
	flags := []string{
		"-Xms48m", "-Xmx" + strconv.Itoa(heapMB) + "m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Dlog4j2.level=WARN",
		"-cp", filepath.Join(p.Libs, "*"),
	}
	return exec.CommandContext(ctx, p.Java, append(flags, args...)...)
}

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
