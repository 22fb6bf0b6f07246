// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os"

	"github.com/spf13/cobra"

	"freshet/internal/demo"
)

func (a *app) demo() *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show capture and sink at work on a PostgreSQL of its own",
		Long: `Starts a PostgreSQL in a temporary folder, captures the table persons of one database
and keeps that of another equal, and prints every step: SQL, event, row in the target,
milliseconds between. It kills the worker on the way. The exit code is 0 only when
source and target are equal at the end.

It uses PostgreSQL 14 or newer: from PATH or /usr/lib/postgresql, else installed by
apt-get where it may, else fetched.`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			return demo.Run(cmd.Context(), demo.Options{Keep: keep, Binary: self, Out: a.Out, Log: a.log})
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "leave everything running until Ctrl-C, and tell how to look around")
	return cmd
}
