// SPDX-License-Identifier: Apache-2.0

//go:build linux

package serverproc

import (
	"os/exec"
	"runtime"
	"syscall"
)

// process is a running server.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and been waited for
}

// spawn starts the server. It dies with this process: the kernel watches the thread that forked, so one goroutine, locked to
// its thread, starts and waits.
func spawn(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread() // a thread that ends takes along what it has started before it was locked
	defer close(p.done)
	err := p.cmd.Start()
	started <- err
	if err == nil {
		_ = p.cmd.Wait() // how it ended stands in its log
	}
}

func (p *process) kill() { _ = p.cmd.Process.Kill() }
