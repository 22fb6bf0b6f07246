// SPDX-License-Identifier: Apache-2.0

// Command freshet is change data capture in one binary: see `freshet --help`.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"freshet/internal/cli"
)

// version is set by the release build: -ldflags "-X main.version=v1.2.3".
var version string

func main() {
	cli.LimitMemory()
	os.Exit(run())
}

// run ends in order on the first SIGINT or SIGTERM; a second one ends the process at once.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return cli.Execute(ctx, cli.Env{Args: cli.TakeArgs(os.Args[1:]), Environ: os.Environ(), In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Version: version})
}
