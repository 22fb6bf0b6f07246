// SPDX-License-Identifier: Apache-2.0

// Package failpoint lets the kill tests stop the process at a named step, such as between append and mark.
//
// Production code calls Hit; it costs one atomic load while no hook is set. Only tests set a hook.
package failpoint

import "sync/atomic"

var hook atomic.Pointer[func(string)]

// Hit tells the hook, if there is one, that the step was reached. It is called after the step's effect.
func Hit(step string) {
	if f := hook.Load(); f != nil {
		(*f)(step)
	}
}

// Set installs the hook of this process and returns a function that takes it away. The hook may be called by several goroutines.
func Set(f func(step string)) (unset func()) {
	hook.Store(&f)
	return func() { hook.Store(nil) }
}
