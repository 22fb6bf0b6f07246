// SPDX-License-Identifier: Apache-2.0

// Package e2e holds the whole-system tests: the program, in a process of its own, between real PostgreSQL servers, asked
// over its REST API and its command line.
//
// Each test brings one fault or one piece of bad input, and looks at three things: the state that the program shows, the
// words by which it tells what is wrong and what to do, and that nothing is lost once the fault is mended. For the latter
// the target is compared with the source row by row, or every record of the topic is looked at.
package e2e

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"freshet/internal/cli"
)

// envChild is set in children: the test binary is the program then. So the race detector watches the program, too.
const envChild = "FRESHET_E2E_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(envChild) != "" {
		os.Exit(program())
	}
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		// Most of these tests wait for another process most of the time.
		if err := flag.Set("test.parallel", "6"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// program is what cmd/freshet does.
func program() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return cli.Execute(ctx, cli.Env{Args: cli.TakeArgs(os.Args[1:]), Environ: os.Environ(), In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Version: "v0.0.0-test"})
}
