// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strconv"

	"github.com/spf13/cobra"

	"freshet/config"
	"freshet/internal/plugins"
	"freshet/internal/worker"
)

// insecureFlag adds --insecure, for which a variable of the environment stands too.
func (a *app) insecureFlag(cmd *cobra.Command, insecure *bool) {
	set, _ := strconv.ParseBool(a.variable("FRESHET_INSECURE")) // what is no flag allows nothing
	cmd.Flags().BoolVar(insecure, "insecure", set, "allow listeners that other machines can reach without TLS and tokens, or FRESHET_INSECURE=true")
}

func (a *app) standalone() *cobra.Command {
	var insecure bool
	cmd := &cobra.Command{
		Use:   "standalone [worker.properties [connector.properties connector.json ...]]",
		Short: "Run a worker with connectors from files, as connect-standalone does",
		Long: `Runs a worker of one process. worker.properties and the connector files are those of
Kafka Connect and Debezium; connector files are Java properties or JSON, either
{"name","config"} or the properties themselves.

Topics, positions and connectors made by REST are kept in data.dir of
worker.properties (./freshet-data unless given). SIGINT and SIGTERM drain the
tasks and end with exit code 0.

` + fromEnvironment,
		Args: arguments(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			properties, err := a.workerProperties(cmd, args, false)
			if err != nil {
				return err
			}
			var files []config.File
			for _, path := range args[min(1, len(args)):] {
				f, err := config.ReadFile(path)
				if err != nil {
					return usage(err)
				}
				files = append(files, f)
			}
			return asUsage(worker.Run(cmd.Context(), worker.Options{
				Properties: properties, Environ: a.Environ, Connectors: files, Plugins: plugins.All(), Insecure: insecure,
				Commit: buildOf(a.Version).commit, Log: a.log, Levels: a.levels,
			}))
		},
	}
	a.insecureFlag(cmd, &insecure)
	return cmd
}
