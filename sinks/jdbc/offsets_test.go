// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/internal/failpoint"
	"freshet/internal/testdb"
	"freshet/sinks"
)

// survives writes a batch and breaks the connection at a step; false if the writer is to be given up.
func survives(t *testing.T, w sinks.Writer, b *sinks.Batch, step string, broken func()) bool {
	t.Helper()
	var hit sync.Once
	reached := false
	defer failpoint.Set(func(at string) {
		if at == step {
			hit.Do(func() {
				reached = true
				broken()
			})
		}
	})()
	err := w.Write(t.Context(), b)
	if step == "" {
		require.NoError(t, err)
		return true
	}
	require.True(t, reached)
	return false
}

func TestOffsetsTableOfAnotherShapeIsRefused(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, "create table mine(id int)")
	_, err := tryOpen(t, upsert(s, "offsets.table.name", "mine"), nil)
	require.ErrorContains(t, err, `table "mine" has no column "connector_group": drop it or name another table`)
}
