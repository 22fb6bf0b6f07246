// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Version is the version of the key layout that this program writes. 2 added parts of chunks, and packed chunks.
const Version = 2

// formats are the versions of the layout that a program knows.
type formats struct {
	version byte
	// upgrades[v] appends to a batch what makes a folder of version v one of version v+1.
	upgrades map[byte]func(p *pebble.DB, b *pebble.Batch) error
}

// layout is this program's.
var layout = formats{version: Version, upgrades: map[byte]func(*pebble.DB, *pebble.Batch) error{
	1: func(*pebble.DB, *pebble.Batch) error { return nil }, // what is there stays as it is
}}

// prepare brings a newly opened folder to the version of l: it writes the version into an empty folder, upgrades an
// older one step by step, each step in one batch with its new version, and refuses a newer one.
func (l formats) prepare(p *pebble.DB, dir string) error {
	found, err := formatOf(p)
	if err != nil {
		return err
	}
	if found == 0 {
		if err := checkEmpty(p); err != nil {
			return err
		}
		return p.Set(formatKey, []byte{l.version}, pebble.Sync)
	}
	if found > l.version {
		return newer(dir, fmt.Sprintf("format %d, this one reads %d", found, l.version), nil)
	}
	for v := found; v < l.version; v++ {
		if err := l.upgrade(p, v); err != nil {
			return fmt.Errorf("upgrade format %d to %d: %w", v, v+1, err)
		}
	}
	return nil
}

func (l formats) upgrade(p *pebble.DB, from byte) error {
	step := l.upgrades[from]
	if step == nil {
		return errors.New("this version can no longer be read; use an older freshet first")
	}
	b := p.NewBatch()
	defer func() { _ = b.Close() }()
	if err := step(p, b); err != nil {
		return err
	}
	if err := b.Set(formatKey, []byte{from + 1}, nil); err != nil {
		return err
	}
	return b.Commit(pebble.Sync)
}

// formatOf is the version of the folder, 0 for none.
func formatOf(p *pebble.DB) (byte, error) {
	v, closer, err := p.Get(formatKey)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = closer.Close() }()
	if len(v) != 1 || v[0] == 0 {
		return 0, fmt.Errorf("the format version is %x: %w", v, ErrCorrupt)
	}
	return v[0], nil
}

// checkEmpty refuses a Pebble folder of another program.
func checkEmpty(p *pebble.DB) error {
	it, err := p.NewIter(nil)
	if err != nil {
		return err
	}
	if it.First() {
		return errors.Join(errors.New("this is the database of another program"), it.Close())
	}
	return it.Close()
}

func newer(dir, what string, cause error) *Error {
	err := fmt.Errorf("it was written by a newer freshet (%s)", what)
	if cause != nil {
		err = joined{err, cause}
	}
	return &Error{
		Op: "open", Dir: dir, Err: joined{err, ErrNewer}, final: true,
		Hint: "use that version, or another data.dir",
	}
}

// openFault makes an Error of what opening said.
func openFault(dir string, err error) error {
	if isNewerPebble(err) {
		return newer(dir, "its storage format is not known here", err)
	}
	if isInconsistent(err) {
		err = joined{err, ErrCorrupt}
	}
	return fault("open", dir, err)
}
