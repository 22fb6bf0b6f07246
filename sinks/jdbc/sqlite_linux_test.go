// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/sinks"
	"freshet/sinks/sinktest"
)

// TestConformanceOfSQLite runs the suite on files.
func TestConformanceOfSQLite(t *testing.T) {
	for _, c := range []struct{ name, extra, offsets, params string }{
		{name: "plain"},
		{name: "offsets", offsets: "freshet_offsets"},
		{name: "another unique column", extra: "CREATE UNIQUE INDEX u ON items (n)", offsets: "freshet_offsets"},
		{name: "cascading reference", extra: "CREATE TABLE child (id INTEGER REFERENCES items ON DELETE CASCADE)", offsets: "main.offs"},
		{name: "rollback journal", offsets: "freshet_offsets", params: "?journal_mode=delete"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sinktest.Run(t, func(t *testing.T) sinktest.Target {
				f := newSQLite(t, c.params)
				f.exec(t, "CREATE TABLE items (id INTEGER PRIMARY KEY, v TEXT CHECK (length(v) <= 60), n INTEGER); "+c.extra)
				return sqliteTarget(f, c.offsets)
			})
		})
	}
}

func sqliteTarget(f *sqliteFile, offsets string) sinktest.Target {
	return sinktest.Target{
		Open: func(t testing.TB) sinks.Writer {
			return open(t, f.upsert("schema.evolution", "none", "collection.name.format", "items", "offsets.table.name", offsets), nil)
		},
		Rows: func(t testing.TB) map[int64]string {
			rows := map[int64]string{}
			for _, r := range f.rows(t, "SELECT id, coalesce(v, '"+sinktest.Null+"') FROM items") {
				id, err := strconv.ParseInt(r[0], 10, 64)
				require.NoError(t, err)
				rows[id] = r[1]
			}
			return rows
		},
		Break:        func() { breakFile(f.path) },
		Poison:       strings.Repeat("too long ", 10),
		KeepsOffsets: offsets != "",
	}
}

// breakFile makes the disk fail under this process' connections to a database: what they write from now on is an error. The
// files of the transaction are replaced where they are open, by themselves without the right to write.
func breakFile(path string) {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	for _, fd := range fds {
		name, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name()))
		if err != nil || name != path+"-wal" && name != path+"-journal" {
			continue
		}
		n, err := strconv.Atoi(fd.Name())
		if err != nil {
			panic(err)
		}
		readOnly, err := syscall.Open(name, syscall.O_RDONLY, 0)
		if err != nil {
			panic(err)
		}
		if err := syscall.Dup3(readOnly, n, syscall.O_CLOEXEC); err != nil {
			panic(err)
		}
		if err := syscall.Close(readOnly); err != nil {
			panic(err)
		}
	}
}
