// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package serverproc

import "os/exec"

// process is a running server. Outside of Linux it may outlive a caller that is killed.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and been waited for
}

func spawn(cmd *exec.Cmd) (*process, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go p.run()
	return p, nil
}

func (p *process) run() {
	defer close(p.done)
	_ = p.cmd.Wait() // how it ended stands in its log
}

func (p *process) kill() { _ = p.cmd.Process.Kill() }
