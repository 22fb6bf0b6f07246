// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"

	"freshet/internal/serverproc"
)

// fetchVersion is the major version fetched when none is asked for.
const fetchVersion = 17

var fetchable = map[int]embeddedpostgres.PostgresVersion{
	14: embeddedpostgres.V14,
	15: embeddedpostgres.V15,
	16: embeddedpostgres.V16,
	17: embeddedpostgres.V17,
	18: embeddedpostgres.V18,
}

// install installs the system's package, where this is root on a system with apt-get. The package is asked not to
// start a server of its own.
func (w Want) install(ctx context.Context) error {
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 || w.Exact != 0 {
		return errors.New("apt-get: not root, no apt-get, or a certain version is wanted")
	}
	unlock, err := w.lockCache()
	if err != nil {
		return err
	}
	defer unlock()
	if _, ok := w.installed(ctx); ok {
		return nil // another process was faster
	}
	w.Log.Info("installing PostgreSQL by apt-get")
	const noCluster = `mkdir -p /etc/postgresql-common && grep -qs create_main_cluster /etc/postgresql-common/createcluster.conf ||` +
		` echo 'create_main_cluster = false' >>/etc/postgresql-common/createcluster.conf`
	steps := [][]string{
		{"sh", "-c", noCluster},
		{apt, "-qq", "update"},
		{apt, "-qq", "-y", "-o", "DPkg::Lock::Timeout=300", "--no-install-recommends", "install", "postgresql"},
	}
	for _, argv := range steps {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", filepath.Base(argv[0]), err, out[max(0, len(out)-1000):])
		}
	}
	return nil
}

// fetch downloads real server programs, as the module embedded-postgres does, and unpacks them into the cache.
func (w Want) fetch(ctx context.Context) error {
	major := max(fetchVersion, w.Min)
	if w.Exact != 0 {
		major = w.Exact
	}
	version, ok := fetchable[major]
	if !ok {
		return fmt.Errorf("fetch PostgreSQL %d: no such download is known", major)
	}
	unlock, err := w.lockCache()
	if err != nil {
		return err
	}
	defer unlock()
	if _, ok := w.fetched(ctx); ok {
		return nil // another process was faster
	}
	w.Log.Info("fetching the programs of PostgreSQL", "version", string(version), "into", w.Cache)
	halves, _ := filepath.Glob(filepath.Join(w.Cache, "new-*")) // left by processes that were killed: we hold the lock
	for _, dir := range halves {
		_ = os.RemoveAll(dir)
	}
	tmp, err := os.MkdirTemp(w.Cache, "new-")
	if err != nil {
		return fmt.Errorf("fetch PostgreSQL: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	unpacked := filepath.Join(tmp, "unpacked")
	if err := unpack(version, tmp, unpacked); err != nil {
		return fmt.Errorf("fetch PostgreSQL %s: %w", version, err)
	}
	if _, err := Version(ctx, filepath.Join(unpacked, "bin")); err != nil {
		return fmt.Errorf("fetch PostgreSQL %s: %w", version, err)
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return fmt.Errorf("fetch PostgreSQL: %w", err)
	}
	if err := os.Rename(unpacked, filepath.Join(w.Cache, "postgres-"+string(version))); err != nil {
		return fmt.Errorf("fetch PostgreSQL: %w", err)
	}
	return nil
}

// unpack has the module fetch, check and unpack the programs. The module has no call that does only this: its Start does
// it first, then starts a server, which we stop again. For root, initdb refuses after the unpacking: also well.
func unpack(version embeddedpostgres.PostgresVersion, tmp, into string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	pg := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().Version(version).Port(uint32(port)).
		CachePath(filepath.Join(tmp, "archive")).RuntimePath(filepath.Join(tmp, "run")).
		BinariesPath(into).Logger(io.Discard))
	startErr := pg.Start()
	http.DefaultClient.CloseIdleConnections() // the module leaves its connection open
	if startErr == nil {
		return pg.Stop()
	}
	if _, err := os.Stat(filepath.Join(into, "share", "postgresql", "postgres.bki")); err != nil {
		return startErr // it did not come as far as the unpacking's end
	}
	return nil
}

func (w Want) lockCache() (unlock func(), err error) {
	if err := os.MkdirAll(w.Cache, 0o755); err != nil {
		return nil, fmt.Errorf("create the folder of fetched servers: %w", err)
	}
	return serverproc.Lock(filepath.Join(w.Cache, ".lock"))
}
