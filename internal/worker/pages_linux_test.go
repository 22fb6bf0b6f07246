// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOnlyCodeIsReleased: what a program can write to must stay, and so must other files.
func TestOnlyCodeIsReleased(t *testing.T) {
	const program = "/usr/local/bin/fresh et"
	for _, c := range []struct {
		line     string
		from, to uintptr
	}{
		{"00400000-01a5f000 r-xp 00000000 08:01 1234                       " + program, 0x400000, 0x1a5f000},
		{"01a5f000-03000000 r--p 0165f000 08:01 1234                       " + program, 0x1a5f000, 0x3000000},
		{"03000000-03100000 rw-p 02c00000 08:01 1234                       " + program, 0, 0},
		{"03000000-03100000 ---p 02c00000 08:01 1234                       " + program, 0, 0},
		{"7f0000000000-7f0000001000 r-xp 00000000 08:01 99                 /usr/lib/libc.so", 0, 0},
		{"c000000000-c000400000 rw-p 00000000 00:00 0", 0, 0},
		{"7ffc00000000-7ffc00002000 r-xp 00000000 00:00 0                  [vdso]", 0, 0},
		{"zz-01a5f000 r-xp 00000000 08:01 1234                             " + program, 0, 0},
	} {
		from, to, ok := codeOf(c.line, program)
		require.Equal(t, c.to != 0, ok, c.line)
		require.Equal(t, c.from, from, c.line)
		require.Equal(t, c.to, to, c.line)
	}
}
