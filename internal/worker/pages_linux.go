// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
)

// settled is when a worker has done what it does once.
const settled = 5 * time.Second

// releasePages gives back, once the worker has settled, the pages of the program's own file that only its start needed: most of
// the memory of a worker with nothing to do. The kernel keeps them as long as it has room, and maps again what is used.
func releasePages(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(settled):
	}
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return // no harm: the pages stay
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer func() { _ = maps.Close() }() // it was read only
	for _, m := range untouched(maps, program) {
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, m.from, m.to-m.from, syscall.MADV_DONTNEED)
	}
}

// mapping is a range of addresses.
type mapping struct{ from, to uintptr }

// untouched are the mappings of a program in /proc/PID/smaps that are as the file is: nothing can be written to them, and no
// page of them differs from the file. A loader writes into some before it protects them, a debugger into code: what they wrote
// would be lost.
func untouched(smaps io.Reader, program string) (out []mapping) {
	var m mapping
	ours := false
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		line := lines.Text()
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		if !strings.HasSuffix(fields[0], ":") { // the first line of a mapping
			ours = strings.HasSuffix(line, " "+program) && len(fields[1]) == 4 && fields[1][0] == 'r' && fields[1][1] == '-'
			if _, err := fmt.Sscanf(fields[0], "%x-%x", &m.from, &m.to); err != nil || m.from >= m.to {
				ours = false
			}
		} else if ours && fields[0] == "Anonymous:" && fields[1] == "0" {
			out = append(out, m)
		}
	}
	return out
}
