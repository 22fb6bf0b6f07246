// SPDX-License-Identifier: Apache-2.0

// Command install makes sure that the MySQL and MariaDB which tests need are there: found, or fetched.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"

	"freshet/internal/mysqlserver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	for _, k := range []mysqlserver.Kind{mysqlserver.MySQL, mysqlserver.MariaDB} {
		p, err := mysqlserver.Find(ctx, k, log)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(os.Stdout, "%s %s\n", k, p.Version); err != nil {
			return err
		}
	}
	return nil
}
