// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// openWith opens a Pebble of a test and brings it to the version of l.
func openWith(t *testing.T, fs vfs.FS, l formats) error {
	t.Helper()
	p, err := pebble.Open("data", &pebble.Options{FS: fs, Logger: pebbleLogger{Options{}.withDefaults().Log, &fence{}}})
	require.NoError(t, err)
	defer func() { require.NoError(t, p.Close()) }()
	return l.prepare(p, "data")
}

func TestUpgrade(t *testing.T) {
	fs := vfs.NewMem()
	require.NoError(t, openWith(t, fs, formats{version: 1}))
	var steps []string
	step := func(name string, err error) func(*pebble.DB, *pebble.Batch) error {
		return func(_ *pebble.DB, b *pebble.Batch) error {
			steps = append(steps, name)
			return errors.Join(err, b.Set([]byte("m"+name), nil, nil))
		}
	}
	broken := map[byte]func(*pebble.DB, *pebble.Batch) error{1: step("1", nil), 2: step("2", io.ErrUnexpectedEOF)}
	require.ErrorIs(t, openWith(t, fs, formats{3, broken}), io.ErrUnexpectedEOF)
	require.Equal(t, []string{"1", "2"}, steps)
	steps = nil
	whole := map[byte]func(*pebble.DB, *pebble.Batch) error{1: step("1", nil), 2: step("2", nil)}
	require.NoError(t, openWith(t, fs, formats{3, whole}))
	require.Equal(t, []string{"2"}, steps, "a step that was done is not done again")
	require.ErrorContains(t, openWith(t, fs, formats{5, whole}), "upgrade format 3 to 4")

	err := openWith(t, fs, layout)
	require.ErrorIs(t, err, ErrNewer)
	require.EqualError(t, err, `data folder "data": open: it was written by a newer freshet (format 3, this one reads 2); `+
		`use that version, or another data.dir`)
	require.False(t, err.(*Error).Retriable())
}

func TestForeignFolder(t *testing.T) {
	fs := vfs.NewMem()
	p, err := pebble.Open("data", &pebble.Options{FS: fs, Logger: pebbleLogger{Options{}.withDefaults().Log, &fence{}}})
	require.NoError(t, err)
	require.NoError(t, p.Set([]byte("k"), nil, pebble.Sync))
	require.NoError(t, p.Close())
	_, err = Open("data", Options{FS: fs})
	require.ErrorContains(t, err, "another program")
}

// TestNewerPebble is a folder whose storage format this library does not know.
func TestNewerPebble(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(dir, Options{})
	require.NoError(t, err)
	require.NoError(t, db.Close())
	markers, err := filepath.Glob(filepath.Join(dir, "marker.format-version.*"))
	require.NoError(t, err)
	require.Len(t, markers, 1)
	at := strings.LastIndex(markers[0], ".")
	require.NoError(t, os.Rename(markers[0], markers[0][:at]+".999"))
	_, err = Open(dir, Options{})
	require.ErrorIs(t, err, ErrNewer)
	require.ErrorContains(t, err, "written by a newer freshet")
}

// TestDamagedFolder has a table cut short: the error is final and says what to do.
func TestDamagedFolder(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(dir, Options{})
	require.NoError(t, err)
	require.NoError(t, db.PutStatus("a", []byte("b")))
	require.NoError(t, db.p.Flush())
	require.NoError(t, db.Close())
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	require.NoError(t, err)
	require.NotEmpty(t, tables)
	require.NoError(t, os.Truncate(tables[0], 10))
	db, err = Open(dir, Options{})
	if err == nil {
		_, err = db.Status("a")
		require.NoError(t, db.Close())
	}
	require.ErrorIs(t, err, ErrCorrupt)
	require.ErrorContains(t, err, "restore the folder")
}

func TestKeys(t *testing.T) {
	for _, group := range []string{"", "g", "connect-x", strings.Repeat("ü", 200), "\x00\xff"} {
		g, p, ok := splitGroupOffset(appendGroupOffset(nil, group, 77))
		require.True(t, ok)
		require.Equal(t, group, g)
		require.EqualValues(t, 77, p)
	}
	for _, key := range []string{"g", "g\x05ab", "g\xff"} {
		_, _, ok := splitGroupOffset([]byte(key))
		require.False(t, ok)
	}
	require.Equal(t, []byte("b"), after([]byte("a")))
	require.Equal(t, []byte("b"), after([]byte("a\xff")))
	require.Nil(t, after([]byte("\xff\xff")))
	require.Less(t, string(appendBase(nil, spaceChunk, 1, 255)), string(appendBase(nil, spaceChunk, 1, 256)))
	require.Less(t, string(appendBase(nil, spaceChunk, 1, 1<<40)), string(appendBase(nil, spaceChunk, 2, 0)))
	require.EqualValues(t, 1<<40, baseOf(appendBase(nil, spaceChunk, 9, 1<<40)))
}
