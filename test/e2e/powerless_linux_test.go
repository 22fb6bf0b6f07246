// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// startPowerless starts a process that the modes of files hold for, even if it is root's.
//
// A root process gets its capabilities from the bounding set of the thread that forks it. So one goroutine takes the
// capability from its own thread, starts the process and ends, and the thread with it, as it stays locked.
func startPowerless(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	return startBy(t, cmd, nil, func() error {
		started := make(chan error, 1)
		go func() {
			runtime.LockOSThread()
			const prCapBSetDrop, capDACOverride = 24, 1
			if syscall.Geteuid() == 0 {
				if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prCapBSetDrop, capDACOverride, 0); errno != 0 {
					started <- errno
					return
				}
			}
			started <- cmd.Start()
		}()
		return <-started
	})
}
