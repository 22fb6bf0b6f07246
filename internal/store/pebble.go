// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/sstable/block"
)

// maxMemTables is how many write buffers there may be: one being filled, the others waiting for the disk.
const maxMemTables = 3

// pebbleOptions are tuned for a log: few large values, appended in key order, read soon after by scans, deleted by
// ranges. The benchmarks of the local log measure them: without the two policies below, appending took half as much CPU
// again, and wrote each record up to five times.
func (db *DB) pebbleOptions(f *fence) *pebble.Options {
	o := &pebble.Options{
		FS:                 f,
		Lock:               db.lock.Lock,
		FormatMajorVersion: pebble.FormatValueSeparation,
		// Write buffers take their memory from the cache, so it must hold them too.
		Cache:                       pebble.NewCache(db.o.CacheBytes + maxMemTables*db.o.MemTableBytes),
		MemTableSize:                uint64(db.o.MemTableBytes),
		MemTableStopWritesThreshold: maxMemTables,
		L0CompactionThreshold:       4,
		// Reads of a log seek once a chunk, so many tables in level 0 cost them little; a stopped writer costs more.
		L0StopWritesThreshold:      64,
		LBaseMaxBytes:              256 << 20,
		CompactionConcurrencyRange: func() (int, int) { return 1, 1 },
		MaxOpenFiles:               500,
		// Ranges that retention deletes give their room back soon, not only when the write buffer happens to be full.
		FlushDelayDeleteRange: time.Second,
		Logger:                pebbleLogger{db.o.Log, f},
		EventListener:         db.listener(f),
	}
	o.TargetFileSizes[0] = 8 << 20
	for i := range o.Levels {
		o.Levels[i].BlockSize = 32 << 10
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings {
		return pebble.UniformDBCompressionSettings(block.NoCompression)
	})
	o.Experimental.FileCacheShards = 1
	// Chunks have tables and files of their own. A table that held both the small values of the low spaces and chunks
	// would overlap with every other such table, and compaction would rewrite chunks for nothing.
	o.Experimental.SpanPolicyFunc = func(start []byte) (pebble.SpanPolicy, []byte, error) {
		if len(start) > 0 && start[0] >= spaceChunk {
			return pebble.SpanPolicy{DisableValueSeparationBySuffix: true}, nil, nil
		}
		return pebble.SpanPolicy{ValueStoragePolicy: pebble.ValueStorageLowReadLatency}, []byte{spaceChunk}, nil
	}
	// A flush writes chunks into blob files once and for all; compaction moves references to them only.
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy {
		return pebble.ValueSeparationPolicy{
			Enabled: true, MinimumSize: 256, MaxBlobReferenceDepth: 10,
			RewriteMinimumAge: time.Hour, TargetGarbageRatio: 0.5,
		}
	}
	// A log is read once, in order: tables that are read often need no rewriting for it.
	o.Experimental.ReadSamplingMultiplier = -1
	return o
}

// listener takes from Pebble's events what matters: a fault in the background that did not come from a write.
func (db *DB) listener(f *fence) *pebble.EventListener {
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			if !f.closed() && !errors.Is(err, pebble.ErrCancelledCompaction) {
				f.fail("work in the background", err)
			}
		},
		// A damaged block fails the read that met it; the rest of the folder stays usable.
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			db.o.Log.Error("data folder has a damaged file", "dir", db.dir, "path", i.Path, "err", i.Details)
		},
	}
}

// pebbleLogger routes what Pebble logs to the debug level.
type pebbleLogger struct {
	log *slog.Logger
	f   *fence
}

func (l pebbleLogger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("pebble", "msg", fmt.Sprintf(format, args...))
	}
}

func (l pebbleLogger) Errorf(format string, args ...any) { l.Infof(format, args...) }

// Fatalf is called where Pebble would end the process. Here it closes the fence, which makes going on harmless.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	if !l.f.closed() {
		l.f.fail("work in the background", fmt.Errorf(format, args...))
	}
}

// isNewerPebble tells a folder whose Pebble format is newer than the library's.
func isNewerPebble(err error) bool {
	return strings.Contains(err.Error(), "written in unknown format major version")
}

// isInconsistent tells a folder whose files are not those that its manifest names, which Pebble does not call corrupt.
func isInconsistent(err error) bool {
	return strings.Contains(err.Error(), "object size mismatch") || errors.Is(err, fs.ErrNotExist)
}
