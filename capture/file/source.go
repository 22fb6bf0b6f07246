// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// pollInterval is how long nothing is asked for at the end of a file, or where there is none.
	pollInterval = 200 * time.Millisecond
	chunkBytes   = 64 << 10
)

// onDisk is a file that grows.
type onDisk struct {
	path   string
	at     int64 // where to begin
	log    *slog.Logger
	file   *os.File
	opened atomic.Bool
	told   bool // that it is not there
}

func (f *onDisk) read(ctx context.Context, dst []byte) ([]byte, error) {
	for {
		if err := f.ready(); err != nil {
			return dst, err
		}
		if f.file != nil {
			dst = slices.Grow(dst, chunkBytes)
			n, err := f.file.Read(dst[len(dst):cap(dst)])
			if n > 0 {
				return dst[:len(dst)+n], nil
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return dst, fmt.Errorf("read file %q: %w", f.path, err)
			}
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return dst, err
		}
	}
}

// ready opens the file if it is there.
func (f *onDisk) ready() error {
	if f.file != nil {
		return nil
	}
	file, err := os.Open(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if !f.told {
			f.log.Warn("the file is not there, waiting for it", "file", f.path)
		}
		f.told = true
		return nil
	case err != nil:
		return fmt.Errorf("open file %q: %w", f.path, err)
	}
	if _, err := file.Seek(f.at, io.SeekStart); err != nil {
		return errors.Join(fmt.Errorf("skip %d bytes of file %q: %w", f.at, f.path, err), file.Close())
	}
	f.file = file
	f.opened.Store(true)
	return nil
}

func (f *onDisk) open() bool { return f.opened.Load() }

func (f *onDisk) close() error {
	if f.file == nil {
		return nil
	}
	f.opened.Store(false)
	err := f.file.Close()
	f.file = nil
	return err
}

// sleep waits, or returns the error of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pump reads standard input. A read of it cannot be interrupted, so there is one goroutine for all readers that come and
// go, and it ends with the process, or with the input.
type pump struct {
	input  io.Reader
	start  sync.Once
	chunks chan []byte // closed at the end
	err    error       // why it ended; readable once chunks is closed
}

// stdin is the process's one.
var stdin = &pump{input: os.Stdin, chunks: make(chan []byte)}

func standardInput() source { return stdin }

func (p *pump) read(ctx context.Context, dst []byte) ([]byte, error) {
	p.start.Do(func() { go p.run() })
	select {
	case chunk, ok := <-p.chunks:
		if !ok {
			if errors.Is(p.err, io.EOF) { // the task stays, as in the original
				<-ctx.Done()
				return dst, ctx.Err()
			}
			return dst, fmt.Errorf("read standard input: %w", p.err)
		}
		return append(dst, chunk...), nil
	case <-ctx.Done():
		return dst, ctx.Err()
	}
}

func (p *pump) run() {
	defer close(p.chunks)
	for {
		chunk := make([]byte, chunkBytes)
		n, err := p.input.Read(chunk)
		if n > 0 {
			p.chunks <- chunk[:n]
		}
		if err != nil {
			p.err = err
			return
		}
	}
}

func (*pump) open() bool { return true }

func (*pump) close() error { return nil }
