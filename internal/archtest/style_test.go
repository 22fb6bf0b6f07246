// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"bytes"
	"go/ast"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The sizes are the hard ends; half of each is the aim. A test may be longer than code: its tables are.
const (
	maxFileLines     = 700
	maxFuncLines     = 100
	maxTestFuncLines = 150
)

const spdx = "// SPDX-License-Identifier: Apache-2.0\n"

// maySkip are the folders whose tests skip for a reason that is checked elsewhere.
var maySkip = []string{
	"internal/testdb",   // a missing server, which FRESHET_TEST_REQUIRE turns into a failure
	"internal/pgserver", // the same, where testdb itself is not yet usable
	"test/golden",       // the table of recorded cases that are not served yet, each with its reason
	"capture/postgres",  // a server too old for a type, in make test-matrix
	"connect",           // a folder of recordings that FRESHET_GOLDEN names may lack this group
	"connect/rest",      // the same
	"sinks/sinktest",    // an ability that the sink under test does not have
}

func TestPackagesHaveComments(t *testing.T) {
	commented := map[string]bool{}
	eachFile(t, func(f *file) {
		if f.ast.Doc != nil && !f.test() {
			commented[f.pkg] = true
			want := "Package " + f.ast.Name.Name + " "
			if f.ast.Name.Name == "main" {
				want = ""
			}
			require.True(t, strings.HasPrefix(f.ast.Doc.Text(), want), "%s: the package comment begins with %q", f.name, want)
		}
	})
	for _, pkg := range packages(t) {
		if !commented[pkg] {
			t.Errorf("package %s has no comment: say what it is for, its main type, who owns what", pkg)
		}
	}
}

func TestFilesAreSmallAndLicensed(t *testing.T) {
	eachFile(t, func(f *file) {
		if n := bytes.Count(f.text, []byte("\n")); n > maxFileLines {
			t.Errorf("%s has %d lines, at most %d: split it by concept", f.name, n, maxFileLines)
		}
		if !bytes.HasPrefix(f.text, []byte(spdx)) {
			t.Errorf("%s does not begin with %q", f.name, strings.TrimSpace(spdx))
		}
	})
}

func TestFunctionsAreSmall(t *testing.T) {
	eachFile(t, func(f *file) {
		most := maxFuncLines
		if f.test() {
			most = maxTestFuncLines
		}
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil || len(fn.Body.List) == 1 {
				continue // a single statement is a table, as the declaration of properties
			}
			if n := f.line(fn.End()) - f.line(fn.Pos()) + 1; n > most {
				t.Errorf("%s:%d: %s has %d lines, at most %d", f.name, f.line(fn.Pos()), fn.Name.Name, n, most)
			}
		}
	})
}

func TestTestsWaitForConditionsAndDoNotSkip(t *testing.T) {
	eachFile(t, func(f *file) {
		if !f.test() && !isTestOnly(f.pkg) {
			return
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := sel.X.(*ast.Ident)
			if !ok {
				return true
			}
			fake := slices.Contains(f.imports, "testing/synctest") // whose clock does not wait
			if x.Name == "time" && sel.Sel.Name == "Sleep" && !fake {
				t.Errorf("%s:%d: a test sleeps; wait for a condition", f.name, f.line(n.Pos()))
			}
			if strings.HasPrefix(sel.Sel.Name, "Skip") && slices.Contains([]string{"t", "b", "tb", "f"}, x.Name) && !slices.Contains(maySkip, f.pkg) {
				t.Errorf("%s:%d: a test skips; ask testdb for the server, which fails where one is required", f.name, f.line(n.Pos()))
			}
			return true
		})
	})
}

// machinePath finds folders of one person's machine.
var machinePath = regexp.MustCompile(`(?:^|[\s"'=(` + "`" + `:])(/work/|/root/|/home/[a-z]|/Users/[a-z])`)

func TestNoMachinePaths(t *testing.T) {
	checked := 0
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(name, root+string(filepath.Separator)))
		if d.IsDir() {
			if base := path.Base(rel); rel != root && (base == ".git" || base == "testdata" || base == "bin" || base == "freshet-data") {
				return filepath.SkipDir
			}
			return nil
		}
		text, err := os.ReadFile(name)
		// In a linked worktree .git is a file.
		if err != nil || bytes.IndexByte(text, 0) >= 0 || path.Base(rel) == "style_test.go" || rel == ".git" {
			return err
		}
		checked++
		for n, line := range bytes.Split(text, []byte("\n")) {
			if m := machinePath.FindSubmatch(line); m != nil {
				t.Errorf("%s:%d: a path of one machine: %s", rel, n+1, m[1])
			}
		}
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, checked, 20)
}
