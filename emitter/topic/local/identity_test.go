// SPDX-License-Identifier: Apache-2.0

package local_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic/local"
	"freshet/internal/store"
)

func TestIdentityBelongsToTheFolder(t *testing.T) {
	open := func(dir string) string {
		db, err := store.Open(dir, store.Options{})
		require.NoError(t, err)
		l, err := local.Open(db, local.Options{})
		require.NoError(t, err)
		require.NoError(t, l.Close(t.Context()))
		require.NoError(t, db.Close())
		return l.Identity()
	}
	one, other := t.TempDir(), t.TempDir()
	first := open(one)
	require.NotEmpty(t, first)
	require.Equal(t, first, open(one))
	require.NotEqual(t, first, open(other))
}
