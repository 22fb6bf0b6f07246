// SPDX-License-Identifier: Apache-2.0

package store

import (
	"os"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// fence stands between one opened Pebble and the file system, and makes every failed write look like a crash.
//
// Pebble ends the process on an error of its log or manifest, sometimes by a panic with its mutex in a state that no
// recover can mend. So it never sees one: the first write that fails closes the fence, and from then on every write is
// swallowed and said to have worked. The folder stays as it was at that moment, as after a power failure, which Pebble
// can always open again; and whoever commits asks the fence afterwards whether it is still open. What was swallowed
// was never acknowledged.
type fence struct {
	vfs.FS
	dir    string
	err    atomic.Pointer[Error]
	armed  atomic.Bool   // opening has succeeded: from now on onFail is called
	onFail func(*Error)  // called once, by the goroutine whose write failed; must not block
	torn   chan struct{} // closed once Pebble was closed because of a failure
}

// fail closes the fence. The first reason stays.
func (f *fence) fail(op string, err error) {
	e := fault(op, f.dir, err)
	if f.err.CompareAndSwap(nil, e) && f.armed.Load() {
		f.onFail(e)
	}
}

// check closes the fence if err is not nil.
func (f *fence) check(op, name string, err error) {
	if err != nil {
		f.fail(op+" "+f.PathBase(name), err)
	}
}

// closed says whether writes are swallowed.
func (f *fence) closed() bool { return f.err.Load() != nil }

func (f *fence) wrap(op, name string, file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		f.check(op, name, err)
		return &voidFile{name: f.PathBase(name)}, nil
	}
	return &fencedFile{File: file, fence: f, name: name}, nil
}

func (f *fence) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if f.closed() {
		return &voidFile{name: f.PathBase(name)}, nil
	}
	file, err := f.FS.Create(name, category)
	return f.wrap("create", name, file, err)
}

func (f *fence) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	if f.closed() {
		return &voidFile{name: f.PathBase(name)}, nil
	}
	file, err := f.FS.OpenReadWrite(name, category, opts...)
	return f.wrap("open", name, file, err)
}

func (f *fence) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if f.closed() {
		return &voidFile{name: f.PathBase(newname)}, nil
	}
	file, err := f.FS.ReuseForWrite(oldname, newname, category)
	return f.wrap("reuse", newname, file, err)
}

// OpenDir is a read, but its file is there to be synced.
func (f *fence) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &fencedFile{File: file, fence: f, name: name}, nil
}

func (f *fence) Link(oldname, newname string) error {
	if !f.closed() {
		f.check("link", newname, f.FS.Link(oldname, newname))
	}
	return nil
}

func (f *fence) Rename(oldname, newname string) error {
	if !f.closed() {
		f.check("rename", newname, f.FS.Rename(oldname, newname))
	}
	return nil
}

func (f *fence) MkdirAll(dir string, perm os.FileMode) error {
	if !f.closed() {
		f.check("make folder", dir, f.FS.MkdirAll(dir, perm))
	}
	return nil
}

// Remove lets errors through: a file that stays does no harm.
func (f *fence) Remove(name string) error {
	if f.closed() {
		return nil
	}
	return f.FS.Remove(name)
}

func (f *fence) RemoveAll(name string) error {
	if f.closed() {
		return nil
	}
	return f.FS.RemoveAll(name)
}

func (f *fence) Unwrap() vfs.FS { return f.FS }

// fencedFile is a file opened while the fence was open.
type fencedFile struct {
	vfs.File
	fence *fence
	name  string
}

func (f *fencedFile) Write(p []byte) (int, error) {
	if !f.fence.closed() {
		_, err := f.File.Write(p)
		f.fence.check("write", f.name, err)
	}
	return len(p), nil
}

func (f *fencedFile) WriteAt(p []byte, off int64) (int, error) {
	if !f.fence.closed() {
		_, err := f.File.WriteAt(p, off)
		f.fence.check("write", f.name, err)
	}
	return len(p), nil
}

// Preallocate is only a wish: where there is no room for it, Write will say so.
func (f *fencedFile) Preallocate(offset, length int64) error {
	if !f.fence.closed() {
		_ = f.File.Preallocate(offset, length)
	}
	return nil
}

func (f *fencedFile) Sync() error {
	if !f.fence.closed() {
		f.fence.check("sync", f.name, f.File.Sync())
	}
	return nil
}

func (f *fencedFile) SyncData() error {
	if !f.fence.closed() {
		f.fence.check("sync", f.name, f.File.SyncData())
	}
	return nil
}

func (f *fencedFile) SyncTo(length int64) (bool, error) {
	if f.fence.closed() {
		return false, nil
	}
	full, err := f.File.SyncTo(length)
	f.fence.check("sync", f.name, err)
	return full, nil
}

func (f *fencedFile) Close() error {
	if err := f.File.Close(); !f.fence.closed() {
		f.fence.check("close", f.name, err)
	}
	return nil
}

// voidFile stands for a file that could not be made. It holds nothing.
type voidFile struct {
	name string
	size int64
}

var _ vfs.File = (*voidFile)(nil)

func (f *voidFile) Write(p []byte) (int, error) { f.size += int64(len(p)); return len(p), nil }

func (f *voidFile) WriteAt(p []byte, off int64) (int, error) {
	f.size = max(f.size, off+int64(len(p)))
	return len(p), nil
}

func (f *voidFile) Read([]byte) (int, error)          { return 0, os.ErrNotExist }
func (f *voidFile) ReadAt([]byte, int64) (int, error) { return 0, os.ErrNotExist }
func (f *voidFile) Close() error                      { return nil }
func (f *voidFile) Preallocate(int64, int64) error    { return nil }
func (f *voidFile) Sync() error                       { return nil }
func (f *voidFile) SyncData() error                   { return nil }
func (f *voidFile) SyncTo(int64) (bool, error)        { return false, nil }
func (f *voidFile) Prefetch(int64, int64) error       { return nil }
func (f *voidFile) Fd() uintptr                       { return vfs.InvalidFd }
func (f *voidFile) Stat() (vfs.FileInfo, error)       { return voidInfo{f}, nil }

// voidInfo is the little that is known of a voidFile.
type voidInfo struct{ f *voidFile }

func (i voidInfo) Name() string           { return i.f.name }
func (i voidInfo) Size() int64            { return i.f.size }
func (i voidInfo) Mode() os.FileMode      { return 0o600 }
func (i voidInfo) ModTime() time.Time     { return time.Time{} }
func (i voidInfo) IsDir() bool            { return false }
func (i voidInfo) Sys() any               { return nil }
func (i voidInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
