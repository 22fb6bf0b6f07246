// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package e2e

import (
	"os/exec"
	"testing"
)

// startPowerless starts a process that the modes of files hold for. ElsewhereError than on Linux tests do not run as root.
func startPowerless(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	return startCommand(t, cmd, nil)
}
