// SPDX-License-Identifier: Apache-2.0

package testdb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// pythonTimeout bounds the making of an environment, a download included.
const pythonTimeout = 5 * time.Minute

// Python is a Python interpreter that has packages of PyPI, such as name==1.2.3, in an environment of its own below the
// user's cache. Where there is no Python, or the packages cannot be fetched, the test is skipped, or fails when
// FRESHET_TEST_REQUIRE lists "python".
func Python(t testing.TB, packages ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), pythonTimeout)
	defer cancel()
	python, err := findPython(ctx, packages)
	switch {
	case err == nil:
		return python
	case slices.Contains(strings.Split(os.Getenv(envRequire), ","), "python"):
		t.Fatalf("Python is required (%s): %v", envRequire, err)
	}
	t.Skipf("no Python: %v", err)
	return ""
}

func findPython(ctx context.Context, packages []string) (string, error) {
	system, err := exec.LookPath("python3")
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(system + "\n" + strings.Join(packages, "\n")))
	dir := filepath.Join(cache, "freshet-test", "python-"+hex.EncodeToString(sum[:8]))
	python, complete := filepath.Join(dir, "bin", "python3"), filepath.Join(dir, "complete")
	if _, err := os.Stat(complete); err == nil {
		return python, nil
	}
	if err := os.RemoveAll(dir); err != nil { // what an interrupted attempt left
		return "", err
	}
	for _, command := range [][]string{
		{system, "-m", "venv", dir},
		append([]string{python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"}, packages...),
	} {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil { //nolint:gosec // the tests' own words
			return "", fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, out)
		}
	}
	return python, os.WriteFile(complete, nil, 0o600)
}
