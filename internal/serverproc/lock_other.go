// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package serverproc

import (
	"errors"
	"os"
)

// Lock opens the file, which keeps nobody out.
func Lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

// TryLock never gets the lock: nothing here tells a live process's folder from a dead one's.
func TryLock(string) (unlock func(), err error) { return nil, errors.ErrUnsupported }
