// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os"
	"runtime/debug"
)

// gcPercent keeps the resident set small. The paths of changes allocate nothing, so that collections stay rare all the
// same; where they do not, pacing lets the heap grow more. The environment variable GOGC goes before it.
const gcPercent = 25

// softLimit is where the collector begins to work harder, because rows of many megabytes are on their way: what is left of
// one should be gone before the next. GOMEMLIMIT goes before it.
const softLimit = 384 << 20

// LimitMemory sets the collector of this process as a worker wants it.
func LimitMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
		newPacer()
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softLimit)
	}
}
