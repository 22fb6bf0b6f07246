// SPDX-License-Identifier: Apache-2.0

// Command install makes sure that the database servers which the tests need are there: found, installed, or fetched.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"

	"freshet/internal/pgserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called
	}
}

func run(ctx context.Context, out, progress io.Writer) error {
	bin, err := pgserver.Find(ctx, pgserver.Want{Log: slog.New(slog.NewTextHandler(progress, nil))})
	if err != nil {
		return err
	}
	version, err := pgserver.Version(ctx, bin)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "PostgreSQL %d in %s\n", version, bin)
	return err
}
