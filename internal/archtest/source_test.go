// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "freshet"

// root is the folder of go.mod, seen from this package.
const root = "../.."

// file is one parsed source file of the module.
type file struct {
	name    string // path in the module
	pkg     string // folder in the module: "capture/postgres"; "." is the root
	text    []byte
	fset    *token.FileSet
	ast     *ast.File
	imports []string
}

func (f *file) test() bool { return strings.HasSuffix(f.name, "_test.go") }

func (f *file) line(p token.Pos) int { return f.fset.Position(p).Line }

// files are all Go files of the module, parsed once.
var files = sync.OnceValues(func() ([]*file, error) {
	var all []*file
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(name, root+string(filepath.Separator)))
		if d.IsDir() && rel != root && skipDir(name, rel) {
			return filepath.SkipDir
		}
		if d.IsDir() || path.Ext(rel) != ".go" {
			return nil
		}
		f, err := parse(name, rel)
		if err == nil {
			all = append(all, f)
		}
		return err
	})
	return all, err
})

// skipDir leaves out what is not this module's own code.
func skipDir(name, rel string) bool {
	base := path.Base(rel)
	if base == "testdata" || base == "node_modules" || strings.HasPrefix(base, ".") || rel == "bin" {
		return true
	}
	_, err := os.Stat(filepath.Join(name, "go.mod")) // a module of its own
	return err == nil
}

func parse(name, rel string) (*file, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	f := &file{name: rel, pkg: path.Dir(rel), text: text, fset: token.NewFileSet()}
	if f.ast, err = parser.ParseFile(f.fset, rel, text, parser.ParseComments); err != nil {
		return nil, err
	}
	for _, i := range f.ast.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return nil, err
		}
		f.imports = append(f.imports, p)
	}
	return f, nil
}

// eachFile runs check on every Go file of the module and fails if there are suspiciously few.
func eachFile(t *testing.T, check func(f *file)) {
	t.Helper()
	all, err := files()
	require.NoError(t, err)
	require.Greater(t, len(all), 20, "files found below %s", root)
	for _, f := range all {
		check(f)
	}
}

// packages returns the module's packages that have other files than tests.
func packages(t *testing.T) []string {
	t.Helper()
	var pkgs []string
	eachFile(t, func(f *file) {
		if !f.test() && !slices.Contains(pkgs, f.pkg) {
			pkgs = append(pkgs, f.pkg)
		}
	})
	slices.Sort(pkgs)
	return pkgs
}
