// SPDX-License-Identifier: Apache-2.0

package mysqlserver

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"freshet/internal/serverproc"
)

// Programs are what a server is started with.
type Programs struct {
	Kind    Kind
	Version string // what the server says of itself
	root    string // of a tree of unpacked packages; "" for an installed server
	server  string // path of the program
}

// packages are where a kind is fetched from: a suite of Debian, and its package there.
var packages = map[Kind]struct{ suite, pkg, programs string }{
	MySQL:   {"sid", "mysql-server-core", "mysqld"},
	MariaDB: {"bookworm", "mariadb-server-core", "mariadbd mysqld"},
}

// Find looks for a server's programs on PATH and in the usual folder, then among what was fetched before, and fetches them
// from Debian's packages where it can. log may be nil.
func Find(ctx context.Context, k Kind, log *slog.Logger) (Programs, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	names := strings.Fields(packages[k].programs)
	for _, name := range names {
		for _, path := range []string{name, "/usr/sbin/" + name, "/usr/libexec/" + name} {
			if found, err := exec.LookPath(path); err == nil {
				if p, err := identify(ctx, Programs{Kind: k, server: found}); err == nil {
					return p, nil
				}
			}
		}
	}
	tree := filepath.Join(serverproc.CacheDir(), string(k)+"-"+packages[k].suite)
	if _, err := os.Stat(tree); err != nil {
		if err := fetch(ctx, k, tree, log); err != nil {
			return Programs{}, fmt.Errorf("find %s: install %s, or put its programs on PATH: %w", k, packages[k].pkg, err)
		}
	}
	return identify(ctx, Programs{Kind: k, root: tree, server: filepath.Join(tree, "usr", "sbin", names[0])})
}

// identify asks a server for its version. A mysqld may be either kind.
func identify(ctx context.Context, p Programs) (Programs, error) {
	out, err := p.command(ctx, "--no-defaults", "--version").Output()
	if err != nil {
		return Programs{}, fmt.Errorf("ask %s for its version: %w", p.server, err)
	}
	_, version, ok := strings.Cut(strings.TrimSpace(string(out)), "Ver ")
	if isMariaDB := strings.Contains(version, "MariaDB"); !ok || isMariaDB != (p.Kind == MariaDB) {
		return Programs{}, fmt.Errorf("%s is not %s: it says %q", p.server, p.Kind, out)
	}
	p.Version = strings.TrimSpace(version)
	return p, nil
}

// command runs the server's program. A tree has its own loader and libraries, newer than the system's perhaps.
func (p Programs) command(ctx context.Context, args ...string) *exec.Cmd {
	if p.root == "" {
		return exec.CommandContext(ctx, p.server, args...)
	}
	var loaders []string
	for _, pattern := range []string{"usr/lib/*-linux-gnu/ld-linux*.so.*", "lib/*-linux-gnu/ld-linux*.so.*"} {
		found, _ := filepath.Glob(filepath.Join(p.root, pattern)) // the only error is a bad pattern
		loaders = append(loaders, found...)
	}
	if len(loaders) == 0 {
		return exec.CommandContext(ctx, p.server, args...)
	}
	libraries := filepath.Dir(loaders[0])
	inRoot, _ := filepath.Rel(p.root, libraries)
	libraries += ":" + filepath.Join(p.root, "usr", inRoot)
	return exec.CommandContext(ctx, loaders[0], append([]string{"--library-path", libraries, p.server}, args...)...)
}

// share is the folder of messages, character sets and bootstrap scripts.
func (p Programs) share() string {
	share := filepath.Join(p.root, "/usr/share/mysql")
	if other := filepath.Join(p.root, "/usr/share/mariadb"); p.Kind == MariaDB {
		if _, err := os.Stat(filepath.Join(other, "mariadb_system_tables.sql")); err == nil {
			return other
		}
	}
	return share
}

// base are the arguments that say where the server's files are. They begin with --no-defaults, which must come first.
func (p Programs) base(data, tmp string) []string {
	args := []string{"--no-defaults"}
	if p.root != "" {
		args = append(args, "--basedir="+filepath.Join(p.root, "usr"), "--lc-messages-dir="+p.share(),
			"--character-sets-dir="+filepath.Join(p.share(), "charsets"), "--plugin-dir="+filepath.Join(p.root, "usr", "lib", "mysql", "plugin"))
	}
	if p.Kind == MySQL {
		args = append(args, "--secure-file-priv=")
	}
	if os.Geteuid() == 0 {
		args = append(args, "--user=root") // else the servers refuse
	}
	return append(args, "--datadir="+data, "--tmpdir="+tmp)
}
