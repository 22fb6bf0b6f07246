// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// settled is when a worker has done what it does once.
const settled = 5 * time.Second

// releasePages gives back, once the worker has settled, the pages of the program's own file that only its start needed: half
// of the memory of a worker with nothing to do. The kernel keeps them as long as it has room, and maps again what is used.
func releasePages(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(settled):
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return // no harm: the pages stay
	}
	defer maps.Close()
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		from, to, ok := codeOf(lines.Text(), program)
		if ok {
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_DONTNEED)
		}
	}
}

// codeOf is the mapping of a line of /proc/self/maps, if it is one of the program's that nothing can be written to: what
// was written would be lost.
func codeOf(line, program string) (from, to uintptr, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 6 || !strings.HasSuffix(line, " "+program) || len(fields[1]) != 4 || fields[1][0] != 'r' || fields[1][1] != '-' {
		return 0, 0, false
	}
	if _, err := fmt.Sscanf(fields[0], "%x-%x", &from, &to); err != nil || from >= to {
		return 0, 0, false
	}
	return from, to, true
}
