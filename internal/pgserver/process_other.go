// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package pgserver

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Outside of Linux a server is started and stopped in the plain way: it has the caller's user, it may outlive a caller
// that is killed, and it cannot be frozen.

const sparseCopy = false

type process struct {
	pid  int
	cmd  *exec.Cmd
	done chan struct{}
}

func spawn(program string, args []string, out *os.File) (*process, error) {
	cmd := exec.Command(program, args...) //nolint:noctx // lives until it is stopped, not as long as a call
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, filepath.Dir(out.Name())
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{pid: cmd.Process.Pid, cmd: cmd, done: make(chan struct{})}
	go func() { // ends with the server; Stop, Kill and Close wait for done
		defer close(p.done)
		_ = cmd.Wait()
	}()
	return p, nil
}

// stop interrupts: a fast stop, whatever the mode.
func (p *process) stop(Mode) error { return p.cmd.Process.Signal(os.Interrupt) }

func (p *process) kill() { _ = p.cmd.Process.Kill() }

func (p *process) freeze(on bool) error {
	if on {
		return errors.ErrUnsupported
	}
	return nil
}

func serverAttr() (*syscall.SysProcAttr, error) { return nil, nil }

func giveToServer(string) error { return nil }
