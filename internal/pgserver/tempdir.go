// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"freshet/internal/serverproc"
)

const lockSuffix = ".lock"

// temporaryDir makes a folder for a server and locks it for as long as this process lives. A process that is killed
// cannot clean up: the next one removes every folder whose lock nobody holds.
//
// Not os.MkdirTemp alone: a test's temporary folder may be closed to the user that the server runs as.
func temporaryDir() (dir string, unlock func(), err error) {
	base := filepath.Join(os.TempDir(), "freshet-pg-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(base, 0o755); err != nil {
		return "", nil, fmt.Errorf("create the folder of servers: %w", err)
	}
	// The sweep must not see a folder between its creation and its lock.
	unlockBase, err := serverproc.Lock(filepath.Join(base, "base"+lockSuffix))
	if err != nil {
		return "", nil, err
	}
	defer unlockBase()
	sweep(base)
	if dir, err = os.MkdirTemp(base, "server-"); err != nil {
		return "", nil, fmt.Errorf("create the server's folder: %w", err)
	}
	if unlock, err = serverproc.Lock(dir + lockSuffix); err != nil {
		return "", nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", nil, fmt.Errorf("create the server's folder: %w", err)
	}
	return dir, unlock, nil
}

// sweep removes what killed processes left behind. What cannot be removed now is left for the next sweep.
func sweep(base string) {
	locks, _ := filepath.Glob(filepath.Join(base, "server-*"+lockSuffix))
	for _, path := range locks {
		unlock, err := serverproc.TryLock(path)
		if err != nil {
			continue // its process lives
		}
		if os.RemoveAll(strings.TrimSuffix(path, lockSuffix)) == nil {
			_ = os.Remove(path)
		}
		unlock()
	}
}
