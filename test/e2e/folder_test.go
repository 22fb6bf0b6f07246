// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/internal/testdb"
)

// TestFolderNotWritable: exit code 2, and the folder stays as it is.
func TestFolderNotWritable(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	dir := t.TempDir()
	s.data = filepath.Join(dir, "data")
	require.NoError(t, os.Chmod(dir, 0o555)) //nolint:gosec // it is what is tested
	t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
	cmd := exec.Command(os.Args[0], append([]string{"standalone"}, s.files(t)...)...)
	p := startPowerless(t, cmd)
	require.Equal(t, 2, p.wait(t), "exit code: %s", p.err)
	requireWords(t, p.err.String(), s.data, "permission denied", "data.dir", "make the folder writable for user id "+strconv.Itoa(os.Geteuid()))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestFolderLocked: two workers on one folder. The second one says who has it; the first one notices nothing.
func TestFolderLocked(t *testing.T) {
	t.Parallel()
	source, target := testdb.Postgres(t), testdb.Postgres(t)
	source.Exec(t, itemsDDL+"insert into items values (1, 0, 'snapshot')")
	s := pair(t, source, target)
	w := s.start(t)
	equal(t, source, target)

	second := newSetup(t)
	second.data = s.data
	pid := "process " + strconv.Itoa(w.cmd.Process.Pid)
	requireWords(t, second.refused(t), s.data, "in use by "+pid, "data.dir")
	code, _, said := run(t, "topics", "list", "--data", s.data)
	require.Equal(t, 2, code)
	requireWords(t, said, s.data, "in use by "+pid, "--worker URL")

	source.Exec(t, "insert into items values (2, 0, 'streamed')")
	equal(t, source, target)
	w.kill(t)
	w = s.start(t) // a killed process holds no lock
	source.Exec(t, "insert into items values (3, 0, 'streamed')")
	equal(t, source, target)
	w.stop(t)
}

// TestFolderNewer: a folder of a later version is refused as it is, and still good for that version.
func TestFolderNewer(t *testing.T) {
	t.Parallel()
	source, target := testdb.Postgres(t), testdb.Postgres(t)
	source.Exec(t, itemsDDL+"insert into items values (1, 0, 'snapshot')")
	s := pair(t, source, target)
	w := s.start(t)
	equal(t, source, target)
	w.stop(t)

	// Pebble keeps its format in the name of this file.
	markers, err := filepath.Glob(filepath.Join(s.data, "marker.format-version.*"))
	require.NoError(t, err)
	require.Len(t, markers, 1)
	newer := filepath.Join(s.data, "marker.format-version.000099.999")
	require.NoError(t, os.Rename(markers[0], newer))
	requireWords(t, s.refused(t), s.data, "written by a newer freshet", "use that version, or another data.dir")

	require.NoError(t, os.Rename(newer, markers[0]))
	source.Exec(t, "insert into items values (2, 0, 'streamed')")
	w = s.start(t)
	w.awaitHistory(t, map[string]string{"1": "r0", "2": "c0"})
	equal(t, source, target)
	w.stop(t)
}

// TestFolderOfAnotherProgram: whatever it is, it is not touched.
func TestFolderOfAnotherProgram(t *testing.T) {
	t.Parallel()
	s := newSetup(t)
	s.unjudged = true
	require.NoError(t, os.MkdirAll(s.data, 0o700))
	for _, name := range []string{"CURRENT", "MANIFEST-000001"} {
		require.NoError(t, os.WriteFile(filepath.Join(s.data, name), []byte("something else\n"), 0o600))
	}
	requireWords(t, s.refused(t), s.data)
	text, err := os.ReadFile(filepath.Join(s.data, "CURRENT"))
	require.NoError(t, err)
	require.Equal(t, "something else\n", string(text))
}
