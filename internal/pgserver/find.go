// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	"freshet/internal/serverproc"
)

// MinVersion is the oldest major version that is looked for unless a caller says otherwise.
const MinVersion = 14

// Want says which server programs are looked for.
type Want struct {
	Min     int          // the oldest major version that will do; 0 is MinVersion
	Exact   int          // this major version and no other; 0 is any
	Cache   string       // folder of unpacked programs; "" is serverproc.CacheDir()
	NoFetch bool         // only what is there already: no installation, no download
	Log     *slog.Logger // told what takes long; nil is silent
}

// Find returns the folder of initdb and postgres. It looks on PATH, in the folders of the usual packages, and among the
// programs fetched earlier; then it installs the system's package, where root, or fetches real server programs.
func Find(ctx context.Context, w Want) (string, error) {
	if w.Min == 0 {
		w.Min = MinVersion
	}
	if w.Cache == "" {
		w.Cache = serverproc.CacheDir()
	}
	if w.Log == nil {
		w.Log = slog.New(slog.DiscardHandler)
	}
	if bin, ok := w.installed(ctx); ok {
		return bin, nil
	}
	if bin, ok := w.fetched(ctx); ok {
		return bin, nil
	}
	if w.NoFetch {
		return "", fmt.Errorf("find PostgreSQL %s: not on PATH, not in the usual folders, not in %s", w.what(), w.Cache)
	}
	var errs []error
	for _, get := range []func(context.Context) error{w.install, w.fetch} {
		if err := get(ctx); err != nil {
			errs = append(errs, err)
			continue
		}
		if bin, ok := w.installed(ctx); ok {
			return bin, nil
		}
		if bin, ok := w.fetched(ctx); ok {
			return bin, nil
		}
	}
	return "", fmt.Errorf("find PostgreSQL %s: install it, or put its programs on PATH: %w", w.what(), errors.Join(errs...))
}

func (w Want) what() string {
	if w.Exact != 0 {
		return strconv.Itoa(w.Exact)
	}
	return fmt.Sprintf("%d or newer", w.Min)
}

// installed looks on PATH and in the folders where packages of Linux distributions and of macOS put the programs.
func (w Want) installed(ctx context.Context) (string, bool) {
	var dirs []string
	for _, d := range filepath.SplitList(os.Getenv("PATH")) {
		if _, err := os.Stat(filepath.Join(d, "postgres")); err == nil {
			dirs = append(dirs, d)
		}
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql@*/bin",
	} {
		found, _ := filepath.Glob(pattern) // the only error is a bad pattern
		dirs = append(dirs, found...)
	}
	return w.best(ctx, dirs)
}

// fetched looks among the programs that fetch unpacked, and those that were put beside them by hand.
func (w Want) fetched(ctx context.Context) (string, bool) {
	var dirs []string
	for _, pattern := range []string{"postgres-*/bin", "*/usr/lib/postgresql/*/bin"} {
		found, _ := filepath.Glob(filepath.Join(w.Cache, pattern))
		dirs = append(dirs, found...)
	}
	return w.best(ctx, dirs)
}

// best returns the folder with the lowest version that will do: the one most people run, and the same one each time.
func (w Want) best(ctx context.Context, dirs []string) (bin string, ok bool) {
	lowest := 0
	for _, d := range dirs {
		v, err := Version(ctx, d)
		if err != nil || v < w.Min && w.Exact == 0 || w.Exact != 0 && v != w.Exact {
			continue
		}
		if _, err := os.Stat(filepath.Join(d, "initdb")); err == nil && (lowest == 0 || v < lowest) {
			bin, lowest = d, v
		}
	}
	return bin, lowest != 0
}

var versionRE = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// Version asks the programs in a folder for their major version.
func Version(ctx context.Context, bin string) (int, error) {
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("ask %s for its version: %w", filepath.Join(bin, "postgres"), err)
	}
	m := versionRE.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("ask %s for its version: it says %q", filepath.Join(bin, "postgres"), out)
	}
	return strconv.Atoi(string(m[1]))
}
