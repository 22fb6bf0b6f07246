// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"sync"
	"sync/atomic"
)

// mostCached is how many values a Cache keeps.
const mostCached = 8192

// Cache keeps what was compiled for a key. Formats live as long as their connector, and the types of a source are other values each
// time that it is opened anew, so a Cache that is full begins anew: plans of tables hold what they use themselves. The zero Cache is
// empty. It is safe for concurrent use.
type Cache[K comparable, V any] struct {
	kept  sync.Map // K → V
	count atomic.Int64
}

// Load is the value of a key, if there is one.
func (c *Cache[K, V]) Load(key K) (v V, ok bool) {
	kept, ok := c.kept.Load(key)
	if ok {
		v = kept.(V)
	}
	return v, ok
}

// Keep is the value of a key, which is v where there was none.
func (c *Cache[K, V]) Keep(key K, v V) V {
	kept, loaded := c.kept.LoadOrStore(key, v)
	if !loaded && c.count.Add(1) >= mostCached {
		c.kept.Clear()
		c.count.Store(0)
	}
	return kept.(V)
}
