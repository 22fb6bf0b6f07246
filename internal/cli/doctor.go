// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"github.com/spf13/cobra"

	"freshet/config"
	"freshet/connect"
	"freshet/internal/doctor"
	"freshet/internal/plugins"
)

func (a *app) doctor() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "doctor source.properties",
		Short: "Check the server of a source connector without changing it",
		Long: `Checks what a source connector needs of its server: log level, slots, rights,
publication, replica identities. Prints for each finding OK, WARN or FAIL, the value
seen, and the exact statement that mends it. Exit code 3 says that there was a FAIL.`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "table" && output != "json" {
				return usagef("--output %q is none of table, json", output)
			}
			f, err := config.ReadFile(args[0])
			if err != nil {
				return usage(err)
			}
			w := connect.NewWorker(connect.WorkerOptions{Plugins: plugins.All(), Log: a.log})
			report, err := doctor.Check(cmd.Context(), w, f.Name, f.Config)
			if err != nil {
				return asUsage(err)
			}
			write := report.WriteTable
			if output == "json" {
				write = report.WriteJSON
			}
			if err := write(a.Out); err != nil {
				return err
			}
			if report.Failed() {
				return &codedError{code: exitFault}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&output, "output", "table", "form of the report: table or json")
	return cmd
}
