// SPDX-License-Identifier: Apache-2.0

// Command install makes sure that the schema registry which tests need is there: found, or fetched.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"

	"freshet/internal/registryserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	p, err := registryserver.Find(ctx, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, _ = fmt.Fprintf(os.Stdout, "Apicurio Registry %s in %s\n", registryserver.Version, p.Libs)
}
