// SPDX-License-Identifier: Apache-2.0

//go:build linux || darwin

package cli

import "unsafe"

// blank overwrites a part of one of the process's arguments. The strings of os.Args stand in the memory that the kernel
// gave the process for its arguments and shows to others; it is writable, as C programs rely on.
func blank(arg string, from, to int) {
	memory := unsafe.Slice(unsafe.StringData(arg), len(arg))
	for i := from; i < to; i++ {
		memory[i] = '*'
	}
}
