// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// pidName is the file that says who holds the lock. It is beside LOCK because a process that opens and closes a locked
// file would lose its lock.
const pidName = "PID"

// dirLock keeps other processes out of a data folder, from Open to Close, also while Pebble is opened anew.
type dirLock struct {
	*pebble.Lock
	fs  vfs.FS
	pid string // path of the pid file
}

func lockDir(fs vfs.FS, dir string) (*dirLock, error) {
	pidPath := fs.PathJoin(dir, pidName)
	l, err := pebble.LockDirectory(dir, fs)
	if err != nil {
		if isHeld(err) {
			return nil, &Error{
				Op: "lock", Dir: dir, final: true, Err: joined{heldBy(fs, pidPath), ErrLocked},
				Hint: "stop that process, or give this one a data.dir of its own",
			}
		}
		return nil, fault("lock", dir, err)
	}
	// Without the pid file all works but the message above, so an error of it is none.
	_ = writeFile(fs, pidPath, strconv.Itoa(pid)+"\n")
	return &dirLock{Lock: l, fs: fs, pid: pidPath}, nil
}

func (l *dirLock) release() error {
	_ = l.fs.Remove(l.pid)
	return l.Lock.Close()
}

// isHeld tells a lock that another one holds from one that cannot be made.
func isHeld(err error) bool {
	// EACCES is a held lock by POSIX, but a folder without rights too; Linux and the BSDs say EAGAIN.
	return errors.Is(err, syscall.EAGAIN) || strings.Contains(err.Error(), "lock held by current process")
}

// heldBy says who holds the lock, as far as the pid file tells.
func heldBy(fs vfs.FS, pidPath string) error {
	holder := "another process"
	if f, err := fs.Open(pidPath); err == nil {
		b, _ := io.ReadAll(io.LimitReader(f, 32))
		_ = f.Close()
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			holder = fmt.Sprintf("process %d", n)
		}
	}
	return fmt.Errorf("it is in use by %s", holder)
}

func writeFile(fs vfs.FS, name, content string) error {
	f, err := fs.Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(content))
	return errors.Join(err, f.Close())
}
