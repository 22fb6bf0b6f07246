// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// disks are the ways to fill a disk that there are here: a small file system where mounting one is allowed, and a limit
// for the size of files everywhere.
func disks(t *testing.T) []disk {
	t.Helper()
	out := []disk{limitedFiles(t)}
	if d, ok := smallFileSystem(t); ok {
		out = append(out, d)
	}
	return out
}

// smallFileSystem mounts a file system of 24 MiB that can grow.
func smallFileSystem(t *testing.T) (disk, bool) {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("freshet-test", dir, "tmpfs", 0, "size=24m")
	if err != nil {
		t.Logf("no file system can be mounted here: %v", err)
		return disk{}, false
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return disk{
		dir: filepath.Join(dir, "data"), words: []string{"no space left on device", "free space on its volume"},
		limit: func(*testing.T, *worker) {},
		stay:  func(*testing.T, *worker) {},
		grow: func(t *testing.T, _ *worker) {
			t.Helper()
			require.NoError(t, syscall.Mount("freshet-test", dir, "tmpfs", syscall.MS_REMOUNT, "size=512m"))
		},
	}, true
}

// limitedFiles limits the size of each file that a worker writes.
func limitedFiles(t *testing.T) disk {
	t.Helper()
	set := func(t *testing.T, w *worker, bytes uint64) {
		t.Helper()
		const rlimitFsize = 1
		limit := syscall.Rlimit{Cur: bytes, Max: ^uint64(0)}
		_, _, errno := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(w.cmd.Process.Pid), rlimitFsize, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
		require.Zero(t, errno, "%v", os.NewSyscallError("prlimit", errno))
	}
	return disk{
		dir: filepath.Join(t.TempDir(), "data"), words: []string{"file too large", "check the disk"},
		limit: func(t *testing.T, w *worker) { t.Helper(); set(t, w, 3<<20) },
		stay:  func(t *testing.T, w *worker) { t.Helper(); set(t, w, 1) },
		grow: func(t *testing.T, w *worker) {
			t.Helper()
			if w != nil {
				set(t, w, ^uint64(0))
			}
		},
	}
}
