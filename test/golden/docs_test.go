// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCompatibilityNamesEveryCase holds docs/compatibility.md to the tables here: a case that is left out, or expected to
// differ from its recording, is named there.
func TestCompatibilityNamesEveryCase(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "compatibility.md"))
	require.NoError(t, err)
	for what, names := range map[string][]string{
		"left out":  slices.Concat(slices.Collect(maps.Keys(postgresSkipped)), slices.Collect(maps.Keys(sinksSkipped))),
		"different": slices.Concat(slices.Collect(maps.Keys(postgresDifferent)), slices.Collect(maps.Keys(sinksDifferent))),
	} {
		for _, name := range names {
			require.Contains(t, string(page), "`"+name+"`", "case %s is %s, and docs/compatibility.md does not name it", name, what)
		}
	}
}
