// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	faultRow  = regexp.MustCompile(`^\| (F\d+) \|`)
	proofName = regexp.MustCompile("([a-z][a-z0-9/]*)((?: `Test\\w+`)+)")
)

// The page of faults has every fault, and the tests that it names exist.
func TestFaultsHaveTheirTests(t *testing.T) {
	tests := map[string]bool{}
	eachFile(t, func(f *file) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.test() && strings.HasPrefix(fn.Name.Name, "Test") {
				tests[f.pkg+" "+fn.Name.Name] = true
			}
		}
	})
	text, err := os.ReadFile(filepath.Join(root, "docs", "operations", "faults.md"))
	require.NoError(t, err)
	var rows []string
	for line := range strings.Lines(string(text)) {
		m := faultRow.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		rows = append(rows, m[1])
		columns := strings.Split(line, "|")
		require.Len(t, columns, 6, "%s", line)
		proofs := proofName.FindAllStringSubmatch(columns[4], -1)
		if len(proofs) == 0 && !strings.Contains(columns[3], "No test") {
			t.Errorf("%s names no test, and does not say why", m[1])
		}
		for _, p := range proofs {
			for name := range strings.FieldsSeq(p[2]) {
				if test := p[1] + " " + strings.Trim(name, "`"); !tests[test] {
					t.Errorf("%s names the test %s, which does not exist", m[1], test)
				}
			}
		}
	}
	var want []string
	for n := range 69 {
		if n >= 1 && n <= 12 || n >= 20 && n <= 34 || n >= 40 && n <= 46 || n >= 60 {
			want = append(want, fmt.Sprintf("F%d", n))
		}
	}
	require.Equal(t, want, rows)
}
