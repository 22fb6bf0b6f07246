// SPDX-License-Identifier: Apache-2.0

// Command freshet is change data capture in one binary: see `freshet --help`.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"freshet/internal/cli"
)

// version is set by the release build: -ldflags "-X main.version=v1.2.3".
var version string

// gcPercent keeps the resident set small. The paths of changes allocate nothing, so that collections stay rare all the
// same. The environment variable GOGC goes before it.
const gcPercent = 25

// softLimit is where the collector begins to work harder, because rows of many megabytes are on their way: what is left of
// one should be gone before the next. GOMEMLIMIT goes before it.
const softLimit = 384 << 20

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softLimit)
	}
	os.Exit(run())
}

// run ends in order on the first SIGINT or SIGTERM; a second one ends the process at once.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return cli.Execute(ctx, cli.Env{Args: cli.TakeArgs(os.Args[1:]), Environ: os.Environ(), In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Version: version})
}
