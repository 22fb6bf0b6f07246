// SPDX-License-Identifier: Apache-2.0

//go:build linux

package serverproc

import (
	"fmt"
	"os"
	"syscall"
)

// Lock takes an exclusive lock on a file between processes, and waits for it.
func Lock(path string) (unlock func(), err error) {
	return flock(path, syscall.LOCK_EX)
}

// TryLock is Lock without waiting.
func TryLock(path string) (unlock func(), err error) {
	return flock(path, syscall.LOCK_EX|syscall.LOCK_NB)
}

func flock(path string, how int) (func(), error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), how); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil // closing unlocks
}
