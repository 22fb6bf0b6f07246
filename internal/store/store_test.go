// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"freshet/internal/store"
	"freshet/internal/store/storetest"
)

// childEnv names the data folder that a child process of a test opens and holds.
const childEnv = "FRESHET_STORETEST_HOLD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		os.Exit(hold(dir))
	}
	goleak.VerifyTestMain(m)
}

// hold opens a data folder, says so, and keeps it until its standard input ends.
func hold(dir string) int {
	db, err := store.Open(dir, store.Options{})
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_, _ = fmt.Fprintln(os.Stdout, "open")
	_, _ = os.Stdin.Read(make([]byte, 1))
	_ = db.Close()
	return 0
}

func mustOpen(t testing.TB, dir string, o store.Options) *store.DB {
	t.Helper()
	db, err := store.Open(dir, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func TestConnectorsAreKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	db, err := store.Open(dir, store.Options{})
	require.NoError(t, err)
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())

	require.NoError(t, db.PutConnector("b", []byte(`{"x":"1"}`)))
	require.NoError(t, db.PutConnector("a", []byte(`{}`)))
	require.NoError(t, db.PutConnector("c", []byte(`{}`)))
	require.NoError(t, db.PutConnector("b", []byte(`{"x":"2"}`)))
	require.NoError(t, db.PutTargetState("b", "PAUSED"))
	require.NoError(t, db.PutTargetState("c", "STOPPED"))
	require.NoError(t, db.DeleteConnector("c"))
	require.NoError(t, db.PutStatus("task/b/0", []byte("RUNNING")))
	require.NoError(t, db.PutStatus("task/b/1", []byte{}))
	require.NoError(t, db.PutStatus("worker", []byte("x")))
	require.NoError(t, db.DeleteStatus("worker"))
	require.NoError(t, db.Close())
	require.NoError(t, db.Close(), "closing again does nothing")
	require.ErrorIs(t, db.PutStatus("late", nil), store.ErrClosed)

	db = mustOpen(t, dir, store.Options{})
	got, err := db.Connectors()
	require.NoError(t, err)
	require.Equal(t, []store.Connector{{Name: "a", Config: []byte(`{}`)}, {Name: "b", Config: []byte(`{"x":"2"}`)}}, got)
	for name, want := range map[string]string{"a": "", "b": "PAUSED", "c": ""} {
		state, err := db.TargetState(name)
		require.NoError(t, err)
		require.Equal(t, want, state, name)
	}
	seen := map[string]string{}
	require.NoError(t, db.Statuses("task/", func(k string, v []byte) { seen[k] = string(v) }))
	require.Equal(t, map[string]string{"task/b/0": "RUNNING", "task/b/1": ""}, seen)
	v, err := db.Status("worker")
	require.NoError(t, err)
	require.Nil(t, v)
	v, err = db.Status("task/b/1")
	require.NoError(t, err)
	require.Equal(t, []byte{}, v)
}

func TestRecordSpacesAreKept(t *testing.T) {
	dir := t.TempDir()
	db := mustOpen(t, dir, store.Options{})
	id, err := db.NextPartition()
	require.NoError(t, err)
	require.EqualValues(t, 1, id)

	b := db.NewBatch()
	require.True(t, b.Empty())
	topic := store.Topic{Name: "t", Partitions: []uint32{1, 2}, RetentionMillis: 5, RetentionBytes: -1}
	b.PutTopic(topic)
	b.PutNextPartition(3)
	b.PutHead(7, 8, []byte("head"))
	b.PutMark("m1", "v1")
	b.PutMark("m2", "v2")
	b.PutMark("n", "v3")
	b.DeleteMark("n")
	b.PutGroupOffset("g", 1, 10)
	b.PutGroupOffset("g", 2, 20)
	b.PutGroupOffset("gg", 1, 30)
	b.DeleteGroupOffset("g", 2)
	for i := range int64(4) {
		b.PutChunk(1, store.ChunkInfo{Base: i * 10, Count: 10, MaxMillis: 100 + i}, []byte{byte(i)}, []byte("body"))
	}
	b.PutChunk(2, store.ChunkInfo{Base: 0, Count: 3, MaxMillis: 1}, nil, []byte("other"))
	require.False(t, b.Empty())
	require.NoError(t, b.Commit())

	topics, err := db.Topics()
	require.NoError(t, err)
	require.Equal(t, []store.Topic{topic}, topics)
	id, err = db.NextPartition()
	require.NoError(t, err)
	require.EqualValues(t, 3, id)
	headID, content, found, err := db.Head(7)
	require.NoError(t, err)
	require.True(t, found)
	require.EqualValues(t, 8, headID)
	require.Equal(t, "head", string(content))
	_, _, found, err = db.Head(6)
	require.NoError(t, err)
	require.False(t, found)
	var marks []string
	require.NoError(t, db.Marks("m", func(k, v string) { marks = append(marks, k+"="+v) }))
	require.Equal(t, []string{"m1=v1", "m2=v2"}, marks)
	var offsets []string
	require.NoError(t, db.GroupOffsets(func(g string, p uint32, at int64) {
		offsets = append(offsets, fmt.Sprint(g, p, at))
	}))
	require.Equal(t, []string{"g1 10", "gg1 30"}, offsets)
	require.Equal(t, []int64{10, 20, 30}, bases(t, db, 1, 15))
	require.Equal(t, []int64{0, 10, 20, 30}, bases(t, db, 1, 0))
	require.Equal(t, []int64{30}, bases(t, db, 1, 99))
	requireRange(t, db, 1, 0, 40)

	b.Reset()
	b.DeleteChunks(1, 20)
	require.NoError(t, b.Commit())
	requireRange(t, db, 1, 20, 40)
	requireRange(t, db, 2, 0, 3)
	require.Equal(t, []int64{20, 30}, bases(t, db, 1, 0))
	var infos []store.ChunkInfo
	require.NoError(t, db.ChunkInfos(1, 0, func(c store.ChunkInfo) bool { infos = append(infos, c); return true }))
	require.Equal(t, []store.ChunkInfo{
		{Base: 20, Count: 10, MaxMillis: 102, Bytes: 5}, {Base: 30, Count: 10, MaxMillis: 103, Bytes: 5},
	}, infos)

	b.Reset()
	b.DeleteChunks(1, 40)
	require.NoError(t, b.Commit())
	requireRange(t, db, 1, 40, 40) // the end does not go back when nothing is left
	require.NoError(t, db.Close())

	db = mustOpen(t, dir, store.Options{})
	requireRange(t, db, 1, 40, 40)
	b = db.NewBatch()
	b.DeleteTopic(topic)
	require.NoError(t, b.Commit())
	topics, err = db.Topics()
	require.NoError(t, err)
	require.Empty(t, topics)
	requireRange(t, db, 2, 0, 0)
}

func bases(t *testing.T, db *store.DB, partition uint32, from int64) []int64 {
	t.Helper()
	var out []int64
	require.NoError(t, db.Chunks(partition, from, func(base int64, _ []byte) (bool, error) {
		out = append(out, base)
		return true, nil
	}))
	return out
}

func requireRange(t *testing.T, db *store.DB, partition uint32, start, end int64) {
	t.Helper()
	s, e, err := db.Range(partition)
	require.NoError(t, err)
	require.Equal(t, []int64{start, end}, []int64{s, e})
}

func TestSecondOpenIsRefused(t *testing.T) {
	t.Run("same process", func(t *testing.T) {
		dir := t.TempDir()
		mustOpen(t, dir, store.Options{})
		link := filepath.Join(t.TempDir(), "link")
		require.NoError(t, os.Symlink(dir, link))
		for _, name := range []string{dir, dir + "/../" + filepath.Base(dir), link} {
			_, err := store.Open(name, store.Options{})
			require.ErrorIs(t, err, store.ErrLocked)
			require.ErrorContains(t, err, dir)
			require.ErrorContains(t, err, fmt.Sprintf("in use by process %d", os.Getpid()))
		}
	})
	t.Run("other process", func(t *testing.T) {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+dir)
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		line := make([]byte, 5)
		_, err = out.Read(line)
		require.NoError(t, err)
		_, err = store.Open(dir, store.Options{})
		require.ErrorIs(t, err, store.ErrLocked)
		require.ErrorContains(t, err, fmt.Sprintf("process %d", cmd.Process.Pid))
		require.ErrorContains(t, err, "stop that process")
		var e *store.Error
		require.ErrorAs(t, err, &e)
		require.False(t, e.Retriable())
		// A killed holder leaves its lock to the next one.
		require.NoError(t, cmd.Process.Kill())
		_ = in.Close()
		_ = cmd.Wait()
		mustOpen(t, dir, store.Options{})
	})
}

func TestFolderThatCannotBeUsed(t *testing.T) {
	t.Run("a file is in the way", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "f")
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		_, err := store.Open(filepath.Join(file, "data"), store.Options{})
		require.ErrorContains(t, err, "data.dir")
		require.ErrorIs(t, err, syscall.ENOTDIR)
	})
	t.Run("not writable", func(t *testing.T) {
		fs := storetest.New()
		fs.FailAt(1, true, syscall.EACCES)
		_, err := store.Open("data", store.Options{FS: fs})
		require.ErrorIs(t, err, syscall.EACCES)
		require.ErrorContains(t, err, fmt.Sprintf("make the folder writable for user id %d", os.Getuid()))
		require.NotErrorIs(t, err, store.ErrLocked)
		var e *store.Error
		require.ErrorAs(t, err, &e)
		require.False(t, e.Retriable())
	})
	t.Run("not writable, for real", func(t *testing.T) {
		if os.Getuid() == 0 {
			return // root may write everywhere; the case above stands for it
		}
		dir := t.TempDir()
		require.NoError(t, os.Chmod(dir, 0o500))
		_, err := store.Open(dir, store.Options{})
		require.ErrorIs(t, err, os.ErrPermission)
	})
	t.Run("disk is full", func(t *testing.T) {
		fs := storetest.New()
		require.NoError(t, fs.MkdirAll("data", 0o700))
		fs.FailAt(3, true, syscall.ENOSPC)
		_, err := store.Open("data", store.Options{FS: fs})
		require.ErrorIs(t, err, store.ErrNoSpace)
		require.ErrorContains(t, err, "free space")
		fs.FailAt(0, false, nil)
		mustOpen(t, "data", store.Options{FS: fs})
	})
}

// TestOpenFailsAtEveryWrite opens a folder with content and lets the n-th write fail, for every n. Each time Open says
// so, and the next Open finds everything.
func TestOpenFailsAtEveryWrite(t *testing.T) {
	fs := storetest.New()
	db, err := store.Open("data", store.Options{FS: fs})
	require.NoError(t, err)
	require.NoError(t, db.PutConnector("a", bytes.Repeat([]byte("x"), 10_000)))
	require.NoError(t, db.Close())
	failed := 0
	for n := int64(1); ; n++ {
		fs.FailAt(n, n%2 == 0, syscall.EIO)
		before := fs.Writes()
		db, err := store.Open("data", store.Options{FS: fs})
		fs.FailAt(0, false, nil)
		if err == nil && fs.Writes()-before < n {
			require.NoError(t, db.Close())
			break // no n-th write
		}
		if err == nil {
			// The pid file is not worth a failure, nor is what Pebble does in the background after opening.
			_ = db.Close()
		} else {
			failed++
			require.ErrorIs(t, err, syscall.EIO, "write %d", n)
		}
		db, err = store.Open("data", store.Options{FS: fs})
		require.NoError(t, err, "after failure of write %d", n)
		cs, err := db.Connectors()
		require.NoError(t, err)
		require.Len(t, cs, 1)
		require.NoError(t, db.Close())
	}
	require.Greater(t, failed, 5)
}

// TestFailsAtEveryWrite commits values one by one and lets the n-th write fail, for every n: what was acknowledged is
// there after Reopen in the same process, nothing after the failure is acknowledged, and at most one value more is
// there.
func TestFailsAtEveryWrite(t *testing.T) {
	const values = 40
	big := bytes.Repeat([]byte("v"), 30_000)
	for n := int64(1); ; n++ {
		fs := storetest.New()
		db := mustOpen(t, "data", store.Options{FS: fs, MemTableBytes: 256 << 10})
		cause := error(syscall.EIO)
		if n%2 == 0 {
			cause = syscall.ENOSPC
		}
		fs.FailAt(n, n%3 == 0, cause)
		acked := 0
		var failure error
		b := db.NewBatch()
		for i := range values {
			b.Reset()
			b.PutChunk(1, store.ChunkInfo{Base: int64(i), Count: 1}, nil, big)
			b.PutMark("m", fmt.Sprint(i+1))
			err := b.Commit()
			if failure != nil {
				require.Equal(t, failure, err, "write %d: the error stays", n)
				continue
			}
			if err != nil {
				failure = err
				require.ErrorIs(t, err, cause)
				require.Equal(t, cause == error(syscall.ENOSPC), isNoSpace(err))
				require.ErrorContains(t, err, "nothing acknowledged is lost")
				continue
			}
			acked++
		}
		fs.FailAt(0, false, nil)
		if failure == nil && db.Err() == nil {
			require.Equal(t, values, acked)
			require.Greater(t, n, int64(40), "the loop saw the writes of the log")
			require.NoError(t, db.Close())
			return // there was no n-th write
		}
		_, err := db.Mark("m")
		require.Error(t, err, "write %d: a failed store cannot be read either", n)
		require.NoError(t, db.Reopen(), "write %d", n)
		got := len(bases(t, db, 1, 0))
		require.GreaterOrEqual(t, got, acked, "write %d", n)
		require.LessOrEqual(t, got, acked+1, "write %d", n)
		mark, err := db.Mark("m")
		require.NoError(t, err)
		want := fmt.Sprint(got)
		if got == 0 {
			want = ""
		}
		require.Equal(t, want, mark, "write %d: mark and chunks are of the same batch", n)
		require.NoError(t, db.PutStatus("works", []byte("again")))
		require.NoError(t, db.Close())
	}
}

func isNoSpace(err error) bool {
	return strings.Contains(err.Error(), "free space")
}

func TestReopenWaitsForRoom(t *testing.T) {
	fs := storetest.New()
	db := mustOpen(t, "data", store.Options{FS: fs})
	require.NoError(t, db.PutStatus("a", []byte("1")))
	fs.SetRoom(1 << 20)
	fs.FailAt(1, true, syscall.ENOSPC)
	require.ErrorIs(t, db.PutStatus("a", []byte("2")), store.ErrNoSpace)
	writes := fs.Writes()
	require.ErrorIs(t, db.Reopen(), store.ErrNoSpace)
	require.ErrorIs(t, db.PutStatus("a", []byte("3")), store.ErrNoSpace)
	require.Equal(t, writes, fs.Writes(), "a full disk is not written to")
	fs.FailAt(0, false, nil)
	fs.SetRoom(1 << 30)
	require.NoError(t, db.PutStatus("a", []byte("4")), "goes on by itself")
	v, err := db.Status("a")
	require.NoError(t, err)
	require.Equal(t, "4", string(v))
}

// TestBatchOfBeforeAReopen is a batch that was filled before a failure and committed after the store works again: taking
// it would change the order of writes.
func TestBatchOfBeforeAReopen(t *testing.T) {
	fs := storetest.New()
	db := mustOpen(t, "data", store.Options{FS: fs})
	b := db.NewBatch()
	b.PutMark("m", "old")
	fs.FailAt(1, false, syscall.EIO)
	require.Error(t, db.PutStatus("x", nil))
	late := db.NewBatch() // of a failed store
	late.PutMark("m", "late")
	require.False(t, late.Empty())
	require.Error(t, late.Commit())
	require.NoError(t, db.Reopen())
	require.ErrorContains(t, b.Commit(), "before it was opened again")
	require.Error(t, late.Commit())
	m, err := db.Mark("m")
	require.NoError(t, err)
	require.Empty(t, m)
	b.Reset()
	b.PutMark("m", "new")
	require.NoError(t, b.Commit())
}

// TestPowerFailure takes crash images while batches are committed: whatever part of the unsynced data survives, all that
// was acknowledged is there.
func TestPowerFailure(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for _, percent := range []int{0, 30, 50, 99, 100} {
		fs := storetest.New()
		db := mustOpen(t, "data", store.Options{FS: fs, MemTableBytes: 256 << 10})
		b := db.NewBatch()
		for i := range 60 {
			b.Reset()
			b.PutChunk(1, store.ChunkInfo{Base: int64(i), Count: 1}, nil, make([]byte, 1000+rng.IntN(20_000)))
			require.NoError(t, b.Commit())
			if i%7 != 0 {
				continue
			}
			after, err := store.Open("data", store.Options{FS: fs.Crash(percent, rng)})
			require.NoError(t, err, "seed %d", seed)
			require.Len(t, bases(t, after, 1, 0), i+1, "seed %d", seed)
			require.NoError(t, after.Close())
		}
		require.NoError(t, db.Close())
	}
}
