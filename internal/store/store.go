// SPDX-License-Identifier: Apache-2.0

// Package store is the data folder of a worker: the only package that opens Pebble, and the owner of its key layout.
//
// Its main type is DB. It keeps what the embedded log writes (topics, chunks of records, marks, group offsets) and what
// the standalone herder keeps (connector configurations, target states, status). Everything written is in a Batch, which
// becomes durable at once or not at all.
//
// A DB outlives the errors of its disk: the first write that fails makes it failed, every later call then returns the
// same *Error, and the folder stays as it was at that moment. Reopen opens it anew in the same process. Batches and
// calls may come from several goroutines.
package store

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options tune a DB. The zero value is a working default, but for Log.
type Options struct {
	// Log is told of faults; what Pebble does is in its debug level. nil discards.
	Log *slog.Logger
	// FS is the file system; nil is the machine's.
	FS vfs.FS
	// MemTableBytes is the size of Pebble's write buffers, of which there are at most three. Default 4 MiB.
	MemTableBytes int64
	// CacheBytes is the size of the cache of blocks read. Default 8 MiB.
	CacheBytes int64
	// MinFreeBytes is the room that Reopen asks for after the disk was full, so that it does not fill up again while
	// opening. Default 64 MiB.
	MinFreeBytes int64
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.MemTableBytes <= 0 {
		o.MemTableBytes = 4 << 20
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = 8 << 20
	}
	if o.MinFreeBytes <= 0 {
		o.MinFreeBytes = 64 << 20
	}
	return o
}

// DB is an open data folder.
type DB struct {
	dir  string
	o    Options
	lock *dirLock

	// mu is held for reading by every call that uses p, and for writing where p is opened or closed.
	mu    sync.RWMutex
	p     *pebble.DB // nil once failed or closed
	fence *fence
	epoch uint64 // counts openings; a batch belongs to one
	done  bool   // Close was called

	reopening sync.Mutex // one Reopen at a time
}

// Open opens the data folder dir, and makes it (mode 0700) if it does not exist. Its errors are *Error.
func Open(dir string, o Options) (*DB, error) {
	o = o.withDefaults()
	if o.FS == vfs.Default {
		// One folder has one name here, so that a second Open in this process is refused under any spelling.
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, fault("resolve its path", dir, err)
		}
		dir = abs
	}
	if err := o.FS.MkdirAll(dir, 0o700); err != nil {
		return nil, fault("make the folder", dir, err)
	}
	if o.FS == vfs.Default {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
	}
	lock, err := lockDir(o.FS, dir)
	if err != nil {
		return nil, err
	}
	db := &DB{dir: dir, o: o, lock: lock}
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.open(layout); err != nil {
		_ = lock.release()
		return nil, err
	}
	o.Log.Info("data folder opened", "dir", dir)
	return db, nil
}

// open opens Pebble behind a new fence and checks the format. The caller holds db.mu for writing.
func (db *DB) open(l formats) error {
	f := &fence{FS: db.o.FS, dir: db.dir, torn: make(chan struct{})}
	f.onFail = func(e *Error) { db.failed(f, e) }
	p, err := db.openPebble(f, l)
	if err != nil {
		return openFault(db.dir, err)
	}
	f.armed.Store(true)
	if e := f.err.Load(); e != nil { // by a goroutine of Pebble, before f was armed
		_ = p.Close()
		return e
	}
	db.p, db.fence = p, f
	db.epoch++
	return nil
}

// openPebble returns a Pebble of the right format, all of whose writes have worked so far.
func (db *DB) openPebble(f *fence, l formats) (*pebble.DB, error) {
	opts := db.pebbleOptions(f)
	defer opts.Cache.Unref()
	p, err := pebble.Open(db.dir, opts)
	if err == nil {
		err = l.prepare(p, db.dir)
	}
	if e := f.err.Load(); e != nil {
		err = e // the reason for what came after it
	}
	if err != nil && p != nil {
		f.fail("open", err) // closing is to write nothing
		_ = p.Close()
	}
	return p, err
}

// failed is told by a fence that a write failed. Pebble is closed in the background: it must not go on working on a
// folder that it can no longer change, and the goroutine that tells it may be one of Pebble's own. Reopen and Close
// wait for it by the fence's torn.
func (db *DB) failed(f *fence, e *Error) {
	db.o.Log.Error("data folder failed", "dir", db.dir, "doing", e.Op, "err", e.Err, "hint", e.Hint)
	go func() {
		defer close(f.torn)
		db.mu.Lock()
		defer db.mu.Unlock()
		if db.p != nil && db.fence == f {
			db.closePebble()
		}
	}()
}

// closePebble closes and forgets p. The caller holds db.mu for writing.
func (db *DB) closePebble() {
	err := db.p.Close()
	db.p = nil
	if err != nil && !db.fence.closed() {
		db.fence.fail("close", err)
	}
}

// Err is why the DB is failed, nil while it works. It is an *Error, or ErrClosed.
func (db *DB) Err() error {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return db.errLocked()
}

func (db *DB) errLocked() error {
	if db.done {
		return ErrClosed
	}
	if e := db.fence.err.Load(); e != nil {
		return e
	}
	return nil
}

// read calls f with the open Pebble, which stays open until f returns.
func (db *DB) read(op string, f func(p *pebble.DB) error) error {
	db.mu.RLock()
	defer db.mu.RUnlock()
	if err := db.errLocked(); err != nil {
		return err
	}
	if err := f(db.p); err != nil {
		// What a closed fence swallowed cannot be read either: the reason is the one that closed it.
		if e := db.fence.err.Load(); e != nil {
			return e
		}
		return fault(op, db.dir, err)
	}
	return nil
}

// Reopen makes a failed DB work again: it opens the folder as it would be after a crash. What was acknowledged is there;
// of what was not, each batch is there or is not. On a DB that works it does nothing.
func (db *DB) Reopen() error {
	db.reopening.Lock()
	defer db.reopening.Unlock()
	db.mu.RLock()
	err, f := db.errLocked(), db.fence
	db.mu.RUnlock()
	if err == nil || errors.Is(err, ErrClosed) {
		return err
	}
	<-f.torn
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.done {
		return ErrClosed
	}
	if err := db.checkRoom(); err != nil {
		return err
	}
	if err := db.open(layout); err != nil {
		return err
	}
	db.o.Log.Info("data folder opened again", "dir", db.dir)
	return nil
}

// checkRoom refuses to open a folder on a disk that is as good as full.
func (db *DB) checkRoom() error {
	if !errors.Is(db.fence.err.Load(), ErrNoSpace) {
		return nil
	}
	// Where it cannot be known how much there is, trying is the way to find out.
	if use, err := db.o.FS.GetDiskUsage(db.dir); err == nil && use.AvailBytes < uint64(db.o.MinFreeBytes) {
		return db.fence.err.Load()
	}
	return nil
}

// Dir is the absolute path of the data folder.
func (db *DB) Dir() string { return db.dir }

// DiskBytes is how much room the folder takes up.
func (db *DB) DiskBytes() uint64 {
	var n uint64
	_ = db.read("measure", func(p *pebble.DB) error {
		n = p.Metrics().DiskSpaceUsage()
		return nil
	})
	return n
}

// Close closes the folder and gives the lock back. It waits for calls under way. Closing again does nothing.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.done {
		db.mu.Unlock()
		return nil
	}
	db.done = true
	f, working := db.fence, !db.fence.closed()
	if db.p != nil {
		db.closePebble()
	}
	db.mu.Unlock()
	var err error
	if e := f.err.Load(); e != nil {
		<-f.torn
		if working { // an earlier failure was told already
			err = e
		}
	}
	return errors.Join(err, db.lock.release())
}

// pid is this process, as the pid file has it.
var pid = os.Getpid()
