// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakePrograms makes a folder with an initdb and a postgres that says it has the given version.
func fakePrograms(t *testing.T, dir string, version string) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o755))
	script := fmt.Sprintf("#!/bin/sh\necho 'postgres (PostgreSQL) %s (some packager)'\n", version)
	for _, name := range []string{"initdb", "postgres"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
	}
	return dir
}

func TestFindTakesTheLowestVersionThatWillDo(t *testing.T) {
	cache, onPath := t.TempDir(), t.TempDir()
	t.Setenv("PATH", fakePrograms(t, onPath, "9.6.24")+string(os.PathListSeparator)+os.Getenv("PATH"))
	p97 := fakePrograms(t, filepath.Join(cache, "postgres-97.1.0", "bin"), "97.1")
	p98 := fakePrograms(t, filepath.Join(cache, "postgres-98.1.0", "bin"), "98beta2")
	p99 := fakePrograms(t, filepath.Join(cache, "sid", "usr", "lib", "postgresql", "99", "bin"), "99.0")
	for _, c := range []struct {
		name string
		want Want
		bin  string // "" is an error
	}{
		{"lowest", Want{Min: 90}, p97},
		{"minimum", Want{Min: 98}, p98},
		{"exact", Want{Exact: 99}, p99},
		{"exact on PATH, below the usual minimum", Want{Exact: 9}, onPath},
		{"none new enough", Want{Min: 100}, ""},
		{"none exact", Want{Exact: 96}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.Cache, c.want.NoFetch = cache, true
			bin, err := Find(t.Context(), c.want)
			if c.bin == "" {
				require.ErrorContains(t, err, cache)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.bin, bin)
		})
	}
}

func TestFetchRefusesAnUnknownVersion(t *testing.T) {
	_, err := Find(t.Context(), Want{Exact: 1, Cache: t.TempDir()})
	require.ErrorContains(t, err, "fetch PostgreSQL 1: no such download is known")
}

func TestSweepRemovesOnlyWhatNobodyHolds(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	alive, unlock, err := temporaryDir()
	require.NoError(t, err)
	defer unlock()
	dead, letGo, err := temporaryDir()
	require.NoError(t, err)
	letGo()
	next, unlockNext, err := temporaryDir()
	require.NoError(t, err)
	defer unlockNext()
	require.DirExists(t, alive)
	require.DirExists(t, next)
	require.NoDirExists(t, dead)
	require.NoFileExists(t, dead+lockSuffix)
}

// newServer starts a server, or skips where none can be found: testdb's tests say so loudly enough.
func newServer(t *testing.T, o Options) *Server {
	t.Helper()
	bin, err := Find(t.Context(), Want{})
	if err != nil {
		t.Skip(err) // allowed: the tests of testdb fail where a server is required
	}
	o.Bin, o.Password = bin, "p'w"
	s, err := New(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func TestAServerWithoutTemplateInAFolderOfTheCaller(t *testing.T) {
	dir := filepath.Join(os.TempDir(), filepath.Base(t.TempDir())+"-own") // t.TempDir is closed to the server's user
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	s := newServer(t, Options{Dir: dir, Settings: map[string]string{"application_name": "it's"}})
	require.FileExists(t, s.pidFile())
	require.Contains(t, s.DSN("x"), "/x?sslmode=disable")
	require.NoError(t, s.Stop(Fast))
	require.NoError(t, s.Stop(Fast), "stopping twice")
	require.Error(t, s.Freeze(), "freezing a stopped server")
	require.NoError(t, s.Start(t.Context()))
	require.Error(t, s.Start(t.Context()), "starting twice")
	require.NoError(t, s.Close())
	require.DirExists(t, dir, "the folder is the caller's")

	again := newServer(t, Options{Dir: dir}) // the data of the first one is kept
	require.NoError(t, again.Close())
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	t.Run("setting", func(t *testing.T) {
		s := newServer(t, Options{})
		require.NoError(t, s.Stop(Immediate))
		s.opt.Settings = map[string]string{"shared_buffers": "much"}
		require.ErrorContains(t, s.Start(t.Context()), "shared_buffers")
	})
	t.Run("port taken", func(t *testing.T) {
		s := newServer(t, Options{})
		require.NoError(t, s.Stop(Immediate))
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port()))
		require.NoError(t, err)
		defer func() { require.NoError(t, l.Close()) }()
		require.ErrorIs(t, s.Start(t.Context()), errPortTaken)
	})
	t.Run("no password", func(t *testing.T) {
		_, err := New(context.Background(), Options{})
		require.ErrorContains(t, err, "Password")
	})
}
