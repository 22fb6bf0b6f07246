// SPDX-License-Identifier: Apache-2.0

//go:build linux

package pgserver

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const sparseCopy = true // cp is GNU's

// process is a running postmaster.
type process struct {
	pid  int
	done chan struct{} // closed when it has ended and been waited for
}

// spawn starts a program as the server's user. It dies with this process: the kernel then sends SIGQUIT, which is
// PostgreSQL's immediate stop.
//
// The kernel watches the thread that forked, not the process; so one goroutine, locked to its thread, starts and waits.
func spawn(program string, args []string, out *os.File) (*process, error) {
	attr, err := serverAttr()
	if err != nil {
		return nil, err
	}
	attr.Setpgid = true // Ctrl-C at a terminal is for us; we stop the server
	attr.Pdeathsig = syscall.SIGQUIT
	cmd := exec.Command(program, args...) //nolint:noctx // lives until it is stopped, not as long as a call
	cmd.SysProcAttr, cmd.Stdout, cmd.Stderr = attr, out, out
	cmd.Dir = filepath.Dir(out.Name())
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	p := &process{done: make(chan struct{})}
	started := make(chan error)
	go p.run(cmd, started) // ends with the server; Stop, Kill and Close wait for done
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) run(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // a thread that ends takes along what it has started before it was locked
	defer close(p.done)
	err := cmd.Start()
	if err == nil {
		p.pid = cmd.Process.Pid
	}
	started <- err
	if err == nil {
		_ = cmd.Wait() // how it ended stands in its log
	}
}

func (p *process) stop(m Mode) error {
	sig := map[Mode]syscall.Signal{Smart: syscall.SIGTERM, Fast: syscall.SIGINT, Immediate: syscall.SIGQUIT}[m]
	return signal(p.pid, sig)
}

// kill ends the postmaster first, so that it starts nothing new, then its children, and waits until they are gone: a
// new server refuses the data folder while one of them lives.
func (p *process) kill() {
	children := childrenOf(p.pid)
	_ = signal(p.pid, syscall.SIGKILL)
	for _, pid := range children {
		_ = signal(pid, syscall.SIGKILL)
	}
	deadline := time.Now().Add(stopTimeout)
	for _, pid := range children {
		for syscall.Kill(pid, 0) == nil && time.Now().Before(deadline) && !zombie(pid) {
			<-time.After(pollEvery)
		}
	}
}

// freeze stops the postmaster first, so that it forks no child that is missed.
func (p *process) freeze(on bool) error {
	sig := syscall.SIGCONT
	if on {
		sig = syscall.SIGSTOP
	}
	err := signal(p.pid, sig)
	for _, pid := range childrenOf(p.pid) {
		err = errors.Join(err, signal(pid, sig))
	}
	return err
}

// signal sends a signal; a process that is gone is no error.
func signal(pid int, sig syscall.Signal) error {
	if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %v to process %d: %w", sig, pid, err)
	}
	return nil
}

// childrenOf lists a process's children. They are in process groups of their own, so a group signal misses them.
func childrenOf(parent int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	var pids []int
	for _, path := range stats {
		if f := statFields(path); len(f) > 1 && string(f[1]) == strconv.Itoa(parent) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func zombie(pid int) bool {
	f := statFields(fmt.Sprintf("/proc/%d/stat", pid))
	return len(f) > 0 && string(f[0]) == "Z"
}

// statFields returns the fields of a stat file from the state on; before it stands the name, which may hold anything.
func statFields(path string) [][]byte {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil // gone meanwhile
	}
	return bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
}

// nobody is the user that a root caller's servers run as. PostgreSQL wants one that exists in the user database.
var nobody = sync.OnceValues(func() (*syscall.Credential, error) {
	u, err := user.Lookup("nobody")
	if err != nil {
		return nil, fmt.Errorf("find a user for the server, which does not run as root: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("find a user for the server: uid %q: %w", u.Uid, err)
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("find a user for the server: gid %q: %w", u.Gid, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
})

func serverAttr() (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	c, err := nobody()
	if err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: c}, nil
}

// giveToServer makes a file or folder the server user's.
func giveToServer(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	c, err := nobody()
	if err != nil {
		return err
	}
	if err := os.Chown(path, int(c.Uid), int(c.Gid)); err != nil {
		return fmt.Errorf("give %s to the server's user: %w", path, err)
	}
	return nil
}
