// SPDX-License-Identifier: Apache-2.0

package emitter_test

import (
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/emitter"
)

func TestCacheKeepsTheFirst(t *testing.T) {
	var c emitter.Cache[int, string]
	_, ok := c.Load(1)
	require.False(t, ok)
	require.Equal(t, "a", c.Keep(1, "a"))
	require.Equal(t, "a", c.Keep(1, "b"))
	v, ok := c.Load(1)
	require.True(t, ok)
	require.Equal(t, "a", v)
}

// However often a source is opened anew, what was compiled for the types of before goes.
func TestCacheIsBounded(t *testing.T) {
	const types = 20_000
	var c emitter.Cache[*[64]byte, int]
	var freed atomic.Int64
	for i := range types {
		key := new([64]byte)
		runtime.AddCleanup(key, func(freed *atomic.Int64) { freed.Add(1) }, &freed)
		c.Keep(key, i)
	}
	for freed.Load() < types/2 { // a cache that keeps all never gets there
		runtime.GC()
	}
	runtime.KeepAlive(&c)
}
