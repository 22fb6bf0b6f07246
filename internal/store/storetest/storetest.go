// SPDX-License-Identifier: Apache-2.0

// Package storetest has file systems for tests of what is kept in a store: one that can crash, and one whose n-th write
// fails. Its main type is FS.
package storetest

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// FS is a file system in memory. It is safe for concurrent use.
type FS struct {
	vfs.FS
	mem *vfs.MemFS

	writes atomic.Int64 // that counted so far
	failAt atomic.Int64 // the write that fails; 0 is none
	sticky atomic.Bool  // all later ones fail too
	cause  atomic.Pointer[error]
	room   atomic.Uint64
	gate   sync.RWMutex // held for reading by each sync
}

// New makes an empty file system.
func New() *FS { return wrap(vfs.NewCrashableMem()) }

func wrap(mem *vfs.MemFS) *FS {
	f := &FS{mem: mem}
	f.room.Store(1 << 40)
	f.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(f.inject))
	return f
}

// inject fails writes as FailAt asked.
func (f *FS) inject(op errorfs.Op) error {
	switch op.Kind {
	case errorfs.OpFileSync, errorfs.OpFileSyncData:
		f.gate.RLock()
		defer f.gate.RUnlock()
	case errorfs.OpRemove, errorfs.OpRemoveAll, errorfs.OpFileClose, errorfs.OpLock, errorfs.OpFilePreallocate:
		return nil // a full disk does not fail these
	}
	if op.Kind.ReadOrWrite() == errorfs.OpIsRead {
		return nil
	}
	n, at := f.writes.Add(1), f.failAt.Load()
	if at > 0 && (n == at || n > at && f.sticky.Load()) {
		return *f.cause.Load()
	}
	return nil
}

// Writes is how many writes there were.
func (f *FS) Writes() int64 { return f.writes.Load() }

// FailAt makes the n-th write from now on fail, and all later ones too if sticky. n = 0 ends failures.
func (f *FS) FailAt(n int64, sticky bool, err error) {
	f.cause.Store(&err)
	f.sticky.Store(sticky)
	if n > 0 {
		n += f.writes.Load()
	}
	f.failAt.Store(n)
}

// HoldSyncs keeps syncs waiting until release is called.
func (f *FS) HoldSyncs() (release func()) {
	f.gate.Lock()
	return sync.OnceFunc(f.gate.Unlock)
}

// SetRoom is what the file system says is free, in bytes.
func (f *FS) SetRoom(bytes uint64) { f.room.Store(bytes) }

// GetDiskUsage tells what SetRoom said.
func (f *FS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: f.room.Load(), TotalBytes: 1 << 40}, nil
}

// Crash is the file system as a power failure at this moment leaves it. Of what was not synced percent of the blocks are
// there, chosen by rng.
func (f *FS) Crash(percent int, rng *rand.Rand) *FS {
	return wrap(f.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}))
}
