// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOnlyWhatIsAsInTheFileIsReleased: what a program can write to must stay, what its loader or a debugger wrote, and other
// files.
func TestOnlyWhatIsAsInTheFileIsReleased(t *testing.T) {
	const program = "/usr/local/bin/fresh et"
	const smaps = `00400000-01a5f000 r-xp 00000000 08:01 1234                       /usr/local/bin/fresh et
Size:              22908 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me sd
01a5f000-02000000 r--p 0165f000 08:01 1234                       /usr/local/bin/fresh et
Size:               5764 kB
Anonymous:             4 kB
02000000-03000000 r--p 01c00000 08:01 1234                       /usr/local/bin/fresh et
Anonymous:             0 kB
03000000-03100000 rw-p 02c00000 08:01 1234                       /usr/local/bin/fresh et
Anonymous:             0 kB
03100000-03200000 ---p 02c00000 08:01 1234                       /usr/local/bin/fresh et
Anonymous:             0 kB
c000000000-c000400000 rw-p 00000000 00:00 0
Anonymous:             0 kB
7f0000000000-7f0000001000 r-xp 00000000 08:01 99                 /usr/lib/libc.so
Anonymous:             0 kB
7ffc00000000-7ffc00002000 r-xp 00000000 00:00 0                  [vdso]
Anonymous:             0 kB
`
	require.Equal(t, []mapping{{0x400000, 0x1a5f000}, {0x2000000, 0x3000000}}, untouched(strings.NewReader(smaps), program))
}
