// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/config"
	"freshet/internal/plugins"
)

func TestReferenceIsUpToDate(t *testing.T) {
	require.NoError(t, run(filepath.Join("..", "..", "docs", "reference"), true, pages(plugins.All())))
}

func TestRunWritesChecksAndRemoves(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "reference")
	want := map[string][]byte{"a.md": []byte("a\n"), "b.md": []byte("b\n")}
	require.ErrorContains(t, run(dir, true, want), "a.md is not up to date")
	require.NoError(t, run(dir, false, want))
	require.NoError(t, run(dir, true, want))

	require.NoError(t, os.WriteFile(filepath.Join(dir, "old.md"), nil, 0o644))
	require.ErrorContains(t, run(dir, true, want), "old.md belongs to nothing")
	require.NoError(t, run(dir, false, want))
	require.NoFileExists(t, filepath.Join(dir, "old.md"))
}

func TestPage(t *testing.T) {
	g := groups([]config.Plugin{{
		Name: "x", Class: "a.b.XConnector", Kind: "source", Version: "1", Aliases: []string{"y"},
		Def: config.Def{Keys: []config.Key{
			{Name: "mode", Type: config.String, Default: "a|b", HasDefault: true, Doc: "What\nto do.", Allowed: []string{"a|b", "c"}},
			{Name: "password", Type: config.Password, Default: "x", HasDefault: true},
			{Name: "host", Type: config.String, Required: true, Doc: "Where."},
			{Name: "some", Type: config.String, Later: "not c", Served: []string{"a"}, Doc: "D."},
			{Name: "signal", Type: config.String, Later: "signals are to come"},
			{Name: "plugin.path", Type: config.List, Ignored: "one binary"},
		}},
	}})
	require.Len(t, g, 1)
	require.Equal(t, "source-x.md", g[0].file)
	require.Equal(t, `# X source

<!-- Written by make docs from the declarations in the code; changes here are overwritten. -->

Class `+"`a.b.XConnector`, version 1; also `x`, `y`"+`.

| property | type | default | what it does |
|---|---|---|---|
| `+"`mode` | string | `a\\|b` | What to do. One of `a\\|b`, `c`."+` |
| `+"`password` | password | **** | "+` |
| `+"`host` | string | required | Where."+` |
| `+"`some` | string | – | D. Served: `a`; otherwise: not c."+` |

**Not served yet.** A value other than the default is refused at validation.

| property | default | why |
|---|---|---|
| `+"`signal` | – | signals are to come"+` |

**Without effect here.** A value other than the default is warned of.

| property | default | why |
|---|---|---|
| `+"`plugin.path` | – | one binary"+` |
`, string(g[0].page()))
}

func TestPageWithoutClass(t *testing.T) {
	g := &group{file: "x.md", title: "every connector", about: "what all have", plugins: []config.Plugin{
		{Name: "sources", Def: config.Def{Keys: []config.Key{{Name: "a", Type: config.Int, Doc: "D."}}}},
		{Name: "sinks", Def: config.Def{Keys: []config.Key{{Name: "b", Type: config.Int, Ignored: "why"}}}},
	}}
	require.Equal(t, "what all have", g.what())
	require.Equal(t, `# Every connector

<!-- Written by make docs from the declarations in the code; changes here are overwritten. -->

What all have.

## Sources

| property | type | default | what it does |
|---|---|---|---|
| `+"`a` | int | – | D."+` |

## Sinks

**Without effect here.** A value other than the default is warned of.

| property | default | why |
|---|---|---|
| `+"`b` | – | why"+` |
`, string(g.page()))
}
