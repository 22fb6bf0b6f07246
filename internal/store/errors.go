// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Errors that callers decide on.
var (
	// ErrNoSpace is in every error whose cause is a full disk.
	ErrNoSpace = errors.New("no space left on device")
	// ErrLocked is in the error of Open when another process has the data folder.
	ErrLocked = errors.New("data folder is in use")
	// ErrNewer is in the error of Open when a newer freshet wrote the data folder.
	ErrNewer = errors.New("data folder has a newer format")
	// ErrCorrupt is in every error whose cause is damaged data.
	ErrCorrupt = errors.New("data is damaged")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("data folder is closed")
)

// Error is what an operator sees when the data folder cannot be used: what was done to which folder, why it did not
// work, and the next step.
type Error struct {
	Op    string // what was being done
	Dir   string // the data folder
	Err   error  // the cause
	Hint  string // the next step
	final bool
}

// Error is one line with the next step at its end.
func (e *Error) Error() string {
	s := fmt.Sprintf("data folder %q: %s: %v", e.Dir, e.Op, e.Err)
	if e.Hint != "" {
		s += "; " + e.Hint
	}
	return s
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Retriable says whether Reopen may mend it without anybody doing more than making room or repairing the disk.
func (e *Error) Retriable() bool { return !e.final }

// fault makes an Error of what the file system or Pebble said.
// An error that is one already stays as it is.
func fault(op, dir string, err error) *Error {
	e := &Error{Op: op, Dir: dir, Err: err}
	var own *Error
	switch {
	case errors.As(err, &own):
		return own
	case vfs.IsNoSpaceError(err) || errors.Is(err, syscall.EDQUOT):
		e.Err = joined{err, ErrNoSpace}
		e.Hint = "nothing acknowledged is lost: free space on its volume, then work goes on at the next retry"
	case pebble.IsCorruptionError(err) || errors.Is(err, ErrCorrupt):
		e.Err, e.final = joined{err, ErrCorrupt}, true
		e.Hint = "stop, check the disk, and restore the folder from a copy, or move it away to begin anew with a snapshot"
	case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS):
		e.final = true
		e.Hint = fmt.Sprintf("make the folder writable for user id %d, or set data.dir to one that is", os.Getuid())
	case errors.Is(err, syscall.ENOTDIR):
		e.final = true
		e.Hint = "something that is not a folder is in its path: set data.dir to another one"
	default:
		e.Hint = "nothing acknowledged is lost: check the disk (dmesg), then work goes on at the next retry"
	}
	return e
}

// joined is an error with a sentinel added, printed as the error alone.
type joined struct{ err, is error }

func (j joined) Error() string   { return j.err.Error() }
func (j joined) Unwrap() []error { return []error{j.err, j.is} }
